"""Recipe: train a 3D lifter on motion capture seen by random cameras through an imitated 2D detector."""

from __future__ import annotations

import argparse
import datetime
import hashlib
import itertools
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engines.measure.metrics3d import mpjpe_mm, root_error_share
from train.data.motion.filmed import make_batch
from train.data.motion.mocap import Motion, data_root, even_takes, sample_takes
from train.data.motion.motion_files import load_any
from train.deliver.export import export_model, read_weights
from train.loop.config import fraction, parse
from train.loop.fit import Batch, FitConfig, fit, steps_done
from train.loop.provenance import read_provenance, write_provenance
from train.losses3d import acceleration_loss, bone_loss, position_loss, root_loss, velocity_loss
from train.models.lifter_io import Lifter, lifter_spec
from train.models.low_rank import take_ranks
from train.models.lstm import LstmLifter
from train.models.tcn import CausalTcn

MODELS: dict[str, Callable[..., Lifter]] = {"tcn": CausalTcn, "lstm": LstmLifter}
# Sequence lengths in frames; all begin without history. Short ones first: the frames of a long one are much alike,
# and a batch of many people teaches single poses several times faster.
LENGTHS = (4, 16, 48, 128, 256)
FIRST_SHARES, LAST_SHARES = (0.6, 0.25, 0.1, 0.05, 0.0), (0.1, 0.25, 0.3, 0.2, 0.15)
CREDIT = (
    "CMU Graphics Lab Motion Capture Database, mocap.cs.cmu.edu, created with funding from NSF EIA-0196217 "
    "(free for research and commercial use)",
    "ReActIdle, MIT, Copyright (c) 2025 RSAIT, arXiv 2509.05023",
)
EXAMPLES = """examples:
  python -m train.tasks.lifter --model tcn --data ../shared/data/mocap --out runs/tcn --steps 8000
  python -m train.tasks.lifter --model lstm --out runs/lstm --export engines/weights/lifter-lstm.onnx
  python -m train.tasks.lifter --model tcn --out runs/more --init engines/weights/lifter-tcn.onnx --lr 2e-4
  python -m train.tasks.lifter --model tcn --out runs/tcn --no-train --export lifter-tcn.onnx   (best so far)"""


