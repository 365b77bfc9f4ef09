"""The temporal models of VideoPose3D (Pavllo et al., CVPR 2019, section 3 and appendix A.5, A.6).

A convolution is written as a linear map of its taps, so that the dilated form (a whole sequence, one output a
frame), the strided form (one output a window, for training) and the step (`videopose_stream.py`) share weights
and arithmetic; the weights of one load into the others. Kernel widths (3, 3, 3, 3, 3) see 243 frames, four threes
81, three 27; (1, 1, 1) is the single-frame residual lifter. With one output joint it is the trajectory network,
trained with `train.losses3d.root_loss` (error over depth) and sharing nothing with the pose network.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from engines.skeletons import H36M17

JOINTS = 17
MIRROR = list(H36M17.mirror)
FIRST_MOMENTUM, LAST_MOMENTUM = 0.1, 0.001
KERNELS = {1: (1, 1, 1, 1, 1), 27: (3, 3, 3), 81: (3, 3, 3, 3), 243: (3, 3, 3, 3, 3)}  # receptive field: kernel widths


class TapConv(nn.Module):
    """A temporal convolution without padding, then batch norm, ReLU and dropout.

    Attributes:
        taps: Kernel width.
        dilation: Frames between taps in the dilated form.
    """

    def __init__(self, width_in: int, width: int, taps: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.taps, self.dilation, self.width_in = taps, dilation, width_in
        self.linear = nn.Linear(taps * width_in, width, bias=False)
        self.norm = nn.BatchNorm1d(width)
        self.dropout = dropout

    @property
    def reach(self) -> int:
        """Frames lost to the missing padding."""
        return (self.taps - 1) * self.dilation

    def dilated(self, x: Tensor) -> Tensor:
        """Map (B, T, width_in) to (B, T - reach, width)."""
        length = x.shape[1] - self.reach
        return self._activate(torch.cat([x[:, i * self.dilation :][:, :length] for i in range(self.taps)], -1))

    def strided(self, x: Tensor) -> Tensor:
        """Map (B, taps * N, width_in) to (B, N, width): only the states that the last output needs."""
        return self._activate(x.reshape(len(x), -1, self.taps * self.width_in))

    def _activate(self, taps: Tensor) -> Tensor:
        x = self.linear(taps)
        x = functional.relu(self.norm(x.flatten(0, 1)).view_as(x))
        return functional.dropout(x, self.dropout, self.training)

    def folded(self) -> tuple[Tensor, Tensor]:
        """Return weight (width, taps * width_in) and bias (width,) with the batch norm's statistics worked in."""
        norm = self.norm
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        return self.linear.weight * scale[:, None], norm.bias - norm.running_mean * scale


class Block(nn.Module):
    """Residual block: a kernel of `taps`, a kernel of 1, and the sum with the input's frame."""

    def __init__(self, width: int, taps: int, dilation: int, causal: bool, dropout: float) -> None:
        super().__init__()
        self.wide = TapConv(width, width, taps, dilation, dropout)
        self.mix = TapConv(width, width, 1, 1, dropout)
        self.at = taps - 1 if causal else taps // 2  # the tap whose frame is the output's

    def dilated(self, x: Tensor) -> Tensor:
        """Map (B, T, width) to (B, T - reach, width)."""
        residual = x[:, self.at * self.wide.dilation :][:, : x.shape[1] - self.wide.reach]
        return residual + self.mix.dilated(self.wide.dilated(x))

    def strided(self, x: Tensor) -> Tensor:
        """Map (B, taps * N, width) to (B, N, width)."""
        return x[:, self.at :: self.wide.taps] + self.mix.strided(self.wide.strided(x))


