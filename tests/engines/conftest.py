"""Fixtures of the engines' tests."""

from __future__ import annotations

import pytest

from engines.cuda import Driver
from tests.engines.standin import StandInCuda, make_plan, make_toolkit
from tests.engines.tiny_models import counting_lifter


@pytest.fixture
def gpu(monkeypatch, tmp_path):
    """A machine with a GPU, as far as `engines.obtain` can tell; counts the builds."""
    cuda = StandInCuda()
    toolkit = make_toolkit(cuda)
    built = []

    def build_plan(model, options, toolkit, progress=None):
        built.append(options.people)
        return make_plan(model, options.people), 1.25

    monkeypatch.setenv("POSESTREAM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("engines.obtain.Driver", lambda: Driver(cuda))
    monkeypatch.setattr("engines.obtain.find_tensorrt", lambda: toolkit)
    monkeypatch.setattr("engines.obtain.build_plan", build_plan)
    return built


@pytest.fixture
def lifter_path(tmp_path):
    return counting_lifter(tmp_path / "lifter.onnx")
