"""People without a detector: a standing figure that swings its arms, seen by a camera in front of it."""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt

from engines.geometry import default_focal_px, rays_to_pixels
from pipeline.messages import People3D, Stamp

# facing the camera: the person's left is at +x of the camera; y is down, the pelvis is the origin
STANDING = np.array(
    [
        [0, 0, 0], [-0.12, 0.02, 0], [-0.14, 0.44, 0], [-0.15, 0.86, 0], [0.12, 0.02, 0], [0.14, 0.44, 0],
        [0.15, 0.86, 0], [0, -0.26, 0], [0, -0.52, 0], [0, -0.60, -0.08], [0, -0.71, 0], [0.19, -0.49, 0],
        [0.32, -0.25, 0], [0.42, 0.0, -0.05], [-0.19, -0.49, 0], [-0.32, -0.25, 0], [-0.42, 0.0, -0.05],
    ],
    np.float32,
)  # fmt: skip
LEFT, RIGHT = [4, 5, 6, 11, 12, 13], [1, 2, 3, 14, 15, 16]


def people(
    roots_m: list[tuple[float, float, float]] | None = None,
    *,
    seq: int = 0,
    pts_s: float | None = None,
    wh: tuple[int, int] = (640, 360),
    score: float = 0.95,
    filled: float = 1.0,
    preview: npt.NDArray[np.uint8] | None = None,
    tracks: list[int] | None = None,
    known_root: bool = True,
    source: str = "test",
) -> People3D:
    """Return one standing person per root (default: one, 4 m away)."""
    roots = np.array([(0.0, 0.0, 4.0)] if roots_m is None else roots_m, np.float32).reshape(-1, 3)
    count = len(roots)
    xyz = np.repeat(STANDING[None], count, 0)
    seen = xyz + roots[:, None]
    xy = rays_to_pixels(seen[..., :2] / seen[..., 2:], wh, default_focal_px(wh))
    now_ns = time.monotonic_ns()
    return People3D(
        stamp=Stamp(source, seq, now_ns - 20_000_000, pts_s, {"lift": now_ns}),
        image_wh=wh,
        track=np.array(range(1, count + 1) if tracks is None else tracks, np.int32),
        box_xyxy_px=np.concatenate([xy.min(1), xy.max(1)], 1).reshape(-1, 4),
        xy_px=xy,
        score=np.full((count, 17), score, np.float32),
        xyz_m=xyz,
        root_m=roots if known_root else np.full_like(roots, np.nan),
        filled=np.full(count, filled, np.float32),
        preview=preview,
    )


def picture(wh: tuple[int, int] = (640, 360), color: tuple[int, int, int] = (30, 90, 40)) -> npt.NDArray[np.uint8]:
    """Return a picture of one colour."""
    return np.full((wh[1], wh[0], 3), color, np.uint8)
