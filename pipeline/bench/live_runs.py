"""The live half of `posestream bench`: how old skeletons are at a subscriber, and whether anything creeps up."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.bench.clips import serving
from pipeline.client import subscribe
from pipeline.commands.launch import supervise
from pipeline.commands.summary import Summary
from pipeline.commands.terminal import Terminal
from pipeline.config import OutputConfig, RunConfig, SourceConfig
from pipeline.errors import StageFailed
from pipeline.messages import StageStatus

Float = npt.NDArray[np.float64]

WARM_UP_S = 2.0
LOADING_S = 120.0


class MemoryWatch(Terminal):
    """A terminal that also notes how much memory all stages together take."""

    def __init__(self, **how: bool) -> None:
        """Start with no samples."""
        super().__init__(**how)
        self.samples: list[tuple[float, float]] = []
        """(monotonic seconds, MiB), several times a second."""

    def watch(self, board: dict[str, StageStatus]) -> None:
        """Note it once all stages run, and show how they are doing."""
        if all(status.state == "running" for status in board.values()):
            total_mb = sum(status.facts.get("run", {}).get("rss_mb", 0.0) for status in board.values())
            self.samples.append((time.monotonic(), total_mb))
        super().watch(board)


class Listener(threading.Thread):
    """A subscriber that notes the age of every skeleton, and ends the run when it has seen enough."""

    def __init__(self, endpoint: str, seconds: float) -> None:
        """Prepare; `seconds` counts from the end of the warm-up."""
        super().__init__(daemon=True)
        self._endpoint, self._seconds = endpoint, seconds
        self.ages: list[tuple[float, float]] = []
        """(monotonic seconds, age in ms when it arrived here), warm-up left out."""
        self.dropped = 0
        self.ended_run = False
        self.over = threading.Event()
        """Set when the run is over anyway."""

    def run(self) -> None:
        """Listen, then end the run as Ctrl-C would."""
        begin_s, dropped = 0.0, 0
        with contextlib.suppress(TimeoutError):
            for people in subscribe(self._endpoint, timeout_s=LOADING_S):
                now_s = time.monotonic()
                if not begin_s:
                    begin_s = now_s + WARM_UP_S
                if now_s < begin_s:
                    dropped = people.dropped
                else:
                    self.ages.append((now_s, people.stamp.age_ms()))
                    self.dropped = people.dropped - dropped
                if now_s >= begin_s + self._seconds or self.over.is_set():
                    break
        if not self.over.is_set():
            self.ended_run = True
            os.kill(os.getpid(), signal.SIGINT)


def run_to_end(run: RunConfig, terminal: Terminal, ended_by_us: Callable[[], bool] = lambda: False) -> Summary:
    """Run the process table over a configuration.

    Args:
        run: The run.
        terminal: Takes what it says.
        ended_by_us: Tells whether a signal that ended it was our own.

    Raises:
        StageFailed: If it failed.
        KeyboardInterrupt: If somebody else ended it.
    """
    summary, outcome, log = supervise(run, terminal)
    if outcome.failure is not None:
        failure = outcome.failure
        raise StageFailed(f"{failure.stage}: {failure.cause}; log: {log}", failure.hint, failure.exit_code)
    if outcome.exit_code and not ended_by_us():
        raise KeyboardInterrupt
    return summary


def free_endpoint() -> str:
    """Return an endpoint of this machine that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{probe.getsockname()[1]}"


def live(base: RunConfig, stream: Path, seconds: float, watch: MemoryWatch) -> dict[str, Any]:
    """Serve a clip as a stream and measure how old skeletons are when a subscriber gets them.

    Args:
        base: Models and options of the run.
        stream: File of `encode_for_streaming`.
        seconds: How long, after the warm-up.
        watch: The terminal.

    Returns:
        See `summarise_live`.

    Raises:
        StageFailed: If the run failed or gave nothing.
    """
    endpoint = free_endpoint()
    listener = Listener(endpoint, seconds)
    with serving(stream) as url:
        source, output = SourceConfig("stream", url), OutputConfig(publish=endpoint)
        listener.start()
        try:
            run_to_end(dataclasses.replace(base, source=source, output=output), watch, lambda: listener.ended_run)
        finally:
            listener.over.set()
    if len(listener.ages) < 2 or len(watch.samples) < 2:
        raise StageFailed("no skeletons came from the live stream", "posestream bench --debug shows more")
    return summarise_live(np.array(listener.ages), np.array(watch.samples), listener.dropped)


def summarise_live(ages: Float, memory: Float, dropped: int) -> dict[str, Any]:
    """Make figures of samples.

    Args:
        ages: (N, 2) seconds and milliseconds.
        memory: (M, 2) seconds and MiB; those of the warm-up are left out.
        dropped: Frames lost meanwhile.

    Returns:
        "seconds", "fps", "frames", "dropped", "latency_ms" {p50, p95, p99, max}, "memory_mb" {start, end} of all
        stages, and their slopes "latency_drift_ms_per_min" and "memory_drift_mb_per_min".
    """
    seconds = float(ages[-1, 0] - ages[0, 0])
    memory = memory[memory[:, 0] >= ages[0, 0]] if (memory[:, 0] >= ages[0, 0]).sum() > 1 else memory[-2:]
    latency = {f"p{q}": round(float(np.percentile(ages[:, 1], q)), 2) for q in (50, 95, 99)}
    return {
        "seconds": round(seconds, 1),
        "fps": round((len(ages) - 1) / seconds, 2),
        "frames": len(ages),
        "dropped": dropped,
        "latency_ms": {**latency, "max": round(float(ages[:, 1].max()), 2)},
        "memory_mb": {"start": round(float(memory[0, 1]), 1), "end": round(float(memory[-1, 1]), 1)},
        "latency_drift_ms_per_min": _per_minute(ages),
        "memory_drift_mb_per_min": _per_minute(memory),
    }


def _per_minute(samples: Float) -> float:
    """Return the slope of a straight line through the samples."""
    if np.ptp(samples[:, 0]) == 0:
        return 0.0
    return round(float(np.polyfit(samples[:, 0] - samples[0, 0], samples[:, 1], 1)[0]) * 60, 3)
