"""Fixtures of the engines' tests."""

from __future__ import annotations

import pytest

from tests.engines.standin import make_plan, make_toolkit
from tests.engines.standin_cuda import StandInCuda
from tests.engines.tiny_models import counting_lifter


class Builds(list):
    """The people of each build; the stand-ins that it was built with."""

    def __init__(self, cuda, toolkit) -> None:
        self.cuda, self.toolkit = cuda, toolkit


@pytest.fixture
def gpu(monkeypatch, tmp_path):
    """A machine with a GPU, as far as `engines.plans.obtain` can tell; counts the builds."""
    cuda = StandInCuda()
    toolkit = make_toolkit(cuda)
    built = Builds(cuda, toolkit)

    def build_plan(model, options, toolkit, progress=None, timing=None):
        built.append(options.people)
        return make_plan(model, options.people), 1.25

    monkeypatch.setenv("POSESTREAM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("engines.device.cuda._load", lambda: cuda)
    monkeypatch.setattr("engines.plans.obtain.find_tensorrt", lambda: toolkit)
    monkeypatch.setattr("engines.plans.build.find_tensorrt", lambda: toolkit)
    monkeypatch.setattr("engines.plans.obtain.build_plan", build_plan)
    return built


@pytest.fixture
def lifter_path(tmp_path):
    return counting_lifter(tmp_path / "lifter.onnx")
