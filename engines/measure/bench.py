"""How fast engines are: latency per model, number of people and way of running, as a table and as JSON.

`python -m engines.measure.bench` measures what is there: ONNX Runtime everywhere; TensorRT, plain and with CUDA
graphs, where there is a GPU; with --streams also many streams at once. `engines.measure.gpu_session` runs all of it.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engines.errors import EngineError
from engines.measure.floor import Rates, rates_of, work_of
from engines.measure.latency import Timing, measure, measure_streams
from engines.measure.parity import recorded_frames
from engines.modelfile import read_model
from engines.runtime import WEIGHTS_DIR, Engine, find_weights, open_engine

COMPACT = ("detector-mnv2-tce64", "lifter-tcn")  # whose sum is to stay under half a millisecond


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        model, precision, backend: What ran, on what.
        mode: "cpu", "plain" or "graph".
        people: Rows of each frame.
        timing: Of one call.
        floor_ms: The least time that the GPU's memory and arithmetic allow; None where they are not known.
        streams: How many ran at once.
        frames_per_s: All streams together.
    """

    model: str
    precision: str
    backend: str
    mode: str
    people: int
    timing: Timing
    floor_ms: float | None = None
    streams: int = 1
    frames_per_s: float | None = None

    @property
    def floor_share(self) -> float | None:
        """How near the median comes to the floor, 0..1."""
        return None if self.floor_ms is None else self.floor_ms / self.timing.p50_ms


@dataclass(frozen=True)
class Wanted:
    """What to measure.

    Attributes:
        backend: "ort" or "tensorrt".
        people: Numbers of people; a finder is measured once.
        streams: Numbers of streams at once, one person each; empty for none.
        runs: Calls per figure.
        rates: Of the GPU; None looks its name up.
    """

    backend: str = "tensorrt"
    people: tuple[int, ...] = (1, 2, 4, 8)
    streams: tuple[int, ...] = ()
    runs: int = 300
    rates: Rates | None = None


def bench_model(model: str, wanted: Wanted) -> Iterator[Row]:
    """Measure one model on one backend.

    Raises:
        EngineError: If it cannot be loaded, or a graph could not be recorded: what ran without one is no "graph".
    """
    engine = open_engine(model, wanted.backend)
    trouble = ""
    try:
        for count in wanted.people if engine.spec.kind != "finder" else (1,):
            for mode in ("cpu",) if wanted.backend == "ort" else ("plain", "graph"):
                row = _measure_mode(engine, model, mode, count, wanted)
                if isinstance(row, Row):
                    yield row
                else:
                    trouble = row
    finally:
        engine.close()
    for streams in wanted.streams:
        yield _measure_many(model, streams, wanted)
    if trouble:
        raise EngineError(f"{model}: {trouble}")


def _measure_mode(engine: Engine, model: str, mode: str, people: int, wanted: Wanted) -> Row | str:
    """Return a line of the table, or why there is none."""
    if mode != "cpu":
        engine.use_graphs(mode == "graph")  # type: ignore[attr-defined]  # the TensorRT engine's own
    timing = measure(engine, recorded_frames(engine.spec, people), wanted.runs)
    if mode != "cpu" and engine.mode != mode:  # type: ignore[attr-defined]
        return engine.backend
    floor_ms = _floor_ms(engine, model, people, wanted)
    return Row(engine.spec.name, engine.spec.precision, engine.backend, mode, people, timing, floor_ms)


def _measure_many(model: str, streams: int, wanted: Wanted) -> Row:
    spec = read_model(find_weights(model)).spec
    frames = recorded_frames(spec, 1)
    timing, fps, engines = measure_streams(lambda: open_engine(model, wanted.backend), frames, streams, wanted.runs)
    mode = "cpu" if wanted.backend == "ort" else engines[0].mode  # type: ignore[attr-defined]
    backend = engines[0].backend
    return Row(spec.name, spec.precision, backend, mode, 1, timing, streams=streams, frames_per_s=round(fps, 1))


