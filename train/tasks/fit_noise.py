"""Measure the shipped detector on people whose joints are known and fit `train.data.motion.noise2d` to it.

Rendered stills and clips (exact truth), the demo clip, held-out LSPET, the free COCO pictures, and the last thirds of
the real clips, where MoveNet's agreed joints stand for the truth. Prints the fitted numbers, to be copied into
noise2d.FITTED, and a table of measured against imitated figures, made with the numbers that are there now.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from engines.detector import Detector
from engines.runtime import open_engine
from train.data.motion.mocap import data_root
from train.data.motion.noise2d import FITTED
from train.data.motion.observed2d import (
    Observed,
    load_observed,
    of_clip,
    of_demo,
    of_person,
    of_shard,
    save_observed,
    upright,
)
from train.data.people.lspet import file_names
from train.data.people.teacher import Teacher
from train.measure.evaluate2d import coco_people, lspet_people
from train.noise.motion import fit
from train.noise.plot import plot_noise
from train.noise.table import imitate, table

DETECTOR, TEACHER = "detector-mnv2-tce64", Path("weights/movenet_lightning_f16.npz")
DEMO = Path(__file__).parents[2] / "pipeline"
CLIPS = {  # and every how many frames the teacher looks
    "pose_1.mp4": 2, "sports2d_demo.mp4": 2, "asl_book.mkv": 3, "asl_walk.mkv": 3, "one-by-one-person-detection.mp4": 5,
}  # fmt: skip
EXAMPLES = """examples:
  python -m train.tasks.render clips --split val --count 144 --per-shard 144 --first 77 --out render/clips
  python -m train.tasks.render stills --count 500 --first 3 --out render/stills
  python -m train.tasks.fit_noise --clips render/clips --stills render/stills --json noise.json --plot noise.png
  python -m train.tasks.fit_noise --observed seen.npz --json noise.json --plot noise.png   (no detector needed)
"""


def observe(args: argparse.Namespace) -> Iterator[Observed]:
    """Run the detector on everything there is."""
    detector = Detector(open_engine(args.model, "ort", 1))
    yield of_demo(detector, DEMO / "demo.mp4", DEMO / "demo_truth.npz")
    for shard in sorted(args.clips.glob("*.npz")) if args.clips else ():
        yield from of_shard(detector, shard, "rendered clips", 30.0)
    for shard in sorted(args.stills.glob("*.npz"))[-1:] if args.stills else ():
        yield from islice(of_shard(detector, shard, "rendered stills", 0.0), args.most)
    for number, person in enumerate(coco_people(args.data / "coco_free")):
        yield of_person(detector, "coco", str(number), person)
    lspet = args.data / "images" / "lspet"
    for name, person in zip(file_names(lspet, True), lspet_people(lspet), strict=True):
        one = of_person(detector, "lspet", name, person)
        yield replace(one, source="lspet upright") if upright(one) else one
    teacher = Teacher(args.data / TEACHER)
    for name, every in CLIPS.items():
        yield from of_clip(detector, teacher, args.data / "clips" / name, every)


def print_table(measured: dict[str, float], imitated: dict[str, float]) -> None:
    """Print figures side by side."""
    print(f"\n{'':58}{'measured':>10}{'imitated':>10}")
    for name, value in measured.items():
        print(f"{name:58}{value:10.3f}{imitated.get(name, float('nan')):10.3f}")


def parser() -> argparse.ArgumentParser:
    """Return the command's options."""
    p = argparse.ArgumentParser(
        prog="python -m train.tasks.fit_noise",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--model", default=DETECTOR, help="name or path of the detector (default: %(default)s)")
    p.add_argument("--data", type=Path, default=data_root(), help="data folder (default: %(default)s)")
    p.add_argument("--clips", type=Path, help="folder of rendered clips, of people not trained on")
    p.add_argument("--stills", type=Path, help="folder of rendered stills; the last shard is used")
    p.add_argument("--most", type=int, default=400, help="stills used (default: %(default)s)")
    p.add_argument("--observed", type=Path, help="read what the detector said from here, or write it if not there")
    p.add_argument("--copies", type=int, default=8, help="imitations of each sequence (default: %(default)s)")
    p.add_argument("--json", type=Path, help="write the fitted numbers and the table here")
    p.add_argument("--plot", type=Path, help="write a picture of the comparison here")
    return p


def main(argv: list[str] | None = None) -> int:
    """Run from the command line."""
    args = parser().parse_args(argv)
    torch.set_num_threads(1)
    if args.observed and args.observed.exists():
        material = load_observed(args.observed)
    else:
        material = [o for o in observe(args) if o.source == "clips" or np.isfinite(o.size_px).all()]
        if args.observed:
            save_observed(args.observed, material)
    model = fit(material)
    for name, value in asdict(model).items():
        print(f"{name:12} {value}\n{'  now':12} {getattr(FITTED, name)}")
    copy = imitate(material, copies=args.copies)
    measured, imitated = table(material), table(copy)
    print_table(measured, imitated)
    if args.json:
        args.json.write_text(
            json.dumps({"fitted": asdict(model), "measured": measured, "imitated": imitated}, indent=1)
        )
    if args.plot:
        plot_noise(args.plot, material, copy)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
