"""2D joints that do not shiver: a Kalman filter per joint that rides on the motion of the whole body.

A detector's joints shake, more where it is less sure, and now and then one jumps to the other leg for a frame. A
low-pass takes that away and lags behind whoever walks. Here each joint is first carried along with the body: the
similarity (shift, turn, size) that best takes the sure joints of the last frame to those of this one, outliers left
out. What a joint does beyond that is followed by a filter of constant, fading velocity (Kalman 1960; Bar-Shalom et
al., "Estimation with Applications to Tracking and Navigation", 2001, ch. 6), whose trust in this frame's joint comes
from its score and falls with the square of an improbable leap (Student's t, as in Roth et al., ICASSP 2013).

Legs or arms that are found exchanged, left for right, from one frame to the next are put back, unless the detector
insists: then it was wrong before, and both limbs change over at once.

Lengths are shares of the person's size, so that people near and far are filtered alike; times are real ones.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engines.geometry import Float
from engines.skeletons import H36M17

Plane = npt.NDArray[np.complex128]
"""Points x + iy: a similarity of the plane is one factor and one summand."""
Real = npt.NDArray[np.float64]

FRAME_S = 1 / 30
ROUNDS = 3
"""Of the search for outliers in the body's motion."""
LIMBS = tuple(
    np.array([H36M17.index(f"{side}_{joint}") for side in ("left", "right") for joint in joints])
    for joints in (("hip", "knee", "ankle"), ("shoulder", "elbow", "wrist"))
)
"""Joints of both legs, of both arms: the left ones first."""


@dataclass(frozen=True, slots=True)
class JointFilterConfig:
    """What is assumed of detector and people; found by search on held-out sequences (train/experiments/README.md).

    Attributes:
        sure: Deviation of a joint with score 1, as a share of the person's size.
        unsure: What a joint with score 0 has more.
        sharpness: Power by which that falls as the score rises.
        restless: Deviation by which a joint's own velocity changes in 1/30 s, sizes per 1/30 s.
        wander: Variance that a position gains in 1/30 s, as a share of the square of `restless`.
        lasting: Share of a joint's own velocity that is left after 1/30 s.
        leap: From this squared distance from the prediction on, in variances, a joint is trusted less.
        together: A joint farther than this from the body's common motion, in sizes, says little of it.
        exchanged: Legs or arms count as exchanged if that brings them closer to what was predicted than this share,
        astray: and if they are farther from it, on average, than this, in sizes.
        insist_s: After so long the detector is believed.
        largest_gap_s: After a longer gap a person starts afresh.
    """

    sure: float = 0.0051
    unsure: float = 0.4
    sharpness: float = 3.2
    restless: float = 0.0105
    wander: float = 0.045
    lasting: float = 0.5
    leap: float = 1.9
    together: float = 0.04
    exchanged: float = 0.6
    astray: float = 0.06
    insist_s: float = 0.15
    largest_gap_s: float = 0.5


@dataclass(frozen=True, slots=True)
class _Memory:
    """Of one person: filtered joints, their own velocity per 1/30 s, its covariance, size in pixels, scores.

    And since when legs and arms have been exchanged; the frame's time where they are not.
    """

    time_s: float
    place: Plane  # (17,)
    velocity: Plane  # (17,)
    covariance: Real  # (3, 17): of places, of both, of velocities
    size_px: float
    score: Real  # (17,)
    exchanged_since_s: tuple[float, ...]  # legs, arms


