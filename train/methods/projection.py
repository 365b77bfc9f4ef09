"""Perspective projection with lens distortion, in torch: what every loss on re-projected joints goes through.

The same model as `data.motion.rigs.Camera.project` (OpenCV's, which Human3.6M's cameras are given in): radial k1 k2 k3,
tangential p1 p2. Without distortion it is equation 3.1 of the thesis.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from train.data.motion.rigs import Camera

LENS = 9  # fx fy cx cy k1 k2 k3 p1 p2
NEAREST_M = 0.01  # a point nearer than this to the camera's plane is taken to lie at this depth
WIDEST_RAY = (
    1.0  # beyond it (45 degrees off the axis) the distortion grows no more: r^6 would make a bad guess infinite
)


def lens_px(camera: Camera) -> Tensor:
    """Return a camera's (9,) float32 fx fy cx cy (pixels) k1 k2 k3 p1 p2."""
    parts = (camera.focal_px, camera.centre_px, camera.radial, camera.tangential)
    return torch.from_numpy(np.concatenate([np.asarray(p, np.float32).ravel() for p in parts]))


def lens_screen(camera: Camera) -> Tensor:
    """Return a camera's (9,) lens that projects to VideoPose3D's screen: width to [-1, 1], aspect kept."""
    width, height = camera.size_wh
    lens = lens_px(camera)
    lens[:4] *= 2 / width
    lens[2:4] -= torch.tensor([1.0, height / width])
    return lens


def mirrored_lens(lens: Tensor) -> Tensor:
    """Return the lens (..., 9) that takes mirrored points to the mirrored screen: cx and p2 change their sign."""
    sign = torch.ones(LENS)
    sign[2] = sign[8] = -1
    return lens * sign


def project(camera_m: Tensor, lens: Tensor, ray_limit: float | None = None) -> Tensor:
    """Project points in camera axes.

    Args:
        camera_m: (..., 3) metres, x right, y down, z forward.
        lens: (..., 9), broadcast against the points' leading axes; from `lens_px` or `lens_screen`.
        ray_limit: If given, rays are clamped to |X/Z|, |Y/Z| <= this, as VideoPose3D does at 1: a point that a
            network has put beside or behind the camera then costs a bounded error.

    Returns:
        (..., 2) in the unit of the lens.
    """
    depth = camera_m[..., 2:]
    side = torch.where(depth < 0, -NEAREST_M, NEAREST_M)
    ray = camera_m[..., :2] / torch.where(depth.abs() < NEAREST_M, side, depth)
    if ray_limit is not None:
        ray = ray.clamp(-ray_limit, ray_limit)
    focal, centre, (k1, k2, k3), tangential = _split(lens)
    near = ray.clamp(-WIDEST_RAY, WIDEST_RAY)
    r2 = (near * near).sum(-1, keepdim=True)
    radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
    crossed = tangential.flip(-1)  # p2 acts along x, p1 along y
    bent = ray * (radial + 2 * (crossed * near).sum(-1, keepdim=True)) + crossed * r2
    return focal * bent + centre


def _split(lens: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, ...], Tensor]:
    return lens[..., :2], lens[..., 2:4], lens[..., 4:7].split(1, -1), lens[..., 7:]
