"""The protocol with MediaPipe's process; a stand-in for its library answers, which needs another numpy than ours."""

import sys
from pathlib import Path

import numpy as np
import pytest

from engines.skeletons import H36M17
from train.errors import DataError
from train.measure.peers2d import mediapipe_joints

LIBRARY = """
from types import SimpleNamespace as N

class Pose:
    def __init__(self, **options): assert options["static_image_mode"]
    def __enter__(self): return self
    def __exit__(self, *_): pass
    def process(self, picture):
        side = len(picture)
        ys, xs = (picture[..., 0] > 200).nonzero()
        if not len(xs):
            return N(pose_landmarks=None)
        at = N(x=xs.mean() / side + 0.5 / side, y=ys.mean() / side + 0.5 / side, visibility=0.5)
        return N(pose_landmarks=N(landmark=[at] * 33))

solutions = N(pose=N(Pose=Pose))
"""


def test_joints_come_back_in_the_pictures_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mediapipe.py").write_text(LIBRARY)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    seen, empty = np.zeros((200, 300, 3), np.uint8), np.zeros((200, 300, 3), np.uint8)
    seen[118:122, 208:212] = 255
    boxes = [np.array([150, 60, 250, 180], np.float32)] * 2
    xy, score = mediapipe_joints([seen, empty], boxes, Path(sys.executable))
    assert xy.shape == (2, 17, 2)
    np.testing.assert_allclose(xy[0, H36M17.index("left_wrist")], (210, 120), atol=0.5)
    assert score[0, H36M17.index("left_wrist")] == pytest.approx(0.5)
    assert (score[1] == 0).all()
    assert (xy[1] == 0).all()


def test_without_the_library_one_line_says_so() -> None:
    picture, box = np.zeros((20, 20, 3), np.uint8), np.array([2, 2, 18, 18], np.float32)
    with pytest.raises(DataError, match="no MediaPipe there"):
        mediapipe_joints([picture], [box], Path(sys.executable))
