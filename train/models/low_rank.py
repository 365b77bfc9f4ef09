"""A linear map in two thinner ones: fewer weights to read, for a step that takes as long as reading its weights.

A network that streams one frame at a time multiplies each weight once per step, so on a processor the step's time is
that of fetching them from memory. The trained matrices of the causal lifter lie close to half their rank: cut there by
their singular values (Denton et al., "Exploiting Linear Structure Within Convolutional Networks", NeurIPS 2014), they
are a third smaller for a few tenths of a millimetre, most of which a few minutes of more training bring back.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

WORTH_IT = 0.8  # share of its weights below which a matrix is replaced


class LowRank(nn.Module):
    """A linear map of at most `rank` dimensions in the middle, from (..., features_in) to (..., features_out)."""

    def __init__(self, features_in: int, features_out: int, rank: int) -> None:
        super().__init__()
        self.down = nn.Linear(features_in, rank, bias=False)
        self.up = nn.Linear(rank, features_out, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map x."""
        return self.up(self.down(x))

    @classmethod
    def nearest(cls, linear: nn.Linear, rank: int) -> LowRank:
        """Return the map of this rank that is nearest to a linear one without bias (least squares of the weights)."""
        left, size, right = torch.linalg.svd(linear.weight.detach().double(), full_matrices=False)
        root = size[:rank].sqrt()  # half each, so that both factors are of one size
        out = cls(linear.in_features, linear.out_features, rank)
        with torch.no_grad():
            out.up.weight.copy_(left[:, :rank] * root)
            out.down.weight.copy_(root[:, None] * right[:rank])
        return out


def thin(model: nn.Module, rank: int) -> list[str]:
    """Replace, in place, the linear maps without bias that this rank makes smaller; return their names."""
    done = []
    for name, linear in _linears(model):
        whole = linear.weight.numel()
        if linear.bias is None and rank * sum(linear.weight.shape) < WORTH_IT * whole:
            model.set_submodule(name, LowRank.nearest(linear, rank))
            done.append(name)
    return done


def take_ranks(model: nn.Module, weights: Iterable[tuple[str, Tensor]]) -> None:
    """Give a model, in place, the thin maps that these named weights are of, so that they can be loaded."""
    by_name = dict(weights)
    for name in [n.removesuffix(".down.weight") for n in by_name if n.endswith(".down.weight")]:
        down, up = by_name[f"{name}.down.weight"], by_name[f"{name}.up.weight"]
        model.set_submodule(name, LowRank(down.shape[1], len(up), len(down)))


def _linears(model: nn.Module) -> list[tuple[str, nn.Linear]]:
    thin_ones = {f"{name}." for name, module in model.named_modules() if isinstance(module, LowRank)}
    named = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    return [(name, module) for name, module in named if not name.startswith(tuple(thin_ones))]
