"""What the rasteriser draws and returns: materials, posed surfaces, cameras, pictures."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from train.data.render.meshes import Floats, Ints

NEAR_M, FAR_M = 0.05, 200.0


@dataclass(frozen=True, slots=True)
class Material:
    """How the slots of one object look; colours are linear RGB.

    Attributes:
        colour_a, colour_b: (8, 3), mixed by the pattern.
        cloth: (8, 4) pattern layer, repeats per metre, bump height in metres, photo layer or -1.
        shine: (8, 2) strength, exponent.
        mask_rgb: (3, 3) colours painted on by the three per-vertex masks.
    """

    colour_a: Floats
    colour_b: Floats
    cloth: Floats
    shine: Floats
    mask_rgb: Floats = field(default_factory=lambda: np.zeros((3, 3), np.float32))


@dataclass(frozen=True, slots=True)
class Object3D:
    """A posed surface.

    Attributes:
        position_m, normal: (V, 3) in the world.
        rest_m, rest_normal: (V, 3) where patterns are looked up; moves with the surface.
        marks: (V, 4) material slot and three masks.
        triangles: (T, 3).
        material: See Material.
        object_id: 0..255, written to the identity map.
        casts: Throws shadows.
        catcher: Shows the backdrop with the shadows that fall on it.
        caster: (T', 3) triangles to throw shadows with instead of `triangles`.
        near_people: Bodies keep skylight away from it (costs time per pixel).
    """

    position_m: Floats
    normal: Floats
    rest_m: Floats
    rest_normal: Floats
    marks: Floats
    triangles: Ints
    material: Material
    object_id: int
    casts: bool = True
    catcher: bool = False
    near_people: bool = True
    caster: Ints | None = None


@dataclass(frozen=True, slots=True)
class Camera:
    """A pinhole camera in the world.

    Attributes:
        eye_m: (3,).
        axes: (3, 3), columns: the camera's right, down and forward in the world.
        focal_px: Square pixels.
        size_wh: Picture size.
        centre_px: Principal point; None is the picture's centre. Off-centre for a crop of a larger picture.
    """

    eye_m: npt.NDArray[np.float64]
    axes: npt.NDArray[np.float64]
    focal_px: float
    size_wh: tuple[int, int]
    centre_px: tuple[float, float] | None = None

    @property
    def centre(self) -> tuple[float, float]:
        """Principal point in pixels."""
        return self.centre_px or (self.size_wh[0] / 2, self.size_wh[1] / 2)

    def cropped(self, left: float, top: float, scale: float, size_wh: tuple[int, int]) -> Camera:
        """The camera of a crop that starts at (left, top) and is resized by `scale`."""
        x, y = self.centre
        return Camera(self.eye_m, self.axes, self.focal_px * scale, size_wh, ((x - left) * scale, (y - top) * scale))

    def to_camera(self, xyz_m: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """World points (..., 3) in camera axes."""
        return (xyz_m - self.eye_m) @ self.axes

    def project(self, xyz_m: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """World points (..., 3) -> pixels (..., 2); meaningless behind the camera."""
        c = self.to_camera(xyz_m)
        return c[..., :2] / np.maximum(c[..., 2:], 1e-6) * self.focal_px + np.asarray(self.centre)

    def clip(self) -> npt.NDArray[np.float64]:
        """World -> clip matrix (4, 4); clip y points down, as rows of a picture do."""
        w, h = self.size_wh
        p = np.zeros((4, 4))
        p[0, 0], p[1, 1] = 2 * self.focal_px / w, 2 * self.focal_px / h
        p[2, 2], p[2, 3] = (FAR_M + NEAR_M) / (FAR_M - NEAR_M), -2 * FAR_M * NEAR_M / (FAR_M - NEAR_M)
        p[0, 2], p[1, 2] = 2 * self.centre[0] / w - 1, 2 * self.centre[1] / h - 1
        p[3, 2] = 1
        view = np.eye(4)
        view[:3, :3], view[:3, 3] = self.axes.T, -self.axes.T @ self.eye_m
        return p @ view


def look(
    eye_m: npt.NDArray[np.float64],
    at_m: npt.NDArray[np.float64],
    roll: float,
    focal_px: float,
    size_wh: tuple[int, int],
) -> Camera:
    """A camera at `eye_m` that looks at `at_m`, rolled by `roll` radians."""
    forward = (at_m - eye_m) / np.linalg.norm(at_m - eye_m)
    right = np.cross(forward, [0.0, 1, 0])
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    c, s = np.cos(roll), np.sin(roll)
    return Camera(eye_m, np.stack([c * right + s * down, c * down - s * right, forward], 1), focal_px, size_wh)


@dataclass(frozen=True, slots=True)
class Picture:
    """What was drawn.

    Attributes:
        rgb: (H, W, 3) linear.
        ids: (H, W) uint8 object in front (0 none).
        depth_m: (H, W) distance along the camera's axis.
    """

    rgb: Floats
    ids: npt.NDArray[np.uint8]
    depth_m: Floats


def shadow_clip(towards: Floats, centre_m: Floats, radius_m: float) -> npt.NDArray[np.float64]:
    """World -> clip matrix (4, 4) of an orthographic light that sees a ball."""
    forward = -towards.astype(np.float64)
    side = np.cross(forward, [0.0, 0, 1] if abs(forward[1]) > 0.9 else [0.0, 1, 0])
    side /= np.linalg.norm(side)
    m = np.eye(4)
    m[:3, :3] = np.stack([side, np.cross(forward, side), forward / 4]) / radius_m  # deep: shadows fall far
    m[:3, 3] = -m[:3, :3] @ centre_m
    return m
