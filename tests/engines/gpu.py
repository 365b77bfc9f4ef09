"""The mark of tests that need an NVIDIA GPU. A machine that has one cannot skip them: see `tests/conftest.py`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engines.device.cuda import CudaError, Driver


def card_is_here() -> bool:
    """Return whether there is a card, even one without a usable driver; pretended for the test of the tests."""
    places = ("/dev/nvidia0", "/proc/driver/nvidia")
    return "POSESTREAM_PRETEND_CARD" in os.environ or any(Path(place).exists() for place in places)


def _no_gpu() -> str:
    """Return why there is no GPU to test on, or "" if the tests must run."""
    try:
        Driver().close()
    except CudaError as error:
        # a card without a usable driver is a broken machine, not a reason to skip
        return "" if card_is_here() else str(error)
    return ""


REASON = _no_gpu()
GPU = pytest.mark.gpu
