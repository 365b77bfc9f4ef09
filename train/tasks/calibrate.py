"""Fit a detector's scores to held-out people, so that a score is the probability that its joint is right.

The curves (JSON) go into the exported graph with `posestream train detector --start best.pt --export new.onnx
--calibration curves.json`. The error printed is that of curves fitted on every second person, on the others; the curves
written are fitted on all. Give a model that is not calibrated yet.
"""

from __future__ import annotations

import argparse
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from engines.detector import Detector
from engines.runtime import open_engine
from train.data.motion.mocap import data_root
from train.data.people.annotated import STILL_READERS, VIDEO_READERS
from train.measure.calibrate import fit_curves, plot_reliability
from train.measure.evaluate2d import (
    Person,
    coco_people,
    empty_frames,
    judged,
    lspet_people,
    nobody_people,
    predict,
    set_people,
)
from train.measure.metrics2d import calibration_error

EMPTY = 100  # boxes without a person: about as many as people who are hard to see
EXAMPLES = """examples:
  python -m train.tasks.calibrate --model new.onnx --out curves.json --plot reliability.png
  python -m train.tasks.calibrate --model new.onnx --out curves.json --set coco ../coco --people 3000
"""


def gather(args: argparse.Namespace) -> list[Person]:
    """Read the held-out people, and held-out backgrounds in which nobody is."""
    readers, people = STILL_READERS | VIDEO_READERS, list[Person]()
    sources = [] if args.no_lspet else [lspet_people(args.data / "images" / "lspet")]
    sources += [coco_people(args.data / "coco_free")] if (args.data / "coco_free").is_dir() else []
    sources += [set_people(readers[name].load(Path(folder), "val")) for name, folder in args.set]
    if (args.data / "backgrounds").is_dir():
        sources.append(nobody_people(empty_frames(args.data, 2 * EMPTY, clip_too=False)))
    for source in sources:
        people += islice(source, args.people)
    return people


def parser() -> argparse.ArgumentParser:
    """Return the command's options."""
    p = argparse.ArgumentParser(
        "train.tasks.calibrate",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--model", required=True, help="an .onnx that was exported without --calibration")
    p.add_argument("--out", type=Path, required=True, help="the curves, JSON")
    p.add_argument("--plot", type=Path, help="reliability before and after, PNG")
    p.add_argument("--data", type=Path, default=data_root(), help="data folder (default: %(default)s)")
    p.add_argument("--set", nargs=2, action="append", default=[], metavar=("NAME", "DIR"), help="also a published set")
    p.add_argument("--people", type=int, help="at most so many of each set")
    p.add_argument("--no-lspet", action="store_true")
    return p


def main(argv: list[str] | None = None) -> None:
    """Run from the command line."""
    options = parser()
    args = options.parse_args(argv)
    torch.set_num_threads(1)
    engine = open_engine(args.model, "ort", 1)
    if "calibration" in engine.spec.provenance:
        options.error(f"{args.model} is calibrated already: export it anew without --calibration")
    people = gather(args)
    xy, score = predict(people, Detector(engine), None)["posestream"]
    right, known = judged(people, xy)
    first = np.arange(len(people)) % 2 == 0
    curves = fit_curves(score[first], right[first], known[first])
    rest, fitted = known[~first], curves.apply(score[~first])
    before = (score[~first][rest], right[~first][rest])
    after = (fitted[rest], right[~first][rest])
    gap = f"{calibration_error(*before):.4f} -> {calibration_error(*after):.4f}"
    print(f"{len(people)} people; calibration error {gap}")
    if args.plot:
        plot_reliability(args.plot, {"as trained": before, "calibrated": after})
    fit_curves(score, right, known).save(args.out)


if __name__ == "__main__":
    main()
