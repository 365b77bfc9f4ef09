"""Recipe: VideoPose3D's networks (pose and trajectory) on motion capture filmed by a room's or by random cameras."""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from engines.measure.metrics3d import mpjpe_mm, mpjve_mm_per_frame, p_mpjpe_mm, root_error_share
from train.data.motion.mocap import Float, data_root
from train.data.motion.rigs import Camera, room_rig, virtual_rig
from train.data.motion.room import RoomClip, room_clips
from train.data.motion.windows import Track, Windows
from train.loop.config import parse
from train.loop.epochs import EpochConfig, fit_epochs
from train.loop.fit import Batch
from train.losses3d import distance
from train.models.videopose import KERNELS, VideoPose, momentum_at, with_flip
from train.models.videopose_stream import VideoPoseStream, centred, export_stream, filled_sequence
from train.tasks.lifter import CREDIT

VIRTUAL_VIEWS = 12
EXAMPLES = """examples:
  posestream train videopose --frames 243 --out runs/vp243 --channels 1024 --epochs 80   (the paper's size)
  posestream train videopose --frames 27 --full --channels 256 --epochs 10 --out runs/vp27
  posestream train videopose --frames 81 --out runs/vp81 --rig virtual --detector --export vp81.onnx"""


def tracks_of(clips: Sequence[RoomClip]) -> list[Track]:
    """Return every view of every clip with ray coordinates; missing joints are held at their last place."""
    tracks = []
    for clip in clips:
        for view in clip.views:
            rays = (view.xy_px - view.camera.centre_px) / view.camera.focal_px
            tracks.append(Track(held(rays.astype(np.float32), view.score), view.score, view.xyz_m, clip.action))
    return tracks


def held(xy: Float, score: Float) -> Float:
    """Return joints (T, 17, 2) with missing ones at their last place, as the streams see them."""
    return filled_sequence(torch.from_numpy(xy)[None], torch.from_numpy(score)[None])[0].numpy()


def pose_loss(pose: Tensor, batch: Batch) -> Tensor:
    """Mean error (B, T, 17, 3) over joints and the targets that count, metres (MPJPE)."""
    counts = batch["counts"]
    return (distance(pose, batch["pose_m"]).mean(-1) * counts).sum() / counts.sum().clamp(min=1)


def trajectory_loss(root: Tensor, batch: Batch) -> Tensor:
    """Error of the root (B, T, 1, 3) over its true depth, mean over the targets that count (equation 1)."""
    counts, truth = batch["counts"], batch["root_m"]
    share = distance(root.squeeze(-2), truth) / truth[..., 2].clamp(min=0.1)
    return (share * counts).sum() / counts.sum().clamp(min=1)


def losses(networks: nn.Module, batch: Batch) -> dict[str, Tensor]:
    """Return the losses of a ModuleDict of "pose" and, if it is there, "trajectory"."""
    parts = {}
    for name, loss in (("pose", pose_loss), ("trajectory", trajectory_loss)):
        if name in networks:
            network = networks[name]
            strided = batch["counts"].shape[1] == 1
            parts[name] = loss(network.strided(batch["xy"]) if strided else network.dilated(batch["xy"]), batch)
    return parts


def set_momentum(networks: nn.Module, momentum: float) -> None:
    """Set the batch-norm momentum of every network in a ModuleDict."""
    for network in networks.children():
        network.set_momentum(momentum)


