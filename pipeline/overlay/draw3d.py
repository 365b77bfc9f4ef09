"""Skeletons in space, drawn with OpenCV: an own small projection, a ground grid, thick antialiased bones.

Scene coordinates are the camera's: x right, y down, z forward, metres. The ground is taken to be level
with the camera and to lie under the lowest joint.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from engines.geometry import default_focal_px
from engines.skeletons import H36M17
from pipeline.messages import People3D
from pipeline.overlay.colors import DIM, RGB, SIDES, opacity
from pipeline.sources.video import Image

Float = npt.NDArray[np.float32]

BACKGROUND: RGB = (19, 24, 31)
GRID: RGB = (62, 72, 88)
SHADOW: RGB = (11, 14, 18)
BONES = tuple((parent, child, SIDES[H36M17.side(child)]) for parent, child in H36M17.bones)
"""Parent joint, child joint, colour of the side of the outer end; left and right are the person's own."""

PERSON_M = 1.7
SOLE_M = 0.08
"""The ankle joint's height above the ground."""
GRID_M = 0.5
SUBPIXEL = 4
"""cv2 takes pixel positions in 1/2^n."""


@dataclass(frozen=True, slots=True)
class Eye:
    """Where the scene is looked at from.

    Attributes:
        yaw_deg: 0 looks along the camera's own view, 90 from the camera's right side.
        pitch_deg: Degrees looked down.
        title: What to write in the corner.
    """

    yaw_deg: float
    pitch_deg: float
    title: str


@dataclass(frozen=True, slots=True)
class Scene:
    """People in space.

    Attributes:
        xyz_m: (P, 17, 3) float32 in scene coordinates.
        score: (P, 17) float32 0..1.
        centre_m: (3,) what the eye looks at: on the ground, amid the people.
        radius_m: Radius of the part of the ground that matters.
    """

    xyz_m: Float
    score: Float
    centre_m: Float
    radius_m: float


def to_fixed(xy_px: npt.ArrayLike) -> list[list[int]]:
    """Return (N, 2) finite positions in pixels (0.5 = centre of the first pixel) as cv2's fixed-point numbers."""
    fixed = (np.asarray(xy_px, np.float64) - 0.5) * (1 << SUBPIXEL)
    return np.clip(np.rint(fixed), -(1 << 24), 1 << 24).astype(int).tolist()  # type: ignore[no-any-return]


def mix(colour: RGB, ground: RGB, share: float) -> RGB:
    """Return `share` of a colour over a ground colour."""
    return tuple(round(c * share + g * (1 - share)) for c, g in zip(colour, ground, strict=True))  # type: ignore[return-value]


def arrange(people: People3D) -> Scene:
    """Put everybody where they stand; a person of unknown place goes where the size of the box suggests."""
    xyz = people.xyz_m if people.xyz_smooth_m is None else people.xyz_smooth_m
    root = np.where(np.isfinite(people.root_m), people.root_m, _guess_root_m(people))
    world = np.nan_to_num(xyz + root[:, None]).astype(np.float32)
    if not len(world):
        return Scene(world, people.score, np.array([0, 0, 4], np.float32), 1.2)
    centre = (root.min(0) + root.max(0)) / 2
    centre[1] = world[..., 1].max() + SOLE_M
    apart_m = float(np.linalg.norm((root - centre)[:, [0, 2]], axis=1).max())
    # in steps, so that the picture does not breathe with every move
    return Scene(world, people.score, centre.astype(np.float32), 1.2 + np.ceil(apart_m / 0.5) * 0.5)


def _guess_root_m(people: People3D) -> Float:
    """Return (P, 3): the pelvis if everybody were 1.7 m tall and upright."""
    focal_px = default_focal_px(people.image_wh)
    low, high = people.box_xyxy_px[:, :2], people.box_xyxy_px[:, 2:]
    depth_m = focal_px * PERSON_M / np.maximum((high - low).max(1), 1)
    xy_m = ((low + high) / 2 - np.asarray(people.image_wh) / 2) / focal_px * depth_m[:, None]
    return np.concatenate([xy_m, depth_m[:, None]], 1).astype(np.float32)


