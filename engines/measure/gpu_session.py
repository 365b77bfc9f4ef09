"""Everything that a session on a machine with a GPU is to show, in one command; without one, as far as it goes.

    python -m engines.measure.gpu_session --out results
    python -m engines.measure.gpu_session --out results --plan-only    no GPU: models, plans, the tables of the CPU

Each step is a process of its own with a limit of time; after each one session.json is written anew, so that a session
that is cut short leaves what it has. Steps whose results are there are not done again.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engines.measure.readiness import look
from engines.plans.cache import cache_dir

ROOT = Path(__file__).parents[2]
PYTHON = sys.executable
CLIP = "pipeline/demo.mp4"
PAPER = ("detector-r50-tce512", "detector-r50-tce512-window6")
FRAMED = "detector-mnv2-tce64-1920x1080"


@dataclass(frozen=True)
class Step:
    """One command of the session.

    Attributes:
        name: What it shows.
        command: Its words.
        instead: What runs in its place with --plan-only; empty if it needs a GPU.
        limit_s: After so long it is given up.
        cold: Run with an empty engine cache of its own.
    """

    name: str
    command: tuple[str, ...]
    instead: tuple[str, ...] = ()
    limit_s: int = 600
    cold: bool = False


def steps(out: Path) -> list[Step]:
    """Return the session's steps; what they write lies in `out`."""
    task, bench = (PYTHON, "-m", "train.tasks.precision", "--clip", CLIP), (PYTHON, "-m", "engines.measure.bench")
    framed = (PYTHON, "-m", "train.tasks.on_device", "detector-mnv2-tce64", "--frame", "1920x1080")
    paper = (PYTHON, "-m", "train.tasks.paper_size")
    build = (PYTHON, "-m", "engines.plans.build")
    tests = (PYTHON, "-m", "pytest", "-q", "tests/engines/test_trt_gpu.py", "tests/contract/test_engines.py")
    floor = (PYTHON, "-m", "train.tasks.torch_floor", "--json", str(out / "torch_floor.json"))
    every = ("--json", str(out / "bench_gpu.json"), "--streams", "1", "2", "4", "8", "16", "32")
    cpu = (*bench, "--all", "--backend", "ort", "--people", "1")
    return [
        Step("fp16 and int8 files", task, task),
        Step("detector on whole frames", framed, framed),
        Step("paper-size detectors", paper, (*paper, "--small", "--out", str(out / "small"))),
        Step("paper-size in fp16", (*task, *PAPER, "--forms", "fp16")),
        Step("build shipped models", (*build, "--all", "--precision", "all"), (*build, "--all", "--precision", "all")),
        Step("build on whole frames", (*build, FRAMED), (*build, FRAMED)),
        Step(
            "build paper size",
            (*build, *PAPER),
            (*build, *(f"{out}/small/{p.replace('512', '16')}.onnx" for p in PAPER)),
        ),
        Step("build paper size fp16", (*build, *PAPER, "--precision", "fp16")),
        Step("GPU tests", tests, tests),
        Step("latency", (*bench, "--all", *every), (*cpu, "--runs", "20", "--json", str(out / "bench_cpu.json"))),
        Step("latency of the processor", (*cpu, "--runs", "100", "--json", str(out / "bench_cpu.json"))),
        *_starts(out),
        Step("the same graphs in PyTorch", floor, (*floor, "--runs", "5", "--models", "lifter-tcn")),
    ]


def _starts(out: Path) -> list[Step]:
    """Time to the first skeleton: processor; GPU with nothing built, with everything built, and built meanwhile."""

    def run(name: str, backend: str) -> tuple[str, ...]:
        words = (CLIP, "--no-view", "--backend", backend, "--json", str(out / f"start_{name}.json"))
        return (PYTHON, "-m", "pipeline.cli", *words)

    return [
        Step("start on the processor, empty cache", run("ort_cold", "ort"), run("ort_cold", "ort"), cold=True),
        Step("start on the processor, warm", run("ort_warm", "ort"), run("ort_warm", "ort")),
        Step("start on the GPU, nothing built", run("gpu_cold", "tensorrt"), cold=True),
        Step("start on the GPU, built", run("gpu_warm", "tensorrt")),
        Step("start with auto, built meanwhile", run("auto_cold", "auto"), run("auto_cold", "auto"), cold=True),
    ]


