"""A stand-in for TensorRT on the stand-in driver: the "network" is ONNX Runtime on the bound addresses.

What this cannot show: that the real library behaves as its manual says.
"""

from __future__ import annotations

import ctypes
import json
from collections import deque
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

from engines.device.cuda import Driver
from engines.modelfile import ModelFile, read_model
from engines.plans.plan import Toolkit
from engines.trt import TrtEngine
from tests.engines.standin_cuda import StandInCuda

NAMES = {"tensor(float)": "FLOAT", "tensor(float16)": "HALF", "tensor(uint8)": "UINT8", "tensor(int64)": "INT64"}
NUMPY = {"FLOAT": np.float32, "HALF": np.float16, "UINT8": np.uint8, "INT64": np.int64}


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
        return self.engine.cuda.put(self._run, stream) == 0

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
    inputs = onnx.load_from_string(model.content).graph.input
    dynamic = any(d.dim_param for i in inputs for d in i.type.tensor_type.shape.dim)
    return json.dumps(people if dynamic else []).encode() + b"\n" + model.content


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
