"""The person finder: one look at the whole picture, person centres and boxes.

A centre heatmap with the four distances to the box's sides at every cell: Zhou et al., "Objects as Points"
(2019), with the dense box regression of Liu et al., "Training-Time-Friendly Network for Real-Time Object
Detection", AAAI 2020. The encoder is MobileNetV2 with MoveNet's weights, which know people; a short
top-down path brings stride 32 and 16 to stride 8 (Lin et al., "Feature Pyramid Networks", CVPR 2017).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from train.models.mobilenet import CHANNELS, Conv, MobileNetV2, Separable, double, normalise

STRIDE = 8
INPUT_WH = (384, 224)
PEOPLE_MAX = 20
FROZEN = ("stem", *(f"block{i:02d}" for i in range(6)))
"""Up to stride 8 the features are taken as they are: that halves the cost of a step."""


class Finder(nn.Module):
    """Network from normalised pictures to maps at stride 8.

    Args:
        channels: Width of the top-down path.
    """

    def __init__(self, channels: int = 64) -> None:
        super().__init__()
        self.encoder = MobileNetV2(top=False)
        self.lateral32 = Conv(CHANNELS["s32"], channels)
        self.lateral16 = Conv(CHANNELS["s16_96"], channels)
        self.lateral8 = Conv(CHANNELS["s8"], channels)
        self.smooth32, self.smooth16 = Separable(channels, channels), Separable(channels, channels)
        self.smooth8, self.deepen8 = Separable(channels, channels), Separable(channels, channels)
        self.centre = Separable(channels, channels, 1)
        self.sides = Separable(channels, channels, 4)
        nn.init.constant_(self.centre.out.bias, -math.log(99))  # start from 1 % everywhere: empty
        nn.init.constant_(self.sides.out.bias, math.log(5))  # and from boxes of 80 px
        for name in FROZEN:
            self.encoder.get_submodule(name).requires_grad_(False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Find people.

        Args:
            x: (B, 3, H, W) as `normalise` makes it; H and W multiples of 32.

        Returns:
            Centre logits (B, 1, H/8, W/8), and (B, 4, H/8, W/8): the logarithm of the distances from the cell's middle
            to the left, top, right and bottom of the box, in cells.
        """
        features = self.encoder(x)
        top = self.smooth32(self.lateral32(features["s32"]))
        middle = self.smooth16(double(top) + self.lateral16(features["s16_96"]))
        fine = self.smooth8(double(middle) + self.lateral8(features["s8"]))
        fine = fine + self.deepen8(fine)
        return self.centre(fine), self.sides(fine)


def decode_boxes(sides: Tensor) -> Tensor:
    """Map log distances (B, 4, h, w) in cells to x1, y1, x2, y2 (B, 4, h, w) in pixels of the input."""
    height, width = sides.shape[-2:]
    x = (torch.arange(width, device=sides.device) + 0.5) * STRIDE
    y = (torch.arange(height, device=sides.device) + 0.5) * STRIDE
    left, top, right, bottom = (sides.float().clamp(-4, 5).exp() * STRIDE).unbind(1)
    return torch.stack([x - left, y[:, None] - top, x + right, y[:, None] + bottom], 1)


class FinderGraph(nn.Module):
    """What is exported: picture in, the best boxes out.

    Args:
        net: A trained Finder.
        people_max: Boxes per picture.
    """

    def __init__(self, net: Finder, people_max: int = PEOPLE_MAX) -> None:
        super().__init__()
        self.net, self.people_max = net, people_max

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Map (H, W, 3) uint8 RGB to boxes (K, 4) float32 in its pixels, best first, and scores (K,) 0..1."""
        height, width = image.shape[:2]
        logits, sides = self.net(normalise(image).permute(2, 0, 1)[None])
        centre = logits.sigmoid()
        peak = (centre >= F.max_pool2d(centre, 3, 1, 1)).float()  # a cell that no neighbour beats
        scores, cells = (centre * peak).flatten().topk(self.people_max)
        boxes = decode_boxes(sides).flatten(2)[0].T[cells]
        limit = torch.tensor([width, height, width, height], dtype=torch.float32)
        return torch.minimum(boxes.clamp(min=0), limit), scores
