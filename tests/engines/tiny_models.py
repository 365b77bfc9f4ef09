"""Small real ONNX models for tests, made with onnx.helper: no training, no torch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from engines.spec import METADATA_KEY, EngineSpec, StateSpec, TensorSpec

LIFTER_SPEC = EngineSpec(
    kind="lifter",
    name="lifter-tiny",
    precision="fp32",
    inputs=(
        TensorSpec("xy", ("people", 17, 2), "float32", "ray coordinates"),
        TensorSpec("score", ("people", 17), "float32", "0..1"),
        TensorSpec("dt_s", ("people",), "float32", "seconds"),
    ),
    outputs=(
        TensorSpec("xyz_m", ("people", 17, 3), "float32", "metres"),
        TensorSpec("root_m", ("people", 3), "float32", "metres"),
    ),
    states=(StateSpec("count_in", "count_out", ("people", 1, 1), "float32"),),
    keep="keep",
    skeleton="h36m17",
    settings={"receptive_field": 4, "frame_rate_hz": [15, 60], "max_gap_s": 0.5},
    provenance={"made by": "tests"},
)


def counting_lifter(path: Path, spec: EngineSpec = LIFTER_SPEC, metadata: dict[str, str] | None = None) -> Path:
    """Write a lifter whose xyz_m is (x, y, score) times the number of frames since the reset, root_m its joint 0."""
    f32 = TensorProto.FLOAT
    inputs = [
        helper.make_tensor_value_info("xy", f32, ["people", 17, 2]),
        helper.make_tensor_value_info("score", f32, ["people", 17]),
        helper.make_tensor_value_info("dt_s", f32, ["people"]),
        helper.make_tensor_value_info("keep", f32, ["people"]),
        helper.make_tensor_value_info("count_in", f32, ["people", 1, 1]),
    ]
    outputs = [
        helper.make_tensor_value_info("xyz_m", f32, ["people", 17, 3]),
        helper.make_tensor_value_info("root_m", f32, ["people", 3]),
        helper.make_tensor_value_info("count_out", f32, ["people", 1, 1]),
    ]
    constants = {"one": np.float32(1), "axis2": np.int64([2]), "keep_shape": np.int64([-1, 1, 1]), "first": np.int64(0)}
    nodes = [
        helper.make_node("Reshape", ["keep", "keep_shape"], ["keep3"]),
        helper.make_node("Mul", ["keep3", "count_in"], ["kept"]),
        helper.make_node("Add", ["kept", "one"], ["count_out"]),
        helper.make_node("Unsqueeze", ["score", "axis2"], ["score3"]),
        helper.make_node("Concat", ["xy", "score3"], ["joined"], axis=2),
        helper.make_node("Mul", ["joined", "count_out"], ["xyz_m"]),
        helper.make_node("Gather", ["xyz_m", "first"], ["picked"], axis=1),
        helper.make_node("Unsqueeze", ["dt_s", "axis1"], ["dt2"]),
        helper.make_node("Add", ["picked", "dt2"], ["root_m"]),
    ]
    constants["axis1"] = np.int64([1])
    initializers = [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()]
    return _write(path, nodes, inputs, outputs, initializers, spec, metadata)


def drifting_detector(path: Path, input_wh: tuple[int, int] = (12, 16)) -> Path:
    """Write a detector whose joints lie in a fixed pattern about (mean red, mean green) of the crop.

    The pattern spans 0.8 of the crop; its joint 0 is the middle. The score is mean blue / 255.
    """
    f32 = TensorProto.FLOAT
    width, height = input_wh
    spec = EngineSpec(
        kind="detector",
        name="detector-tiny",
        precision="fp32",
        inputs=(TensorSpec("crops", ("people", height, width, 3), "uint8"),),
        outputs=(TensorSpec("xy", ("people", 17, 2), "float32"), TensorSpec("score", ("people", 17), "float32")),
        states=(StateSpec("count_in", "count_out", ("people", 1), "float32"),),
        keep="keep",
        skeleton="h36m17",
        settings={"input_wh": [width, height], "crop_scale": 1.0},
    )
    inputs = [
        helper.make_tensor_value_info("crops", TensorProto.UINT8, ["people", height, width, 3]),
        helper.make_tensor_value_info("keep", f32, ["people"]),
        helper.make_tensor_value_info("count_in", f32, ["people", 1]),
    ]
    outputs = [
        helper.make_tensor_value_info("xy", f32, ["people", 17, 2]),
        helper.make_tensor_value_info("score", f32, ["people", 17]),
        helper.make_tensor_value_info("count_out", f32, ["people", 1]),
    ]
    nodes = [
        helper.make_node("Cast", ["crops"], ["pixels"], to=f32),
        helper.make_node("ReduceMean", ["pixels", "plane"], ["means"], keepdims=1),  # (people, 1, 1, 3)
        helper.make_node("Squeeze", ["means", "axis1"], ["means3"]),  # (people, 1, 3)
        helper.make_node("Split", ["means3", "split"], ["xy1", "blue"], axis=2),
        helper.make_node("Tile", ["xy1", "repeat"], ["xy17"]),
        helper.make_node("Add", ["xy17", "pattern"], ["xy"]),
        helper.make_node("Squeeze", ["blue", "axis2"], ["blue2"]),
        helper.make_node("Tile", ["blue2", "repeat2"], ["blue17"]),
        helper.make_node("Div", ["blue17", "full"], ["score"]),
        helper.make_node("Unsqueeze", ["keep", "axis1"], ["keep2"]),
        helper.make_node("Mul", ["keep2", "count_in"], ["kept"]),
        helper.make_node("Add", ["kept", "one"], ["count_out"]),
    ]
    pattern = np.random.default_rng(0).uniform(-0.4, 0.4, (1, 17, 2)).astype(np.float32)
    pattern[0, :5] = [[0, 0], [-0.4, -0.4], [0.4, -0.4], [-0.4, 0.4], [0.4, 0.4]]
    pattern *= np.float32(input_wh)
    constants = {
        "plane": np.int64([1, 2]), "axis1": np.int64([1]), "axis2": np.int64([2]), "split": np.int64([2, 1]),
        "pattern": pattern, "repeat": np.int64([1, 17, 1]), "repeat2": np.int64([1, 17]),
        "full": np.float32(255), "one": np.float32(1),
    }  # fmt: skip
    initializers = [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()]
    return _write(path, nodes, inputs, outputs, initializers, spec, None)


def fixed_finder(path: Path, boxes_xyxy: list[list[float]], scores: list[float], input_wh: tuple[int, int]) -> Path:
    """Write a finder that answers the same boxes whatever it sees."""
    f32 = TensorProto.FLOAT
    width, height = input_wh
    spec = EngineSpec(
        kind="finder",
        name="finder-tiny",
        precision="fp32",
        inputs=(TensorSpec("image", (height, width, 3), "uint8"),),
        outputs=(
            TensorSpec("boxes_xyxy", (len(boxes_xyxy), 4), "float32"),
            TensorSpec("scores", (len(scores),), "float32"),
        ),
        settings={"input_wh": [width, height], "score_threshold": 0.5},
    )
    inputs = [helper.make_tensor_value_info("image", TensorProto.UINT8, [height, width, 3])]
    outputs = [
        helper.make_tensor_value_info("boxes_xyxy", f32, [len(boxes_xyxy), 4]),
        helper.make_tensor_value_info("scores", f32, [len(scores)]),
    ]
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=f32),
        helper.make_node("ReduceSum", ["pixels"], ["total"], keepdims=0),
        helper.make_node("Mul", ["total", "zero"], ["nothing"]),
        helper.make_node("Add", ["boxes", "nothing"], ["boxes_xyxy"]),
        helper.make_node("Add", ["certain", "nothing"], ["scores"]),
    ]
    constants = {"zero": np.float32(0), "boxes": np.float32(boxes_xyxy), "certain": np.float32(scores)}
    initializers = [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()]
    return _write(path, nodes, inputs, outputs, initializers, spec, None)


def wrong_keep_spec() -> EngineSpec:
    """A lifter spec that names a state the graph does not have."""
    return replace(LIFTER_SPEC, states=(StateSpec("other_in", "other_out", ("people", 1, 1), "float32"),))


def _write(path, nodes, inputs, outputs, initializers, spec, metadata) -> Path:
    graph = helper.make_graph(nodes, spec.name, inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, {METADATA_KEY: spec.to_json()} if metadata is None else metadata)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path
