"""The least time a frame can take on a GPU: what must be read and written, and what must be multiplied.

No frame is faster than its bytes at the memory's speed, nor than its operations at the arithmetic's rate. Small
networks stay far above both: there the chain of dependent kernels rules.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engines.errors import EngineError
from engines.spec import PEOPLE

_PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


@dataclass(frozen=True)
class Rates:
    """What a GPU can do at most.

    Attributes:
        gb_s: Memory bandwidth in GB/s (1e9 bytes).
        tflops: Dense rate in 1e12 operations per second for each precision of a model file.
    """

    gb_s: float
    tflops: Mapping[str, float]


KNOWN = {
    # data sheets of NVIDIA; fp32 without TF32; dense, a multiplication and an addition are two operations
    "H200": Rates(4800, {"fp32": 67, "fp16": 989, "int8": 1979}),
    "H100": Rates(3350, {"fp32": 67, "fp16": 989, "int8": 1979}),
    "A100": Rates(2039, {"fp32": 19.5, "fp16": 312, "int8": 624}),
    "L4": Rates(300, {"fp32": 30.3, "fp16": 121, "int8": 242}),
    "RTX 4090": Rates(1008, {"fp32": 82.6, "fp16": 165, "int8": 661}),
}


@dataclass(frozen=True)
class Work:
    """What one frame costs at least: bytes of weights, inputs, outputs and states; multiplications and additions."""

    nbytes: int
    operations: int

    def floor_ms(self, rates: Rates, precision: str) -> float:
        """Return the least time of a frame in milliseconds."""
        rate = rates.tflops.get(precision, rates.tflops["fp32"])
        return max(self.nbytes / (rates.gb_s * 1e6), self.operations / (rate * 1e9))


def rates_of(gpu_name: str) -> Rates | None:
    """Return the rates of a card by its name, if it is a known one."""
    return next((rates for name, rates in KNOWN.items() if name in gpu_name), None)


def work_of(path: Path, people: int) -> Work:
    """Count what a frame of a model costs.

    Args:
        path: The .onnx file.
        people: Rows.

    Raises:
        EngineError: If the `onnx` package, which reads the graph, is not installed.
    """
    try:
        import onnx  # late: only this table needs it
    except ImportError as error:
        raise EngineError("the share of the floor needs the onnx package: pip install onnx") from error
    model = onnx.load(path)
    for value in (*model.graph.input, *model.graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param == PEOPLE:
                dim.dim_value = people
    del model.graph.value_info[:]  # inferred for any number of people
    model = onnx.shape_inference.infer_shapes(model, data_prop=True)
    graph = model.graph
    values = (*graph.input, *graph.output, *graph.value_info)
    shapes = {v.name: tuple(d.dim_value for d in v.type.tensor_type.shape.dim) for v in values}
    shapes |= {w.name: tuple(w.dims) for w in graph.initializer}
    size = onnx.helper.tensor_dtype_to_np_dtype
    io = sum(
        math.prod(shapes[v.name]) * size(v.type.tensor_type.elem_type).itemsize for v in (*graph.input, *graph.output)
    )
    weights = sum(math.prod(w.dims) * size(w.data_type).itemsize for w in graph.initializer)
    return Work(io + weights, sum(_operations(n, shapes) for n in graph.node if n.op_type in _PRODUCTS))


def _operations(node: Any, shapes: dict[str, tuple[int, ...]]) -> int:
    """Count multiplications and additions of a convolution or a matrix product."""
    data, weight = (shapes.get(name, ()) for name in node.input[:2])
    out = shapes.get(node.output[0], ())
    if node.op_type == "Conv":
        return 2 * math.prod(out) * math.prod(weight[1:])
    if node.op_type == "ConvTranspose":
        return 2 * math.prod(data) * math.prod(weight[1:])
    transposed = any(a.name == "transA" and a.i for a in node.attribute)
    return 2 * math.prod(out) * (data[0] if transposed else data[-1]) if data else 0
