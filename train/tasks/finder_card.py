"""Put the figures of `posestream eval finder --sweep --json FILE` into the finder's model card."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engines.marked import replace_part, table
from engines.runtime import WEIGHTS_DIR
from train.tasks.eval_finder import RARE

PART = "finder figures"


def markdown(report: Mapping[str, Any]) -> str:
    """Return the tables: each group at the file's threshold, and where ghosts are rare."""
    rare, rows = report[RARE], []
    for name, group in report["groups"].items():
        at_rare = rare.get(f"recall, {name}")
        rows.append([
            name, group["pictures"], group["people"], _percent(group["recall"]),
            round(group["ghosts_per_picture"] * group["pictures"]), _ghosts_empty(group), _number(group["iou"]),
            _percent(group["centre_error"]), "" if at_rare is None else _percent(at_rare),
        ])  # fmt: skip
    head = [
        "", "pictures", "people", "recall, %", "ghosts", "empty pictures with one", "mean IoU",
        "centre error, %", f"recall at {rare['threshold']:.2f}, 60 px and more, %",
    ]  # fmt: skip
    said = (
        f"Threshold {report['score_threshold']:g}. Last column: people of 60 px and more in 1280x720, at the threshold "
        f"({rare['threshold']:.2f}) that leaves one ghost in 1000 empty pictures, chosen on {rare['empty']} real ones. "
        f"One look at 1280x720, letterbox and suppression included: {report['milliseconds']:.0f} ms, one thread."
    )
    return f"{table(head, rows)}\n\n{said}"


def _percent(share: float) -> str:
    return "" if math.isnan(share) else f"{100 * share:.1f}"


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.2f}"


def _ghosts_empty(group: Mapping[str, float]) -> str:
    return f"{round(group['ghost_share_empty'] * group['empty'])} of {group['empty']}" if group["empty"] else ""


def main(argv: Sequence[str] | None = None) -> int:
    """Write the part between the marks."""
    p = argparse.ArgumentParser(prog="python -m train.tasks.finder_card", description=__doc__)
    p.add_argument("report", type=Path, help="JSON of posestream eval finder")
    p.add_argument("--readme", type=Path, default=WEIGHTS_DIR / "README.md")
    args = p.parse_args(argv)
    replace_part(args.readme, PART, markdown(json.loads(args.report.read_text())))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
