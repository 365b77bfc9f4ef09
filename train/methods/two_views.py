"""Pairs of views of one moment: how the cameras stand to each other, and batches for `train.methods.geometry`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from train.data.motion.rigs import Camera
from train.loop.fit import Batch
from train.methods.extrinsics import relative_pose
from train.methods.footage import Footage
from train.methods.geometry import Side, change_of_view

SURE = 0.3  # joints with this score in both views tell where the cameras stand
MOST_JOINTS = 6000


@dataclass(frozen=True)
class Standing:
    """How each of V cameras stands to each other one.

    Attributes:
        rotation: (V, V, 3, 3) R_atob at [a, b].
        position_m: (V, V, 3) t_atob at [a, b]: camera b's centre in camera a's axes, metres.
    """

    rotation: Tensor
    position_m: Tensor


def known_standing(cameras: tuple[Camera, ...]) -> Standing:
    """Return what calibrated extrinsics say (equation 3.4)."""
    rotation = torch.from_numpy(np.stack([c.rotation for c in cameras])).float()
    position = torch.from_numpy(np.stack([c.position_m for c in cameras])).float()
    return Standing(*change_of_view(rotation[:, None], position[:, None], rotation[None], position[None]))


def estimated_standing(shots: Footage, seed: int = 0) -> Standing:
    """Return what the 2D joints of the footage say, pair by pair; only the cameras' distances are taken as known.

    Raises:
        ExtrinsicsError: If a pair's joints do not tell.
    """
    count, rng = len(shots.cameras), np.random.default_rng(seed)
    rotation = torch.eye(3).repeat(count, count, 1, 1)
    position_m = torch.zeros(count, count, 3)
    xy_px = [_pixels(shots.screen[v], camera) for v, camera in enumerate(shots.cameras)]
    for a in range(count):
        for b in range(a + 1, count):
            both = ((shots.score[a] >= SURE) & (shots.score[b] >= SURE)).numpy().ravel()
            joints = np.flatnonzero(both)
            joints = rng.choice(joints, min(MOST_JOINTS, len(joints)), replace=False)
            pair = shots.cameras[a], shots.cameras[b]
            baseline_m = float(np.linalg.norm(np.subtract(pair[1].position_m, pair[0].position_m)))
            pose = relative_pose(xy_px[a][joints], xy_px[b][joints], pair, baseline_m, seed=seed)
            for at, found in (((a, b), pose), ((b, a), pose.reversed())):
                rotation[at] = torch.from_numpy(found.rotation).float()
                position_m[at] = torch.from_numpy(found.position_m).float()
    return Standing(rotation, position_m)


def standing_error(found: Standing, truth: Standing) -> tuple[float, float]:
    """Return the mean angle between rotations (degrees) and the mean distance of camera centres (metres) over pairs."""
    off = ~torch.eye(len(found.rotation), dtype=torch.bool)
    turn = found.rotation.double() @ truth.rotation.double().transpose(-1, -2)
    # half the chord, for arccos of the trace has no digits left near 0
    angle = 2 * torch.arcsin((torch.linalg.norm(turn - torch.eye(3), dim=(-1, -2)) / 8**0.5).clamp(max=1))
    moved = torch.linalg.norm(found.position_m - truth.position_m, dim=-1)
    return float(torch.rad2deg(angle[off].mean())), float(moved[off].mean())


def _pixels(screen: Tensor, camera: Camera) -> npt.NDArray[np.float64]:
    """Return joints (N, 17, 2) on the screen as (N * 17, 2) pixels."""
    width, height = camera.size_wh
    return (screen.double().numpy().reshape(-1, 2) + np.array([1, height / width])) * (width / 2)


def pair_batches(
    shots: Footage, standing: Standing, size: int, seed: int, done: int = 0, scores: bool = True
) -> Iterator[Batch]:
    """Yield batches of `size` moments, each seen by two different cameras, for ever; read them with `sides`.

    Args:
        shots: The training footage; its truth is not read.
        standing: Where its cameras stand.
        size: Pairs in a batch.
        seed: Of the draw, together with `done`.
        done: Steps taken before.
        scores: Whether confidences are handed on; else every joint that was seen at all has confidence 1.

    Raises:
        ValueError: If there are fewer than two cameras.
    """
    count = len(shots.cameras)
    if count < 2:
        raise ValueError("a pair of views needs two cameras")
    rng = np.random.default_rng([seed, done])
    while True:
        frame = torch.from_numpy(rng.integers(len(shots.begin), size=size))
        one = torch.from_numpy(rng.integers(count, size=size))
        two = (one + torch.from_numpy(rng.integers(1, count, size=size))) % count
        batch: Batch = {}
        for name, here, there in (("first", one, two), ("second", two, one)):
            score = shots.score[here, frame]
            batch |= {
                f"{name}_screen": shots.screen[here, frame],
                f"{name}_score": score if scores else (score > 0).to(score.dtype),
                f"{name}_lens": shots.lens[here],
                f"{name}_rotation": standing.rotation[here, there],
                f"{name}_position_m": standing.position_m[here, there],
            }
        yield batch


def sides(batch: Batch) -> tuple[Side, Side]:
    """Return the two views of a batch of `pair_batches`."""
    names = ("screen", "score", "lens", "rotation", "position_m")
    first, second = (Side(*(batch[f"{side}_{name}"] for name in names)) for side in ("first", "second"))
    return first, second
