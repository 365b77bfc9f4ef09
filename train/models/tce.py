"""Temporal Consistency Exploration (TCE): a convolutional memory that is moved along before it is used.

Li, "Deep Learning based Human Pose Estimation" (thesis, UTS 2020), section 2.5. One cell goes through the frames in
one direction of time; `train.models.memory` lets it go over windows, over whole clips, and both ways:

    offsets  dP = W_of * [H(t-1), X(t)]                                  eq. 2.4
    deform   H~(p) = H(t-1)(p + dP(p)), bilinear                         eq. 2.5, 2.6
    sum      H(t) = X(t) + H~                                            eq. 2.7
    gates    i, f, o = sigmoid(W^X * X(t) + W^H * H~)                    eq. 2.8
             c(t) = f c~ + i tanh(W^X_c * X(t) + W^H_c * H~),  H(t) = o tanh(c(t))

Five departures. The crop itself jumps between frames, so the offset field also sees X(t) (`see_input`; the thesis has
W_of * H(t-1) only), and the memory c is deformed along with H. Offsets are bounded (`REACH`): unbounded they grew to 11
cells of a map of 16 x 12 in training on single frames, where nothing holds them. The gated H(t) is added to X(t). The
sum is a running mean, the same up to a factor over a window, and finite where the state is carried for hours.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

REACH = 3.0  # cells; largest offset in x and y

State = tuple[Tensor, ...]
"""Hidden map and, where there are gates, memory; each (B, C, H, W)."""


def identity_grid(height: int, width: int) -> Tensor:
    """Return the (1, H, W, 2) sampling grid, x and y in -1..1, that leaves a map as it is (align_corners=False)."""
    y = (torch.arange(height) * 2 + 1) / height - 1
    x = (torch.arange(width) * 2 + 1) / width - 1
    return torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], -1)[None]


class Recurrent(nn.Module):
    """What a cell and several cells side by side have in common: `fresh`, `step` and `gated` are theirs."""

    gated: bool

    def fresh(self, x: Tensor) -> State:
        """Return the state of someone new: the frame is taken as its own past (the thesis starts with H = X)."""
        return (torch.tanh(x), torch.zeros_like(x)) if self.gated else (x,)

    def enhance(self, x: Tensor, hiddens: Sequence[Tensor]) -> Tensor:
        """Return the enhanced map from X and H of one or both directions of time (eq. 2.10)."""
        return x + sum(hiddens) if self.gated else sum(hiddens) / len(hiddens)

    def forward(self, x: Tensor, keep: Tensor, state: State, gain: float = 1.0) -> tuple[Tensor, State]:
        """Do one frame with a carried state.

        Args:
            x: (B, C, H, W) features of the frame.
            keep: (B,) 1 = go on from the state, 0 = start afresh, whatever the state holds.
            state: Of the frame before.
            gain: See `step`.

        Returns:
            The enhanced map (B, C, H, W), and the new state.
        """
        on = keep[:, None, None, None] > 0.5
        start = tuple(torch.where(on, s.to(x.dtype), f) for s, f in zip(state, self.fresh(x), strict=True))
        state = self.step(x, start, gain)
        return self.enhance(x, state[:1]), state


class TceCell(Recurrent):
    """One step of the TCE module.

    Its input comes as X(t), or as `seen`: X(t) together with all that depends on X(t) alone, which a window keeps so
    that each frame's input side is computed once and not again in every window.

    Args:
        channels: Of the feature map, the hidden map and the memory.
        grid_hw: Height and width of the maps.
        see_input: The offset field is predicted from state and input; False: from the state alone, as in the thesis.
        gated: ConvLSTM (eq. 2.8); False: the sum (eq. 2.7).
    """

    def __init__(self, channels: int, grid_hw: tuple[int, int], see_input: bool = True, gated: bool = True) -> None:
        super().__init__()
        self.channels, self.see_input, self.gated = channels, see_input, gated
        self.offset = nn.Conv2d(channels * (2 if see_input else 1), 2, 3, padding=1)
        nn.init.zeros_(self.offset.weight)
        nn.init.zeros_(self.offset.bias)
        if gated:
            self.gates = nn.Conv2d(2 * channels, 4 * channels, 3, padding=1)
            nn.init.constant_(self.gates.bias[channels : 2 * channels].detach(), 1.0)  # remember, to begin with
        self.register_buffer("grid", identity_grid(*grid_hw), persistent=False)
        self.register_buffer("cell", torch.tensor([2 / grid_hw[1], 2 / grid_hw[0]]), persistent=False)

    @property
    def state_channels(self) -> tuple[int, ...]:
        """Channels of each part of the state."""
        return (self.channels,) * (2 if self.gated else 1)

    @property
    def seen_channels(self) -> int:
        """Channels of `see`."""
        return self.channels * (5 if self.gated else 1) + (2 if self.see_input else 0)

    def see(self, x: Tensor) -> Tensor:
        """Do what depends on the input alone: (B, C, H, W) to (B, seen_channels, H, W), X first."""
        parts, c = [x], self.channels
        if self.gated:
            parts.append(F.conv2d(x, self.gates.weight[:, :c], self.gates.bias, padding=1))
        if self.see_input:
            parts.append(F.conv2d(x, self.offset.weight[:, c:], self.offset.bias, padding=1))
        return torch.cat(parts, 1)

    def input_of(self, seen: Tensor) -> Tensor:
        """Return X again from what `see` made of it, along axis 1."""
        return seen[:, : self.channels]

    def deform(self, x: Tensor, state: State, seen: Tensor | None = None) -> State:
        """Move hidden map and memory along the offset field, given in cells of the map."""
        hidden = state[0]
        if not self.see_input:
            wanted = self.offset(hidden)
        elif seen is None:
            wanted = self.offset(torch.cat([hidden, x], 1))  # (B, 2, H, W)
        else:
            wanted = seen[:, -2:] + F.conv2d(hidden, self.offset.weight[:, : self.channels], padding=1)
        offsets = REACH * torch.tanh(wanted.float() / REACH)
        grid = self.grid + offsets.permute(0, 2, 3, 1) * self.cell
        both = torch.cat(state, 1).float()
        moved = F.grid_sample(both, grid, mode="bilinear", padding_mode="border", align_corners=False)
        return moved.to(hidden.dtype).chunk(len(state), 1)

    def step(self, x: Tensor, state: State, gain: float = 1.0, seen: Tensor | None = None) -> State:
        """Go on by one frame.

        Args:
            x: (B, C, H, W) features of the frame.
            state: Of the frame before, or `fresh`.
            gain: Of the sum: the share of the new frame.
            seen: `see` of x, if it is at hand.
        """
        moved = self.deform(x, state, seen)
        if not self.gated:
            return (moved[0] + gain * (x - moved[0]),)
        hidden, memory = moved
        if seen is None:
            gates = self.gates(torch.cat([x, hidden], 1))
        else:
            c = self.channels
            gates = seen[:, c : 5 * c] + F.conv2d(hidden, self.gates.weight[:, c:], padding=1)
        enter, forget, leave, new = gates.chunk(4, 1)
        memory = torch.sigmoid(forget) * memory + torch.sigmoid(enter) * torch.tanh(new)
        return torch.sigmoid(leave) * torch.tanh(memory), memory


class MultiScaleTce(Recurrent):
    """One cell for each branch of a pyramid (section 2.6); used like a `TceCell` on the branches put together.

    Args:
        cells: Of equal size and kind.
    """

    def __init__(self, cells: Sequence[TceCell]) -> None:
        super().__init__()
        self.cells, self.gated = nn.ModuleList(cells), cells[0].gated
        self.channels = sum(cell.channels for cell in cells)
        self.state_channels = tuple(len(cells) * c for c in cells[0].state_channels)
        self.seen_channels = sum(cell.seen_channels for cell in cells)

    def _apart(self, x: Tensor) -> tuple[Tensor, ...]:
        return x.chunk(len(self.cells), 1)

    def see(self, x: Tensor) -> Tensor:
        """As `TceCell.see`, scale by scale."""
        return torch.cat([cell.see(part) for cell, part in zip(self.cells, self._apart(x), strict=True)], 1)

    def input_of(self, seen: Tensor) -> Tensor:
        """As `TceCell.input_of`."""
        return torch.cat([cell.input_of(s) for cell, s in zip(self.cells, self._apart(seen), strict=True)], 1)

    def step(self, x: Tensor, state: State, gain: float = 1.0, seen: Tensor | None = None) -> State:
        """As `TceCell.step`."""
        sides = [None] * len(self.cells) if seen is None else self._apart(seen)
        states = zip(*(self._apart(s) for s in state), strict=True)
        parts = zip(self.cells, self._apart(x), states, sides, strict=True)
        steps = [cell.step(part, old, gain, side) for cell, part, old, side in parts]
        return tuple(torch.cat(column, 1) for column in zip(*steps, strict=True))
