"""torch -> ONNX, for every model: export, strip, metadata, parity with ONNX Runtime, and only then the file.

The written file is self-contained (weights inside) and speaks for itself: its EngineSpec is in the
metadata. Source paths and stack traces that the exporter leaves in the graph are removed.
"""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch import Tensor, nn

from engines.errors import EngineError
from engines.spec import METADATA_KEY, PEOPLE, EngineSpec

OPSET = 18
Arrays = dict[str, npt.NDArray[np.generic]]


class ExportError(EngineError):
    """A model could not be exported: its signature does not match its spec, or the file computes something else."""


def export_model(
    module: nn.Module,
    example_inputs: dict[str, Tensor],
    spec: EngineSpec,
    path: Path,
    dynamic_people: bool,
    tolerance: float,
) -> float:
    """Write a model as one .onnx file and prove that it computes what the module computes.

    The module is called with the inputs in the order of `spec.input_names` (data, keep, states) and must
    return its outputs in the order of `spec.output_names`.

    Args:
        module: The network as it is to run; a copy in eval mode is exported.
        example_inputs: One tensor per input name; with `dynamic_people` at least two rows each. They are also
            the inputs of the parity check, so make them realistic (and states and keep not all zero).
        spec: Stored as JSON in the file's metadata.
        path: Where to write; untouched if anything fails.
        dynamic_people: Whether the first axis of every input is the free "people" axis.
        tolerance: Largest absolute difference allowed between module and file, over all outputs.

    Returns:
        The largest absolute difference found.

    Raises:
        ExportError: If inputs or outputs do not fit the spec, or the difference is above the tolerance.
    """
    names = spec.input_names
    _check_examples(spec, example_inputs, dynamic_people)
    module = copy.deepcopy(module).eval()
    # clones: one tensor object given twice would be merged into one graph input
    args = tuple(example_inputs[name].detach().clone() for name in names)
    model = _to_onnx(module, args, spec, dynamic_people)
    blob = model.SerializeToString()
    worst = 0.0
    for rows in (None, 1) if dynamic_people else (None,):
        some = tuple(a if rows is None else a[:rows] for a in args)
        worst = max(worst, _difference(module, blob, spec, some))
    if not worst <= tolerance:  # also catches NaN
        raise ExportError(
            f"{spec.name}: the exported file differs by {worst:.3g} from the module, allowed {tolerance:.3g}"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".onnx.tmp")
    partial.write_bytes(blob)
    partial.replace(path)
    return worst


def _check_examples(spec: EngineSpec, example_inputs: dict[str, Tensor], dynamic_people: bool) -> None:
    names = spec.input_names
    if set(names) != set(example_inputs):
        raise ExportError(f"{spec.name}: spec wants the inputs {names}, got examples for {tuple(example_inputs)}")
    if dynamic_people and any(len(example_inputs[name]) < 2 for name in names):
        raise ExportError(f"{spec.name}: a free people axis needs example inputs of two rows or more")


class _Positional(nn.Module):
    """Gives every module the one signature that the exporter's shape table then fits."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *tensors: Tensor) -> Tensor | tuple[Tensor, ...]:
        return self.module(*tensors)


def _to_onnx(module: nn.Module, args: tuple[Tensor, ...], spec: EngineSpec, dynamic_people: bool) -> onnx.ModelProto:
    people = torch.export.Dim(PEOPLE)
    with torch.no_grad():
        program = torch.onnx.export(
            _Positional(module).eval(),
            args,
            dynamo=True,
            opset_version=OPSET,
            input_names=list(spec.input_names),
            output_names=list(spec.output_names),
            dynamic_shapes=(tuple({0: people} for _ in args),) if dynamic_people else None,
            external_data=False,
            verbose=False,
        )
    model = program.model_proto
    _strip(model)
    model.producer_name, model.producer_version = "posestream", ""
    onnx.helper.set_model_props(model, {METADATA_KEY: spec.to_json()})
    onnx.checker.check_model(model, full_check=True)
    _check_signature(model, spec)
    return model


def _strip(model: onnx.ModelProto) -> None:
    """Remove what the exporter says about the source code: stack traces, file names, doc strings."""
    del model.metadata_props[:]
    graphs = [model.graph]
    while graphs:
        graph = graphs.pop()
        for item in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
            item.ClearField("metadata_props")
            item.ClearField("doc_string")
        graphs += [a.g for node in graph.node for a in node.attribute if a.type == onnx.AttributeProto.GRAPH]
    for function in model.functions:
        function.ClearField("metadata_props")
        for node in function.node:
            node.ClearField("metadata_props")


def _check_signature(model: onnx.ModelProto, spec: EngineSpec) -> None:
    """Compare the graph's inputs and outputs with the spec: names, order, shapes, types."""
    inputs = {t.name: (t.shape, t.dtype) for t in spec.inputs} | {s.input: (s.shape, s.dtype) for s in spec.states}
    outputs = {t.name: (t.shape, t.dtype) for t in spec.outputs} | {s.output: (s.shape, s.dtype) for s in spec.states}
    if spec.keep:
        inputs[spec.keep] = ((PEOPLE,), "float32")
    for values, names, want in (
        (model.graph.input, spec.input_names, inputs),
        (model.graph.output, spec.output_names, outputs),
    ):
        if tuple(v.name for v in values) != names:
            raise ExportError(f"{spec.name}: the graph has {tuple(v.name for v in values)}, its spec says {names}")
        for value in values:
            tensor = value.type.tensor_type
            shape = tuple(d.dim_param or d.dim_value for d in tensor.shape.dim)
            have = (shape, onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name)
            if have != (tuple(want[value.name][0]), want[value.name][1]):
                raise ExportError(f"{spec.name}: {value.name} is {have} in the graph, {want[value.name]} in its spec")


def _difference(module: nn.Module, blob: bytes, spec: EngineSpec, args: tuple[Tensor, ...]) -> float:
    """Return the largest absolute difference between module and file on one set of inputs."""
    outputs = run_onnx(blob, {n: a.numpy() for n, a in zip(spec.input_names, args, strict=True)})
    with torch.no_grad():
        wanted = module(*(a.clone() for a in args))
    wanted = (wanted,) if isinstance(wanted, Tensor) else wanted
    worst = 0.0
    for name, want in zip(spec.output_names, wanted, strict=True):
        gap = np.abs(outputs[name].astype(np.float64) - want.numpy().astype(np.float64))
        worst = float(np.maximum(worst, gap.max(initial=0.0)))  # np.maximum hands NaN on
    return worst


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the weights inside an exported file under the names they have in the module's state dict."""
    prefix = "module."  # set by _Positional
    weights = [w for w in onnx.load(path).graph.initializer if w.name.startswith(prefix)]
    return {w.name.removeprefix(prefix): torch.from_numpy(onnx.numpy_helper.to_array(w).copy()) for w in weights}


def run_onnx(blob: bytes, inputs: Arrays) -> Arrays:
    """Run a serialised model once in ONNX Runtime on one CPU thread.

    Args:
        blob: The .onnx file's bytes.
        inputs: Every graph input by name.

    Returns:
        Every graph output by name.
    """
    import onnxruntime  # late: only parity checks need it

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(blob, options, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))
