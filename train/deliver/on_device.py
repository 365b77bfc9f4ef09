"""A detector that cuts its own crops: the whole frame goes to the device once, nothing but joints comes back.

In front of the network goes a small one that does what `engines.geometry.cut_crops` does on the host: halve the frame
until a bilinear sample loses nothing, sample each person's box, black outside the frame. With layout "nv12" (what a
video decoder on the GPU gives) the colours are converted too, at the crop's size. No kernels of our own: average
pooling and GridSample, which every runtime has.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from engines.errors import EngineError
from engines.geometry import HALVE_BEYOND
from engines.plans.build import SOURCE_KEY
from engines.spec import METADATA_KEY, PEOPLE, EngineSpec, TensorSpec
from train.deliver.precision import read_spec

LEVELS = 4  # halvings: boxes up to 8 * 2.5 times as wide as the crop are sampled well
LAYOUTS = ("rgb", "nv12")
# limited range -> 0..255, rows R G B of (Y - 16, Cb - 128, Cr - 128); ITU-R BT.601 and BT.709
YCBCR = {
    "bt601": ((1.164384, 0.0, 1.596027), (1.164384, -0.391762, -0.812968), (1.164384, 2.017232, 0.0)),
    "bt709": ((1.164384, 0.0, 1.792741), (1.164384, -0.213249, -0.532909), (1.164384, 2.112402, 0.0)),
}


class _Graph:
    """Collects nodes and constants of the network in front."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []

    def add(self, op: str, *inputs: str, **attributes: object) -> str:
        """Append a node; return the name of its output."""
        name = f"crop_{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], **attributes))
        return name

    def const(self, value: npt.ArrayLike, dtype: type = np.float32) -> str:
        """Append a constant; return its name."""
        name = f"crop_const_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name


