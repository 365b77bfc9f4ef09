"""Small clips made on the fly, and a sender that serves one over a local socket in real time."""

import multiprocessing
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np

from pipeline.sources.file import FileSource
from pipeline.sources.video import Picture

TICKS = 90_000


def picture(n: int, wh: tuple[int, int] = (64, 48)) -> np.ndarray:
    """A picture that tells its number: grey level 20 n, the upper left quarter red."""
    image = np.full((wh[1], wh[0], 3), 20 * (n % 12), np.uint8)
    image[: max(1, wh[1] // 2), : max(1, wh[0] // 2)] = (230, 30, 30)
    return image


def number(image: np.ndarray) -> int:
    """Read the number of a `picture` back."""
    return round(float(image[-1, -1].mean()) / 20)


def make_clip(
    path: Path,
    frames: int = 10,
    wh: tuple[int, int] = (64, 48),
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    fps: int = 30,
    times_s: list[float] | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """Write a clip of `picture`s; `times_s` gives each its own time."""
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=fps)
        stream.width, stream.height, stream.pix_fmt = wh[0], wh[1], pix_fmt
        stream.codec_context.time_base = Fraction(1, TICKS)
        if codec == "libx264":
            stream.options = {"bf": "0", "g": "10", "crf": "10"}
        for n in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(n, wh), format="rgb24").reformat(format=pix_fmt)
            frame.pts, frame.time_base = round((times_s[n] if times_s else n / fps) * TICKS), Fraction(1, TICKS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def turn(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    """Give an mp4 a display matrix (a, b, c, d), as phones do: x' = a x + c y, y' = b x + d y."""
    a, b, c, d = (n << 16 for n in matrix)
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 44
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def send_for_ever(kind: str, port: int, fps: int, wh: tuple[int, int]) -> None:
    """Encode pictures in real time into an mpegts stream for whoever comes; runs until it is killed."""
    if kind == "udp":
        _encode(f"udp://127.0.0.1:{port}?pkt_size=1316", fps, wh)
    listener = socket.create_server(("127.0.0.1", port))
    while True:
        connection, _ = listener.accept()
        with connection, suppress(OSError, av.error.FFmpegError):  # the reader left
            if kind == "http":
                connection.recv(4096)
                connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: video/mp2t\r\n\r\n")
            _encode(connection.makefile("wb", buffering=0), fps, wh)


def _encode(to: Any, fps: int, wh: tuple[int, int]) -> None:
    n = 0
    with av.open(to, "w", format="mpegts", options={"flush_packets": "1"}) as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = wh[0], wh[1], "yuv420p"
        stream.options = {"preset": "ultrafast", "tune": "zerolatency", "g": str(fps // 2)}
        start = time.monotonic()
        while True:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(n, wh), format="rgb24")))
            n += 1
            time.sleep(max(0.0, start + n / fps - time.monotonic()))


class Sender:
    """A process that serves a stream."""

    def __init__(self, kind: str, fps: int = 30, wh: tuple[int, int] = (64, 48)) -> None:
        port = free_port(socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
        self.url = f"{kind}://127.0.0.1:{port}" + ("/live.ts" if kind == "http" else "")
        self._args = (kind, port, fps, wh)
        self._process: multiprocessing.process.BaseProcess | None = None

    def start(self) -> None:
        self._process = multiprocessing.get_context("spawn").Process(target=send_for_ever, args=self._args, daemon=True)
        self._process.start()

    def cut(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()


@contextmanager
def serving(kind: str, fps: int = 30, wh: tuple[int, int] = (64, 48)) -> Iterator[Sender]:
    sender = Sender(kind, fps, wh)
    sender.start()
    try:
        yield sender
    finally:
        sender.cut()


def read(path: Path, **how: object) -> tuple[FileSource, list[Picture]]:
    """Read a whole file."""
    source = FileSource(str(path), **how)
    pictures = list(source.pictures())
    source.close()
    return source, pictures