def do(step: Step, plan_only: bool, out: Path) -> dict[str, Any]:
    """Run a step; return what came of it: state, seconds, exit code, and the end of what it said."""
    words = step.instead if plan_only else step.command
    if not words:
        return {"name": step.name, "state": "needs a GPU", "command": " ".join(step.command)}
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    if step.cold:
        empty = out / "empty_cache"
        shutil.rmtree(empty, ignore_errors=True)
        environment["POSESTREAM_CACHE"] = str(empty)
    started = time.monotonic()
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "check": False}
    try:
        done = subprocess.run(words, cwd=ROOT, env=environment, timeout=step.limit_s, **pipes)
        code, said = done.returncode, done.stdout
        state = "done" if code == 0 else "failed"
    except subprocess.TimeoutExpired as error:
        code, state = -1, f"given up after {step.limit_s} s"
        said = error.stdout.decode(errors="replace") if isinstance(error.stdout, bytes) else (error.stdout or "")
    seconds = round(time.monotonic() - started, 1)
    return {
        "name": step.name, "state": state, "seconds": seconds, "code": code,
        "command": " ".join(words), "said": said.splitlines()[-40:],
    }  # fmt: skip


def collect(out: Path, done: dict[str, dict[str, Any]], plan_only: bool) -> dict[str, Any]:
    """Return the session as it stands: machine, steps, starts, tables, and every engine's facts."""
    smi = shutil.which("nvidia-smi")
    card = subprocess.run([smi], capture_output=True, text=True, check=False).stdout if smi else ""
    starts = {p.stem: _read(p).get("first_skeleton_s") for p in sorted(out.glob("start_*.json"))}
    engines = [_read(p) for p in sorted((cache_dir() / "engines").glob("*.json"))]
    return {
        "machine": {"platform": platform.platform(), "python": platform.python_version(), "cores": os.cpu_count()},
        "plan_only": plan_only, "nvidia_smi": card.splitlines(), "found": [asdict(f) for f in look()],
        "steps": list(done.values()), "first_skeleton_s": starts,
        "tables": {p.stem: _read(p) for n in ("bench_*.json", "torch_*.json") for p in sorted(out.glob(n))},
        "engines": [{k: v for k, v in e.items() if k != "spec"} for e in engines],
    }  # fmt: skip


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_bytes())  # type: ignore[no-any-return]
    except (OSError, ValueError):
        return {}


def main(argv: list[str] | None = None) -> int:
    """Run the session; return 0 if every step was done, or needs the GPU that --plan-only does without."""
    parser = argparse.ArgumentParser(prog="python -m engines.measure.gpu_session", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for session.json and the tables")
    parser.add_argument("--plan-only", action="store_true", help="without a GPU: all that needs none")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="WORD", help="steps with one of these words in the name"
    )
    parser.add_argument("--again", action="store_true", help="do steps again whose results are there")
    parser.add_argument("--list", action="store_true", help="show the steps and their commands, run nothing")
    options = parser.parse_args(argv)
    out = options.out.absolute()
    chosen = [s for s in steps(out) if not options.only or any(word in s.name for word in options.only)]
    if options.list:
        sys.stdout.write("".join(f"{s.name}\n    {' '.join(s.command)}\n" for s in chosen))
        return 0
    out.mkdir(parents=True, exist_ok=True)
    known = _read(out / "session.json")
    before = {} if options.again or known.get("plan_only") != options.plan_only else known
    done = {s["name"]: s for s in before.get("steps", []) if s["state"] == "done"}
    for step in chosen:
        if step.name not in done:
            done[step.name] = do(step, options.plan_only, out)
            session = collect(out, done, options.plan_only)
            (out / "session.json").write_text(json.dumps(session, indent=1))
        sys.stdout.write(f"{done[step.name]['state']:12} {done[step.name].get('seconds', 0):7.1f} s  {step.name}\n")
        sys.stdout.flush()
    return 0 if all(done[s.name]["state"] in ("done", "needs a GPU") for s in chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
