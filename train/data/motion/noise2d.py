"""What a real 2D detector does to the truth: an opinion of its own, drift, jitter, swaps, losses, telling scores.

The detector's score is drawn first, from how sure it is (a normal variable that differs by sequence, joint and time);
the error follows from it, as measured on the shipped detector. All lengths are shares of the person's apparent
stature (`size`), so the errors grow with the person. Most of an error stays from frame to frame: it changes with the
pose, and hardly at all while the person stands still.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from engines.skeletons import H36M17
from train.data.motion.lost2d import lost_joints, spans
from train.data.motion.mocap import Float

Rng = np.random.Generator
Double = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Row = tuple[float, ...]


@dataclass(frozen=True)
class DetectorModel:
    """How a detector errs; numbers per joint are in H36M17's order.

    Attributes:
        sure: (K,) knots of sureness, a unit normal variable over visible joints of all people.
        score: (K,) the score given at each knot.
        core: (K,) standard deviation of an ordinary error along one picture axis there.
        gross: (K,) share of errors above 0.2 torso lengths there, swaps of whole limbs not counted.
        sure_parts: Standard deviations of sureness between sequences, between the joints of one, and in time.
        haste: How many times faster sureness changes than an ordinary error.
        joint_sure, joint_core: (17,) how each joint differs: added sureness, factor of `core`.
        level_sd: Spread of `core` between sequences (natural logarithm) that scores do not tell.
        still_s, moved: Range of the time, and of the way relative to the pelvis, after which 1/e of an error is left.
        white: Range of the share of an ordinary error that is new in every frame.
        gross_kinds: Shares of gross errors that sit on the mirrored joint, on another joint, anywhere near.
        near: Standard deviation of the latter, along an axis.
        swaps: Share of the frames in which both legs, and both arms, are exchanged.
        hidden, outside: (5,) scores of covered joints, and of joints out of the picture: 5, 25, 50, 75, 95 % quantiles.
        guess, astray: Standard deviations of the place of a covered joint, and of one out of the picture round the
            nearest place in it.
        bias_m: (17, 3) mean offset of the detector's idea of a joint: to the person's right, up, ahead.
        bias_sd_m: (17,) its standard deviation between people, along each axis.
    """

    sure: Row
    score: Row
    core: Row
    gross: Row
    sure_parts: tuple[float, float, float]
    haste: float
    joint_sure: Row
    joint_core: Row
    level_sd: float
    still_s: tuple[float, float]
    moved: tuple[float, float]
    white: tuple[float, float]
    gross_kinds: tuple[float, float, float]
    near: float
    swaps: tuple[float, float]
    hidden: Row
    outside: Row
    guess: float
    astray: float
    bias_m: tuple[Row, ...]
    bias_sd_m: Row


# python -m train.tasks.fit_noise --clips render/clips --stills render/stills --json noise.json
FITTED = DetectorModel(
    sure=(-2.4, -1.8, -1.3, -0.8, -0.3, 0.2, 0.8, 1.5, 2.3),
    score=(0.126, 0.364, 0.610, 0.796, 0.897, 0.949, 0.978, 0.992, 0.998),
    core=(0.0269, 0.0247, 0.0217, 0.018, 0.0145, 0.0113, 0.0085, 0.0053, 0.0051),
    gross=(0.6043, 0.465, 0.3427, 0.2017, 0.0828, 0.0142, 0.0022, 0.0001, 0.0001),
    sure_parts=(0.79, 0.29, 0.3),
    haste=2.7,
    joint_sure=(0.41, 0, -0.31, -0.65, 0, -0.31, -0.65, 0.72, 0.53, 0.51, 0.62, 0.2, -0.12, -0.59, 0.2, -0.12, -0.59),
    joint_core=(1.36, 1.4, 1.1, 0.73, 1.4, 1.1, 0.73, 1.41, 0.99, 1.4, 0.72, 1.04, 0.98, 0.72, 1.04, 0.98, 0.72),
    level_sd=0.15,
    still_s=(1.7, 8.0),
    moved=(0.038, 0.19),
    white=(0.0032, 0.04),
    gross_kinds=(0.32, 0.19, 0.49),
    near=0.11,
    swaps=(0.028, 0.025),
    hidden=(0.018, 0.191, 0.458, 0.740, 0.937),
    outside=(0.001, 0.033, 0.102, 0.224, 0.606),
    guess=0.095,
    astray=0.181,
    bias_m=(
        (0, 0.007, 0.006), (-0.004, 0.007, 0.005), (-0.002, 0.002, -0.003), (0.003, 0.005, 0.005),
        (0.004, 0.007, 0.005), (0.002, 0.002, -0.003), (-0.003, 0.005, 0.005), (0, 0.004, 0.009), (0, 0.003, 0.01),
        (0, 0.045, 0.04), (0, 0.001, 0.007), (0.003, 0.009, 0), (0, 0.004, 0.003), (0.003, 0.003, 0.001),
        (-0.003, 0.009, 0), (0, 0.004, 0.003), (-0.003, 0.003, 0.001),
    ),
    bias_sd_m=(0.01, *(0.018, 0.015, 0.016) * 2, 0.009, 0.008, 0.015, 0.008, *(0.009, 0.009, 0.017) * 2),
)  # fmt: skip
GROSS_AT = tuple(NormalDist().inv_cdf(p) for p in FITTED.gross)
QUARTERS = tuple(NormalDist().inv_cdf(p) for p in (0.05, 0.25, 0.5, 0.75, 0.95))
# margins for other detectors and other pictures than the measured ones, set by hand
OTHER_LEVEL_SD, OTHER_SHARE, OTHER_BEND_SD, SILENT_SHARE = 0.2, 0.3, 0.2, 0.4

NOSE, HEAD_TOP, THORAX, PELVIS = (H36M17.index(n) for n in ("nose", "head_top", "thorax", "pelvis"))
SIDES = (((1, 2, 3), (4, 5, 6)), ((14, 15, 16), (11, 12, 13)))  # legs and arms, right and left
MIRROR = np.array(H36M17.mirror)


def biased(xyz_m: Float, rng: Rng) -> Float:
    """Move joints to where a detector sees them: offsets in each person's own axes, the nose's in the head's.

    Args:
        xyz_m: (B, T, 17, 3) joints, any right-handed axes, metres.
        rng: Random source.
    """
    right = xyz_m[..., 14, :] - xyz_m[..., 11, :] + xyz_m[..., 1, :] - xyz_m[..., 4, :]
    up = xyz_m[..., THORAX, :] - xyz_m[..., PELVIS, :]
    right, up = _unit(right), _unit(up)
    body = np.stack([right, up, _unit(np.cross(up, right))], -2)  # (B, T, 3, 3), rows right, up, ahead
    mean, sd = np.array(FITTED.bias_m, np.float32), np.array(FITTED.bias_sd_m, np.float32)
    offset = mean + rng.standard_normal((len(xyz_m), 17, 3), np.float32) * sd[:, None]
    moved = xyz_m + np.einsum("bji,btik->btjk", offset, body)
    crown = _unit(xyz_m[..., HEAD_TOP, :] - xyz_m[..., THORAX, :])
    face = _unit(xyz_m[..., NOSE, :] - (xyz_m[..., THORAX, :] + xyz_m[..., HEAD_TOP, :]) / 2)
    head = np.stack([_unit(np.cross(face, crown)), crown, face], -2)
    moved[..., NOSE, :] = xyz_m[..., NOSE, :] + np.einsum("bi,btik->btk", offset[:, NOSE], head)
    return moved.astype(np.float32)


def detector_like(
    picture: Float, size: Float, dt_s: Float, half_wh: Float, rng: Rng, level: tuple[float, float] | None = None
) -> tuple[Float, Float]:
    """Turn projected joints into what a detector might say.

    Args:
        picture: (B, T, 17, 2) true projections, origin in the middle of the picture.
        size: (B, T) apparent stature of the person in the same unit.
        dt_s: (B, T) seconds between frames.
        half_wh: (B, 2) half the picture's width and height.
        rng: Random source.
        level: Range of the ordinary error (standard deviation along an axis) of a joint of median score, as a share
            of `size`; each sequence draws one log-uniformly. By default as measured.

    Returns:
        xy (B, T, 17, 2) and score (B, T, 17) in 0..1; where the score is 0, xy is meaningless.
    """
    xy, score, drift = of_visible(picture, size, dt_s, rng, level)
    _unseen(xy, score, picture, size, half_wh, drift, rng)
    return xy, score


def of_visible(
    picture: Float, size: Float, dt_s: Float, rng: Rng, level: tuple[float, float] | None = None
) -> tuple[Float, Float, Float]:
    """As `detector_like`, of joints in plain sight; also returns the unit normal noise (B, T, 17, 4) that it used."""
    people = len(picture)
    stay = _stay(picture, size, dt_s, rng)
    drift = np.concatenate([_drifting(rng, stay**FITTED.haste, 1), _drifting(rng, stay, 3)], -1)  # sure, gross, x, y
    sequence, joint, time = FITTED.sure_parts
    sure = np.array(FITTED.joint_sure, np.float32) + time * drift[..., 0]
    sure += sequence * rng.standard_normal((people, 1, 1)) + joint * rng.standard_normal((people, 1, 17))
    core = np.interp(sure, FITTED.sure, FITTED.core) * np.array(FITTED.joint_core) * _level(rng, people, level)
    xy = picture + (size[..., None] * core.astype(np.float32))[..., None] * _jitter(rng, drift[..., 2:])
    _displace(xy, picture, size, drift[..., 1] < np.interp(sure, FITTED.sure, GROSS_AT), rng)
    _swap_sides(xy, rng)
    score = np.clip(_calibrated(np.interp(sure, FITTED.sure, FITTED.score), rng), 0.005, 1)
    return xy.astype(np.float32), score.astype(np.float32), drift


def _unit(v: Float) -> Float:
    return v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-6)


def _stay(picture: Float, size: Float, dt_s: Float, rng: Rng) -> Float:
    """Return (B, T, 17) how much of an error is left since the frame before: by time and by the joint's own way."""
    people = len(picture)
    still = np.exp(rng.uniform(*np.log(FITTED.still_s), (people, 1, 1)))
    moved = np.exp(rng.uniform(*np.log(FITTED.moved), (people, 1, 1)))
    own = picture - picture[:, :, PELVIS : PELVIS + 1]
    way = np.zeros(picture.shape[:3], np.float32)
    way[:, 1:] = np.linalg.norm(own[:, 1:] - own[:, :-1], axis=-1) / size[:, 1:, None]
    return np.exp(-dt_s[..., None] / still - np.nan_to_num(way) / moved).astype(np.float32)


