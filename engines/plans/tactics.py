"""TensorRT's timing cache: what it measured of each kernel on this GPU, so that the next build need not measure again.

Kept beside the engines, one file for each TensorRT, GPU and driver. TensorRT checks for itself whether a cache
fits; one that does not is replaced. TensorRT-RTX measures nothing when it builds and has none.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engines.plans.cache import write_atomically

WITHOUT = ("tensorrt_rtx",)  # flavours whose timing cache does nothing


def attach(config: Any, flavour: str, path: Path | None) -> bool:
    """Give a builder configuration what earlier builds measured; return whether there is a cache now.

    Args:
        config: TensorRT's IBuilderConfig.
        flavour: Of TensorRT.
        path: The cache's file, which need not be there; None for none.
    """
    if path is None or flavour in WITHOUT:
        return False
    try:
        known = path.read_bytes()
    except OSError:
        known = b""
    for content in (known, b""):
        cache = config.create_timing_cache(content)
        if cache is not None and config.set_timing_cache(cache, False):
            return True
    return False


def keep(config: Any, path: Path) -> None:
    """Write down what this build measured; if that fails it is no error: the engine's own store says so."""
    measured = config.get_timing_cache().serialize()
    if measured is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, bytes(measured))
    except OSError:
        return
