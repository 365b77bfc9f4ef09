"""The dilated spatial pyramid: context at several sizes for little cost.

Li, "Deep Learning based Human Pose Estimation" (thesis, UTS 2020), section 2.4 and figure 2.2: reduce
(1x1), split (parallel 3x3 convolutions with growing dilation), merge (concatenate, add the input).
Section 2.6 has the split: one 1x1 kernel and 3x3 kernels with dilations 1, 2 and 4.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class DilatedPyramid(nn.Module):
    """Reduce, split, merge.

    Args:
        cin: Channels that come in.
        channels: Channels that go out; a multiple of the number of branches.
        grid_hw: Height and width of the map; each place has a learned offset of its own, so that a branch can
            tell the middle of the crop, where the person is meant to be, from its edge.
        dilations: One 3x3 branch for each, beside the 1x1 branch.
    """

    def __init__(
        self, cin: int, channels: int, grid_hw: tuple[int, int], dilations: tuple[int, ...] = (1, 2, 4)
    ) -> None:
        super().__init__()
        width = channels // (len(dilations) + 1)
        self.reduce = nn.Conv2d(cin, channels, 1)
        self.place = nn.Parameter(torch.zeros(1, channels, *grid_hw))
        self.branches = nn.ModuleList([nn.Conv2d(channels, width, 1)])
        self.branches.extend(nn.Conv2d(channels, width, 3, padding=d, dilation=d) for d in dilations)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, cin, H, W) to (B, channels, H, W)."""
        reduced = F.relu(self.reduce(x) + self.place)
        return reduced + torch.cat([F.relu(branch(reduced)) for branch in self.branches], 1)
