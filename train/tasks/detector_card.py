"""Put the figures of `posestream eval detector --json FILE` into the detector's model card.

The first file is the shipped model's. Further ones, of its fp16 and int8 forms, add a table that compares them, with
times that `train.tasks.precision --json` took side by side.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engines.marked import replace_part, table
from engines.runtime import WEIGHTS_DIR
from train.measure.differences import as_text
from train.measure.evaluate2d import CONFIRMED
from train.measure.metrics2d import GROUPS

PART = "detector figures"
PERCENT = (
    *(f"limbs pck@{share} {reference}" for reference in ("torso", "box") for share in (0.2, 0.1)),
    *(f"{group} pck@0.2 torso" for group in GROUPS),
    "left/right exchanged",
    CONFIRMED,
    "detected",
    "score calibration error",
)
PEERS = {"movenet": "MoveNet", "mediapipe": "MediaPipe"}
OTHERS = ("limbs pck@0.2 torso", "limbs pck@0.1 torso")  # what forms of other precision are compared by


def markdown(
    report: Mapping[str, Any], forms: Mapping[str, Mapping[str, Any]], speed: Mapping[str, Mapping[str, Any]]
) -> str:
    """Return the tables.

    Args:
        report: Of the shipped file.
        forms: Reports of its other forms, by name.
        speed: What `train.tasks.precision` measured, by form.
    """
    people = {name: part for name, part in report.items() if isinstance(part, dict) and "posestream" in part}
    return "\n\n".join(
        text
        for text in (
            _people(people),
            _beside(people),
            _sequences({name: part for name, part in report.items() if isinstance(part, dict) and "memory" in part}),
            _clips({name: part for name, part in report.items() if isinstance(part, dict) and "shake memory" in part}),
            _ghosts(report),
            _forms({"fp32": report, **forms}, list(people), speed) if forms else "",
        )
        if text
    )


def _people(sets: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the figures on labelled people, each set's columns side by side."""
    columns = [(name, model) for name, part in sets.items() for model in ("posestream", *PEERS) if model in part]
    heads = [PEERS.get(model, f"{name} ({sets[name]['people']})") for name, model in columns]
    rows = []
    for figure in PERCENT:
        cells = [sets[name][model].get(figure) for name, model in columns]
        rows.append([figure.replace("pck", "PCK"), *("" if c is None else f"{100 * c:.1f}" for c in cells)])
    return "In per cent of joints (last four rows: of people, of people, of people, points):\n\n" + table(
        ["", *heads], rows
    )


def _beside(sets: Mapping[str, Mapping[str, Any]]) -> str:
    """Return how far ahead of the peers, and how sure that is."""
    columns = [(name, peer) for name, part in sets.items() for peer in PEERS if peer in part.get("beside", {})]
    if not columns:
        return ""
    figures = sets[columns[0][0]]["beside"][columns[0][1]]
    rows = [
        [figure.replace("pck", "PCK"), *(as_text(figure, sets[name]["beside"][peer][figure]) for name, peer in columns)]
        for figure in figures
    ]
    head = (
        "Ahead of the others, in points (exchanges: ours by theirs), and where 95 % of 2,000 draws of people lie:\n\n"
    )
    return head + table(["", *(f"{name}: {PEERS[peer]}" for name, peer in columns)], rows)


def _sequences(parts: Mapping[str, Mapping[str, Any]]) -> str:
    """Return what memory and filter are worth on sequences with truth."""
    kinds = ("fresh", "memory", "filtered")
    rows = [
        [name, figure, *(f"{part[kind][figure]:.3f}" for kind in kinds)]
        for name, part in parts.items()
        for figure in part["memory"]
    ]
    head = (
        "Each frame taken as the first, with the memory, and with the filter of the joints behind it "
        "(`engines/joint_filter.py`; it leaves the scores alone), as runs have it; torso lengths, frames, shares:\n\n"
    )
    return head + table(["sequences", "", "alone", "memory", "memory, filter"], rows) if rows else ""


def _clips(parts: Mapping[str, Mapping[str, float]]) -> str:
    """Return steadiness on real clips, in thousandths of the box."""
    names = ("shake fresh", "shake memory", "shake filtered", "away memory")
    rows = [[clip, *(f"{1000 * part[n]:.1f}" for n in names)] for clip, part in parts.items()]
    head = "Last thirds of the clips, in thousandths of the person box:\n\n"
    titles = ["clip", "shake alone", "with memory", "with memory and filter", "distance from MoveNet's sure joints"]
    return head + table(titles, rows) if rows else ""


def _ghosts(report: Mapping[str, Any]) -> str:
    empty = report["empty crops"]
    said = f"{empty['ghosts']:.1%} of {empty['crops']} crops without a person are taken for one"
    return said + f" (mean score {empty['mean score']:.3f})."


def _forms(forms: Mapping[str, Mapping[str, Any]], sets: Sequence[str], speed: Mapping[str, Mapping[str, Any]]) -> str:
    """Return accuracy and speed of each precision, on the people whom all were measured on."""
    sets = [s for s in sets if all(s in one for one in forms.values())]
    rows = []
    for name, one in forms.items():
        cells = [f"{100 * one[s]['posestream'][figure]:.1f}" for s in sets for figure in OTHERS]
        rows.append([name, *cells, f"{speed[name]['ms']:.1f}" if name in speed else ""])
    heads = [f"{s}: {figure.replace('pck', 'PCK')}" for s in sets for figure in OTHERS]
    return "Precisions, ONNX Runtime, one person on one thread:\n\n" + table(["", *heads, "ms"], rows)


def main(argv: Sequence[str] | None = None) -> int:
    """Write the part between the marks."""
    p = argparse.ArgumentParser(prog="python -m train.tasks.detector_card", description=__doc__.splitlines()[0])
    p.add_argument("report", type=Path, help="JSON of posestream eval detector, of the shipped file")
    p.add_argument("--form", nargs=2, action="append", default=[], metavar=("NAME", "JSON"), help="another precision")
    p.add_argument("--speed", type=Path, help="JSON of train.tasks.precision")
    p.add_argument("--readme", type=Path, default=WEIGHTS_DIR / "README.md")
    args = p.parse_args(argv)
    forms = {name: json.loads(Path(path).read_text()) for name, path in args.form}
    report = json.loads(args.report.read_text())
    speed = json.loads(args.speed.read_text())[report["model"]] if args.speed else {}
    replace_part(args.readme, PART, markdown(report, forms, speed))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
