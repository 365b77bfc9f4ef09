"""Back-projection: semi-supervised training of a lifter on video without 3D truth (VideoPose3D, section 4).

Half of a batch has labels, half has none. The labelled half trains the pose network (MPJPE) and a trajectory network of
the same shape (WMPJPE, equation 1); what both say of the unlabelled half is projected back through its camera,
distortion included, and has to hit the 2D joints it came from. That alone would be content with a flat body or with a
copy of the input; the bone term keeps the mean bone lengths of both halves alike. Only intrinsics are needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from train.fit import Batch
from train.losses3d import bone_lengths, distance, root_loss
from train.methods.footage import Footage, Rows, windows
from train.methods.projection import mirrored_lens, project
from train.models.videopose import MIRROR, VideoPose, flipped

RAY_LIMIT = 1.0


@dataclass(frozen=True)
class SemiConfig:
    """What of the method is used.

    Attributes:
        projection: Whether unlabelled poses have to project to their 2D joints.
        bones: "none", "l1" (absolute difference of mean lengths, as in VideoPose3D's public code) or "l2" (squared, as
            the paper's figure 3 calls it).
        warmup_steps: Steps on labelled data alone before the unlabelled join in (paper: 1 or 20 epochs).
        half: Windows in each half of a batch.
        before, after: Frames of context on either side of the one that is lifted; causal: after = 0.
        mirror: Whether each half is mirrored at random.
    """

    projection: bool = True
    bones: str = "l1"
    warmup_steps: int = 500
    half: int = 128
    before: int = 13
    after: int = 13
    mirror: bool = True

    def __post_init__(self) -> None:
        """Raise ValueError for a bone term that does not exist."""
        if self.bones not in ("none", "l1", "l2"):
            raise ValueError(f"bones is none, l1 or l2, not {self.bones!r}")


class PoseAndTrajectory(nn.Module):
    """A pose network and its twin for the pelvis; they share nothing, for each worsens the other (section 4)."""

    def __init__(self, pose: VideoPose, trajectory: VideoPose) -> None:
        super().__init__()
        self.pose, self.trajectory = pose, trajectory

    def forward(self, screen: Tensor) -> tuple[Tensor, Tensor]:
        """Map windows (B, T, 17, 2) to poses (B, 1, 17, 3) about the pelvis and trajectories (B, 1, 1, 3), metres."""
        return self.pose.strided(screen), self.trajectory.strided(screen)


def backprojection_loss(pose: Tensor, trajectory: Tensor, lens: Tensor, screen: Tensor, score: Tensor) -> Tensor:
    """Mean distance on the screen of re-projected joints from those they were lifted from, weighted by their scores.

    Args:
        pose: (B, 1, 17, 3) metres about the pelvis.
        trajectory: (B, 1, 1, 3) metres in camera axes.
        lens: (B, 9), see `projection.lens_screen`.
        screen: (B, 1, 17, 2) what the detector saw.
        score: (B, 1, 17) confidences.
    """
    again = project(pose + trajectory, lens[:, None, None], RAY_LIMIT)
    return (score * distance(again, screen)).sum() / score.sum().clamp(min=1e-6)


def bone_term(labelled: Tensor, unlabelled: Tensor, kind: str = "l1") -> Tensor:
    """Difference of the mean bone lengths of two halves (B, 1, 17, 3), averaged over the 16 bones; metres or metres^2.

    Both are what the network says: the truth of the labelled half enters through its own loss.
    """
    gap = bone_lengths(labelled).mean((0, 1)) - bone_lengths(unlabelled).mean((0, 1))
    return gap.abs().mean() if kind == "l1" else (gap * gap).mean()


def semi_losses(config: SemiConfig, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
    """Return the losses of a batch of `semi_batches`; without `free_screen` in it, of the labelled half alone."""
    known = len(batch["screen"])
    free = "free_screen" in batch
    pose, trajectory = model(torch.cat([batch["screen"], batch["free_screen"]]) if free else batch["screen"])
    pose, trajectory = pose.float(), trajectory.float()
    root = batch["root_m"]
    losses = {
        "position": distance(pose[:known], batch["pose_m"]).mean(),
        "trajectory": root_loss(trajectory[:known, :, 0], root, torch.ones_like(root[..., 0])),
    }
    if free and config.projection:
        losses["projection"] = backprojection_loss(
            pose[known:], trajectory[known:], batch["free_lens"], batch["free_target"], batch["free_score"]
        )
    if free and config.bones != "none":
        losses["bones"] = bone_term(pose[:known], pose[known:], config.bones)
    return losses


def labelled_frames(shots: Footage, share: float, seed: int) -> npt.NDArray[np.bool_]:
    """Choose the (N,) frames that have labels, as the paper does (6.2): few subjects, then a piece of each clip.

    Subjects come in a random order until the share is reached; of the last one, each clip's middle piece is taken, so
    that in all `share` of the frames are chosen (each at least one).
    """
    rng = np.random.default_rng(seed)
    wanted = round(share * len(shots.begin))
    chosen = np.zeros(len(shots.begin), np.bool_)
    for subject in rng.permutation(np.unique(shots.subject)):
        own = shots.subject == subject
        left = wanted - int(chosen.sum())
        if left <= 0:
            break
        part = min(1.0, left / own.sum())
        length = shots.end - shots.begin
        past = np.arange(len(own)) - shots.begin - (length - np.ceil(part * length)) // 2
        chosen |= own & (past >= 0) & (past < np.ceil(part * length))
    return chosen


def semi_batches(
    shots: Footage, labelled: npt.NDArray[np.bool_], config: SemiConfig, seed: int, done: int = 0
) -> Iterator[Batch]:
    """Yield batches for ever, the first `config.warmup_steps` of them without the unlabelled half.

    Args:
        shots: The training footage.
        labelled: (N,) frames whose truth may be read; the others are the unlabelled ones.
        config: See SemiConfig; without projection and bone term there is never an unlabelled half.
        seed: Of the draw; `done` steps already taken change it, so that a resumed run sees new batches.
        done: Steps taken before.

    Raises:
        ValueError: If no frame is labelled, or none is left for the other half.
    """
    rng = np.random.default_rng([seed, done])
    known, free = np.flatnonzero(labelled), np.flatnonzero(~labelled)
    wants_free = config.projection or config.bones != "none"
    if not len(known) or (wants_free and not len(free)):
        raise ValueError(f"{len(known)} labelled and {len(free)} unlabelled frames; both halves need some")
    step = done
    while True:
        batch = _labelled_half(shots, *_draw(shots, known, config, rng), config, rng)
        if wants_free and step >= config.warmup_steps:
            batch |= _unlabelled_half(shots, *_draw(shots, free, config, rng), config, rng)
        yield batch
        step += 1


def _draw(shots: Footage, frames: Rows, config: SemiConfig, rng: np.random.Generator) -> tuple[Rows, Rows]:
    return rng.integers(len(shots.screen), size=config.half), rng.choice(frames, config.half)


def _labelled_half(shots: Footage, view: Rows, frame: Rows, config: SemiConfig, rng: np.random.Generator) -> Batch:
    screen = windows(shots, view, frame, config.before, config.after)
    xyz_m = shots.xyz_m[torch.from_numpy(view), torch.from_numpy(frame)].unsqueeze(1)
    swap = torch.from_numpy(config.mirror & (rng.random(len(view)) < 0.5)).reshape(-1, 1, 1, 1)
    screen = torch.where(swap, flipped(screen), screen)
    xyz_m = torch.where(swap, flipped(xyz_m), xyz_m)
    return {"screen": screen, "pose_m": xyz_m - xyz_m[:, :, :1], "root_m": xyz_m[:, :, 0]}


def _unlabelled_half(shots: Footage, view: Rows, frame: Rows, config: SemiConfig, rng: np.random.Generator) -> Batch:
    screen = windows(shots, view, frame, config.before, config.after)
    score = shots.score[torch.from_numpy(view), torch.from_numpy(frame)].unsqueeze(1)
    lens = shots.lens[torch.from_numpy(view)]
    swap = torch.from_numpy(config.mirror & (rng.random(len(view)) < 0.5))
    wide = swap.reshape(-1, 1, 1, 1)
    screen = torch.where(wide, flipped(screen), screen)
    score = torch.where(wide[..., 0], score[..., MIRROR], score)
    return {
        "free_screen": screen,
        "free_target": screen[:, config.before : config.before + 1],
        "free_score": score,
        "free_lens": torch.where(swap.unsqueeze(1), mirrored_lens(lens), lens),
    }
