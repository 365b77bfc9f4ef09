"""Network streams through PyAV: low latency, newest frame only, reconnecting (see live.py)."""

from __future__ import annotations

import errno
import gc
import time
from collections.abc import Iterator
from typing import Any

import av
import av.error

from pipeline.errors import SourceError
from pipeline.sources.convert import Converter, shown_wh
from pipeline.sources.live import LiveSource, SignalEnded, SignalLost
from pipeline.sources.redact import redact
from pipeline.sources.video import FALLBACK_FPS, Image, open_container

CONNECT_S = 5.0
SILENCE_S = 2.0
"""A stream that sends nothing for so long is taken as cut."""

PATIENCE_S = 10.0

SCHEMES = ("rtsp", "rtsps", "http", "https", "udp", "tcp", "rtp", "rtmp", "rtmps", "srt")

# Streams tell their contents within a fraction of a second; the default analysis would wait 5 s at each connection.
# Not "nobuffer": it throws away what came meanwhile, and with it the key frame that decoding could begin with.
LOW_LATENCY = {
    "fflags": "discardcorrupt",
    "flags": "low_delay",
    "analyzeduration": "500000",
    "probesize": "500000",
}
BY_SCHEME = {
    "rtsp": {"rtsp_transport": "tcp", "max_delay": "100000"},
    "rtsps": {"rtsp_transport": "tcp", "max_delay": "100000"},
    "udp": {"overrun_nonfatal": "1", "fifo_size": "50000"},
}
PERMANENT = (
    av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError, av.error.HTTPNotFoundError,
    av.error.HTTPBadRequestError, av.error.ProtocolNotFoundError, av.error.ArgumentError,
)  # fmt: skip
KNOWN = f"known kinds of stream: {', '.join(SCHEMES)}"
MEANINGS: dict[type[av.error.FFmpegError], tuple[str, str]] = {
    # what PyAV raises: (what happened, what to do about it)
    av.error.HTTPUnauthorizedError: (
        "wrong or missing user name and password",
        "give them as scheme://user:password@host",
    ),
    av.error.HTTPForbiddenError: ("the server forbids it", "check user name and password"),
    av.error.HTTPNotFoundError: ("the server has no such path", "check the part of the URL behind the host"),
    av.error.ConnectionRefusedError: ("nothing answers at that address and port", "is the sender running?"),
    av.error.TimeoutError: ("no answer in time", "check the address and the network"),
    av.error.ExitError: ("no answer in time", "check the address and the network"),
    av.error.InvalidDataError: ("no video comes from there", "check the URL and what is sent there"),
    av.error.ProtocolNotFoundError: ("unknown kind of stream", KNOWN),
}


def open_stream(url: str, *, max_side_px: int, patience_s: float = PATIENCE_S) -> LiveSource:
    """Begin to read a stream; errors of the first connection come from `pictures()`.

    Args:
        url: Where it is; credentials in it are never shown.
        max_side_px: Longest side of delivered pictures.
        patience_s: How long the first connection is tried.

    Raises:
        SourceError: If the scheme is not one of SCHEMES.
    """
    if url.partition("://")[0].lower() not in SCHEMES:
        raise SourceError(f"{redact(url)} is an unknown kind of stream", KNOWN)
    return LiveSource(
        redact(url), lambda: StreamSignal(url, max_side_px), patience_s=patience_s, stall_s=SILENCE_S + CONNECT_S
    )


def explain(error: av.error.FFmpegError) -> tuple[str, str]:
    """Return what a PyAV error means and what to do about it; unlike its own text this does not hold the URL."""
    for kind, meaning in MEANINGS.items():
        if isinstance(error, kind):
            return meaning
    if error.errno == errno.EIO:
        return "cannot be reached", "check the host name and the network"
    return str(error.strerror), ""


class StreamSignal:
    """One connection to a stream."""

    note = ""

    def __init__(self, url: str, max_side_px: int) -> None:
        """Connect.

        Raises:
            SignalLost: If it cannot be reached now.
            SourceError: If it never will: wrong path, credentials or scheme, or no video in it.
        """
        scheme = url.partition("://")[0].lower()
        options = {**LOW_LATENCY, **BY_SCHEME.get(scheme, {})}
        try:
            self._container, self._stream = open_container(url, options=options, timeout=(CONNECT_S, SILENCE_S))
        except PERMANENT as error:
            reason, hint = explain(error)
            raise SourceError(reason, hint) from None
        except av.error.FFmpegError as error:
            raise SignalLost(*explain(error)) from None
        self._converter = Converter(max_side_px)
        self._stream.thread_type = "SLICE"  # frame threads hold back as many frames as there are threads
        self._frames = self._decode()
        rate = self._stream.average_rate or self._stream.guessed_rate
        self.fps = float(rate) if rate and 1 <= rate <= 240 else FALLBACK_FPS
        self._facts = {
            "kind": "stream", "codec": self._stream.codec_context.name, "format": self._container.format.name,
        }  # fmt: skip
        # a recording or a playlist comes in bursts, faster than real time; a live stream never does
        self._recorded = bool(self._container.duration)
        self._paced = self._recorded or self._container.format.name in ("hls", "dash")
        self._epoch_s: float | None = None

    def read(self) -> tuple[tuple[av.VideoFrame, tuple[int, int]], int]:
        """Block for the next frame; its time is that of the packet that completed it. See Signal.

        Returns:
            The frame with its size in square pixels, and its time: nothing else may touch the
            container, which this thread may close while another converts the frame.
        """
        try:
            frame, t_ns = next(self._frames)
        except (StopIteration, av.error.EOFError):
            if self._recorded:
                raise SignalEnded from None
            raise SignalLost("the sender closed the stream") from None
        except av.error.FFmpegError as error:
            raise SignalLost(*explain(error)) from None
        return (frame, shown_wh(frame, self._stream)), self._wait_until_due(frame) if self._paced else t_ns

    def _decode(self) -> Iterator[tuple[av.VideoFrame, int]]:
        for packet in self._container.demux(self._stream):
            t_ns = time.monotonic_ns()
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:  # lost packets: the next whole picture will do
                continue
            for frame in frames:
                if not frame.is_corrupt:
                    yield frame, t_ns

    def _wait_until_due(self, frame: av.VideoFrame) -> int:
        if frame.time is not None:
            now_s = time.monotonic()
            self._epoch_s = now_s - frame.time if self._epoch_s is None else self._epoch_s
            wait_s = self._epoch_s + frame.time - now_s
            if not -1 < wait_s < 10:  # far too late, or a jump in the time stamps: begin anew
                self._epoch_s = now_s - frame.time
            elif wait_s > 0:
                time.sleep(wait_s)
        return time.monotonic_ns()

    def to_rgb(self, raw: tuple[av.VideoFrame, tuple[int, int]]) -> tuple[Image, tuple[int, int]]:
        """Convert what `read` gave; see Signal."""
        return self._converter.to_rgb(*raw)

    def facts(self) -> dict[str, Any]:
        """Return kind, codec and format."""
        return self._facts

    def close(self) -> None:
        """Close the connection."""
        self._frames.close()
        self._container.close()
        self._container = self._stream = self._frames = None
        gc.collect()  # PyAV's objects refer to each other: the decoder and its 30 MB of frames would stay
