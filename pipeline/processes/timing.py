"""What a stage counts: frames, drops, times. Bounded memory however long the run."""

from __future__ import annotations

import math
import os
import resource
import sys
import time
from collections import deque
from typing import Any

from pipeline.messages import Frame, People2D, People3D, StageStatus

_SMALLEST_MS = 0.001
_STEP = math.log(1.01)  # bins 1 % wide
_BINS = int(math.log(1e9) / _STEP)  # up to a million seconds


class Durations:
    """A histogram of durations over a whole run, exact to 1 %."""

    def __init__(self) -> None:
        """Start empty."""
        self.count = 0
        self._bins = [0] * (_BINS + 1)

    def add(self, value_ms: float) -> None:
        """Count one duration in milliseconds."""
        at = int(math.log(max(value_ms, _SMALLEST_MS) / _SMALLEST_MS) / _STEP)
        self._bins[min(at, _BINS)] += 1
        self.count += 1

    def quantile(self, share: float) -> float:
        """Return the duration in milliseconds that this share of all does not exceed; 0 when empty."""
        want, seen = share * self.count, 0
        for at, count in enumerate(self._bins):
            seen += count
            if count and seen >= want:
                return _SMALLEST_MS * math.exp((at + 0.5) * _STEP)
        return 0.0

    def summary(self) -> dict[str, float]:
        """Return p50, p95 and p99 in milliseconds."""
        return {f"p{q}": round(self.quantile(q / 100), 3) for q in (50, 95, 99)}


class Meter:
    """One stage's counters, and the status made of them."""

    def __init__(self, stage: str, first_seq: int = 0, from_start: bool = True) -> None:
        """Start at zero.

        Args:
            stage: Name for the status.
            first_seq: Index of the stream's first frame.
            from_start: False for a stage that joins later: it cannot know what went before.
        """
        self._stage = stage
        self.frames_in = self.frames_out = self.dropped = self.people_frames = 0
        self.last_seq = first_seq - 1
        self._began = from_start
        self._recent: deque[float] = deque(maxlen=64)
        self._whole, self._latency = Durations(), Durations()
        self._cpu_start_s = 0.0
        self._first_ns = self._last_ns = 0

    def start_clock(self) -> None:
        """Begin to count CPU time: loading is over."""
        self._cpu_start_s = time.process_time()

    def take(self, seq: int) -> None:
        """Count a frame that came in; a gap in the indices is a drop."""
        self.frames_in += 1
        if self._began and seq > self.last_seq + 1:
            self.dropped += seq - self.last_seq - 1
        self._began = True
        self.last_seq = seq

    def end(self, last_seq: int) -> None:
        """Count the frames that the end of the stream overtook."""
        if self._began and last_seq > self.last_seq:
            self.dropped += last_seq - self.last_seq
            self.last_seq = last_seq

    def give(self, message: Frame | People2D | People3D, now_ns: int) -> None:
        """Count a message that goes out, and its age."""
        self.frames_out += 1
        self._first_ns = self._first_ns or now_ns
        self._last_ns = now_ns
        self._latency.add(message.stamp.age_ms(now_ns))
        if not isinstance(message, Frame):
            self.people_frames += len(message.track) > 0

    def spent(self, took_ms: float) -> None:
        """Count the time that one frame took in this stage."""
        self._recent.append(took_ms)
        self._whole.add(took_ms)

    def status(self, state: str, note: str, facts: dict[str, Any]) -> StageStatus:
        """Return the stage's status; `facts` gets the run's totals under "run"."""
        recent = sorted(self._recent) or [0.0]
        return StageStatus(
            stage=self._stage,
            state=state,
            frames_in=self.frames_in,
            frames_out=self.frames_out,
            dropped=self.dropped,
            p50_ms=round(recent[len(recent) // 2], 3),
            p95_ms=round(recent[int(len(recent) * 0.95)], 3),
            note=note,
            facts={**facts, "run": self._totals()},
        )

    def _totals(self) -> dict[str, Any]:
        return {
            "pid": os.getpid(),
            "stage_ms": self._whole.summary(),
            "latency_ms": self._latency.summary(),  # age of what went out, since capture
            "cpu_s": round(time.process_time() - self._cpu_start_s, 4),
            "rss_mb": rss_mb(),
            "first_ns": self._first_ns,
            "last_ns": self._last_ns,
            "people_frames": self.people_frames,
            "last_seq": self.last_seq,
        }


def rss_mb() -> float:
    """Return the process's memory in MiB: now on Linux, at its peak elsewhere."""
    try:
        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 (read once a second, in every stage)
            pages = int(file.read().split()[1])
        return round(pages * resource.getpagesize() / 2**20, 1)
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)
