"""Joint orders of the data sets' files, and their joints as H36M17.

"crown" is the top of the head, above Human3.6M's head_top; "-" stands for joints that H36M17 does not have.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engines.skeletons import COCO17, CROWN_TO_HEAD_TOP, H36M17, to_h36m17
from train.data.motion.mocap import Float

HUMANEVA15 = (
    "pelvis", "thorax", "left_shoulder", "left_elbow", "left_wrist", "right_shoulder", "right_elbow", "right_wrist",
    "left_hip", "left_knee", "left_ankle", "right_hip", "right_knee", "right_ankle", "crown",
)  # fmt: skip
MPII16 = (
    "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "pelvis", "thorax", "-", "crown",
    "right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist",
)  # fmt: skip
MPI28 = (
    "-", "-", "-", "spine", "pelvis", "thorax", "nose", "crown",
    "-", "left_shoulder", "left_elbow", "left_wrist", "-", "-", "right_shoulder", "right_elbow", "right_wrist", "-",
    "left_hip", "left_knee", "left_ankle", "-", "-", "right_hip", "right_knee", "right_ankle", "-", "-",
)  # fmt: skip
"""MPI-INF-3DHP's training set; its "neck" is our thorax, its "head" stands in for the nose."""
MPI17 = (
    "crown", "thorax", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
    "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "pelvis", "spine", "nose",
)  # fmt: skip
"""MPI-INF-3DHP's test set."""
LAYOUTS = {"h36m": H36M17.joints, "humaneva15": HUMANEVA15, "mpii": MPII16}


def as_h36m17(points: npt.NDArray[np.floating], layout: tuple[str, ...]) -> Float:
    """Return (..., 17, D) float32 of (..., J, D) points; a joint that the layout cannot give is 0.

    A spine that is not there is put half way between pelvis and thorax; head_top lies 0.75 of the way to the crown.
    """
    out = np.zeros((*points.shape[:-2], 17, points.shape[-1]), np.float32)
    for joint, sources in _sources(layout).items():
        out[..., H36M17.index(joint), :] = sum(points[..., row, :] * weight for row, weight in sources)
    return out


def score_as_h36m17(score: npt.NDArray[np.floating], layout: tuple[str, ...]) -> Float:
    """Return (..., 17) float32 of (..., J) scores: the lowest of a joint's sources, 0 where there is none."""
    out = np.zeros((*score.shape[:-1], 17), np.float32)
    for joint, sources in _sources(layout).items():
        out[..., H36M17.index(joint)] = score[..., [row for row, _ in sources]].min(-1)
    return out


def seen_as_h36m17(points: npt.NDArray[np.floating], name: str) -> tuple[Float, Float]:
    """Return xy (T, 17, 2) and score (T, 17) of a 2D file's joints.

    Args:
        points: (T, J, 2 or more); a third column is the score. Joints that are not finite get score 0.
        name: "coco" or one of LAYOUTS.
    """
    known = np.isfinite(points[..., :2]).all(-1)
    xy = np.where(known[..., None], points[..., :2], 0).astype(np.float32)
    score = np.where(known, np.clip(points[..., 2], 0, 1) if points.shape[-1] > 2 else 1, 0).astype(np.float32)
    if name == "coco":
        return to_h36m17(xy, score, COCO17)
    return as_h36m17(xy, LAYOUTS[name]), score_as_h36m17(score, LAYOUTS[name])


def copied(layout: tuple[str, ...]) -> npt.NDArray[np.bool_]:
    """Return (17,) which joints of H36M17 are a joint of the layout, neither made of others nor left out."""
    return np.array([joint in layout for joint in H36M17.joints])


def _sources(layout: tuple[str, ...]) -> dict[str, list[tuple[int, float]]]:
    """Return rows and weights that make up each joint."""
    found = {joint: [(layout.index(joint), 1.0)] for joint in H36M17.joints if joint in layout}
    if "spine" not in found:
        found["spine"] = [(layout.index("pelvis"), 0.5), (layout.index("thorax"), 0.5)]
    if "head_top" not in found:
        found["head_top"] = [
            (layout.index("thorax"), 1 - CROWN_TO_HEAD_TOP),
            (layout.index("crown"), CROWN_TO_HEAD_TOP),
        ]
    return found
