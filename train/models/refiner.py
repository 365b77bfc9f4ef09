"""Recurrent refiners of 3D poses, after Katircioglu et al. (IJCV 2018, sections 4 and 5.2).

Two LSTM layers of 512 read the poses that a single-frame model found, and one linear layer to 51 numbers gives the
refined pose. `LstmRefiner` reads forward in time for ever and is causal. `BlstmRefiner` reads a window of five poses,
0.1 s apart, in both directions and refines the middle one; it lags by half its window. Both give the sum of the pose
they refine and what they learned, and both begin as the identity.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from engines.spec import PEOPLE, StateSpec
from train.models.videopose import JOINTS, VideoPose, padded
from train.models.videopose_stream import NetworkStep, PoseStream, centred, filled_sequence

NUMBERS = JOINTS * 3


def lstm_step(lstm: nn.LSTM, suffix: str, x: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """One LSTM layer's step (equation 5) in plain arithmetic, gates in PyTorch's order: input, forget, cell, output.

    Args:
        lstm: Holds the weights.
        suffix: Which of them: "l0", "l1_reverse", ...
        x: (P, width_in).
        hidden: (P, width).
        cell: (P, width).

    Returns:
        The new hidden and cell state.
    """
    weights = [getattr(lstm, f"{kind}_{suffix}") for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    gates = functional.linear(x, weights[0], weights[2]) + functional.linear(hidden, weights[1], weights[3])
    width = lstm.hidden_size
    let_in, forget, fresh, let_out = (gates[:, i * width : (i + 1) * width] for i in range(4))
    cell = torch.sigmoid(forget) * cell + torch.sigmoid(let_in) * torch.tanh(fresh)
    return torch.sigmoid(let_out) * torch.tanh(cell), cell


class LstmRefiner(nn.Module):
    """Causal: every pose is refined with all that came before it."""

    look_ahead = 0

    def __init__(self, width: int = 512, layers: int = 2, trained_frames: int = 128) -> None:
        super().__init__()
        self.width, self.layers, self.receptive_field = width, layers, trained_frames
        self.lstm = nn.LSTM(NUMBERS, width, layers, batch_first=True)
        self.head = _head(width)

    def forward(self, pose: Tensor) -> Tensor:
        """Refine sequences (B, T, 17, 3) that begin without history; metres, pelvis at the origin."""
        x, _ = self.lstm(pose.flatten(-2))
        return centred(pose + self.head(x).unflatten(-1, (JOINTS, 3)))

    def states(self) -> tuple[StateSpec, ...]:
        """Return the hidden and the cell state of all layers."""
        shape = (PEOPLE, self.layers, self.width)
        return StateSpec("hidden", "hidden_out", shape, "float32"), StateSpec("cell", "cell_out", shape, "float32")

    def step(self, pose: Tensor, keep: Tensor, past: tuple[Tensor, ...]) -> tuple[Tensor, list[Tensor]]:
        """Refine one frame (P, 17, 3), keep (P, 1, 1); return it and the new states."""
        hidden, cell = (torch.where(keep > 0.5, s, torch.zeros_like(s)) for s in past)
        x, news = pose.flatten(-2), []
        for layer in range(self.layers):
            news.append(lstm_step(self.lstm, f"l{layer}", x, hidden[:, layer], cell[:, layer]))
            x = news[-1][0]
        refined = centred(pose + self.head(x).unflatten(-1, (JOINTS, 3)))
        return refined, [torch.stack(s, 1) for s in zip(*news, strict=True)]


class BlstmRefiner(nn.Module):
    """Two directions over `window` poses, `stride` frames apart; the middle one is refined.

    Attributes:
        look_ahead: Frames of delay, half the window.
        merge: "sum" or "concat" of the two directions before the linear layer.
    """

    def __init__(
        self, width: int = 512, layers: int = 2, window: int = 5, stride: int = 3, merge: str = "concat"
    ) -> None:
        """Build one.

        Raises:
            ValueError: If the window has no middle or the merge is unknown.
        """
        super().__init__()
        if window % 2 == 0 or merge not in ("sum", "concat"):
            raise ValueError(f"window must be odd and merge 'sum' or 'concat', got {window} and {merge!r}")
        self.width, self.layers, self.window, self.stride, self.merge = width, layers, window, stride, merge
        self.receptive_field = (window - 1) * stride + 1
        self.look_ahead = self.receptive_field // 2
        self.lstm = nn.LSTM(NUMBERS, width, layers, batch_first=True, bidirectional=True)
        self.head = _head(width * (2 if merge == "concat" else 1))

    def refine(self, window: Tensor) -> Tensor:
        """Map windows (N, window, 17, 3) to their refined middles (N, 17, 3)."""
        x, _ = self.lstm(window.flatten(-2))
        return self._finish(window, x[:, self.window // 2])

    def forward(self, pose: Tensor) -> Tensor:
        """Refine sequences (B, T, 17, 3), edge frames repeated; metres, pelvis at the origin."""
        people, length = pose.shape[:2]
        wide = padded(pose, self.receptive_field, self.look_ahead)
        taps = [wide[:, i * self.stride :][:, :length] for i in range(self.window)]
        return self.refine(torch.stack(taps, 2).flatten(0, 1)).unflatten(0, (people, length))

    def states(self) -> tuple[StateSpec, ...]:
        """Return the ring of poses."""
        shape = (PEOPLE, self.receptive_field - 1, NUMBERS)
        return (StateSpec("poses", "poses_out", shape, "float32"),)

    def step(self, pose: Tensor, keep: Tensor, past: tuple[Tensor, ...]) -> tuple[Tensor, list[Tensor]]:
        """Take one frame (P, 17, 3), keep (P, 1, 1); return the refined one `look_ahead` frames ago, and the ring."""
        now = pose.flatten(-2).unsqueeze(1)
        ring = torch.cat([torch.where(keep > 0.5, past[0], now), now], 1)
        window = [ring[:, i * self.stride] for i in range(self.window)]
        xs = window
        for layer in range(self.layers):
            ahead, back = self._run(f"l{layer}", xs), self._run(f"l{layer}_reverse", xs[::-1])[::-1]
            xs = [torch.cat(pair, -1) for pair in zip(ahead, back, strict=True)]
        stacked = torch.stack(window, 1).unflatten(-1, (JOINTS, 3))
        return self._finish(stacked, xs[self.window // 2]), [ring[:, 1:]]

    def _run(self, suffix: str, xs: list[Tensor]) -> list[Tensor]:
        hidden = cell = torch.zeros_like(xs[0][:, :1]).expand(-1, self.width)
        outs = []
        for x in xs:
            hidden, cell = lstm_step(self.lstm, suffix, x, hidden, cell)
            outs.append(hidden)
        return outs

    def _finish(self, window: Tensor, both: Tensor) -> Tensor:
        merged = both if self.merge == "concat" else both[..., : self.width] + both[..., self.width :]
        return centred(window[:, self.window // 2] + self.head(merged).unflatten(-1, (JOINTS, 3)))


class RefinedStream(PoseStream):
    """A single-frame (or causal) network and a refiner of its poses as a lifter; the root by least squares."""

    def __init__(self, pose: VideoPose, refiner: LstmRefiner | BlstmRefiner) -> None:
        """Join them.

        Raises:
            ValueError: If the pose network itself looks ahead.
        """
        if pose.look_ahead:
            raise ValueError(f"the refined network must be causal, this one looks {pose.look_ahead} frames ahead")
        super().__init__(pose.receptive_field + refiner.receptive_field - 1, refiner.look_ahead)
        self.pose, self.pose_step, self.refiner = pose.eval(), NetworkStep(pose), refiner

    def states(self) -> tuple[StateSpec, ...]:
        """Return the held joints, the refiner's memory and the network's rings."""
        return *self.root_states(), *self.refiner.states(), *self.pose_step.states("pose")

    def sequence(self, xy: Tensor, score: Tensor, dt_s: Tensor) -> tuple[Tensor, Tensor]:
        """See PoseStream."""
        xy = filled_sequence(xy, score)
        pose = self.refiner(centred(self.pose(xy)))
        return pose, self.roots(xy, score, pose)

    def forward(self, xy: Tensor, score: Tensor, dt_s: Tensor, keep: Tensor, *past: Tensor) -> tuple[Tensor, ...]:
        """Lift one frame: P people, states as in `states`; return xyz_m, root_m and the new states."""
        keep = keep.reshape(-1, 1, 1)
        xy, held = self.hold(xy, score, keep, past[0])
        split = 1 + len(self.refiner.states())
        pose, rings = self.pose_step(xy, keep, list(past[split:]))
        pose, memory = self.refiner.step(centred(pose), keep, past[1:split])
        root, *_ = self.root(xy, pose, keep, held, [])
        return pose, root, held, *memory, *rings


def _head(width: int) -> nn.Linear:
    head = nn.Linear(width, NUMBERS)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return head
