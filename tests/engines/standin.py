"""Stand-ins for the CUDA driver and for TensorRT, so that the GPU path runs where there is no GPU.

Device memory is host memory with checked bounds. The stream is lazy: nothing happens until somebody waits, so
that a missing wait shows. Recording a graph stores the queued work; the "network" is ONNX Runtime reading and
writing the bound addresses. What this cannot show: that the real libraries behave as their manuals say.
"""

from __future__ import annotations

import ctypes
import json
from collections import deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

from engines.cuda import PROTOTYPES, Driver
from engines.modelfile import ModelFile, read_model
from engines.plan import Toolkit
from engines.trt import TrtEngine

INVALID, CAPTURE_UNSUPPORTED = 1, 900
NAMES = {"tensor(float)": "FLOAT", "tensor(float16)": "HALF", "tensor(uint8)": "UINT8", "tensor(int64)": "INT64"}
NUMPY = {"FLOAT": np.float32, "HALF": np.float16, "UINT8": np.uint8, "INT64": np.int64}


class StandInCuda:
    """What `ctypes.CDLL("libcuda.so.1")` would give."""

    def __init__(self) -> None:
        self.memory: dict[int, Any] = {}
        self.queued: list[Callable[[], None]] = []
        self.recording: list[Callable[[], None]] | None = None
        self.graphs: dict[int, list[Callable[[], None]]] = {}
        self.launches = 0
        self.can_record = True
        for name in PROTOTYPES:
            setattr(self, name, _Function(getattr(self, f"_{name}", lambda *a: 0)))

    def put(self, work: Callable[[], None]) -> int:
        (self.queued if self.recording is None else self.recording).append(work)
        return 0

    def inside(self, address: int, nbytes: int) -> bool:
        return any(a <= address and address + nbytes <= a + len(m) for a, m in self.memory.items())

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
        out._obj.value = 7
        return 0

    def _cuMemAlloc_v2(self, out, nbytes) -> int:
        if self.recording is not None:
            return CAPTURE_UNSUPPORTED
        memory = (ctypes.c_ubyte * nbytes)(*[0xAA] * min(nbytes, 64))  # not zero: the driver promises nothing
        self.memory[ctypes.addressof(memory)] = memory
        out._obj.value = ctypes.addressof(memory)
        return 0

    _cuMemAllocHost_v2 = _cuMemAlloc_v2

    def _cuMemFree_v2(self, address) -> int:
        return 0 if self.memory.pop(address, None) is not None else INVALID

    _cuMemFreeHost = _cuMemFree_v2

    def _cuMemsetD8Async(self, address, value, nbytes, stream) -> int:
        return self.put(lambda: ctypes.memset(address, value, nbytes)) if self.inside(address, nbytes) else INVALID

    def _cuMemcpyDtoDAsync_v2(self, to, source, nbytes, stream) -> int:
        if not (self.inside(to, nbytes) and self.inside(source, nbytes)) or stream != 7:
            return INVALID
        return self.put(lambda: ctypes.memmove(to, source, nbytes))

    _cuMemcpyHtoDAsync_v2 = _cuMemcpyDtoHAsync_v2 = _cuMemcpyDtoDAsync_v2

    def _cuStreamSynchronize(self, stream) -> int:
        if self.recording is not None:
            return CAPTURE_UNSUPPORTED
        work, self.queued = self.queued, []
        for step in work:
            step()
        return 0

    def _cuStreamBeginCapture_v2(self, stream, mode) -> int:
        self.recording = []
        return 0

    def _cuStreamEndCapture(self, stream, out) -> int:
        number = 1000 + len(self.graphs)
        self.graphs[number], self.recording = self.recording or [], None
        out._obj.value = number
        return 0 if self.can_record else CAPTURE_UNSUPPORTED

    def _cuGraphInstantiateWithFlags(self, out, graph, flags) -> int:
        out._obj.value = graph.value
        return 0

    def _cuGraphLaunch(self, graph, stream) -> int:
        self.launches += 1
        return self.put(lambda: [step() for step in self.graphs[graph]])

    def _cuGetErrorName(self, status, out) -> int:
        out._obj.value = {INVALID: b"CUDA_ERROR_INVALID_VALUE", CAPTURE_UNSUPPORTED: b"CUDA_ERROR_STREAM_CAPTURE"}[
            status
        ]
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


