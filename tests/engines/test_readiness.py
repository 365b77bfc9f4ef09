"""What `posestream doctor` says of the GPU path, with and without one."""

from __future__ import annotations

import pytest

from engines.measure.readiness import look
from engines.runtime import open_engine
from tests.engines.gpu import REASON
from tests.engines.tiny_models import counting_lifter


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    folder = tmp_path / "weights"
    folder.mkdir()
    monkeypatch.setattr("engines.measure.readiness.WEIGHTS_DIR", folder)
    return counting_lifter(folder / "lifter-tiny.onnx")


def test_engines_that_fit_and_those_that_do_not(gpu, shipped, monkeypatch):
    monkeypatch.setattr("engines.measure.readiness.find_tensorrt", lambda: gpu.toolkit)
    card, library, engine = look()
    assert (card.there, card.said) == (True, "Stand-in GPU, compute 9.0, CUDA 13.0")
    assert library.said == "stand-in 1.0"
    assert (engine.there, engine.said, engine.mend) == (False, "none that fits", "posestream build lifter-tiny")
    open_engine(shipped, "tensorrt").close()
    (*_, engine) = look()
    assert engine.there
    assert engine.said.startswith("built for 1, 2, 4, 8 people, fits, 0.")
    counting_lifter(shipped, metadata=None).write_bytes(shipped.read_bytes() + b"\x72\x00")  # one more empty property
    (*_, engine) = look()
    assert engine.said == "none that fits: there is one built for another version of the model file"


@pytest.mark.skipif(not REASON, reason="there is a GPU")
def test_without_a_gpu_there_are_no_engines_to_look_at(shipped):
    card, library = look()
    assert not card.there
    assert card.said.endswith("; everything runs on the processor")
    assert library.mend == ""
