"""Folders and lists of pictures as a source."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.config import PICTURE_SUFFIXES
from pipeline.errors import SourceError
from pipeline.sources.camera import rgb_from_cv
from pipeline.sources.video import FALLBACK_FPS, Picture


def open_images(target: str, *, stills: bool, loop: bool, max_side_px: int) -> ImagesSource:
    """Open a folder of pictures, or one picture.

    Args:
        target: Path.
        stills: The pictures have nothing to do with each other: plain order by name, no media time.
        loop: Begin again at the end.
        max_side_px: Longest side of delivered pictures.

    Raises:
        SourceError: If there is no such folder or picture, or the folder holds none.
    """
    path = Path(target)
    paths = list_folder(path, counted=not stills) if path.is_dir() else [path]
    return ImagesSource(paths, stills=stills, loop=loop, max_side_px=max_side_px)


def list_folder(folder: Path, *, counted: bool) -> list[Path]:
    """Return the pictures of a folder sorted by name; `counted` puts frame2 before frame10.

    Raises:
        SourceError: If it holds none or cannot be read.
    """
    try:
        paths = sorted(
            p for p in folder.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES and not p.name.startswith(".")
        )
    except PermissionError:
        raise SourceError(f"{folder} may not be read", "check its permissions") from None
    if not paths:
        raise SourceError(f"{folder} holds no pictures", f"known kinds: {' '.join(sorted(PICTURE_SUFFIXES))}")
    if counted:
        paths.sort(key=lambda p: [int(t) if t.isdecimal() else t for t in re.split(r"(\d+)", p.name)])
    return paths


class ImagesSource:
    """Pictures in the given order; unreadable ones are skipped and named in `note`.

    A picture's index is its place in the list, whether or not those before it could be read.
    """

    live = False

    def __init__(
        self, paths: Sequence[Path], *, stills: bool, loop: bool, max_side_px: int, fps: float = FALLBACK_FPS
    ) -> None:
        """Check that the files exist.

        Args:
            paths: The files, at least one.
            stills: Unrelated pictures: they carry no media time.
            loop: Begin again at the end.
            max_side_px: Longest side of delivered pictures.
            fps: Rate of a sequence.

        Raises:
            SourceError: If a file is missing.
        """
        missing = next((p for p in paths if not p.is_file()), None)
        if missing is not None:
            raise SourceError(f"{missing} does not exist", "check the path")
        self.name = str(paths[0] if len(paths) == 1 else paths[0].parent)
        self.fps = fps
        self._paths, self._stills, self._loop, self._max_side_px = list(paths), stills, loop, max_side_px
        self._unreadable: list[Path] = []

    @property
    def note(self) -> str:
        """Which files could not be read so far."""
        if not self._unreadable:
            return ""
        first = ", ".join(p.name for p in self._unreadable[:3]) + (", ..." if len(self._unreadable) > 3 else "")
        return f"{len(self._unreadable)} of {len(self._paths)} pictures could not be read and were skipped: {first}"

    def facts(self) -> dict[str, Any]:
        """Return kind, number of files, and whether they are unrelated stills."""
        return {"kind": "images", "frames": len(self._paths), "stills": self._stills}

    def pictures(self, first: int = 0) -> Iterator[Picture]:
        """Yield the pictures from the `first` one on; see VideoSource."""
        for index in itertools.count() if self._loop else range(len(self._paths)):
            path = self._paths[index % len(self._paths)]
            if index < first or path in self._unreadable:
                continue
            raw = _read(path)
            if raw is None:
                self._unreadable.append(path)
                if len(self._unreadable) == len(self._paths):
                    raise SourceError(f"{self.name}: no picture in it can be read", "are they pictures?")
                continue
            image, source_wh = rgb_from_cv(raw, cv2.COLOR_BGR2RGB, self._max_side_px)
            yield Picture(image, source_wh, index, None if self._stills else index / self.fps, None)

    def close(self) -> None:
        """Nothing is held open."""


def _read(path: Path) -> npt.NDArray[Any] | None:
    """Return a picture as 8-bit BGR, turned upright by its EXIF tag; None if it cannot be read."""
    try:
        data = np.fromfile(path, np.uint8)  # imread knows no non-ASCII paths on Windows
        return cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    except (OSError, cv2.error):  # cv2: a header that promises more than memory holds
        return None
