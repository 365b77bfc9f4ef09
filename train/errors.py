"""Errors of the train room that are told in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from engines.errors import EngineError


class DataError(EngineError):
    """What a recipe is to learn from is not there, is damaged, or is too little; the command ends with exit code 2."""

    exit_code = 2


class RendererUnavailable(RuntimeError):
    """There is no EGL here; the message says what to install."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(
            f"cannot open an EGL context for rendering ({cause}). Install a driver: on Debian or Ubuntu without a GPU "
            "`apt-get install libegl1 libegl-mesa0 libgl1-mesa-dri`, with an NVIDIA GPU its driver's EGL library, "
            "and `pip install moderngl`."
        )


@contextmanager
def reading() -> Iterator[None]:
    """Make what cannot be read within the block a DataError."""
    try:
        yield
    except OSError as error:
        said = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        raise DataError(f"{said} (--data or POSESTREAM_DATA says where the data is)") from error
    except ValueError as error:
        raise DataError(str(error)) from error
