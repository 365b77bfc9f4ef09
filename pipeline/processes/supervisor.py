"""Starts the process table, watches it, restarts what dies in a live run, and ends it in good order.

The supervisor holds no sockets and imports none of the stages. It waits on lifelines and process ends.
First failure wins. A replay fails fast: temporal state is lost and results would have a hole. A live run
restarts a stage that died or fell silent, unless it keeps dying or says that it would fail again.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import wait

from pipeline.config import StageConfig
from pipeline.messages import StageStatus
from pipeline.processes.child import Child
from pipeline.processes.lifeline import END, FINISHING, GO
from pipeline.processes.outcome import Failure, Outcome
from pipeline.processes.process import catch_signals

SILENT_LIVE_S = 5.0
SILENT_REPLAY_S = 60.0  # nobody waits for it, and one picture may be huge
CRASHES, CRASH_WINDOW_S = 5, 60.0
LAST_BACKOFF_S = 4.0
FALLBACK_FPS = 60.0  # of a source that died before it told its rate
END_S = 10.0  # how long the stages may take to hand the last frames on


class Supervisor:
    """One run over a process table."""

    def __init__(
        self,
        rows: tuple[StageConfig, ...],
        say: Callable[[str], None],
        watch: Callable[[dict[str, StageStatus]], None] = lambda board: None,
    ) -> None:
        """Prepare a run.

        Args:
            rows: The process table.
            say: Takes a line for people: a restart, a viewer that is gone.
            watch: Is called several times a second with every stage's last status.
        """
        self._rows, self._say, self._watch = rows, say, watch
        self._live = rows[0].run.live
        self._children: dict[str, Child] = {}
        self._due: dict[str, tuple[float, StageConfig]] = {}  # restarts to come: when, and the row
        self._crashes: dict[str, list[float]] = {row.name: [] for row in rows}
        self._signals: list[int] = []
        self._end_by_s: float | None = None
        self._done = False  # every essential stage has finished
        self.outcome = Outcome()

    def run(self) -> Outcome:
        """Run to the end. SIGINT, SIGTERM and SIGHUP end it in good order, a second one at once."""
        self.outcome.started_ns = time.monotonic_ns()
        with catch_signals(self._signals) as wake:
            try:
                for row in self._rows:
                    self._children[row.name] = Child(row)
                while not self._over():
                    handles = [h for child in self._children.values() for h in child.handles]
                    wait([*handles, wake], timeout=0.25)
                    with contextlib.suppress(BlockingIOError):
                        wake.recv(64)
                    self._turn()
            finally:
                self._stop()
        return self.outcome

    # ---- one turn of the loop

    def _turn(self) -> None:
        self._read()
        for child in list(self._children.values()):
            if not child.process.is_alive():
                self._read()  # its last words may have come after the first look
                self._lost(child, child.cause())
            elif silence_s := child.silent_s(SILENT_LIVE_S if self._live else SILENT_REPLAY_S):
                child.kill()
                child.process.join()
                self._lost(child, f"it has been silent for {silence_s:.1f} s (last frame {_last_seq(child.status)})")
        for name, (when_s, row) in list(self._due.items()):
            if time.monotonic() >= when_s and self._end_by_s is None:
                del self._due[name]
                self._start_again(row)
        self._send_go()
        self._heed_signals()
        self._watch({name: child.status for name, child in self._children.items()})

    def _read(self) -> None:
        for child in list(self._children.values()):
            for status in child.read():
                self._tell(status)
            self._keep(child)

    def _tell(self, status: StageStatus) -> None:
        for child in self._children.values():
            if child.config.told and child.config.name != status.stage:
                child.tell(status)

    def _keep(self, child: Child) -> None:
        history = self.outcome.statuses.setdefault(child.config.name, [])
        history[child.config.attempt :] = [child.status]

    def _send_go(self) -> None:
        children = self._children.values()
        # A recording would play unseen until the viewer stands; a camera need not wait for it.
        waits = not self._rows[0].run.source.endless
        if self._due or not all(c.ready for c in children if c.config.essential or waits):
            return
        for child in children:
            if child.config.is_source and child.status.state == "starting":
                self.outcome.go_ns = self.outcome.go_ns or time.monotonic_ns()
                child.tell(GO)

    def _over(self) -> bool:
        outcome = self.outcome
        essential = [child for child in self._children.values() if child.config.essential]
        if outcome.failure or len(self._signals) > 1:
            return True
        writing = any(child.status.note == FINISHING for child in essential)
        late = self._end_by_s is not None and time.monotonic() > self._end_by_s
        if late and not writing:
            return True
        return not self._due and all(child.finished for child in essential) and not self._watched()

    def _watched(self) -> bool:
        """Whether a window still shows the last frame of a stream that ended by itself: closing it ends the run."""
        if not self._done:
            self._done = True
            if self._window_open():
                self._say("the source has ended; close the window, or press Ctrl-C, to end the run")
        return self._window_open()

    def _window_open(self) -> bool:
        return self._end_by_s is None and any(child.config.own_loop for child in self._children.values())

    # ---- faults

    def _lost(self, child: Child, cause: str) -> None:
        row, status = child.config, child.status
        child.release()
        del self._children[row.name]
        if row.own_loop and status.state == "finished":  # the user closed the window
            self._end()
            return
        now_s = time.monotonic()
        recent = [t for t in self._crashes[row.name] if now_s - t < CRASH_WINDOW_S]
        self._crashes[row.name] = [*recent, now_s]
        hopeless = bool(status.facts.get("permanent")) or (not child.ready and row.attempt == 0)
        ending = self._end_by_s is not None or any(c.finished for c in self._children.values() if c.config.essential)
        if self._live and not hopeless and not ending and len(recent) + 1 < CRASHES:
            self._restart_later(child, cause, len(recent))
            return
        cause = f"{cause} ({len(recent) + 1} times in {CRASH_WINDOW_S:.0f} s)" if recent else cause
        if row.essential:
            self._fail(row.name, cause, status)
        else:
            self._say(f"{row.name}: {cause}; going on without it")

    def _fail(self, stage: str, cause: str, status: StageStatus) -> None:
        if self.outcome.failure is not None:
            return
        facts = status.facts if status.state == "failed" else {}
        self.outcome.failure = Failure(
            stage, cause, str(facts.get("hint", "")), status.traceback, int(facts.get("exit_code", 1))
        )

    def _restart_later(self, child: Child, cause: str, crashes: int) -> None:
        row, pause_s = child.config, min(LAST_BACKOFF_S, 0.125 * 2**crashes) if crashes else 0.0
        first_seq = row.first_seq
        if row.is_source:
            first_seq = self._next_seq(child)
        again = replace(row, attempt=row.attempt + 1, first_seq=first_seq, restarted=f"{cause}; restarted")
        self._due[row.name] = (time.monotonic() + pause_s, again)
        note = f"{cause}; restarting"
        self._say(f"{row.name}: {note}")
        self._tell(StageStatus(stage=row.name, state="starting", note=note))

    def _next_seq(self, child: Child) -> int:
        """Guess the index that the next frame would have had, rather too high than given out before."""
        run = child.status.facts.get("run", {})
        seconds = (run.get("last_ns", 0) - run.get("first_ns", 0)) / 1e9
        rate = child.status.frames_out / seconds if seconds > 0 else FALLBACK_FPS
        unheard = 0 if child.status.state == "failed" else 1 + round(1.1 * rate * (time.monotonic() - child.heard_s))
        return max(_last_seq(child.status), child.config.first_seq - 1) + 1 + unheard

    def _start_again(self, row: StageConfig) -> None:
        self._children[row.name] = child = Child(row)
        if row.told:  # it missed what the others said of their models
            for other in self._children.values():
                child.tell(other.status)

    # ---- the end

    def _heed_signals(self) -> None:
        if self._signals:
            self.outcome.exit_code = 128 + self._signals[0]
            self._end()

    def _end(self) -> None:
        """End the stream at its source, so that everything behind it completes its work."""
        if self._end_by_s is not None:
            return
        self._due.clear()
        sources = [child for child in self._children.values() if child.config.is_source]
        for child in sources:
            child.tell(END)
        can_end = bool(sources) and self.outcome.go_ns > 0
        self._end_by_s = time.monotonic() + (END_S if can_end else 0.0)

    def _stop(self) -> None:
        outcome = self.outcome
        self._read()
        hurry = len(self._signals) > 1
        for child in self._children.values():
            child.release()
        deadline_s = time.monotonic()
        for child in self._children.values():
            patience_s = 0.0 if hurry else child.config.stop_s
            child.process.join(max(0.0, deadline_s + patience_s - time.monotonic()))
            if child.process.is_alive():
                child.kill()
                child.process.join()
        if outcome.failure and not self._signals:
            outcome.exit_code = outcome.failure.exit_code


def _last_seq(status: StageStatus) -> int:
    return int(status.facts.get("run", {}).get("last_seq", -1))
