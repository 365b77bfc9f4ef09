"""Consistent factorization: one 2D pose into a canonical 3D pose and a camera rotation (thesis sections 4.4, 4.6).

Two views of one moment must come from the same canonical pose; that alone, with the re-projection and a dictionary
that was learned from 2D poses, teaches the depth. No 3D truth, no calibration of the cameras is used.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from train.methods.dictionary import JOINTS, Shapes
from train.methods.geometry import ResidualBlock
from train.methods.nrsfm import started
from train.methods.orthographic import (
    Factors,
    frobenius,
    normalised_pose,
    reprojection_loss,
    rotation_matrix,
)
from train.methods.viewpoint import full_lengths

Consistency = Literal["none", "views", "turned"]


class FactorizationNet(nn.Module):
    """The network N of figure 4.1: residual body, two heads (phi_n and omega), decoder of the dictionary.

    Args:
        shapes: The dictionary, or what stands for it; its weights are this module's too.
        width, blocks, dropout: Of the body; the chapter has 1024 channels and four blocks.
    """

    def __init__(self, shapes: Shapes, width: int = 1024, blocks: int = 4, dropout: float = 0.25) -> None:
        super().__init__()
        self.shapes = shapes
        body = (ResidualBlock(width, dropout) for _ in range(blocks))
        self.body = nn.Sequential(nn.Linear(JOINTS * 2, width), *body)
        self.code, self.omega = head(width, shapes.codes), head(width, 3)

    def forward(self, xy: Tensor) -> Factors:
        """Factorise normalised 2D poses (B, P, 2)."""
        features = self.body(xy.flatten(1))
        code, omega = self.code(features).float(), self.omega(features).float()
        with torch.autocast(xy.device.type, enabled=False):
            return Factors(self.shapes.decode(code), rotation_matrix(omega), code)


def head(width: int, outputs: int) -> nn.Sequential:
    """Return two fully connected layers with a ReLU between."""
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, outputs))


@dataclass(frozen=True)
class FactorizationConfig:
    """Which losses the network learns from.

    Attributes:
        consistency: "views": equation 4.4, of two cameras at one moment. "turned": the second view is the network's
            own pose, turned at random, projected and factorised again; needs no second camera. "none": the baseline.
        weight: lambda of equation 4.8.
    """

    consistency: Consistency = "views"
    weight: float = 1.0


def consistency_loss(one: Factors, two: Factors) -> Tensor:
    """Equation 4.4: batch mean of ||Y^_1 - Y^_2||_2, the canonical poses of two views of one moment."""
    return frobenius(one.canonical - two.canonical)


def factorization_losses(config: FactorizationConfig, model: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Equations 4.3 and 4.8: L = L_re-proj + lambda L_cf.

    Args:
        config: See FactorizationConfig.
        model: A FactorizationNet.
        batch: From `pair_batches`. Batch norm sees both views.
    """
    xy = batch["xy"]
    both = model(xy)
    losses = {"reprojection": 2 * reprojection_loss(both, xy)}
    if config.consistency == "views":
        one, two = halves(both)
        losses["consistency"] = config.weight * consistency_loss(one, two)
    elif config.consistency == "turned":
        losses["consistency"] = config.weight * consistency_loss(both, model(turned_view(both)))
    return {**losses, **started(both, batch)}


def halves(both: Factors) -> tuple[Factors, Factors]:
    """Split the factors of (2B, ...) into those of the first and of the second views."""
    parts = (part.chunk(2) for part in (both.canonical, both.rotation, both.code))
    (y1, y2), (r1, r2), (c1, c2) = parts
    return Factors(y1, r1, c1), Factors(y2, r2, c2)


def turned_view(factors: Factors) -> Tensor:
    """Return normalised 2D poses (B, P, 2) of the found poses, seen by cameras that went round them by any angle."""
    angle = torch.rand(len(factors.code), device=factors.code.device) * (2 * torch.pi)
    omega = torch.stack([torch.zeros_like(angle), angle, torch.zeros_like(angle)], -1)  # y is the vertical
    return normalised_pose((factors.pose @ rotation_matrix(omega))[..., :2])[0]


def pair_batches(
    xy: Tensor, size: int, seed: int, start_steps: int = 0, start_weight: float = 3.0, done: int = 0
) -> Iterator[dict[str, Tensor]]:
    """Draw, for ever, `size` moments and two different views of each.

    Args:
        xy: (V, N, P, 2) normalised 2D poses of V >= 2 views.
        size: Moments in a batch.
        seed: Of the draw; `done` changes it too, so that a resumed run sees new batches.
        start_steps: For so many steps the viewpoint's start is in force, with a weight that falls to 0.
        start_weight: Its first weight.
        done: Steps taken before.

    Yields:
        `xy` (2 size, P, 2), row size + i another view of row i's moment; `start`, `lengths` as `started` takes them.

    Raises:
        ValueError: If there is only one view.
    """
    views, moments = xy.shape[:2]
    if views < 2:
        raise ValueError("consistent factorization needs two views of each moment")
    rng = torch.Generator().manual_seed(seed * 1_000_003 + done)
    lengths = full_lengths(xy) if start_steps else torch.ones(3, 1)
    for step in itertools.count(done):
        moment = torch.randint(moments, (size,), generator=rng)
        one = torch.randint(views, (size,), generator=rng)
        two = (one + torch.randint(1, views, (size,), generator=rng)) % views
        left = max(0.0, 1 - step / start_steps) if start_steps else 0.0
        pair = torch.cat([xy[one, moment], xy[two, moment]])
        yield {"xy": pair, "start": torch.tensor(start_weight * left), "lengths": lengths}
