"""Recipe: a single-frame lifter taught by pairs of views, no 3D truth (thesis ch. 3, train.methods.geometry)."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from engines.measure.metrics3d import mpjpe_mm, n_mpjpe_mm, p_mpjpe_mm
from train.data.motion.mocap import data_root
from train.data.motion.rigs import Camera, room_rig, virtual_rig
from train.loop.config import fraction, parse
from train.loop.fit import Batch, FitConfig, fit, steps_done
from train.methods.footage import Footage, both_splits
from train.methods.geometry import TwoBranch, pretrain_loss, reprojection_loss, transform_reprojection_loss
from train.methods.two_views import Standing, estimated_standing, known_standing, pair_batches, sides, standing_error

FPS = 10.0  # a single-frame lifter learns little from neighbouring frames
DROPS = (1 / 3, 2 / 3)  # thesis: the learning rate falls to a tenth at each 100 of 300 epochs
WEIGHTS = ("none", "source", "both")
EXAMPLES = """examples:
  python -m train.tasks.geometry --out runs/geometry
  python -m train.tasks.geometry --out runs/twelve --views 12 --extrinsics estimated --detector
  python -m train.tasks.geometry --out runs/paper --width 1024 --blocks 4 --dropout 0.25 --views 12 --steps 500000"""


@dataclass(frozen=True)
class GeometryConfig:
    """How a TwoBranch is trained.

    Attributes:
        out_dir: Holds `pretrain` and `main`, each with its checkpoint and logs.
        steps: With the re-projection losses; 300 epochs in the thesis.
        pretrain_steps: With the pre-training loss before; 20 epochs in the thesis.
        pairs: Pairs of views in a batch.
        lr: First learning rate.
        transform_weight: lambda of equation 3.7; 0 leaves the re-projection loss alone.
        weights: Confidences in the losses: "none", "source" (as printed in eq. 3.5) or "both" views'.
        grad_clip: Largest gradient norm. The thesis names none; without, a pair that lands near a camera's plane has a
            huge gradient: after 800 steps of pre-training 4 of 5 short trainings ran away, after 1200 none of 1.
        seed: Of weights and draws.
        tensorboard: Log for TensorBoard too.
    """

    out_dir: Path
    steps: int = 6000
    pretrain_steps: int = 1000
    pairs: int = 256
    lr: float = 1e-3
    transform_weight: float = 1.0
    weights: str = "source"
    grad_clip: float = 1.0
    seed: int = 0
    tensorboard: bool = False

    def stage(self, name: str, steps: int, drops: tuple[float, ...]) -> FitConfig:
        """Return the schedule of one of the two stages: plain Adam, as in the thesis (3.6.2)."""
        return FitConfig(
            self.out_dir / name, steps, drops, self.lr, warmup_steps=0, weight_decay=0, grad_clip=self.grad_clip,
            ema=0, bf16=False, log_every=200, eval_every=max(1, steps // 4), seed=self.seed,
            tensorboard=self.tensorboard,
        )  # fmt: skip


def train_geometry(
    config: GeometryConfig,
    model: TwoBranch,
    shots: Footage,
    standing: Standing,
    evaluate: Callable[[nn.Module], dict[str, float]] | None = None,
) -> nn.Module:
    """Pre-train (equation 3.6), then train (3.7); go on from the last checkpoint of either stage."""

    def before(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        first, second = sides(batch)
        return {"pretrain": pretrain_loss(*model.both(first, second), first, second)}

    def losses(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        first, second = sides(batch)
        poses = model.both(first, second)
        out = {"reprojection": reprojection_loss(*poses, first, second)}
        if config.transform_weight > 0:
            transformed = transform_reprojection_loss(*poses, first, second, config.weights == "both")
            out["transform"] = config.transform_weight * transformed
        return out

    for name, steps, drops, loss in (
        ("pretrain", config.pretrain_steps, (), before),
        ("main", config.steps, DROPS, losses),
    ):
        if steps:
            stage = config.stage(name, steps, drops)
            done = steps_done(stage.out_dir)
            source = pair_batches(shots, standing, config.pairs, config.seed, done, config.weights != "none")
            model = fit(stage, model, source, loss, evaluate if name == "main" else None)
    return model.eval()


@torch.no_grad()
def scores(model: nn.Module, shots: Footage) -> dict[str, float]:
    """Return MPJPE, P-MPJPE and N-MPJPE in mm over all frames and views; "score" is the first."""
    truth = shots.xyz_m.flatten(0, 1)
    pose = model.eval()(shots.screen.flatten(0, 1)).numpy()
    should = (truth - truth[:, :1]).numpy()
    metrics = {"mpjpe_mm": mpjpe_mm, "p_mpjpe_mm": p_mpjpe_mm, "n_mpjpe_mm": n_mpjpe_mm}
    if not np.isfinite(pose).all():  # a training that ran away
        return dict.fromkeys([*metrics, "score"], float("inf"))
    found = {name: metric(pose, should) for name, metric in metrics.items()}
    return {**found, "score": found["mpjpe_mm"]}


def rig(views: int, seed: int = 0) -> tuple[Camera, ...]:
    """Return 2 to 12 cameras: those of the room, then virtual ones (thesis, data augmentation).

    Raises:
        ValueError: If there are fewer than two.
    """
    if views < 2:
        raise ValueError(f"learning from geometry needs two views, not {views}")
    room = room_rig()[:views]
    more = views - len(room)
    return room + (virtual_rig(np.random.default_rng(seed), more) if more else ())


def parser() -> argparse.ArgumentParser:
    """Return the recipe's options."""
    p = argparse.ArgumentParser(
        prog="python -m train.tasks.geometry",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--out", type=Path, required=True, help="checkpoints and logs; an interrupted run goes on from here")
    p.add_argument("--data", type=Path, help="folder of motion.npz (default: $POSESTREAM_DATA/mocap)")
    p.add_argument("--views", type=int, default=4, help="cameras to learn from; beyond the room's 4 virtual ones")
    p.add_argument(
        "--extrinsics", choices=("known", "estimated"), default="known", help="estimated: from the 2D joints"
    )
    p.add_argument("--detector", action="store_true", help="imitated detections instead of the true 2D joints")
    p.add_argument("--weights", choices=WEIGHTS, default="source", help="confidences in the losses")
    p.add_argument("--transform-weight", type=float, default=1.0, help="lambda; 0: re-projection loss alone")
    p.add_argument("--width", type=int, default=256, help="1024 in the thesis")
    p.add_argument("--blocks", type=int, default=4)
    p.add_argument("--dropout", type=fraction, default=0.0)
    p.add_argument("--steps", type=int, default=6000)
    p.add_argument("--pretrain-steps", type=int, default=1000)
    p.add_argument("--pairs", type=int, default=256, help="pairs of views in a batch")
    p.add_argument("--lr", type=float, default=1e-3)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--seed", type=int, default=0)
    return p


def main(argv: list[str] | None = None) -> int:
    """Train and measure on people and with the room's cameras."""
    args = parse(parser(), argv)
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    folder = args.data or data_root() / "mocap"
    shots, val = both_splits(folder, rig(args.views), FPS, args.seed if args.detector else None)
    standing = known = known_standing(shots.cameras)
    if args.extrinsics == "estimated":
        standing = estimated_standing(shots, args.seed)
        angle, off_m = standing_error(standing, known)
        print(f"estimated extrinsics: {angle:.2f} degrees and {off_m * 1000:.0f} mm off on average", flush=True)
    config = GeometryConfig(
        args.out,
        args.steps,
        args.pretrain_steps,
        args.pairs,
        args.lr,
        args.transform_weight,
        args.weights,
        seed=args.seed,
        tensorboard=args.tensorboard,
    )
    model = TwoBranch(args.width, args.blocks, args.dropout)
    model = train_geometry(config, model, shots, standing, lambda m: scores(m, val))
    print({k: round(v, 2) for k, v in scores(model, val).items()}, flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
