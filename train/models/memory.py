"""How the TCE module goes over time: carried from frame to frame or over windows, looking back or both ways.

Li, "Deep Learning based Human Pose Estimation" (thesis, UTS 2020), sections 2.5 and 2.6. One set of weights serves all
forms: what differs is the order in which the cell meets the frames.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from train.models.tce import MultiScaleTce, Recurrent, State, TceCell

AGGREGATIONS = ("none", "sum", "lstm")


@dataclass(frozen=True)
class MemoryConfig:
    """Kind of memory, and the form in which it is used.

    Attributes:
        aggregation: "none" = each frame alone, "sum" (eq. 2.7), "lstm" (ConvLSTM, eq. 2.8).
        multi_scale: One cell per branch of the pyramid instead of one after it (section 2.6).
        see_input: See `TceCell`.
        windowed: Each frame's memory is worked out anew from its neighbours, as in the thesis; else it is carried on.
        bidirectional: Also from the frames that follow (eq. 2.9, 2.10), by the same weights. Always over a window.
        neighbours: N: frames of a window beside its own, on each side that is looked at.
        stride: Distance between the frames of a window (the thesis's temporal stride).
    """

    aggregation: str = "lstm"
    multi_scale: bool = False
    see_input: bool = True
    windowed: bool = False
    bidirectional: bool = False
    neighbours: int = 6
    stride: int = 1

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
            ValueError: If the aggregation is unknown, a number is out of range, or a carried state has a stride.
        """
        if self.aggregation not in AGGREGATIONS:
            raise ValueError(f"unknown aggregation {self.aggregation!r}; known: {', '.join(AGGREGATIONS)}")
        if self.neighbours < 0 or self.stride < 1:
            raise ValueError(f"a window has 0 or more neighbours and a stride of 1 or more, not {self}")
        if self.stride > 1 and not self.windowed:
            raise ValueError("a carried state sees every frame: a temporal stride needs windowed=True")

    @property
    def reach(self) -> int:
        """Frames from a window's own frame to its farthest."""
        return self.neighbours * self.stride

    @property
    def gain(self) -> float:
        """Share of a new frame in the carried running mean: as in a full window."""
        return 1 / (self.neighbours + 1)


def make_memory(config: MemoryConfig, channels: int, branches: int, grid_hw: tuple[int, int]) -> Recurrent | None:
    """Return the cell, or one cell for each branch.

    Args:
        config: The kind of memory; None is returned for "none".
        channels: Of the pyramid's output, all branches together.
        branches: Of the pyramid.
        grid_hw: Height and width of the maps.
    """
    if config.aggregation == "none":
        return None
    count = branches if config.multi_scale else 1
    gated = config.aggregation == "lstm"
    cells = [TceCell(channels // count, grid_hw, config.see_input, gated) for _ in range(count)]
    return MultiScaleTce(cells) if config.multi_scale else cells[0]


def run_window(cell: Recurrent, frames: Iterable[Tensor]) -> State:
    """Go over one window from a fresh state.

    Args:
        cell: The memory.
        frames: What `cell.see` made of each frame, (B, seen_channels, H, W), the window's own frame last.

    Returns:
        The state after the last frame.
    """
    state: State | None = None
    for number, seen in enumerate(frames):
        x = cell.input_of(seen)
        state = cell.step(x, cell.fresh(x) if state is None else state, 1 / (number + 1), seen)
    if state is None:
        raise ValueError("a window has at least its own frame")
    return state


def over_windows(cell: Recurrent, seen: Tensor, config: MemoryConfig, ahead: bool) -> Tensor:
    """Run every frame's window, all at the same time; where the clip ends, its last frame is repeated.

    Args:
        cell: The memory.
        seen: (B, T, seen_channels, H, W) of `cell.see`.
        config: Neighbours and stride.
        ahead: Windows of the frames that follow instead of those before.

    Returns:
        Hidden maps (B, T, C, H, W).
    """
    batch, frames = seen.shape[:2]
    away = torch.arange(config.neighbours, -1, -1) * config.stride
    places = torch.arange(frames)[:, None] + (away if ahead else -away)  # (T, N + 1)
    places = places.clamp(0, frames - 1)
    hidden = run_window(cell, (seen[:, column].flatten(0, 1) for column in places.T))[0]
    return hidden.unflatten(0, (batch, frames))


def carried(cell: Recurrent, x: Tensor, config: MemoryConfig, rehearsals: int) -> Tensor:
    """Carry the state from frame to frame.

    Args:
        cell: The memory.
        x: (B, T, C, H, W).
        config: The gain of the sum.
        rehearsals: How often the memory first runs to the end and back, without gradient.

    Returns:
        Hidden maps (B, T, C, H, W).
    """
    frames, state = x.shape[1], cell.fresh(x[:, 0])
    with torch.no_grad():
        for t in [*range(frames), *range(frames - 2, 0, -1)] * rehearsals:
            state = cell.step(x[:, t], state, config.gain)
    hiddens = []
    for t in range(frames):
        state = cell.step(x[:, t], state, config.gain)
        hiddens.append(state[0])
    return torch.stack(hiddens, 1)


def remember(cell: Recurrent | None, config: MemoryConfig, x: Tensor, rehearsals: int = 0) -> Tensor:
    """Enhance whole clips.

    Args:
        cell: The memory; None = every frame stays as it is.
        config: In which form to use it.
        x: (B, T, C, H, W) features.
        rehearsals: See `carried`; of no meaning for windows, which start afresh every time.

    Returns:
        (B, T, C, H, W).
    """
    if cell is None:
        return x
    flat, shape = x.flatten(0, 1), x.shape[:2]
    seen = cell.see(flat).unflatten(0, shape) if config.windowed or config.bidirectional else x
    first = over_windows(cell, seen, config, False) if config.windowed else carried(cell, x, config, rehearsals)
    hiddens = [first.flatten(0, 1)]
    if config.bidirectional:
        hiddens.append(over_windows(cell, seen, config, True).flatten(0, 1))
    return cell.enhance(flat, hiddens).unflatten(0, shape)
