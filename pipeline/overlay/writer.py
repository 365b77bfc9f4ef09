"""VideoWriter: RGB pictures with their time stamps into a video file that survives the death of its writer."""

from __future__ import annotations

import contextlib
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import av.stream
import numpy as np

from pipeline.errors import OutputError
from pipeline.sources.video import Image

TICKS_PER_S = 90_000
SUFFIXES = (".mp4", ".mov", ".mkv")
# fragments make what is written so far readable at any time; the "hybrid" turns them into an ordinary file at the end
FRAGMENTS = {"movflags": "+hybrid_fragmented", "frag_duration": "1000000"}
FLUSH = {"flush_packets": "1"}
ENCODERS: tuple[tuple[str, dict[str, str]], ...] = (
    # no B-frames: what is shown is what was written last, and fragments begin at zero
    ("libx264", {"preset": "veryfast", "crf": "21", "bf": "0", "rc-lookahead": "5"}),
    ("mpeg4", {"q:v": "4"}),
)


class VideoWriter:
    """Encodes pictures of one size; use as a context manager or call `close`."""

    def __init__(self, path: Path, fps: float) -> None:
        """Create the file.

        Args:
            path: .mp4, .mov or .mkv; an older file of that name is replaced.
            fps: Nominal rate: spacing of pictures without a time stamp, at most one picture per 1/(4 fps).

        Raises:
            OutputError: If it cannot be written or its kind is unknown.
        """
        if path.suffix.lower() not in SUFFIXES:
            raise OutputError(f"{path} is no kind of video", f"choose one of {', '.join(SUFFIXES)}", exit_code=2)
        self.path, self._fps = path, fps
        self._stream: av.VideoStream | None = None
        self._first_s: float | None = None
        self._last_tick = -1
        options = FLUSH if path.suffix.lower() == ".mkv" else FLUSH | FRAGMENTS
        try:
            path.open("wb").close()  # PyAV opens it with the first picture: too late to complain
            self._container: av.container.OutputContainer | None = av.open(str(path), "w", options=options)
        except (av.error.FFmpegError, OSError) as error:
            raise OutputError(
                f"cannot write {path}: {error.strerror}", "check the folder and its permissions"
            ) from None

    def write(self, image: Image, pts_s: float | None = None) -> None:
        """Append a picture.

        Args:
            image: (H, W, 3) uint8 RGB, the same size each time; an odd last row or column is cut off.
            pts_s: Its time in seconds, rising; None for 1/fps after the last one.

        Raises:
            OutputError: If it cannot be written, e.g. because the disk is full.
        """
        height, width = image.shape[0] // 2 * 2, image.shape[1] // 2 * 2
        self._guard(lambda: self._encode(np.ascontiguousarray(image[:height, :width]), pts_s))

    def _encode(self, image: Image, pts_s: float | None) -> None:
        if self._stream is None:
            self._stream = self._add_stream(image.shape[1], image.shape[0])
        frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p", threads=1)
        step = TICKS_PER_S / self._fps
        tick = self._last_tick + round(step) if self._last_tick >= 0 else 0
        if pts_s is not None and math.isfinite(pts_s):
            self._first_s = pts_s if self._first_s is None else self._first_s
            earliest = self._last_tick + math.ceil(step / 4) if self._last_tick >= 0 else 0
            tick = max(round((pts_s - self._first_s) * TICKS_PER_S), earliest)
        frame.pts = self._last_tick = tick
        frame.time_base = Fraction(1, TICKS_PER_S)
        for packet in self._stream.encode(frame):
            self._container.mux(packet)

    def _add_stream(self, width: int, height: int) -> av.VideoStream:
        for codec, options in ENCODERS:
            if codec in av.codecs_available:
                stream = self._container.add_stream(codec, rate=Fraction(self._fps).limit_denominator(1001))
                stream.options = options
                stream.width, stream.height, stream.pix_fmt = max(width, 2), max(height, 2), "yuv420p"
                stream.codec_context.time_base = Fraction(1, TICKS_PER_S)
                return stream
        raise OutputError("this build of PyAV has no video encoder", "pip install --force-reinstall av")

    def _guard(self, action: Any) -> None:
        if self._container is None:
            raise OutputError(f"{self.path} is closed already")
        try:
            action()
        except (av.error.FFmpegError, OSError) as error:
            container, self._container = self._container, None
            with contextlib.suppress(av.error.FFmpegError, OSError):  # it would complain once more when it is freed
                container.close()
            raise OutputError(
                f"cannot write {self.path}: {error.strerror}", "free some space or choose another place"
            ) from None

    def close(self) -> None:
        """Finish the file; may be called twice.

        Raises:
            OutputError: If its end cannot be written.
        """
        if self._container is not None:
            self._guard(self._finish)
            self._container = None

    def _finish(self) -> None:
        if self._stream is not None:
            for packet in self._stream.encode():
                self._container.mux(packet)
        self._container.close()

    def __enter__(self) -> VideoWriter:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Finish the file."""
        self.close()
