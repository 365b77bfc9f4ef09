"""Files of 2D tracks, the input of `posestream eval lifter`: arrays in an .npz, see `engines.tracks.Tracks`."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engines.errors import TensorShapeError
from engines.measure.score3d import TRUTH, Truth
from engines.tracks import ARRAYS, Tracks, described
from pipeline.errors import SourceError


def load_tracks(path: Path) -> tuple[Tracks, Truth | None]:
    """Read 2D tracks, and what the people really did if the file says it (an array `xyz_m`).

    Raises:
        SourceError: If there is no such file, or it is not of this form; the message names the array.
    """
    raw, has = _arrays(path)
    for name in ARRAYS:
        if name not in raw:
            found = f"it has {', '.join(sorted(has))}" if has else "it is empty"
            raise SourceError(f"{path} lacks the array {name}: {described(name)} ({found})")
    try:
        tracks = Tracks(**{name: raw[name] for name in ARRAYS})
        return tracks, Truth.of(raw, tracks) if "xyz_m" in raw else None
    except TensorShapeError as error:
        raise SourceError(f"{path}: {error}") from error


def _arrays(path: Path) -> tuple[Mapping[str, Any], Sequence[str]]:
    """Return the arrays that are for us, and the names of all."""
    try:
        file = np.load(path, allow_pickle=False)
        if isinstance(file, np.ndarray):
            raise SourceError(f"{path} is a single array, not an .npz file of 2D tracks")
        with file:
            wanted = [*ARRAYS, *(TRUTH if "xyz_m" in file.files else ())]
            return {name: file[name] for name in wanted if name in file.files}, file.files
    except FileNotFoundError as error:
        raise SourceError(f"{path} does not exist", "check the path") from error
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise SourceError(f"{path} is not an .npz file of arrays ({error})") from error
