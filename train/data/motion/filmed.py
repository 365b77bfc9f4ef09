"""Moving people as a lifter gets to see them: filmed by random cameras, detected; and what is true of them."""

from __future__ import annotations

import numpy as np

from train.data.motion.cameras import shoot
from train.data.motion.foreign2d import from_elsewhere
from train.data.motion.mocap import Float, Take
from train.data.motion.noise2d import biased, detector_like

CLEAN_SHARE = 0.4


def make_batch(
    take: Take, rng: np.random.Generator, clean_share: float = CLEAN_SHARE, foreign: bool = False, tripods: float = 0.0
) -> dict[str, Float]:
    """Film a batch of people and detect them.

    Args:
        take: The people in world axes.
        rng: Random source of cameras and detector.
        clean_share: Share of the sequences with the true 2D joints and full scores.
        foreign: Let some of them look like other programs' joints.
        tripods: Share of the cameras that stand still and level; see `cameras.shoot`.

    Returns:
        The lifter's inputs xy (B, T, 17, 2), score (B, T, 17), dt_s (B, T) and the truth in camera axes,
        pose_m (B, T, 17, 3) pelvis-relative and root_m (B, T, 3).
    """
    shot = shoot(take, rng, tripods)
    seen_m = biased(shot.xyz_m, rng)
    focal = shot.focal[:, None, None, None]
    seen = focal * seen_m[..., :2] / np.maximum(seen_m[..., 2:], 0.1)
    size = shot.focal[:, None] * take.stature_m[:, None] / shot.xyz_m[:, :, 0, 2]
    xy, score = detector_like(seen, size, take.dt_s, shot.half_wh, rng)
    clean = rng.random(len(xy)) < clean_share
    xy[clean], score[clean] = shot.picture[clean], 1
    if foreign:
        xy, score = from_elsewhere(xy, score, size, rng)
    root = shot.xyz_m[:, :, :1]
    return {
        "xy": xy / shot.assumed[:, None, None, None],
        "score": score,
        "dt_s": take.dt_s,
        "pose_m": shot.xyz_m - root,
        "root_m": root[:, :, 0],
    }
