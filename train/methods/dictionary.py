"""The hierarchical dictionary of 3D poses: sparse codes of sparse codes (thesis sections 4.3 and 4.5).

Names follow the chapter: P joints, n levels of K_1 .. K_n atoms, D_1 (3P, K_1) with its reshape D_1# (P, 3 K_1),
D_i (K_{i-1}, K_i), codes phi_i and their blocks Psi_i = phi_i (x) M, M the (3, 2) camera.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

JOINTS = 17
SIZES = (125, 10)  # the chapter's first and last level
Threshold = Literal["relu", "block"]


class Shapes(Protocol):
    """Makes canonical poses of codes."""

    codes: int

    def decode(self, code: Tensor) -> Tensor:
        """Return the canonical poses (B, P, 3) of codes (B, codes)."""


class FreeShapes(nn.Module):
    """No dictionary: the code is the pose itself."""

    codes = JOINTS * 3

    def decode(self, code: Tensor) -> Tensor:
        """Return codes (B, 3P) as poses (B, P, 3)."""
        return code.unflatten(-1, (JOINTS, 3))


class HierarchicalDictionary(nn.Module):
    """D_1 .. D_n and the decoder's thresholds b'_2 .. b'_n. One level makes it the plain dictionary Y^ = [D phi].

    Args:
        sizes: K_1 .. K_n, the lowest level first.

    Raises:
        ValueError: If there is no level or an empty one.
    """

    def __init__(self, sizes: tuple[int, ...] = SIZES) -> None:
        super().__init__()
        if not sizes or min(sizes) < 1:
            raise ValueError(f"a dictionary needs levels of at least one atom, not {sizes}")
        self.sizes, self.codes = tuple(sizes), sizes[-1]
        self.atoms = nn.Parameter(torch.randn(sizes[0], JOINTS, 3) * (2 / sizes[0]) ** 0.5)
        pairs = list(pairwise(sizes))
        self.upper = nn.ParameterList(torch.randn(low, high) * (2 / high) ** 0.5 for low, high in pairs)
        self.thresholds = nn.ParameterList(torch.zeros(low) for low, _ in pairs)

    def decode(self, code: Tensor) -> Tensor:
        """Equation 4.6: phi_{i-1} = ReLU(D_i phi_i - b'_i) down to phi_1, then Y~ = D_1# phi_1.

        Args:
            code: (B, K_n) phi_n.

        Returns:
            (B, P, 3) canonical poses.
        """
        for matrix, threshold in zip(reversed(self.upper), reversed(self.thresholds), strict=True):
            code = functional.relu(code @ matrix.T - threshold)
        return torch.einsum("bk,kpc->bpc", code, self.atoms)

    def analyse(self, xy: Tensor, biases: nn.ParameterList, threshold: Threshold) -> Tensor:
        """Equation 4.5: Psi_1 = ReLU((D_1#)^T X - b_1), Psi_i = ReLU((D_i (x) I_3)^T Psi_{i-1} - b_i).

        Args:
            xy: (B, P, 2) X.
            biases: b_1 .. b_n, of K_i numbers each; the chapter's (x) 1_{3x2} spreads one over a block.
            threshold: What stands for ReLU, see `shrunk`.

        Returns:
            (B, K_n, 3, 2) Psi_n.
        """
        blocks = shrunk(torch.einsum("kpc,bpd->bkcd", self.atoms, xy), biases[0], threshold)
        for matrix, bias in zip(self.upper, list(biases)[1:], strict=True):
            blocks = shrunk(torch.einsum("jk,bjcd->bkcd", matrix, blocks), bias, threshold)
        return blocks


def shrunk(blocks: Tensor, bias: Tensor, threshold: Threshold) -> Tensor:
    """Draw blocks (B, K, 3, 2) towards 0 by `bias` (K,), so that few of them stay.

    "relu" is the chapter's: every number of a block alone, max(0, x - b). "block" is the block-sparse original that
    it stands for (Kong and Lucey 2019): the whole block loses the length b and keeps its direction, signs included.
    """
    if threshold == "relu":
        return functional.relu(blocks - bias[:, None, None])
    length = ((blocks * blocks).sum((-1, -2), keepdim=True) + 1e-10).sqrt()
    return blocks * functional.relu(1 - bias[:, None, None] / length)
