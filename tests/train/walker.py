"""A stick figure that walks, and two clips of it as motion capture."""

from __future__ import annotations

import numpy as np

from train.data.motion.mocap import Motion

STANDING = np.array(
    [
        [0, 0, 0.95], [0.1, 0, 0.95], [0.1, 0, 0.5], [0.1, 0, 0.08], [-0.1, 0, 0.95], [-0.1, 0, 0.5], [-0.1, 0, 0.08],
        [0, 0, 1.2], [0, 0, 1.48], [0, 0.07, 1.58], [0, 0, 1.67],
        [-0.18, 0, 1.45], [-0.18, 0, 1.15], [-0.18, 0.05, 0.88], [0.18, 0, 1.45], [0.18, 0, 1.15], [0.18, 0.05, 0.88],
    ],
    np.float32,
)  # fmt: skip


def walking(frames: int) -> np.ndarray:
    """A figure (frames, 17, 3) that walks along y and swings its left arm."""
    xyz_m = np.repeat(STANDING[None], frames, 0)
    t = np.arange(frames, dtype=np.float32)
    xyz_m[..., 1] += t[:, None] * 0.02
    xyz_m[:, 13, 1] += 0.2 * np.sin(t / 8)
    return xyz_m


def walkers() -> Motion:
    """120 frames at 60 Hz and 60 at 24 Hz."""
    return Motion(
        np.concatenate([walking(120), walking(60)]),
        np.array([0, 120, 180]),
        np.array([60, 24], np.float32),
        np.array([0.9, 0.1]),
    )
