"""What a run says on the terminal while it goes: lines, and on a real terminal a status line or progress bar."""

from __future__ import annotations

import re
import sys
import time
from typing import Any

from pipeline.messages import StageStatus
from pipeline.processes.lifeline import FINISHING


class Terminal:
    """Standard error, and standard output for results."""

    def __init__(self, quiet_stdout: bool = False, progress: bool = False) -> None:
        """Look at the terminal.

        Args:
            quiet_stdout: Standard output carries JSON: all other text goes to standard error.
            progress: Show a progress bar with the time left, not a status line.
        """
        self._tty = sys.stderr.isatty()
        self._text = sys.stderr if quiet_stdout else sys.stdout
        self._wants_bar = progress and self._tty
        self._bar: Any = None
        self._task: Any = None
        self._notes: dict[str, str] = {}
        self._last: tuple[float, int] | None = None
        self._line = ""

    def say(self, line: str) -> None:
        """Write a line for people to standard error."""
        if self._bar is not None:
            self._bar.console.print(line, markup=False, highlight=False)
            return
        self._erase()
        sys.stderr.write(line + "\n")
        sys.stderr.flush()

    def write(self, text: str) -> None:
        """Write a result: to standard output, or to standard error if that carries JSON."""
        self.end()
        self._text.write(text)
        self._text.flush()

    def watch(self, board: dict[str, StageStatus]) -> None:
        """Show how the stages are doing."""
        for name, status in board.items():
            self._heed_note(name, status)
        if self._wants_bar:
            self._advance(board)
        elif self._tty:
            self._refresh(board)

    def _heed_note(self, name: str, status: StageStatus) -> None:
        note = status.note if status.state in ("running", "finished") and status.note != FINISHING else ""
        kind = re.sub(r"[\d.]+", "", note)  # "attempt 3" is no news after "attempt 2"
        if kind and kind != self._notes.get(name):
            self.say(f"{name}: {note}")
        elif not kind and self._notes.get(name) and status.state == "running":
            self.say(f"{name}: fine again")
        self._notes[name] = kind

    def _advance(self, board: dict[str, StageStatus]) -> None:
        total = board["decode"].facts.get("frames") or None if "decode" in board else None
        if self._bar is None:
            self._bar, self._task = progress_bar("frames")
        done = board["lift"].frames_out if "lift" in board else 0
        self._bar.update(self._task, completed=done, total=total)

    def _refresh(self, board: dict[str, StageStatus]) -> None:
        lift = board.get("lift")
        now_s = time.monotonic()
        if lift is None or not lift.frames_out:
            text = "loading..." if lift is None or lift.state == "starting" else "waiting for the first frame..."
        elif self._last is None or now_s - self._last[0] >= 1.0:
            before = self._last or (now_s, lift.frames_out)
            rate = (lift.frames_out - before[1]) / (now_s - before[0]) if now_s > before[0] else 0.0
            self._last = (now_s, lift.frames_out)
            latency = lift.facts.get("run", {}).get("latency_ms", {}).get("p50", 0.0)
            text = f"{max(rate, 0.0):.1f} frames/s, {latency:.0f} ms, {lift.dropped} dropped; Ctrl-C ends"
        else:
            return
        if text != self._line:
            self._erase()
            sys.stderr.write(text)
            sys.stderr.flush()
            self._line = text

    def _erase(self) -> None:
        if self._line:
            sys.stderr.write("\r\x1b[K")
            self._line = ""

    def end(self) -> None:
        """Take the status line or progress bar away."""
        self._erase()
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def progress_bar(what: str, total: int | None = None) -> tuple[Any, Any]:
    """Start a bar on standard error; returns rich's Progress and its task."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, TextColumn("left"), console=Console(stderr=True), transient=True)
    bar.start()
    return bar, bar.add_task(what, total=total)
