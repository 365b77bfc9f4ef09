"""The TensorRT backend on a real GPU; the contract tests run there too. Skipped only where there is no card at all."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from engines.measure.latency import measure
from engines.measure.parity import compare, recorded_frames, walk
from engines.ort import OrtEngine
from engines.runtime import WEIGHTS_DIR, open_engine
from tests.engines.gpu import GPU, REASON, card_is_here
from tests.engines.test_build_cache import ROOT

SHIPPED = sorted(WEIGHTS_DIR.glob("*.onnx"))


def test_no_gpu_test_was_left_out(gpu_tests_left_out):
    """Runs last. On a machine with a card every GPU test that was collected must have run, whatever -k or -m say."""
    assert not card_is_here() or not gpu_tests_left_out


@pytest.mark.parametrize(("words", "passes"), [(["-m", "not gpu"], False), (["-k", "left_out"], False), ([], True)])
def test_a_machine_with_a_card_cannot_skip_them(words, passes):
    """A pretended card: deselecting the GPU tests fails the guard; running them, which then fails them, does not."""
    if "POSESTREAM_PRETEND_CARD" in os.environ:
        pytest.skip("this is the pretended run")
    path = "tests/engines/test_trt_gpu.py"
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "--show-capture=no", "--tb=no", path, *words]
    environment = {**os.environ, "POSESTREAM_PRETEND_CARD": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert f"{'PASSED' if passes else 'FAILED'} {path}::test_no_gpu_test_was_left_out" in done.stdout
    if passes and REASON:
        assert f"FAILED {path}::TestShipped" in done.stdout, "without a driver they cannot have passed"


@GPU
@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
class TestShipped:
    @pytest.fixture(autouse=True)
    def _cache(self, tmp_path_factory, monkeypatch):
        monkeypatch.setenv("POSESTREAM_CACHE", str(tmp_path_factory.getbasetemp() / "gpu_cache"))

    @pytest.mark.timeout(600)
    def test_it_computes_what_onnx_runtime_computes(self, path):
        engine, reference = open_engine(path, "tensorrt"), OrtEngine(path, 4)
        for people in (1, 3, 8, 9) if engine.spec.kind != "finder" else (1,):
            found = compare(reference, engine, recorded_frames(engine.spec, people))
            assert all(d.good for d in found), [str(d) for d in found]

    @pytest.mark.timeout(600)
    def test_graphs_are_used_and_give_exactly_what_plain_runs_give(self, path):
        engine = open_engine(path, "tensorrt")
        assert engine.backend.endswith("CUDA graphs)")
        frames = recorded_frames(engine.spec, 1)
        with_graphs = walk(engine, frames)
        engine.use_graphs(False)
        for a, b in zip(with_graphs, walk(engine, frames), strict=True):
            for name in a:
                np.testing.assert_array_equal(a[name], b[name])

    @pytest.mark.timeout(600)
    def test_it_is_faster_than_the_cpu(self, path):
        engine = open_engine(path, "tensorrt")
        frames = recorded_frames(engine.spec, 1)
        assert measure(engine, frames, 50).p50_ms < measure(OrtEngine(path, 4), frames, 50).p50_ms
