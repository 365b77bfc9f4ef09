"""Export a checkpoint: to an .onnx file that every backend runs, and with --engine straight to a TensorRT engine.

    posestream export runs/tcn/best.pt --model lifter-tcn --out lifter-mine.onnx
    posestream export runs/tcn/best.pt --model lifter-tcn --out lifter-mine.onnx --engine

The engine is made by torch-tensorrt, proven against ONNX Runtime on recorded input, and put where
`--backend tensorrt` finds it. Without torch-tensorrt `posestream build lifter-mine.onnx` makes one from the file.
"""

from __future__ import annotations

import argparse
import datetime
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from engines.device.cuda import find_gpu
from engines.errors import EngineError
from engines.modelfile import read_model
from engines.plans.cache import EngineCache
from engines.plans.obtain import Loader, plan_key
from engines.plans.plan import PlanOptions, find_tensorrt
from train.deliver.checkpoints import Exportable, load, names, origin
from train.deliver.engine_export import converter, to_engine
from train.deliver.export import export_model


def store_engine(made: Exportable, path: Path, people: int) -> Path:
    """Make the engine of an exported model by torch-tensorrt, prove it, and keep it; return where it is.

    Raises:
        EngineError: If something is missing, or the engine does not compute what the file computes.
    """
    converter()
    gpu, toolkit, model, cache = find_gpu(), find_tensorrt(), read_model(path), EngineCache()
    key = plan_key(model, toolkit, gpu, PlanOptions(people=(people,)))
    started = time.monotonic()
    plan = to_engine(made.module, made.example_inputs, made.spec, people)
    seconds = round(time.monotonic() - started, 2)
    proven = Loader(model, key, toolkit, cache, _say).verify(plan)
    built_utc = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
    return cache.store(key, plan, {"built_utc": built_utc, "build_s": seconds, "by": "torch-tensorrt", **proven})


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="posestream export", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="best.pt, checkpoint.pt, or an .onnx file")
    parser.add_argument("--model", required=True, metavar="NAME", help=f"which network: {', '.join(names())}")
    parser.add_argument("--out", type=Path, help="the .onnx file (default: NAME.onnx here)")
    parser.add_argument("--engine", action="store_true", help="also a TensorRT engine, by torch-tensorrt")
    parser.add_argument("--people", type=int, default=1, help="rows of that engine (default: %(default)s)")
    options = parser.parse_args(argv)
    path = options.out or Path(f"{options.model}.onnx")
    try:
        if options.engine:
            converter()  # before the work, not after it
        note = {"exported": str(datetime.date.today()), "checkpoint": options.checkpoint.name}
        note = origin(options.checkpoint) | note
        made = load(options.model, options.checkpoint, note)
        gap = export_model(
            made.module, made.example_inputs, made.spec, path, made.dynamic_people, tolerance=made.tolerance
        )
        _say(f"{path}: {path.stat().st_size / 1e6:.1f} MB, within {gap:.2g} of the module")
        if options.engine:
            _say(f"engine: {store_engine(made, path, options.people)}")
    except EngineError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
