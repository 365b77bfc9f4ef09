"""How right 2D joints are: PCK by torso and by person box, left/right exchanges, calibration of scores.

PCK@a is the share of labelled joints within a times a reference length of the truth. "torso" is the
distance from left shoulder to right hip (Sapp and Taskar, MODEC, CVPR 2013), people without both are left out.
"box" is the longer side of the person's box (as in Li's thesis, section 2.8.1).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engines.skeletons import H36M17

Float = npt.NDArray[np.float32]
Bool = npt.NDArray[np.bool_]

GROUPS: dict[str, tuple[str, ...]] = {
    "head": ("nose", "head_top"),
    "trunk": ("pelvis", "spine", "thorax"),
    "shoulders": ("left_shoulder", "right_shoulder"),
    "elbows": ("left_elbow", "right_elbow"),
    "wrists": ("left_wrist", "right_wrist"),
    "hips": ("left_hip", "right_hip"),
    "knees": ("left_knee", "right_knee"),
    "ankles": ("left_ankle", "right_ankle"),
}
LIMBS = tuple(n for g in ("shoulders", "elbows", "wrists", "hips", "knees", "ankles") for n in GROUPS[g])
"""The 12 joints that LSP, COCO and H36M share."""
FOUND_AT_ALL, ON_LABELS, CLEARLY = 0.1, 0.12, 0.8  # mean score, mean distance / box, one distance / the other
ENOUGH = 8  # limb joints, labelled on both sides, to say whether sides are exchanged


def rows_of(names: tuple[str, ...]) -> list[int]:
    """Return the H36M17 indices of joint names."""
    return [H36M17.index(n) for n in names]


def torso_lengths(xy: Float, labelled: Bool) -> Float:
    """Return (N,) distances from left shoulder to right hip; NaN where one is not labelled."""
    a, b = H36M17.index("left_shoulder"), H36M17.index("right_hip")
    length = np.linalg.norm(xy[:, a] - xy[:, b], axis=-1)
    return np.where(labelled[:, a] & labelled[:, b], length, np.nan).astype(np.float32)


def box_lengths(xy: Float, labelled: Bool) -> Float:
    """Return (N,) longer sides of the boxes around the labelled joints; NaN without any."""
    low = np.where(labelled[..., None], xy, np.inf).min(1)
    high = np.where(labelled[..., None], xy, -np.inf).max(1)
    return np.where(labelled.any(1), (high - low).max(-1), np.nan).astype(np.float32)


def errors(xy: Float, truth: Float, labelled: Bool, reference: str) -> Float:
    """Return (N, 17) distances in units of the reference, "torso" or "box"; NaN where there is no truth.

    Raises:
        ValueError: If the reference is neither.
    """
    if reference not in ("torso", "box"):
        raise ValueError(f"unknown PCK reference {reference!r}; known: torso, box")
    lengths = torso_lengths(truth, labelled) if reference == "torso" else box_lengths(truth, labelled)
    lengths = np.where(lengths > 1, lengths, np.nan)  # a torso seen end-on measures nothing
    away = np.linalg.norm(xy - truth, axis=-1) / lengths[:, None]
    return np.where(labelled, away, np.nan).astype(np.float32)


def pck(
    xy: Float, truth: Float, labelled: Bool, share: float, reference: str, joints: tuple[str, ...] | None = None
) -> float:
    """Return the share of labelled joints within `share` reference lengths of the truth; NaN without any.

    Args:
        xy: (N, 17, 2) found.
        truth: (N, 17, 2).
        labelled: (N, 17).
        share: E.g. 0.2.
        reference: "torso" or "box".
        joints: Names to count; None for all.
    """
    away = errors(xy, truth, labelled, reference)
    away = away if joints is None else away[:, rows_of(joints)]
    counted = away[np.isfinite(away)]
    return float((counted <= share).mean()) if counted.size else float("nan")


def pck_by_joint(xy: Float, truth: Float, labelled: Bool, share: float, reference: str) -> dict[str, float]:
    """Return `pck` of each joint that is labelled anywhere, by name."""
    away = errors(xy, truth, labelled, reference)
    out = {}
    for number, name in enumerate(H36M17.joints):
        counted = away[:, number][np.isfinite(away[:, number])]
        if counted.size:
            out[name] = float((counted <= share).mean())
    return out


def presence(score: Float) -> Float:
    """Return (...) how surely a person is there: the mean of the ten best of (..., 17) joint scores."""
    return np.sort(score, axis=-1)[..., -10:].mean(-1)


def jitter(xy: Float, truth: Float, known: Bool) -> float:
    """Return the mean second difference of the error over time, in torso lengths: shaking, not lag or offset.

    Args:
        xy: (N, T, 17, 2) found.
        truth: (N, T, 17, 2).
        known: (N, T, 17) whether to count the joint in that frame.
    """
    shape = truth.shape[:2]
    torso = torso_lengths(truth.reshape(-1, 17, 2), known.reshape(-1, 17)).reshape(shape)
    measured = np.isfinite(torso).any(1)
    usual = np.full(shape[0], np.nan)
    usual[measured] = np.nanmedian(torso[measured], axis=1)
    shake = np.linalg.norm(np.diff(xy - truth, n=2, axis=1), axis=-1) / usual[:, None, None]
    counted = shake[known[:, 2:] & known[:, 1:-1] & known[:, :-2] & np.isfinite(shake)]
    return float(counted.mean()) if counted.size else float("nan")


def frames_to_recover(away: Float, hidden: range, slack: float = 0.05) -> Float:
    """Return (N,) how many frames after an occlusion the error is again what it was before.

    Args:
        away: (N, T, 17) errors in torso lengths, NaN where there is no truth; errors above 1 count as 1.
        hidden: The frames of the occlusion.
        slack: How much worse still counts as before, in torso lengths.

    Returns:
        0 = at once; where it never recovers, the number of frames left; NaN without truth.
    """
    counts = np.isfinite(away).sum(-1)
    mean = np.where(counts > 0, np.nansum(np.minimum(away, 1), -1) / np.maximum(counts, 1), np.nan)  # (N, T)
    before, after = mean[:, hidden.start // 2 : hidden.start], mean[:, hidden.stop :]
    good = after <= np.mean(before, 1, keepdims=True) + slack
    first = np.where(good.any(1), good.argmax(1), after.shape[1])
    return np.where(np.isfinite(before).all(1), first, np.nan).astype(np.float32)


def exchanged(xy: Float, truth: Float, labelled: Bool) -> float:
    """Return the share of people, with 8 or more limb joints, who fit better with left and right exchanged."""
    counted = can_tell_sides(labelled)
    return float(fits_exchanged(xy, truth, labelled)[counted].mean()) if counted.any() else float("nan")


def can_tell_sides(labelled: Bool) -> Bool:
    """Return (N,) whose limbs are labelled on both sides in enough places to say whether sides are exchanged."""
    return _two_sided(labelled).sum(1) >= ENOUGH


def fits_exchanged(xy: Float, truth: Float, labelled: Bool) -> Bool:
    """Return (N,) who fits better with left and right exchanged; False for people with fewer than 8 limb joints."""
    limbs, both = rows_of(LIMBS), _two_sided(labelled)
    straight = np.where(both, np.linalg.norm(xy - truth, axis=-1)[:, limbs], 0).sum(1)
    swapped = np.where(both, np.linalg.norm(xy[:, list(H36M17.mirror)] - truth, axis=-1)[:, limbs], 0).sum(1)
    return (swapped < straight) & (both.sum(1) >= ENOUGH)


def side_opinion(xy: Float, score: Float, truth: Float, labelled: Bool) -> npt.NDArray[np.int8]:
    """Say what another network's joints tell about the sides of labels: whoever labels people upside down errs often.

    Args:
        xy: (N, 17, 2) found.
        score: (N, 17); near 0 where the network found nobody.
        truth: (N, 17, 2) labels.
        labelled: (N, 17).

    Returns:
        (N,) 1 where the joints lie on the labels, -1 where they lie on the labels with left and right exchanged, 0
        where neither is clear: nobody found, too far from both, or about as near to one as to the other.
    """
    limbs, both = rows_of(LIMBS), _two_sided(labelled)
    count = both.sum(1)
    span = np.maximum(box_lengths(truth, labelled), 1e-6)
    as_is, swapped = (
        np.where(both, np.linalg.norm(one - truth, axis=-1)[:, limbs], 0).sum(1) / np.maximum(count, 1) / span
        for one in (xy, xy[:, list(H36M17.mirror)])
    )
    told = (count >= ENOUGH) & (score.mean(1) > FOUND_AT_ALL) & (np.minimum(as_is, swapped) < ON_LABELS)
    return (told & (as_is < CLEARLY * swapped)).astype(np.int8) - (told & (swapped < CLEARLY * as_is))


def _two_sided(labelled: Bool) -> Bool:
    """Return (N, 12) which limb joints are labelled on both sides."""
    limbs = rows_of(LIMBS)
    return labelled[:, limbs] & labelled[:, [H36M17.mirror[i] for i in limbs]]


def calibration_error(score: Float, right: Bool, bins: int = 10) -> float:
    """Return the expected calibration error: the mean gap between score and share of right joints, over score bins."""
    which = np.minimum((score * bins).astype(int), bins - 1)
    gap = 0.0
    for b in range(bins):
        of = which == b
        if of.any():
            gap += of.mean() * abs(float(score[of].mean()) - float(right[of].mean()))
    return gap
