"""MoveNet as a teacher, and clips labelled by it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from engines.skeletons import COCO17, H36M17
from tests.train.data.test_people2d import brightest
from train.data.people.clips import HELD_OUT_SHARE, label_clip
from train.data.people.teacher import SIDE, Teacher, cut_view, decode, view_matrix


def test_teacher_views_are_cut_where_their_matrix_says():
    image = np.zeros((300, 400, 3), np.uint8)
    image[120:124, 250:254] = 255
    for enlarge, degrees, mirrored in ((1.0, 0.0, False), (2.5, 30.0, True)):
        matrix = view_matrix(np.float32([200, 80, 300, 200]), enlarge, degrees, mirrored)
        expected = matrix[:, :2] @ (252, 122) + matrix[:, 2]
        assert np.linalg.norm(brightest(cut_view(image, matrix, (SIDE, SIDE))) - expected) < 2


def test_teacher_prefers_the_person_in_the_middle():
    import torch

    maps = {k: torch.full((1, c, 48, 48), -9.0) for k, c in (("centre", 1), ("heatmap", 17))}
    maps |= {k: torch.zeros(1, 34, 48, 48) for k in ("regress", "offset")}
    maps["centre"][0, 0, 24, 24], maps["centre"][0, 0, 5, 5] = 2.0, 3.0
    maps["regress"][0, 0:2, 24, 24] = torch.tensor([-10.0, 4.0])  # nose: y, x from the person's cell
    maps["heatmap"][0, 0, 15, 28], maps["heatmap"][0, 0, 40, 40] = 1.0, 1.5
    maps["offset"][0, 0:2, 15, 28] = torch.tensor([0.25, 0.5])
    xy, score = decode(maps)
    np.testing.assert_allclose(xy[0, 0].numpy() * 48, (28.5, 15.25), atol=1e-4)
    assert float(score[0, 0]) == pytest.approx(1 / (1 + np.exp(-1.0)), abs=1e-5)


class SquareFinder(Teacher):
    """Finds the bright square of a frame; its corners stand for all joints."""

    def __init__(self):
        pass

    def joints(self, image, box_xyxy_px, enlarge=1.25):
        bright = np.argwhere(image.mean(-1) > 128)
        if not len(bright):
            return np.zeros((17, 2), np.float32), np.zeros(17, np.float32)
        (y0, x0), (y1, x1) = bright.min(0), bright.max(0)
        corners = np.float32([[x0, y0], [x1, y0], [x0, y1], [x1, y1]])
        return corners[np.arange(17) % 4], np.full(17, 0.8, np.float32)

    def agreed(self, image, box_xyxy_px, upright_degrees=0.0):
        xy, score = self.joints(image, box_xyxy_px)
        spread = np.zeros(17, np.float32)
        spread[COCO17.index("left_wrist")] = 0.5  # its views disagree
        return xy, score, spread


def test_a_clip_is_labelled_in_runs_and_its_last_third_held_out(tmp_path):
    writer = cv2.VideoWriter(str(tmp_path / "c.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (160, 120))
    for t in range(30):
        frame = np.zeros((120, 160, 3), np.uint8)
        if not 8 <= t < 12:  # nobody there
            frame[40:100, 30 + t : 60 + t] = 255
        writer.write(frame)
    writer.release()
    train, held_out = label_clip(SquareFinder(), tmp_path / "c.avi")
    assert len(held_out) == round(30 * HELD_OUT_SHARE)
    assert len(train) == 20 - 4
    assert (train.following == -1).sum() == 2, "two unbroken runs"
    assert train.weight[0, H36M17.index("left_wrist")] == 0
    assert train.weight[0, H36M17.index("right_wrist")] > 0
    shoulder = train.xy_px[3, H36M17.index("left_shoulder")].astype(int)
    assert train.picture(3)[shoulder[1] - 2 : shoulder[1] + 3, shoulder[0] - 2 : shoulder[0] + 3].max() > 128
