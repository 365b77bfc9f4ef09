"""Losses of the lifters. Poses (B, T, 17, 3) pelvis-relative metres, roots (B, T, 3) metres, camera axes."""

from __future__ import annotations

import torch
from torch import Tensor

from engines.skeletons import H36M17

PARENTS, CHILDREN = (list(ends) for ends in zip(*H36M17.bones, strict=True))


def distance(a: Tensor, b: Tensor) -> Tensor:
    """Return Euclidean distances along the last axis, with a gradient at 0."""
    gap = a - b
    return torch.sqrt((gap * gap).sum(-1) + 1e-10)


def position_loss(pose: Tensor, truth: Tensor) -> Tensor:
    """MPJPE over the joints but the pelvis, metres (Pavllo et al., section 3.1)."""
    return distance(pose[..., 1:, :], truth[..., 1:, :]).mean()


def velocity_loss(pose: Tensor, truth: Tensor, dt_s: Tensor) -> Tensor:
    """Mean distance of the joint velocities, in metres per 1/30 s whatever the frame rate; (B, T) seconds `dt_s`."""
    moved, should = pose[:, 1:] - pose[:, :-1], truth[:, 1:] - truth[:, :-1]
    rate = (1 / 30) / dt_s[:, 1:].clamp(min=0.01)
    return (distance(moved[..., 1:, :], should[..., 1:, :]) * rate.unsqueeze(-1)).mean()


def acceleration_loss(pose: Tensor, truth: Tensor, dt_s: Tensor) -> Tensor:
    """Mean distance of the joint accelerations, in metres per (1/30 s)^2; (B, T) seconds `dt_s`, T of at least 3.

    It is what the eye sees as shivering (acceleration error of Kanazawa et al., CVPR 2019).
    """
    apart = (pose - truth)[..., 1:, :]
    rate = (1 / 30) / dt_s[:, 1:].clamp(min=0.01)
    speed = apart.diff(dim=1) * rate[..., None, None]
    return (distance(speed[:, 1:], speed[:, :-1]) * rate[:, 1:].clamp(max=2).unsqueeze(-1)).mean()


def bone_lengths(pose: Tensor) -> Tensor:
    """Return the (..., 16) bone lengths."""
    return distance(pose[..., CHILDREN, :], pose[..., PARENTS, :])


def bone_loss(pose: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute error of the bone lengths plus their unsteadiness over a sequence, metres."""
    ours = bone_lengths(pose)
    wrong = (ours - bone_lengths(truth)).abs().mean()
    return wrong + (ours - ours.mean(1, keepdim=True)).abs().mean()


def root_loss(root: Tensor, truth: Tensor, seen: Tensor) -> Tensor:
    """Root error as a share of the true depth (Pavllo's WMPJPE, section 3.3), over frames with someone in sight.

    Args:
        root: (B, T, 3) predicted.
        truth: (B, T, 3) true.
        seen: (B, T) 1 where any joint was seen.
    """
    share = distance(root, truth) / truth[..., 2].clamp(min=0.1)
    return (share.clamp(max=3) * seen).sum() / seen.sum().clamp(min=1)
