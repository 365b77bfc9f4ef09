"""Live runs over real processes: nobody waits, what dies comes back, the stream says so, nothing is left."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq

from pipeline.client import subscribe
from pipeline.messages import EndOfStream, People3D, StageStatus
from pipeline.processes.links import Subscriber
from pipeline.results.record import load_results
from tests.e2e.conftest import Run

Start = Callable[..., Run]
ENDLESS = {"FAKE_FRAMES": 1000000, "FAKE_FPS": 60}


@pytest.fixture
def endpoint(corner: Path) -> str:
    return f"ipc://{corner / 'pub'}"


class Listener:
    """Hears everything that a run publishes."""

    def __init__(self, endpoint: str) -> None:
        self._context: zmq.Context[Any] = zmq.Context()
        self._socket = Subscriber(self._context, endpoint, (People3D, StageStatus, EndOfStream))
        self.statuses: list[StageStatus] = []
        self.last: People3D | None = None
        self.end: EndOfStream | None = None

    def listen(self, seconds: float) -> int:
        """Listen for so long; returns the number of frames heard."""
        frames, until_s = 0, time.monotonic() + seconds
        while time.monotonic() < until_s and self.end is None:
            if not self._socket.wait(50):
                continue
            message = self._socket.try_receive()
            if isinstance(message, People3D):
                frames, self.last = frames + 1, message
            elif isinstance(message, StageStatus):
                self.statuses.append(message)
            elif isinstance(message, EndOfStream):
                self.end = message
        return frames

    def notes_of(self, stage: str) -> str:
        return " ".join(status.note for status in self.statuses if status.stage == stage)

    def close(self) -> None:
        self._context.destroy(linger=0)


@pytest.fixture
def listener(endpoint: str) -> Iterator[Listener]:
    listener = Listener(endpoint)
    yield listener
    listener.close()


def test_dead_stages_come_back_and_the_recording_goes_on(
    start: Start, corner: Path, endpoint: str, listener: Listener
) -> None:
    run = start("live", FAKE_SAVE=corner / "o.npz", FAKE_PUBLISH=endpoint, **ENDLESS)
    run.wait_for(lambda: listener.listen(0.2), "skeletons")
    for stage in ("detect", "lift", "record", "decode"):
        old = run.stage(stage)
        os.kill(old, signal.SIGKILL)
        killed_s = time.monotonic()
        run.wait_for(lambda old=old: old not in run.pids(), "the stage to be dead")
        listener.listen(0.3)  # what was under way
        run.wait_for(lambda: listener.listen(0.1), f"skeletons after {stage} died", 15)
        print(f"{stage}: skeletons again {time.monotonic() - killed_s:.1f} s after kill -9")
        run.stage(stage)
        assert listener.listen(1.0) > 5
    os.kill(run.process.pid, signal.SIGINT)
    assert run.end() == 130, run.err
    run.assert_nothing_left()
    assert listener.listen(2.0) >= 0
    assert listener.end is not None
    assert listener.end.reason == "stopped"
    for stage in ("detect", "lift", "record", "decode"):
        assert f"{stage}: the process was ended by SIGKILL; restarting" in run.err
        assert run.summary["stages"][stage]["restarts"] == 1
    assert "restarting" in listener.notes_of("detect"), "the stream says that a stage is restarted"
    results = load_results(corner / "o.npz")
    seqs = np.unique(results.frame)
    assert np.all(np.diff(results.frame) >= 0), "frames keep their order over restarts"
    assert np.array_equal(results.xyz_m[:, 0, 0], results.frame)
    assert results.frames > seqs[-1] > 200
    assert set(results.info["models"]) == {"detector", "lifter"}


def test_a_silent_stage_is_restarted(start: Start, endpoint: str, listener: Listener) -> None:
    run = start("live", FAKE_FAULT="lift:hang:20", FAKE_PUBLISH=endpoint, **ENDLESS)
    run.wait_for(lambda: "lift: it has been silent for 5" in run.err, "the restart")
    listener.listen(0.1)
    run.wait_for(lambda: listener.listen(0.2), "skeletons again", 15)
    run.wait_for(lambda: listener.listen(0.5) and listener.notes_of("lift"), "a word about it in the stream")
    assert "silent for 5" in listener.notes_of("lift")
    os.kill(run.process.pid, signal.SIGTERM)
    assert run.end() == 143
    assert "last frame" in run.err
    run.assert_nothing_left()


def test_a_stage_that_keeps_dying_ends_the_run(start: Start) -> None:
    run = start("live", FAKE_FAULT="detect:exit:0:always", **ENDLESS)
    assert run.end() == 1
    assert "posestream: detect: the process ended with exit code 7 (5 times in 60 s)" in run.err
    assert run.err.count("; restarting") == 4
    run.assert_nothing_left()


@pytest.mark.parametrize(("fault", "code"), [("lift:raise:-1", 1), ("decode:source:5", 2)])
def test_what_would_fail_again_is_not_restarted(start: Start, fault: str, code: int) -> None:
    run = start("live", FAKE_FAULT=fault, **ENDLESS)
    assert run.end() == code
    assert "restarting" not in run.err
    run.assert_nothing_left()


def test_every_frame_is_processed_or_counted_as_dropped(start: Start, corner: Path, endpoint: str) -> None:
    # 1.5 s and more, so that the subscriber finds the stream while it runs
    run = start("live", FAKE_FRAMES=3000, FAKE_FPS=2000, FAKE_SAVE=corner / "o.npz", FAKE_PUBLISH=endpoint)
    heard = []
    reader = threading.Thread(target=lambda: heard.extend(subscribe(endpoint, timeout_s=30)))
    reader.start()
    assert run.end() == 0, run.err
    reader.join(30)
    frames = run.summary["frames"]
    assert frames["decoded"] == 3000
    assert frames["processed"] + frames["dropped"] == 3000
    assert load_results(corner / "o.npz").frames == 3000
    lift = run.summary["stages"]["lift"]
    assert lift["dropped"] + lift["frames_in"] == 3000
    assert all(a.stamp.seq < b.stamp.seq for a, b in itertools.pairwise(heard))
    assert all(p.preview is None for p in heard)
    assert set(heard[-1].stamp.t_stage_ns) == {"decode", "detect", "lift"}


@pytest.mark.parametrize("command", ["live", "replay"])
def test_garbage_on_a_link_is_said_in_one_line(start: Start, corner: Path, command: str) -> None:
    part = corner / "o.npz.part"
    run = start(command, FAKE_SAVE=corner / "o.npz", **ENDLESS)
    run.wait_for(lambda: part.exists() and part.stat().st_size > 20000, "frames")
    link = next(corner.glob("posestream-*/run-*/people.ipc"))
    with zmq.Context() as context, context.socket(zmq.PUSH) as intruder:
        intruder.connect(f"ipc://{link}")
        intruder.send(b"GET / HTTP/1.1")
        if command == "replay":
            assert run.end() == 1
            assert "posestream: lift: not a posestream message: it starts with b'GE'" in run.err
        else:
            run.wait_for(lambda: "lift: ignored an unreadable message: not a posestream" in run.err, "a word about it")
            size = part.stat().st_size
            run.wait_for(lambda: part.stat().st_size > size + 10000, "the run to go on")
            os.kill(run.process.pid, signal.SIGINT)
            assert run.end() == 130
    assert "Traceback" not in run.err
    run.assert_nothing_left()


def test_closing_the_window_ends_the_run_well(start: Start, corner: Path) -> None:
    run = start("live", FAKE_VIEW="closed", FAKE_SAVE=corner / "o.npz", **ENDLESS)
    assert run.end() == 0, run.err
    assert load_results(corner / "o.npz").info["reason"] == "stopped"
    run.assert_nothing_left()


def test_the_window_stays_after_the_end_of_a_clip(start: Start, corner: Path) -> None:
    run = start("live", FAKE_FRAMES=3, FAKE_VIEW="closed")
    run.wait_for(lambda: "close the window" in run.err, "the clip's end")
    assert "ps-view" in run.pids().values()
    assert run.end() == 0  # the fake user closes it after half a second
    run.assert_nothing_left()


def test_a_run_goes_on_without_a_viewer_that_cannot_live(start: Start, corner: Path) -> None:
    part = corner / "o.npz.part"
    run = start("live", FAKE_VIEW="crash", FAKE_SAVE=corner / "o.npz", **ENDLESS)
    said = "view: RuntimeError: no pixels left; going on without it"
    run.wait_for(lambda: said in run.err, "the supervisor to give the viewer up")
    run.wait_for(lambda: part.exists() and part.stat().st_size > 20000, "frames without it")
    os.kill(run.process.pid, signal.SIGINT)
    assert run.end() == 130
    run.assert_nothing_left()


@pytest.mark.parametrize("command", ["live", "replay"])
def test_a_full_disk_ends_the_run_and_keeps_what_was_recorded(start: Start, corner: Path, command: str) -> None:
    run = start(command, FAKE_DISK=200_000, FAKE_SAVE=corner / "o.npz", FAKE_FRAMES=1000000, FAKE_FPS=500)
    assert run.end() == 1, run.err
    told = [line for line in run.err.splitlines() if line.startswith("posestream:")]
    assert len(told) == 1
    assert "posestream: record: cannot write" in told[0]
    assert "File too large" in told[0]
    assert "restarting" not in run.err
    run.assert_nothing_left()
    assert load_results(corner / "o.npz.part").frames > 50


def test_a_port_in_use_is_said_in_one_line(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        run = start("live", FAKE_PUBLISH=f"tcp://127.0.0.1:{port}", **ENDLESS)
        assert run.end() == 2
    assert f"posestream: lift: cannot publish on tcp://127.0.0.1:{port}" in run.err
    assert "--publish" in run.err
    run.assert_nothing_left()


def test_an_overlay_video_holds_every_frame(start: Start, corner: Path) -> None:
    av = pytest.importorskip("av")
    run = start("replay", FAKE_FRAMES=12, FAKE_VIDEO=corner / "o.mp4", FAKE_SAVE=corner / "o.npz")
    assert run.end() == 0, run.err
    with av.open(str(corner / "o.mp4")) as video:
        assert sum(1 for _ in video.decode(video=0)) == 12
    assert load_results(corner / "o.npz").frames == 12
