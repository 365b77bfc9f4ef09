"""The few calls of the CUDA driver that running an engine needs, through ctypes: no torch, no CUDA toolkit.

libcuda comes with the graphics driver, so there is nothing to install. Every status is checked. The primary
context is used, the same one in which TensorRT works.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import POINTER, c_char_p, c_int, c_size_t, c_ubyte, c_uint, c_uint64, c_ulonglong, c_void_p
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engines.errors import EngineError

_LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*
_NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING
_THREAD_LOCAL = 1  # CU_STREAM_CAPTURE_MODE_THREAD_LOCAL

PROTOTYPES: dict[str, tuple[Any, ...]] = {
    "cuInit": (c_uint,),
    "cuDriverGetVersion": (POINTER(c_int),),
    "cuDeviceGet": (POINTER(c_int), c_int),
    "cuDeviceGetName": (c_char_p, c_int, c_int),
    "cuDeviceGetAttribute": (POINTER(c_int), c_int, c_int),
    "cuDevicePrimaryCtxRetain": (POINTER(c_void_p), c_int),
    "cuCtxSetCurrent": (c_void_p,),
    "cuMemAlloc_v2": (POINTER(c_uint64), c_size_t),
    "cuMemFree_v2": (c_uint64,),
    "cuMemAllocHost_v2": (POINTER(c_void_p), c_size_t),
    "cuMemFreeHost": (c_void_p,),
    "cuMemsetD8Async": (c_uint64, c_ubyte, c_size_t, c_void_p),
    "cuMemcpyHtoDAsync_v2": (c_uint64, c_void_p, c_size_t, c_void_p),
    "cuMemcpyDtoHAsync_v2": (c_void_p, c_uint64, c_size_t, c_void_p),
    "cuMemcpyDtoDAsync_v2": (c_uint64, c_uint64, c_size_t, c_void_p),
    "cuStreamCreate": (POINTER(c_void_p), c_uint),
    "cuStreamDestroy_v2": (c_void_p,),
    "cuStreamSynchronize": (c_void_p,),
    "cuStreamBeginCapture_v2": (c_void_p, c_int),
    "cuStreamEndCapture": (c_void_p, POINTER(c_void_p)),
    "cuGraphInstantiateWithFlags": (POINTER(c_void_p), c_void_p, c_ulonglong),
    "cuGraphDestroy": (c_void_p,),
    "cuGraphLaunch": (c_void_p, c_void_p),
    "cuGraphExecDestroy": (c_void_p,),
    "cuGetErrorName": (c_int, POINTER(c_char_p)),
}
"""Name and argument types of every call, as in cuda.h; all return a CUresult (int)."""


class CudaError(EngineError):
    """A call of the CUDA driver failed; the message names the call and CUDA's own name for the error."""


@dataclass(frozen=True)
class Gpu:
    """A graphics card.

    Attributes:
        name: E.g. "NVIDIA H200".
        capability: Compute capability, e.g. (9, 0).
        driver: CUDA version that the driver speaks, e.g. "13.0".
    """

    name: str
    capability: tuple[int, int]
    driver: str


