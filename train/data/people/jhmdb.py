"""Sub-JHMDB: Jhuang et al., "Towards Understanding Action Recognition", ICCV 2013. 316 clips, whole body in view.

    joint_positions/ACTION/CLIP/joint_positions.mat: pos_img (2, 15, T)      Rename_Images/ACTION/CLIP/00001.png
    sub_splits/ACTION_test_split1.txt: "CLIP.avi 1" = train, 2 = test        puppet_mask/ACTION/CLIP/puppet_mask.mat

The clips are HMDB51's (CC BY 4.0), the annotations state no licence: research use. Boxes are those of the puppet masks,
as in Li's thesis; without them, of the joints.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engines.skeletons import H36M17, LSP14, to_h36m17
from train.data.people.annotated import Row, as_stills, joints_box, labelled_enough, load_mat, renamed
from train.data.people.people2d import StillSet

JOINTS = (
    "neck", "belly", "face", "right_shoulder", "left_shoulder", "right_hip", "left_hip", "right_elbow", "left_elbow",
    "right_knee", "left_knee", "right_wrist", "left_wrist", "right_ankle", "left_ankle",
)  # fmt: skip
"""The face stands for the nose, at half weight; the belly is not used (the spine is worked out as everywhere)."""
FACE = 0.5
SIDES = {"train": "1", "val": "2"}
Float = npt.NDArray[np.float32]


def listed(folder: Path, split: str, number: int) -> Iterator[tuple[str, str]]:
    """Yield (action, clip) of one side of a split.

    Raises:
        FileNotFoundError: If there is no such split.
    """
    for name in ("sub_splits", "splits"):
        lists = sorted((folder / name).glob(f"*_test_split{number}.txt"))
        if lists:
            break
    else:
        raise FileNotFoundError(f"no sub_splits/*_test_split{number}.txt in {folder}: not Sub-JHMDB")
    for path in lists:
        for line in path.read_text().split("\n"):
            words = line.split()
            if len(words) == 2 and words[1] == SIDES[split]:
                yield path.name.removesuffix(f"_test_split{number}.txt"), words[0].removesuffix(".avi")


def _mask_boxes(path: Path) -> dict[int, Float]:
    """Return the box of each frame's puppet mask, where there are masks."""
    if not path.exists():
        return {}
    masks = np.asarray(load_mat(path)["part_mask"]) > 0  # (H, W, T)
    masks = masks[..., None] if masks.ndim == 2 else masks
    boxes = {}
    for t in range(masks.shape[2]):
        y, x = np.nonzero(masks[..., t])
        if len(x):
            boxes[t] = np.array([x.min(), y.min(), x.max() + 1, y.max() + 1], np.float32)
    return boxes


def clip(folder: Path, action: str, name: str) -> Iterator[Row]:
    """Yield the frames of one clip that have a picture."""
    content = load_mat(folder / "joint_positions" / action / name / "joint_positions.mat")
    points = np.asarray(content["pos_img"], np.float32).reshape(2, 15, -1).transpose(2, 1, 0) - 0.5  # 1-based middles
    known = np.ones(points.shape[:2], np.float32)
    joints, weight = to_h36m17(*renamed(points, known, JOINTS, LSP14), LSP14)
    nose = H36M17.index("nose")
    joints[:, nose], weight[:, nose] = points[:, JOINTS.index("face")], FACE
    boxes = _mask_boxes(folder / "puppet_mask" / action / name / "puppet_mask.mat")
    for t in range(len(points)):
        path = folder / "Rename_Images" / action / name / f"{t + 1:05d}.png"
        if path.exists():
            box = boxes.get(t, joints_box(points[t], known[t]))
            yield Row(path, joints[t], weight[t], box, f"{action}/{name}", t)


def load(folder: Path, split: str, number: int = 1) -> StillSet:
    """Read one side of a split, `following` joining the frames of a clip.

    Args:
        folder: Of the layout above.
        split: "train" or "val" (the split's test clips).
        number: 1 to 3.

    Raises:
        FileNotFoundError: If there is no such split.
    """
    rows = [row for action, name in listed(folder, split, number) for row in clip(folder, action, name)]
    return as_stills(f"jhmdb {split}", labelled_enough(rows))