class VideoPose(nn.Module):
    """VideoPose3D's network: 2D joints of many frames -> 3D joints of one, causal or symmetric.

    Inputs are joints (B, T, 17, 2) in one affine convention throughout: ray coordinates (X/Z, Y/Z) for models that
    are exported, VideoPose3D's screen coordinates ([0, w] -> [-1, 1]) in the comparison with its own code.
    """

    def __init__(
        self,
        kernels: tuple[int, ...] = KERNELS[243],
        causal: bool = True,
        channels: int = 1024,
        dropout: float = 0.25,
        joints_out: int = JOINTS,
    ) -> None:
        """Build one.

        Raises:
            ValueError: If a kernel width is even (it would have no middle).
        """
        super().__init__()
        if not kernels or any(k % 2 == 0 for k in kernels):
            raise ValueError(f"kernel widths must be odd, got {kernels}")
        self.kernels, self.causal, self.channels, self.joints_out = kernels, causal, channels, joints_out
        self.expand = TapConv(JOINTS * 2, channels, kernels[0], 1, dropout)
        self.blocks = nn.ModuleList()
        dilation = kernels[0]
        for taps in kernels[1:]:
            self.blocks.append(Block(channels, taps, dilation, causal, dropout))
            dilation *= taps
        self.receptive_field = dilation
        self.head = nn.Linear(channels, joints_out * 3)

    @property
    def look_ahead(self) -> int:
        """Frames after the one that an output belongs to which it has to see."""
        return 0 if self.causal else self.receptive_field // 2

    def dilated(self, xy: Tensor) -> Tensor:
        """Map (B, T, 17, 2) to (B, T - receptive_field + 1, joints_out, 3) metres."""
        x = self.expand.dilated(xy.flatten(-2))
        for block in self.blocks:
            x = block.dilated(x)
        return self.head(x).unflatten(-1, (self.joints_out, 3))

    def strided(self, xy: Tensor) -> Tensor:
        """Map windows (B, receptive_field, 17, 2) to one output each, (B, 1, joints_out, 3) metres.

        Raises:
            ValueError: If the windows have another length.
        """
        if xy.shape[1] != self.receptive_field:
            raise ValueError(f"windows must have {self.receptive_field} frames, got {xy.shape[1]}")
        x = self.expand.strided(xy.flatten(-2))
        for block in self.blocks:
            x = block.strided(x)
        return self.head(x).unflatten(-1, (self.joints_out, 3))

    def forward(self, xy: Tensor) -> Tensor:
        """Map whole sequences (B, T, 17, 2) to (B, T, joints_out, 3) metres; the edge frames are repeated."""
        return self.dilated(padded(xy, self.receptive_field, self.look_ahead))

    def set_momentum(self, momentum: float) -> None:
        """Set the share of a batch in the running statistics of all batch norms."""
        for module in self.modules():
            if isinstance(module, nn.BatchNorm1d):
                module.momentum = momentum


def padded(x: Tensor, receptive_field: int, look_ahead: int) -> Tensor:
    """Repeat the first and last frame of (B, T, ...) so that T windows of `receptive_field` frames fit."""
    before = x[:, :1].expand(-1, receptive_field - 1 - look_ahead, *x.shape[2:])
    return torch.cat([before, x, x[:, -1:].expand(-1, look_ahead, *x.shape[2:])], 1)


def windows(x: Tensor, receptive_field: int, look_ahead: int) -> Tensor:
    """Cut the window of every frame out of one sequence (T, ...): (T, receptive_field, ...), edges repeated."""
    return padded(x[None], receptive_field, look_ahead)[0].unfold(0, receptive_field, 1).movedim(-1, 1)


def momentum_at(epoch: float, epochs: int) -> float:
    """Return the batch-norm momentum after `epoch` of `epochs`: exponentially from 0.1 to 0.001 (section 5.3)."""
    return FIRST_MOMENTUM * (LAST_MOMENTUM / FIRST_MOMENTUM) ** (epoch / epochs)


def flipped(x: Tensor) -> Tensor:
    """Mirror joints (..., 17, 2 or 3) or a root (..., 1, 3): x negated, left and right exchanged."""
    swapped = x[..., MIRROR, :] if x.shape[-2] == JOINTS else x
    return torch.cat([-swapped[..., :1], swapped[..., 1:]], -1)


def with_flip(model: nn.Module, xy: Tensor) -> Tensor:
    """Average a model's output over a sequence and over its mirror image (test-time augmentation)."""
    return (model(xy) + flipped(model(flipped(xy)))) / 2
