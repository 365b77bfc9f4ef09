"""Other programs' 2D joints of the same people, for comparison: MoveNet here, MediaPipe in a process of its own."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engines.skeletons import COCO17, to_h36m17
from train.data.people.teacher import SIDE as MOVENET_SIDE
from train.data.people.teacher import Teacher, cut_view, view_matrix
from train.errors import DataError

Float = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]
ENLARGE = 1.25
SIDE = 384  # pixels of MediaPipe's square: more than its networks take
BLAZEPOSE = {
    "nose": 0, "left_eye": 2, "right_eye": 5, "left_ear": 7, "right_ear": 8, "left_shoulder": 11, "right_shoulder": 12,
    "left_elbow": 13, "right_elbow": 14, "left_wrist": 15, "right_wrist": 16, "left_hip": 23, "right_hip": 24,
    "left_knee": 25, "right_knee": 26, "left_ankle": 27, "right_ankle": 28,
}  # fmt: skip
"""MediaPipe's landmark of each COCO joint."""


def movenet_joints(images: Sequence[Image], boxes: Sequence[Float], teacher: Teacher) -> tuple[Float, Float]:
    """Find each person with one look: xy (N, 17, 2) in picture pixels and score (N, 17), H36M17."""
    found = [to_h36m17(*teacher.joints(i, b, ENLARGE), COCO17) for i, b in zip(images, boxes, strict=True)]
    return np.stack([xy for xy, _ in found]), np.stack([score for _, score in found])


def mediapipe_joints(images: Sequence[Image], boxes: Sequence[Float], python: Path) -> tuple[Float, Float]:
    """Find each person with MediaPipe Pose (full) in the square that MoveNet gets.

    Args:
        images: Pictures, (H, W, 3) uint8 RGB.
        boxes: (4,) of the person in each.
        python: Interpreter of an environment with mediapipe.

    Returns:
        xy (N, 17, 2) in picture pixels and score (N, 17), H36M17; where it finds nobody, score 0 and (0, 0).

    Raises:
        DataError: If it cannot be run there.
    """
    script = Path(__file__).with_name("peer_mediapipe.py")
    out = []
    with subprocess.Popen(
        [str(python), str(script), str(SIDE)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        for image, box in zip(images, boxes, strict=True):
            matrix = view_matrix(box, ENLARGE, 0.0, False) * (SIDE / MOVENET_SIDE)
            try:
                child.stdin.write(cut_view(image, matrix, (SIDE, SIDE)).tobytes())
                child.stdin.flush()
                said = child.stdout.read(33 * 3 * 4)
            except BrokenPipeError:
                said = b""
            if len(said) < 33 * 3 * 4:
                raise DataError(f"{python}: no MediaPipe there; it needs an environment with mediapipe==0.10.21")
            marks = np.frombuffer(said, np.float32).reshape(33, 3)[list(BLAZEPOSE.values())]
            xy = (marks[:, :2] * SIDE - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
            out.append(to_h36m17(xy.astype(np.float32), marks[:, 2], COCO17))
        child.stdin.close()
    return np.stack([xy for xy, _ in out]), np.stack([score for _, score in out])
