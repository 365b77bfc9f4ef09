"""Batched 3x3 rotations for posing: frames from directions, smallest turns, blends. All arrays (..., 3, 3) float64."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def unit(v: npt.NDArray[np.floating]) -> Array:
    """Scale vectors (..., 3) to length 1; zero stays zero."""
    v = np.asarray(v, np.float64)
    return v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-12)


def frame(main: npt.NDArray[np.floating], side: npt.NDArray[np.floating]) -> Array:
    """Right-handed frame (..., 3, 3), columns: `side` made square to `main`, `main`, their cross product."""
    y = unit(main)
    x = unit(side - (side * y).sum(-1, keepdims=True) * y)
    return np.stack([x, y, np.cross(x, y)], -1)


def turn(axis: npt.NDArray[np.floating], angle: npt.NDArray[np.floating] | float) -> Array:
    """Rotation by `angle` (...,) radians about `axis` (..., 3) (Rodrigues)."""
    axis = unit(axis)
    x, y, z = axis[..., 0], axis[..., 1], axis[..., 2]
    zero = np.zeros_like(x)
    k = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*axis.shape[:-1], 3, 3)
    a = np.asarray(angle, np.float64)[..., None, None]
    return np.eye(3) + np.sin(a) * k + (1 - np.cos(a)) * (k @ k)


def swing(source: npt.NDArray[np.floating], target: npt.NDArray[np.floating], share: float = 1.0) -> Array:
    """Smallest rotation taking direction `source` to `target`, or that share of it."""
    a, b = unit(source), unit(target)
    axis = np.cross(a, b)
    angle = np.arctan2(np.linalg.norm(axis, axis=-1), (a * b).sum(-1))
    return turn(axis, angle * share)


def axis_angle(rotation: Array) -> tuple[Array, Array]:
    """Unit axis (..., 3) and angle (...,) of rotations below 180 degrees."""
    skew = np.stack(
        [
            rotation[..., 2, 1] - rotation[..., 1, 2],
            rotation[..., 0, 2] - rotation[..., 2, 0],
            rotation[..., 1, 0] - rotation[..., 0, 1],
        ],
        -1,
    )
    trace = np.trace(rotation, axis1=-2, axis2=-1)
    angle = np.arctan2(np.linalg.norm(skew, axis=-1), trace - 1)
    return unit(skew), angle


def blend(a: Array, b: Array, share: float) -> Array:
    """Rotation `share` of the way from `a` to `b` along the shortest arc (slerp)."""
    axis, angle = axis_angle(np.swapaxes(a, -1, -2) @ b)
    return a @ turn(axis, angle * share)


def smoothstep(x: npt.NDArray[np.floating], low: float, high: float) -> Array:
    """Cubic ramp from 0 at `low` to 1 at `high`."""
    t = np.clip((np.asarray(x, np.float64) - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)