class JointFilter:
    """Filters the 2D joints of people by track id."""

    def __init__(self, config: JointFilterConfig = JointFilterConfig()) -> None:
        """Start without memory."""
        self.config = config
        self._memory: dict[Hashable, _Memory] = {}

    def steady(
        self, xy_px: Float, score: Float, time_s: float, keys: Sequence[Hashable], reset: Collection[Hashable] = ()
    ) -> Float:
        """Filter one frame; people who are not in it are forgotten.

        Args:
            xy_px: (P, 17, 2) joints as the detector found them, in pixels of a picture whose size does not change.
            score: (P, 17) 0..1.
            time_s: Time of the frame in seconds.
            keys: P track ids.
            reset: Ids that are somebody new.

        Returns:
            (P, 17, 2) pixels, a new array; a person's first frame is as it was found.
        """
        before = self._memory
        found = xy_px[..., 0] + 1j * xy_px[..., 1].astype(np.float64)
        self._memory = {
            key: self._step(None if key in reset else before.get(key), z, s.astype(np.float64), time_s)
            for key, z, s in zip(keys, found, score, strict=True)
        }
        if not keys:
            return np.zeros((0, *xy_px.shape[1:]), np.float32)
        placed = np.stack([self._memory[key].place for key in keys])
        return np.stack([placed.real, placed.imag], -1).astype(np.float32)

    def _step(self, past: _Memory | None, found: Plane, score: Real, time_s: float) -> _Memory:
        c, size_px = self.config, max(float(np.ptp(found.real)), float(np.ptp(found.imag)), 1.0)
        if past is None or not 0 < time_s - past.time_s <= c.largest_gap_s:
            covariance = np.repeat([[c.sure**2], [0.0], [c.restless**2]], len(found), 1)
            return _Memory(
                time_s, found, np.zeros_like(found), covariance, size_px, score, tuple(time_s for _ in LIMBS)
            )
        frames = (time_s - past.time_s) / FRAME_S
        size_px = past.size_px + (size_px - past.size_px) * (1 - 0.9**frames)
        carried, factor = self._with_body(past, found, score, size_px)
        left = c.lasting**frames
        reach = (1 - left) / (1 - c.lasting)  # 1/30 s of velocity in so many frames, fading
        predicted, velocity = carried + reach * factor * past.velocity, left * factor * past.velocity
        found, score, predicted, since = self._put_back(past, found, score, predicted, size_px, time_s)
        pp, pv, vv = past.covariance
        gained = c.restless**2 * frames
        pp, pv, vv = (
            pp + 2 * reach * pv + reach**2 * vv + c.wander * gained,
            left * (pv + reach * vv) + 0.5 * gained,
            left**2 * vv + gained,
        )
        off = found - predicted
        noise = (c.sure + c.unsure * (1 - np.clip(score, 0, 1)) ** c.sharpness) ** 2
        total = pp + noise * np.maximum(1, np.abs(off / size_px) ** 2 / (pp + noise) / c.leap)
        gain, gain_v = pp / total, pv / total
        covariance = np.stack([(1 - gain) * pp, (1 - gain) * pv, np.maximum(vv - gain_v * pv, 1e-8)])
        return _Memory(time_s, predicted + gain * off, velocity + gain_v * off, covariance, size_px, score, since)

    def _put_back(
        self, past: _Memory, found: Plane, score: Real, predicted: Plane, size_px: float, time_s: float
    ) -> tuple[Plane, Real, Plane, tuple[float, ...]]:
        """Undo exchanges of left and right; where the detector insists on one, predict what it found."""
        c, since = self.config, []
        found, score, predicted = found.copy(), score.copy(), predicted.copy()
        for limb, began_s in zip(LIMBS, past.exchanged_since_s, strict=True):
            other = np.roll(limb, len(limb) // 2)
            away, swapped = (float(np.abs(found[joints] - predicted[limb]).mean()) for joints in (limb, other))
            if not (swapped < c.exchanged * away and away > c.astray * size_px):
                since.append(time_s)
            elif time_s - began_s < c.insist_s:
                found[limb], score[limb] = found[other], score[other]
                since.append(began_s)
            else:
                predicted[limb] = found[limb]
                since.append(time_s)
        return found, score, predicted, tuple(since)

    def _with_body(self, past: _Memory, found: Plane, score: Real, size_px: float) -> tuple[Plane, complex]:
        """Carry the joints along with the body: (17,) places, and the factor by which the body turned and grew."""
        both = (score + 0.02) * (past.score + 0.02)
        moved = found - past.place
        carried, factor = past.place + complex(np.median(moved.real), np.median(moved.imag)), 1.0 + 0.0j
        for _ in range(ROUNDS):
            weight = both / (1 + (np.abs(found - carried) / (self.config.together * size_px)) ** 2)
            share = weight / weight.sum()
            middle_then, middle_now = share @ past.place, share @ found
            then, now = past.place - middle_then, found - middle_now
            factor = complex(share @ (then.conj() * now) / (share @ np.abs(then) ** 2 + 1e-3))
            carried = factor * then + middle_now
        return carried, factor
