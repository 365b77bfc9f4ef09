"""Losses of the 2D detector: where the joints are, how sure to be, and moving as the truth moves."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from train.models.detector import STRIDE, Joints


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


def detector_losses(joints: Joints, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Put the losses together.

    Args:
        joints: Of the B * T crops.
        batch: As `train.data.people2d.batches` yields it: (B, T, ...).
    """
    size, frames = batch["xy"].shape[:2]
    flat = {key: value.flatten(0, 1) for key, value in batch.items() if key != "crops"}
    truth, weight, tolerance = flat["xy"], flat["weight"], flat["tolerance"]
    parts = {
        "heatmap": spatial_cross_entropy(joints.logits, truth, weight),
        "position": position_loss(joints.xy, truth, weight, tolerance),
        "score": score_loss(joints.score_logit, joints.xy, truth, flat["judged"], flat["inside"], tolerance),
    }
    if frames > 1:
        parts["motion"] = 0.5 * motion_loss(
            joints.xy.unflatten(0, (size, frames)), batch["xy"], batch["weight"], batch["tolerance"]
        )
    return parts
