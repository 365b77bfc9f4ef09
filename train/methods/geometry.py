"""Geometry-driven self-supervised lifting: two views teach a single-view lifter (thesis chapter 3).

Two branches without shared weights, one for the pose about the pelvis, one for the pelvis in camera axes; the
losses compare what one view's pose looks like from the other. Names follow the thesis: X the 2D joints, here on
VideoPose3D's screen; Y~ the absolute pose in a view's camera axes; w the joints' confidences; tau the change of
camera; rho the projection. Every loss sums over joints and averages over the batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from train.methods.projection import project

JOINTS = 17
# What a branch's output of 1 means: the spread of a body, the size of a room. With one unit for both, the first steps
# of the optimiser move every joint as fast as the pelvis, and the body is left standing metres from its own pelvis.
BODY_UNIT_M, ROOM_UNIT_M = 0.25, 4.0


@dataclass(frozen=True)
class Side:
    """One view of a batch of pairs, and the way to the other view.

    Attributes:
        screen: (B, 17, 2) X, the 2D joints.
        score: (B, 17) w, confidences 0..1; 0 also where `screen` means nothing.
        lens: (B, 9) of the camera, from `projection.lens_screen`.
        rotation: (B, 3, 3) of the change to the other view.
        position_m: (B, 3) the other camera's centre in this camera's axes.
    """

    screen: Tensor
    score: Tensor
    lens: Tensor
    rotation: Tensor
    position_m: Tensor


class ResidualBlock(nn.Module):
    """Two fully connected layers, each with batch norm, ReLU and dropout, and the sum with the input."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        layers = [(nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(dropout)) for _ in range(2)]
        self.layers = nn.Sequential(*(part for layer in layers for part in layer))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, width) to (B, width)."""
        return x + self.layers(x)


class ResidualMlp(nn.Module):
    """The lifting network's body (thesis 3.3, after Martinez et al. 2017): in, residual blocks, linear out."""

    def __init__(self, outputs: int, width: int = 1024, blocks: int = 4, dropout: float = 0.25) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Linear(JOINTS * 2, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(dropout))
        self.blocks = nn.Sequential(*(ResidualBlock(width, dropout) for _ in range(blocks)))
        self.last = nn.Linear(width, outputs)

    def forward(self, screen: Tensor) -> Tensor:
        """Map joints (B, 17, 2) on the screen to (B, outputs)."""
        return self.last(self.blocks(self.first(screen.flatten(1))))


class TwoBranch(nn.Module):
    """Lifting branch and root position branch (thesis 3.4.1): same shape, no shared weights.

    The root branch places the middle of the 17 joints, where the thesis has the pelvis. Anchored at the pelvis, one
    joint in 17 tells where the body hangs on it: after trainings that had the rest of the body within 14 cm, the whole
    body still stood 15 cm off its pelvis.
    """

    def __init__(self, width: int = 1024, blocks: int = 4, dropout: float = 0.25) -> None:
        super().__init__()
        self.lifting = ResidualMlp(JOINTS * 3, width, blocks, dropout)
        self.root = ResidualMlp(3, width, blocks, dropout)

    def forward(self, screen: Tensor) -> Tensor:
        """Lift (B, 17, 2) to poses (B, 17, 3) about the pelvis, metres, camera axes; all that inference needs."""
        body = self._body(screen)
        return body - body[:, :1]

    def absolute(self, screen: Tensor) -> Tensor:
        """Return Y~ = Y + r (B, 17, 3), metres in camera axes."""
        body = self._body(screen)
        return body - body.mean(1, keepdim=True) + ROOM_UNIT_M * self.root(screen).unsqueeze(1)

    def _body(self, screen: Tensor) -> Tensor:
        return BODY_UNIT_M * self.lifting(screen).unflatten(-1, (JOINTS, 3))

    def both(self, first: Side, second: Side) -> tuple[Tensor, Tensor]:
        """Return Y~ of both views of a batch of pairs, in one pass, so that batch norm sees both."""
        one, two = self.absolute(torch.cat([first.screen, second.screen])).chunk(2)
        return one, two


def change_of_view(turn_1: Tensor, place_1: Tensor, turn_2: Tensor, place_2: Tensor) -> tuple[Tensor, Tensor]:
    """Equation 3.4: R_1to2 = R_2 R_1^T and t_1to2 = R_1 (t_2 - t_1).

    Args:
        turn_1: (..., 3, 3) R_1, world to axes of camera 1.
        place_1: (..., 3) t_1, centre of camera 1 in the world, metres.
        turn_2: R_2, likewise.
        place_2: t_2, likewise.
    """
    return turn_2 @ turn_1.transpose(-1, -2), (turn_1 @ (place_2 - place_1).unsqueeze(-1)).squeeze(-1)


def tau(pose: Tensor, side: Side) -> Tensor:
    """Equation 3.3: R_1to2 (Y~ - t_1to2), a pose (B, 17, 3) of this side in the other camera's axes."""
    return (pose - side.position_m.unsqueeze(1)) @ side.rotation.transpose(-1, -2)


def rho(pose: Tensor, side: Side) -> Tensor:
    """Equation 3.1: the projection (B, 17, 2) of a pose in this side's camera axes; with distortion if it has one."""
    return project(pose, side.lens.unsqueeze(1))


def reprojection_loss(one: Tensor, two: Tensor, first: Side, second: Side) -> Tensor:
    """Equation 3.2: sum of w1 |X1 - rho(Y~1)|^2 + w2 |X2 - rho(Y~2)|^2, each view looked at where it came from."""
    return _weighted(first.score, first, rho(one, first)) + _weighted(second.score, second, rho(two, second))


def transform_reprojection_loss(
    one: Tensor, two: Tensor, first: Side, second: Side, target_scores: bool = False
) -> Tensor:
    """Equation 3.5: sum of w1 |X2 - rho(tau(Y~1))|^2 + w2 |X1 - rho(tau(Y~2))|^2, each pose seen by the other camera.

    As printed, the confidence is of the view that the pose came from. With `target_scores` it is multiplied by the
    confidence of the joint that it is compared with, which is as likely to be the wrong one.
    """
    there, back = rho(tau(one, first), second), rho(tau(two, second), first)
    weights = (first.score * second.score,) * 2 if target_scores else (first.score, second.score)
    return _weighted(weights[0], second, there) + _weighted(weights[1], first, back)


def pretrain_loss(one: Tensor, two: Tensor, first: Side, second: Side) -> Tensor:
    """Equation 3.6: sum of |tau(Y~1) - Y~2|^2 + |tau(Y~2) - Y~1|^2: two views of one body are in one place.

    It says nothing about the pose (a body shrunk to a point will do) but brings the root branch before the cameras.
    """
    there, back = tau(one, first) - two, tau(two, second) - one
    return (there * there).sum((-1, -2)).mean() + (back * back).sum((-1, -2)).mean()


def _weighted(weight: Tensor, side: Side, seen: Tensor) -> Tensor:
    """Return the batch mean of sum_i w_i |X_i - seen_i|^2; joints without a score are not read, not even NaN."""
    gap = torch.where((side.score > 0).unsqueeze(-1), side.screen - seen, torch.zeros_like(seen))
    return (weight * (gap * gap).sum(-1)).sum(-1).mean()
