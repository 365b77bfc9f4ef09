"""Metrics of 3D pose, as the literature defines them. Poses (..., T, J, 3) metres, pelvis at the origin; results in mm.

A joint or row that is NaN in either array is not measured. Bones have a file of their own, `engines.measure.bones3d`.
"""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt

Poses = npt.NDArray[np.floating]

PCK_MM = 150.0
AUC_MM = tuple(range(0, 151, 5))


def mpjpe_mm(pose_m: Poses, truth_m: Poses) -> float:
    """Mean per-joint position error (protocol 1): mean Euclidean distance over all joints, pelvis aligned."""
    return mean(np.linalg.norm(pose_m - truth_m, axis=-1)) * 1000


def joint_errors_mm(pose_m: Poses, truth_m: Poses) -> Poses:
    """Return the mean position error of each joint, (J,)."""
    apart = np.linalg.norm(pose_m - truth_m, axis=-1)
    return mean_over(apart.reshape(-1, apart.shape[-1]), 0) * 1000


def p_mpjpe_mm(pose_m: Poses, truth_m: Poses) -> float:
    """MPJPE after the best similarity transform of each frame (protocol 2)."""
    return mpjpe_mm(procrustes(pose_m, truth_m), truth_m)


def procrustes(pose_m: Poses, truth_m: Poses) -> Poses:
    """Return poses (..., J, 3) moved, turned and scaled onto the truth, each frame alone (Umeyama 1991, eq. 40-42)."""
    known = np.isfinite(pose_m).all(-1, keepdims=True) & np.isfinite(truth_m).all(-1, keepdims=True)
    count = np.maximum(known.sum(-2, keepdims=True), 1)
    pose_0, truth_0 = np.where(known, pose_m, 0), np.where(known, truth_m, 0)
    mean, target_mean = pose_0.sum(-2, keepdims=True) / count, truth_0.sum(-2, keepdims=True) / count
    a, b = np.where(known, pose_0 - mean, 0), np.where(known, truth_0 - target_mean, 0)
    u, s, vt = np.linalg.svd(np.swapaxes(a, -1, -2) @ b)
    flip = np.ones_like(s)
    flip[..., -1] = np.sign(np.linalg.det(u) * np.linalg.det(vt))  # no mirror images
    rotation = (u * flip[..., None, :]) @ vt
    scale = (s * flip).sum(-1) / np.maximum((a * a).sum((-1, -2)), 1e-12)
    return np.where(known, scale[..., None, None] * (a @ rotation) + target_mean, np.nan)


def n_mpjpe_mm(pose_m: Poses, truth_m: Poses) -> float:
    """MPJPE after the best scale of each frame about the pelvis (Rhodin et al., CVPR 2018, section 4)."""
    known = np.isfinite(pose_m) & np.isfinite(truth_m)
    a, b = np.where(known, pose_m, 0), np.where(known, truth_m, 0)
    scale = (a * b).sum((-1, -2), keepdims=True) / np.maximum((a * a).sum((-1, -2), keepdims=True), 1e-12)
    return mpjpe_mm(scale * pose_m, truth_m)


def pck(pose_m: Poses, truth_m: Poses, threshold_mm: float = PCK_MM) -> float:
    """Return the share of the joints that are less than `threshold_mm` away (PCK3D; Mehta et al., 3DV 2017).

    The pelvis is right by definition: leave it out.
    """
    apart = np.linalg.norm(pose_m - truth_m, axis=-1) * 1000
    return mean(np.where(np.isfinite(apart), apart < threshold_mm, np.nan))


def auc(pose_m: Poses, truth_m: Poses) -> float:
    """Return the mean PCK3D over thresholds of 0, 5 .. 150 mm (Mehta et al., 3DV 2017, and their evaluation code)."""
    return float(np.mean([pck(pose_m, truth_m, threshold_mm) for threshold_mm in AUC_MM]))


def mpjve_mm_per_frame(pose_m: Poses, truth_m: Poses) -> float:
    """Mean per-joint velocity error: MPJPE of the displacements from frame to frame (Pavllo et al., CVPR 2019)."""
    return mpjpe_mm(np.diff(pose_m, axis=-3), np.diff(truth_m, axis=-3))


def mpjve_mm_per_s(pose_m: Poses, truth_m: Poses, time_s: Poses) -> float:
    """Velocity error over real time (..., T), so that frame rates compare."""
    apart = np.linalg.norm(np.diff(pose_m, axis=-3) - np.diff(truth_m, axis=-3), axis=-1)
    return mean(apart / np.diff(time_s, axis=-1)[..., None]) * 1000


def acceleration_error_mm(pose_m: Poses, truth_m: Poses) -> float:
    """Mean error of the second difference in time, mm per frame squared (Kanazawa et al., CVPR 2019, section 5)."""
    return mpjpe_mm(np.diff(pose_m, 2, axis=-3), np.diff(truth_m, 2, axis=-3))


def jitter_mm(pose_m: Poses) -> float:
    """Mean size of a motion's own second difference in time, mm per frame squared: trembling, and real swings."""
    return mean(np.linalg.norm(np.diff(pose_m, 2, axis=-3), axis=-1)) * 1000


def root_error_share(root_m: Poses, truth_m: Poses) -> float:
    """Median distance of the root (..., 3) from the truth, as a share of the true depth."""
    share = np.linalg.norm(root_m - truth_m, axis=-1) / truth_m[..., 2]
    share = share[np.isfinite(share)]
    return float(np.median(share)) if share.size else float("nan")


def root_error_mm(root_m: Poses, truth_m: Poses) -> float:
    """Mean distance of the root (..., 3) from the truth (MRPE; Moon et al., ICCV 2019)."""
    return mean(np.linalg.norm(root_m - truth_m, axis=-1)) * 1000


def mean(values: Poses) -> float:
    """Return the mean of what is known; NaN if nothing is."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")


def mean_over(values: Poses, axis: int) -> Poses:
    """Return the mean of what is known along an axis; NaN where nothing is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # "Mean of empty slice"
        return np.nanmean(values, axis)
