"""Video files decoded by the graphics card (NVDEC), through PyNvVideoCodec where it is installed.

Only decoding moves: FFmpeg still reads the file, its time stamps and its faults, and the frames come back to the host,
since the stages are processes of their own. Worth it where the processor is short, not for latency.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import av
import numpy as np

from pipeline.errors import SourceError
from pipeline.sources.file import FileSource

INSTALL = "pip install PyNvVideoCodec, or leave out --nvdec"


def find_nvdec() -> Any:
    """Return the module PyNvVideoCodec.

    Raises:
        SourceError: If it is not installed or does not load.
    """
    try:
        return importlib.import_module("PyNvVideoCodec")
    except ModuleNotFoundError:
        raise SourceError("--nvdec needs PyNvVideoCodec, which is not installed", INSTALL) from None
    except (ImportError, OSError) as error:
        raise SourceError(f"PyNvVideoCodec is installed but does not load: {error}", INSTALL) from error


class NvdecSource(FileSource):
    """A video file of 8-bit 4:2:0, decoded on the first GPU."""

    def _open(self) -> None:
        nvdec = find_nvdec()
        super()._open()
        self._stamps = self._read_stamps()
        try:
            self._decoder = nvdec.SimpleDecoder(
                self._path, gpu_id=0, use_device_memory=False, output_color_type=nvdec.OutputColorType.NATIVE
            )
        except RuntimeError as error:  # its own errors derive from it
            reason = " ".join(str(error).split())[:200]
            raise SourceError(f"the graphics card cannot decode {self.name}: {reason}", "leave out --nvdec") from error
        self._facts = {**self._facts, "decoder": "NVDEC"}

    def _read_stamps(self) -> list[int]:
        """Return the time stamps in the order of showing; frames that the file turns are refused."""
        frame = next(self._container.decode(self._stream), None)
        if frame is not None and frame.rotation:
            raise SourceError(f"{self.name} is stored turned, which NVDEC does not undo", "leave out --nvdec")
        self._container.seek(0, stream=self._stream)
        return sorted(p.pts for p in self._container.demux(self._stream) if p.pts is not None)

    def _frames(self) -> Iterator[av.VideoFrame]:
        context = self._stream.codec_context
        for stamp, decoded in zip(self._stamps, self._decoder, strict=False):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(np.from_dlpack(decoded)), format="nv12")
            frame.pts, frame.time_base = stamp, self._stream.time_base
            frame.color_range, frame.colorspace = context.color_range, context.colorspace
            yield frame
