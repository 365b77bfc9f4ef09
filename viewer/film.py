"""The pictures of a video file by frame number, decoded ahead in a thread of its own. No Qt."""

from __future__ import annotations

import threading
from collections import OrderedDict
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.errors import SourceError
from pipeline.sources.file import FileSource

Image = npt.NDArray[np.uint8]

MAX_SIDE_PX = 1280
AHEAD = 8
KEPT = 32
SKIP = 90
"""A jump ahead by no more frames is decoded through; for a longer one the file is opened again."""


class Film:
    """Decodes towards the frame that is wanted and a little beyond; going back starts the file again."""

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            SourceError: If it is missing or not a video.
        """
        self.path = path
        self.note = ""
        self._source = FileSource(str(path), max_side_px=MAX_SIDE_PX)
        self._pictures: OrderedDict[int, Image] = OrderedDict()
        self._wanted = 0
        self._end: int | None = None
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="film", daemon=True)
        self._thread.start()

    def picture(self, frame: int, wait_s: float = 0.0) -> Image | None:
        """Return the (H, W, 3) RGB picture of a frame, None if it is not there (yet); the thread then works on it."""
        with self._changed:
            self._wanted = frame
            self._changed.notify_all()
            self._changed.wait_for(lambda: frame in self._pictures or self._hopeless(frame), wait_s)
            return self._pictures.get(frame)

    def _hopeless(self, frame: int) -> bool:
        return bool(self.note) or self._closed or (self._end is not None and frame >= self._end)

    def close(self) -> None:
        """Stop the thread and close the file."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(timeout=5.0)

    def _run(self) -> None:
        try:
            while not self._closed:
                self._decode_from(self._next_missing())
        except SourceError as error:
            with self._changed:
                self.note = str(error)
                self._changed.notify_all()
        finally:
            self._source.close()

    def _next_missing(self) -> int:
        """Wait until a picture is missing at or just after the wanted frame, and return its number."""
        with self._changed:
            while not self._closed:
                for frame in range(self._wanted, self._wanted + AHEAD):
                    if frame not in self._pictures and (self._end is None or frame < self._end):
                        return frame
                self._changed.wait()
        return 0

    def _decode_from(self, first: int) -> None:
        """Decode on from a frame for as long as that is what is wanted."""
        self._source.close()
        self._source = FileSource(str(self.path), max_side_px=MAX_SIDE_PX)
        last = -1
        for picture in self._source.pictures(first):
            last = picture.index
            with self._changed:
                self._pictures[last] = picture.image
                self._pictures.move_to_end(last)
                while len(self._pictures) > KEPT:
                    self._pictures.popitem(last=False)
                self._changed.notify_all()
                self._changed.wait_for(partial(self._should_move, last))
                if self._closed or not (self._wanted in self._pictures or last < self._wanted <= last + SKIP):
                    return
        with self._changed:
            self._end = last + 1 if last >= 0 else first
            self._changed.notify_all()

    def _should_move(self, last: int) -> bool:
        """Return whether the decoder should go on from `last`: not far enough ahead, or wanted elsewhere."""
        return self._closed or last < self._wanted + AHEAD or self._wanted not in self._pictures
