"""One Euro filter for 3D joints, on real time stamps, one memory per track.

A low-pass whose cut-off rises with speed: still joints do not tremble, fast ones do not lag.
Source: Casiez, Roussel, Vogel, "1 Euro Filter", CHI 2012, equations 1-4.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from engines.geometry import Float


@dataclass(frozen=True, slots=True)
class OneEuroConfig:
    """The filter's knobs in physical units.

    Attributes:
        min_cutoff_hz: Cut-off of a joint at rest; its lag is about 1 / (2 pi cut-off) seconds.
        beta_hz_per_m_s: By how much the cut-off rises per m/s of speed.
        speed_cutoff_hz: Cut-off of the speed estimate.
        max_gap_s: After a longer gap a track starts afresh.
    """

    min_cutoff_hz: float = 1.5
    beta_hz_per_m_s: float = 5.0
    speed_cutoff_hz: float = 1.0
    max_gap_s: float = 0.5


@dataclass(slots=True)
class _Memory:
    time_s: float
    value: Float
    speed: Float


class OneEuro:
    """Smooths (17, 3) skeletons by track id."""

    def __init__(self, config: OneEuroConfig = OneEuroConfig()) -> None:
        """Start without memory."""
        self.config = config
        self._memory: dict[Hashable, _Memory] = {}

    def smooth(self, xyz_m: Float, time_s: float, keys: Sequence[Hashable]) -> Float:
        """Smooth one frame; tracks that are not in it are forgotten.

        Args:
            xyz_m: (P, 17, 3) metres.
            time_s: Time of the frame in seconds.
            keys: P track ids.

        Returns:
            (P, 17, 3) metres, a new array.
        """
        self._memory = {k: self._step(k, xyz, time_s) for k, xyz in zip(keys, xyz_m, strict=True)}
        if not keys:
            return np.zeros((0, 17, 3), np.float32)
        return np.stack([self._memory[k].value for k in keys]).astype(np.float32)

    def _step(self, key: Hashable, xyz: Float, time_s: float) -> _Memory:
        past, c = self._memory.get(key), self.config
        dt_s = time_s - past.time_s if past else 0.0
        if past is None or dt_s <= 0 or dt_s > c.max_gap_s:
            return _Memory(time_s, xyz.copy(), np.zeros_like(xyz))
        speed = past.speed + _alpha(c.speed_cutoff_hz, dt_s) * ((xyz - past.value) / dt_s - past.speed)
        cutoff_hz = c.min_cutoff_hz + c.beta_hz_per_m_s * np.linalg.norm(speed, axis=1, keepdims=True)  # (17, 1)
        return _Memory(time_s, past.value + _alpha(cutoff_hz, dt_s) * (xyz - past.value), speed)


def _alpha(cutoff_hz: Float | float, dt_s: float) -> Float | float:
    """Share of the new value in a first-order low-pass."""
    tau = 2 * math.pi * dt_s * cutoff_hz
    return tau / (1 + tau)
