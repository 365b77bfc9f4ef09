"""Video files through PyAV: every frame, upright, with its real time stamp."""

from __future__ import annotations

import gc
import math
from collections.abc import Iterator
from typing import Any

import av
import av.error

from pipeline.errors import SourceError
from pipeline.sources.convert import Converter, shown_wh
from pipeline.sources.redact import redact
from pipeline.sources.video import FALLBACK_FPS, MAX_SIDE_PX, Picture, open_container

BIG_PX = 1920 * 1088
MANY_ERRORS = 1000


class FileSource:
    """A video file, every frame of it, in order.

    Damaged parts are skipped, a file that ends early is delivered as far as it goes; `note` tells.
    """

    live = False

    def __init__(self, path: str, *, loop: bool = False, max_side_px: int = MAX_SIDE_PX) -> None:
        """Open the file.

        Raises:
            SourceError: If it is missing, unreadable or not a video.
        """
        self.name = redact(path)
        self._path, self._loop, self._converter = path, loop, Converter(max_side_px)
        self._note = ""
        self._damaged = 0
        self._open()

    def _open(self) -> None:
        try:
            self._container, self._stream = open_container(self._path)  # both None once closed
        except av.error.FileNotFoundError:
            raise SourceError(f"{self.name} does not exist", "check the path") from None
        except av.error.PermissionError:
            raise SourceError(f"{self.name} may not be read", "check its permissions") from None
        except (av.error.InvalidDataError, av.error.EOFError):
            raise SourceError(
                f"{self.name} is not a video, or is cut off before its index", "try to play it with another program"
            ) from None
        except av.error.FFmpegError as error:
            raise SourceError(f"{self.name} cannot be opened: {error.strerror}", "is it a video file?") from None
        big = self._stream.codec_context.width * self._stream.codec_context.height > BIG_PX
        # frame threads cost CPU (1.4 against 1.1 ms per 720p frame): only where one core may be too slow
        self._stream.thread_type = "AUTO" if big else "SLICE"
        self._describe()

    def _describe(self) -> None:
        """Read what the header says now: nothing may touch the container once it is closed."""
        stream, context = self._stream, self._stream.codec_context
        rate = stream.average_rate or stream.guessed_rate
        self.fps = float(rate) if rate and 0.1 <= rate <= 1000 else FALLBACK_FPS
        if stream.duration and stream.time_base:
            self._duration_s = float(stream.duration * stream.time_base)
        else:
            self._duration_s = (self._container.duration or 0) / av.time_base
        self._facts = {
            "kind": "file", "codec": context.name, "stored_wh": [context.width, context.height],
            "frames": stream.frames, "duration_s": round(self._duration_s, 3),
        }  # fmt: skip

    @property
    def note(self) -> str:
        """What was wrong with the file so far."""
        return self._note

    def facts(self) -> dict[str, Any]:
        """Return kind, codec, stored size, and frames and seconds where the file says so (else 0)."""
        return self._facts

    def pictures(self, first: int = 0) -> Iterator[Picture]:
        """Yield every frame from the `first` one on; see VideoSource."""
        index, last_s = 0, -math.inf
        while True:
            offset_s, start_s, before = 0.0, 0.0, index
            for frame in self._frames():
                pts_s = frame.time
                if pts_s is None:
                    pts_s = 0.0 if math.isinf(last_s) else last_s - offset_s + 1 / self.fps
                if pts_s + offset_s <= last_s:  # a loop, a file glued from several, or broken stamps
                    offset_s = last_s + 1 / self.fps - pts_s
                last_s = pts_s + offset_s
                start_s = last_s if index == before else start_s
                if index >= first:
                    image, wh = self._converter.to_rgb(frame, shown_wh(frame, self._stream))
                    yield Picture(image, wh, index, last_s, None)
                index += 1
            if index == before:
                raise SourceError(f"{self.name} holds no readable video frames", "try to play it with another program")
            self._judge(index - before, last_s - start_s)
            if not self._loop:
                return
            self.close()
            self._open()

    def _frames(self) -> Iterator[av.VideoFrame]:
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
                frames = packet.decode() if packet is not None else None
            except av.error.EOFError:
                return
            except av.error.InvalidDataError:
                self._damaged += 1
                if self._damaged > MANY_ERRORS:  # a demuxer that fails for ever
                    return
                continue
            except av.error.FFmpegError as error:
                self._note = f"{self.name} ended early: {error.strerror}"
                return
            if frames is None:
                return
            yield from frames

    def _judge(self, frames: int, reached_s: float) -> None:
        missing_s = self._duration_s - reached_s - 1 / self.fps
        if missing_s > max(0.3, 3 / self.fps):
            self._note = f"{self.name} is cut off: {frames} frames decoded, the last {missing_s:.1f} s are missing"
        elif self._damaged and not self._note:
            self._note = f"{self.name} is damaged: {self._damaged} parts could not be decoded, {frames} frames could"

    def close(self) -> None:
        """Close the file."""
        if self._container is not None:
            self._container.close()
            self._container = self._stream = None
            gc.collect()  # PyAV's objects refer to each other: the decoder and its 30 MB of frames would stay