class Driver:
    """The first visible GPU, its primary context and one stream. Addresses are plain ints."""

    def __init__(self, library: Any = None) -> None:
        """Open the driver.

        Args:
            library: Stand-in for the driver's library, for tests.

        Raises:
            CudaError: If there is no driver or no GPU; the message says which.
        """
        self._lib = library or _load()
        for name, arguments in PROTOTYPES.items():
            function = getattr(self._lib, name)
            function.argtypes, function.restype = arguments, c_int
        if self._lib.cuInit(0) != 0:
            raise CudaError(
                "the NVIDIA driver is installed but finds no GPU it can use (cuInit failed); see nvidia-smi"
            )
        self._device = self._out(c_int, "cuDeviceGet", 0)
        self.gpu = self._describe()
        self._context = self._out(c_void_p, "cuDevicePrimaryCtxRetain", self._device)
        self.use()
        self.stream: int = self._out(c_void_p, "cuStreamCreate", _NON_BLOCKING)

    def _describe(self) -> Gpu:
        name = ctypes.create_string_buffer(256)
        self.call("cuDeviceGetName", name, len(name), self._device)
        major, minor = (self._out(c_int, "cuDeviceGetAttribute", a, self._device) for a in (_MAJOR, _MINOR))
        version = self._out(c_int, "cuDriverGetVersion")
        return Gpu(name.value.decode(), (major, minor), f"{version // 1000}.{version % 1000 // 10}")

    def call(self, name: str, *arguments: Any) -> None:
        """Call a driver function.

        Raises:
            CudaError: If it does not return CUDA_SUCCESS.
        """
        status = getattr(self._lib, name)(*arguments)
        if status != 0:
            text = c_char_p()
            self._lib.cuGetErrorName(status, ctypes.byref(text))
            raise CudaError(f"{name} failed: {text.value.decode() if text.value else 'error'} ({status})")

    def _out(self, kind: Any, name: str, *arguments: Any) -> Any:
        """Call a function whose first argument receives the result; return that."""
        result = kind()
        self.call(name, ctypes.byref(result), *arguments)
        return result.value

    def use(self) -> None:
        """Make the context current in this thread."""
        self.call("cuCtxSetCurrent", self._context)

    def allocate(self, nbytes: int) -> int:
        """Return the address of that much device memory, zeroed once the stream gets there."""
        address: int = self._out(c_uint64, "cuMemAlloc_v2", max(nbytes, 1))
        self.call("cuMemsetD8Async", address, 0, max(nbytes, 1), self.stream)
        return address

    def free(self, address: int) -> None:
        """Free device memory."""
        self.call("cuMemFree_v2", address)

    def pinned(self, shape: tuple[int, ...], dtype: str) -> PinnedArray:
        """Return a zeroed page-locked host array: the only kind that is copied without waiting."""
        nbytes = max(int(np.prod(shape)) * np.dtype(dtype).itemsize, 1)
        address: int = self._out(c_void_p, "cuMemAllocHost_v2", nbytes)
        memory = (c_ubyte * nbytes).from_address(address)
        array = np.frombuffer(memory, dtype, count=int(np.prod(shape))).reshape(shape)
        array[...] = 0
        return PinnedArray(array, address)

    def free_pinned(self, pinned: PinnedArray) -> None:
        """Free a page-locked array; its `array` must not be touched again."""
        self.call("cuMemFreeHost", pinned.address)

    def upload(self, to: int, source: int, nbytes: int) -> None:
        """Queue a copy from page-locked host memory to the device."""
        self.call("cuMemcpyHtoDAsync_v2", to, source, nbytes, self.stream)

    def download(self, to: int, source: int, nbytes: int) -> None:
        """Queue a copy from the device to page-locked host memory."""
        self.call("cuMemcpyDtoHAsync_v2", to, source, nbytes, self.stream)

    def copy(self, to: int, source: int, nbytes: int) -> None:
        """Queue a copy on the device."""
        self.call("cuMemcpyDtoDAsync_v2", to, source, nbytes, self.stream)

    def wait(self) -> None:
        """Wait until everything queued on the stream is done."""
        self.call("cuStreamSynchronize", self.stream)

    def record(self, enqueue: Callable[[], None]) -> int:
        """Record what `enqueue` queues on the stream, without running it; return the executable graph.

        Raises:
            CudaError: If something in it cannot be recorded.
        """
        graph = c_void_p()
        with self._recording(graph):
            enqueue()
        try:
            executable: int = self._out(c_void_p, "cuGraphInstantiateWithFlags", graph, 0)
        finally:
            self.call("cuGraphDestroy", graph)
        return executable

    @contextmanager
    def _recording(self, graph: c_void_p) -> Iterator[None]:
        self.call("cuStreamBeginCapture_v2", self.stream, _THREAD_LOCAL)
        whole = False
        try:
            yield
            whole = True
        finally:
            if not whole:  # leave capture mode; its own failure says less than the first one
                self._lib.cuStreamEndCapture(self.stream, ctypes.byref(graph))
        self.call("cuStreamEndCapture", self.stream, ctypes.byref(graph))

    def launch(self, graph: int) -> None:
        """Queue a recorded graph."""
        self.call("cuGraphLaunch", graph, self.stream)

    def free_graph(self, graph: int) -> None:
        """Free an executable graph."""
        self.call("cuGraphExecDestroy", graph)

    def close(self) -> None:
        """Destroy the stream; the primary context belongs to the process and stays."""
        self.call("cuStreamDestroy_v2", self.stream)


def find_gpu() -> Gpu:
    """Return the GPU that engines would run on.

    Raises:
        CudaError: If there is no driver or no GPU; the message says which.
    """
    driver = Driver()
    driver.close()
    return driver.gpu


@dataclass(frozen=True)
class PinnedArray:
    """A page-locked numpy array and its address."""

    array: npt.NDArray[Any]
    address: int


def _load() -> Any:
    try:
        return ctypes.CDLL(_LIBRARY)
    except OSError as error:
        raise CudaError(f"no NVIDIA driver here ({_LIBRARY} not found)") from error
