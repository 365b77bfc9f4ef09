"""Replays over real processes: everything arrives, the first failure ends it with one line, nothing is left."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.results.record import load_results
from tests.e2e.conftest import Run

Start = Callable[..., Run]


def test_every_frame_reaches_the_results(start: Start, corner: Path) -> None:
    run = start("replay", FAKE_FRAMES=100, FAKE_SAVE=corner / "o.npz")
    assert run.end() == 0, run.err
    summary = run.summary
    assert summary["frames"] == {"decoded": 100, "processed": 100, "dropped": 0, "with_people": 66}
    assert summary["models"]["detector"]["sha256"] == "ab" * 32
    assert {name: s["frames_in"] for name, s in summary["stages"].items()} == dict.fromkeys(
        ("decode", "detect", "lift", "record"), 100
    )
    results = load_results(corner / "o.npz")
    assert (results.frames, results.fps, results.size_wh.tolist()) == (100, 30.0, [64, 48])
    assert results.frame.tolist() == [seq for seq in range(100) for _ in range(seq % 3)]
    assert np.array_equal(results.xyz_m[:, 0, 0], results.frame)
    assert results.info["complete"]
    assert set(results.info["models"]) == {"detector", "lifter"}
    assert not (corner / "o.npz.part").exists()
    run.assert_nothing_left()


def test_a_stream_of_one_frame_is_complete(start: Start, corner: Path) -> None:
    run = start("replay", FAKE_FRAMES=1, FAKE_SAVE=corner / "o.npz")
    assert run.end() == 0, run.err
    results = load_results(corner / "o.npz")
    assert (results.frames, len(results.frame), results.info["complete"]) == (1, 0, True)
    assert results.info["source"]["source"] == "fake"


@pytest.mark.parametrize(
    ("fault", "says", "code"),
    [
        ("detect:raise:10", "detect: RuntimeError: engine exploded", 1),
        ("lift:segv:10", "lift: the process was ended by SIGSEGV", 1),
        ("decode:source:10", "decode: no such film (look elsewhere)", 2),
        ("lift:raise:-1", "lift: RuntimeError: engine exploded", 1),
    ],
)
def test_the_first_failure_ends_the_run_in_one_line(
    start: Start, corner: Path, fault: str, says: str, code: int
) -> None:
    run = start("replay", FAKE_FAULT=fault, FAKE_SAVE=corner / "o.npz", FAKE_FRAMES=100000, FAKE_FPS=60)
    assert run.end() == code, run.err
    told = [line for line in run.err.splitlines() if line.startswith("posestream:")]
    assert len(told) == 1
    assert says in told[0]
    assert "Traceback" not in run.err
    assert ("log: " in told[0]) == (code == 1), "of a wrong input all is said"
    if "segv" in fault:
        assert "Segmentation fault" in Path(told[0].rpartition("log: ")[2]).read_text()
    run.assert_nothing_left()
    if ":10" in fault:
        results = load_results(corner / "o.npz")
        assert not results.info["complete"]
        assert results.frames <= 10, "only what was recorded before the fault"
    else:
        assert not (corner / "o.npz").exists(), "no frames, no results file"


def test_debug_shows_the_traceback(start: Start) -> None:
    run = start("replay", "--debug", FAKE_FAULT="detect:raise:3")
    assert run.end() == 1
    assert "in strike" in run.err


@pytest.mark.parametrize("stage", ["decode", "detect", "lift"])
def test_kill_9_of_a_stage_ends_the_run(start: Start, corner: Path, stage: str) -> None:
    run = start("replay", FAKE_FPS=100, FAKE_FRAMES=100000, FAKE_SAVE=corner / "o.npz")
    run.wait_for(lambda: (corner / "o.npz.part").exists() and (corner / "o.npz.part").stat().st_size > 20000, "frames")
    os.kill(run.stage(stage), signal.SIGKILL)
    assert run.end() == 1
    assert f"posestream: {stage}: the process was ended by SIGKILL" in run.err
    run.assert_nothing_left()
    assert load_results(corner / "o.npz").frames > 5


def test_kill_9_of_the_recorder_leaves_a_readable_journal(start: Start, corner: Path) -> None:
    part = corner / "o.npz.part"
    run = start("replay", FAKE_FPS=100, FAKE_FRAMES=100000, FAKE_SAVE=corner / "o.npz")
    run.wait_for(lambda: part.exists() and part.stat().st_size > 20000, "frames")
    os.kill(run.stage("record"), signal.SIGKILL)
    assert run.end() == 1
    assert "record: the process was ended by SIGKILL" in run.err
    run.assert_nothing_left()
    results = load_results(part)
    assert results.frames > 5
    assert results.info["reason"] == "interrupted"
    assert set(results.info["models"]) == {"detector", "lifter"}
    assert np.array_equal(results.xyz_m[:, 0, 0], results.frame)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_run_in_good_order(start: Start, corner: Path, number: int, code: int) -> None:
    run = start("replay", FAKE_FPS=50, FAKE_FRAMES=100000, FAKE_SAVE=corner / "o.npz")
    part = corner / "o.npz.part"
    run.wait_for(lambda: part.exists() and part.stat().st_size > 20000, "frames")
    for pid in [run.process.pid, *run.pids()]:  # as a terminal or an init system does: everybody gets it
        os.kill(pid, number)
    began_s = time.monotonic()
    assert run.end() == code, run.err
    assert time.monotonic() - began_s < 8
    assert "Traceback" not in run.err
    run.assert_nothing_left()
    results = load_results(corner / "o.npz")
    assert results.info["reason"] == "stopped"
    assert results.frames == run.summary["frames"]["decoded"] == run.summary["frames"]["processed"]


def test_a_signal_while_loading_ends_the_run(start: Start) -> None:
    run = start("replay", FAKE_FAULT="detect:hang:-1")
    run.stage("detect")
    os.kill(run.process.pid, signal.SIGINT)
    assert run.end(20) == 130
    run.assert_nothing_left()


def test_signals_to_the_children_alone_change_nothing(start: Start) -> None:
    """A terminal's Ctrl-C reaches them too, at any moment: while they still import, they must not die of it."""
    run = start("replay", FAKE_FRAMES=30)
    while run.process.poll() is None:
        for pid in run.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGINT)
        time.sleep(0.005)
    assert run.end() == 0, run.err
    assert run.summary["frames"]["processed"] == 30
    assert "Traceback" not in run.err


def test_a_second_signal_ends_it_at_once(start: Start) -> None:
    run = start("replay", FAKE_FAULT="lift:hang:5", FAKE_FRAMES=100000)
    run.stage("lift")
    time.sleep(1.0)
    os.kill(run.process.pid, signal.SIGINT)
    time.sleep(0.5)
    assert run.process.poll() is None, "it waits for the stages to end"
    began_s = time.monotonic()
    os.kill(run.process.pid, signal.SIGINT)
    assert run.end() == 130
    assert time.monotonic() - began_s < 3
    run.assert_nothing_left()


def test_the_supervisors_death_leaves_no_process_and_a_finished_file(start: Start, corner: Path) -> None:
    run = start("replay", FAKE_FPS=100, FAKE_FRAMES=100000, FAKE_SAVE=corner / "o.npz")
    part = corner / "o.npz.part"
    run.wait_for(lambda: part.exists() and part.stat().st_size > 20000, "frames")
    run.process.kill()
    run.end()
    run.wait_for(lambda: not run.pids(), "the children to leave by themselves", 10)
    assert load_results(corner / "o.npz").frames > 5
    run.assert_nothing_left()
