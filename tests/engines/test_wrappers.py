"""Finder, Detector and Lifter over tiny real models."""

from __future__ import annotations

import numpy as np
import pytest

from engines.detector import Detector
from engines.errors import EngineError
from engines.finder import Finder
from engines.lifter import Lifter
from engines.runtime import open_engine
from tests.engines.tiny_models import counting_lifter, drifting_detector, fixed_finder


def test_finder_undoes_the_letterbox_and_suppresses_doubles(tmp_path):
    # a 200x100 picture in a 100x100 input: scale 0.5, 25 rows of fill above
    boxes = [[10, 30, 40, 70], [11, 31, 41, 71], [60, 30, 90, 70], [0, 27, 5, 32]]
    path = fixed_finder(tmp_path / "f.onnx", boxes, [0.9, 0.8, 0.7, 0.2], (100, 100))
    found, scores = Finder(open_engine(path)).find(np.zeros((100, 200, 3), np.uint8))
    np.testing.assert_allclose(found, [[20, 10, 80, 90], [120, 10, 180, 90]], atol=1e-3)
    np.testing.assert_allclose(scores, [0.9, 0.7])
    assert len(Finder(open_engine(path)).find(np.zeros((100, 200, 3), np.uint8), floor=0.1)[0]) == 3


def test_finder_boxes_stay_inside_the_picture(tmp_path):
    path = fixed_finder(tmp_path / "f.onnx", [[-50, -50, 150, 150]], [1.0], (100, 100))
    found, _ = Finder(open_engine(path)).find(np.zeros((1, 1, 3), np.uint8))
    assert len(found) == 0 or ((found >= 0) & (found <= 1)).all()


def test_detector_maps_crop_pixels_to_the_picture(tmp_path):
    detector = Detector(open_engine(drifting_detector(tmp_path / "d.onnx")))
    image = np.zeros((300, 300, 3), np.uint8)
    image[:] = (6, 8, 51)  # the model answers x = 6, y = 8: the middle of the 12x16 crop; score 0.2
    boxes = np.array([[30, 40, 90, 120], [100, 100, 220, 260]], np.float32)
    xy, score = detector.detect(image, boxes, ["a", "b"])
    np.testing.assert_allclose(xy[:, 0], [[60, 80], [160, 180]], atol=0.5)
    np.testing.assert_allclose(score, 0.2, atol=1e-2)


def test_detector_with_nobody(tmp_path):
    detector = Detector(open_engine(drifting_detector(tmp_path / "d.onnx")))
    xy, score = detector.detect(np.zeros((9, 9, 3), np.uint8), np.zeros((0, 4), np.float32), [])
    assert xy.shape == (0, 17, 2)
    assert score.shape == (0, 17)


@pytest.fixture
def lifter(tmp_path):
    return Lifter(open_engine(counting_lifter(tmp_path / "l.onnx")))


def frames_of(lifter, time_s, keys, reset=()):
    ones = np.ones((len(keys), 17), np.float32)
    xyz, _, filled = lifter.lift(np.zeros((len(keys), 17, 2), np.float32), ones, time_s, (640, 480), 500.0, keys, reset)
    return xyz[:, 3, 2].tolist(), filled.tolist()


def test_lifter_counts_real_history(lifter):
    assert frames_of(lifter, 0.0, [7]) == ([1], [0.25])
    assert frames_of(lifter, 0.1, [7]) == ([2], [0.5])
    assert frames_of(lifter, 0.2, [7, 8]) == ([3, 1], [0.75, 0.25])


@pytest.mark.parametrize("time_s", [0.61, -0.1])
def test_lifter_starts_afresh_after_a_gap_or_a_jump_back(lifter, time_s):
    frames_of(lifter, 0.0, [7])
    frames_of(lifter, 0.1, [7])
    assert frames_of(lifter, time_s, [7]) == ([1], [0.25])


def test_lifter_tells_the_model_the_time_step(lifter):
    frames_of(lifter, 5.0, [1])
    middle = np.tile(np.float32([320, 240]), (1, 17, 1))
    _, root, _ = lifter.lift(middle, np.zeros((1, 17), np.float32), 5.04, (640, 480), 500.0, [1])
    np.testing.assert_allclose(root, 0.04, atol=1e-6)  # root_m of the tiny model: joint 0 (all zero here) + dt


def test_absent_person_coasts_and_is_forgotten_after_the_gap(lifter):
    frames_of(lifter, 0.0, [7])
    assert frames_of(lifter, 0.1, []) == ([], [])
    assert frames_of(lifter, 0.2, [8]) == ([1], [0.25])
    # four steps of memory, one without joints and one while 8 alone was in view; two frames in view
    assert frames_of(lifter, 0.3, [8, 7]) == ([2, 4], [0.5, 0.5])
    frames_of(lifter, 0.5, [])
    assert frames_of(lifter, 0.81, [7]) == ([1], [0.25])


@pytest.mark.parametrize("wrapper", [Finder, Detector])
def test_a_model_of_another_kind_is_refused(wrapper, tmp_path):
    with pytest.raises(EngineError, match=r"lifter-tiny is a lifter, not a (finder|detector)"):
        wrapper(open_engine(counting_lifter(tmp_path / "l.onnx")))
