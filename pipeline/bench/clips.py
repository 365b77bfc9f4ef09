"""Clips for `posestream bench`: one made long enough, and one served as a live stream on this machine."""

from __future__ import annotations

import contextlib
import multiprocessing
import socket
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error

from pipeline.sources.file import FileSource

LIVE_FPS = 30
LIVE_HEIGHT_PX = 720
TICKS_PER_S = 90_000


def repeat(clip: str, path: Path, frames: int) -> None:
    """Write a clip several times in a row, without encoding it again.

    Args:
        clip: Any video.
        path: .mkv file to write.
        frames: Stop after so many.

    Raises:
        SourceError: If the clip is not a readable video.
    """
    FileSource(clip).close()  # one clear line if it is no video
    written, offset, stream = 0, 0, None
    with av.open(str(path), "w") as out:
        while written < frames:
            with av.open(clip) as again:
                video = again.streams.video[0]
                stream = stream or out.add_stream_from_template(video)
                last = 0
                for packet in again.demux(video):
                    if packet.pts is None or packet.dts is None or written >= frames:
                        continue
                    last = max(last, packet.pts + (packet.duration or 0))
                    packet.pts, packet.dts, packet.stream = packet.pts + offset, packet.dts + offset, stream
                    out.mux(packet)
                    written += 1
                offset += max(last, 1)


def encode_for_streaming(clip: str, path: Path, frames: int = 300) -> int:
    """Write a clip as cameras send it: 30 frames/s, 720 lines, key frames every second, no reordering.

    Args:
        clip: Any video.
        path: mpegts file to write.
        frames: At most so many.

    Returns:
        Number of frames written.

    Raises:
        SourceError: If the clip is not a readable video.
    """
    source = FileSource(clip)
    count = 0
    with av.open(str(path), "w", format="mpegts") as container:
        stream = container.add_stream("libx264", rate=LIVE_FPS)
        stream.options = {"preset": "veryfast", "tune": "zerolatency", "g": str(LIVE_FPS)}
        for picture in source.pictures():
            if count == 0:
                height, width, _ = picture.image.shape
                stream.width, stream.height = round(width * LIVE_HEIGHT_PX / height / 2) * 2, LIVE_HEIGHT_PX
            frame = av.VideoFrame.from_ndarray(picture.image, format="rgb24")
            frame = frame.reformat(stream.width, stream.height, "yuv420p", threads=1)
            frame.pts, frame.time_base = count, Fraction(1, LIVE_FPS)
            container.mux(stream.encode(frame))
            count += 1
            if count == frames:
                break
        container.mux(stream.encode())
    source.close()
    return count


def serve(path: str, listener: socket.socket) -> None:
    """Send a file of `encode_for_streaming` in real time, over and over, to one reader after another; never returns."""
    while True:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection, contextlib.suppress(OSError, av.error.FFmpegError):  # the reader left
            _send(path, connection.makefile("wb", buffering=0))


def _send(path: str, to: Any) -> None:
    start_s = time.monotonic()
    sent = 0
    with av.open(to, "w", format="mpegts", options={"flush_packets": "1"}) as out:
        stream = None
        while True:
            with av.open(path) as clip:
                video = clip.streams.video[0]
                stream = stream or out.add_stream_from_template(video)
                for packet in clip.demux(video):
                    if not packet.size:
                        continue
                    packet.stream = stream
                    packet.time_base = Fraction(1, TICKS_PER_S)
                    packet.pts = packet.dts = sent * TICKS_PER_S // LIVE_FPS
                    time.sleep(max(0.0, start_s + sent / LIVE_FPS - time.monotonic()))
                    out.mux(packet)
                    sent += 1


@contextlib.contextmanager
def serving(path: Path) -> Iterator[str]:
    """Serve a file of `encode_for_streaming` from another process; gives the URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        process = multiprocessing.get_context("spawn").Process(target=serve, args=(str(path), listener), daemon=True)
        process.start()
    try:
        yield url
    finally:
        process.kill()
        process.join()
