"""Cameras recovered from points whose places in the world and in the picture are known."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from train.data.motion.rigs import Camera

CAMERA_PARTS = ("rotation", "position_m", "size_wh", "focal_px", "centre_px", "radial", "tangential")
MOST_POINTS = 4000
LEAST_POINTS = 50
WORST_PX = 1.0  # the typical error above which the points do not belong together


def recover_camera(
    world_m: npt.NDArray[np.floating], xy_px: npt.NDArray[np.floating], size_wh: tuple[int, int], name: str = "camera"
) -> Camera:
    """Find the camera, with lens distortion, that projects points of the world to given pixels.

    A direct linear transform gives the beginning (Hartley and Zisserman, algorithm 7.1); OpenCV's bundle adjustment of
    all 15 parameters ends it. Points that are not finite are left out.

    Args:
        world_m: (N, 3) points, not all in one plane.
        xy_px: (N, 2) where they are seen, without errors of detection.
        size_wh: The picture's size.
        name: What the message calls the camera.

    Raises:
        ValueError: If there are too few points, or no camera explains them.
    """
    known = np.isfinite(world_m).all(-1) & np.isfinite(xy_px).all(-1)
    rows = np.flatnonzero(known)
    if len(rows) < LEAST_POINTS:
        raise ValueError(f"{name}: {len(rows)} known points are too few to find it, {LEAST_POINTS} are needed")
    rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), MOST_POINTS)).astype(int)]
    points, pixels = world_m[rows].astype(np.float64), xy_px[rows].astype(np.float64)
    middle = points.mean(0)  # keeps the float32 that OpenCV calculates with exact
    near = (points - middle).astype(np.float32)[None], pixels.astype(np.float32)[:, None][None]
    matrix = _intrinsics(points - middle, pixels, size_wh, name)
    flags = cv2.CALIB_USE_INTRINSIC_GUESS
    stop = (cv2.TERM_CRITERIA_COUNT + cv2.TERM_CRITERIA_EPS, 200, 1e-12)
    _, matrix, lens, turns, moves = cv2.calibrateCamera(*near, size_wh, matrix, np.zeros(5), flags=flags, criteria=stop)
    rotation, _ = cv2.Rodrigues(turns[0])
    k1, k2, p1, p2, k3 = np.ravel(lens)[:5]
    camera = Camera(
        rotation,
        middle - rotation.T @ np.ravel(moves[0]),
        size_wh,
        np.array([matrix[0, 0], matrix[1, 1]]),
        matrix[:2, 2],
        np.array([k1, k2, k3]),
        np.array([p1, p2]),
    )
    error = np.median(np.linalg.norm(camera.project(camera.to_camera(points)) - pixels, axis=-1))
    if not error < WORST_PX:
        raise ValueError(f"{name}: the best camera misses half of the points by more than {error:.1f} px")
    return camera


def _intrinsics(
    points: npt.NDArray[np.float64], pixels: npt.NDArray[np.float64], size_wh: tuple[int, int], name: str
) -> npt.NDArray[np.float64]:
    """Return the camera matrix (3, 3) of the best camera without distortion."""
    spread = np.abs(points).max()
    x = np.concatenate([points / spread, np.ones((len(points), 1))], 1)
    u, v = ((pixels - np.array(size_wh) / 2) / max(size_wh)).T[..., None]
    zero = np.zeros_like(x)
    rows = np.concatenate([np.concatenate([x, zero, -u * x], 1), np.concatenate([zero, x, -v * x], 1)])
    _, values, basis = np.linalg.svd(rows, full_matrices=False)
    if values[-2] < 1e-6 * values[0]:
        raise ValueError(f"{name}: the points lie in one plane or line, or at one place")
    left = basis[-1].reshape(3, 4)[:, :3] / spread
    flip = np.eye(3)[::-1]
    _, upper = np.linalg.qr((flip @ left).T)  # left = upper triangle times rotation
    upper = flip @ upper.T @ flip
    upper = upper @ np.diag(np.sign(np.diag(upper))) / abs(upper[2, 2])
    focal = np.clip(np.diag(upper)[:2], 0.3, 10) * max(size_wh)
    centre = np.clip(upper[:2, 2], -0.4, 0.4) * max(size_wh) + np.array(size_wh) / 2
    return np.array([[focal[0], 0, centre[0]], [0, focal[1], centre[1]], [0, 0, 1]])


def save_cameras(path: Path, cameras: Mapping[str, Sequence[Camera]]) -> None:
    """Write the cameras of each subject as JSON, see `load_cameras`."""
    plain = {
        subject: [{name: np.asarray(getattr(camera, name)).tolist() for name in CAMERA_PARTS} for camera in rig]
        for subject, rig in cameras.items()
    }
    path.write_text(json.dumps(plain, indent=1) + "\n")


def load_cameras(path: Path) -> dict[str, tuple[Camera, ...]]:
    """Read the cameras of each subject.

    The file: {"S1": [{"rotation": 3x3, "position_m": [x, y, z], "size_wh": [w, h], "focal_px": [fx, fy], "centre_px":
    [cx, cy], "radial": [k1, k2, k3], "tangential": [p1, p2]}, ...], ...}, the parts of `Camera`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not such a file.
    """
    try:
        read = json.loads(path.read_text())
        return {
            subject: tuple(
                Camera(**{k: tuple(v) if k == "size_wh" else np.asarray(v, np.float64) for k, v in parts.items()})
                for parts in rig
            )
            for subject, rig in read.items()
        }
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: not a file of cameras ({error})") from error
