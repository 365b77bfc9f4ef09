"""Which way a body faces, read from its 2D joints: a start for the rotation, and the bit that views cannot tell.

A body of 17 joints is nearly flat. Without perspective, one turned to the left by some angle and one turned to the
right by it differ by little more than where the nose is; a network that starts at random takes one for the other for
very long (we saw all rotations folded onto half a circle), whatever the later losses say. So for the first part of a
training the found rotation is drawn to one that puts the body's three directions where the 2D joints show them. This
start is ours, not the thesis's, whose network saw about a hundred times as many batches.
"""

from __future__ import annotations

import torch
from torch import Tensor

from engines.skeletons import H36M17
from train.methods.orthographic import frobenius, rotation_matrix

PELVIS, THORAX, NOSE, HEAD = (H36M17.index(j) for j in ("pelvis", "thorax", "nose", "head_top"))
RIGHT, LEFT = ([H36M17.index(f"{side}_{joint}") for joint in ("hip", "shoulder")] for side in ("right", "left"))
FULL_LENGTH = 0.97  # of the lengths seen, the quantile that is taken for the one without foreshortening


def body_directions(pose: Tensor) -> Tensor:
    """Return (..., 3, D) how far the right side is from the left, the neck from the pelvis, the nose from the neck.

    Args:
        pose: (..., 17, D) joints, D = 2 or 3.
    """
    right = (pose[..., RIGHT, :] - pose[..., LEFT, :]).sum(-2)
    up = pose[..., THORAX, :] - pose[..., PELVIS, :]
    ahead = pose[..., NOSE, :] - (pose[..., THORAX, :] + pose[..., HEAD, :]) / 2
    return torch.stack([right, up, ahead], -2)


def full_lengths(xy: Tensor) -> Tensor:
    """Return (3, 1) the lengths of the body's directions where they lie in the picture's plane, from 2D poses alone.

    Args:
        xy: (..., 17, 2) normalised poses of people who face all ways.
    """
    lengths = body_directions(xy).norm(dim=-1).reshape(-1, 3)
    return lengths.quantile(FULL_LENGTH, 0).clamp(min=1e-6).unsqueeze(1)


def canonical_frame() -> Tensor:
    """Return the (3, 3) unit directions right, up, ahead of the canonical pose: upright, seen from its side.

    Exponential coordinates cannot follow a body all the way round without a jump. From a side view the jump is at the
    other side view, where the width of the shoulders changes its sign and shows clearly when to jump; from a front
    view it would be at the back, where only the nose shows it, and where most people of a room's recordings are.
    """
    facing_camera = -torch.eye(3)  # its right is on the picture's left, up is -y, ahead is towards the camera
    return facing_camera @ rotation_matrix(torch.tensor([0, torch.pi / 2, 0]))


def viewpoint_loss(rotation: Tensor, xy: Tensor, lengths: Tensor) -> Tensor:
    """Batch mean of ||E M - F||_2: E the canonical frame, F the directions seen, in full lengths.

    Args:
        rotation: (B, 3, 3) R.
        xy: (B, 17, 2) normalised poses.
        lengths: (3, 1) from `full_lengths`.
    """
    seen = canonical_frame().to(xy.device) @ rotation[..., :2]
    return frobenius(seen - body_directions(xy) / lengths)


def mirrored_depth(pose: Tensor) -> Tensor:
    """Return poses (..., P, 3) with depth turned round: the other body that looks the same without perspective."""
    return pose * torch.tensor([1.0, 1.0, -1.0], dtype=pose.dtype, device=pose.device)


def faces_forward(pose: Tensor) -> Tensor:
    """Return (...,) > 0 where the nose of a pose (..., 17, 3) is in front, given its right side; < 0 in a mirror."""
    return -torch.linalg.det(body_directions(pose))
