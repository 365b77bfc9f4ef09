"""Put a detector's weights between those it began with and those it was fine-tuned to.

The mean of both is often better than either, most of all on pictures unlike those that were trained on (Wortsman et
al., "Robust fine-tuning of zero-shot models", CVPR 2022). Both have to be of one architecture.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from train.loop.config import fraction
from train.loop.provenance import write_provenance
from train.tasks.detector import read_start

EXAMPLES = """examples:
  python -m train.tasks.blend detector-mnv2-tce64.onnx runs/d/stage2/best.pt --share 0.75 --out runs/blend
  posestream train detector --start runs/blend/best.pt --export new.onnx
"""
State = dict[str, Tensor]


def blended(before: State, after: State, share: float) -> State:
    """Return (1 - share) * before + share * after; what only `after` has, and whole numbers, are taken from it.

    Raises:
        ValueError: If a weight has another size in both.
    """
    out = {}
    for name, weight in after.items():
        old = before.get(name, weight)
        if old.numel() != weight.numel():
            raise ValueError(f"{name} has {tuple(old.shape)} before and {tuple(weight.shape)} after: other networks")
        out[name] = torch.lerp(old.view_as(weight), weight, share) if weight.is_floating_point() else weight
    return out


def main(argv: list[str] | None = None) -> None:
    """Run from the command line."""
    p = argparse.ArgumentParser(
        "train.tasks.blend", description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("before", type=Path, help="checkpoint or .onnx")
    p.add_argument("after", type=Path, help="checkpoint or .onnx")
    p.add_argument("--share", type=fraction, default=0.5, help="of the second one (default: %(default)s)")
    p.add_argument("--out", type=Path, required=True, help="folder for best.pt and its provenance")
    args = p.parse_args(argv)
    (_, facts, before), (_, later, after) = read_start(args.before), read_start(args.after)
    try:
        weights = blended(before, after, args.share)
    except ValueError as error:
        raise SystemExit(f"error: {error}") from None
    said = {"recipe": "train.tasks.blend", "share": args.share, "blended_with": facts}
    write_provenance(args.out, {**later, **said, "before": later}, 0)
    torch.save({"model": weights}, args.out / "best.pt")
    print(f"{args.out / 'best.pt'}: {args.share:g} of the way from {args.before} to {args.after}")


if __name__ == "__main__":
    main()
