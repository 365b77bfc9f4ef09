"""The mark of tests that need an NVIDIA GPU. A machine that has one cannot skip them."""

from __future__ import annotations

from pathlib import Path

import pytest

from engines.cuda import CudaError, Driver


def _no_gpu() -> str:
    """Return why there is no GPU to test on, or "" if the tests must run."""
    try:
        Driver().close()
    except CudaError as error:
        # a card without a usable driver is a broken machine, not a reason to skip
        return "" if Path("/dev/nvidia0").exists() or Path("/proc/driver/nvidia").exists() else str(error)
    return ""


REASON = _no_gpu()
GPU = pytest.mark.skipif(bool(REASON), reason=f"needs a GPU: {REASON}")
