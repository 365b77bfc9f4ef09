"""The first live start: ONNX Runtime runs while the engine is built, then the engine takes over in mid-stream."""

from __future__ import annotations

import itertools
import os
import threading
import time

import numpy as np
import pytest

from engines.errors import EngineError
from engines.measure.parity import recorded_frames
from engines.ort import OrtEngine
from engines.plans.background import BackgroundBuild
from engines.plans.handover import HandoverEngine
from engines.plans.obtain import open_tensorrt
from engines.runtime import WEIGHTS_DIR, open_engine
from tests.engines.gpu import REASON
from tests.engines.standin import open_standin
from tests.engines.tiny_models import counting_lifter


class Later:
    """A successor that is ready when the test says so."""

    def __init__(self, make) -> None:
        self.make, self.go, self.cancelled = make, threading.Event(), False
        self.engine = None

    def open(self):
        self.go.wait(20)
        if self.cancelled:
            raise EngineError("given up")
        self.engine = self.make()
        return self.engine

    def cancel(self) -> None:
        self.cancelled = True
        self.go.set()


def wait_for(condition, timeout_s: float = 10.0) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)


# the stand-in runs whole profiles: other batch sizes, another order of sums
@pytest.mark.parametrize(("make", "atol"), [(OrtEngine, 0), (open_standin, 2e-6)], ids=["ort", "tensorrt on stand-ins"])
@pytest.mark.parametrize("name", ["lifter-tcn", "lifter-lstm"])
def test_nobody_notices_the_change(name, make, atol):
    """Real models, people who come and go: every frame equals that of an engine that ran all the time."""
    path = WEIGHTS_DIR / f"{name}.onnx"
    alone, later = OrtEngine(path), Later(lambda: make(path))
    engine = HandoverEngine(OrtEngine(path), later)
    frames = recorded_frames(alone.spec, 4)
    for t, (frame, people) in enumerate(zip(frames, itertools.cycle([[1, 2], [2, 1, 3], [3, 1]]), strict=False)):
        if t == 7:
            assert "is being built meanwhile" in engine.backend
            later.go.set()
            wait_for(lambda: engine._next is not None)
        frame = {key: value[: len(people)] for key, value in frame.items()}
        reset = {3} if t == 13 else set()
        want, have = (e.run(frame, people, reset) for e in (alone, engine))
        for output in want:
            np.testing.assert_allclose(have[output], want[output], rtol=0, atol=atol, err_msg=f"frame {t}")
        assert engine._now is (later.engine if t >= 7 else engine._now)
    assert engine.backend.endswith("; took over after 7 frames")
    want, have = alone.carried(), engine.carried()
    assert set(want) == set(have)
    for key, states in want.items():
        for state in states:
            np.testing.assert_allclose(have[key][state], states[state], rtol=0, atol=5 * atol)
    engine.close()


def test_no_frame_waits_for_the_build(tmp_path):
    path = counting_lifter(tmp_path / "lifter.onnx")
    later = Later(lambda: OrtEngine(path))
    engine = HandoverEngine(OrtEngine(path), later)
    frame = recorded_frames(engine.spec, 1)[0]
    started = time.monotonic()
    for _ in range(50):
        engine.run(frame, ["a"])
    assert time.monotonic() - started < 5
    assert later.engine is None
    engine.close()


def test_a_build_that_fails_is_said_and_the_run_goes_on(tmp_path):
    path = counting_lifter(tmp_path / "lifter.onnx")

    def fail():
        raise EngineError("the builder ran out of memory")

    later = Later(fail)
    engine = HandoverEngine(OrtEngine(path), later)
    later.go.set()
    wait_for(lambda: "ran out of memory" in engine.backend)
    frame = recorded_frames(engine.spec, 1)[0]
    assert engine.run(frame, ["a"])["xyz_m"].shape == (1, 17, 3)
    assert engine.backend.startswith("ONNX Runtime")
    engine.close()


def test_a_successor_that_cannot_take_the_state_is_not_taken(tmp_path):
    first, other = counting_lifter(tmp_path / "a.onnx"), WEIGHTS_DIR / "lifter-tcn.onnx"
    later = Later(lambda: OrtEngine(other))
    engine = HandoverEngine(OrtEngine(first), later)
    frame = recorded_frames(engine.spec, 1)[0]
    engine.run(frame, ["a"])
    later.go.set()
    wait_for(lambda: engine._next is not None)
    age = engine.run(frame, ["a"])["xyz_m"][0, 0, 2] / frame["score"][0, 0]
    assert round(float(age)) == 2
    assert "missing input" in engine.backend
    engine.close()


@pytest.mark.parametrize("ready", [True, False])
def test_closing_before_the_change_frees_both(tmp_path, ready):
    path = counting_lifter(tmp_path / "lifter.onnx")
    closed = []

    class Seen(OrtEngine):
        def close(self) -> None:
            closed.append(self)
            super().close()

    later = Later(lambda: Seen(path))
    engine = HandoverEngine(Seen(path), later)
    if ready:
        later.go.set()
        wait_for(lambda: engine._next is not None)
    engine.close()
    assert len(closed) == 1 + ready
    assert not engine._thread.is_alive()


def test_auto_builds_beside_a_live_run_and_then_changes(gpu, lifter_path, monkeypatch):
    def build(self) -> str:
        open_tensorrt(self._path, self._say).close()
        return ""

    monkeypatch.setattr(BackgroundBuild, "_build", build)
    engine = open_engine(lifter_path, background=True)
    assert engine.backend.startswith("ONNX Runtime")
    frame = recorded_frames(engine.spec, 1)[0]
    wait_for(lambda: engine.run(frame, ["a"]) and not engine.backend.startswith("ONNX"))
    assert engine.backend.startswith("stand-in 1.0 (Stand-in GPU, CUDA graphs); took over after ")
    engine.close()
    assert (gpu.cuda.streams, gpu.cuda.memory) == (set(), {})
    assert open_engine(lifter_path, background=True).backend == "stand-in 1.0 (Stand-in GPU, CUDA graphs)"


class TestRealBuilder:
    """The process that builds, with the real TensorRT-RTX."""

    @pytest.fixture
    def path(self, tmp_path, monkeypatch):
        pytest.importorskip("tensorrt_rtx", reason="needs tensorrt-rtx-cu13, which is in the dev extra")
        monkeypatch.setenv("POSESTREAM_CACHE", str(tmp_path / "cache"))
        return counting_lifter(tmp_path / "lifter.onnx")

    @pytest.mark.skipif(not REASON, reason="there is a GPU: the engine would take over")
    def test_it_builds_and_what_stands_in_the_way_is_said(self, path, tmp_path):
        said: list[str] = []
        engine = HandoverEngine(OrtEngine(path), BackgroundBuild(path, said.append))
        wait_for(lambda: "no NVIDIA driver" in engine.backend, 100)
        assert said == ["building lifter"]
        assert len(list((tmp_path / "cache" / "engines").glob("*.plan"))) == 1
        engine.close()

    def test_closing_ends_the_builder(self, path):
        started = threading.Event()
        build = BackgroundBuild(path, lambda line: started.set())
        engine = HandoverEngine(OrtEngine(path), build)
        assert started.wait(100)
        engine.close()
        with pytest.raises(ProcessLookupError):
            os.kill(build._process.pid, 0)
        assert not engine._thread.is_alive()

    def test_a_model_it_cannot_read_is_said(self, path):
        path.write_bytes(b"rubbish")
        with pytest.raises(EngineError, match=r"could not be built: cannot load model .*lifter\.onnx: damaged"):
            BackgroundBuild(path, lambda line: None).open()
