"""`posestream bench`: how fast the full path is, where the milliseconds go, and how old a live skeleton is.

Two runs over the real process table: a clip replayed as fast as it goes (throughput, CPU time of all
processes), and the same clip as a 30 frames/s stream over a local socket (latency at a subscriber, and
whether latency or memory creep up).
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engines.measure.bench import main as bench_engines
from pipeline.bench import peer_mediapipe
from pipeline.bench.clips import encode_for_streaming, repeat
from pipeline.bench.live_runs import MemoryWatch, free_endpoint, live, run_to_end
from pipeline.bench.report import insert, machine, table
from pipeline.commands.demo import CLIP
from pipeline.commands.launch import write_json
from pipeline.commands.options import add_shared, models_of, pose_of, positive, positive_float
from pipeline.commands.terminal import Terminal
from pipeline.config import OutputConfig, Policy, RunConfig, SourceConfig
from pipeline.errors import PipelineError, UsageError

FRAMES = 1000
PEERS = ("mediapipe",)


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    if "--gpu" in argv:
        return bench_engines([word for word in argv if word != "--gpu"] or ["--all"])
    args = _parser().parse_args(argv)
    clip = args.clip or str(CLIP)
    if not Path(clip).is_file():
        raise UsageError(f"{clip} does not exist", "posestream bench CLIP takes any video with people in it")
    peer_python = _peer_python(args)
    terminal = Terminal(quiet_stdout=args.json == "-")
    base = RunConfig(SourceConfig("file", clip), models_of(args), pose_of(args), debug=args.debug)
    report: dict[str, Any] = {"machine": machine(), "clip": clip}
    with tempfile.TemporaryDirectory(prefix="posestream-bench-") as folder:
        long, stream = Path(folder) / "long.mkv", Path(folder) / "live.ts"
        repeat(clip, long, args.frames)
        terminal.say(f"replaying {clip}, {args.frames} frames ...")
        report.update(replay(base, long, terminal))
        if peer_python:
            terminal.say("the same with MediaPipe ...")
            report["peer"] = measure_peer(peer_python, str(long), args.frames)
        encode_for_streaming(clip, stream)
        terminal.say(f"live, {args.seconds:g} s of a 30 frames/s stream ...")
        report["live"] = live(base, stream, args.seconds, MemoryWatch(quiet_stdout=args.json == "-"))
        report["latency_ms"] = report["live"]["latency_ms"]
    text = table(report)
    terminal.write(text)
    if args.readme:
        insert(args.readme, text)
    if args.json is not None:
        write_json(report, args.json)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("posestream bench", description="Where the milliseconds go.")
    parser.add_argument("clip", nargs="?", metavar="CLIP", help="any video with people in it; else the demo clip")
    parser.add_argument("--frames", type=positive, default=FRAMES, metavar="N", help=f"frames to replay ({FRAMES})")
    parser.add_argument(
        "--seconds", type=positive_float, default=20.0, metavar="N", help="length of the live part (20)"
    )
    parser.add_argument(
        "--gpu", action="store_true", help="the engines alone, on the graphics card; bench --gpu --help tells more"
    )
    parser.add_argument("--peer", choices=PEERS, help="measure another program on the same frames")
    parser.add_argument("--peer-python", metavar="PATH", help="Python of an environment that has the peer")
    parser.add_argument("--readme", type=Path, metavar="FILE", help="put the table between its bench marks")
    add_shared(parser)
    return parser


def _peer_python(args: argparse.Namespace) -> str:
    """Return the Python that runs the peer; "" without one.

    Raises:
        UsageError: If no Python with the peer is known.
    """
    if args.peer is None:
        return ""
    python = args.peer_python or (sys.executable if importlib.util.find_spec(args.peer) else "")
    if not python:
        hint = "python3 -m venv mp && mp/bin/pip install mediapipe==0.10.21 'numpy<2', then --peer-python mp/bin/python"
        raise UsageError(f"{args.peer} is not installed here", hint)
    return python


# ---- throughput


def replay(base: RunConfig, clip: Path, terminal: Terminal) -> dict[str, Any]:
    """Run a clip through everything as fast as it goes.

    Returns:
        "fps", "cpu_ms_per_frame" (all processes, after loading), "frames", "stages", "models".

    Raises:
        StageFailed: If the run failed.
    """
    output = OutputConfig(publish=free_endpoint())
    run = dataclasses.replace(base, source=SourceConfig("file", str(clip)), output=output, policy=Policy.EVERY)
    summary = run_to_end(run, terminal)
    return {
        "fps": summary.fps, "cpu_ms_per_frame": summary.cpu_ms_per_frame, "frames": summary.frames,
        "stages": summary.stages, "models": summary.models,
    }  # fmt: skip


# ---- the peer


def measure_peer(python: str, clip: str, frames: int) -> dict[str, Any]:
    """Run MediaPipe over the same frames.

    Raises:
        PipelineError: If it does not run.
    """
    command = [python, peer_mediapipe.__file__, clip, str(frames)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]
    except OSError as error:
        raise UsageError(f"cannot run {python}: {error.strerror}", "--peer-python is the path of a Python") from error
    except (subprocess.CalledProcessError, ValueError, IndexError) as error:
        last = (getattr(error, "stderr", "") or str(error)).strip().splitlines()[-1]
        raise PipelineError(f"MediaPipe did not run: {last}") from error
