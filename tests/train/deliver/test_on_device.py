"""A detector that cuts its own crops sees what the host would have cut, and becomes an engine like any other."""

from __future__ import annotations

import importlib.util

import cv2
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from engines.detector import Detector
from engines.errors import EngineError
from engines.geometry import cut_crops
from engines.measure.framing import compose, to_nv12
from engines.measure.parity import recorded_frames
from engines.modelfile import read_model
from engines.ort import OrtEngine
from engines.plans.plan import PlanOptions, build_plan, find_tensorrt
from engines.runtime import WEIGHTS_DIR
from tests.engines.standin import open_standin
from train.deliver.on_device import LAYOUTS, _Graph, _nv12_planes, _places, _rgb_planes, _sample, _to_rgb, with_frame
from train.tasks.on_device import main

DETECTOR = WEIGHTS_DIR / "detector-mnv2-tce64.onnx"
CROP_WH = (48, 64)


def front_alone(frame_wh, layout="rgb", matrix="bt601"):
    """Return the network in front as a function (frame, boxes) -> crops."""
    width, height = frame_wh
    graph = _Graph()
    grids, shares = _places(graph, CROP_WH)
    planes = _rgb_planes(graph) if layout == "rgb" else _nv12_planes(graph, frame_wh)
    sampled = [_sample(graph, p, grids, shares, frame_wh, CROP_WH) for p in planes]
    out = sampled[0] if layout == "rgb" else _to_rgb(graph, sampled, matrix)
    graph.nodes.append(helper.make_node("Identity", [out], ["crops"]))
    shape = [height, width, 3] if layout == "rgb" else [height * 3 // 2, width]
    inputs = [
        helper.make_tensor_value_info("frame", TensorProto.UINT8, shape),
        helper.make_tensor_value_info("boxes_xyxy", TensorProto.FLOAT, ["people", 4]),
    ]
    outputs = [helper.make_tensor_value_info("crops", TensorProto.FLOAT, None)]
    model = helper.make_model(
        helper.make_graph(graph.nodes, "front", inputs, outputs, graph.constants),
        opset_imports=[helper.make_opsetid("", 18)], ir_version=9,
    )  # fmt: skip
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return lambda frame, boxes: session.run(None, {"frame": frame, "boxes_xyxy": boxes})[0]


def picture(width, height, seed=0):
    """Smooth shapes with some edges, as pictures have."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 255, (height // 16 + 1, width // 16 + 1, 3), np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def boxes_of(ratio, width, height):
    """One box in the middle, one half outside at the top left, one wholly outside."""
    w, h = CROP_WH[0] * ratio, CROP_WH[1] * ratio
    x, y = width / 2 + 0.3, height / 2 - 0.7
    return np.float32([
        [x - w / 2, y - h / 2, x + w / 2, y + h / 2], [-w / 3, -h / 4, w * 2 / 3, h * 3 / 4],
        [width + 5, 0, width + 5 + w, h],
    ])  # fmt: skip


@pytest.mark.parametrize("size", [(640, 480), (333, 251)])
@pytest.mark.parametrize(
    ("ratio", "mean", "most"), [(0.4, 0.3, 0.6), (1.0, 0.3, 0.6), (2.4, 0.3, 0.6), (2.6, 0.6, 12), (6, 0.6, 12)]
)
def test_it_cuts_what_the_host_cuts(size, ratio, mean, most):
    """Up to a rounding to uint8; from halved frames also up to which pixels were halved together."""
    image, boxes = picture(*size), boxes_of(ratio, *size)
    have, want = front_alone(size)(image, boxes), cut_crops(image, boxes, CROP_WH)
    gap = np.abs(have - want.astype(np.float32))
    assert (gap.mean(), gap.max()) <= (mean, most)
    assert gap.max() <= most
    assert not have[2].any(), "outside the frame it is black"


def test_people_of_all_sizes_at_once():
    """Each is sampled from the level of their own size."""
    image = picture(640, 480)
    boxes = np.concatenate([boxes_of(r, 640, 480)[:1] for r in (5.2, 0.5, 2.0, 2.7)])
    together, front = front_alone((640, 480))(image, boxes), front_alone((640, 480))
    for i in range(4):
        np.testing.assert_array_equal(together[i : i + 1], front(image, boxes[i : i + 1]))


@pytest.mark.parametrize("ratio", [1.0, 3.0])
def test_nv12_gives_the_colours_of_the_picture(ratio):
    image, boxes = picture(640, 480), boxes_of(ratio, 640, 480)
    have = front_alone((640, 480), "nv12")(to_nv12(image), boxes)
    gap = np.abs(have - cut_crops(image, boxes, CROP_WH))
    assert gap.mean() < 2.0, "colours are stored at half the size"
    assert not have[2].any(), "outside the frame it is black, not green"
    wrong = front_alone((640, 480), "nv12", "bt709")(to_nv12(image), boxes)
    assert np.abs(wrong - cut_crops(image, boxes, CROP_WH)).mean() > 1.5 * gap.mean()


@pytest.fixture(scope="module")
def framed(tmp_path_factory):
    target = tmp_path_factory.mktemp("framed") / "framed.onnx"
    model = read_model(DETECTOR)
    target.write_bytes(with_frame(onnx.load(DETECTOR), model.sha256, (320, 240)).SerializeToString())
    return target


def test_a_detector_finds_the_same_joints_either_way(framed):
    """The wrapper hides the difference: picture and boxes in, joints in picture pixels out, memory carried."""
    host, device = Detector(OrtEngine(DETECTOR)), Detector(OrtEngine(framed))
    for frame in recorded_frames(device.engine.spec, 1)[:4]:
        boxes = frame["boxes_xyxy"]
        xy, score = host.detect(frame["frame"], boxes, [3])
        xy_device, score_device = device.detect(frame["frame"], boxes, [3])
        sure = score >= 0.3
        assert np.abs(xy - xy_device)[sure].max() < 0.3
        assert np.abs(score - score_device).max() < 0.02
    assert set(device.engine.carried()) == {3}


def test_frames_of_another_size_are_one_line(framed):
    with pytest.raises(EngineError, match=r"takes frames of 240 x 320 x 3, this one is 480 x 640 x 3: python -m train"):
        Detector(OrtEngine(framed)).detect(picture(640, 480), np.float32([[1, 1, 9, 9]]), [0])


def test_it_runs_in_the_gpu_engine_with_one_upload_of_the_frame(framed):
    """The frame has no people axis: it is handed over whole, whatever the number of people, also beyond eight."""
    ours, theirs = open_standin(framed, people=(1, 2)), OrtEngine(framed)
    for people in (1, 2, 3):
        frame = recorded_frames(theirs.spec, people)[0]
        a, b = (e.run(frame, range(people), set(range(people))) for e in (ours, theirs))
        np.testing.assert_allclose(a["xy"], b["xy"], atol=1e-3)


@pytest.mark.skipif(importlib.util.find_spec("tensorrt_rtx") is None, reason="needs tensorrt-rtx-cu13")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_tensorrt_builds_it(layout, tmp_path):
    target = tmp_path / "framed.onnx"
    made = with_frame(onnx.load(DETECTOR), read_model(DETECTOR).sha256, (320, 240), layout)
    target.write_bytes(made.SerializeToString())
    plan, _ = build_plan(read_model(target), PlanOptions(people=(2,)), find_tensorrt())
    assert plan.startswith(b"vtrt")


def test_people_are_put_side_by_side():
    spec = read_model(DETECTOR).spec
    crops = np.full((5, 64, 48, 3), 200, np.uint8)
    for wh in ((640, 360), (300, 700)):
        settings = {**spec.settings, "frame_wh": wh, "frame_layout": "rgb"}
        frame, boxes = compose(crops, type("Spec", (), {"settings": settings}))
        assert frame.shape == (wh[1], wh[0], 3)
        assert (boxes[:, :2] >= 0).all()
        assert (boxes[:, 2:] <= wh).all()
        areas = np.prod(boxes[:, 2:] - boxes[:, :2], 1)
        assert (frame == 200).all(-1).sum() == areas.sum(), "two lie on one another"


def test_the_command(tmp_path, capsys):
    assert main([str(DETECTOR), "--frame", "160x120", "--out", str(tmp_path)]) == 0
    assert "joints within 0." in capsys.readouterr().out
    made = read_model(tmp_path / "detector-mnv2-tce64-160x120.onnx")
    assert made.spec.inputs[0].shape == (120, 160, 3)
    assert main([str(DETECTOR), "--frame", "161x120", "--layout", "nv12", "--out", str(tmp_path)]) == 1
    assert "both must be even" in capsys.readouterr().err
    assert main([str(WEIGHTS_DIR / "lifter-tcn.onnx"), "--out", str(tmp_path)]) == 1
    assert "only a detector" in capsys.readouterr().err
