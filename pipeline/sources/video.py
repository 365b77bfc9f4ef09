"""Where pictures come from: the VideoSource protocol and `open_source`.

    a video file                    file.FileSource      (PyAV; every frame, upright, real time stamps)
    rtsp:// http:// udp:// tcp://   stream.open_stream   (PyAV; newest frame only, reconnects)
    a camera                        camera.open_camera   (OpenCV; newest frame only, reconnects)
    a folder of pictures            images.open_images   (OpenCV)

`av` and OpenCV's capture code live in these files, writer.py and bench_clips.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import av
import av.container
import numpy as np
import numpy.typing as npt

from pipeline.config import PICTURE_SUFFIXES, SourceConfig
from pipeline.errors import SourceError
from pipeline.sources.redact import redact

Image = npt.NDArray[np.uint8]

MAX_SIDE_PX = 1920
"""Larger pictures are shrunk while they are decoded: no crop needs more, and an 8K frame is 100 MB."""

FALLBACK_FPS = 30.0


@dataclass(frozen=True, slots=True)
class Picture:
    """One decoded picture.

    Attributes:
        image: (H, W, 3) uint8 RGB, C-contiguous, upright.
        source_wh: Width and height of the upright picture before any downscale at decode time.
        index: Its number in the source, from 0; a gap means that pictures were skipped.
        pts_s: Media time in seconds, strictly rising; None for live sources and stills.
        t_capture_ns: `time.monotonic_ns()` when a live source had it in hand; None for files and images,
            which have no moment of capture of their own.
    """

    image: Image
    source_wh: tuple[int, int]
    index: int
    pts_s: float | None
    t_capture_ns: int | None


class VideoSource(Protocol):
    """What the decode stage reads."""

    name: str
    """What to call the source in texts: no credentials in it."""
    live: bool
    """True if pictures come at their own pace and the newest one wins."""

    @property
    def fps(self) -> float:
        """Nominal pictures per second."""

    @property
    def note(self) -> str:
        """One line on its state, empty if all is well, e.g. "no signal, reconnecting (attempt 3)"."""

    def facts(self) -> dict[str, Any]:
        """Return what is known of it: codec, size, rate, length; plain values."""

    def pictures(self, first: int = 0) -> Iterator[Picture | None]:
        """Yield pictures until the source ends; None about every 0.1 s while a live source has nothing new.

        Args:
            first: Index of the first picture to give: a recording skips those before, a live source counts from it.

        Raises:
            SourceError: If it cannot deliver anything.
        """

    def close(self) -> None:
        """Let go of files, sockets and devices; may be called twice."""


def open_source(config: SourceConfig, *, every: bool = False, max_side_px: int = MAX_SIDE_PX) -> VideoSource:
    """Open what the configuration names.

    Args:
        config: See there.
        every: Read a recording behind an http URL like a local file: every frame of it, at any speed.
        max_side_px: Longest side of delivered pictures.

    Raises:
        SourceError: If there is no such source or it holds no pictures. What needs a connection
            (streams, cameras) fails later, in `pictures()`.
    """
    from pipeline.sources.camera import open_camera
    from pipeline.sources.file import FileSource
    from pipeline.sources.images import open_images
    from pipeline.sources.stream import open_stream

    match config.kind:
        case "camera":
            return open_camera(config.target, wh=config.camera_wh, fps=config.camera_fps, max_side_px=max_side_px)
        case "file" | "images" if config.kind == "images" or Path(config.target).suffix.lower() in PICTURE_SUFFIXES:
            return open_images(config.target, stills=config.stills, loop=config.loop, max_side_px=max_side_px)
        case "stream" if not (every and config.target.startswith(("http://", "https://"))):
            return open_stream(config.target, max_side_px=max_side_px)
        case "file" if config.nvdec:
            from pipeline.sources.nvdec import NvdecSource

            return NvdecSource(config.target, loop=config.loop, max_side_px=max_side_px)
        case "file" | "stream":
            return FileSource(config.target, loop=config.loop, max_side_px=max_side_px)
    raise SourceError(f"unknown kind of source {config.kind!r}", "known: file, stream, camera, images")


def open_container(url: str, **how: Any) -> tuple[av.container.InputContainer, av.VideoStream]:
    """Open a file or URL and choose its video stream (cover pictures of music do not count).

    Raises:
        SourceError: If it has no video.
        av.error.FFmpegError: If it cannot be opened; its text may hold credentials.
    """
    container = av.open(url, metadata_errors="replace", **how)
    for stream in container.streams.video:
        if not stream.disposition & av.stream.Disposition.attached_pic:
            return container, stream
    container.close()
    raise SourceError(f"{redact(url)} has no video in it")
