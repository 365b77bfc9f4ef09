"""MobileNetV2 and the feature path of MoveNet Lightning: pretrained features to start from.

MobileNetV2: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018. The
weights are those of MoveNet SinglePose Lightning v4 ((c) Google, Apache-2.0) dequantised to float16,
with batch norm folded into weight and bias: train without batch norm, at a small rate. A fresh batch
norm would destroy what the features know. The module names are the array names of the weight file.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

Activation = Callable[[Tensor], Tensor]

STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""(expansion, channels, blocks, stride of the first block) of each stage, MobileNetV2 table 2."""
TAPS = {2: "s4", 5: "s8", 9: "s16", 12: "s16_96", 16: "s32"}
"""Feature name by the block after which it is taken."""
CHANNELS = {"s4": 24, "s8": 32, "s16": 64, "s16_96": 96, "s32": 320, "s32_1280": 1280}
WILD = 15.0
"""Depthwise weights above this belong to channels that never fire; awake they would blow up."""


class Conv(nn.Conv2d):
    """Convolution with bias and activation, padded as TensorFlow's SAME on even sizes."""

    def __init__(
        self,
        cin: int,
        cout: int,
        kernel: int = 1,
        stride: int = 1,
        act: Activation | None = None,
        depthwise: bool = False,
    ) -> None:
        padding = kernel // 2 if stride == 1 else 0
        super().__init__(cin, cout, kernel, stride, padding, groups=cin if depthwise else 1)
        self.act = act

    def forward(self, input: Tensor) -> Tensor:
        """Map (B, cin, H, W) to (B, cout, H / stride, W / stride); H and W even where stride is 2."""
        if self.stride[0] == 2:
            input = F.pad(input, (0, 1, 0, 1))  # SAME pads only the far side when the size is even
        out = super().forward(input)
        return out if self.act is None else self.act(out)


class InvertedResidual(nn.Module):
    """Expand (1x1), depthwise (3x3), project (1x1, linear), plus the input where the shape stays."""

    def __init__(self, expansion: int, cin: int, cout: int, stride: int) -> None:
        super().__init__()
        wide = expansion * cin
        self.expand = Conv(cin, wide, act=F.relu6) if expansion > 1 else nn.Identity()
        self.depthwise = Conv(wide, wide, 3, stride, F.relu6, depthwise=True)
        self.project = Conv(wide, cout)
        self.skip = stride == 1 and cin == cout

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, cin, H, W) to (B, cout, H / stride, W / stride)."""
        out = self.project(self.depthwise(self.expand(x)))
        return x + out if self.skip else out


class MobileNetV2(nn.Module):
    """MobileNetV2 1.0 without classifier; a dict of features by stride (CHANNELS).

    Args:
        top: With the last 1x1 convolution, 320 to 1280 channels (`s32_1280`).
    """

    def __init__(self, top: bool = True) -> None:
        super().__init__()
        self.stem = Conv(3, 32, 3, 2, F.relu6)
        cin, index = 32, 0
        for expansion, cout, blocks, stride in STAGES:
            for i in range(blocks):
                self.add_module(f"block{index:02d}", InvertedResidual(expansion, cin, cout, stride if i == 0 else 1))
                cin, index = cout, index + 1
        self.blocks = index
        if top:
            self.head = Conv(320, 1280, act=F.relu6)
        self.top = top

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Map (B, 3, H, W) normalised pictures, H and W multiples of 32, to features by name."""
        features = {}
        x = self.stem(x)
        for index in range(self.blocks):
            x = self.get_submodule(f"block{index:02d}")(x)
            if index in TAPS:
                features[TAPS[index]] = x
        if self.top:
            features["s32_1280"] = self.head(x)
        return features


class Separable(nn.Module):
    """3x3 depthwise, 1x1 with ReLU, and, as a head, one more linear 1x1."""

    def __init__(self, cin: int, wide: int, cout: int = 0) -> None:
        super().__init__()
        self.depthwise = Conv(cin, cin, 3, depthwise=True)
        self.pointwise = Conv(cin, wide, act=F.relu)
        self.out = Conv(wide, cout) if cout else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, cin, H, W) to (B, cout or wide, H, W)."""
        return self.out(self.pointwise(self.depthwise(x)))


def double(x: Tensor) -> Tensor:
    """Return the map twice as large, bilinear."""
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


class FeaturePath(nn.Module):
    """MoveNet's top-down path from stride 32 to stride 4: (B, 24, H/4, W/4), the map that its heads read."""

    def __init__(self) -> None:
        super().__init__()
        self.lateral32, self.lateral16 = Conv(1280, 64), Conv(64, 64)
        self.lateral8, self.lateral4 = Conv(32, 32), Conv(24, 24)
        self.smooth16, self.smooth8, self.smooth4 = Separable(64, 32), Separable(32, 24), Separable(24, 24)

    def merge16(self, features: dict[str, Tensor]) -> Tensor:
        """Return the (B, 64, H/16, W/16) map where stride 32 and stride 16 meet."""
        return double(self.lateral32(features["s32_1280"])) + self.lateral16(features["s16"])

    def descend(self, merged16: Tensor, features: dict[str, Tensor]) -> Tensor:
        """Go on from `merge16` to the (B, 24, H/4, W/4) map."""
        x = self.smooth8(double(self.smooth16(merged16)) + self.lateral8(features["s8"]))
        return self.smooth4(double(x) + self.lateral4(features["s4"]))

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        """Map the features of a MobileNetV2 with its top to (B, 24, H/4, W/4)."""
        return self.descend(self.merge16(features), features)


def normalise(rgb: Tensor) -> Tensor:
    """Map RGB 0..255 of any dtype to float -1..1, as the weights expect."""
    return rgb.float() / 127.5 - 1


def load_movenet(module: nn.Module, path: Path | str, tame: bool = True) -> nn.Module:
    """Fill every parameter of the module from the MoveNet weight file, by name; return the module.

    Args:
        module: MobileNetV2, or anything whose parameter names are those of the file (`stem.weight`, `fpn...`).
        path: `movenet_lightning_f16.npz`.
        tame: Zero the depthwise filters that have wild weights (they never see an input).

    Raises:
        KeyError: If the file lacks one of the module's parameters.
    """
    with np.load(path) as arrays:
        state = {name: torch.from_numpy(arrays[name].astype(np.float32)) for name in module.state_dict()}
    if tame:
        for name, weight in state.items():
            if name.startswith("block") and name.endswith("depthwise.weight"):
                weight[weight.abs().amax((1, 2, 3)) > WILD] = 0
    module.load_state_dict(state)
    return module
