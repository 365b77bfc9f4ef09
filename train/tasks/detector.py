"""Train the 2D detector: stage 1 the network on stills, stage 2 its memory on short sequences; write the .onnx."""

from __future__ import annotations

import argparse
import datetime
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from engines.spec import PEOPLE, EngineSpec, StateSpec, TensorSpec
from train.data.augment2d import AugmentConfig
from train.data.lspet import load_lspet
from train.data.people2d import Mixer, StillSet, batches, draw, load_shard
from train.export import export_model
from train.fit import Batch, FitConfig, fit
from train.losses2d import detector_losses
from train.metrics2d import pck
from train.models.detector import JOINTS, Detector, DetectorConfig, DetectorStep

WEIGHTS = Path("weights/movenet_lightning_f16.npz")
NAME = "detector-mnv2-tce64"
CROP_SCALE = 1.25
FROZEN = 6  # blocks of the encoder that are never trained: edges and textures, half of a step's cost
EXAMPLES = """examples:
  python -m train.tasks.label2d --out ../detector/labels            # teacher labels, once
  python -m train.tasks.detector --out ../detector --labels ../detector/labels --export new.onnx
  python -m train.tasks.detector --out ../detector --stage 2 --start ../detector/stage1/best.pt --labels ../labels
  python -m train.tasks.detector --start ../detector/stage2/best.pt --export new.onnx
  python -m train.tasks.detector --out ../free --labels ../detector/labels --rendered ../stills --no-lspet
"""


@dataclass(frozen=True)
class Stage:
    """What differs between the stages.

    Attributes:
        steps: Optimiser steps.
        frames: Length of a sequence.
        batch: Sequences per step.
        lr: Peak learning rate of new layers.
        encoder_scale: Of the encoder's rate; 0 = frozen.
        path_scale: Of the rate of MoveNet's feature path and heatmap head.
        shares: Of LSPET, clips and rendered people in a batch.
        calm: Factor on the chance of unusual crops: any angle, half bodies, occluders, far too large or small.
    """

    steps: int
    frames: int
    batch: int
    lr: float
    encoder_scale: float
    path_scale: float
    shares: tuple[float, float, float]
    calm: float = 1.0


STAGES = {
    1: Stage(1760, 1, 32, 8e-4, 0.25, 0.5, (0.60, 0.16, 0.24)),
    2: Stage(330, 5, 8, 8e-4, 0.0, 0.2, (0.50, 0.22, 0.28), calm=0.6),
}


def default_data() -> Path:
    """Return the data folder: POSESTREAM_DATA, or ../shared/data."""
    return Path(os.environ.get("POSESTREAM_DATA", "../shared/data"))


def load_sets(args: argparse.Namespace) -> list[list[StillSet]]:
    """Load LSPET, clips and whatever rendered shards exist by now; each may be empty."""
    noses = args.labels / "noses.npz" if args.labels else None
    noses = noses if noses and noses.exists() else None
    lspet = [] if args.no_lspet else [load_lspet(args.data / "images" / "lspet", held_out=False, noses=noses)]
    clips = [load_shard(p) for p in sorted(args.labels.glob("clip_train_*.npz"))] if args.labels else []
    rendered = [load_shard(p) for p in sorted(args.rendered.glob("*.npz"))] if args.rendered else []
    return [lspet, clips, rendered]


def mixer_maker(args: argparse.Namespace, stage: Stage) -> Callable[[int], Mixer]:
    """Return a function that builds the mixer anew, looking again for rendered shards."""

    def make(round_: int) -> Mixer:
        sets = []
        for kind, share in zip(load_sets(args), stage.shares, strict=True):
            people = sum(len(s) ** 0.5 for s in kind)  # a clip's frames are all alike: less than proportional
            sets += [(calmer(s, stage.calm), share * len(s) ** 0.5 / people) for s in kind]
        if not sets:
            raise SystemExit("nothing to train on: give --labels or --rendered, or drop --no-lspet")
        print("data: " + ", ".join(f"{s.name} {len(s)} ({share:.2f})" for s, share in sets), flush=True)
        return Mixer(sets, stage.frames, args.seed + 1000 * round_)

    return make


