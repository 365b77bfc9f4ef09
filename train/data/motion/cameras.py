"""Random cameras around a person, and what they see.

Picture coordinates here are in units of the picture's longer side with the origin in its middle, so
that `picture = focal * X / Z` with the focal length as a share of the longer side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from train.data.motion.mocap import Float, Take

ASPECTS = (16 / 9, 16 / 9, 16 / 9, 4 / 3, 9 / 16)
UPPER_BODY_SHARE = 0.2  # webcam pictures: the person is larger than the picture
NEAREST_M = 0.4


@dataclass(frozen=True)
class Shot:
    """What a batch of cameras sees.

    Attributes:
        xyz_m: (B, T, 17, 3) float32 joints in camera axes (x right, y down, z forward), absolute.
        picture: (B, T, 17, 2) float32 projections, units of the longer side from the middle.
        half_wh: (B, 2) float32 half width and height of the picture in the same unit.
        focal: (B,) float32 true focal length, share of the longer side.
        assumed: (B,) float32 the focal length that the program believes in.
    """

    xyz_m: Float
    picture: Float
    half_wh: Float
    focal: Float
    assumed: Float


class Framing(NamedTuple):
    """How B cameras are set up before they have a place.

    half_wh (B, 2) and focal (B,) as in `Shot`; fill (B,) the person's share of the picture's height; upper (B,) whether
    only the upper body is meant to be seen; stands (B,) whether the camera is on a tripod.
    """

    half_wh: npt.NDArray[np.float64]
    focal: npt.NDArray[np.float64]
    fill: npt.NDArray[np.float64]
    upper: npt.NDArray[np.bool_]
    stands: npt.NDArray[np.bool_]


def shoot(take: Take, rng: np.random.Generator, tripods: float = 0.0) -> Shot:
    """Place one camera per person, 0.3..2.5 m up, any side, roughly aimed, some panning along, and project.

    Half of the cameras are believed to have a focal length up to 25 % off.

    Args:
        take: The people in world axes.
        rng: Random source.
        tripods: Share of the cameras that are not just anyhow, but stand as people set them up to film a room: breast
            to head high, level, aimed at where the person moves from 2.5..6 m away.
    """
    people = len(take.xyz_m)
    aspect = rng.choice(ASPECTS, people)
    half_wh = np.stack([np.minimum(aspect, 1), np.minimum(1 / aspect, 1)], 1) / 2
    focal = rng.uniform(0.6, 1.6, people)
    upper = rng.random(people) < UPPER_BODY_SHARE
    fill = np.exp(rng.uniform(np.log(0.15), np.log(0.95), people))  # share of the picture's height
    fill = np.where(upper, rng.uniform(1.1, 2.4, people), fill)
    own = rng.spawn(1)[0]  # a source of their own: with no tripods the cameras are the same as ever
    stands = own.random(people) < tripods
    upper &= ~stands
    from_afar = take.stature_m * focal / (own.uniform(2.5, 6, people) * 2 * half_wh[:, 1])
    fill = np.where(stands, np.minimum(from_afar, 0.85), fill)
    xyz_m = _look(take, Framing(half_wh, focal, fill, upper, stands), rng, own)
    xyz_m[..., 2] += np.maximum(0, NEAREST_M - xyz_m[..., 2].min((1, 2)))[:, None, None]
    wrong = np.where(rng.random(people) < 0.5, rng.uniform(-0.25, 0.25, people), 0)
    picture = focal[:, None, None, None] * xyz_m[..., :2] / xyz_m[..., 2:]
    parts = (xyz_m, picture, half_wh, focal, focal * (1 + wrong))
    return Shot(*(a.astype(np.float32) for a in parts))


def _look(take: Take, framing: Framing, rng: np.random.Generator, own: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return (B, T, 17, 3) joints in the axes of random cameras; `own` draws what only tripods have."""
    half_wh, focal, fill, upper, stands = framing
    people, world = len(focal), take.xyz_m.astype(np.float64)
    distance = focal * take.stature_m / (fill * 2 * half_wh[:, 1])
    middle = world[:, :, 0].mean(1)  # (B, 3)
    middle[:, 2] += np.where(upper, rng.uniform(0.25, 0.55, people), rng.uniform(-0.15, 0.15, people))
    path = np.abs(world[:, :, 0, :2] - middle[:, None, :2]).max((1, 2))
    distance = np.maximum(distance, path * rng.uniform(0.3, 1.2, people) * focal / half_wh[:, 0])
    height = rng.uniform(0.3, 2.5, people)
    height = np.where(upper, rng.uniform(0.7, 1.8, people), height)
    height = np.where(stands, own.uniform(1.1, 1.9, people), height)
    middle[:, 2] = np.where(stands, own.uniform(0.7, 1.2, people), middle[:, 2])
    level = np.sqrt(np.maximum(distance**2 - (height - middle[:, 2]) ** 2, (0.5 * distance) ** 2))
    turn = rng.uniform(0, 2 * np.pi, people)
    eye = np.stack([middle[:, 0] + level * np.cos(turn), middle[:, 1] + level * np.sin(turn), height], 1)
    follow = np.where((rng.random(people) < 0.25) & ~stands, rng.uniform(0, 1, people), 0)
    aim = np.repeat(middle[:, None], world.shape[1], 1)
    aim[..., :2] += follow[:, None, None] * (world[:, :, 0, :2] - middle[:, None, :2])
    axes = looking(aim - eye[:, None], np.zeros(people))
    off = (
        np.stack(
            [
                rng.uniform(-0.65, 0.65, people) * half_wh[:, 0],
                rng.uniform(-0.8, 0.8, people) * half_wh[:, 1] * np.where(stands, 0, np.maximum(0.15, 1 - fill)),
            ],
            1,
        )
        * (distance / focal)[:, None]
    )  # puts the person off the middle of the picture
    aim += np.einsum("btij,bi->btj", axes[:, :, :2], off)
    tilted_deg = np.where(stands, own.normal(0, 0.7, people), rng.uniform(-8, 8, people))
    axes = looking(aim - eye[:, None], np.radians(tilted_deg))
    return np.einsum("btij,btkj->btki", axes, world - eye[:, None, None])


def looking(forward: npt.NDArray[np.float64], roll: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return camera axes for directions of view.

    Args:
        forward: (B, T, 3) in world axes (z up), not vertical.
        roll: (B,) radians.

    Returns:
        (B, T, 3, 3), rows x right, y down, z forward: `camera = axes @ world`.
    """
    z = forward / np.linalg.norm(forward, axis=-1, keepdims=True)
    x = np.cross(z, np.array([0.0, 0.0, 1.0]))
    x /= np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-9)
    y = np.cross(z, x)
    cos, sin = np.cos(roll)[:, None, None], np.sin(roll)[:, None, None]
    return np.stack([cos * x + sin * y, -sin * x + cos * y, z], -2)
