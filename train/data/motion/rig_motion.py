"""Motion of a skeleton as its file tells it: joints under the file's own names, in its own unit and axes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Double = npt.NDArray[np.float64]
AXES = "XYZ"


@dataclass(frozen=True)
class RigMotion:
    """One recording after forward kinematics.

    Attributes:
        source: The file, for messages.
        names: J joint names as in the file; the end of a chain without a name is called "<joint>_end".
        parents: (J,) index of each joint's parent, -1 for the root; parents come before their children.
        xyz: (T, J, 3) float64 positions, the file's unit and axes.
        turns: (T, J, 3, 3) float64 rotations of what is fixed to the joint, relative to the rest pose.
        rest: (J, 3) float64 positions in the rest pose, all rotations zero.
        fps: Frames per second.
    """

    source: Path
    names: tuple[str, ...]
    parents: tuple[int, ...]
    xyz: Double
    turns: Double
    rest: Double
    fps: float


def euler(axes: str, degrees: Double) -> Double:
    """Multiply rotations about axes in the order written: "ZXY" gives Rz @ Rx @ Ry.

    Args:
        axes: Letters of X, Y, Z.
        degrees: (..., len(axes)) angles.

    Returns:
        (..., 3, 3).
    """
    out = np.broadcast_to(np.eye(3), (*degrees.shape[:-1], 3, 3))
    for number, letter in enumerate(axes):
        a = np.radians(degrees[..., number])
        i, j = ((1, 2), (2, 0), (0, 1))[AXES.index(letter)]
        one = np.broadcast_to(np.eye(3), out.shape).copy()
        one[..., i, i] = one[..., j, j] = np.cos(a)
        one[..., j, i] = np.sin(a)
        one[..., i, j] = -one[..., j, i]
        out = out @ one
    return out


def numbers(words: list[str], where: str) -> list[float]:
    """Read words as finite numbers.

    Raises:
        ValueError: With `where` in front, if a word is none.
    """
    try:
        values = [float(word) for word in words]
    except ValueError:
        raise ValueError(f"{where}: expected numbers, found {' '.join(words)[:80]!r}") from None
    if not np.isfinite(values).all():
        raise ValueError(f"{where}: a value is not finite")
    return values
