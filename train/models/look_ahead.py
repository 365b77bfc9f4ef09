"""Look-ahead: a lifter that answers for the frame `frames` ago and so has seen that frame's future.

What it saw then waits in a ring until it is answered for; the network's memory goes on with the newest frame. For the
first frames of a person the answer is their first frame, better each time.
"""

from __future__ import annotations

import torch
from torch import Tensor

from engines.spec import PEOPLE, StateSpec

SEEN = 17 * 3 + 1  # joints, scores and the time since the frame before


def waiting_states(frames: int) -> tuple[StateSpec, ...]:
    """Return the state of the step: what was seen in the last frames; none without look-ahead."""
    if not frames:
        return ()
    return (StateSpec("waiting", "waiting_out", (PEOPLE, frames, SEEN), "float32"),)


def pack_seen(xy: Tensor, score: Tensor, dt_s: Tensor) -> Tensor:
    """Put (..., 17, 2), (..., 17) and (...,) into one (..., SEEN)."""
    return torch.cat([xy.flatten(-2), score, dt_s.unsqueeze(-1)], -1)


def unpack_seen(seen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Undo `pack_seen`."""
    return seen[..., :34].unflatten(-1, (17, 2)), seen[..., 34:51], seen[..., 51]


def wait_sequence(x: Tensor, frames: int) -> Tensor:
    """Delay (B, T, ...) by some frames; the first frame stands in for those before it."""
    if not frames:
        return x
    first = x[:, :1].expand(-1, frames, *(-1,) * (x.ndim - 2))
    return torch.cat([first, x], 1)[:, : x.shape[1]]


def wait_step(seen: Tensor, keep: Tensor, waiting: Tensor) -> tuple[Tensor, Tensor]:
    """Push one frame's (P, SEEN) into the ring (P, frames, SEEN).

    Returns:
        What was seen `frames` ago (P, SEEN), and the new ring; where keep (P,) is 0, now stands in for before.
    """
    now = seen.unsqueeze(1)
    waiting = torch.where(keep.reshape(-1, 1, 1) > 0.5, waiting, now)
    return waiting[:, 0], torch.cat([waiting[:, 1:], now], 1)
