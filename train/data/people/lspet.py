"""Leeds Sports Pose Extended: 9,000 sports photographs with 14 joints, read as H36M17.

Johnson and Everingham, "Learning Effective Human Pose Estimation from Inaccurate Annotation", CVPR 2011.
The set states no licence: a model trained on it says "research data inside".
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engines.skeletons import H36M17, LSP14, to_h36m17
from train.data.people.augment2d import PELVIS, THORAX, AugmentConfig
from train.data.people.people2d import StillSet

AUGMENT = AugmentConfig(upright=0.3, any_angle=0.1, tilt=40.0)
HARD, HARD_SHARE = "hard.npz", 3.0  # pictures in which a detector exchanges sides; how many times as often they come
SWAPPED_SHARE = 0.2  # labels that another network reads with left and right exchanged
TWO_SIDED = [H36M17.index(n) for n in H36M17.joints if n.startswith(("left_", "right_"))]


def is_held_out(file: str) -> bool:
    """Say whether a picture belongs to the held-out tenth: sha1 of its file name, modulo 10, is 0."""
    return int(hashlib.sha1(file.encode()).hexdigest(), 16) % 10 == 0


def load_lspet(folder: Path, held_out: bool, noses: Path | None = None, hard: Path | None = None) -> StillSet:
    """Read one side of the split.

    Args:
        folder: With `images/`, `labels.npz` and `movenet_check.npz`.
        held_out: The held-out tenth, or the rest.
        noses: npz with `picture` (file names), `xy_px` (N, 2), `score` (N,): found by a teacher in training pictures.
        hard: npz written by `train.tasks.hard2d`: the training pictures in which a detector exchanges sides, and what a
            third network says of them. Labels that it confirms come HARD_SHARE times as often, those that it reads as
            the detector does are mirrored; MoveNet's doubts count only where it says nothing.

    Raises:
        FileNotFoundError: If the folder is not LSPET.
    """
    labels = np.load(folder / "labels.npz")
    files = labels["file"].astype(str)
    rows = np.array([i for i, f in enumerate(files) if is_held_out(f) == held_out])
    marked = labels["visible"][rows] & np.isfinite(labels["joints_px"][rows]).all(-1)
    points = np.nan_to_num(labels["joints_px"][rows]).astype(np.float32) - 0.5  # from 1-based middles to corner origin
    xy, weight = to_h36m17(points, marked.astype(np.float32), LSP14)
    box = np.stack([_box(p, m) for p, m in zip(points, marked, strict=True)])
    share = 0.5 + 0.5 * _uprightness(xy, weight)
    verdict = verdicts(folder, files[rows])
    doubted = np.char.endswith(verdict, "_swapped")
    if hard is not None:
        exchanged, third = _opinions(hard, files[rows])
        mirrored = exchanged & (third < 0)
        # a label in doubt is believed if the detector, having hardly seen it, or the third network says the same
        doubted &= exchanged & (third == 0)
        sure = (third > 0) | (verdict == "agree") if third.any() else True
        share[exchanged & ~doubted & ~mirrored & sure] *= HARD_SHARE
        for part in (xy, weight):
            part[mirrored] = part[mirrored][:, list(H36M17.mirror)]
    share[doubted] *= SWAPPED_SHARE
    weight[np.ix_(doubted, TWO_SIDED)] *= 0.5
    if noses is not None:
        _add_noses(noses, files[rows], xy, weight)
    jpeg = [np.fromfile(folder / "images" / f, np.uint8) for f in files[rows]]
    return StillSet(
        "lspet", jpeg, xy, weight, np.zeros(weight.shape, bool), box, share.astype(np.float32),
        np.full(len(rows), -1, np.int64), AUGMENT,
    )  # fmt: skip


def file_names(folder: Path, held_out: bool) -> list[str]:
    """Return the file names in the order of `load_lspet`."""
    return [f for f in np.load(folder / "labels.npz")["file"].astype(str) if is_held_out(f) == held_out]


def third_opinions(path: Path | None) -> dict[str, int]:
    """Return what a third network says of pictures in a file of hard ones: 1 for the label, -1 for its mirror."""
    if path is None:
        return {}
    found = np.load(path)
    if "third" not in found:
        return {}
    return {f: int(t) for f, t in zip(found["picture"].astype(str), found["third"], strict=True) if t}


def _opinions(path: Path, files: npt.NDArray[np.str_]) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int8]]:
    """Return (N,) in which pictures the detector exchanges sides, and what the third network says."""
    third = third_opinions(path)
    return np.isin(files, np.load(path)["picture"]), np.array([third.get(f, 0) for f in files], np.int8)


def _box(points: npt.NDArray[np.float32], marked: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """Return the (4,) box around the marked joints."""
    known = points[marked]
    return np.concatenate([known.min(0), known.max(0)])


def _uprightness(xy: npt.NDArray[np.float32], weight: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return (N,) 1 where the torso stands, 0 where it lies or hangs, 0.5 where it is not known."""
    up = xy[:, PELVIS] - xy[:, THORAX]
    length = np.maximum(np.linalg.norm(up, axis=-1), 1e-3)
    known = np.minimum(weight[:, PELVIS], weight[:, THORAX]) > 0
    return np.where(known, np.clip(up[:, 1] / length, 0, 1), 0.5)


def verdicts(folder: Path, files: npt.NDArray[np.str_]) -> npt.NDArray[np.str_]:
    """Return (N,) what MoveNet says of labels: "agree", "unsure", "both_swapped", ...; "" where it was not asked."""
    path = folder / "movenet_check.npz"
    if not path.exists():
        return np.full(len(files), "")
    check = np.load(path)
    verdict = dict(zip(check["file"].astype(str), check["verdict"].astype(str), strict=True))
    return np.array([verdict.get(f, "") for f in files])


def _add_noses(
    path: Path, files: npt.NDArray[np.str_], xy: npt.NDArray[np.float32], weight: npt.NDArray[np.float32]
) -> None:
    """Fill in the teacher's noses, in place."""
    found, nose = np.load(path), H36M17.index("nose")
    row_of = {f: i for i, f in enumerate(found["picture"].astype(str))}
    for i, file in enumerate(files):
        row = row_of.get(file)
        if row is not None:
            xy[i, nose], weight[i, nose] = found["xy_px"][row], found["score"][row]