def _drifting(rng: Rng, stay: Float, channels: int) -> Float:
    """Return (B, T, 17, channels) unit-variance noise x[t] = stay[t] x[t-1] + new, by doubling instead of a loop."""
    keep = stay[..., None].copy()
    keep[:, 0] = 0
    x = rng.standard_normal((*stay.shape, channels), np.float32) * np.sqrt(1 - keep**2)
    step = 1
    while step < stay.shape[1]:  # x[t] holds the last `step` innovations, keep[t] what is left of x[t - step]
        x[:, step:] += keep[:, step:] * x[:, :-step]
        keep[:, step:] *= keep[:, :-step].copy()
        step *= 2
    return x


def _level(rng: Rng, people: int, level: tuple[float, float] | None) -> Double:
    """Return (B, 1, 1) factors of the ordinary error."""
    if level is None:
        return np.exp(np.hypot(FITTED.level_sd, OTHER_LEVEL_SD) * rng.standard_normal((people, 1, 1)))
    return np.exp(rng.uniform(*np.log(level), (people, 1, 1))) / np.interp(0, FITTED.sure, FITTED.core)


def _jitter(rng: Rng, drift: Float) -> Float:
    """Add what is new in every frame to drifting noise (B, T, 17, 2), keeping its variance."""
    white = np.exp(rng.uniform(*np.log(FITTED.white), (len(drift), 1, 1, 1))).astype(np.float32)
    return np.sqrt(1 - white) * drift + np.sqrt(white) * rng.standard_normal(drift.shape, np.float32)


