"""Recipe of the person finder: train on people in many pictures and on many pictures without people, export.

Sources: LSPET (research data; leave it out with --no-lspet), the development clips before their held-out
thirds, rendered people, backgrounds. `coco_free` and every held-out part stay out.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from engines.modelfile import read_model
from engines.spec import EngineSpec, TensorSpec
from train.data.motion.mocap import data_root
from train.data.people.boxes import BoxBatches, ClipSource, LspetSource, ShardSource, Source
from train.data.people.boxes_augment import FILL, Scene, decode_rgb, letterboxed
from train.data.people.boxes_backgrounds import Backgrounds
from train.data.people.boxes_clips import PEOPLE, ROOMS, read_clip
from train.data.people.boxes_lspet import held_out, lspet_boxes
from train.deliver.export import export_model, read_weights
from train.errors import reading
from train.loop.config import parse
from train.loop.fit import Batch, FitConfig, fit, steps_done
from train.loop.provenance import read_provenance, write_provenance
from train.losses_boxes import box_loss, centre_loss
from train.models.finder import INPUT_WH, PEOPLE_MAX, Finder, FinderGraph, decode_boxes
from train.models.mobilenet import load_movenet, normalise

EXAMPLES = """examples:
  python -m train.tasks.finder --out runs/finder
  python -m train.tasks.finder --out runs/finder --no-lspet --rendered runs/render
  python -m train.tasks.finder --out runs/more --start engines/weights/finder-mnv2.onnx --lr 7e-4
  python -m train.tasks.finder --out runs/finder --export-only engines/weights/finder-mnv2.onnx --threshold 0.4
"""
ENCODER_RATE = 0.1  # of the learning rate: the encoder's features are good already


@dataclass(frozen=True)
class Sources:
    """Which folders to learn from; None leaves one out."""

    data: Path
    cache: Path
    lspet: bool = True
    rendered: Path | None = None


def batches(sources: Sources, batch: int, seed: int) -> BoxBatches:
    """Open all sources and mix them."""
    clips = [read_clip(sources.data / "clips" / name) for name in (*ROOMS, *PEOPLE)]
    frames: list[tuple[Source, float]] = [(ClipSource(clips), 0.45)]
    people: list[tuple[Source, float]] = [(ClipSource(clips), 0.2)]
    empties: list[tuple[Source, float]] = [
        (Backgrounds(sources.data / "backgrounds"), 0.55),
        (ClipSource(clips, empty=True), 0.45),
    ]
    if sources.lspet:
        folder = sources.data / "images" / "lspet"
        rows = lspet_boxes(folder, sources.data / "weights" / "FastestDet.onnx", sources.cache / "lspet_seen.npz")
        lspet = LspetSource(folder, [row for row in rows if not held_out(row.file)])
        frames.append((lspet, 0.3))
        people.append((lspet, 0.6))
    if sources.rendered is not None:
        frames.append((ShardSource(sources.rendered / "scenes"), 0.35))
        frames.append((ShardSource(sources.rendered / "stills"), 0.1))
        people.append((ShardSource(sources.rendered / "stills"), 0.25))
    return BoxBatches(frames, people, empties, INPUT_WH, batch, seed)


def losses(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
    """Return the losses of one batch of BoxBatches."""
    x = normalise(batch["image"]).contiguous(memory_format=torch.channels_last)
    logits, sides = model(x)
    boxes = decode_boxes(sides)
    return {
        "centre": centre_loss(logits, batch["centre"], batch["counted"]),
        "box": 2 * box_loss(boxes, batch["box"], batch["weight"]),
    }


def parameter_groups(model: Finder) -> list[dict[str, object]]:
    """Return the optimiser's groups: what is new, and the encoder at a smaller rate; frozen blocks are in neither."""
    encoder = [p for p in model.encoder.parameters() if p.requires_grad]
    new = [p for name, p in model.named_parameters() if not name.startswith("encoder.")]
    return [{"params": new}, {"params": encoder, "lr_scale": ENCODER_RATE}]


def finder_spec(threshold: float, provenance: dict[str, object]) -> EngineSpec:
    """Return the metadata of the shipped file."""
    width, height = INPUT_WH
    return EngineSpec(
        kind="finder",
        name="finder-mnv2",
        precision="fp32",
        inputs=(TensorSpec("image", (height, width, 3), "uint8", "RGB, scaled to fit and letterboxed"),),
        outputs=(
            TensorSpec("boxes_xyxy", (PEOPLE_MAX, 4), "float32", "pixels of the input, best first; visible extent"),
            TensorSpec("scores", (PEOPLE_MAX,), "float32", "0..1; several boxes per person possible: suppress by IoU"),
        ),
        settings={"input_wh": list(INPUT_WH), "score_threshold": threshold, "letterbox": "centre", "fill": FILL},
        provenance=provenance,
    )


def export(model: Finder, path: Path, threshold: float, provenance: dict[str, object], example: Tensor) -> float:
    """Write the .onnx file; return the largest difference to torch (pixels or score)."""
    graph = FinderGraph(model).eval()
    return export_model(graph, {"image": example}, finder_spec(threshold, provenance), path, False, tolerance=0.05)


