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
        channels: Channels after the reduction, and of the merged map.
        grid_hw: Height and width of the map; each place has a learned offset of its own, so that a branch can
            tell the middle of the crop, where the person is meant to be, from its edge.
        dilations: One 3x3 branch for each, beside the 1x1 branch.
        width: Channels of a branch; 0 = the branches share `channels` between them. A pyramid with another width can
            be split but not merged.
    """

    def __init__(
        self,
        cin: int,
        channels: int,
        grid_hw: tuple[int, int],
        dilations: tuple[int, ...] = (1, 2, 4),
        width: int = 0,
    ) -> None:
        super().__init__()
        width = width or channels // (len(dilations) + 1)
        self.reduce = nn.Conv2d(cin, channels, 1)
        self.place = nn.Parameter(torch.zeros(1, channels, *grid_hw))
        self.branches = nn.ModuleList([nn.Conv2d(channels, width, 1)])
        self.branches.extend(nn.Conv2d(channels, width, 3, padding=d, dilation=d) for d in dilations)

    def _reduced(self, x: Tensor) -> Tensor:
        return F.relu(self.reduce(x) + self.place)

    def _branches(self, reduced: Tensor) -> list[Tensor]:
        return [F.relu(branch(reduced)) for branch in self.branches]

    def split(self, x: Tensor) -> Tensor:
        """Map (B, cin, H, W) to the branches' maps, one behind the other: (B, branches * width, H, W)."""
        return torch.cat(self._branches(self._reduced(x)), 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, cin, H, W) to the merged map (B, channels, H, W)."""
        reduced = self._reduced(x)
        return reduced + torch.cat(self._branches(reduced), 1)
