"""Recipe: VideoPose3D's networks from few labels and much unlabelled video (back-projection, train.methods.semi)."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from engines.measure.metrics3d import mpjpe_mm, n_mpjpe_mm, p_mpjpe_mm, root_error_share
from train.data.motion.mocap import Float, data_root
from train.data.motion.rigs import room_rig
from train.loop.config import fraction, parse
from train.loop.epochs import EpochConfig, fit_epochs
from train.loop.fit import Batch
from train.methods.footage import Footage, both_splits, windows
from train.methods.semi import SemiConfig, begin_at_mean, labelled_frames, semi_epoch, semi_losses, two_networks
from train.models.videopose import KERNELS, VideoPose, momentum_at

EVALUATE_EVERY = 3  # frames; neighbours in time say the same
AT_ONCE = 2048
EXAMPLES = """examples:
  python -m train.tasks.semi --labels 0.05 --out runs/semi
  python -m train.tasks.semi --labels 0.05 --no-projection --bones none --out runs/supervised   (for comparison)
  python -m train.tasks.semi --labels 0.1 --frames 81 --channels 1024 --epochs 80 --batches 500 --out runs/semi81"""


def train_semi(
    fit: EpochConfig,
    networks: nn.ModuleDict,
    shots: Footage,
    labelled: npt.NDArray[np.bool_],
    config: SemiConfig,
    val: Footage | None = None,
    settle: bool = True,
) -> nn.Module:
    """Train "pose" and "trajectory" as the paper does: AMSGrad, learning rate falling per epoch, momentum schedule.

    Args:
        fit: Epochs, learning rate, seed and folder.
        networks: From `two_networks`.
        shots: The training footage.
        labelled: (N,) the frames whose truth is read.
        config: The method's options.
        val: Scored after each epoch, if given.
        settle: Whether the batch-norm momentum falls to 0.001 as in the paper; with only some hundred batches in all
            the statistics would then stay behind the weights.
    """

    def epoch_batches(epoch: int) -> Iterator[Batch]:
        return semi_epoch(shots, labelled, networks["pose"], config, fit.seed, epoch)

    def before_epoch(model: nn.Module, epoch: int) -> None:
        for network in model.children():
            network.set_momentum(momentum_at(epoch if settle else 0, fit.epochs))

    def losses(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        return semi_losses(config, model, batch)

    begin_at_mean(networks, shots, labelled)
    return fit_epochs(fit, networks, epoch_batches, losses, before_epoch, (lambda m: scores(m, val)) if val else None)


@torch.no_grad()
def lifted(network: VideoPose, shots: Footage, frames: npt.NDArray[np.int64]) -> Float:
    """Return a network's output (V, F, joints_out, 3) for some frames of every view."""
    after, parts = network.look_ahead, []
    view, frame = (a.ravel() for a in np.meshgrid(np.arange(len(shots.screen)), frames, indexing="ij"))
    for first in range(0, len(view), AT_ONCE):
        some = slice(first, first + AT_ONCE)
        xy = windows(shots, view[some], frame[some], network.receptive_field - 1 - after, after)
        parts.append(network.strided(xy)[:, 0].numpy())
    return np.concatenate(parts).reshape(len(shots.screen), len(frames), network.joints_out, 3)


def scores(networks: nn.Module, shots: Footage) -> dict[str, float]:
    """Return MPJPE, P-MPJPE and N-MPJPE in mm (protocols 1 to 3) and the root's error, over every third frame."""
    frames = np.arange(0, len(shots.begin), EVALUATE_EVERY)
    truth = shots.xyz_m[:, frames].numpy()
    pose = lifted(networks["pose"], shots, frames)
    pose, truth_pose = pose - pose[:, :, :1], truth - truth[:, :, :1]
    return {
        "mpjpe_mm": mpjpe_mm(pose, truth_pose),
        "p_mpjpe_mm": p_mpjpe_mm(pose, truth_pose),
        "n_mpjpe_mm": n_mpjpe_mm(pose, truth_pose),
        "root_error_share": root_error_share(lifted(networks["trajectory"], shots, frames)[:, :, 0], truth[:, :, 0]),
    }


def parser() -> argparse.ArgumentParser:
    """Return the recipe's options."""
    p = argparse.ArgumentParser(
        prog="python -m train.tasks.semi",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--out", type=Path, required=True, help="checkpoint and log; an interrupted run goes on from here")
    p.add_argument("--data", type=Path, help="folder of motion.npz (default: $POSESTREAM_DATA/mocap)")
    p.add_argument("--labels", type=fraction, default=0.05, help="share of the training frames that have labels")
    p.add_argument("--no-projection", action="store_true", help="without the re-projection loss")
    p.add_argument("--bones", choices=("none", "l1", "l2"), default="l1", help="the bone-length term")
    p.add_argument("--frames", type=int, choices=sorted(KERNELS), default=27, help="receptive field")
    p.add_argument("--causal", action="store_true", help="look at past frames only")
    p.add_argument("--channels", type=int, default=1024)
    p.add_argument("--epochs", type=int, default=80)
    p.add_argument("--warmup", type=int, default=1, help="epochs on labelled frames alone")
    p.add_argument("--batches", type=int, default=200, help="in an epoch")
    p.add_argument("--half", type=int, default=512, help="windows in each half of a batch")
    p.add_argument("--lr", type=float, default=1e-3)
    p.add_argument("--lr-decay", type=float, default=0.95, help="factor per epoch")
    p.add_argument("--detector", action="store_true", help="imitated detections instead of the true 2D joints")
    p.add_argument("--fps", type=float, default=30.0)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--seed", type=int, default=0)
    return p


def main(argv: list[str] | None = None) -> int:
    """Train and measure."""
    args = parse(parser(), argv)
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    folder = args.data or data_root() / "mocap"
    shots, val = both_splits(folder, room_rig(), args.fps, args.seed if args.detector else None)
    labelled = labelled_frames(shots, args.labels, args.seed)
    print(f"{labelled.sum()} of {len(labelled)} frames have labels", flush=True)
    config = SemiConfig(not args.no_projection, args.bones, args.warmup, args.batches, args.half)
    fit = EpochConfig(args.out, args.epochs, args.lr, args.lr_decay, seed=args.seed, tensorboard=args.tensorboard)
    networks = two_networks(KERNELS[args.frames], args.causal, args.channels)
    train_semi(fit, networks, shots, labelled, config, val)
    print({k: round(v, 4) for k, v in scores(networks, val).items()}, flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
