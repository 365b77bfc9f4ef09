"""Put the figures of `posestream eval lifter --json FILE` into the lifters' model card."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engines.marked import replace_part, table
from engines.runtime import WEIGHTS_DIR

PART = "lifter figures"
COLUMNS = {
    "MPJPE": ("mpjpe_mm", 1),
    "P-MPJPE": ("p_mpjpe_mm", 1),
    "N-MPJPE": ("n_mpjpe_mm", 1),
    "MPJVE /frame": ("mpjve_mm_per_frame", 1),
    "MPJVE /s": ("mpjve_mm_per_s", 0),
    "still /s": ("still_mm_per_s", 0),
    "acceleration /frame²": ("acceleration_error_mm", 1),
    "jitter": ("jitter_mm", 1),
    "truth's jitter": ("truth_jitter_mm", 1),
    "bone SD": ("bone_sd_mm", 1),
    "PCK 150 mm": ("pck_150mm", 3),
    "root, share of depth": ("root_error_share", 3),
}
BY_CLIP = ("worst limb's SD", "clips over 5 mm")


def markdown(reports: Sequence[Mapping[str, Any]]) -> str:
    """Return the tables of one or several lifters."""
    first = reports[0]
    parts = [f"{first['clips']} clips, {first['seconds']:g} s each, all lengths in mm.", ""]
    rows = [[_name(r), row["fps"], row["joints_2d"], *_cells(row)] for r in reports for row in r["by_rate"]]
    parts.append(table(["model", "fps", "2D joints", *COLUMNS, *BY_CLIP], rows))
    rows = [
        [_name(r), f"{row['missing']:.0%}", row["joints_2d"], *_cells(row)] for r in reports for row in r["by_missing"]
    ]
    parts += ["", "Joints missing at random, 30 frames a second:", ""]
    parts.append(table(["model", "missing", "2D joints", *COLUMNS, *BY_CLIP], rows))
    parts += ["", "MPJPE after a gap of so many frames, first frame and first ten (in brackets: without the gap):", ""]
    rows = []
    for report in reports:
        for row in report["by_dropped"]:
            cells = [f"{row[f'first_{n}_mm']:.1f} ({row[f'first_{n}_without_gap_mm']:.1f})" for n in (1, 10)]
            rows.append([_name(report), row["dropped"], row["joints_2d"], *cells])
    parts.append(table(["model", "dropped", "2D joints", "first frame", "first ten"], rows))
    parts += ["", "Step time:", ""]
    rows = [
        [_name(r), s["threads"], s["people"], f"{s['p50']:.2f}", f"{s['p95']:.2f}"]
        for r in reports
        for s in r["step_ms"]
    ]
    return "\n".join([*parts, table(["model", "threads", "people", "ms p50", "ms p95"], rows)])


def _name(report: Mapping[str, Any]) -> str:
    return str(report["model"]["name"])


def _cells(row: Mapping[str, Any]) -> list[str]:
    cells = [f"{row[key]:.{digits}f}" if key in row else "" for key, digits in COLUMNS.values()]
    return [*cells, f"{max(row['per_limb_worst_sd_mm'].values(), default=0.0):.1f}", str(row["unsteady_clips"])]


def main(argv: Sequence[str] | None = None) -> int:
    """Write the part between the marks."""
    p = argparse.ArgumentParser(prog="python -m train.tasks.lifter_card", description=__doc__)
    p.add_argument("reports", nargs="+", type=Path, help="JSON of posestream eval lifter")
    p.add_argument("--readme", type=Path, default=WEIGHTS_DIR / "README.md")
    args = p.parse_args(argv)
    reports = [report for path in args.reports for report in json.loads(path.read_text())]
    replace_part(args.readme, PART, markdown(reports))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