def _displace(xy: Float, truth: Float, size: Float, gross: Mask, rng: Rng) -> None:
    """Move quite wrong joints (B, T, 17) to the mirrored twin, to another joint, or anywhere near; in place."""
    people = len(truth)
    mirrored, other, _ = np.cumsum(FITTED.gross_kinds)
    kind = rng.random((people, 17))
    goal = np.where(kind < mirrored, MIRROR, np.where(kind < other, rng.permutation(17), np.arange(17)))
    near = FITTED.near * rng.standard_normal((people, 17, 2), np.float32) * (kind >= other)[..., None]
    b, t, j = np.nonzero(gross)
    xy[b, t, j] += truth[b, t, goal[b, j]] - truth[b, t, j] + size[b, t, None] * near[b, j]


def _swap_sides(xy: Float, rng: Rng) -> None:
    """Exchange left and right for short spans, of the legs or of the arms, in three people out of ten; in place."""
    people, length = xy.shape[:2]
    rate = np.where(rng.random((people, 2)) < 0.3, rng.uniform(0, 2 / 0.3, (people, 2)) * FITTED.swaps, 0)
    swapped = spans(rng, (people, length, 2), rate, 6.0)
    for side, (right, left) in enumerate(SIDES):
        b, t = np.nonzero(swapped[..., side])
        for joint, twin in zip(right, left, strict=True):
            xy[b, t, joint], xy[b, t, twin] = xy[b, t, twin], xy[b, t, joint]


def _calibrated(score: Double, rng: Rng) -> Double:
    """Bend the scores of some sequences: other detectors mean other things by them."""
    people = len(score)
    other = rng.random(people) < OTHER_SHARE
    bend = np.where(other, np.exp(OTHER_BEND_SD * rng.standard_normal(people)), 1)
    top = np.where(other, rng.uniform(0.94, 1, people), 1)
    return top[:, None, None] * score ** bend[:, None, None]


def _unseen(xy: Float, score: Float, truth: Float, size: Float, half_wh: Float, drift: Float, rng: Rng) -> None:
    """Guess, with a low score, or drop the joints that are covered or out of the picture; in place."""
    people, length = xy.shape[:2]
    outside = (np.abs(truth) > half_wh[:, None, None]).any(-1)
    silent = rng.random(people) < SILENT_SHARE  # these say nothing instead
    for rows, table, spread in (
        (lost_joints(people, length, rng) & ~outside, FITTED.hidden, FITTED.guess),
        (outside, FITTED.outside, FITTED.astray),
    ):
        b, t, j = np.nonzero(rows)
        half = half_wh[b]
        guess = np.clip(truth[b, t, j], -half, half) + spread * size[b, t, None] * drift[b, t, j, 2:]
        xy[b, t, j] = np.clip(guess, -half, half)
        score[b, t, j] = np.where(silent[b], 0, np.interp(drift[b, t, j, 0], QUARTERS, table))
