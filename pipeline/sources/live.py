"""LiveSource: newest picture of a signal that may fail and come back. Streams and cameras differ only in their Signal.

One thread reads and keeps only the newest raw picture; converting is left to whoever takes it. A signal
that ends, fails or hangs is opened again, for ever, once it has been seen to work.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from pipeline.errors import SourceError
from pipeline.sources.video import FALLBACK_FPS, Image, Picture

FIRST_BACKOFF_S = 0.1
LAST_BACKOFF_S = 1.0
"""Short, so that pictures flow again within 3 s of the signal's return; a refused connection costs next to nothing."""

QUIET_S = 1.0
POLL_S = 0.1


class SignalLost(SourceError):
    """No pictures for now; trying again may help."""


class SignalEnded(Exception):
    """The signal is over for good: a recording served over the network has been read to its end."""


class Signal(Protocol):
    """An open stream or camera."""

    fps: float
    """Nominal pictures per second."""
    note: str
    """What the user should know of it although it works, e.g. a size that differs from the one asked for."""

    def read(self) -> tuple[Any, int]:
        """Block for the next raw picture and its `time.monotonic_ns()`; raises SignalLost or SignalEnded."""

    def to_rgb(self, raw: Any) -> tuple[Image, tuple[int, int]]:
        """Convert what `read` gave: (H, W, 3) uint8 RGB and the source's width and height."""

    def facts(self) -> dict[str, Any]:
        """Return codec or device, size and rate."""

    def close(self) -> None:
        """Let go of it."""


@dataclass(slots=True)
class _Newest:
    raw: Any
    t_capture_ns: int
    index: int
    signal: Signal


class LiveSource:
    """A VideoSource over a Signal that is opened again whenever it fails."""

    live = True

    def __init__(self, name: str, connect: Callable[[], Signal], *, patience_s: float, stall_s: float) -> None:
        """Start reading in the background.

        Args:
            name: What to call it in texts.
            connect: Opens the signal; raises SignalLost if trying again may help, SourceError if not.
            patience_s: How long the very first connection may take before it counts as failed.
            stall_s: A read that blocks for longer is given up and the signal is opened again.
        """
        self.name = name
        self._connect, self._patience_s, self._stall_s = connect, patience_s, stall_s
        self._lock = threading.Condition()
        self._newest: _Newest | None = None
        self._signal: Signal | None = None
        self._failure: SourceError | None = None
        self._ended = False
        self._index = 0
        self._attempt = 0
        self._reason = ""
        self._reconnects = 0
        self._generation = 0
        self._started = self._heard = time.monotonic()
        self._begin()

    def _begin(self) -> None:
        self._thread = threading.Thread(target=self._read, args=(self._generation,), name=self.name, daemon=True)
        self._thread.start()

    @property
    def fps(self) -> float:
        """Nominal pictures per second, as far as known."""
        return self._signal.fps if self._signal else FALLBACK_FPS

    @property
    def note(self) -> str:
        """State of the signal in one line; empty when pictures flow."""
        quiet_s = time.monotonic() - self._heard
        if self._attempt and self._index:
            return f"no signal, reconnecting (attempt {self._attempt}): {self._reason}"
        if not self._index:
            why = f" (attempt {self._attempt}: {self._reason})" if self._attempt else ""
            return f"connecting to {self.name}{why}"
        if quiet_s > QUIET_S:
            return f"no signal for {quiet_s:.1f} s"
        return self._signal.note if self._signal else ""

    def facts(self) -> dict[str, Any]:
        """Return the signal's facts and the number of reconnections."""
        signal = self._signal
        return {**(signal.facts() if signal else {}), "reconnects": self._reconnects}

    def pictures(self, first: int = 0) -> Iterator[Picture | None]:
        """Yield the newest picture each time; see VideoSource."""
        while True:
            with self._lock:
                if self._newest is None and not self._ended and self._failure is None:
                    self._lock.wait(POLL_S)
                newest, self._newest = self._newest, None
            if newest is not None:
                image, source_wh = newest.signal.to_rgb(newest.raw)
                yield Picture(image, source_wh, first + newest.index, None, newest.t_capture_ns)
            elif self._failure is not None:
                raise self._failure
            elif self._ended:
                return
            else:
                self._watch_reader()
                yield None

    def close(self) -> None:
        """Stop reading; a reader that hangs in its device is left behind, it is a daemon."""
        with self._lock:
            self._generation += 1
            self._ended = True
            self._lock.notify_all()
        self._thread.join(timeout=1.0)

    def _watch_reader(self) -> None:
        """Give up a reader thread that hangs in its device."""
        if not self._index and time.monotonic() - self._started > self._patience_s + self._stall_s:
            raise SourceError(f"{self.name} hangs while it is opened", "unplug it or restart its sender")
        if time.monotonic() - self._heard < self._stall_s or self._attempt or not self._index:
            return
        with self._lock:
            self._generation += 1
            self._heard = time.monotonic()
            self._reason = f"nothing came for {self._stall_s:.0f} s"
            self._attempt = 1
        self._begin()

    def _read(self, generation: int) -> None:
        """Reader thread: connect, read until it fails, again and again."""
        backoff_s = FIRST_BACKOFF_S
        while generation == self._generation:
            try:
                signal = self._connect()
                try:
                    for raw, t_ns in iter(signal.read, None):
                        if not self._deliver(generation, signal, raw, t_ns):
                            return
                        backoff_s = FIRST_BACKOFF_S
                finally:
                    signal.close()
            except SignalEnded:
                self._finish(generation, None)
                return
            except SourceError as lost:
                if not self._retry(generation, lost):
                    return
                with self._lock:
                    self._lock.wait_for(lambda: generation != self._generation, timeout=backoff_s)
                backoff_s = min(backoff_s * 2, LAST_BACKOFF_S)

    def _deliver(self, generation: int, signal: Signal, raw: Any, t_ns: int) -> bool:
        with self._lock:
            if generation != self._generation:
                return False
            self._reconnects += bool(self._attempt and self._index)
            self._signal, self._attempt, self._heard = signal, 0, time.monotonic()
            self._newest = _Newest(raw, t_ns, self._index, signal)
            self._index += 1
            self._lock.notify_all()
            return True

    def _retry(self, generation: int, lost: SourceError) -> bool:
        with self._lock:
            if generation != self._generation:
                return False
            self._attempt += 1
            self._reason = str(lost)
            waited_s = time.monotonic() - self._started
            if self._index or (isinstance(lost, SignalLost) and waited_s < self._patience_s):
                return True
        self._finish(generation, SourceError(f"{self.name}: {lost}", lost.hint))
        return False

    def _finish(self, generation: int, failure: SourceError | None) -> None:
        with self._lock:
            if generation == self._generation:
                self._failure, self._ended = failure, True
                self._lock.notify_all()
