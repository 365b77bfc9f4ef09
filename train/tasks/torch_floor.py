"""The shipped and the paper-size networks in PyTorch, plain and as CUDA graphs: the floor, should TensorRT not run.

    python -m train.tasks.torch_floor --json torch_floor.json

Random weights; the step of one frame with its states, as it is exported. Without a GPU it times the plain step.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from engines.errors import EngineError
from train.deliver.checkpoints import DETECTOR, Exportable, load
from train.models.family import FAMILY, build_detector
from train.models.streaming import DetectorStep

MODELS = ("detector-mnv2-tce64", "lifter-tcn", "detector-r50-tce512", "detector-r50-tce512-window6")
WARM_UP = 5


@dataclass(frozen=True)
class Line:
    """One figure: model, people, "plain" or "graph", "fp32" or "fp16" (autocast), milliseconds."""

    model: str
    people: int
    mode: str
    precision: str
    p50_ms: float
    p95_ms: float


def step_of(name: str) -> Exportable:
    """Return a model by name; the paper's detector carried, or with "-window6" over a window of 6."""
    if not name.startswith("detector-r50-tce512"):
        return load(name, None, {})
    window = 6 if name.endswith("-window6") else 0
    detector = build_detector(FAMILY["r50-tce512"]).in_form(windowed=window > 0, bidirectional=False, neighbours=window)
    step = DetectorStep(detector.eval()).eval()
    return replace(load(DETECTOR + "mnv2-tce64", None, {}), module=step, example_inputs=step.example_inputs(2))


def time_step(made: Exportable, name: str, people: int, mode: str, precision: str, runs: int, device: str) -> Line:
    """Time one way of running a model.

    Raises:
        EngineError: If the work cannot be recorded as a graph.
    """
    rows = torch.arange(people) % 2
    inputs = tuple(value[rows].clone().to(device) for value in made.example_inputs.values())
    module = made.module.to(device).eval()

    def once() -> None:
        with torch.no_grad(), torch.autocast(device, torch.float16, enabled=precision == "fp16"):
            module(*inputs)

    run = _recorded(once) if mode == "graph" else once
    wait = torch.cuda.synchronize if device == "cuda" else _nothing
    times = []
    for i in range(WARM_UP + runs):
        started = time.perf_counter()
        run()
        wait()
        if i >= WARM_UP:
            times.append((time.perf_counter() - started) * 1e3)
    p50, p95 = np.percentile(times, [50, 95]).round(4).tolist()
    return Line(name, people, mode, precision, p50, p95)


def _nothing() -> None:
    """On the CPU there is nothing to wait for."""


def _recorded(once: Callable[[], None]) -> Callable[[], None]:
    """Record what a function queues as a CUDA graph; return its replay."""
    side = torch.cuda.Stream()
    try:
        with torch.cuda.stream(side):
            for _ in range(3):
                once()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            once()
    except RuntimeError as error:
        raise EngineError(f"PyTorch cannot record it: {' '.join(str(error).split())[:200]}") from error
    return graph.replay  # type: ignore[no-any-return]


def measure(names: list[str], people: list[int], runs: int) -> tuple[list[Line], list[str]]:
    """Return the table, and what could not be measured."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    ways = [(m, p) for m in ("plain", "graph") for p in ("fp32", "fp16")] if device == "cuda" else [("plain", "fp32")]
    lines, troubles = [], []
    for name in names:
        made = step_of(name)
        for count in people:
            for mode, precision in ways:
                try:
                    line = time_step(made, name, count, mode, precision, runs, device)
                except EngineError as error:
                    troubles.append(f"{name}, {count} people, {mode} {precision}: {error}")
                    continue
                lines.append(line)
                sys.stdout.write(
                    f"{line.model:30} {line.precision} {line.mode:6} {line.people}  {line.p50_ms:8.3f} ms\n"
                )
    return lines, troubles


def main(argv: list[str] | None = None) -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m train.tasks.torch_floor", description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--people", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--runs", type=int, default=200, help="calls per figure (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="write the table here too")
    options = parser.parse_args(argv)
    lines, troubles = measure(options.models, options.people, options.runs)
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    document: dict[str, Any] = {"torch": torch.__version__, "device": name, "troubles": troubles}
    if options.json:
        options.json.write_text(json.dumps({**document, "rows": [vars(line) for line in lines]}, indent=1))
    return 1 if troubles else 0


if __name__ == "__main__":
    sys.exit(main())
