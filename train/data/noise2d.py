"""What a real 2D detector does to the truth: bias, jitter, outliers, swapped sides, lost joints, telling scores.

All lengths are relative to the person's apparent stature (`size`), so the errors grow with the person.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engines.skeletons import H36M17
from train.data.mocap import Float

Rng = np.random.Generator
Mask = npt.NDArray[np.bool_]

# how much harder than the average each joint is, in H36M17's order
DIFFICULTY = np.array([0.9, 1.1, 1.1, 1.3, 1.1, 1.1, 1.3, 0.9, 0.7, 0.7, 0.8, 0.8, 1.2, 1.6, 0.8, 1.2, 1.6], np.float32)
# standard deviation of a detector's own idea of where a joint is, metres: hips, thorax and head_top differ most
BIAS_M = np.array(
    [0.02, 0.025, 0.012, 0.015, 0.025, 0.012, 0.015, 0.02, 0.025, 0.015, 0.03, 0.015, 0.01, 0.012, 0.015, 0.01, 0.012],
    np.float32,
)
NOSE = H36M17.index("nose")
LEGS, ARMS = (1, 2, 3, 4, 5, 6), (11, 12, 13, 14, 15, 16)
LIMBS = ((1, 2, 3), (4, 5, 6), (11, 12, 13), (14, 15, 16), (9, 10), (3,), (6,), (13,), (16,))
LOWER_BODIES = ((2, 3, 5, 6), (0, 1, 2, 3, 4, 5, 6))
MIRROR = list(H36M17.mirror)


def biased(xyz_m: Float, rng: Rng) -> Float:
    """Move joints to where a detector sees them: constant offsets in each person's own axes.

    A detector's nose is the tip of the nose, up to 6 cm ahead of the motion pack's and up to 5 cm above it.

    Args:
        xyz_m: (B, T, 17, 3) joints, any right-handed axes, metres.
        rng: Random source.
    """
    right = xyz_m[..., 14, :] - xyz_m[..., 11, :] + xyz_m[..., 1, :] - xyz_m[..., 4, :]
    up = xyz_m[..., 8, :] - xyz_m[..., 0, :]
    right, up = _unit(right), _unit(up)
    body = np.stack([right, up, _unit(np.cross(up, right))], -2)  # (B, T, 3, 3), rows in camera axes
    offset = rng.normal(0, 1, (len(xyz_m), 17, 3)).astype(np.float32) * BIAS_M[:, None]
    moved = xyz_m + np.einsum("bji,btik->btjk", offset, body)
    face = _unit(xyz_m[..., NOSE, :] - (xyz_m[..., 8, :] + xyz_m[..., 10, :]) / 2)
    crown = _unit(xyz_m[..., 10, :] - xyz_m[..., 8, :])
    ahead, above = rng.uniform(0, [0.06, 0.05], (len(xyz_m), 2)).astype(np.float32).T[..., None, None]
    moved[..., NOSE, :] += ahead * face + above * crown
    return moved.astype(np.float32)


def detector_like(
    picture: Float, size: Float, dt_s: Float, half_wh: Float, rng: Rng, level: tuple[float, float] = (0.004, 0.045)
) -> tuple[Float, Float]:
    """Turn projected joints into what a detector might say.

    Args:
        picture: (B, T, 17, 2) true projections, origin in the middle of the picture.
        size: (B, T) apparent stature of the person in the same unit.
        dt_s: (B, T) seconds between frames.
        half_wh: (B, 2) half the picture's width and height.
        rng: Random source.
        level: Range of the typical error, as a share of `size`; each sequence draws one log-uniformly.

    Returns:
        xy (B, T, 17, 2) and score (B, T, 17) in 0..1; where the score is 0, xy is meaningless.
    """
    people, length = picture.shape[:2]
    typical = np.exp(rng.uniform(*np.log(level), people)).astype(np.float32)[:, None, None]
    size3 = size[..., None]
    wild = np.exp(0.7 * _correlated(rng, (people, length, 17), dt_s, (0.1, 1.0)) - 0.2)  # makes the tails heavy
    slow = rng.uniform(0.3, 1, (people, 1, 1, 1)).astype(np.float32)
    jitter = slow * _correlated(rng, (people, length, 17, 2), dt_s, (0.03, 0.6))
    jitter += np.sqrt(1 - slow**2) * rng.standard_normal((people, length, 17, 2), np.float32)
    xy = picture + (typical * size3 * DIFFICULTY * wild)[..., None] * jitter
    _outliers(xy, picture, size, rng)
    _swap_sides(xy, rng)
    error = np.linalg.norm(xy - picture, axis=-1) / size3
    score = _scores(error, rng)
    bluff = rng.random((people, 1, 1)) < 0.4  # detectors that guess where a joint is lost, with a low score
    lost = _lost(people, length, rng)
    outside = (np.abs(picture) > half_wh[:, None, None]).any(-1)
    edge = half_wh[:, None, None] * rng.uniform(0.9, 1, (people, 1, 1, 1))
    xy = np.where(outside[..., None], np.clip(xy, -edge, edge), xy)
    guess = xy + 0.12 * size3[..., None] * rng.standard_normal(xy.shape, np.float32)
    xy = np.where((lost & ~outside)[..., None], guess, xy)
    low = rng.uniform(0, 0.2, score.shape)
    score = np.where(lost | outside, np.where(bluff, low, 0), score)
    return xy.astype(np.float32), score.astype(np.float32)


def _unit(v: Float) -> Float:
    return v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-6)


def _correlated(rng: Rng, shape: tuple[int, ...], dt_s: Float, time_s: tuple[float, float]) -> Float:
    """Return unit-variance AR(1) noise along axis 1, with a time constant per sequence."""
    tau = np.exp(rng.uniform(*np.log(time_s), (len(dt_s), 1)))
    stay = np.exp(-dt_s / tau).astype(np.float32).reshape(*dt_s.shape, *(1,) * (len(shape) - 2))
    noise = rng.standard_normal(shape, np.float32)
    for t in range(1, shape[1]):
        noise[:, t] = stay[:, t] * noise[:, t - 1] + np.sqrt(1 - stay[:, t] ** 2) * noise[:, t]
    return noise


def _spans(rng: Rng, shape: tuple[int, ...], rate: npt.NDArray[np.float64], frames: float) -> Mask:
    """Return a (B, T, ...) mask of spans that cover a share `rate` (B,) and last `frames` on average."""
    rate = rate.reshape(-1, *(1,) * (len(shape) - 2))
    draw, on = rng.random(shape), np.zeros(shape, np.bool_)
    on[:, 0] = draw[:, 0] < rate
    for t in range(1, shape[1]):
        on[:, t] = np.where(on[:, t - 1], draw[:, t] < 1 - 1 / frames, draw[:, t] < rate / frames)
    return on


def _outliers(xy: Float, truth: Float, size: Float, rng: Rng) -> None:
    """Let joints jump to their mirrored twin, to another joint, or anywhere near the person; in place."""
    people, length = xy.shape[:2]
    far = _spans(rng, (people, length, 17), rng.uniform(0, 0.03, people), 3)
    kind = rng.random((people, 1, 17, 1))
    other = np.take(truth, rng.permutation(17), 2)
    near = truth + 0.3 * size[..., None, None] * rng.standard_normal((people, 1, 17, 2), np.float32)
    target = np.where(kind < 0.5, truth[..., MIRROR, :], np.where(kind < 0.75, other, near))
    np.copyto(xy, target, where=far[..., None])


def _swap_sides(xy: Float, rng: Rng) -> None:
    """Exchange left and right for short spans, of the legs or of the arms; in place."""
    people, length = xy.shape[:2]
    swapped = xy[..., MIRROR, :]
    for joints in (LEGS, ARMS):
        rate = np.where(rng.random(people) < 0.4, rng.uniform(0, 0.08, people), 0)
        rows = np.zeros((people, length, 17), np.bool_)
        rows[..., joints] = _spans(rng, (people, length), rate, 4)[..., None]
        np.copyto(xy, swapped, where=rows[..., None])


def _scores(error: Float, rng: Rng) -> Float:
    """Return scores that fall with the error, each sequence with a calibration of its own."""
    people = len(error)
    top, soft, bend = rng.uniform([0.6, 0.04, 0.6], [1, 0.2, 1.6], (people, 3)).T[..., None, None]
    blind = rng.random(error.shape) < 0.15  # confident errors and doubted hits
    belief = np.where(blind, rng.uniform(0.3, 1, error.shape), np.exp(-error / soft))
    score = top * belief**bend + rng.normal(0, 0.05, error.shape)
    return np.clip(score, 0.02, 1).astype(np.float32)


def _lost(people: int, length: int, rng: Rng) -> Mask:
    """Return a (B, T, 17) mask of joints that are missing: single ones, limbs, lower bodies, whole frames."""
    lost = _spans(rng, (people, length, 17), rng.uniform(0, 0.05, people), 5)
    for joints in LIMBS:
        rate = np.where(rng.random(people) < 0.2, rng.uniform(0, 0.4, people), 0)
        lost[..., joints] |= _spans(rng, (people, length), rate, 12)[..., None]
    for joints in LOWER_BODIES:
        for frames, share in ((40, 0.06), (10**6, 0.04)):
            rate = np.where(rng.random(people) < share, 0.7, 0)
            lost[..., joints] |= _spans(rng, (people, length), rate, frames)[..., None]
    for joint in range(17):  # a detector that does not know the joint at all
        lost[..., joint] |= (rng.random(people) < (0.08 if joint == 10 else 0.01))[:, None]
    return lost | _spans(rng, (people, length), rng.uniform(0, 0.02, people), 3)[..., None]
