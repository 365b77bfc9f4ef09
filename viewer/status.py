"""The words of the state line, from plain numbers. No Qt, so that every state can be tested as text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np

from pipeline.messages import EndOfStream, People3D, StageStatus

SILENT_AFTER_S = 1.0
LATE_MS = 150.0


@dataclass(frozen=True, slots=True)
class Cell:
    """One figure of the state line: a dim label, its value, and how it is meant ("text", "good", "warn", "bad")."""

    label: str
    value: str
    level: str = "text"


@dataclass(frozen=True, slots=True)
class StateLine:
    """What the line over the panels says.

    Attributes:
        badge, level: The state in one or two words, and its colour level.
        source: What is being watched.
        cells: Figures.
        note: One line on what is going on besides, "" if nothing.
        hint: Text for the middle of the picture panel when there is nothing to see there, "" if there is.
    """

    badge: str
    level: str
    source: str
    cells: tuple[Cell, ...]
    note: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class LiveState:
    """What the state line of a live stream is made of.

    Attributes:
        source: Name of the source or the endpoint.
        people: Newest message, None before the first.
        silent_s: Seconds since the newest message.
        fps: Messages per second over the last two seconds.
        latency_ms: Capture to skeleton, NaN if unknown.
        garbage: Unreadable messages so far.
        statuses: Newest status of each stage, by name.
        ended: The stream's end marker, if it came.
        paused, recorded: Whether the picture stands still; rows recorded so far, None when not recording.
    """

    source: str
    people: People3D | None
    silent_s: float
    fps: float
    latency_ms: float
    garbage: int
    statuses: Mapping[str, StageStatus]
    ended: EndOfStream | None
    paused: bool = False
    recorded: int | None = None


def describe_live(state: LiveState) -> StateLine:
    """Return the state line of a live stream."""
    badge, level = _badge(state)
    people = state.people
    cells = []
    if people is not None:
        cells = [
            Cell("people", str(len(people.track))),
            Cell("fps", f"{state.fps:.1f}", "text" if state.fps > 0 or state.ended else "warn"),
            Cell("latency", _milliseconds(state.latency_ms), "warn" if state.latency_ms > LATE_MS else "text"),
            Cell("drops", str(people.dropped)),
        ]
    if state.recorded is not None:
        cells.append(Cell("recording", f"{state.recorded} frames", "bad"))
    return StateLine(badge, level, short_name(state.source), tuple(cells), _note(state), _hint(state))


def _badge(state: LiveState) -> tuple[str, str]:
    if any(status.state == "failed" for status in state.statuses.values()):
        return "failed", "bad"
    if state.paused:
        return "paused", "warn"
    if state.ended is not None:
        return "finished", "dim"
    if state.people is None:
        return "waiting", "dim"
    if state.silent_s > SILENT_AFTER_S:
        return f"no signal for {state.silent_s:.1f} s", "bad"
    return "live", "good"


def _note(state: LiveState) -> str:
    """Return failures and notes of the stages, then the lifter's filling, then unreadable messages."""
    notes = []
    for status in state.statuses.values():
        if status.state == "failed":
            notes.append(f"{status.stage} failed: {status.error}")
        elif status.note:
            notes.append(f"{status.stage}: {status.note}")
    if state.ended is not None and state.ended.reason not in ("end", "stopped"):
        notes.append(f"ended: {state.ended.reason}")
    if state.people is not None and state.ended is None:
        notes += _warming(state.people)
    if state.garbage:
        notes.append(f"{state.garbage} unreadable message{'s' if state.garbage > 1 else ''} ignored")
    return "  ·  ".join(notes)


def _warming(people: People3D) -> list[str]:
    """Return how far the lifter's window is filled, if anybody's is not yet."""
    filled = float(np.min(people.filled, initial=1.0))
    return [f"lifter warming up {math.floor(filled * 100)} %"] if filled < 0.995 else []


def _hint(state: LiveState) -> str:
    if state.people is None:
        return "The stream ended without a frame" if state.ended else f"Waiting for {short_name(state.source)} …"
    return "" if len(state.people.track) else "No person in view"


def _milliseconds(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.0f} ms"


def describe_playback(
    source: str,
    people: People3D,
    position: tuple[float, float],
    frame: tuple[int, int],
    playing: bool,
    speed: float,
    note: str = "",
) -> StateLine:
    """Return the state line of a results file.

    Args:
        source: Name of the file.
        people: What is shown.
        position: Time shown and length, seconds.
        frame: Frame shown and number of frames.
        playing: Whether it runs.
        speed: Times real time.
        note: What is wrong with the video, "" if nothing.
    """
    cells = (
        Cell("people", str(len(people.track))),
        Cell("time", f"{clock(position[0])} / {clock(position[1])}"),
        Cell("frame", f"{frame[0]} / {max(0, frame[1] - 1)}"),
        Cell("speed", f"{speed:g}×"),
    )
    badge, level = ("playing", "good") if playing else ("paused", "warn")
    hint = "" if len(people.track) else "No person in this frame"
    return StateLine(badge, level, source, cells, note, hint)


def short_name(source: str) -> str:
    """Return a source's name for people: a file's name without its folders, anything else as it is."""
    return source if "://" in source else PurePath(source).name or source


def clock(seconds: float) -> str:
    """Return seconds as m:ss.t."""
    tenths = round(max(0.0, seconds) * 10)
    return f"{tenths // 600}:{tenths // 10 % 60:02d}.{tenths % 10}"