def _floor_ms(engine: Engine, model: str, people: int, wanted: Wanted) -> float | None:
    rates = wanted.rates or (rates_of(engine.backend) if wanted.backend == "tensorrt" else None)
    return work_of(find_weights(model), people).floor_ms(rates, engine.spec.precision) if rates else None


def goals(rows: list[Row]) -> list[str]:
    """Say whether the table meets what an H200 should: see the limits in the lines themselves."""
    by = {
        (r.model, r.precision, r.mode, r.people): r.timing.p50_ms for r in rows if r.mode == "graph" and r.streams == 1
    }
    lines = []
    for precision in ("fp32", "fp16", "int8"):
        pair = [by[key] for m in COMPACT if (key := (m, precision, "graph", 1)) in by]
        if len(pair) == len(COMPACT):
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
    parser = _parser()
    options = parser.parse_args(argv)
    models = options.models + (all_models(options.backend) if options.all else [])
    if not models:
        parser.error("name at least one MODEL, or use --all")
    rates = Rates(options.bandwidth, dict.fromkeys(("fp32", "fp16", "int8"), options.tflops or 1e9))
    wanted = Wanted(
        options.backend,
        tuple(options.people),
        tuple(options.streams),
        options.runs,
        rates if options.bandwidth else None,
    )
    rows: list[Row] = []
    troubles: list[str] = []
    for model in models:
        try:
            for row in bench_model(model, wanted):
                rows.append(row)
                _say(_line(row))
        except EngineError as error:  # the others are still worth measuring
            troubles.append(str(error))
            sys.stderr.write(f"error: {error}\n")
    if options.json:
        options.json.write_text(json.dumps(_document(rows, troubles), indent=1))
    for line in goals(rows):
        _say(line)
    return 1 if troubles else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m engines.measure.bench", description="Latency of models on this machine."
    )
    parser.add_argument("models", nargs="*", metavar="MODEL", help="name of a shipped model or path of an .onnx file")
    parser.add_argument("--all", action="store_true", help="every shipped model, and every converted one in the cache")
    parser.add_argument("--backend", choices=("ort", "tensorrt"), default="tensorrt")
    parser.add_argument("--people", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--streams", type=int, nargs="*", default=[], help="also so many at once, e.g. 1 2 4 8 16 32")
    parser.add_argument("--runs", type=int, default=300, help="calls per figure (default: %(default)s)")
    parser.add_argument("--bandwidth", type=float, default=0.0, help="GB/s of a GPU that floor.py does not know")
    parser.add_argument("--tflops", type=float, default=0.0, help="its arithmetic, in 1e12 operations/s")
    parser.add_argument("--json", type=Path, help="write the table here too")
    return parser


def all_models(backend: str) -> list[str]:
    """Return every model there is, but for the int8 form of the other backend."""
    from engines.plans.cache import cache_dir

    other = "-int8-trt" if backend == "ort" else "-int8-ort"
    folders = (WEIGHTS_DIR, cache_dir() / "models")
    return [str(p) for f in folders for p in sorted(f.glob("*.onnx")) if not p.stem.endswith(other)]


def _line(row: Row) -> str:
    t = row.timing
    more = "" if row.floor_share is None else f"  {row.floor_share:4.0%} of the floor"
    more += "" if row.frames_per_s is None else f"  {row.streams} streams {row.frames_per_s:8.1f} frames/s"
    times = f"{t.p50_ms:8.3f} {t.p95_ms:8.3f} {t.p99_ms:8.3f}"
    return f"{row.model:28} {row.precision:5} {row.mode:6} people {row.people}  ms p50 p95 p99 {times}{more}"


def _document(rows: list[Row], troubles: list[str]) -> dict[str, Any]:
    lines = [{**asdict(r), "floor_share": r.floor_share} for r in rows]
    return {"machine": platform.platform(), "rows": lines, "goals": goals(rows), "troubles": troubles}


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
