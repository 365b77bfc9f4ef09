"""Every shipped model in every precision becomes a plan, by the command a user would type. No GPU is needed."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import onnx
import pytest

from engines.measure.parity import recorded_frames
from engines.modelfile import read_model
from engines.plans.build_table import main, table
from engines.plans.cache import EngineCache, Entry
from engines.runtime import WEIGHTS_DIR
from tests.engines.test_build_cache import ROOT
from train.deliver.precision import note_source, to_fp16, to_int8

pytest.importorskip("tensorrt_rtx", reason="needs tensorrt-rtx-cu13, which is in the dev extra")
SHIPPED = sorted(WEIGHTS_DIR.glob("*.onnx"))
PRECISIONS = {"fp32": "", "fp16": "-fp16", "int8": "-int8-trt"}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Make the other precisions from the shipped weights, then build all of it in a process of its own."""
    cache = tmp_path_factory.mktemp("all")
    (cache / "models").mkdir()
    for path in SHIPPED:
        model, graph = read_model(path), onnx.load(path)
        frames = recorded_frames(model.spec, 1)[:6]  # enough to build from; too few to be accurate
        for suffix, made in (("-fp16", to_fp16(graph)), ("-int8-trt", to_int8(graph, frames, "trt"))):
            note_source(made, model.sha256)
            (cache / "models" / f"{path.stem}{suffix}.onnx").write_bytes(made.SerializeToString())
    command = [sys.executable, "-m", "engines.plans.build", "--all", "--precision", "all", "--people", "2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "POSESTREAM_CACHE": str(cache)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500, check=False)
    return done, EngineCache(cache / "engines"), cache / "models"


@pytest.mark.timeout(600)
def test_the_command_builds_them_all(built):
    done, cache, _ = built
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("built in") == len(SHIPPED) * len(PRECISIONS)
    wanted = {f"{p.stem}{suffix}" for p in SHIPPED for suffix in PRECISIONS.values()}
    assert {e.facts["key"]["model"] for e in cache.entries()} == wanted
    sys.stdout.write("\n" + table(cache.entries()))  # pytest -s shows the seconds of each


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_each_holds_its_weights_in_its_precision(built, path, precision):
    _, cache, models = built
    name = path.stem + PRECISIONS[precision]
    facts = next(e.facts for e in cache.entries() if e.facts["key"]["model"] == name)
    assert facts["spec"]["precision"] == precision
    assert facts["key"]["people"] == ([] if "finder" in name else [1, 2])
    plan = next(e.path for e in cache.entries() if e.facts["key"]["model"] == name).read_bytes()
    assert plan.startswith(b"vtrt")
    graph = onnx.load((models if precision != "fp32" else WEIGHTS_DIR) / f"{name}.onnx").graph
    weights = sum(int(np.prod(w.dims)) for w in graph.initializer)
    assert len(plan) > weights, "the weights are not in it"
    assert facts["build_s"] > 0


def test_the_table_goes_between_its_marks(tmp_path, monkeypatch):
    facts = {
        "key": {"model": "lifter-tcn", "people": [1, 2], "flavour": "tensorrt_rtx", "version": "1.7", "gpu": "none"},
        "plan_bytes": 25_700_000, "build_s": 3.21, "build_cpu_s": 2.5, "spec": {"precision": "fp32"},
    }  # fmt: skip
    entries = [Entry(tmp_path, json.loads(json.dumps(facts)))]
    text = table(entries)
    assert "| lifter-tcn | fp32 | 1, 2 | 3.2 | 2.5 | 25.7 |" in text
    page = tmp_path / "README.md"
    begin, end = "<!-- build table: begin -->", "<!-- build table: end -->"
    page.write_text(f"before\n{begin}\nold\n{end}\nafter\n")
    monkeypatch.setattr(EngineCache, "entries", lambda _: entries)
    assert main([str(page)]) == main([str(page)]) == 0
    assert page.read_text() == f"before\n{begin}\n\n{text.strip()}\n\n{end}\nafter\n"
