"""Whole takes: a figure moved through a clip at a steady frame rate, its feet held where they stand."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from train.data.render.figures import Figure
from train.data.render.motions import Clip
from train.data.render.retarget import LEG, joints_of, soles_of
from train.data.render.rotations import Array
from train.data.render.scenes import Person

FEET = (3, 17, 6, 18)  # right ankle and toe, left ankle and toe
STILL_MPS = 0.25  # a foot point slower than this, and this near to its lowest, carries weight
LOW_M = 0.02


def smooth(values: npt.NDArray[np.floating], sigma: float) -> Array:
    """Gaussian filter along the first axis, ends repeated."""
    radius = int(np.ceil(3 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    padded = np.concatenate([values[:1]] * radius + [values] + [values[-1:]] * radius)
    return sum(w * padded[i : i + len(values)] for i, w in enumerate(kernel))


def resample(xyz: Array, source_fps: float, fps: float) -> Array:
    """Frames (T, J, 3) at another rate, linear between neighbours."""
    count = int((len(xyz) - 1) / source_fps * fps) + 1
    at = np.arange(count) * source_fps / fps
    low = np.minimum(at.astype(int), len(xyz) - 2)
    t = (at - low)[:, None, None]
    return xyz[low] * (1 - t) + xyz[low + 1] * t


def contact_weights(xyz: Array, fps: float) -> Array:
    """How firmly each foot point stands (T, 4), 0..1, from its height and speed in the mocap; columns as FEET."""
    feet = xyz[:, FEET]
    speed = np.linalg.norm(np.gradient(feet, axis=0), axis=-1) * fps
    height = np.maximum(feet[..., 1] - np.percentile(feet[..., 1], 5, axis=0), 0)
    return np.exp(-((speed / STILL_MPS) ** 2) - (height / LOW_M) ** 2)


def travel(xyz: Array, local: Array, fps: float) -> Array:
    """Path of the pelvis over the floor (T, 2: x, z) that keeps the standing foot points of another body still.

    Args:
        xyz: (T, 21, 3) mocap, world.
        local: (T, 4, 3) the body's own foot points with its pelvis at the origin, columns as FEET.
        fps: Frame rate.
    """
    weight = contact_weights(xyz, fps)
    weight = np.minimum(weight[1:], weight[:-1])[..., None]
    planted = -np.diff(local[..., [0, 2]], axis=0)
    legs = [(LEG["R"], local[:, 0]), (LEG["L"], local[:, 2])]
    own = np.mean([np.linalg.norm(xyz[:, a] - xyz[:, 0], axis=-1).mean() for (_, _, a, _), _ in legs])
    scale = np.mean([np.linalg.norm(ankle, axis=-1).mean() for _, ankle in legs]) / own
    free = np.diff(xyz[:, 0][:, [0, 2]], axis=0) * scale
    step = ((weight * planted).sum(1) + 0.02 * free) / (weight.sum(1) + 0.02)
    return np.concatenate([np.zeros((1, 2)), np.cumsum(step, 0)])


@dataclass(frozen=True, slots=True)
class Take:
    """A clip as one figure performs it.

    Attributes:
        person: Figure, poses and places; `person.shift_m` has one row per frame.
        fps: Frame rate.
        clip: Name of the mocap clip.
    """

    person: Person
    fps: float
    clip: str


def take(
    figure: Figure, clip: Clip, xyz: Array, fps: float, curl: float = 0.3, roll: tuple[float, float] = (0.1, 0.1)
) -> Take:
    """Perform mocap frames.

    Args:
        figure: Who.
        clip: Where the frames are from (for its flat-foot angles and name).
        xyz: (T, 21, 3) world, at `fps`, body axes.
        fps: Frame rate.
        curl: How far fingers bend, radians.
        roll: Of right and left forearm, radians.
    """
    posed = figure.retargeter.pose(xyz, clip.flat, roll, curl)
    body, rest = figure.retargeter.body, figure.retargeter.rest
    toes = posed.head_m[:, [body.bone[f"toe1-2.{s}"] for s in "RL"]]
    joints = joints_of(body, rest, posed)
    local = np.stack([joints[:, 3], toes[:, 0], joints[:, 6], toes[:, 1]], 1)
    path = travel(xyz, local, fps)
    feet = xyz[:, FEET, 1]
    clear = np.maximum((feet - np.percentile(feet, 5, axis=0)).min(1), 0)
    height = smooth(clear - soles_of(rest, posed)[..., 1].min(1), 1.5)
    shift = np.stack([path[:, 0], height, path[:, 1]], 1)
    return Take(Person(figure, posed, shift, joints + shift[:, None], toes + shift[:, None], 1), fps, clip.name)


def centred(performed: Take, middle_m: tuple[float, float]) -> Take:
    """The same take with the middle of the box round its path at this floor point (x, z)."""
    p = performed.person
    path = p.shift_m[:, [0, 2]]
    x, z = np.asarray(middle_m) - (path.min(0) + path.max(0)) / 2
    by = np.array([x, 0, z])
    moved = replace(p, shift_m=p.shift_m + by, joints_m=p.joints_m + by, toes_m=p.toes_m + by)
    return replace(performed, person=moved)


def sliding_mps(performed: Take, xyz: Array) -> float:
    """Mean speed over the floor of the foot points that stand, weighted by how firmly; 0 is no sliding."""
    person = performed.person
    feet = np.stack([person.joints_m[:, 3], person.toes_m[:, 0], person.joints_m[:, 6], person.toes_m[:, 1]], 1)
    weight = contact_weights(xyz, performed.fps)
    weight = np.minimum(weight[1:], weight[:-1])
    speed = np.linalg.norm(np.diff(feet[..., [0, 2]], axis=0), axis=-1) * performed.fps
    return float((weight * speed).sum() / max(weight.sum(), 1e-9))
