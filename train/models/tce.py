"""Temporal Consistency Exploration (TCE): a convolutional memory that is moved along before it is used.

Li, "Deep Learning based Human Pose Estimation" (thesis, UTS 2020), section 2.5. The causal half of it,
with the state carried from frame to frame instead of recomputed over a window:

    offsets  dP = W_of * [H(t-1), X(t)]                                  eq. 2.4
    deform   H~(p) = H(t-1)(p + dP(p)), bilinear                         eq. 2.5, 2.6
    gates    i, f, o = sigmoid(W^X * X(t) + W^H * H~)                    eq. 2.8
             c(t) = f c~ + i tanh(W^X_c * X(t) + W^H_c * H~),  H(t) = o tanh(c(t))

Three departures. The crop itself jumps between frames, so the offset field also sees X(t) (`see_input`;
the thesis has W_of * H(t-1) only), and the memory c is deformed along with H. Offsets are bounded (`REACH`):
unbounded they grew to 11 cells of a map of 16 x 12 in training on single frames, where nothing holds them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

REACH = 3.0  # cells; largest offset in x and y

State = tuple[Tensor, Tensor]
"""Hidden map and memory, each (B, C, H, W)."""


def identity_grid(height: int, width: int) -> Tensor:
    """Return the (1, H, W, 2) sampling grid, x and y in -1..1, that leaves a map as it is (align_corners=False)."""
    y = (torch.arange(height) * 2 + 1) / height - 1
    x = (torch.arange(width) * 2 + 1) / width - 1
    return torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], -1)[None]


class TceCell(nn.Module):
    """One step of the TCE module.

    Args:
        channels: Of the feature map, the hidden map and the memory.
        grid_hw: Height and width of the maps.
        see_input: The offset field is predicted from state and input; False: from the state alone, as in the thesis.
    """

    def __init__(self, channels: int, grid_hw: tuple[int, int], see_input: bool = True) -> None:
        super().__init__()
        self.see_input = see_input
        self.offset = nn.Conv2d(channels * (2 if see_input else 1), 2, 3, padding=1)
        nn.init.zeros_(self.offset.weight)
        nn.init.zeros_(self.offset.bias)
        self.gates = nn.Conv2d(2 * channels, 4 * channels, 3, padding=1)
        nn.init.constant_(self.gates.bias[channels : 2 * channels].detach(), 1.0)  # remember, to begin with
        self.register_buffer("grid", identity_grid(*grid_hw), persistent=False)
        self.register_buffer("cell", torch.tensor([2 / grid_hw[1], 2 / grid_hw[0]]), persistent=False)

    def deform(self, x: Tensor, state: State) -> State:
        """Move hidden map and memory along the offset field, given in cells of the map."""
        hidden, memory = state
        wanted = self.offset(torch.cat([hidden, x], 1) if self.see_input else hidden)  # (B, 2, H, W)
        offsets = REACH * torch.tanh(wanted.float() / REACH)
        grid = self.grid + offsets.permute(0, 2, 3, 1) * self.cell
        both = torch.cat([hidden, memory], 1).float()
        moved = F.grid_sample(both, grid, mode="bilinear", padding_mode="border", align_corners=False)
        moved_hidden, moved_memory = moved.to(hidden.dtype).chunk(2, 1)
        return moved_hidden, moved_memory

    def forward(self, x: Tensor, keep: Tensor, state: State) -> tuple[Tensor, State]:
        """Do one frame.

        Args:
            x: (B, C, H, W) features of the frame.
            keep: (B,) 1 = go on from the state, 0 = start afresh: the frame is taken as its own past (the thesis
                starts with H = X), whatever the state holds.
            state: Of the frame before.

        Returns:
            The enhanced map (B, C, H, W), and the new state.
        """
        on = keep[:, None, None, None] > 0.5
        zero = torch.zeros((), dtype=x.dtype, device=x.device)
        start = (torch.where(on, state[0].to(x.dtype), torch.tanh(x)), torch.where(on, state[1].to(x.dtype), zero))
        hidden, memory = self.deform(x, start)
        enter, forget, leave, fresh = self.gates(torch.cat([x, hidden], 1)).chunk(4, 1)
        memory = torch.sigmoid(forget) * memory + torch.sigmoid(enter) * torch.tanh(fresh)
        hidden = torch.sigmoid(leave) * torch.tanh(memory)
        return x + hidden, (hidden, memory)