def example_picture(data: Path) -> Tensor:
    """Return a letterboxed clip frame (H, W, 3) uint8 with people in it."""
    clip = read_clip(data / "clips" / "pose_1.mp4")
    scene = Scene(decode_rgb(clip.jpegs[0]), clip.boxes[0], clip.unclear[0])
    return torch.from_numpy(letterboxed(scene, INPUT_WH).image)


def train(args: argparse.Namespace) -> Finder:
    """Train from MoveNet's encoder or `--start`, or go on from the last checkpoint; return the averaged model."""
    torch.set_num_threads(args.threads)
    model = Finder()
    done = steps_done(args.out)
    sources = Sources(args.data, args.cache or args.out, args.lspet, args.rendered)
    with reading():
        if args.start:
            model.load_state_dict({k.removeprefix("net."): w for k, w in read_weights(args.start).items()})
        else:
            load_movenet(model.encoder, args.data / "weights" / "movenet_lightning_f16.npz")
        mixed = batches(sources, args.batch, args.seed + done)
    model = model.to(memory_format=torch.channels_last)
    loader = DataLoader(
        mixed,
        batch_size=None,
        num_workers=args.workers,
        prefetch_factor=4 if args.workers else None,
        worker_init_fn=_one_thread,
        # a forked copy of OpenCV's thread pool hangs
        multiprocessing_context="spawn" if args.workers else None,
    )
    write_provenance(args.out, provenance(args), done)
    config = FitConfig(
        args.out,
        args.steps,
        lr=args.lr,
        warmup_steps=100,
        ema=0.998,
        log_every=25,
        seed=args.seed,
        tensorboard=args.tensorboard,
    )
    stream: Iterator[Batch] = iter(loader)
    return fit(config, model, stream, losses, groups=parameter_groups(model))


def _one_thread(_: int) -> None:
    import cv2

    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def trained(out: Path) -> Finder:
    """Load the averaged model of a run's last checkpoint.

    Raises:
        FileNotFoundError: If the run has none yet.
    """
    model = Finder()
    model.load_state_dict(torch.load(out / "checkpoint.pt", weights_only=True)["averaged"])
    return model


def provenance(args: argparse.Namespace) -> dict[str, object]:
    """Return what the metadata says about where the weights come from."""
    learned_from = ["development clips, first two thirds", "backgrounds (CC0, MIT)"]
    learned_from += ["LSPET, nine tenths: research data inside"] if args.lspet else []
    learned_from += ["rendered people"] if args.rendered else []
    movenet = "MoveNet SinglePose Lightning v4, (c) Google, Apache-2.0: dequantised, fine-tuned"
    return {
        "recipe": "train.tasks.finder",
        "started_from": read_model(args.start).spec.provenance if args.start else movenet,
        "data": learned_from,
        "steps": args.steps,
        "batch": args.batch,
    }


def parser() -> argparse.ArgumentParser:
    """Return the recipe's options."""
    p = argparse.ArgumentParser(
        prog="python -m train.tasks.finder",
        description="Train the person finder and export it.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--data", type=Path, default=data_root(), help="data folder (default: %(default)s)")
    p.add_argument("--out", type=Path, required=True, help="run folder: checkpoints, log, finder-mnv2.onnx")
    p.add_argument("--start", type=Path, metavar="ONNX", help="finder to begin with (default: MoveNet's encoder)")
    p.add_argument("--cache", type=Path, help="where FastestDet's findings are kept (default: the run folder)")
    p.add_argument("--rendered", type=Path, help="folder with scenes/ and stills/ of rendered people")
    p.add_argument("--no-lspet", dest="lspet", action="store_false", help="leave the research data out")
    p.add_argument("--steps", type=int, default=1300, help="optimiser steps (default: %(default)s)")
    p.add_argument("--batch", type=int, default=12, help="pictures per step (default: %(default)s)")
    p.add_argument("--lr", type=float, default=1.5e-3, help="peak learning rate (default: %(default)s)")
    p.add_argument("--threads", type=int, default=1, help="torch threads (default: %(default)s)")
    p.add_argument("--workers", type=int, default=1, help="processes that prepare batches (default: %(default)s)")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--threshold", type=float, default=0.4, help="score threshold to store (default: %(default)s)")
    p.add_argument("--export-only", type=Path, metavar="ONNX", help="export the run's checkpoint to this file")
    return p


def main(argv: Sequence[str] | None = None) -> None:
    """Train and export, or only export."""
    args = parse(parser(), argv)
    model = trained(args.out) if args.export_only else train(args)
    path = args.export_only or args.out / "finder-mnv2.onnx"
    gap = export(model, path, args.threshold, read_provenance(args.out), example_picture(args.data))
    print(f"{path}: {path.stat().st_size / 2**20:.1f} MB, at most {gap:.2g} from torch")


if __name__ == "__main__":
    main()
