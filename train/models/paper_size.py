"""The detector at the size of its paper, with random weights: to measure what a GPU makes of it, not to use.

Li, "Deep Learning based Human Pose Estimation" (thesis, UTS 2020), chapter 2: ResNet-50 (He et al., CVPR 2016), a
dilated pyramid at stride 32, a TCE memory per branch, three deconvolutions (Xiao et al., "Simple Baselines", ECCV
2018). Two forms of memory: the state carried from frame to frame, and the thesis's own, recomputed over a window.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engines.skeletons import H36M17
from engines.spec import PEOPLE, EngineSpec, StateSpec, TensorSpec
from train.models.mobilenet import normalise
from train.models.tce import TceCell

JOINTS = len(H36M17)
BLOCKS = (3, 4, 6, 3)  # of ResNet-50's stages
BRANCHES = (0, 1, 2, 4)  # a 1x1 convolution, then dilations


class Bottleneck(nn.Module):
    """ResNet's block of three convolutions, batch norm folded away."""

    def __init__(self, cin: int, width: int, stride: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(cin, width, 1)
        self.middle = nn.Conv2d(width, width, 3, stride, 1)
        self.expand = nn.Conv2d(width, 4 * width, 1)
        self.shortcut = nn.Conv2d(cin, 4 * width, 1, stride) if stride > 1 or cin != 4 * width else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, cin, H, W) to (B, 4 width, H / stride, W / stride)."""
        return F.relu(0.2 * self.expand(F.relu(self.middle(F.relu(self.reduce(x))))) + self.shortcut(x))


def resnet50() -> nn.Sequential:
    """Return the encoder: (B, 3, H, W) to (B, 2048, H/32, W/32)."""
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 7, 2, 3), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    cin = 64
    for stage, blocks in enumerate(BLOCKS):
        width = 64 << stage
        for block in range(blocks):
            layers.append(Bottleneck(cin, width, 2 if block == 0 and stage > 0 else 1))
            cin = 4 * width
    return nn.Sequential(*layers)


class PaperDetector(nn.Module):
    """One frame of the detector, state in and out.

    Args:
        channels: Of each branch and its memory.
        deconv: Channels of the deconvolutions.
        window: Past frames that the memory is recomputed over; 0 = it is carried.
        input_wh: Crop size in pixels.
    """

    def __init__(
        self, channels: int = 512, deconv: int = 256, window: int = 0, input_wh: tuple[int, int] = (256, 256)
    ) -> None:
        super().__init__()
        self.channels, self.window, self.input_wh = channels, window, input_wh
        self.grid_hw = (input_wh[1] // 32, input_wh[0] // 32)
        self.encoder = resnet50()
        self.reduce = nn.Conv2d(2048, channels, 1)
        self.branches = nn.ModuleList(
            nn.Conv2d(channels, channels, 3 if d else 1, padding=d, dilation=max(d, 1)) for d in BRANCHES
        )
        self.cells = nn.ModuleList(TceCell(channels, self.grid_hw) for _ in BRANCHES)
        widths = (len(BRANCHES) * channels, deconv, deconv, deconv)
        self.head = nn.Sequential(
            *(
                layer
                for cin, cout in itertools.pairwise(widths)
                for layer in (nn.ConvTranspose2d(cin, cout, 4, 2, 1), nn.ReLU())
            ),
            nn.Conv2d(deconv, JOINTS, 1),
        )
        width, height = input_wh[0] // 4, input_wh[1] // 4
        gy, gx = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
        self.register_buffer("places", torch.stack([gx, gy], -1).reshape(-1, 2) * 4, persistent=False)

    def states(self) -> tuple[StateSpec, ...]:
        """Return the carried memory of all branches, or the ring of past features."""
        size = (self.channels, *self.grid_hw)
        if self.window:
            return (StateSpec("past", "past_out", (PEOPLE, self.window, *size), "float32"),)
        size = (len(BRANCHES) * size[0], *size[1:])
        return tuple(StateSpec(n, f"{n}_out", (PEOPLE, *size), "float32") for n in ("hidden", "memory"))

    def forward(self, crops: Tensor, keep: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Map (P, H, W, 3) uint8, keep (P,) and the states to xy (P, 17, 2) pixels, score (P, 17), new states."""
        seen = F.relu(self.reduce(self.encoder(normalise(crops).permute(0, 3, 1, 2))))
        if self.window:
            known = torch.where(keep[:, None, None, None, None] > 0.5, state[0], seen[:, None])
            merged = self._over_window(torch.cat([known, seen[:, None]], 1))
            new_state: tuple[Tensor, ...] = (torch.cat([known[:, 1:], seen[:, None]], 1),)
        else:
            merged, new_state = self._carried(seen, keep, state)
        logits = self.head(merged).flatten(2)
        share = torch.softmax(logits, -1)
        return share @ self.places, torch.sigmoid(F.max_pool1d(logits, logits.shape[-1]).squeeze(-1)), *new_state

    def _carried(self, seen: Tensor, keep: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """One step of every cell."""
        parts = [s.chunk(len(BRANCHES), 1) for s in state]
        steps = [
            cell(F.relu(branch(seen)), keep, (hidden, memory))
            for branch, cell, hidden, memory in zip(self.branches, self.cells, *parts, strict=True)
        ]
        new = tuple(torch.cat([step[1][i] for step in steps], 1) for i in range(2))
        return torch.cat([step[0] for step in steps], 1), new

    def _over_window(self, features: Tensor) -> Tensor:
        """Run every cell over the window (P, N + 1, C, h, w), from a fresh state."""
        merged = []
        for branch, cell in zip(self.branches, self.cells, strict=True):
            keep, out = torch.zeros_like(features[:, 0, 0, 0, 0]), features[:, 0]
            state = (torch.zeros_like(out), torch.zeros_like(out))
            for t in range(self.window + 1):
                out, state = cell(F.relu(branch(features[:, t])), keep, state)
                keep = torch.ones_like(keep)
            merged.append(out)
        return torch.cat(merged, 1)

    def spec(self, name: str) -> EngineSpec:
        """Return the metadata of the exported file."""
        width, height = self.input_wh
        return EngineSpec(
            kind="detector",
            name=name,
            precision="fp32",
            inputs=(TensorSpec("crops", (PEOPLE, height, width, 3), "uint8", "RGB"),),
            outputs=(
                TensorSpec("xy", (PEOPLE, JOINTS, 2), "float32", "crop pixels"),
                TensorSpec("score", (PEOPLE, JOINTS), "float32", "0..1"),
            ),
            states=self.states(),
            keep="keep",
            skeleton=H36M17.name,
            settings={"input_wh": [width, height], "crop_scale": 1.25},
            provenance={"weights": "random: for measuring speed only"},
        )
