"""How long an engine takes: one caller alone, and many at once, each with an engine of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from engines.measure.parity import Frames, count_people
from engines.runtime import Engine

WARM_UP = 10


@dataclass(frozen=True)
class Timing:
    """Milliseconds of one call, host to host: upload, network and download included."""

    runs: int
    p50_ms: float
    p95_ms: float
    p99_ms: float


def measure(engine: Engine, frames: Frames, runs: int) -> Timing:
    """Time calls after a warm-up; the state goes on from frame to frame as in life."""
    keys = range(count_people(engine.spec, frames[0])) if engine.spec.states else ()
    return _timing(_calls(engine, frames, keys, WARM_UP + runs)[WARM_UP:])


def measure_streams(
    open_one: Callable[[], Engine], frames: Frames, streams: int, runs: int
) -> tuple[Timing, float, tuple[Engine, ...]]:
    """Time several streams on one device at once: a thread and an engine for each, all of them as fast as they go.

    Args:
        open_one: Loads one engine; called once per stream.
        frames: What every stream is given.
        streams: How many.
        runs: Calls of each.

    Returns:
        The calls of all streams together; frames per second of all together; the engines, closed.
    """
    engines: list[Engine] = []
    try:
        for _ in range(streams):
            engines.append(open_one())
        keys = range(count_people(engines[0].spec, frames[0])) if engines[0].spec.states else ()
        together = threading.Barrier(streams)

        def one(engine: Engine) -> tuple[list[float], float, float]:
            try:
                _calls(engine, frames, keys, WARM_UP)
            except BaseException:
                together.abort()  # the others must not wait for this one
                raise
            together.wait()
            started = time.perf_counter()
            return _calls(engine, frames, keys, runs), started, time.perf_counter()

        with ThreadPoolExecutor(streams) as pool:
            done = list(pool.map(one, engines))
    finally:
        for engine in engines:
            engine.close()
    times = [ms for calls, _, _ in done for ms in calls]
    seconds = max(end for _, _, end in done) - min(start for _, start, _ in done)
    return _timing(times), streams * runs / seconds, tuple(engines)


def _calls(engine: Engine, frames: Frames, keys: range | tuple[()], count: int) -> list[float]:
    times = []
    for i in range(count):
        started = time.perf_counter()
        engine.run(frames[i % len(frames)], keys)
        times.append((time.perf_counter() - started) * 1e3)
    return times


def _timing(times_ms: list[float]) -> Timing:
    p50, p95, p99 = np.percentile(times_ms, [50, 95, 99]).round(4).tolist()
    return Timing(len(times_ms), p50, p95, p99)