def batches(motion: Motion, args: Namespace, done: int = 0) -> Iterator[Batch]:
    """Yield training batches of about `args.frames` answers each, ever longer over the first 60 % of `args.steps`."""
    rng = np.random.default_rng(args.seed + done)
    for step in itertools.count(done):
        progress = min(1.0, step / (0.6 * args.steps))
        shares = np.array(FIRST_SHARES) * (1 - progress) + np.array(LAST_SHARES) * progress
        length = int(rng.choice(LENGTHS, p=shares))
        take = sample_takes(motion, rng, max(2, args.frames // length), length + args.look_ahead)
        made = make_batch(take, rng, foreign=True, tripods=args.tripods)
        yield {name: torch.from_numpy(a) for name, a in made.items()}


def losses(model: Lifter, batch: Batch) -> dict[str, Tensor]:
    """Return the weighted losses of one batch; positions dominate."""
    pose, root = model.sequence(batch["xy"], batch["score"], batch["dt_s"])
    ahead = model.look_ahead  # row t answers for frame t - ahead
    pose, root, answered = pose[:, ahead:], root[:, ahead:], pose.shape[1] - ahead
    truth, dt_s = batch["pose_m"][:, :answered], batch["dt_s"][:, :answered]
    seen = (batch["score"][:, :answered] > 0).any(-1).float()
    return {
        "position": position_loss(pose, truth),
        "velocity": 2 * velocity_loss(pose, truth, dt_s),
        "acceleration": acceleration_loss(pose, truth, dt_s),
        "bones": 0.2 * bone_loss(pose, truth),
        "root": 0.2 * root_loss(root, batch["root_m"][:, :answered], seen),
    }


def evaluator(
    motion: Motion, length: int = 96, fps: float = 30.0, seed: int = 7
) -> Callable[[Lifter], dict[str, float]]:
    """Return a function that scores a lifter on fixed sequences, one of every clip, with true and detected 2D."""
    take = even_takes(motion, length, fps, range(len(motion.fps)))
    cases = {}
    for name, clean_share in (("truth2d", 1.0), ("detector2d", 0.0)):
        cases[name] = make_batch(take, np.random.default_rng(seed), clean_share)

    @torch.no_grad()
    def evaluate(model: Lifter) -> dict[str, float]:
        scores = {}
        for name, case in cases.items():
            pose, root = model.sequence(*(torch.from_numpy(case[k]) for k in ("xy", "score", "dt_s")))
            for key, found, score in (("pose_m", pose, mpjpe_mm), ("root_m", root, root_error_share)):
                truth = case[key][:, : length - model.look_ahead]
                scores[f"{name}_{score.__name__}"] = score(found[:, model.look_ahead :].numpy(), truth)
        scores["score"] = (scores["truth2d_mpjpe_mm"] + scores["detector2d_mpjpe_mm"]) / 2
        return scores

    return evaluate


def example_inputs(model: Lifter, rows: int = 3, seed: int = 0) -> dict[str, Tensor]:
    """Return inputs of the step, states included, for export and parity: one row begins, one has a missing joint."""
    rng = torch.Generator().manual_seed(seed)
    score = torch.rand(rows, 17, generator=rng)
    score[0, 5] = 0
    inputs = {
        "xy": torch.randn(rows, 17, 2, generator=rng) * 0.2,
        "score": score,
        "dt_s": torch.full((rows,), 1 / 30),
        "keep": (torch.arange(rows) != 1).float(),
    }
    for state in model.states():
        inputs[state.input] = torch.rand(rows, *state.shape[1:], generator=rng)
    return inputs


def export(model: Lifter, name: str, path: Path, provenance: dict[str, Any]) -> float:
    """Write a trained lifter as .onnx; return the largest difference (metres, states) from PyTorch."""
    spec = lifter_spec(name, model.states(), model.receptive_field, provenance, model.look_ahead)
    return export_model(model, example_inputs(model), spec, path, dynamic_people=True, tolerance=1e-3)


def begin_from(model: Lifter, path: Path) -> None:
    """Load the weights of an exported lifter that fit this one by name and shape; of a shorter head, its rows."""
    weights = read_weights(path)
    take_ranks(model, weights.items())
    own = model.state_dict()
    for name, weight in weights.items():
        if name in own and own[name].shape[1:] == weight.shape[1:]:
            own[name][: len(weight)] = weight
    model.load_state_dict(own)


def parser() -> argparse.ArgumentParser:
    """Return the recipe's options."""
    p = argparse.ArgumentParser(
        prog="python -m train.tasks.lifter",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--model", choices=sorted(MODELS), required=True)
    p.add_argument("--data", type=Path, help="motion in any form of train/data (default: $POSESTREAM_DATA/mocap)")
    p.add_argument("--out", type=Path, required=True, help="checkpoints and logs; an interrupted run goes on from here")
    p.add_argument("--steps", type=int, default=8000)
    p.add_argument("--frames", type=int, default=1024, help="frames in a batch")
    p.add_argument("--lr", type=float, default=1e-3)
    p.add_argument("--eval-every", type=int, default=500)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--look-ahead", type=int, default=0, help="frames that the answer lags behind; 0 to 3 are useful")
    p.add_argument("--tripods", type=fraction, default=0.5, help="share of cameras that stand still and level")
    p.add_argument("--init", type=Path, help="begin from the weights of this .onnx file, where they fit")
    p.add_argument("--export", type=Path, help="write the best model as .onnx")
    p.add_argument("--note", default="", help="kept in the exported file's provenance")
    p.add_argument("--no-train", action="store_true", help="only export what --out holds")
    return p


def main(argv: list[str] | None = None) -> int:
    """Train and export."""
    args = parse(parser(), argv)
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    model = MODELS[args.model](look_ahead=args.look_ahead)
    if args.init:
        begin_from(model, args.init)
    source = args.data or data_root() / "mocap"
    evaluate = evaluator(load_any(source, "val"))
    if not args.no_train:
        train(model, source, evaluate, args)
    best = torch.load(args.out / "best.pt", weights_only=True)["model"]
    take_ranks(model, best.items())
    model.load_state_dict(best)
    model.eval()
    scores = {k: round(v, 4) for k, v in evaluate(model).items()}
    print(scores, flush=True)
    if args.export:
        provenance = {**read_provenance(args.out), "val_30_fps": scores, "note": args.note}
        name = f"lifter-{args.model}" + (f"-ahead{args.look_ahead}" if args.look_ahead else "")
        gap = export(model, name, args.export, provenance)
        print(f"{args.export}: largest difference from PyTorch {gap:.2g}", flush=True)
    return 0


def train(model: Lifter, source: Path, evaluate: Callable[[Lifter], dict[str, float]], args: Namespace) -> None:
    """Train a lifter into `args.out`, from where an earlier run of it stopped."""
    config = FitConfig(
        args.out,
        args.steps,
        lr=args.lr,
        ema=0.999,
        eval_every=args.eval_every,
        seed=args.seed,
        log_every=min(100, args.steps),
        tensorboard=args.tensorboard,
    )
    done = steps_done(args.out)
    motion = load_any(source, "train")
    write_provenance(args.out, origin(args, source), done)
    fit(config, model, batches(motion, args, done), losses, evaluate)


def origin(args: Namespace, source: Path) -> dict[str, Any]:
    """Return what an exported file is to say of its making: recipe, what it began from, data, date."""
    words = f"--model {args.model} --steps {args.steps} --frames {args.frames} --lr {args.lr:g} --seed {args.seed}"
    words += f" --tripods {args.tripods:g}"
    if args.look_ahead:
        words += f" --look-ahead {args.look_ahead}"
    facts: dict[str, Any] = {"recipe": f"train.tasks.lifter {words}", "date": datetime.date.today().isoformat()}
    if args.init:
        facts["begun_from"] = f"{args.init.name}, sha256 {hashlib.sha256(args.init.read_bytes()).hexdigest()[:16]}"
    pack = source.is_dir() and (source / "motion.npz").exists()
    return facts | {"data": list(CREDIT) if pack else [f"motion read from {source.name}"]}


if __name__ == "__main__":
    raise SystemExit(main())
