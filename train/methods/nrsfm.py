"""Non-rigid structure from motion: a dictionary of 3D poses learned from 2D poses alone (thesis section 4.5).

An encoder and a decoder that share the dictionary's weights, one step of sparse coding per level; after Kong and
Lucey, "Deep Non-Rigid Structure From Motion" (ICCV 2019), but with the rotation in exponential coordinates.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from train.methods.dictionary import HierarchicalDictionary, Threshold
from train.methods.orthographic import Factors, reprojection_loss, rotation_matrix
from train.methods.viewpoint import viewpoint_loss


class Nrsfm(nn.Module):
    """The encoder-decoder of figure 4.2: X -> Psi_1 .. Psi_n -> phi_n, omega -> phi_{n-1} .. phi_1 -> Y~.

    Args:
        dictionary: Learned here, shared by both directions; the factorization network takes it over.
        threshold: See `dictionary.shrunk`.
        hidden: Width of a layer between Psi_n and (phi_n, omega); 0 = the chapter's linear map, whose omega cannot
            follow a body all the way round.
    """

    def __init__(self, dictionary: HierarchicalDictionary, threshold: Threshold = "relu", hidden: int = 0) -> None:
        super().__init__()
        self.dictionary, self.threshold = dictionary, threshold
        self.biases = nn.ParameterList(torch.zeros(size) for size in dictionary.sizes)
        blocks, outputs = dictionary.codes * 6, dictionary.codes + 3
        deep = (nn.Linear(blocks, hidden), nn.ReLU(), nn.Linear(hidden, outputs)) if hidden else ()
        self.extract = nn.Sequential(*deep) if deep else nn.Linear(blocks, outputs)

    def forward(self, xy: Tensor) -> Factors:
        """Factorise normalised 2D poses (B, P, 2).

        phi_n is not held above 0 as equation 4.2 has it (nor is the network's, figure 4.1): atoms whose code is 0 for
        all poses would never learn. The levels below are.
        """
        blocks = self.dictionary.analyse(xy, self.biases, self.threshold)
        code, omega = self.extract(blocks.flatten(1)).split([self.dictionary.codes, 3], -1)
        return Factors(self.dictionary.decode(code), rotation_matrix(omega), code)


def nrsfm_losses(model: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Equation 4.7: the re-projection error of every view by itself; no pairs, no 3D. Then `started`."""
    found = model(batch["xy"])
    return {"reprojection": reprojection_loss(found, batch["xy"]), **started(found, batch)}


def started(found: Factors, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the start's loss on the rotation (see `viewpoint`), while the batch's `start` is above 0.

    Args:
        found: Factors of `xy`.
        batch: `xy` (B, P, 2); maybe `start`, a number, and `lengths` from `full_lengths`.
    """
    if "start" not in batch or not batch["start"] > 0:
        return {}
    return {"viewpoint": batch["start"] * viewpoint_loss(found.rotation, batch["xy"], batch["lengths"])}