def train_networks(
    config: EpochConfig,
    networks: nn.Module,
    tracks: Sequence[Track],
    batch: int,
    chunk: int,
    targets: int | None = None,
    evaluate: Callable[[nn.Module], dict[str, float]] | None = None,
    flip: str = "half",
) -> nn.Module:
    """Train a ModuleDict with a "pose" network as the paper says, on `batch` targets in chunks of `chunk`."""
    pose = networks["pose"]
    source = Windows(tracks, pose.receptive_field, pose.look_ahead)

    def epoch_batches(epoch: int) -> Iterator[Batch]:
        rng = np.random.default_rng([config.seed, epoch])
        return source.epoch(rng, max(1, batch // chunk), chunk, targets, flip)

    def before_epoch(model: nn.Module, epoch: int) -> None:
        set_momentum(model, momentum_at(epoch, config.epochs))

    return fit_epochs(config, networks, epoch_batches, losses, before_epoch, evaluate)


@torch.no_grad()
def predict(network: nn.Module, track: Track, flip: bool = False) -> Float:
    """Return a network's output (T, joints_out, 3) over a whole track, each frame with the edges repeated."""
    xy = torch.from_numpy(track.xy)[None]
    return (with_flip(network, xy) if flip else network(xy))[0].numpy()


def scores(networks: nn.Module, tracks: Sequence[Track], flip: bool = False) -> dict[str, float]:
    """Return MPJPE, P-MPJPE, MPJVE (mm) and, with a trajectory network, the root's error over all frames."""
    poses = [centred(torch.from_numpy(predict(networks["pose"], t, flip))).numpy() for t in tracks]
    truth = [t.pose_m for t in tracks]
    frames = np.array([len(t) for t in truth])
    out = {
        "mpjpe_mm": mpjpe_mm(np.concatenate(poses), np.concatenate(truth)),
        "p_mpjpe_mm": p_mpjpe_mm(np.concatenate(poses), np.concatenate(truth)),
        "mpjve_mm_per_frame": float(np.average(_each(mpjve_mm_per_frame, poses, truth), weights=frames - 1)),
    }
    if "trajectory" in networks:
        roots = np.concatenate([predict(networks["trajectory"], t)[:, 0] for t in tracks])
        out["root_error_share"] = root_error_share(roots, np.concatenate([t.xyz_m[:, 0] for t in tracks]))
    return out


def _each(metric: Callable[[Float, Float], float], poses: list[Float], truth: list[Float]) -> list[float]:
    return [metric(p, t) if len(p) > 1 else 0.0 for p, t in zip(poses, truth, strict=True)]


def rig(name: str, seed: int) -> tuple[Camera, ...]:
    """Return the cameras of `--rig`."""
    return room_rig() if name == "room" else virtual_rig(np.random.default_rng(seed), VIRTUAL_VIEWS)


def parser() -> argparse.ArgumentParser:
    """Return the recipe's options."""
    p = argparse.ArgumentParser(
        prog="posestream train videopose",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--frames", type=int, choices=sorted(KERNELS), required=True, help="receptive field")
    p.add_argument("--full", action="store_true", help="symmetric (looks ahead) instead of causal")
    p.add_argument("--out", type=Path, required=True, help="checkpoint and log; an interrupted run goes on from here")
    p.add_argument("--data", type=Path, help="folder of motion.npz (default: $POSESTREAM_DATA/mocap)")
    p.add_argument("--rig", choices=("room", "virtual"), default="room", help="4 fixed cameras, or 12 random views")
    p.add_argument("--detector", action="store_true", help="imitated detections instead of the true 2D joints")
    p.add_argument("--fps", type=float, default=30.0)
    p.add_argument("--channels", type=int, default=1024)
    p.add_argument("--epochs", type=int, default=80)
    p.add_argument("--targets", type=int, help="frames in an epoch (default: all)")
    p.add_argument("--batch", type=int, default=1024, help="targets in a batch")
    p.add_argument("--chunk", type=int, default=1, help="neighbouring targets; 1 = strided form, as in the paper")
    p.add_argument("--lr", type=float, default=1e-3)
    p.add_argument("--lr-decay", type=float, default=0.95, help="factor per epoch")
    p.add_argument("--no-trajectory", action="store_true", help="no root network: the root by least squares")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--export", type=Path, help="write the model as .onnx, one step per frame")
    return p


def build(args: argparse.Namespace) -> nn.ModuleDict:
    """Return the networks that the options ask for, drawn from the seed."""
    torch.manual_seed(args.seed)
    make = {"pose": 17} if args.no_trajectory else {"pose": 17, "trajectory": 1}
    kernels, causal = KERNELS[args.frames], not args.full
    return nn.ModuleDict({k: VideoPose(kernels, causal, args.channels, joints_out=j) for k, j in make.items()})


def main(argv: list[str] | None = None) -> int:
    """Train, measure and export."""
    args = parse(parser(), argv)
    torch.set_num_threads(args.threads)
    folder = args.data or data_root() / "mocap"
    noise = (args.seed, args.seed + 1) if args.detector else (None, None)
    train, val = (
        tracks_of(room_clips(folder, split, rig(args.rig, 0), args.fps, seed))
        for split, seed in zip(("train", "val"), noise, strict=True)
    )
    networks = build(args)
    config = EpochConfig(args.out, args.epochs, args.lr, args.lr_decay, seed=args.seed, tensorboard=args.tensorboard)
    train_networks(config, networks, train, args.batch, args.chunk, args.targets, lambda m: scores(m, val))
    found = {k: round(v, 4) for k, v in scores(networks, val).items()}
    print(found, "with flip:", {k: round(v, 4) for k, v in scores(networks, val, flip=True).items()}, flush=True)
    if args.export:
        stream = VideoPoseStream(networks["pose"], None if args.no_trajectory else networks["trajectory"])
        kind = "full" if args.full else "causal"
        provenance = {
            "recipe": f"train.tasks.videopose --frames {args.frames} --channels {args.channels} --epochs {args.epochs}",
            "data": list(CREDIT),
            "date": datetime.date.today().isoformat(),
            "val": found,
        }
        gap = export_stream(stream, f"lifter-videopose{args.frames}-{kind}", args.export, args.fps, provenance)
        print(f"{args.export}: largest difference from PyTorch {gap:.2g}", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
