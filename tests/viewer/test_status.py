from __future__ import annotations

import math
from dataclasses import replace

import pytest

from pipeline.messages import EndOfStream, StageStatus
from tests.viewer.people import people
from viewer.status import LiveState, clock, describe_live, describe_playback, short_name

WAITING = LiveState("rtsp://door", None, 0.0, 0.0, math.nan, 0, {}, None)
LIVE = replace(WAITING, people=people([(0, 0, 4), (1, 0, 4)]), fps=29.94, latency_ms=21.6, silent_s=0.02)


def cells(state: LiveState) -> dict[str, str]:
    return {cell.label: cell.value for cell in describe_live(state).cells}


def test_a_stream_that_is_waited_for():
    line = describe_live(WAITING)
    assert (line.badge, line.hint) == ("waiting", "Waiting for rtsp://door …")
    assert line.cells == ()


def test_a_live_stream_shows_its_figures():
    line = describe_live(LIVE)
    assert (line.badge, line.level, line.hint, line.note) == ("live", "good", "", "")
    assert cells(LIVE) == {"people": "2", "fps": "29.9", "latency": "22 ms", "drops": "0"}
    assert cells(replace(LIVE, people=replace(LIVE.people, dropped=7)))["drops"] == "7"


def test_silence_is_counted_in_seconds():
    line = describe_live(replace(LIVE, silent_s=1.24))
    assert (line.badge, line.level) == ("no signal for 1.2 s", "bad")


def test_nobody_in_view():
    assert describe_live(replace(LIVE, people=people([]))).hint == "No person in view"


def test_a_lifter_that_warms_up():
    assert describe_live(replace(LIVE, people=people(filled=0.404))).note == "lifter warming up 40 %"


def test_stages_notes_failures_and_garbage():
    notes = {"decode": StageStatus(stage="decode", state="running", note="reconnecting (attempt 3)")}
    assert describe_live(replace(LIVE, statuses=notes)).note == "decode: reconnecting (attempt 3)"
    assert "1 unreadable message ignored" in describe_live(replace(LIVE, garbage=1)).note
    failed = {"lift": StageStatus(stage="lift", state="failed", error="no such model")}
    line = describe_live(replace(LIVE, statuses=failed))
    assert (line.badge, line.note) == ("failed", "lift failed: no such model")


def test_ends():
    line = describe_live(replace(LIVE, ended=EndOfStream(last_seq=9, reason="end"), silent_s=60))
    assert (line.badge, line.level, line.note) == ("finished", "dim", "")
    cut = describe_live(replace(LIVE, ended=EndOfStream(last_seq=9, reason="camera unplugged")))
    assert cut.note == "ended: camera unplugged"
    nothing = describe_live(replace(WAITING, ended=EndOfStream(last_seq=-1, reason="end")))
    assert nothing.hint == "The stream ended without a frame"


def test_pause_and_recording_and_unknown_latency():
    assert describe_live(replace(LIVE, paused=True)).badge == "paused"
    assert cells(replace(LIVE, recorded=12))["recording"] == "12 frames"
    assert cells(replace(LIVE, latency_ms=math.nan))["latency"] == "–"


def test_playback_line():
    line = describe_playback("out.npz", people([]), (61.24, 125.0), (30, 120), True, 0.5)
    values = {cell.label: cell.value for cell in line.cells}
    assert values == {"people": "0", "time": "1:01.2 / 2:05.0", "frame": "30 / 119", "speed": "0.5×"}
    assert (line.badge, line.hint) == ("playing", "No person in this frame")


def test_names():
    assert [short_name(s) for s in ("/a/b/clip.mp4", "camera 0", "rtsp://h/live")] == [
        "clip.mp4", "camera 0", "rtsp://h/live",
    ]  # fmt: skip


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00.0"), (59.97, "1:00.0"), (-1, "0:00.0"), (600, "10:00.0")])
def test_clock(seconds: float, text: str):
    assert clock(seconds) == text
