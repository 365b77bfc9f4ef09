"""Errors of the train room that `posestream` tells in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from engines.errors import EngineError


class DataError(EngineError):
    """What a recipe is to learn from is not there, is damaged, or is too little; the command ends with exit code 2."""

    exit_code = 2


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
