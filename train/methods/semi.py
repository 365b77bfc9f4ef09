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

from train.loop.fit import Batch
from train.losses3d import bone_lengths, distance, root_loss
from train.methods.footage import Footage, Rows, windows
from train.methods.projection import mirrored_lens, project
from train.models.videopose import JOINTS, MIRROR, VideoPose, flipped

RAY_LIMIT = 1.0


@dataclass(frozen=True)
class SemiConfig:
    """What of the method is used.

    Attributes:
        projection: Whether unlabelled poses have to project to their 2D joints.
        bones: "none", "l1" (absolute difference of mean lengths, as in VideoPose3D's public code) or "l2" (squared, as
            the paper's figure 3 calls it).
        warmup: Epochs on labelled data alone before the unlabelled join in (paper: 1, or 20 of a small set).
        batches: In an epoch.
        half: Windows in each half of a batch.
        mirror: Whether each half is mirrored at random.
    """

    projection: bool = True
    bones: str = "l1"
    warmup: int = 1
    batches: int = 100
    half: int = 512
    mirror: bool = True

    def __post_init__(self) -> None:
        """Raise ValueError for a bone term that does not exist."""
        if self.bones not in ("none", "l1", "l2"):
            raise ValueError(f"bones is none, l1 or l2, not {self.bones!r}")


def two_networks(kernels: tuple[int, ...], causal: bool, channels: int, dropout: float = 0.25) -> nn.ModuleDict:
    """Return "pose" and "trajectory" networks of one shape; they share nothing, for each worsens the other."""
    make = {"pose": JOINTS, "trajectory": 1}
    return nn.ModuleDict({k: VideoPose(kernels, causal, channels, dropout, joints) for k, joints in make.items()})


@torch.no_grad()
def begin_at_mean(networks: nn.ModuleDict, shots: Footage, labelled: npt.NDArray[np.bool_]) -> None:
    """Set the last biases to the labelled frames' mean pose and mean root: metres away is far for small steps."""
    xyz_m = shots.xyz_m[:, torch.from_numpy(labelled)].flatten(0, 1)
    networks["pose"].head.bias.copy_((xyz_m - xyz_m[:, :1]).mean(0).flatten())
    networks["trajectory"].head.bias.copy_(xyz_m[:, 0].mean(0))


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


def semi_losses(config: SemiConfig, networks: nn.Module, batch: Batch) -> dict[str, Tensor]:
    """Return the losses of a batch of `semi_epoch`; without `free_xy` in it, of the labelled half alone."""
    known, free = len(batch["xy"]), "free_xy" in batch
    xy = torch.cat([batch["xy"], batch["free_xy"]]) if free else batch["xy"]
    pose, trajectory = networks["pose"].strided(xy), networks["trajectory"].strided(xy)
    losses = {
        "position": distance(pose[:known], batch["pose_m"]).mean(),
        "trajectory": trajectory_loss(trajectory[:known, :, 0], batch["root_m"]),
    }
    if free and config.projection:
        losses["projection"] = backprojection_loss(
            pose[known:], trajectory[known:], batch["free_lens"], batch["free_target"], batch["free_score"]
        )
    if free and config.bones != "none":
        losses["bones"] = bone_term(pose[:known], pose[known:], config.bones)
    return losses


def trajectory_loss(root_m: Tensor, truth_m: Tensor) -> Tensor:
    """WMPJPE (equation 1): distance of roots (B, T, 3) as a share of the true depth, mean."""
    return root_loss(root_m, truth_m, torch.ones_like(truth_m[..., 0]))


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


def semi_epoch(
    shots: Footage, labelled: npt.NDArray[np.bool_], network: VideoPose, config: SemiConfig, seed: int, epoch: int
) -> Iterator[Batch]:
    """Yield an epoch's batches of random windows; without the unlabelled half while `epoch` < `config.warmup`.

    Args:
        shots: The training footage.
        labelled: (N,) frames whose truth may be read; the others are the unlabelled ones.
        network: Tells how many frames it sees.
        config: See SemiConfig; without projection and bone term there is never an unlabelled half.
        seed: Of the draw, together with `epoch`.
        epoch: Its number.

    Raises:
        ValueError: If no frame is labelled, or none is left for the other half.
    """
    known, free = np.flatnonzero(labelled), np.flatnonzero(~labelled)
    wants_free = config.projection or config.bones != "none"
    if not len(known) or (wants_free and not len(free)):
        raise ValueError(f"{len(known)} labelled and {len(free)} unlabelled frames; both halves need some")
    rng = np.random.default_rng([seed, epoch])
    for _ in range(config.batches):
        own = _half(shots, known, network, config, rng)
        batch = {name: own[name] for name in ("xy", "pose_m", "root_m")}
        if wants_free and epoch >= config.warmup:
            other = _half(shots, free, network, config, rng)
            batch |= {f"free_{name}": other[name] for name in ("xy", "target", "score", "lens")}
        yield batch


def _half(shots: Footage, frames: Rows, network: VideoPose, config: SemiConfig, rng: np.random.Generator) -> Batch:
    """Draw random frames and views, some mirrored, with everything there is to know about them."""
    view, frame = rng.integers(len(shots.screen), size=config.half), rng.choice(frames, config.half)
    after = network.look_ahead
    xy = windows(shots, view, frame, network.receptive_field - 1 - after, after)
    at = torch.from_numpy(view), torch.from_numpy(frame)
    xyz_m, score, lens = shots.xyz_m[at].unsqueeze(1), shots.score[at].unsqueeze(1), shots.lens[at[0]]
    if config.mirror:
        swap = torch.from_numpy(rng.random(config.half) < 0.5)
        xy[swap], xyz_m[swap], lens[swap] = flipped(xy[swap]), flipped(xyz_m[swap]), mirrored_lens(lens[swap])
        score[swap] = score[swap][..., MIRROR]
    target = xy[:, xy.shape[1] - 1 - after :][:, :1]
    root_m = xyz_m[:, :, 0]
    return {
        "xy": xy,
        "target": target,
        "score": score,
        "lens": lens,
        "pose_m": xyz_m - xyz_m[:, :, :1],
        "root_m": root_m,
    }