def calmer(stills: StillSet, factor: float) -> StillSet:
    """Return the set with unusual crops made rarer by the factor; motion from frame to frame stays."""
    was = stills.augment
    chances = {key: getattr(was, key) * factor for key in ("any_angle", "half_body", "occlude", "scale", "tilt")}
    return replace(stills, augment=replace(was, **chances))


def parameter_groups(model: Detector, stage: Stage) -> list[dict[str, Any]]:
    """Split the parameters by learning rate and freeze what is not trained."""
    scales: dict[float, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        scale = 1.0
        if name.startswith("tce.offset."):
            scale = 0.0 if stage.frames == 1 else 0.3  # a single frame cannot teach it what moves
        elif name.startswith("encoder."):
            part = name.split(".")[1]
            early = part == "stem" or (part.startswith("block") and int(part[5:]) < FROZEN)
            scale = 0.0 if early else stage.encoder_scale
        elif name.startswith(("path.", "fine.")):
            scale = stage.path_scale
        parameter.requires_grad_(scale > 0)
        if scale > 0:
            scales.setdefault(scale, []).append(parameter)
    return [{"params": parameters, "lr_scale": scale} for scale, parameters in scales.items()]


def held_out_check(args: argparse.Namespace, count: int = 400) -> Callable[[nn.Module], dict[str, float]] | None:
    """Return a function that scores a model on plain crops of held-out LSPET: 1 - PCK@0.2 of the torso."""
    if args.no_lspet:
        return None
    stills = load_lspet(args.data / "images" / "lspet", held_out=True)
    still = AugmentConfig(upright=0, any_angle=0, tilt=0, scale=0, shift=0, half_body=0, occlude=0)
    plain = replace(stills, augment=still)
    samples = [draw(np.random.default_rng(i), plain, i, 1, None) for i in range(min(count, len(plain)))]
    stacked = {key: torch.from_numpy(np.stack([s[key] for s in samples])) for key in samples[0]}

    @torch.no_grad()
    def evaluate(model: nn.Module) -> dict[str, float]:
        parts = [model(crops) for crops in stacked["crops"].split(40)]
        xy = torch.cat([p.xy for p in parts]).numpy()
        right = pck(xy, stacked["xy"][:, 0].numpy(), stacked["weight"][:, 0].numpy() > 0, 0.2, "torso")
        return {"score": 1 - right, "pck02_torso": right}

    return evaluate


def losses(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
    """Run the model on a batch and compare; half of the sequences' batches begin in the middle of a video."""
    middle = batch["crops"].shape[1] > 1 and bool(torch.rand(()) < 0.5)
    return detector_losses(model(batch["crops"], int(torch.randint(1, 4, ())) if middle else 0), batch)


def detector_spec(config: DetectorConfig, provenance: dict[str, Any]) -> EngineSpec:
    """Describe the exported graph."""
    width, height = config.input_wh
    state = (PEOPLE, config.channels, height // 16, width // 16)
    return EngineSpec(
        kind="detector",
        name=NAME,
        precision="fp32",
        inputs=(TensorSpec("crops", (PEOPLE, height, width, 3), "uint8", "RGB crops of one person each"),),
        outputs=(
            TensorSpec("xy", (PEOPLE, JOINTS, 2), "float32", "crop pixels, from the corner of the first"),
            TensorSpec("score", (PEOPLE, JOINTS), "float32", "probability that the joint is right, 0..1"),
        ),
        states=(
            StateSpec("hidden_in", "hidden_out", state, "float32"),
            StateSpec("memory_in", "memory_out", state, "float32"),
        ),
        keep="keep",
        skeleton="h36m17",
        settings={"input_wh": [width, height], "crop_scale": CROP_SCALE},
        provenance=provenance,
    )


def export_detector(model: Detector, path: Path, provenance: dict[str, Any]) -> float:
    """Write the .onnx file; return the largest difference from torch (pixels, scores and states alike).

    Raises:
        ExportError: If the file does not compute what the model computes.
    """
    generator = torch.Generator().manual_seed(0)
    width, height = model.config.input_wh
    state = (3, model.config.channels, height // 16, width // 16)
    inputs = {
        "crops": torch.randint(0, 256, (3, height, width, 3), generator=generator, dtype=torch.uint8),
        "keep": torch.tensor([1.0, 0.0, 1.0]),
        "hidden_in": torch.rand(state, generator=generator) - 0.5,
        "memory_in": torch.rand(state, generator=generator) - 0.5,
    }
    spec = detector_spec(model.config, provenance)
    return export_model(DetectorStep(model), inputs, spec, path, dynamic_people=True, tolerance=0.05)


def data_note(args: argparse.Namespace) -> str:
    """Return what the weights were made from, for the file's provenance."""
    parts = ["MoveNet SinglePose Lightning v4 ((c) Google, Apache-2.0; changed)"]
    parts += ["development clips labelled by MoveNet"] if args.labels else []
    parts += ["rendered people"] if args.rendered else []
    parts += [] if args.no_lspet else ["LSPET (no licence stated: research data inside)"]
    return "; ".join(parts)


def load_start(args: argparse.Namespace) -> Detector:
    """Return the model to begin with: a checkpoint's, or MoveNet's weights."""
    model = Detector()
    if args.start is None:
        return model.load_pretrained(args.data / WEIGHTS)
    model.load_state_dict(torch.load(args.start, weights_only=True)["model"])
    return model


def train_stage(args: argparse.Namespace, number: int, model: Detector) -> Detector:
    """Train one stage in OUT/stage<number>; return the averaged model."""
    stage, steps = STAGES[number], args.steps or STAGES[number].steps
    stage = replace(stage, batch=args.batch or stage.batch)
    folder = args.out / f"stage{number}"
    config = FitConfig(folder, steps, stage.lr, min(100, steps // 8), ema=0.995, log_every=20, eval_every=250)
    model = model.to(memory_format=torch.channels_last)
    groups = parameter_groups(model, stage)
    data = batches(mixer_maker(args, stage), stage.batch)
    return fit(config, model, data, losses, held_out_check(args), groups)


def main(argv: list[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        "train.tasks.detector",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--stage", type=int, choices=sorted(STAGES), help="1: stills; 2: sequences (default: both)")
    parser.add_argument("--out", type=Path, help="folder for checkpoints and logs; a stopped run goes on there")
    parser.add_argument("--start", type=Path, help="best.pt to begin with (default: MoveNet's weights)")
    parser.add_argument("--export", type=Path, help="write this .onnx from --start, after training if there is any")
    parser.add_argument("--data", type=Path, default=default_data(), help="data folder (default: %(default)s)")
    parser.add_argument("--labels", type=Path, help="folder written by train.tasks.label2d")
    parser.add_argument("--rendered", type=Path, help="folder of rendered shards (*.npz), looked through now and then")
    parser.add_argument("--no-lspet", action="store_true", help="train without LSPET, which states no licence")
    parser.add_argument("--steps", type=int, help="optimiser steps of a stage")
    parser.add_argument("--batch", type=int, help="sequences per step")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    if args.out is None and (args.stage or not args.export):
        parser.error("give --out, or --export with --start")
    torch.set_num_threads(args.threads)
    model = load_start(args)
    for number in [args.stage] if args.stage else sorted(STAGES) if args.out else []:
        model = train_stage(args, number, model)
    if args.export is not None:
        provenance = {"recipe": "train/tasks/detector.py", "data": data_note(args), "date": str(datetime.date.today())}
        model = model.to(memory_format=torch.contiguous_format)
        print(f"{args.export}: differs from torch by {export_detector(model, args.export, provenance):.2g}")


if __name__ == "__main__":
    main()
