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
from train.models.lifter_io import FEATURES, Lifter


class LstmLifter(Lifter):
    """An embedding, `layers` LSTM layers from zero state, a linear head."""

    def __init__(
        self,
        width: int = 512,
        layers: int = 2,
        trained_frames: int = 256,
        settles: bool = True,
        look_ahead: int = 0,
    ) -> None:
        super().__init__(settles, look_ahead)
        self.receptive_field = trained_frames  # it never forgets by force; this is the history it was trained with
        self.width, self.layers = width, layers
        self.embed = nn.Linear(FEATURES, width)
        self.lstm = nn.LSTM(width, width, layers, batch_first=True)
        self.head = nn.Linear(width, self.outputs)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)

    def memory(self) -> tuple[StateSpec, ...]:
        """Return the hidden and the cell state of all layers."""
        shape = (PEOPLE, self.layers, self.width)
        return StateSpec("hidden", "hidden_out", shape, "float32"), StateSpec("cell", "cell_out", shape, "float32")

    def remember(self, features: Tensor) -> Tensor:
        """Map (B, T, FEATURES) to (B, T, self.outputs)."""
        x, _ = self.lstm(functional.relu(self.embed(features)))
        return self.head(x)

    def recall(self, features: Tensor, keep: Tensor, memory: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Map one frame's (P, FEATURES) to (P, self.outputs); memory (P, layers, width), hidden and cell."""
        kept = keep.reshape(-1, 1, 1) > 0.5
        hidden, cell = (torch.where(kept, m, torch.zeros_like(m)) for m in memory)
        x = functional.relu(self.embed(features))
        states = []
        for layer in range(self.layers):
            x, c = self._cell(layer, x, hidden[:, layer], cell[:, layer])
            states.append((x, c))
        new_hidden, new_cell = (torch.stack(s, 1) for s in zip(*states, strict=True))
        return self.head(x), (new_hidden, new_cell)

    def _cell(self, layer: int, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """One layer's step on (P, width); gates in PyTorch's order: input, forget, cell, output."""
        weights = [getattr(self.lstm, f"{kind}_l{layer}") for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        gates = functional.linear(x, weights[0], weights[2]) + functional.linear(h, weights[1], weights[3])
        let_in, forget, fresh, let_out = (gates[:, i * self.width : (i + 1) * self.width] for i in range(4))
        c = torch.sigmoid(forget) * c + torch.sigmoid(let_in) * torch.tanh(fresh)
        return torch.sigmoid(let_out) * torch.tanh(c), c
