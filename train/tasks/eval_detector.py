"""Measure a detector .onnx on pictures it never saw, beside MoveNet on the same boxes.

Held-out LSPET (sha1 of the file name), the free COCO pictures, any published set at hand; crops of empty pictures;
sequences made from held-out LSPET and held-out rendered clips, with an occlusion of ten frames; for steadiness, the
last thirds of the clips. MoveNet (float, one pass) gets a square of 1.25 x the box's longer side, MediaPipe the same.
"""

from __future__ import annotations

import argparse
import json
import time
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from engines.detector import Detector
from engines.runtime import open_engine
from train.data.motion.mocap import data_root
from train.data.people.annotated import STILL_READERS, VIDEO_READERS
from train.data.people.lspet import load_lspet
from train.data.people.mixes2d import WEIGHTS
from train.data.people.people2d import load_shard
from train.data.people.teacher import Teacher
from train.measure.calibrate import plot_reliability
from train.measure.differences import as_text, beside
from train.measure.evaluate2d import (
    MEMORY,
    Person,
    coco_people,
    empty_frames,
    ghosts,
    judged,
    lspet_people,
    measure,
    predict,
    reliability_of,
    set_people,
    steadiness,
)
from train.measure.report2d import write_sheets
from train.measure.sequences2d import Sequences, filtered, follow_with_engine, make_sequences, measure_sequences
from train.tasks.detector import NAME

EXAMPLES = """examples:
  python -m train.tasks.eval_detector
  python -m train.tasks.eval_detector --model ../detector/try.onnx --json eval.json --sheets ../detector/sheets
  python -m train.tasks.eval_detector --quick --no-movenet
  python -m train.tasks.eval_detector --mediapipe ../mediapipe/bin/python   # a venv with mediapipe==0.10.21
  python -m train.tasks.eval_detector --set coco ../coco --rendered ../render/val_clips --json eval.json
"""


def print_table(title: str, rows: dict[str, dict[str, float]]) -> None:
    """Print figures by model, one line per figure."""
    models = list(rows)
    print(f"\n{title:44}" + "".join(f"{m:>12}" for m in models))
    for figure in rows[models[0]]:
        print(f"{figure:44}" + "".join(f"{rows[m].get(figure, float('nan')):12.3f}" for m in models))


def print_beside(peers: dict[str, dict[str, list[float]]]) -> None:
    """Print differences from each peer, in points, and where 95 % of draws of people lie."""
    for peer, figures in peers.items():
        for figure, interval in figures.items():
            print(f"{f'beside {peer}: {figure}':60}{as_text(figure, interval)}")


def milliseconds(model: str, threads: int, people: int, rounds: int = 40) -> float:
    """Return the median time of one call."""
    engine = open_engine(model, "ort", threads)
    width, height = engine.spec.settings["input_wh"]
    crops = np.random.default_rng(0).integers(0, 256, (people, height, width, 3), np.uint8)
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        engine.run({"crops": crops}, list(range(people)))
        times.append(time.perf_counter() - start)
    engine.close()
    return float(np.median(times)) * 1e3


def parser() -> argparse.ArgumentParser:
    """Return the command's options."""
    p = argparse.ArgumentParser(
        "train.tasks.eval_detector",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--model", default=NAME, help="name or path of the .onnx (default: %(default)s)")
    p.add_argument("--data", type=Path, default=data_root(), help="data folder (default: %(default)s)")
    sets = ", ".join(STILL_READERS | VIDEO_READERS)
    p.add_argument("--set", nargs=2, action="append", default=[], metavar=("NAME", "DIR"), help=f"also one of: {sets}")
    p.add_argument("--rendered", type=Path, help="folder of held-out rendered clips, for sequences")
    p.add_argument("--json", type=Path, help="write all figures here")
    p.add_argument("--sheets", type=Path, help="folder for pictures: failures, reliability (do not pass LSPET on)")
    p.add_argument("--people", type=int, help="at most so many of each set")
    p.add_argument("--quick", action="store_true", help="150 people of each set, 20 sequences, no clips, no times")
    p.add_argument("--no-movenet", action="store_true", help="without MoveNet beside it")
    p.add_argument("--mediapipe", type=Path, metavar="PYTHON", help="also MediaPipe, in an environment that has it")
    return p


def people_of(args: argparse.Namespace) -> dict[str, list[Person]]:
    """Read the labelled people by the name of their set."""
    most = args.people or (150 if args.quick else None)
    lspet, readers = args.data / "images" / "lspet", STILL_READERS | VIDEO_READERS
    sources = {"LSPET held out": lspet_people(lspet), "free COCO": coco_people(args.data / "coco_free")}
    sources |= {f"{name} val": set_people(readers[name].load(Path(folder), "val")) for name, folder in args.set}
    return {name: list(islice(source, most)) for name, source in sources.items()}


def sequences_of(args: argparse.Namespace, crop_wh: tuple[int, int]) -> dict[str, Sequences]:
    """Make the sequences by name."""
    count = 20 if args.quick else 100
    stills = {"sequences from held-out LSPET": load_lspet(args.data / "images" / "lspet", held_out=True)}
    for path in sorted(args.rendered.glob("*.npz")) if args.rendered else ():
        stills[f"rendered clips {path.stem}"] = load_shard(path)
    return {name: make_sequences(part, count, crop_wh) for name, part in stills.items()}


def main(argv: list[str] | None = None) -> None:
    """Run from the command line."""
    args = parser().parse_args(argv)
    torch.set_num_threads(1)
    engine = open_engine(args.model, "ort", 1)
    detector, teacher = Detector(engine), None if args.no_movenet else Teacher(args.data / WEIGHTS)
    report: dict[str, object] = {"model": engine.spec.name, "sha256": engine.sha256}
    curves: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for name, people in people_of(args).items():
        found = predict(people, detector, teacher, args.mediapipe)
        report[name] = {**measure(people, found), "people": len(people), "reliability": reliability_of(people, found)}
        print_table(f"{name}: {len(people)} people", {model: report[name][model] for model in found})
        truth, labelled = np.stack([p.xy for p in people]), np.stack([p.labelled for p in people])
        report[name]["beside"] = beside(found, truth, labelled)
        print_beside(report[name]["beside"])
        right, known = judged(people, found["posestream"][0])
        curves[name] = (found["posestream"][1][known], right[known])
        if args.sheets:
            write_sheets(args.sheets, name.replace(" ", "_"), people, found)
    if args.sheets:
        plot_reliability(args.sheets / "reliability.png", curves)
    report["empty crops"] = ghosts(empty_frames(args.data, 120 if args.quick else 400, not args.quick), detector)
    print_table("empty crops", {"posestream": report["empty crops"]})
    for name, sequences in sequences_of(args, detector.crop_wh).items():
        kinds = {kind: follow_with_engine(engine, forget) for kind, forget in MEMORY.items()}
        kinds["filtered"] = filtered(kinds["memory"])
        report[name] = {kind: measure_sequences(sequences, follow) for kind, follow in kinds.items()}
        print_table(f"{name}: {len(sequences.crops)}", report[name])
    if not args.quick and teacher is not None:
        for clip in sorted((args.data / "clips").glob("*.m[pk][4v]")):
            report[clip.name] = steadiness(clip, detector, teacher)
            print_table(f"last third of {clip.name}", {"posestream": report[clip.name]})
    if not args.quick:
        report["ms"] = {f"{p} people, {t} threads": milliseconds(args.model, t, p) for p in (1, 2) for t in (1, 2)}
        print_table("median ms of a call", {"posestream": report["ms"]})
    if args.json:
        args.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
