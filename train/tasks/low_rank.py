"""Make a lifter's step faster: cut its large matrices to a rank, and write the file.

Measure what it costs with `posestream eval lifter --model FILE`. Training can go on from it (`train.tasks.lifter
--init FILE`).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from engines.modelfile import read_model
from engines.runtime import find_weights
from train.data.motion.mocap import data_root
from train.data.motion.motion_files import load_any
from train.deliver.checkpoints import origin
from train.measure.against_batch import from_file
from train.models.low_rank import thin
from train.tasks.lifter import evaluator, export

EXAMPLES = """examples:
  python -m train.tasks.low_rank lifter-tcn --rank 256 --out thin.onnx
  posestream eval lifter --model thin.onnx
"""


def main(argv: list[str] | None = None) -> None:
    """Run from the command line."""
    p = argparse.ArgumentParser(
        "train.tasks.low_rank",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("model", help="name or .onnx of a lifter")
    p.add_argument("--rank", type=int, default=256, help="(default: %(default)s)")
    p.add_argument("--data", type=Path, help="motion to measure by (default: $POSESTREAM_DATA/mocap, if it is there)")
    p.add_argument("--out", type=Path, required=True, help="the .onnx file")
    args = p.parse_args(argv)
    path = find_weights(args.model)
    model, facts = from_file(path), origin(path)
    before = sum(w.numel() for w in model.parameters())
    names = thin(model, args.rank)
    if not names:
        p.error(f"--rank {args.rank}: no matrix of {path.name} would become smaller")
    facts["thinned"] = {"rank": args.rank, "matrices": names}
    source = args.data or data_root() / "mocap"
    if args.data or source.exists():
        facts["val_30_fps"] = {k: round(v, 4) for k, v in evaluator(load_any(source, "val"))(model).items()}
        print(facts["val_30_fps"])
    gap = export(model, read_model(path).spec.name, args.out, facts)
    after = sum(w.numel() for w in model.parameters())
    print(f"{args.out}: {before / 1e6:.2f} -> {after / 1e6:.2f} million weights; differs from PyTorch by {gap:.2g}")


if __name__ == "__main__":
    main()
