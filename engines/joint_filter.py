"""2D joints that do not shiver: a Kalman filter per joint that rides on the motion of the whole body.

A detector's joints shake, more where it is less sure, and now and then one jumps to the other leg for a frame. A
low-pass takes that away and lags behind whoever walks. Here each joint is first carried along with the body: the
similarity (shift, turn, size) that best takes the sure joints of the last frame to those of this one, outliers left
out. What a joint does beyond that is followed by a filter of constant, fading velocity (Kalman 1960; Bar-Shalom et
al., "Estimation with Applications to Tracking and Navigation", 2001, ch. 6), whose trust in this frame's joint comes
from its score and falls with the square of an improbable leap (Student's t, as in Roth et al., ICASSP 2013).

Lengths are shares of the person's size, so that people near and far are filtered alike; times are real ones.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engines.geometry import Float

Plane = npt.NDArray[np.complex128]
"""Points x + iy: a similarity of the plane is one factor and one summand."""
Real = npt.NDArray[np.float64]

FRAME_S = 1 / 30
ROUNDS = 3
"""Of the search for outliers in the body's motion."""


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
        largest_gap_s: After a longer gap a person starts afresh.
    """

    sure: float = 0.0017
    unsure: float = 0.37
    sharpness: float = 6.2
    restless: float = 0.012
    wander: float = 0.35
    lasting: float = 0.43
    leap: float = 0.033
    together: float = 0.044
    largest_gap_s: float = 0.5


@dataclass(frozen=True, slots=True)
class _Memory:
    """Of one person: filtered joints, their own velocity per 1/30 s, its covariance, size in pixels, scores."""

    time_s: float
    place: Plane  # (17,)
    velocity: Plane  # (17,)
    covariance: Real  # (3, 17): of places, of both, of velocities
    size_px: float
    score: Real  # (17,)


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
        before = {} if len(reset) == len(keys) else self._memory
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
        noise = (c.sure + c.unsure * (1 - np.clip(score, 0, 1)) ** c.sharpness) ** 2
        if past is None or not 0 < time_s - past.time_s <= c.largest_gap_s:
            covariance = np.stack([noise, np.zeros_like(noise), np.full_like(noise, c.restless**2)])
            return _Memory(time_s, found, np.zeros_like(found), covariance, size_px, score)
        frames = (time_s - past.time_s) / FRAME_S
        size_px = past.size_px + (size_px - past.size_px) * (1 - 0.9**frames)
        carried, factor = self._with_body(past, found, score, size_px)
        left = c.lasting**frames
        reach = (1 - left) / (1 - c.lasting)  # 1/30 s of velocity in so many frames, fading
        predicted, velocity = carried + reach * factor * past.velocity, left * factor * past.velocity
        pp, pv, vv = past.covariance
        gained = c.restless**2 * frames
        pp, pv, vv = (
            pp + 2 * reach * pv + reach**2 * vv + c.wander * gained,
            left * (pv + reach * vv) + 0.5 * gained,
            left**2 * vv + gained,
        )
        off = found - predicted
        leap = np.abs(off / size_px) ** 2 / (pp + noise) / c.leap
        total = pp + noise * np.maximum(1, leap)
        gain, gain_v = pp / total, pv / total
        covariance = np.stack([(1 - gain) * pp, (1 - gain) * pv, np.maximum(vv - gain_v * pv, 1e-8)])
        return _Memory(time_s, predicted + gain * off, velocity + gain_v * off, covariance, size_px, score)

    def _with_body(self, past: _Memory, found: Plane, score: Real, size_px: float) -> tuple[Plane, complex]:
        """Carry the joints along with the body: (17,) places, and the factor by which the body turned and grew."""
        both = (score + 0.02) * (past.score + 0.02)
        weight, carried, factor = both, past.place, 1.0 + 0.0j
        for _ in range(ROUNDS):
            share = weight / weight.sum()
            middle_then, middle_now = share @ past.place, share @ found
            then, now = past.place - middle_then, found - middle_now
            factor = complex(share @ (then.conj() * now) / (share @ np.abs(then) ** 2 + 1e-3))
            carried = factor * then + middle_now
            weight = both / (1 + (np.abs(found - carried) / (self.config.together * size_px)) ** 2)
        return carried, factor
