"""Metrics of 3D pose, as the literature defines them. Poses (..., T, 17, 3) metres; results in millimetres."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Poses = npt.NDArray[np.floating]


def mpjpe_mm(pose_m: Poses, truth_m: Poses) -> float:
    """Mean per-joint position error (protocol 1): mean Euclidean distance over all 17 joints, pelvis aligned."""
    return float(np.linalg.norm(pose_m - truth_m, axis=-1).mean() * 1000)


def p_mpjpe_mm(pose_m: Poses, truth_m: Poses) -> float:
    """MPJPE after the best similarity transform of each frame (protocol 2)."""
    return mpjpe_mm(procrustes(pose_m, truth_m), truth_m)


def procrustes(pose_m: Poses, truth_m: Poses) -> Poses:
    """Return poses (..., J, 3) moved, turned and scaled onto the truth, each frame alone (Umeyama 1991, eq. 40-42)."""
    mean, target_mean = pose_m.mean(-2, keepdims=True), truth_m.mean(-2, keepdims=True)
    a, b = pose_m - mean, truth_m - target_mean
    u, s, vt = np.linalg.svd(np.swapaxes(a, -1, -2) @ b)
    flip = np.ones_like(s)
    flip[..., -1] = np.sign(np.linalg.det(u) * np.linalg.det(vt))  # no mirror images
    rotation = (u * flip[..., None, :]) @ vt
    scale = (s * flip).sum(-1) / np.maximum((a * a).sum((-1, -2)), 1e-12)
    return scale[..., None, None] * (a @ rotation) + target_mean


def mpjve_mm_per_frame(pose_m: Poses, truth_m: Poses) -> float:
    """Mean per-joint velocity error: MPJPE of the displacements from frame to frame (time on axis -3)."""
    return mpjpe_mm(np.diff(pose_m, axis=-3), np.diff(truth_m, axis=-3))


def root_error_share(root_m: Poses, truth_m: Poses) -> float:
    """Median distance of the root (..., 3) from the truth, as a share of the true depth."""
    return float(np.median(np.linalg.norm(root_m - truth_m, axis=-1) / truth_m[..., 2]))
