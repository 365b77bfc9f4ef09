"""Train the 2D detector: stage 1 the network on stills, stage 2 its memory on short sequences; write the .onnx."""

from __future__ import annotations

import argparse
import datetime
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from engines.modelfile import read_model
from train.data.motion.mocap import data_root
from train.data.people.annotated import STILL_READERS, VIDEO_READERS
from train.data.people.mixes2d import WEIGHTS, DataChoice
from train.deliver.export import export_model, read_weights
from train.errors import reading
from train.loop.config import fraction, parse
from train.losses2d import LOSSES
from train.measure.calibrate import load_curves
from train.models.compact import CompactDetector
from train.models.deconv import DeconvDetector
from train.models.detector import Detector, DetectorConfig
from train.models.family import FAMILY, build_detector
from train.models.memory import AGGREGATIONS
from train.models.resnet import load_imagenet
from train.models.streaming import DetectorStep
from train.recipe2d import STAGES, checkpoint_facts, network_from, train_stage

DEFAULT = "mnv2-tce64"
NAME = f"detector-{DEFAULT}"
EXAMPLES = """examples:
  python -m train.tasks.label2d --out ../detector/labels            # teacher labels, once
  python -m train.tasks.detector --out ../detector --labels ../detector/labels --export new.onnx
  python -m train.tasks.detector --out ../detector --stage 2 --start ../detector/stage1/best.pt --labels ../labels
  python -m train.tasks.detector --start ../detector/stage2/best.pt --export new.onnx --calibration curves.json
  python -m train.tasks.detector --out ../free --labels ../detector/labels --rendered ../stills --no-lspet
  python -m train.tasks.detector --out ../r50 --model r50-tce512 --imagenet resnet50.pth --set coco ../coco
"""


def choice_of(args: argparse.Namespace) -> DataChoice:
    """Return what the options say about data."""
    sets = tuple((name, Path(folder)) for name, folder in args.set)
    return DataChoice(args.data, args.labels, args.rendered, not args.no_lspet, sets)


def config_of(args: argparse.Namespace, trained: DetectorConfig | None = None) -> DetectorConfig:
    """Return the sizes of the network: one of the family, or those of a checkpoint; with the options' changes."""
    config = FAMILY[args.model or DEFAULT] if args.model or trained is None else trained
    names = ("aggregation", "neighbours", "stride", "multi_scale", "windowed", "bidirectional")
    given = {"stride": args.temporal_stride} | {n: getattr(args, n) for n in names if n != "stride"}
    memory = replace(config.memory, **{key: value for key, value in given.items() if value is not None})
    if args.loss == "regression":
        config = replace(config, head="regression")
    elif args.loss == "integral":
        config = replace(config, window=float("inf"), sharpness=1.0)
    elif args.loss == "heatmap":
        config = replace(config, sharpness=60.0)  # its maps end at 1
    return replace(config, memory=memory)


def read_start(path: Path) -> tuple[DetectorConfig, dict[str, Any], dict[str, torch.Tensor]]:
    """Return sizes, provenance and weights of a checkpoint, or of an exported .onnx file.

    Raises:
        EngineError: If an .onnx file is none of ours.
    """
    if path.suffix != ".onnx":
        return *checkpoint_facts(path), torch.load(path, map_location="cpu", weights_only=True)["model"]
    facts = read_model(path).spec.provenance
    return network_from(facts), facts, {k.removeprefix("detector."): w for k, w in read_weights(path).items()}


def load_start(args: argparse.Namespace) -> tuple[Detector, dict[str, Any]]:
    """Return the model to begin with, and where it comes from.

    A checkpoint's weights; where the memory is of another kind than the checkpoint's, that begins anew. Or MoveNet's
    weights, or ImageNet's, or none.
    """
    if args.start is None:
        model = build_detector(config_of(args))
        if isinstance(model, CompactDetector):
            origin = "MoveNet SinglePose Lightning v4 ((c) Google, Apache-2.0; changed)"
            return model.load_pretrained(args.data / WEIGHTS), {"started_from": [origin]}
        if args.imagenet and isinstance(model, DeconvDetector):
            load_imagenet(model.encoder, args.imagenet)
        return model, {"started_from": ["ImageNet" if args.imagenet else "random weights"]}
    trained, facts, state = read_start(args.start)
    model = build_detector(config_of(args, trained))
    own = model.state_dict()
    fitting = {k: v for k, v in state.items() if k in own and own[k].shape == v.shape}
    model.load_state_dict({**own, **fitting})
    new = sorted({k.split(".")[0] for k in own if k not in fitting})
    if new:
        print(f"{args.start}: begun anew: {', '.join(new)}", flush=True)
    return model, facts


