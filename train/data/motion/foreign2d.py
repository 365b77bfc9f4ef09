"""2D joints that come from elsewhere: other detectors shiver more than ours, and leave joints out at random.

`posestream eval lifter` takes anybody's 2D tracks; a lifter that has met only its own detector would take white noise
for motion. These spoil some sequences of a batch, true and detected ones alike.
"""

from __future__ import annotations

import numpy as np

from train.data.motion.mocap import Float

SHAKEN_SHARE, SHAKE = 0.25, (0.002, 0.015)  # of the sequences; standard deviation along an axis, shares of the stature
THINNED_SHARE, THINNED = 0.25, 0.25  # of the sequences; at most this share of the joints is left out


def from_elsewhere(xy: Float, score: Float, size: Float, rng: np.random.Generator) -> tuple[Float, Float]:
    """Shake some sequences and leave out joints of some.

    Args:
        xy: (B, T, 17, 2) joints.
        score: (B, T, 17) confidence.
        size: (B, T) apparent stature in the joints' unit.
        rng: Random source.

    Returns:
        New xy and score; a joint that is left out has score 0.
    """
    people = len(xy)
    level = np.exp(rng.uniform(*np.log(SHAKE), people)) * (rng.random(people) < SHAKEN_SHARE)
    noise = rng.standard_normal(xy.shape, np.float32)
    shaken = xy + (level[:, None] * size).astype(np.float32)[..., None, None] * noise
    rate = rng.uniform(0, THINNED, people) * (rng.random(people) < THINNED_SHARE)
    out = rng.random(score.shape, np.float32) < rate[:, None, None]
    return shaken, np.where(out, np.float32(0), score)
