"""Which joints a detector does not see: covered single ones, limbs, lower bodies, whole frames, for spans of time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engines.skeletons import H36M17

Rng = np.random.Generator
Mask = npt.NDArray[np.bool_]
Double = npt.NDArray[np.float64]

LIMBS = ((1, 2, 3), (4, 5, 6), (11, 12, 13), (14, 15, 16), (9, 10), (3,), (6,), (13,), (16,))
LOWER_BODIES = ((2, 3, 5, 6), (0, 1, 2, 3, 4, 5, 6))
GROUPS = (*((j,) for j in range(17)), *LIMBS, *LOWER_BODIES, *LOWER_BODIES, tuple(range(17)))
MEMBERS = np.array([[j in group for j in range(17)] for group in GROUPS], np.float32)
FRAMES = np.array([5.0] * 17 + [12.0] * 9 + [40.0] * 2 + [1e6] * 2 + [3.0])  # mean length of a group's absence
LOWER_SHARES = (0.06, 0.06, 0.04, 0.04)  # of the people, behind a table or the like, now and then or throughout
UNKNOWN = np.where(np.arange(17) == H36M17.index("head_top"), 0.05, 0.01)  # a joint that the detector does not have


def spans(rng: Rng, shape: tuple[int, ...], rate: Double, frames: Double | float) -> Mask:
    """Return a (B, T, ...) mask of spans that cover a share `rate` and last `frames` on average, in a Markov chain.

    Args:
        rng: Random source.
        shape: (B, T, ...).
        rate: Share, broadcast over the shape without T.
        frames: Mean length, from 2 on, broadcast likewise.
    """
    rate, frames = (np.expand_dims(np.broadcast_to(a, (shape[0], *shape[2:])), 1) for a in (rate, frames))
    draw = rng.random(shape, np.float32)
    begins = draw < rate / frames / np.maximum(1 - rate, 0.05)
    begins[:, 0] = draw[:, 0] < rate[:, 0]
    ends = draw >= 1 - 1 / frames
    ends[:, 0] = ~begins[:, 0]
    clock = np.arange(shape[1]).reshape(-1, *(1,) * (len(shape) - 2))
    decided = np.maximum.accumulate(np.where(begins | ends, clock, 0), 1)  # when the state was last set
    return np.take_along_axis(begins, decided, 1)


def lost_joints(people: int, length: int, rng: Rng) -> Mask:
    """Return a (B, T, 17) mask of joints that are not seen; about a tenth, as in rendered stills."""
    rate = np.zeros((people, len(GROUPS)))
    rate[:, :17] = rng.uniform(0, 0.05, (people, 1))
    rate[:, 17:26] = np.where(rng.random((people, 9)) < 0.2, rng.uniform(0, 0.4, (people, 9)), 0)
    rate[:, 26:30] = 0.7 * (rng.random((people, 4)) < LOWER_SHARES)
    rate[:, 30] = rng.uniform(0, 0.02, people)
    never = rng.random((people, 17)) < UNKNOWN
    return (spans(rng, (people, length, len(GROUPS)), rate, FRAMES) @ MEMBERS > 0) | never[:, None]
