"""Cameras with lens distortion, fixed as in a motion-capture room or placed at random round the person.

World axes: x right, y forward, z up, metres, the floor at z = 0. A rig looks at the world's origin.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from train.data.motion.cameras import looking

Double = npt.NDArray[np.float64]

NEAREST_M = 0.01  # a point nearer to the camera's plane than this is projected as if it lay there
EYE_LEVEL_M = 0.95  # height of the point that the cameras look at: the middle of a standing person
ROOM_SIZE_WH = (1000, 1000)
# azimuth (degrees from the x axis), distance on the floor, height, roll (degrees)
ROOM_PLACES = ((69.0, 5.5, 1.55, 0.6), (-67.5, 5.6, 1.6, -0.9), (110.0, 5.5, 1.5, 0.4), (-113.0, 5.3, 1.55, -0.5))
# fx, fy, cx, cy, k1, k2, k3, p1, p2: the size of Human3.6M's lenses' values, not a copy of any
ROOM_LENSES = (
    (1145.0, 1143.5, 512.0, 515.0, -0.21, 0.25, -0.003, -0.0010, -0.0014),
    (1149.5, 1147.5, 509.0, 508.0, -0.19, 0.24, 0.007, -0.0016, -0.0027),
    (1148.5, 1149.0, 520.0, 501.0, -0.21, 0.26, -0.002, 0.0015, -0.0008),
    (1145.5, 1144.5, 515.0, 502.0, -0.20, 0.22, -0.009, -0.0006, -0.0018),
)
VIRTUAL_DISTANCE_M, VIRTUAL_HEIGHT_M = (4.8, 6.2), (0.6, 2.4)


@dataclass(frozen=True, slots=True, eq=False)
class Camera:
    """One camera; two cameras are equal only if they are the same object.

    Attributes:
        rotation: (3, 3) float64, rows are the camera's x right, y down, z forward in world axes.
        position_m: (3,) float64 its centre in the world.
        size_wh: Width and height of the picture.
        focal_px: (2,) float64 focal lengths.
        centre_px: (2,) float64 principal point; the pixel origin is the top-left corner of the top-left pixel.
        radial: (3,) float64 k1 k2 k3.
        tangential: (2,) float64 p1 p2.
    """

    rotation: Double
    position_m: Double
    size_wh: tuple[int, int]
    focal_px: Double
    centre_px: Double
    radial: Double = field(default_factory=lambda: np.zeros(3))
    tangential: Double = field(default_factory=lambda: np.zeros(2))

    def __post_init__(self) -> None:
        """Make everything float64 of the right shape.

        Raises:
            ValueError: If a part has another shape, or the rotation is none.
        """
        parts = {"rotation": (3, 3), "position_m": (3,), "focal_px": (2,), "centre_px": (2,)}
        for name, shape in (parts | {"radial": (3,), "tangential": (2,)}).items():
            value = np.asarray(getattr(self, name), np.float64)
            if value.shape != shape:
                raise ValueError(f"camera: {name} has shape {value.shape}, not {shape}")
            object.__setattr__(self, name, value)
        straight = np.allclose(self.rotation @ self.rotation.T, np.eye(3), atol=1e-4)
        if not straight or np.linalg.det(self.rotation) < 0:
            raise ValueError("camera: rotation is not a rotation matrix")

    def to_camera(self, world_m: npt.NDArray[np.floating]) -> Double:
        """Turn (..., 3) points of the world into camera axes (x right, y down, z forward), metres."""
        return (np.asarray(world_m, np.float64) - self.position_m) @ self.rotation.T

    def to_world(self, camera_m: npt.NDArray[np.floating]) -> Double:
        """Turn (..., 3) points in camera axes into the world's."""
        return np.asarray(camera_m, np.float64) @ self.rotation + self.position_m

    def project(self, camera_m: npt.NDArray[np.floating]) -> Double:
        """Project (..., 3) points in camera axes to (..., 2) pixels.

        The lens is OpenCV's (Brown 1966): ray * (1 + k1 r^2 + k2 r^4 + k3 r^6) + tangential part. Human3.6M's own
        code has half of the tangential part's cross terms, which differs by less than a pixel inside its pictures.
        """
        camera_m = np.asarray(camera_m, np.float64)
        x, y = np.moveaxis(camera_m[..., :2] / np.maximum(camera_m[..., 2:], NEAREST_M), -1, 0)
        r2 = x * x + y * y
        k1, k2, k3 = self.radial
        p1, p2 = self.tangential
        radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
        bent = radial[..., None] * np.stack([x, y], -1)
        bent[..., 0] += 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
        bent[..., 1] += p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
        return bent * self.focal_px + self.centre_px


def room_rig() -> tuple[Camera, ...]:
    """Return 4 fixed cameras like Human3.6M's: 5.5 m away, 1.5 m up, two on each long side, 1000x1000 px."""
    return tuple(
        _placed(place, ROOM_SIZE_WH, lens, np.zeros(2)) for place, lens in zip(ROOM_PLACES, ROOM_LENSES, strict=True)
    )


def virtual_rig(rng: np.random.Generator, count: int) -> tuple[Camera, ...]:
    """Return random views round the subject (thesis chapter 3 goes from 4 to 12).

    One camera in each of `count` equal sectors, 4.8..6.2 m away and 0.6..2.4 m up, roughly aimed, with the room's
    lenses: focal lengths that keep a person who stays in the middle of the rig inside the picture.

    Raises:
        ValueError: If `count` is less than one.
    """
    if count < 1:
        raise ValueError(f"a rig needs at least one camera, not {count}")
    turn = rng.uniform(0, 360) + 360 / count * (np.arange(count) + rng.uniform(-0.35, 0.35, count))
    distance, height = rng.uniform(*VIRTUAL_DISTANCE_M, count), rng.uniform(*VIRTUAL_HEIGHT_M, count)
    roll, lenses = rng.uniform(-2, 2, count), rng.integers(len(ROOM_LENSES), size=count)
    aside = rng.uniform(-0.12, 0.12, (count, 2))
    places = zip(turn, distance, height, roll, strict=True)
    return tuple(
        _placed(place, ROOM_SIZE_WH, ROOM_LENSES[lens], off)
        for place, lens, off in zip(places, lenses, aside, strict=True)
    )


def _placed(
    place: tuple[float, float, float, float], size_wh: tuple[int, int], lens: tuple[float, ...], aside: Double
) -> Camera:
    """Return a camera at a place of the room, looking at a point `aside` (2,) metres off the middle of a person."""
    turn, distance, height, roll = place
    at = np.array([distance * np.cos(np.radians(turn)), distance * np.sin(np.radians(turn)), height])
    aim = np.array([aside[0], aside[1], EYE_LEVEL_M])
    axes = looking((aim - at)[None, None], np.radians([roll]))[0, 0]
    values = np.asarray(lens, np.float64)
    return Camera(axes, at, size_wh, values[:2], values[2:4], values[4:7], values[7:])
