"""Penn Action: Zhang, Zhu and Derpanis, "From Actemes to Action", ICCV 2013. 2,326 clips of one person, 13 joints.

    labels/0001.mat: x, y, visibility (T, 13), bbox (T, 4), nframes, train (1 or -1)    frames/0001/000001.jpg

No licence stated: research use.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from engines.skeletons import COCO17, to_h36m17
from train.data.people.annotated import Row, as_stills, joints_box, labelled_enough, load_mat, renamed, weights
from train.data.people.people2d import StillSet

JOINTS = (
    "head", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
    "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip
"""The head has no counterpart: it is neither nose nor crown."""


def clip(label: Path, frames: Path) -> Iterator[Row]:
    """Yield the frames of one clip that have a picture."""
    content = load_mat(label)
    count = int(content["nframes"])
    xy = np.stack([content["x"], content["y"]], -1).reshape(count, 13, 2).astype(np.float32) - 0.5  # 1-based middles
    seen = np.asarray(content["visibility"]).reshape(count, 13) > 0
    told = weights((xy > 0.5).all(-1), seen)  # without a label a joint is at (1, 1) or (0, 0)
    joints, weight = to_h36m17(*renamed(xy, told, JOINTS, COCO17), COCO17)
    boxes = np.asarray(content["bbox"], np.float32).reshape(-1, 4)
    for t in range(count):
        path = frames / f"{t + 1:06d}.jpg"
        if (told[t] > 0).any() and path.exists():
            box = boxes[t] if t < len(boxes) and (boxes[t, 2:] > boxes[t, :2]).all() else joints_box(xy[t], told[t])
            yield Row(path, joints[t], weight[t], box, label.stem, t)


def load(folder: Path, split: str) -> StillSet:
    """Read one side of the set's own split, clip by clip, `following` joining the frames.

    Args:
        folder: With `labels/` and `frames/`.
        split: "train" or "val" (the set's test clips).

    Raises:
        FileNotFoundError: If there are no label files.
    """
    labels = sorted((folder / "labels").glob("*.mat"))
    if not labels:
        raise FileNotFoundError(f"no labels/*.mat in {folder}: not Penn Action")
    wanted = [p for p in labels if (int(load_mat(p)["train"]) > 0) == (split == "train")]
    rows = [row for label in wanted for row in clip(label, folder / "frames" / label.stem)]
    return as_stills(f"penn {split}", labelled_enough(rows))
