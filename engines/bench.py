"""How fast engines are: latency per model, number of people and way of running, as a table and as JSON.

`python -m engines.bench` measures what is there: ONNX Runtime everywhere; TensorRT, plain and with CUDA
graphs, where there is a GPU. On a GPU machine this is the whole table of a release:

    posestream build --all && python -m engines.bench --all --json bench_gpu.json
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engines.errors import EngineError
from engines.parity import Frames, recorded_frames
from engines.runtime import WEIGHTS_DIR, Engine, find_weights, open_engine

WARM_UP = 10


@dataclass(frozen=True)
class Timing:
    """Milliseconds of one call, host to host: upload, network and download included."""

    runs: int
    p50_ms: float
    p95_ms: float
    p99_ms: float


@dataclass(frozen=True)
class Row:
    """One line of the table; `mode` is "cpu", "plain" or "graph"; `floor_share` how near to what memory allows."""

    model: str
    precision: str
    backend: str
    mode: str
    people: int
    timing: Timing
    floor_share: float | None


def measure(engine: Engine, frames: Frames, runs: int) -> Timing:
    """Time calls after a warm-up; the state goes on from frame to frame as in life."""
    keys = range(len(next(iter(frames[0].values())))) if engine.spec.states else ()
    times = []
    for i in range(WARM_UP + runs):
        frame = frames[i % len(frames)]
        started = time.perf_counter()
        engine.run(frame, keys)
        times.append((time.perf_counter() - started) * 1e3)
    p50, p95, p99 = np.percentile(times[WARM_UP:], [50, 95, 99]).round(4).tolist()
    return Timing(runs, p50, p95, p99)


def bench_model(model: str, backend: str, people: list[int], runs: int, bandwidth_gb_s: float) -> Iterator[Row]:
    """Measure one model on one backend.

    Args:
        model: Name or path.
        backend: "ort" or "tensorrt".
        people: Numbers of people to measure; a finder is measured once.
        runs: Calls per figure.
        bandwidth_gb_s: Of the GPU's memory; 0 = leave out the share of the floor.
    """
    engine = open_engine(model, backend)
    # weights are read once per frame: no frame can take less than their bytes at the memory's speed
    floor_ms = find_weights(model).stat().st_size / (bandwidth_gb_s * 1e6) if bandwidth_gb_s else 0.0
    try:
        for count in people if engine.spec.kind != "finder" else [1]:
            frames = recorded_frames(engine.spec, count)
            for mode in ("cpu",) if backend == "ort" else ("plain", "graph"):
                if mode != "cpu":
                    engine.use_graphs(mode == "graph")  # type: ignore[attr-defined]  # the TensorRT engine's own
                timing = measure(engine, frames, runs)
                share = floor_ms / timing.p50_ms if floor_ms else None
                yield Row(engine.spec.name, engine.spec.precision, engine.backend, mode, count, timing, share)
    finally:
        engine.close()


def goals(rows: list[Row]) -> list[str]:
    """Say whether the table meets what an H200 should: see the limits in the lines themselves."""
    by = {(r.model, r.precision, r.mode, r.people): r.timing.p50_ms for r in rows if r.mode == "graph"}
    lines = []
    for precision in ("fp32", "fp16", "int8"):
        pair = [ms for (m, p, _, n), ms in by.items() if p == precision and n == 1 and ("tce64" in m or "tcn" in m)]
        if len(pair) == 2:
            lines.append(_verdict(f"{precision} detector + lifter, 1 person", sum(pair), 0.5, "ms"))
        for (model, p, mode, n), ms in by.items():
            one = by.get((model, p, mode, 1))
            if "tce512" in model and n == 1 and p == precision:
                form, limit = ("windowed", 1.5) if "window" in model else ("carried", 1.0)
                lines.append(_verdict(f"{precision} paper-size detector, {form}", ms, limit, "ms"))
            if n == 8 and p == precision and one:
                lines.append(_verdict(f"{precision} {model}, 8 people over 1", ms / one, 2.0, "times"))
    return lines


def _verdict(what: str, value: float, limit: float, unit: str) -> str:
    return f"{'met' if value < limit else 'NOT met'}: {what}: {value:.2f} {unit} (goal: under {limit} {unit})"


def main(argv: list[str] | None = None) -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m engines.bench", description="Latency of models on this machine.")
    parser.add_argument("models", nargs="*", metavar="MODEL", help="name of a shipped model or path of an .onnx file")
    parser.add_argument("--all", action="store_true", help="every shipped model, and every converted one in the cache")
    parser.add_argument("--backend", choices=("ort", "tensorrt"), default="tensorrt")
    parser.add_argument("--people", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--runs", type=int, default=300, help="calls per figure (default: %(default)s)")
    parser.add_argument("--bandwidth", type=float, default=0.0, help="GPU memory bandwidth in GB/s (H200: 4800)")
    parser.add_argument("--json", type=Path, help="write the table here too")
    options = parser.parse_args(argv)
    models = options.models + (_all_models(options.backend) if options.all else [])
    if not models:
        parser.error("name at least one MODEL, or use --all")
    rows: list[Row] = []
    failed = False
    for model in models:
        try:
            for row in bench_model(model, options.backend, options.people, options.runs, options.bandwidth):
                rows.append(row)
                _say(_line(row))
        except EngineError as error:  # the others are still worth measuring
            failed = True
            sys.stderr.write(f"error: {error}\n")
    if options.json and rows:
        options.json.write_text(json.dumps(_document(rows), indent=1))
    for line in goals(rows):
        _say(line)
    return 1 if failed else 0


def _all_models(backend: str) -> list[str]:
    """Return every model there is, but for the int8 form of the other backend."""
    from engines.cache import cache_dir

    other = "-int8-trt" if backend == "ort" else "-int8-ort"
    folders = (WEIGHTS_DIR, cache_dir() / "models")
    return [str(p) for f in folders for p in sorted(f.glob("*.onnx")) if not p.stem.endswith(other)]


def _line(row: Row) -> str:
    t, share = row.timing, "" if row.floor_share is None else f"  {row.floor_share:4.0%} of the floor"
    times = f"{t.p50_ms:8.3f} {t.p95_ms:8.3f} {t.p99_ms:8.3f}"
    return f"{row.model:28} {row.precision:5} {row.mode:6} people {row.people}  ms p50 p95 p99 {times}{share}"


def _document(rows: list[Row]) -> dict[str, Any]:
    return {"machine": platform.platform(), "rows": [asdict(r) for r in rows], "goals": goals(rows)}


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
