"""posestream build: make TensorRT engines ahead of the first run, show them, throw them away."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from engines.device.cuda import Gpu, find_gpu
from engines.errors import EngineError
from engines.modelfile import read_model
from engines.plans.cache import EngineCache, cache_dir
from engines.plans.obtain import Loader, obtain, plan_key
from engines.plans.plan import PlanOptions, Progress, Toolkit, find_tensorrt
from engines.runtime import WEIGHTS_DIR, find_weights

PRECISIONS = {"fp32": "", "fp16": "-fp16", "int8": "-int8-trt"}
"""Precision -> what the name of the file ends with."""

SOURCE_KEY = "made_from_sha256"
"""In the provenance of a converted model: the hash of the fp32 file it was made from."""


def people_sizes(most: int) -> tuple[int, ...]:
    """Return the numbers of people to build for: powers of two up to `most`, and `most`."""
    return tuple(sorted({most, *(2**i for i in range(most.bit_length()) if 2**i <= most)}))


def variant(model: str, precision: str) -> Path:
    """Return the file of a model in a precision.

    Raises:
        EngineError: If there is none, or it was made from another fp32 file; the message has the command that makes it.
    """
    path = find_weights(model)
    if precision == "fp32":
        return path
    name, trouble = f"{path.stem}{PRECISIONS[precision]}.onnx", "there is no {} yet"
    for file in (path.parent / name, cache_dir() / "models" / name):
        if file.is_file():
            if read_model(file).spec.provenance.get(SOURCE_KEY) in (None, read_model(path).sha256):
                return file
            trouble = "{} was made from another version of its fp32 file"
    raise EngineError(f"{trouble.format(name)}; make it with: python -m train.tasks.precision {model}")


def build_one(path: Path, options: PlanOptions, cache: EngineCache, toolkit: Toolkit, gpu: Gpu | None) -> str:
    """Build the engine of one model if the cache has none that fits; return a line that says what came of it.

    Raises:
        EngineError: If it cannot be built or does not compute what it should.
    """
    model = read_model(path)
    key = plan_key(model, toolkit, gpu, options)
    verify = Loader(model, key, toolkit, cache, _say).verify if gpu is not None else None
    started = time.monotonic()
    with _progress_bar(path.stem) as progress:
        obtained = obtain(model, key, toolkit, cache, _say, progress, verify)
    size = f"{len(obtained.plan) / 1e6:.1f} MB"
    if not obtained.fresh:
        return f"{path.stem}: ready, {size} (built before)"
    line = f"{path.stem}: built in {obtained.facts['build_s']:.1f} s, {size}"
    if gpu is None:
        return f"{line}; not run: there is no NVIDIA driver here, so this checks the model only"
    return f"{line}; ready after {time.monotonic() - started:.1f} s"


@contextmanager
def _progress_bar(name: str) -> Iterator[Progress | None]:
    """Show the phase under way on a terminal; nothing elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (TextColumn("{task.fields[model]}"), BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("starting", model=name, total=None)
        yield lambda phase, done, steps: bar.update(task, description=phase, completed=done, total=steps or None)


def _show(cache: EngineCache) -> None:
    """Print one line per stored engine."""
    entries = cache.entries()
    current = {p.stem: read_model(p).sha256 for f in (WEIGHTS_DIR, cache_dir() / "models") for p in f.glob("*.onnx")}
    for entry in entries:
        key, facts = entry.facts["key"], entry.facts
        speed = f"{facts['speed']['p50_ms']:.2f} ms" if facts.get("speed") else "never run"
        people = f"people {','.join(map(str, key['people']))}" if key["people"] else ""
        gpu = key["gpu"] if key["gpu"] != "none" else "no GPU (checks only)"
        size, built = f"{facts['plan_bytes'] / 1e6:6.1f} MB", str(facts.get("built_utc", ""))[:16]
        where = f"{key['flavour']} {key['version']}  {gpu}"
        old = "  (of an older model file)" if current.get(key["model"], key["sha256"]) != key["sha256"] else ""
        sys.stdout.write(f"{key['model']:32} {size}  {built}  {where}  {people}  {speed}{old}\n")
    if not entries:
        sys.stdout.write(f"no engines in {cache.folder}\n")


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="posestream build", description="Build TensorRT engines for this machine's GPU."
    )
    parser.add_argument("models", nargs="*", metavar="MODEL", help="name of a shipped model or path of an .onnx file")
    parser.add_argument("--all", action="store_true", help="every shipped model")
    parser.add_argument(
        "--precision", choices=(*PRECISIONS, "all"), default="fp32", help="which file of each model (default: fp32)"
    )
    parser.add_argument("--people", type=int, default=8, help="most people at full speed (default: %(default)s)")
    parser.add_argument("--list", action="store_true", help="show the engines there are")
    parser.add_argument("--background", action="store_true", help=argparse.SUPPRESS)  # beside a live run
    parser.add_argument("--clean", action="store_true", help="delete all built engines")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; return the exit code."""
    parser = _parser()
    options = parser.parse_args(argv)
    cache = EngineCache()
    models = options.models + ([p.stem for p in sorted(WEIGHTS_DIR.glob("*.onnx"))] if options.all else [])
    precisions = list(PRECISIONS) if options.precision == "all" else [options.precision]
    if options.people < 1:
        parser.error("--people must be at least 1")
    if not (models or options.list or options.clean):
        parser.error("name at least one MODEL, or use --all, --list or --clean")
    try:
        if options.clean:
            count, freed = cache.clean()
            sys.stdout.write(f"deleted {count} files, {freed / 1e6:.1f} MB, from {cache.folder}\n")
        if models:
            with _beside_a_run(cache) if options.background else nullcontext():
                _build_all(models, precisions, PlanOptions(people_sizes(options.people)), cache)
        if options.list:
            _show(cache)
    except EngineError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("stopped; nothing half built is left\n")
        return 130
    return 0


@contextmanager
def _beside_a_run(cache: EngineCache) -> Iterator[None]:
    """Build at low priority, one builder after the other."""
    if hasattr(os, "nice"):
        os.nice(10)
    with cache.turn(_say):
        yield


def _build_all(models: list[str], precisions: list[str], options: PlanOptions, cache: EngineCache) -> None:
    paths = [variant(model, precision) for model in models for precision in precisions]
    toolkit = find_tensorrt()
    try:
        gpu: Gpu | None = find_gpu()
    except EngineError:
        gpu = None  # each line says so; the full TensorRT will refuse, the RTX flavour builds all the same
    for path in paths:
        sys.stdout.write(build_one(path, options, cache, toolkit, gpu) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
