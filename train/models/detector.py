"""The 2D joint detector, whatever its encoder: look at crops, remember, answer with joints.

Li, "Deep Learning based Human Pose Estimation" (thesis, UTS 2020), chapter 2: encoder, dilated pyramid, TCE memory,
decoder, heatmaps. `compact` and `deconv` hold the two kinds of encoder and decoder, `family` the sizes.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from train.models.memory import MemoryConfig, make_memory, remember
from train.models.pyramid import DilatedPyramid
from train.models.reader import Joints, PeakReader
from train.models.tce import Recurrent, State

FIXED = ("aggregation", "multi_scale", "see_input")  # what the weights of a memory depend on


@dataclass(frozen=True)
class DetectorConfig:
    """Sizes of the network.

    Attributes:
        input_wh: Crop width and height in pixels, multiples of 32.
        encoder: "mnv2", "resnet18" or "resnet50".
        channels: Of pyramid and memory.
        branch: Channels of each branch of a multi-scale memory; 0 = the branches share `channels` between them.
        deconv: Channels of the deconvolutions (ResNet only).
        head: "heatmap"; "regression" = joints from a fully connected layer (ResNet only).
        sharpness, window: See `PeakReader`.
        memory: The memory's kind and form.
    """

    input_wh: tuple[int, int] = (192, 256)
    encoder: str = "mnv2"
    channels: int = 64
    branch: int = 0
    deconv: int = 256
    head: str = "heatmap"
    sharpness: float = 6.0
    window: float = 2.5
    memory: MemoryConfig = field(default_factory=MemoryConfig)


class Look(NamedTuple):
    """What one frame gives without memory: maps that go straight to the decoder, and the map to be remembered."""

    skips: tuple[Tensor, ...]
    x: Tensor


class Detector(nn.Module, ABC):
    """Crops of one person each, frame by frame, to positions and scores.

    Attributes:
        skip_shapes: (C, H, W) of each of `Look.skips`.
    """

    skip_shapes: tuple[tuple[int, int, int], ...] = ()

    def __init__(self, config: DetectorConfig, encoder: nn.Module, cin: int, stride: int) -> None:
        """Build what all have: pyramid, memory, reader.

        Args:
            config: Sizes.
            encoder: The features' source.
            cin: Channels that come into the pyramid.
            stride: Of the maps there.
        """
        super().__init__()
        self.config, self.encoder = config, encoder
        self.grid_hw = (config.input_wh[1] // stride, config.input_wh[0] // stride)
        split = config.memory.multi_scale
        self.pyramid = DilatedPyramid(cin, config.channels, self.grid_hw, width=config.branch if split else 0)
        branches = len(self.pyramid.branches)
        self.enhanced = branches * (config.branch or config.channels // branches) if split else config.channels
        self.tce: Recurrent | None = make_memory(config.memory, self.enhanced, branches, self.grid_hw)
        self.reader = PeakReader(config.input_wh, config.sharpness, config.window)

    @abstractmethod
    def look(self, crops: Tensor) -> Look:
        """Do what needs no memory: crops (B, H, W, 3) uint8 RGB to features."""

    @abstractmethod
    def answer(self, skips: tuple[Tensor, ...], enhanced: Tensor) -> Joints:
        """Decode the remembered map and the frame's own."""

    def scales(self, x: Tensor) -> Tensor:
        """Put features through the pyramid: merged, or its branches for a memory of several scales."""
        return self.pyramid.split(x) if self.config.memory.multi_scale else self.pyramid(x)

    def forward(self, crops: Tensor, rehearsals: int = 0) -> Joints:
        """Follow people through short sequences, for training.

        Args:
            crops: (B, T, H, W, 3) uint8 RGB.
            rehearsals: How often a carried memory first runs to the end of the sequence and back, without gradient.
                0 = it starts fresh; more = it is in the state that a long video leaves it in.

        Returns:
            Joints of the B * T crops, sequence by sequence.
        """
        look = self.look(crops.flatten(0, 1))
        enhanced = remember(self.tce, self.config.memory, look.x.unflatten(0, crops.shape[:2]), rehearsals)
        return self.answer(look.skips, enhanced.flatten(0, 1))

    def in_form(self, **changes: Any) -> Detector:
        """Return the same network, weights shared, with the memory used in another form (see `MemoryConfig`).

        Raises:
            ValueError: If a change would need other weights.
        """
        memory = replace(self.config.memory, **changes)
        for name in FIXED:
            if getattr(memory, name) != getattr(self.config.memory, name):
                raise ValueError(f"{name} is in the weights: build and train another network")
        twin = copy.copy(self)
        twin.config = replace(self.config, memory=memory)
        return twin

    def fresh_state(self, people: int) -> State:
        """Return a carried state of zeros for that many people."""
        parts = self.tce.state_channels if self.tce else ()
        return tuple(torch.zeros(people, c, *self.grid_hw) for c in parts)
