"""Motion made up for still pictures: a camera and a crop that wander smoothly in place, size, turn and perspective."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Rng = np.random.Generator

PERIODS = (14.0, 70.0)  # frames of a swing
LEAN = 0.10  # deviation of the perspective: how much nearer one edge of the crop is than its middle
LEAN_PACE = 0.012  # and how fast that changes, per frame


def wander(rng: Rng, frames: int, pace: float, width: int = 1) -> Array:
    """Draw smooth curves that begin at 0: two swings each, with a mean speed that does not depend on the length.

    Args:
        rng: Source of randomness.
        frames: T.
        pace: Deviation of the change from frame to frame.
        width: Number of curves.

    Returns:
        (T, width).
    """
    period = rng.uniform(*PERIODS, (2, width))
    reach = rng.normal(0, pace, (2, width)) * period / (2 * np.pi)
    phase = rng.uniform(0, 2 * np.pi, (2, width))
    t = np.arange(frames)[:, None, None]
    curves = (reach * np.sin(2 * np.pi * t / period + phase)).sum(1)
    return curves - curves[0]


def leaning(rng: Rng, frames: int, size_wh: tuple[int, int], strength: float) -> Array:
    """Draw perspective: (T, 3, 3) maps of a crop onto itself, its middle fixed, one side coming nearer.

    Args:
        rng: Source of randomness.
        frames: T.
        size_wh: Of the crop in pixels.
        strength: 1 = as a person filmed from somewhat above or below; 0 = none.
    """
    lean = rng.normal(0, LEAN * strength, 2) + wander(rng, frames, LEAN_PACE * strength, 2)
    lean = np.clip(lean, -0.45, 0.45) / (np.array(size_wh) / 2)  # at an edge the scale is 1 / (1 + lean)
    middle = np.eye(3)
    middle[:2, 2] = np.array(size_wh) / 2
    out = np.tile(np.eye(3), (frames, 1, 1))
    out[:, 2, :2] = lean
    return middle @ out @ np.linalg.inv(middle)


def moved(points: npt.NDArray[np.floating], maps: Array) -> npt.NDArray[np.float32]:
    """Put (T, J, 2) points through (T, 3, 3) homographies."""
    whole = np.concatenate([points, np.ones((*points.shape[:-1], 1))], -1) @ maps.transpose(0, 2, 1)
    return (whole[..., :2] / np.maximum(whole[..., 2:], 1e-6)).astype(np.float32)