def draw_scene(canvas: Image, scene: Scene, eye: Eye) -> None:
    """Draw a scene as seen by an eye onto a canvas, in place.

    Args:
        canvas: (H, W, 3) uint8 RGB.
        scene: People in space.
        eye: Direction of view; distance and height follow from the scene.
    """
    cv2.rectangle(canvas, (0, 0), canvas.shape[1::-1], BACKGROUND, -1)  # 10 times as fast as canvas[:] =
    project = _Projection(canvas.shape[1], canvas.shape[0], scene, eye)
    _draw_ground(canvas, scene, project)
    for xyz_m in scene.xyz_m:
        _draw_shadow(canvas, xyz_m, float(scene.centre_m[1]), project)
    bones = []
    for xyz_m, score in zip(scene.xyz_m, scene.score, strict=True):
        xy, depth_m = project(xyz_m)
        at, depths_m, sure = to_fixed(xy), depth_m.tolist(), score.tolist()
        for parent, child, colour in BONES:
            solid = opacity(min(sure[parent], sure[child]))
            bones.append(((depths_m[parent] + depths_m[child]) / 2, at[parent], at[child], colour, solid))
    for bone_depth_m, start, end, colour, solid in sorted(bones, reverse=True):
        _draw_bone(canvas, start, end, mix(colour, BACKGROUND, solid), project.px_per_m(bone_depth_m))
    title_px = (12, 24)
    cv2.putText(canvas, eye.title, title_px, cv2.FONT_HERSHEY_SIMPLEX, 0.55, DIM, 1, cv2.LINE_AA)


class _Projection:
    """Perspective from a little way off, filled by a standing person or by everybody's ground."""

    def __init__(self, width: int, height: int, scene: Scene, eye: Eye) -> None:
        yaw, pitch = np.radians(eye.yaw_deg), np.radians(eye.pitch_deg)
        turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
        tilt = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
        self._rotation = tilt @ turn
        self._target = scene.centre_m - [0, PERSON_M * 0.5, 0]
        self._distance_m = scene.radius_m * 4
        fit_m = max(2.15 / height, 2 * scene.radius_m * 0.92 / width)
        self._focal_px = self._distance_m / fit_m
        self._centre = np.array([width / 2, height / 2])

    def __call__(self, xyz_m: npt.ArrayLike) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        seen = (np.asarray(xyz_m, np.float64) - self._target) @ self._rotation.T
        depth_m = np.maximum(seen[..., 2] + self._distance_m, 0.1)
        return seen[..., :2] / depth_m[..., None] * self._focal_px + self._centre, depth_m

    def px_per_m(self, depth_m: float) -> float:
        """Return how many pixels a metre takes at a depth."""
        return self._focal_px / depth_m


def _draw_ground(canvas: Image, scene: Scene, project: _Projection) -> None:
    x0, y, z0 = scene.centre_m
    reach_m = np.ceil(scene.radius_m / GRID_M) * GRID_M
    # lines lie on whole steps of the scene, so that a walking person walks over them
    xs = np.arange(np.floor((x0 - reach_m) / GRID_M), (x0 + reach_m) / GRID_M + 1) * GRID_M
    zs = np.arange(np.floor((z0 - reach_m) / GRID_M), (z0 + reach_m) / GRID_M + 1) * GRID_M
    ends = [((x, y, zs[0]), (x, y, zs[-1])) for x in xs] + [((xs[0], y, z), (xs[-1], y, z)) for z in zs]
    points = to_fixed(project(np.array(ends).reshape(-1, 3))[0])
    for start, end in zip(points[::2], points[1::2], strict=True):
        cv2.line(canvas, start, end, GRID, 1, cv2.LINE_AA, SUBPIXEL)


def _draw_shadow(canvas: Image, xyz_m: Float, ground_m: float, project: _Projection) -> None:
    flat = xyz_m.copy()
    flat[:, 1] = ground_m
    xy, depth_m = project(flat)
    at, width = to_fixed(xy), max(2, round(0.06 * project.px_per_m(float(depth_m.mean()))))
    for parent, child, _ in BONES:
        cv2.line(canvas, at[parent], at[child], SHADOW, width, cv2.LINE_AA, SUBPIXEL)


def _draw_bone(canvas: Image, start: list[int], end: list[int], colour: RGB, px_per_m: float) -> None:
    draw_limb(canvas, start, end, colour, max(2, round(0.035 * px_per_m)))


def draw_limb(canvas: Image, start: list[int], end: list[int], colour: RGB, width: int) -> None:
    """Draw a thick line with round joints and dark rims, in place.

    Args:
        canvas: (H, W, 3) uint8 RGB, contiguous.
        start: One end, from `to_fixed`.
        end: The other end.
        colour: RGB.
        width: In pixels.
    """
    cv2.line(canvas, start, end, SHADOW, width + 2, cv2.LINE_AA, SUBPIXEL)
    cv2.line(canvas, start, end, colour, width, cv2.LINE_AA, SUBPIXEL)
    radius = round((width * 0.55 + 1) * (1 << SUBPIXEL))
    cv2.circle(canvas, start, radius, colour, -1, cv2.LINE_AA, SUBPIXEL)
    cv2.circle(canvas, end, radius, colour, -1, cv2.LINE_AA, SUBPIXEL)
