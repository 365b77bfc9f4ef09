"""Averaged weights: an exponential moving average that follows a network through training."""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def follow(average: nn.Module, model: nn.Module, decay: float, step: int) -> None:
    """Take the averaged weights, in place, a step towards the network's.

    Args:
        average: A copy of the network.
        model: The network after its update.
        decay: Share of the average that stays, less in the first steps; 0 = it becomes the network's weights.
        step: Updates before this one.
    """
    decay = min(decay, (1 + step) / (10 + step))
    for mean, now in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        if mean.dtype.is_floating_point:
            mean.lerp_(now, 1 - decay)
        else:
            mean.copy_(now)