def with_frame(
    model: ModelProto, sha256: str, frame_wh: tuple[int, int], layout: str = "rgb", matrix: str = "bt709"
) -> ModelProto:
    """Return a detector of kind "frame_detector", which takes the frame and the crop boxes instead of crops.

    Args:
        model: A detector, of any precision.
        sha256: Of its file, for the provenance.
        frame_wh: Width and height of the frames in pixels; even numbers for "nv12".
        layout: "rgb": (H, W, 3) uint8; "nv12": (H * 3 / 2, W) uint8, luma over interleaved chroma.
        matrix: Colours of "nv12": "bt601" or "bt709", limited range.

    Raises:
        EngineError: If it is not a detector, or a frame of that size has no such layout.
    """
    spec = read_spec(model)
    if spec.kind != "detector":
        raise EngineError(f"{spec.name} is a {spec.kind}: only a detector can take whole frames")
    width, height = frame_wh
    if layout == "nv12" and (width % 2 or height % 2):
        raise EngineError(f"nv12 has no frames of {width}x{height}: both must be even")
    crop_wh = (int(spec.settings["input_wh"][0]), int(spec.settings["input_wh"][1]))
    graph = _Graph()
    grids, shares = _places(graph, crop_wh)
    planes = _rgb_planes(graph) if layout == "rgb" else _nv12_planes(graph, frame_wh)
    sampled = [_sample(graph, plane, grids, shares, frame_wh, crop_wh) for plane in planes]
    crops = sampled[0] if layout == "rgb" else _to_rgb(graph, sampled, matrix)
    shape = (height, width, 3) if layout == "rgb" else (height * 3 // 2, width)
    new = replace(
        spec,
        kind="frame_detector",
        name=f"{spec.name}-{width}x{height}" + ("" if layout == "rgb" else f"-{layout}"),
        inputs=(TensorSpec("frame", shape, "uint8", layout), TensorSpec("boxes_xyxy", (PEOPLE, 4), "float32", "px")),
        settings={**spec.settings, "frame_wh": [width, height], "frame_layout": layout},
        provenance={**spec.provenance, SOURCE_KEY: sha256},
    )
    return _joined(model, graph, crops, new)


def _places(graph: _Graph, crop_wh: tuple[int, int]) -> tuple[tuple[str, str], list[str]]:
    """Return x (P, 1, w) and y (P, h, 1) of every crop pixel in frame pixels; per level 1 for who is sampled there."""
    corners = [
        graph.add(
            "Slice", "boxes_xyxy", graph.const([a], np.int64), graph.const([b], np.int64), graph.const([1], np.int64)
        )
        for a, b in ((0, 2), (2, 4))
    ]  # (P, 2) each
    size = graph.add("Sub", corners[1], corners[0])
    places = []
    for axis, count in enumerate(crop_wh):
        index = graph.const([axis], np.int64)
        start, extent = (graph.add("Gather", value, index, axis=1) for value in (corners[0], size))  # (P, 1)
        steps = graph.const([(np.arange(count) + 0.5) / count])
        along = graph.add("Add", start, graph.add("Mul", extent, steps))  # (P, count)
        places.append(graph.add("Unsqueeze", along, graph.const([1 if axis == 0 else 2], np.int64)))
    width = graph.add("Gather", size, graph.const([0], np.int64), axis=1)
    ratio = graph.add(
        "Unsqueeze", graph.add("Div", width, graph.const(float(crop_wh[0]))), graph.const([2, 3], np.int64)
    )
    wider = [
        graph.add("Cast", graph.add("Greater", ratio, graph.const(HALVE_BEYOND * 2.0**level)), to=TensorProto.FLOAT)
        for level in range(LEVELS - 1)
    ]  # (P, 1, 1, 1): 1 if the box is too wide for this level
    shares = [graph.add("Sub", graph.const(1.0), wider[0])]
    shares += [graph.add("Sub", a, b) for a, b in itertools.pairwise(wider)]
    return (places[0], places[1]), [*shares, wider[-1]]


def _rgb_planes(graph: _Graph) -> list[str]:
    """Return the frame as (1, 3, H, W) float."""
    pixels = graph.add("Transpose", graph.add("Cast", "frame", to=TensorProto.FLOAT), perm=[2, 0, 1])
    return [graph.add("Unsqueeze", pixels, graph.const([0], np.int64))]


def _nv12_planes(graph: _Graph, frame_wh: tuple[int, int]) -> list[str]:
    """Return luma (1, 1, H, W) and chroma (1, 2, H/2, W/2), black at 0: what lies outside is sampled as 0."""
    width, height = frame_wh
    pixels = graph.add("Cast", "frame", to=TensorProto.FLOAT)
    rows = [
        graph.add("Slice", pixels, graph.const([a], np.int64), graph.const([b], np.int64), graph.const([0], np.int64))
        for a, b in ((0, height), (height, height * 3 // 2))
    ]
    luma = graph.add("Reshape", rows[0], graph.const([1, 1, height, width], np.int64))
    chroma = graph.add("Reshape", rows[1], graph.const([1, height // 2, width // 2, 2], np.int64))
    chroma = graph.add("Transpose", chroma, perm=[0, 3, 1, 2])
    return [graph.add("Sub", luma, graph.const(16.0)), graph.add("Sub", chroma, graph.const(128.0))]


def _sample(
    graph: _Graph,
    plane: str,
    places: tuple[str, str],
    shares: list[str],
    frame_wh: tuple[int, int],
    crop_wh: tuple[int, int],
) -> str:
    """Return (P, h, w, C) samples of a plane, each person's from the level that suits the size of their box."""
    width, height = crop_wh
    spread = graph.const(np.zeros((1, height, width)))
    total = ""
    for level, share in enumerate(shares):
        if level:
            plane = graph.add("AveragePool", plane, kernel_shape=[2, 2], strides=[2, 2])
        # a halved frame loses an odd last column: its pixels still are 2**level wide
        ends = [(size >> level << level) for size in frame_wh]
        scaled = [
            graph.add("Sub", graph.add("Mul", place, graph.const(2.0 / end)), graph.const(1.0))
            for place, end in zip(places, ends, strict=True)
        ]
        each = [
            graph.add("Unsqueeze", graph.add("Add", s, spread), graph.const([3], np.int64)) for s in scaled
        ]  # (P, h, w, 1): x, y
        grid = graph.add("Reshape", graph.add("Concat", *each, axis=3), graph.const([1, -1, width, 2], np.int64))
        found = graph.add("GridSample", plane, grid, mode="bilinear", padding_mode="zeros", align_corners=0)
        channels = graph.add("Squeeze", found, graph.const([0], np.int64))  # (C, P * h, w)
        people = graph.add("Reshape", channels, graph.const([0, -1, height, width], np.int64))
        mine = graph.add("Mul", graph.add("Transpose", people, perm=[1, 2, 3, 0]), share)
        total = graph.add("Add", total, mine) if total else mine
    return total


def _to_rgb(graph: _Graph, sampled: list[str], matrix: str) -> str:
    """Convert (P, h, w, 1) luma and (P, h, w, 2) chroma to (P, h, w, 3) RGB, 0..255."""
    ycc = graph.add("Concat", *sampled, axis=3)
    rgb = graph.add("MatMul", ycc, graph.const(np.array(YCBCR[matrix]).T))
    return graph.add("Clip", rgb, graph.const(0.0), graph.const(255.0))


def _joined(model: ModelProto, front: _Graph, crops: str, spec: EngineSpec) -> ModelProto:
    """Put the network in front of a copy of the detector, in the place of its input and the cast behind it."""
    joined = ModelProto()
    joined.CopyFrom(model)
    graph = joined.graph
    readers = [n for n in graph.node if "crops" in n.input]
    if len(readers) != 1 or readers[0].op_type != "Cast":
        raise EngineError(f"{spec.name}: the detector does more with its crops than casting them; export it again")
    front.nodes.append(helper.make_node("Identity", [crops], [readers[0].output[0]]))
    rest = [n for n in graph.node if n is not readers[0]]
    inputs = [i for i in graph.input if i.name != "crops"]
    nodes, kept = [*front.nodes, *(_copy(n) for n in rest)], [_copy(i) for i in inputs]
    first = [
        helper.make_tensor_value_info(t.name, TensorProto.UINT8 if t.dtype == "uint8" else TensorProto.FLOAT, t.shape)
        for t in spec.inputs
    ]
    del graph.node[:], graph.input[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.input.extend([*first, *kept])
    graph.initializer.extend(front.constants)
    del joined.metadata_props[:]
    helper.set_model_props(joined, {METADATA_KEY: spec.to_json()})
    onnx.checker.check_model(joined, full_check=True)
    return joined


def _copy(message: Any) -> Any:
    copied = type(message)()
    copied.CopyFrom(message)
    return copied
