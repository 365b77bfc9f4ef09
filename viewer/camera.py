"""The eye of the 3D view: a turntable camera that cannot flip, and its projection. No Qt.

World of the 3D view: metres, x right, y up, z towards the viewer (right-handed). The camera that filmed
stands on the positive z side and looks along -z, so yaw 0 shows people as the picture does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float32]

VIEWS: dict[str, tuple[float, float]] = {
    "three-quarter": (-32.0, 14.0),
    "front": (0.0, 6.0),
    "side": (-90.0, 6.0),
    "top": (0.0, 89.0),
    "back": (180.0, 6.0),
}
"""Named views as (yaw, pitch) in degrees."""
PITCH_RANGE = (-4.0, 89.0)
DISTANCE_RANGE = (1.0, 40.0)
NEAR_M = 0.15


@dataclass
class OrbitCamera:
    """A camera on a turntable: yaw goes round, pitch is clamped between the floor and straight above.

    The drawn values (`yaw`, `pitch`, `distance`) glide to their goals; `settle()` jumps there.
    """

    fov_deg: float = 34.0
    yaw: float = VIEWS["three-quarter"][0]
    pitch: float = VIEWS["three-quarter"][1]
    distance: float = 4.2
    target_m: Float = field(default_factory=lambda: np.array([0, 0.85, 0], np.float32))
    goal_yaw: float = VIEWS["three-quarter"][0]
    goal_pitch: float = VIEWS["three-quarter"][1]
    fit_distance: float = 4.2
    zoom: float = 1.0

    def orbit(self, yaw_deg: float, pitch_deg: float) -> None:
        """Turn by degrees, at once; the pitch stops at the floor and at straight above."""
        self.goal_yaw = self.yaw = self.yaw + yaw_deg
        self.goal_pitch = self.pitch = min(max(self.pitch + pitch_deg, PITCH_RANGE[0]), PITCH_RANGE[1])

    def magnify(self, factor: float) -> None:
        """Come closer (factor above 1) or go away, within 0.15 to 6 times the fitting size."""
        self.zoom = min(max(self.zoom * factor, 0.15), 6.0)

    def look(self, view: str) -> None:
        """Glide to one of VIEWS by the shorter way round.

        Raises:
            KeyError: If there is no view of that name.
        """
        yaw, self.goal_pitch = VIEWS[view]
        self.goal_yaw = self.yaw + (yaw - self.yaw + 180.0) % 360.0 - 180.0

    def reset(self) -> None:
        """Glide back to the first view and to the fitting size."""
        self.look("three-quarter")
        self.zoom = 1.0

    def fit(self, radius_m: float, height_m: float, size_px: tuple[float, float]) -> None:
        """Set the distance at which an upright cylinder round the target just fills the view."""
        half = math.tan(math.radians(self.fov_deg) / 2)
        wide = radius_m / (half * max(0.2, size_px[0] / max(1.0, size_px[1])))
        self.fit_distance = max(height_m / 2 / half, wide) * 1.06 + radius_m * 0.5

    def advance(self, dt_s: float) -> bool:
        """Glide towards the goals for `dt_s` seconds; True while something still moves."""
        goal = min(max(self.fit_distance / self.zoom, DISTANCE_RANGE[0]), DISTANCE_RANGE[1])
        gaps = (self.goal_yaw - self.yaw, self.goal_pitch - self.pitch, (goal - self.distance) * 20)
        if max(map(abs, gaps)) < 0.05:
            return False
        share = 1.0 - math.exp(-dt_s / 0.1)
        self.yaw += gaps[0] * share
        self.pitch += gaps[1] * share
        self.distance += gaps[2] / 20 * share
        return True

    def settle(self) -> None:
        """Jump to the goals."""
        self.advance(1e9)

    def axes(self) -> Float:
        """Return the (3, 3) rotation whose rows are the picture's right, up and forward in the world."""
        yaw, pitch = math.radians(self.yaw), math.radians(self.pitch)
        sy, cy, sp, cp = math.sin(yaw), math.cos(yaw), math.sin(pitch), math.cos(pitch)
        return np.array([[cy, 0, -sy], [-sy * sp, cp, -cy * sp], [-sy * cp, -sp, -cy * cp]], np.float32)

    def eye_m(self) -> Float:
        """Return the (3,) position of the eye in the world."""
        eye: Float = self.target_m - self.axes()[2] * np.float32(self.distance)
        return eye

    def focal_px(self, height_px: float) -> float:
        """Return the focal length for a view `height_px` high."""
        return height_px / 2 / math.tan(math.radians(self.fov_deg) / 2)

    def project(self, points_m: Float, size_px: tuple[float, float]) -> tuple[Float, Float]:
        """Project world points.

        Args:
            points_m: (N, 3) world metres.
            size_px: Width and height of the view.

        Returns:
            (N, 2) pixels from the view's top-left corner and (N,) depth in metres along the view
            direction. Depths below NEAR_M are behind the eye: do not draw them.
        """
        seen = (points_m - self.eye_m()) @ self.axes().T
        depth = seen[:, 2]
        scale = self.focal_px(size_px[1]) / np.maximum(depth, NEAR_M)
        xy = np.stack([size_px[0] / 2 + seen[:, 0] * scale, size_px[1] / 2 - seen[:, 1] * scale], 1)
        return xy.astype(np.float32), depth
