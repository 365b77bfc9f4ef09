"""ResNet without its classifier: the paper's encoder.

He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, table 1. The stride of a bottleneck
sits in its 3x3 convolution. Module names are torchvision's, so that a state dict of its `resnet50` or `resnet18` loads
(`load_imagenet`); no such file comes with posestream.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

DEPTHS = {"resnet18": (2, 2, 2, 2), "resnet50": (3, 4, 6, 3)}
QUIET = 0.2  # to begin with, how much of a block's own work is added to what passes it by


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and what passes them by."""

    growth = 1

    def __init__(self, cin: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(cin, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        nn.init.constant_(self.bn2.weight, QUIET)
        self.downsample = _shortcut(cin, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, cin, H, W) to (B, width, H / stride, W / stride)."""
        out = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(out)) + self.downsample(x))


class Bottleneck(nn.Module):
    """1x1 down, 3x3, 1x1 up, and what passes them by."""

    growth = 4

    def __init__(self, cin: int, width: int, stride: int) -> None:
        super().__init__()
        cout = self.growth * width
        self.conv1, self.bn1 = nn.Conv2d(cin, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, cout, 1, bias=False), nn.BatchNorm2d(cout)
        nn.init.constant_(self.bn3.weight, QUIET)
        self.downsample = _shortcut(cin, cout, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, cin, H, W) to (B, 4 width, H / stride, W / stride)."""
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
        return F.relu(self.bn3(self.conv3(out)) + self.downsample(x))


def _shortcut(cin: int, cout: int, stride: int) -> nn.Module:
    if stride == 1 and cin == cout:
        return nn.Sequential()
    return nn.Sequential(nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout))


class ResNet(nn.Module):
    """The stem and the first four stages.

    Args:
        name: A key of DEPTHS.
    """

    def __init__(self, name: str = "resnet50") -> None:
        super().__init__()
        block = Bottleneck if name == "resnet50" else BasicBlock
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        self.pool = nn.MaxPool2d(3, 2, 1)
        cin = 64
        for stage, depth in enumerate(DEPTHS[name]):
            layers = []
            for i in range(depth):
                layers.append(block(cin, 64 << stage, 2 if i == 0 and stage > 0 else 1))
                cin = block.growth * (64 << stage)
            self.add_module(f"layer{stage + 1}", nn.Sequential(*layers))
        self.channels = cin
        self.register_buffer("middle", torch.tensor([0.485, 0.456, 0.406])[:, None, None], persistent=False)
        self.register_buffer("spread", torch.tensor([0.229, 0.224, 0.225])[:, None, None], persistent=False)

    def forward(self, rgb: Tensor) -> Tensor:
        """Map (B, 3, H, W) pictures, RGB 0..255, to (B, 512 or 2048, H / 32, W / 32)."""
        x = (rgb.float() / 255 - self.middle) / self.spread
        x = self.pool(F.relu(self.bn1(self.conv1(x))))
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))

    def train(self, mode: bool = True) -> ResNet:
        """Choose how batch norm works; frozen as a whole, it keeps the means it has."""
        return super().train(mode and any(p.requires_grad for p in self.parameters()))


def load_imagenet(net: ResNet, path: Path | str) -> ResNet:
    """Fill the network from a state dict with torchvision's names; the classifier in it is left out.

    Raises:
        RuntimeError: If it is of another network.
    """
    state = torch.load(path, weights_only=True)
    net.load_state_dict({name: value for name, value in state.items() if not name.startswith("fc.")})
    return net
