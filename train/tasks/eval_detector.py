"""Measure the shipped detector .onnx on pictures it never saw, beside MoveNet on the same boxes.

Held-out LSPET (sha1 of the file name), the free COCO pictures, sequences made from held-out LSPET, and, for
steadiness, the last thirds of the clips. MoveNet (float, one pass) gets a square of 1.25 x the box's longer side.
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
from train.data.teacher import Teacher
from train.evaluate2d import coco_people, lspet_people, measure, predict, sequences, steadiness
from train.report2d import write_sheets
from train.tasks.detector import NAME, WEIGHTS, default_data

EXAMPLES = """examples:
  python -m train.tasks.eval_detector
  python -m train.tasks.eval_detector --model ../detector/try.onnx --json eval.json --sheets ../detector/sheets
  python -m train.tasks.eval_detector --quick
"""


def print_table(title: str, rows: dict[str, dict[str, float]]) -> None:
    """Print figures by model, one line per figure."""
    models = list(rows)
    print(f"\n{title:44}" + "".join(f"{m:>12}" for m in models))
    for figure in rows[models[0]]:
        print(f"{figure:44}" + "".join(f"{rows[m].get(figure, float('nan')):12.3f}" for m in models))


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


def main(argv: list[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        "train.tasks.eval_detector",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", default=NAME, help="name or path of the .onnx (default: %(default)s)")
    parser.add_argument("--data", type=Path, default=default_data(), help="data folder (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="write all figures here")
    parser.add_argument("--sheets", type=Path, help="folder for overview pictures (LSPET: not to be handed on)")
    parser.add_argument("--quick", action="store_true", help="150 LSPET pictures, no clips")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    engine = open_engine(args.model, "ort", 1)
    detector, teacher = Detector(engine), Teacher(args.data / WEIGHTS)
    lspet = args.data / "images" / "lspet"
    report: dict[str, object] = {"model": engine.spec.name, "sha256": engine.sha256}
    for name, source in (("LSPET held out", lspet_people(lspet)), ("free COCO", coco_people(args.data / "coco_free"))):
        people = list(islice(source, 150 if args.quick else None))
        found = predict(people, detector, teacher)
        report[name] = measure(people, found)
        print_table(f"{name}: {len(people)} people", report[name])
        if args.sheets:
            write_sheets(args.sheets, name.replace(" ", "_"), people, found)
    report["sequences"] = sequences(lspet, detector)
    print_table("sequences from held-out LSPET", {"posestream": report["sequences"]})
    for clip in [] if args.quick else sorted((args.data / "clips").glob("*.m[pk][4v]")):
        report[clip.name] = steadiness(clip, detector, teacher)
        print_table(f"last third of {clip.name}", {"posestream": report[clip.name]})
    report["ms"] = {f"{p} people, {t} threads": milliseconds(args.model, t, p) for p in (1, 2) for t in (1, 2)}
    print_table("median ms of a call", {"posestream": report["ms"]})
    if args.json:
        args.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