class _Engine:
    def __init__(self, cuda: StandInCuda, content: bytes, people: list[int]) -> None:
        self.cuda, self.people = cuda, people
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 3
        self.session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self.inputs = {i.name: i for i in self.session.get_inputs()}
        self.tensors = {**self.inputs, **{o.name: o for o in self.session.get_outputs()}}
        self.num_io_tensors, self.num_optimization_profiles = len(self.tensors), len(people) or 1
        self.contexts: list[_Context] = []

    def get_tensor_name(self, i: int) -> str:
        return list(self.tensors)[i]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return tuple(-1 if isinstance(s, str) or s is None else s for s in self.tensors[name].shape)

    def get_tensor_dtype(self, name: str) -> Any:
        return SimpleNamespace(name=NAMES[self.tensors[name].type])

    def get_tensor_mode(self, name: str) -> str:
        return "in" if name in self.inputs else "out"

    def get_tensor_profile_shape(self, name: str, i: int) -> list[tuple[int, ...]]:
        return [tuple(self.people[i] if s == -1 else s for s in self.get_tensor_shape(name))] * 3

    def create_execution_context(self, config: _RtxConfig | None = None) -> _Context:
        self.contexts.append(_Context(self))
        if config is not None:
            assert config.dynamic_shapes_kernel_specialization_strategy == "eager"
            config.cache.kernels += b"k"
            self.contexts[-1].is_stream_capturable = lambda stream: self.cuda.can_record
        return self.contexts[-1]

    def create_runtime_config(self) -> _RtxConfig:
        return _RtxConfig()


class _RtxConfig:
    """TensorRT-RTX's run-time settings, with the cache of kernels that it compiles on first use."""

    dynamic_shapes_kernel_specialization_strategy = "lazy"

    def create_runtime_cache(self) -> _RtxKernels:
        return _RtxKernels()

    def set_runtime_cache(self, cache: _RtxKernels) -> bool:
        self.cache = cache
        return True


class _RtxKernels:
    kernels = b""

    def deserialize(self, blob: bytes) -> bool:
        self.kernels = blob
        return True

    def serialize(self) -> bytes:
        return self.kernels


class _Context:
    def __init__(self, engine: _Engine) -> None:
        self.engine, self.profile = engine, 0
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.addresses: dict[str, int] = {}

    def set_optimization_profile_async(self, index: int, stream: int) -> bool:
        self.profile = index
        return index < self.engine.num_optimization_profiles

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        people = self.engine.people[self.profile] if self.engine.people else None
        self.shapes[name] = shape
        return shape == tuple(people if s == -1 else s for s in self.engine.get_tensor_shape(name))

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return self.engine.cuda.inside(address, 1)

    def execute_async_v3(self, stream: int) -> bool:
        assert set(self.addresses) == set(self.engine.tensors)
        assert len(set(self.addresses.values())) == len(self.addresses), "a buffer is bound twice"
        self.engine.cuda.put(self._run)
        return stream == 7

    def _run(self) -> None:
        feed = {name: self._view(name, shape).copy() for name, shape in self.shapes.items()}
        names = [n for n in self.engine.tensors if n not in self.engine.inputs]
        for name, value in zip(names, self.engine.session.run(names, feed), strict=True):
            self._view(name, value.shape)[...] = value

    def _view(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        dtype = np.dtype(NUMPY[self.engine.get_tensor_dtype(name).name])
        nbytes = int(np.prod(shape)) * dtype.itemsize
        assert self.engine.cuda.inside(self.addresses[name], nbytes), f"{name} does not fit its buffer"
        memory = (ctypes.c_ubyte * nbytes).from_address(self.addresses[name])
        return np.frombuffer(memory, dtype).reshape(shape)


def make_plan(model: ModelFile, people: tuple[int, ...] = (1, 2, 4, 8)) -> bytes:
    """Return what the stand-in takes for a plan."""
    shapes = onnx.load_from_string(model.content).graph.input[0].type.tensor_type.shape.dim
    return json.dumps(people if shapes[0].dim_param else []).encode() + b"\n" + model.content


def make_toolkit(cuda: StandInCuda, rtx: bool = False) -> Toolkit:
    """Return a TensorRT, or one of the RTX flavour, whose engines run in ONNX Runtime on the stand-in's memory."""
    logger = SimpleNamespace(tail=deque(maxlen=4))

    def deserialize(plan: bytes) -> _Engine | None:
        head, _, content = plan.partition(b"\n")
        if not head.startswith(b"["):
            logger.tail.append("the plan has a wrong magic tag")
            return None
        return _Engine(cuda, content, json.loads(head))

    trt = SimpleNamespace(
        Runtime=lambda logger: SimpleNamespace(deserialize_cuda_engine=deserialize),
        TensorIOMode=SimpleNamespace(INPUT="in"),
    )
    if rtx:
        trt.DynamicShapesKernelSpecializationStrategy = SimpleNamespace(__members__={"EAGER": "eager"})
    return Toolkit(trt, "stand-in", "1.0", logger)


def open_standin(path, people=(1, 2, 4, 8), cuda: StandInCuda | None = None, rtx: bool = False, **options) -> TrtEngine:
    """Load a model file into the TensorRT backend on the stand-ins."""
    cuda = cuda or StandInCuda()
    model = read_model(path)
    return TrtEngine(model, make_plan(model, people), make_toolkit(cuda, rtx), Driver(cuda), **options)