def export_detector(model: Detector, name: str, path: Path, provenance: dict[str, Any], curves: Path | None) -> float:
    """Write the .onnx file; return the largest difference from torch (pixels, scores and states alike).

    Raises:
        ExportError: If the file does not compute what the model computes.
    """
    step = DetectorStep(model, load_curves(curves).module() if curves else None)
    spec = step.spec(name, provenance)
    return export_model(step, step.example_inputs(), spec, path, dynamic_people=True, tolerance=0.05)


def parser() -> argparse.ArgumentParser:
    """Return the command's options."""
    p = argparse.ArgumentParser(
        "train.tasks.detector",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--stage", type=int, choices=sorted(STAGES), help="1: stills; 2: sequences (default: both)")
    p.add_argument("--out", type=Path, help="folder for checkpoints and logs; a stopped run goes on there")
    p.add_argument("--start", type=Path, help="best.pt or .onnx to begin with (default: MoveNet's weights)")
    p.add_argument("--export", type=Path, help="write this .onnx from --start, after training if there is any")
    p.add_argument("--calibration", type=Path, help="curves of train.tasks.calibrate, for the exported scores")
    p.add_argument("--data", type=Path, default=data_root(), help="data folder (default: %(default)s)")
    p.add_argument("--labels", type=Path, help="folder written by train.tasks.label2d")
    p.add_argument("--rendered", type=Path, help="folder of rendered shards (*.npz), looked through now and then")
    p.add_argument("--no-lspet", action="store_true", help="train without LSPET, which states no licence")
    sets = ", ".join(STILL_READERS | VIDEO_READERS)
    p.add_argument(
        "--set", nargs=2, action="append", default=[], metavar=("NAME", "DIR"), help=f"a published set: {sets}"
    )
    net = p.add_argument_group("network")
    net.add_argument("--model", choices=sorted(FAMILY), help="(default: that of --start, or mnv2-tce64)")
    net.add_argument("--imagenet", type=Path, help="torchvision's state dict for a ResNet")
    net.add_argument("--aggregation", choices=AGGREGATIONS, help="of the memory")
    net.add_argument("--neighbours", type=int, help="frames of a window on each side")
    net.add_argument("--temporal-stride", type=int, help="between the frames of a window")
    for name in ("multi-scale", "windowed", "bidirectional"):
        net.add_argument(f"--{name}", action=argparse.BooleanOptionalAction, help="see train.models.memory")
    p.add_argument("--loss", choices=sorted(LOSSES), default="distribution", help="(default: %(default)s)")
    p.add_argument("--steps", type=int, help="optimiser steps of a stage")
    p.add_argument("--batch", type=int, help="sequences per step")
    p.add_argument("--lr", type=float, help="peak learning rate of new layers")
    p.add_argument("--erase", type=fraction, help="chance of random erasing")
    p.add_argument("--cut", type=fraction, help="chance that the picture ends on the person")
    p.add_argument("--calm", type=float, help="factor on how unusual crops are: angles, occluders, sizes")
    kinds = ("PHOTOS", "VIDEO", "RENDERED", "NOBODY")
    p.add_argument("--shares", type=float, nargs=4, metavar=kinds, help="of each kind in a batch")
    p.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="(default: %(default)s)")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--seed", type=int, default=0)
    return p


def main(argv: list[str] | None = None) -> None:
    """Run from the command line."""
    options = parser()
    args = parse(options, argv)
    if args.out is None and (args.stage or not args.export):
        options.error("give --out, or --export with --start")
    torch.set_num_threads(args.threads)
    with reading():
        model, facts = load_start(args)
    for number in [args.stage] if args.stage else sorted(STAGES) if args.out else []:
        keys = ("steps", "batch", "erase", "cut", "lr", "calm", "shares")
        given = {key: getattr(args, key) for key in keys if getattr(args, key) is not None}
        stage, folder = replace(STAGES[number], **given), args.out / f"stage{number}"
        family = args.model or facts.get("model", DEFAULT)
        began = {"recipe": f"train.tasks.detector, stage {number}", "model": family, "before": facts}
        model = model.to(args.device, memory_format=torch.channels_last)
        model = train_stage(model, stage, choice_of(args), folder, args.seed, args.loss, began, args.tensorboard)
        facts = checkpoint_facts(folder)[1]
    if args.export is not None:
        # the curves of a file that was begun with are not among its weights
        provenance = {k: v for k, v in facts.items() if k != "calibration"}
        provenance["exported"] = str(datetime.date.today())
        if args.calibration:
            provenance["calibration"] = args.calibration.name
        model = model.to("cpu", memory_format=torch.contiguous_format)
        name = f"detector-{args.model or facts.get('model', DEFAULT)}"
        gap = export_detector(model, name, args.export, provenance, args.calibration)
        print(f"{args.export}: differs from torch by {gap:.2g}")


if __name__ == "__main__":
    main()
