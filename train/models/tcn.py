"""The causal temporal-convolution lifter, after VideoPose3D (Pavllo et al., CVPR 2019, section 3).

Kernel 3 throughout; the first layer and four residual blocks with dilations 1, 3, 9, 27, 81 see the last
243 frames. A convolution is written as a linear map of its three taps, so that the dense form (training,
whole sequences) and the step (one frame, rings of past activations) share weights and arithmetic.
At the beginning of a sequence every layer's past is its first activation: equal, layer by layer, to
padding the input with copies of its first frame.

Layer norm stands in for the paper's batch norm: the frames of a few sequences are too alike to be a batch's
statistics (seen in training), and the step needs none. Dropout, another noise from frame to frame, worked
against the velocity loss; the imitated detector is noise enough.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from engines.spec import PEOPLE, StateSpec
from train.models.lifter_io import FEATURES, Lifter


class TapLayer(nn.Module):
    """One causal kernel-3 convolution with layer norm and ReLU, on taps t - 2d, t - d and t."""

    def __init__(self, width_in: int, width: int, dilation: int) -> None:
        super().__init__()
        self.dilation, self.width_in = dilation, width_in
        self.linear = nn.Linear(3 * width_in, width, bias=False)
        self.norm = nn.LayerNorm(width)

    def dense(self, x: Tensor) -> Tensor:
        """Map (B, T, width_in) to (B, T, width)."""
        d, length = self.dilation, x.shape[1]
        padded = torch.cat([x[:, :1].expand(-1, 2 * d, -1), x], 1)
        taps = torch.cat([padded[:, :length], padded[:, d : d + length], x], -1)
        return self._activate(self.linear(taps))

    def step(self, x: Tensor, keep: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """Map (P, width_in) to (P, width); also return the ring (P, 2d, width_in) with x pushed in.

        Where keep (P, 1, 1) is 0 the past is read as if it had always been x.
        """
        now = x.unsqueeze(1)
        past = torch.where(keep > 0.5, past, now)
        taps = torch.cat([past[:, 0], past[:, self.dilation], x], -1)
        return self._activate(self.linear(taps)), torch.cat([past[:, 1:], now], 1)

    def _activate(self, x: Tensor) -> Tensor:
        return functional.relu(self.norm(x))


class CausalTcn(Lifter):
    """Causal dilated temporal convolutions with residual blocks (a kernel-3 and a kernel-1 layer each)."""

    def __init__(
        self,
        width: int = 512,
        dilations: tuple[int, ...] = (1, 3, 9, 27, 81),
        settles: bool = True,
        look_ahead: int = 0,
    ) -> None:
        super().__init__(settles, look_ahead)
        self.receptive_field = 1 + 2 * sum(dilations)
        self.taps = nn.ModuleList(TapLayer(FEATURES if i == 0 else width, width, d) for i, d in enumerate(dilations))
        self.mixes = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in dilations[1:])
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in dilations[1:])
        self.head = nn.Linear(width, self.outputs)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)

    def memory(self) -> tuple[StateSpec, ...]:
        """Return one ring of past inputs per kernel-3 layer."""
        return tuple(
            StateSpec(f"past{i}", f"past{i}_out", (PEOPLE, 2 * t.dilation, t.width_in), "float32")
            for i, t in enumerate(self.taps)
        )

    def _mix(self, block: int, x: Tensor, residual: Tensor) -> Tensor:
        """Finish a residual block: kernel-1 layer on (..., width), then the sum."""
        return residual + functional.relu(self.norms[block](self.mixes[block](x)))

    def remember(self, features: Tensor) -> Tensor:
        """Map (B, T, FEATURES) to (B, T, self.outputs)."""
        x = self.taps[0].dense(features)
        for block, layer in enumerate(self.taps[1:]):
            x = self._mix(block, layer.dense(x), x)
        return self.head(x)

    def recall(self, features: Tensor, keep: Tensor, memory: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Map one frame's (P, FEATURES) to (P, self.outputs), and push it into the rings."""
        keep = keep.reshape(-1, 1, 1)
        x, ring = self.taps[0].step(features, keep, memory[0])
        rings = [ring]
        for block, layer in enumerate(self.taps[1:]):
            inner, ring = layer.step(x, keep, memory[block + 1])
            x = self._mix(block, inner, x)
            rings.append(ring)
        return self.head(x), tuple(rings)
