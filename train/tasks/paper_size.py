"""Export the detector at its paper's size with random weights, carried and windowed, to measure speed.

Two files of about 470 MB each go into the cache folder, where `posestream build` and
`python -m engines.measure.bench --all` find them as detector-r50-tce512 and detector-r50-tce512-window6. With --small
the same graphs with few channels.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import torch

from engines.plans.cache import cache_dir
from train.deliver.export import export_model
from train.models.family import FAMILY, build_detector
from train.models.streaming import DetectorStep

TOLERANCE_PX = 0.05


def export(window: int, small: bool, out_dir: Path) -> tuple[Path, float]:
    """Write one form; return the file and the largest difference from the module."""
    torch.manual_seed(0)
    config = FAMILY["r50-tce512"]
    if small:
        config = replace(config, channels=16, branch=16, deconv=16)
    detector = build_detector(config).in_form(windowed=window > 0, bidirectional=False, neighbours=window)
    step = DetectorStep(detector.eval())
    name = f"detector-r50-tce{config.channels}" + (f"-window{window}" if window else "")
    spec = step.spec(name, {"weights": "random: for measuring speed only"})
    path = out_dir / f"{name}.onnx"
    return path, export_model(step, step.example_inputs(2), spec, path, dynamic_people=True, tolerance=TOLERANCE_PX)


def main(argv: list[str] | None = None) -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m train.tasks.paper_size", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=cache_dir() / "models", help="folder (default: %(default)s)")
    parser.add_argument("--window", type=int, default=6, help="past frames of the windowed form (default: %(default)s)")
    parser.add_argument("--small", action="store_true", help="few channels, to try the way to the engine")
    options = parser.parse_args(argv)
    for window in (0, options.window):
        path, worst = export(window, options.small, options.out)
        size_mb = path.stat().st_size / 1e6
        sys.stdout.write(f"{path.name}: {size_mb:.0f} MB, within {worst:.2g} of the module\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
