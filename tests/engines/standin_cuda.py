"""A stand-in for the CUDA driver, so that the GPU path runs where there is no GPU.

Device memory is host memory with checked bounds. Streams are lazy: nothing happens until somebody waits, so that a
missing wait shows. Recording a graph stores the queued work. What this cannot show: that the real library behaves
as its manual says.
"""

from __future__ import annotations

import ctypes
import itertools
import threading
from collections.abc import Callable
from typing import Any

from engines.device.cuda import PROTOTYPES

INVALID, OUT_OF_MEMORY, CAPTURE_UNSUPPORTED = 1, 2, 900
ERRORS = {
    INVALID: b"CUDA_ERROR_INVALID_VALUE",
    OUT_OF_MEMORY: b"CUDA_ERROR_OUT_OF_MEMORY",
    CAPTURE_UNSUPPORTED: b"CUDA_ERROR_STREAM_CAPTURE",
}


class StandInCuda:
    """What `ctypes.CDLL("libcuda.so.1")` would give."""

    def __init__(self) -> None:
        self.memory: dict[int, Any] = {}
        self.queued: dict[int, list[Callable[[], None]]] = {}
        self.recording: dict[int, tuple[int, list[Callable[[], None]]]] = {}  # stream: thread, work
        self.graphs: dict[int, list[Callable[[], None]]] = {}
        self.launches = 0
        self.can_record = True
        self.room = 10**12  # bytes that are left
        self.most_streams = 0
        self._numbers = itertools.count(7)
        for name in PROTOTYPES:
            setattr(self, name, _Function(getattr(self, f"_{name}", lambda *a: 0)))

    @property
    def streams(self) -> set[int]:
        return set(self.queued)

    def put(self, work: Callable[[], None], stream: int) -> int:
        if stream not in self.queued:
            return INVALID
        (self.recording[stream][1] if stream in self.recording else self.queued[stream]).append(work)
        return 0

    def inside(self, address: int, nbytes: int) -> bool:
        return any(a <= address and address + nbytes <= a + len(m) for a, m in list(self.memory.items()))

    def recording_here(self) -> bool:
        return any(thread == threading.get_ident() for thread, _ in list(self.recording.values()))

    def _cuDriverGetVersion(self, out) -> int:
        out._obj.value = 13000
        return 0

    def _cuDeviceGetName(self, buffer, length, device) -> int:
        buffer.value = b"Stand-in GPU"
        return 0

    def _cuDeviceGetAttribute(self, out, attribute, device) -> int:
        out._obj.value = {75: 9, 76: 0}[attribute]
        return 0

    def _cuStreamCreate(self, out, flags) -> int:
        out._obj.value = next(self._numbers)
        self.queued[out._obj.value] = []
        self.most_streams = max(self.most_streams, len(self.queued))
        return 0

    def _cuStreamDestroy_v2(self, stream) -> int:
        return 0 if self.queued.pop(stream, None) is not None else INVALID

    def _cuMemAlloc_v2(self, out, nbytes) -> int:
        if self.recording_here():
            return CAPTURE_UNSUPPORTED
        if nbytes > self.room:
            return OUT_OF_MEMORY
        self.room -= nbytes
        memory = (ctypes.c_ubyte * nbytes)(*[0xAA] * min(nbytes, 64))  # not zero: the driver promises nothing
        self.memory[ctypes.addressof(memory)] = memory
        out._obj.value = ctypes.addressof(memory)
        return 0

    _cuMemAllocHost_v2 = _cuMemAlloc_v2

    def _cuMemFree_v2(self, address) -> int:
        memory = self.memory.pop(address, None)
        self.room += len(memory or ())
        return INVALID if memory is None else 0

    _cuMemFreeHost = _cuMemFree_v2

    def _cuMemsetD8Async(self, address, value, nbytes, stream) -> int:
        if not self.inside(address, nbytes):
            return INVALID
        return self.put(lambda: ctypes.memset(address, value, nbytes), stream)

    def _cuMemcpyDtoDAsync_v2(self, to, source, nbytes, stream) -> int:
        if not (self.inside(to, nbytes) and self.inside(source, nbytes)):
            return INVALID
        return self.put(lambda: ctypes.memmove(to, source, nbytes), stream)

    _cuMemcpyHtoDAsync_v2 = _cuMemcpyDtoHAsync_v2 = _cuMemcpyDtoDAsync_v2

    def _cuStreamSynchronize(self, stream) -> int:
        if stream in self.recording or stream not in self.queued:
            return CAPTURE_UNSUPPORTED
        work, self.queued[stream] = self.queued[stream], []
        for step in work:
            step()
        return 0

    def _cuStreamBeginCapture_v2(self, stream, mode) -> int:
        self.recording[stream] = (threading.get_ident(), [])
        return 0

    def _cuStreamEndCapture(self, stream, out) -> int:
        number = 1000 + len(self.graphs)
        self.graphs[number] = self.recording.pop(stream)[1]
        out._obj.value = number
        return 0 if self.can_record else CAPTURE_UNSUPPORTED

    def _cuGraphInstantiateWithFlags(self, out, graph, flags) -> int:
        out._obj.value = graph.value
        return 0

    def _cuGraphLaunch(self, graph, stream) -> int:
        self.launches += 1
        return self.put(lambda: [step() for step in self.graphs[graph]], stream)

    def _cuGetErrorName(self, status, out) -> int:
        out._obj.value = ERRORS[status]
        return 0


class _Function:
    """A callable with the attributes that ctypes functions have."""

    argtypes: Any = None
    restype: Any = None

    def __init__(self, body: Callable[..., int]) -> None:
        self.body = body

    def __call__(self, *arguments: Any) -> int:
        assert self.argtypes is not None
        assert len(arguments) == len(self.argtypes)
        return self.body(*arguments)
