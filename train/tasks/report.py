"""`posestream train report`: the curves and errors of training runs on one page."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from train.measure.report_runs import load_runs, page, picture

EXAMPLES = """A run's folder holds log.csv and val.csv. What `posestream eval lifter --json RUN_DIR/errors.json` wrote
there is shown, too.

examples:
  posestream train report runs/tcn
  posestream train report runs/tcn runs/lstm --out compared.html
  posestream train report runs/* --out curves.png
"""


def parser() -> argparse.ArgumentParser:
    """Return the command's options."""
    p = argparse.ArgumentParser(
        "posestream train report",
        description="Curves and errors of training runs, side by side on one page.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("runs", nargs="+", type=Path, metavar="RUN_DIR", help="folders of training runs")
    p.add_argument("--out", type=Path, default=Path("report.html"), help=".html or .png (default: %(default)s)")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Write the page; returns the exit code."""
    options = parser()
    args = options.parse_args(argv)
    if args.out.suffix not in (".html", ".png"):
        options.error(f"--out ends in .html or .png, not {args.out.suffix or 'nothing'}")
    try:
        runs = load_runs(args.runs)
        args.out.parent.mkdir(parents=True, exist_ok=True)
        if args.out.suffix == ".png":
            picture(runs, args.out)
        else:
            args.out.write_text(page(runs))
    except (ValueError, OSError) as error:
        sys.stderr.write(f"posestream: {error}\n")
        return 2
    print(f"{args.out}: {len(runs)} {'run' if len(runs) == 1 else 'runs'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
