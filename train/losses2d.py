"""Losses of the 2D detector: where the joints are, how sure to be, and moving as the truth moves."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from train.models.reader import STRIDE, Joints


def heatmap_targets(xy_px: Tensor, height: int, width: int, sigma: float) -> Tensor:
    """Return (..., height * width) Gaussians around pixels (..., 2), `sigma` in cells; each sums to 1."""
    cells = xy_px / STRIDE
    x = torch.arange(width, device=xy_px.device) + 0.5 - cells[..., 0:1]
    y = torch.arange(height, device=xy_px.device) + 0.5 - cells[..., 1:2]
    columns = torch.softmax(-0.5 * (x / sigma) ** 2, -1)
    rows = torch.softmax(-0.5 * (y / sigma) ** 2, -1)
    return (rows[..., :, None] * columns[..., None, :]).flatten(-2)


def spatial_cross_entropy(logits: Tensor, xy_px: Tensor, weight: Tensor, sigma: float = 1.5) -> Tensor:
    """Compare heatmaps with Gaussians by cross-entropy over the places of the map.

    Mean squared error on heatmaps collapses to empty maps; a softmax over places cannot.

    Args:
        logits: (N, 17, h, w).
        xy_px: (N, 17, 2) truth in crop pixels.
        weight: (N, 17), 0 = not labelled.
        sigma: Of the Gaussian, in heatmap cells.

    Returns:
        Weighted mean, less the entropy of the Gaussian itself: 0 is perfect.
    """
    targets = heatmap_targets(xy_px, *logits.shape[-2:], sigma)
    told = F.log_softmax(logits.float().flatten(2), -1)
    divergence = (torch.xlogy(targets, targets) - targets * told).sum(-1)
    return (divergence * weight).sum() / weight.sum().clamp(min=1)


def heatmap_l2(maps: Tensor, xy_px: Tensor, weight: Tensor, sigma: float = 2.0) -> Tensor:
    """Compare maps with Gaussians of height 1, squared and summed over the places (Li's thesis, eq. 2.12).

    Args:
        maps: (N, 17, h, w), not logits: a network trained so says 1 where the joint is (`DetectorConfig.sharpness` must
            be ten times the usual for it).
        xy_px: (N, 17, 2) truth in crop pixels.
        weight: (N, 17), 0 = not labelled.
        sigma: Of the Gaussian, in cells.

    Returns:
        Weighted mean over joints, in units of what an empty map costs: 1 = an empty map, 0 = perfect.
    """
    height, width = maps.shape[-2:]
    shares = heatmap_targets(xy_px, height, width, sigma)
    targets = shares / shares.amax(-1, keepdim=True)
    wrong = ((maps.float().flatten(2) - targets) ** 2).sum(-1) / (math.pi * sigma**2)
    return (wrong * weight).sum() / weight.sum().clamp(min=1)


def coordinate_l1(xy: Tensor, truth: Tensor, weight: Tensor, tolerance: Tensor) -> Tensor:
    """Return the weighted mean of |dx| + |dy| in units of the tolerance: the regression and the integral loss.

    The integral loss (Sun et al., "Integral Human Pose Regression", ECCV 2018) is this with xy from a soft-argmax.
    """
    away = (xy - truth).abs().sum(-1) / tolerance[:, None]
    return (away * weight).sum() / weight.sum().clamp(min=1)


def position_loss(xy: Tensor, truth: Tensor, weight: Tensor, tolerance: Tensor) -> Tensor:
    """Return the weighted mean distance in units of the tolerance, capped at 2 so that wrong labels do not rule."""
    away = torch.linalg.vector_norm(xy - truth, dim=-1) / tolerance[:, None]
    return (2 * torch.tanh(away / 2) * weight).sum() / weight.sum().clamp(min=1)


def score_loss(
    score_logit: Tensor, xy: Tensor, truth: Tensor, judged: Tensor, inside: Tensor, tolerance: Tensor
) -> Tensor:
    """Return the cross-entropy of the score as the probability that the joint is within the tolerance of the truth.

    Args:
        score_logit: (N, 17).
        xy: (N, 17, 2) found, crop pixels; no gradient flows through it.
        truth: (N, 17, 2).
        judged: (N, 17) 1 = it is known whether the joint is right.
        inside: (N, 17) 1 = the joint is in the crop; outside it nothing found is right.
        tolerance: (N,) pixels.
    """
    right = (torch.linalg.vector_norm(xy.detach() - truth, dim=-1) < tolerance[:, None]).float() * inside
    each = F.binary_cross_entropy_with_logits(score_logit, right, reduction="none")
    return (each * judged).sum() / judged.sum().clamp(min=1)


def motion_loss(xy: Tensor, truth: Tensor, weight: Tensor, tolerance: Tensor) -> Tensor:
    """Return how far the found motion from frame to frame is from the true one, in units of the tolerance.

    Args:
        xy: (B, T, 17, 2) found.
        truth: (B, T, 17, 2).
        weight: (B, T, 17).
        tolerance: (B, T) pixels.
    """
    wrong = torch.linalg.vector_norm(xy.diff(dim=1) - truth.diff(dim=1) + 1e-6, dim=-1) / tolerance[:, 1:, None]
    both = torch.minimum(weight[:, 1:], weight[:, :-1])
    return (2 * torch.tanh(wrong / 2) * both).sum() / both.sum().clamp(min=1)


def _by_distribution(joints: Joints, truth: Tensor, weight: Tensor, tolerance: Tensor) -> dict[str, Tensor]:
    return {
        "heatmap": spatial_cross_entropy(joints.logits, truth, weight),
        "position": position_loss(joints.xy, truth, weight, tolerance),
    }


def _by_l2(joints: Joints, truth: Tensor, weight: Tensor, tolerance: Tensor) -> dict[str, Tensor]:
    return {"heatmap": heatmap_l2(joints.logits, truth, weight)}


def _by_coordinates(joints: Joints, truth: Tensor, weight: Tensor, tolerance: Tensor) -> dict[str, Tensor]:
    return {"position": coordinate_l1(joints.xy, truth, weight, tolerance)}


LOSSES: dict[str, Callable[[Joints, Tensor, Tensor, Tensor], dict[str, Tensor]]] = {
    "distribution": _by_distribution,
    "heatmap": _by_l2,
    "regression": _by_coordinates,
    "integral": _by_coordinates,
}
"""What teaches the positions: ours, and the three of the thesis's table 2.4."""


def detector_losses(joints: Joints, batch: dict[str, Tensor], kind: str = "distribution") -> dict[str, Tensor]:
    """Put the losses together.

    Args:
        joints: Of the B * T crops.
        batch: As `train.data.people.people2d.batches` yields it: (B, T, ...).
        kind: A key of LOSSES.

    Raises:
        KeyError: If there is no such kind.
    """
    size, frames = batch["xy"].shape[:2]
    flat = {key: value.flatten(0, 1) for key, value in batch.items() if key != "crops"}
    truth, weight, tolerance = flat["xy"], flat["weight"], flat["tolerance"]
    parts = LOSSES[kind](joints, truth, weight, tolerance)
    parts["score"] = score_loss(joints.score_logit, joints.xy, truth, flat["judged"], flat["inside"], tolerance)
    if frames > 1:
        parts["motion"] = 0.5 * motion_loss(
            joints.xy.unflatten(0, (size, frames)), batch["xy"], batch["weight"], batch["tolerance"]
        )
    return parts
