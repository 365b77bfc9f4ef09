"""The recurrent lifter: two LSTM layers over the same features as the temporal convolution.

After LSTM-Pose (Katircioglu et al., IJCV 2018, section 3.3), run forward in time only. The step is written
as linear maps, sigmoid and tanh, which every ONNX runtime knows; training uses PyTorch's sequence kernel on
the same weights.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from engines.spec import PEOPLE, StateSpec
from train.models.lifter_io import FEATURES, OUTPUTS, Lifter, observe, to_metres


class LstmLifter(Lifter):
    """An embedding, `layers` LSTM layers from zero state, a linear head."""

    def __init__(self, width: int = 512, layers: int = 2, trained_frames: int = 256) -> None:
        super().__init__()
        self.receptive_field = trained_frames  # it never forgets by force; this is the history it was trained with
        self.width, self.layers = width, layers
        self.embed = nn.Linear(FEATURES, width)
        self.lstm = nn.LSTM(width, width, layers, batch_first=True)
        self.head = nn.Linear(width, OUTPUTS)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)

    def states(self) -> tuple[StateSpec, ...]:
        """Return the hidden and the cell state of all layers."""
        shape = (PEOPLE, self.layers, self.width)
        return StateSpec("hidden", "hidden_out", shape, "float32"), StateSpec("cell", "cell_out", shape, "float32")

    def remember(self, features: Tensor) -> Tensor:
        """Map (B, T, FEATURES) to (B, T, OUTPUTS)."""
        x, _ = self.lstm(functional.relu(self.embed(features)))
        return self.head(x)

    def forward(
        self, xy: Tensor, score: Tensor, dt_s: Tensor, keep: Tensor, hidden: Tensor, cell: Tensor
    ) -> tuple[Tensor, ...]:
        """Lift one frame: P people, states (P, layers, width); return xyz_m, root_m and the new states."""
        features, view = observe(xy, score, dt_s)
        kept = keep.reshape(-1, 1, 1) > 0.5
        hidden = torch.where(kept, hidden, torch.zeros_like(hidden))
        cell = torch.where(kept, cell, torch.zeros_like(cell))
        x = functional.relu(self.embed(features))
        states = []
        for layer in range(self.layers):
            x, c = self._cell(layer, x, hidden[:, layer], cell[:, layer])
            states.append((x, c))
        new_hidden, new_cell = (torch.stack(s, 1) for s in zip(*states, strict=True))
        return (*to_metres(self.head(x), view), new_hidden, new_cell)

    def _cell(self, layer: int, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """One layer's step on (P, width); gates in PyTorch's order: input, forget, cell, output."""
        weights = [getattr(self.lstm, f"{kind}_l{layer}") for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        gates = functional.linear(x, weights[0], weights[2]) + functional.linear(h, weights[1], weights[3])
        let_in, forget, fresh, let_out = (gates[:, i * self.width : (i + 1) * self.width] for i in range(4))
        c = torch.sigmoid(forget) * c + torch.sigmoid(let_in) * torch.tanh(fresh)
        return torch.sigmoid(let_out) * torch.tanh(c), c
