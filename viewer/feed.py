"""The viewer's ear: a thread that empties the stream's socket as fast as it fills. No Qt.

Only the newest message is kept for drawing, so that a slow window never shows an old picture; the
counters and a running recording still see every message.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from pipeline.errors import WireError
from pipeline.messages import EndOfStream, Message, People3D, StageStatus
from viewer.recording import Recording
from viewer.status import LiveState

FPS_WINDOW_S = 2.0
WAIT_MS = 100
OTHER_CLOCK_MS = 20_000.0
"""An older first message means that the stamps are of another machine's clock."""


class Ear(Protocol):
    """What the feed listens to: `pipeline.processes.links.Subscriber`, or a stand-in."""

    def wait(self, timeout_ms: int) -> bool:
        """Wait for a message; True if there is one."""

    def try_receive(self) -> Message | None:
        """Return the next message or None; WireError if it is unreadable."""

    def close(self) -> None:
        """Close the socket."""


@dataclass(slots=True)
class Counters:
    """Totals since the feed started."""

    messages: int = 0
    people: int = 0
    garbage: int = 0
    restarts: int = 0


@dataclass(slots=True)
class _Heard:
    """What the thread has heard; read and written under the feed's lock."""

    people: People3D | None = None
    at_ns: int = 0
    ended: EndOfStream | None = None
    statuses: dict[str, StageStatus] = field(default_factory=dict)
    arrivals: deque[int] = field(default_factory=deque)
    latencies: list[tuple[float, float]] = field(default_factory=list)


class Feed:
    """Listens to a stream in a thread of its own."""

    def __init__(self, name: str, open_ear: Callable[[], Ear], on_news: Callable[[], None] = lambda: None) -> None:
        """Prepare; `start` opens the socket.

        Args:
            name: What to call the stream until its first message names the source.
            open_ear: Opens the socket; called in the feed's thread, because a socket belongs to one thread.
            on_news: Called from that thread after messages came in.
        """
        self.name = name
        self.on_news = on_news
        self.counters = Counters()
        self._open_ear = open_ear
        self._heard = _Heard()
        self._recording: Recording | None = None
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)

    def start(self) -> None:
        """Start listening."""
        self._thread.start()

    def close(self) -> None:
        """Stop listening and close the socket."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5.0)

    def _run(self) -> None:
        ear = self._open_ear()
        try:
            while not self._stop.is_set():
                if ear.wait(WAIT_MS) and self.drain(ear):
                    self.on_news()
        finally:
            ear.close()

    def drain(self, ear: Ear) -> int:
        """Take everything that waits and return how many messages it was; unreadable ones are only counted."""
        taken = 0
        while not self._stop.is_set():
            try:
                message = ear.try_receive()
            except WireError:
                self.counters.garbage += 1
                taken += 1
                continue
            if message is None:
                break
            taken += 1
            self._hear(message, time.monotonic_ns())
        return taken

    def _hear(self, message: Message, now_ns: int) -> None:
        with self._lock:
            heard = self._heard
            self.counters.messages += 1
            if isinstance(message, People3D):
                self._hear_people(heard, message, now_ns)
            elif isinstance(message, StageStatus):
                heard.statuses[message.stage] = message
            elif isinstance(message, EndOfStream):
                heard.ended = message

    def _hear_people(self, heard: _Heard, people: People3D, now_ns: int) -> None:
        if heard.people is not None and people.stamp.seq < heard.people.stamp.seq:
            self.counters.restarts += 1
            heard.statuses.clear()
        heard.people, heard.at_ns, heard.ended = people, now_ns, None
        self.counters.people += 1
        heard.arrivals.append(now_ns)
        heard.latencies.append((now_ns / 1e9, latency_ms(people)))
        del heard.latencies[:-600]
        if self._recording is not None:
            self._recording.add(people)

    def take_latencies(self) -> list[tuple[float, float]]:
        """Return (arrival in monotonic seconds, capture to skeleton in ms) of all messages since the last call."""
        with self._lock:
            taken, self._heard.latencies = self._heard.latencies, []
        return taken

    def state(self, now_ns: int) -> LiveState:
        """Return everything there is to say about the stream right now."""
        with self._lock:
            heard, recording = self._heard, self._recording
            while heard.arrivals and heard.arrivals[0] < now_ns - FPS_WINDOW_S * 1e9:
                heard.arrivals.popleft()
            people = heard.people
            return LiveState(
                source=self.name if people is None else people.stamp.source,
                people=people,
                silent_s=max(0.0, (now_ns - heard.at_ns) / 1e9) if people is not None else 0.0,
                fps=_rate(heard.arrivals, now_ns),
                latency_ms=latency_ms(people) if people is not None else math.nan,
                garbage=self.counters.garbage,
                statuses=dict(heard.statuses),
                ended=heard.ended,
                recorded=recording.frames if recording is not None else None,
            )

    @property
    def recording(self) -> bool:
        """True while messages are being kept."""
        return self._recording is not None

    def start_recording(self, recording: Recording | None = None) -> None:
        """Keep every message from now on, in a new recording or at the end of a given one."""
        with self._lock:
            self._recording = recording or Recording()

    def stop_recording(self) -> Recording | None:
        """Return what was recorded, None if nothing was being recorded."""
        with self._lock:
            recording, self._recording = self._recording, None
        return recording


def latency_ms(people: People3D) -> float:
    """Return the time from capture to skeleton in milliseconds, NaN if no stage has stamped the message."""
    done_ns = max(people.stamp.t_stage_ns.values(), default=None)
    return math.nan if done_ns is None else (done_ns - people.stamp.t_capture_ns) / 1e6


def display_age_ms(people: People3D, now_ns: int) -> float:
    """Return the age of a message on the screen in milliseconds, NaN if its stamps are of another machine's clock."""
    age = people.stamp.age_ms(now_ns)
    return age if -1.0 <= age < OTHER_CLOCK_MS else math.nan


def _rate(arrivals: deque[int], now_ns: int) -> float:
    """Return messages per second: over the time they span while they flow, over the time until now once they stop."""
    if len(arrivals) < 2:
        return 0.0
    gap_ns = (arrivals[-1] - arrivals[0]) / (len(arrivals) - 1)
    until_ns = arrivals[-1] if now_ns - arrivals[-1] < 3 * gap_ns else now_ns
    return (len(arrivals) - 1) / max(1e-9, (until_ns - arrivals[0]) / 1e9)
