"""Metrics of the bones of 3D poses (..., T, 17, 3) in metres: their length, its steadiness, left against right.

NaN joints are not measured. A body's bones do not change: what a lifter makes of them tells its errors apart
from the motion's, also where nobody knows the truth.
"""

from __future__ import annotations

import warnings

import numpy as np

from engines.measure.metrics3d import Poses, mean, mean_over
from engines.skeletons import H36M17

_NAMED = {  # by the joint at its end
    "hip": "pelvis half", "knee": "thigh", "ankle": "shin", "shoulder": "collar", "elbow": "upper arm",
    "wrist": "forearm", "spine": "lower trunk", "thorax": "upper trunk", "nose": "neck", "head_top": "head",
}  # fmt: skip


def _name(joint: str) -> str:
    side, _, rest = joint.partition("_")
    return f"{side} {_NAMED[rest]}" if side in ("left", "right") else _NAMED[joint]


BONES = tuple(_name(H36M17.joints[child]) for _, child in H36M17.bones)
"""Names of the 16 bones, in the order of `H36M17.bones`."""
LIMBS = tuple(n for n in BONES if n.endswith(("thigh", "shin", "upper arm", "forearm")))
"""The bones of arms and legs."""
_PARENTS, _CHILDREN = (list(side) for side in zip(*H36M17.bones, strict=True))
_PAIRS = [(BONES.index(f"left {n}"), BONES.index(f"right {n}")) for n in ("thigh", "shin", "upper arm", "forearm")]


def bone_lengths_m(pose_m: Poses) -> Poses:
    """Return the lengths (..., T, 16) of the bones."""
    return np.linalg.norm(pose_m[..., _CHILDREN, :] - pose_m[..., _PARENTS, :], axis=-1)


def bone_length_errors_mm(pose_m: Poses, truth_m: Poses) -> Poses:
    """Return the mean absolute error of each bone's length, (16,)."""
    apart = np.abs(bone_lengths_m(pose_m) - bone_lengths_m(truth_m))
    return mean_over(apart.reshape(-1, len(BONES)), 0) * 1000


def bone_length_sd_mm(pose_m: Poses) -> Poses:
    """Return the standard deviation (..., 16) over the T frames of a clip of each bone's length."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a bone that is never seen
        return np.nanstd(bone_lengths_m(pose_m), -2) * 1000


def limb_ratio_error(pose_m: Poses, truth_m: Poses) -> float:
    """Return the mean absolute error of the ratio of left to right length, over thighs, shins, upper arms, forearms."""
    left, right = (list(side) for side in zip(*_PAIRS, strict=True))
    lengths, truths = bone_lengths_m(pose_m), bone_lengths_m(truth_m)
    ratio = lengths[..., left] / np.maximum(lengths[..., right], 1e-6)
    return mean(np.abs(ratio - truths[..., left] / np.maximum(truths[..., right], 1e-6)))
