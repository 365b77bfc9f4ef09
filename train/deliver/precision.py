"""fp32 files to fp16 and int8 files: the precision is in the file, so that every runtime does the same.

fp16: convolutions, large matrix products and what lies between them; softmax, geometry, exponentials, inputs,
outputs and states stay float32. int8: static quantisation with Q/DQ nodes, per-channel weights, calibrated
along a real recurrence, in two forms from one calibration: unsigned activations for ONNX Runtime (its fast
kernels take no other), signed symmetric without quantised biases for TensorRT (its parser takes no other).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from engines.plans.build import SOURCE_KEY
from engines.spec import METADATA_KEY, EngineSpec

MATRIX_MIN = 128  # rows and columns of a weight that is worth converting; the heads, in metres, are smaller
_CONVERTED = {"Conv", "ConvTranspose"}
_MATRIX = {"Gemm", "MatMul"}
_CARRIED = {  # computed in fp16 if everything they read is fp16 already
    "Add", "AveragePool", "Clip", "Concat", "MaxPool", "Mul", "Relu", "Reshape", "Resize", "Sigmoid", "Slice",
    "Split", "Squeeze", "Tanh", "Transpose", "Unsqueeze",
}  # fmt: skip
_FIRST_INPUT_ONLY = {"Resize", "Reshape", "Slice", "Split", "Squeeze", "Unsqueeze"}  # the others are shapes and scales
INT8_FORMS = ("ort", "trt")
EARLY = ("encoder.stem.", *(f"encoder.block{i:02}." for i in range(4)))
"""A MobileNetV2's first layers stay float32 in int8 files: quantised they cost the detector 2.5 points of PCK and gain
it 0.3 ms of 10."""


def read_spec(model: ModelProto) -> EngineSpec:
    """Return the metadata of a model in memory."""
    return EngineSpec.from_json({p.key: p.value for p in model.metadata_props}[METADATA_KEY])


def _with_precision(model: ModelProto, spec: EngineSpec, precision: str) -> ModelProto:
    del model.metadata_props[:]
    helper.set_model_props(model, {METADATA_KEY: replace(spec, precision=precision).to_json()})
    model.producer_name, model.producer_version = "posestream", ""
    onnx.checker.check_model(model, full_check=True)
    return model


def note_source(model: ModelProto, sha256: str) -> None:
    """Write into the metadata which fp32 file a model was made from, so that a stale one is noticed."""
    spec = read_spec(model)
    spec = replace(spec, provenance={**spec.provenance, SOURCE_KEY: sha256})
    del model.metadata_props[:]
    helper.set_model_props(model, {METADATA_KEY: spec.to_json()})


def to_fp16(model: ModelProto) -> ModelProto:
    """Return a copy with its heavy part in float16; inputs, outputs and states keep their types."""
    model = _inline_constants(model)
    graph, spec = model.graph, read_spec(model)
    weights = {w.name: w for w in graph.initializer}
    half = _choose(graph, weights)
    produced = {out for i, node in enumerate(graph.node) if i in half for out in node.output}
    outputs = {o.name for o in graph.output}
    full_readers = {name for i, node in enumerate(graph.node) if i not in half for name in node.input} | outputs
    nodes: list[NodeProto] = []
    new_weights: dict[str, TensorProto] = {}
    cast: set[str] = set()
    for number, node in enumerate(graph.node):
        if number not in half:
            nodes.append(node)
            continue
        for i, name in enumerate(node.input):
            if not _is_data(node, i) or not name:
                continue
            if name in weights and weights[name].data_type == TensorProto.FLOAT:
                as_half = numpy_helper.to_array(weights[name]).astype(np.float16)
                new_weights[f"{name}_fp16"] = numpy_helper.from_array(as_half, f"{name}_fp16")
            elif name not in produced and name not in cast:
                nodes.append(helper.make_node("Cast", [name], [f"{name}_fp16"], to=TensorProto.FLOAT16))
                cast.add(name)
            node.input[i] = f"{name}_fp16"
        wanted = [name for name in node.output if name in full_readers]
        node.output[:] = [f"{name}_fp16" if name else "" for name in node.output]
        nodes.append(node)
        nodes += [helper.make_node("Cast", [f"{name}_fp16"], [name], to=TensorProto.FLOAT) for name in wanted]
    _rebuild(graph, nodes, [*weights.values(), *new_weights.values()])
    return _with_precision(model, spec, "fp16")


def _choose(graph: onnx.GraphProto, weights: dict[str, TensorProto]) -> set[int]:
    """Return the places of the nodes that compute in float16."""
    half: set[int] = set()
    produced: set[str] = set()
    for number, node in enumerate(graph.node):
        data = [name for i, name in enumerate(node.input) if name and _is_data(node, i)]
        flowing = [name for name in data if name not in weights]
        carried = node.op_type in _CARRIED and bool(flowing) and all(name in produced for name in flowing)
        if carried or node.op_type in _CONVERTED or _is_large_matrix(node, weights):
            half.add(number)
            produced.update(node.output)
    return half


def _is_data(node: NodeProto, index: int) -> bool:
    return index == 0 or node.op_type not in _FIRST_INPUT_ONLY


def _is_large_matrix(node: NodeProto, weights: dict[str, TensorProto]) -> bool:
    if node.op_type not in _MATRIX or node.input[1] not in weights:
        return False
    return min(weights[node.input[1]].dims) >= MATRIX_MIN


def _inline_constants(model: ModelProto) -> ModelProto:
    """Return a copy whose Constant nodes are initializers."""
    copy = ModelProto()
    copy.CopyFrom(model)
    constants = [n for n in copy.graph.node if n.op_type == "Constant"]
    found = []
    for node in constants:
        tensor = TensorProto()
        tensor.CopyFrom(helper.get_node_attr_value(node, "value"))
        tensor.name = node.output[0]
        found.append(tensor)
    _rebuild(copy.graph, [n for n in copy.graph.node if n.op_type != "Constant"], [*copy.graph.initializer, *found])
    return copy


def _rebuild(graph: onnx.GraphProto, nodes: list[NodeProto], weights: list[TensorProto]) -> None:
    """Put in nodes, and those of the weights that they read; forget inferred types."""
    used = {name for node in nodes for name in node.input} | {o.name for o in graph.output}
    nodes, kept = [_copied(n) for n in nodes], [_copied(w) for w in weights if w.name in used]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.initializer.extend(kept)


def _copied(message: Any) -> Any:
    copy = type(message)()
    copy.CopyFrom(message)
    return copy


def to_int8(model: ModelProto, frames: list[dict[str, npt.NDArray[Any]]], form: str) -> ModelProto:
    """Return a quantised copy.

    Args:
        model: An fp32 model.
        frames: Inputs of consecutive frames of one clip, by name, without states and keep: they are calibrated on
            with the states that the model itself carries along them.
        form: "ort" (unsigned activations) or "trt" (signed and symmetric, biases left in float).
    """
    from onnxruntime import quantization as q

    class Reader(q.CalibrationDataReader):
        """Hands the calibration one frame after the other."""

        def __init__(self) -> None:
            self.feeds = recurrent_feeds(model, frames)

        def get_next(self) -> dict[str, Any] | None:
            return next(self.feeds, None)

    spec, graph = read_spec(model), model.graph
    weights = {w.name: w for w in graph.initializer}
    heavy = [n for n in graph.node if n.op_type == "Conv" or _is_large_matrix(n, weights)]
    nodes = [n.name for n in heavy if not any(early in name for early in EARLY for name in n.input)]
    signed = form == "trt"
    extra = {"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False} if signed else {}
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "fp32.onnx", Path(folder) / "int8.onnx"
        onnx.save(model, source)
        q.quantize_static(
            str(source),
            str(target),
            Reader(),
            quant_format=q.QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "Gemm", "MatMul"],
            nodes_to_quantize=nodes,
            per_channel=True,
            activation_type=q.QuantType.QInt8 if signed else q.QuantType.QUInt8,
            weight_type=q.QuantType.QInt8,
            extra_options=extra,
        )
        quantised = onnx.load(target)
    return _with_precision(quantised, spec, "int8")


def recurrent_feeds(
    model: ModelProto, frames: list[dict[str, npt.NDArray[Any]]]
) -> Iterator[dict[str, npt.NDArray[Any]]]:
    """Yield every graph input for each frame, states included, as they come when the model runs along the frames."""
    import onnxruntime  # late, as everywhere in this room

    spec = read_spec(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    people = 1
    states = {s.input: np.zeros((people, *(int(n) for n in s.shape[1:])), s.dtype) for s in spec.states}
    for number, frame in enumerate(frames):
        keep = {spec.keep: np.full(people, float(number > 0), np.float32)} if spec.keep else {}
        feed = {**frame, **keep, **states}
        values = dict(zip(spec.output_names, session.run(list(spec.output_names), feed), strict=True))
        states = {s.input: values[s.output] for s in spec.states}
        yield feed
