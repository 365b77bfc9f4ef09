"""MPII Human Pose: Andriluka et al., "2D Human Pose Estimation: New Benchmark ...", CVPR 2014.

    mpii_human_pose_v1_u12_1.mat    images/015601864.jpg        as published, or the well-known
    annot/train.json, annot/valid.json                          extract: joints, joints_vis, image, center, scale

Non-commercial research only. The file's test pictures have no joints. Its own training people are split by the sha1 of
the picture's name, a tenth being "val"; the extract comes with a split.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engines.skeletons import H36M17, LSP14, to_h36m17
from train.data.people.annotated import Row, as_stills, joints_box, labelled_enough, load_mat, renamed, weights
from train.data.people.lspet import is_held_out
from train.data.people.people2d import StillSet

JOINTS = (
    "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "pelvis", "neck", "upper_neck",
    "head_top", "right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist",
)  # fmt: skip
"""By number in the file. What MPII calls thorax is the base of the neck, LSP's neck; its upper neck is not used."""
PELVIS = JOINTS.index("pelvis")

Float = npt.NDArray[np.float32]


def as_row(path: Path, xy: Float, told: Float) -> Row:
    """Make a row of 16 joints (16, 2) in corner-origin pixels and their weights (16,)."""
    joints, weight = to_h36m17(*renamed(xy, told, JOINTS, LSP14), LSP14)
    if told[PELVIS] > 0:
        at = H36M17.index("pelvis")
        joints[at], weight[at] = xy[PELVIS], told[PELVIS]
    return Row(path, joints, weight, joints_box(xy, told) if (told > 0).any() else np.zeros(4, np.float32))


def _many(value: Any) -> list[Any]:
    """Return MATLAB's one struct or array of structs as a list."""
    return list(np.atleast_1d(value)) if np.size(value) else []


def _seen(point: Any) -> bool:
    """Say whether a joint is visible: the flag is a number, a text, empty, or (head and neck) missing."""
    flag = getattr(point, "is_visible", 1)
    return bool(int(flag)) if np.size(flag) and str(flag).strip() else True


def published(folder: Path) -> Iterator[Row]:
    """Yield everybody with joints in `mpii_human_pose_v1_u12_1.mat`."""
    release = load_mat(folder / "mpii_human_pose_v1_u12_1.mat")["RELEASE"]
    training = np.atleast_1d(release.img_train)
    for image, is_training in zip(_many(release.annolist), training, strict=True):
        for person in _many(image.annorect) if is_training else ():
            points = _many(getattr(getattr(person, "annopoints", None), "point", ()))
            xy, told = np.zeros((16, 2), np.float32), np.zeros(16, np.float32)
            for point in points:
                xy[int(point.id)] = float(point.x) - 0.5, float(point.y) - 0.5  # from 1-based pixel middles
                told[int(point.id)] = weights(np.bool_(True), np.bool_(_seen(point)))
            if points:
                yield as_row(folder / "images" / str(image.image.name), xy, told)


def extract(folder: Path, split: str) -> Iterator[Row]:
    """Yield the people of `annot/train.json` or `annot/valid.json`."""
    name = {"train": "train", "val": "valid"}[split]
    for person in json.loads((folder / "annot" / f"{name}.json").read_text()):
        xy = np.asarray(person["joints"], np.float32)
        labelled = (xy > 0).any(-1)
        told = weights(labelled, np.asarray(person["joints_vis"]) > 0)
        yield as_row(folder / "images" / person["image"], xy - 0.5, told)


def load(folder: Path, split: str) -> StillSet:
    """Read people with six joints or more.

    Args:
        folder: Of one of the layouts above.
        split: "train" or "val".

    Raises:
        FileNotFoundError: If neither annotation file is there.
    """
    if (folder / "annot").is_dir():
        rows = list(extract(folder, split))
    else:
        rows = [row for row in published(folder) if is_held_out(row.path.name) == (split == "val")]
    return as_stills(f"mpii {split}", labelled_enough(rows))
