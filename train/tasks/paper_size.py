"""Export the detector at its paper's size with random weights, carried and windowed, to measure speed.

Two files of about 470 MB each go into the cache folder, where `posestream build` and `python -m engines.bench --all`
find them as detector-r50-tce512 and detector-r50-tce512-window6. With --small the same graphs with few channels.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from engines.cache import cache_dir
from engines.spec import PEOPLE
from train.export import export_model
from train.models.paper_size import PaperDetector

TOLERANCE_PX = 0.05


def export(window: int, small: bool, out_dir: Path) -> tuple[Path, float]:
    """Write one form; return the file and the largest difference from the module."""
    torch.manual_seed(0)
    net = PaperDetector(*((16, 16) if small else (512, 256)), window=window).eval()
    name = f"detector-r50-tce{net.channels}" + (f"-window{window}" if window else "")
    width, height = net.input_wh
    inputs = {"crops": torch.randint(0, 255, (2, height, width, 3), dtype=torch.uint8), "keep": torch.ones(2)}
    inputs |= {s.input: torch.rand([2 if n == PEOPLE else int(n) for n in s.shape]) - 0.5 for s in net.states()}
    path = out_dir / f"{name}.onnx"
    return path, export_model(net, inputs, net.spec(name), path, dynamic_people=True, tolerance=TOLERANCE_PX)


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
