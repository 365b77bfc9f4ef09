"""One child process as the supervisor sees it."""

from __future__ import annotations

import multiprocessing
import select
import signal
import time
from dataclasses import replace
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection

from pipeline.config import StageConfig
from pipeline.errors import WireError
from pipeline.messages import StageStatus
from pipeline.processes.lifeline import FINISHING, READY
from pipeline.processes.process import ENDING_SIGNALS, stage_main
from pipeline.processes.wire import pack, unpack

LOADING_S = 120.0  # models load, engines are built, a camera wakes up
WRITING_S = 600.0  # the recorder turns its journal into a results file

_spawn = multiprocessing.get_context("spawn")


class Child:
    """A started row of the process table."""

    def __init__(self, config: StageConfig) -> None:
        """Start the process."""
        self.config = config
        self.status = StageStatus(stage=config.name, state="starting")
        self.ready = False
        """The stage is loaded: it runs, or as a source has opened its input and waits for GO."""
        self.heard_s = time.monotonic()
        self._lifeline: Connection[bytes, bytes] | None
        self._lifeline, theirs = _spawn.Pipe(duplex=True)
        self.process = _spawn.Process(target=stage_main, args=(config, theirs), name=config.name, daemon=True)
        # A Ctrl-C goes to the whole terminal; a child that still imports would die of it.
        resource_tracker.ensure_running()  # it would unblock them
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING_SIGNALS)
        try:
            self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        theirs.close()  # or the end of the child would not be seen here

    @property
    def handles(self) -> list[Connection[bytes, bytes] | int]:
        """What to wait on: the lifeline while it is open, and the process's end."""
        return [*([self._lifeline] if self._lifeline else []), self.process.sentinel]

    @property
    def finished(self) -> bool:
        """True once the stage has given everything on."""
        return self.status.state == "finished"

    def read(self) -> list[StageStatus]:
        """Return the statuses that have come since the last call."""
        came: list[StageStatus] = []
        try:
            while self._lifeline is not None and self._lifeline.poll():
                status = unpack(self._lifeline.recv_bytes())
                if isinstance(status, StageStatus):
                    came.append(status)
        except (EOFError, OSError, WireError):  # its end, or torn bytes of a process that was killed while writing
            self.release()
        for status in came:
            self.heard_s = time.monotonic()
            self.ready |= status.state == "running" or status.note == READY
            # Last words hold no counters; what was counted until then still counts.
            last = replace(self.status, state="failed", error=status.error, traceback=status.traceback)
            last = replace(last, facts={**self.status.facts, **status.facts})
            self.status = last if status.state == "failed" else status
        return came

    def tell(self, word: bytes | StageStatus) -> None:
        """Send GO, END or another stage's status down; left out if the child does not read."""
        if self._lifeline is None:
            return
        try:
            if select.select([], [self._lifeline], [], 0)[1]:
                self._lifeline.send_bytes(pack(word) if isinstance(word, StageStatus) else word)
        except OSError:
            self.release()

    def release(self) -> None:
        """Close the lifeline: the child leaves."""
        if self._lifeline is not None:
            self._lifeline.close()
            self._lifeline = None

    def kill(self) -> None:
        """End the process at once."""
        self.process.kill()

    def silent_s(self, limit_s: float) -> float:
        """Return for how long nothing was heard, if that is longer than it may be; else 0."""
        if self.status.state == "starting":
            limit_s = LOADING_S
        elif self.status.note == FINISHING:
            limit_s = WRITING_S
        silence_s = time.monotonic() - self.heard_s
        return silence_s if silence_s > limit_s and not self.finished else 0.0

    def cause(self) -> str:
        """Return why the process ended: its own words, or the signal or exit code."""
        if self.status.state == "failed":
            return self.status.error
        self.process.join(1.0)  # the exit code may lag behind the sentinel
        code = self.process.exitcode
        if code is not None and code < 0:
            return f"the process was ended by {signal.Signals(-code).name}"
        return f"the process ended with exit code {code}"
