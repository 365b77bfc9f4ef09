"""The command and the child process, as processes."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.config import LinkConfig, RunConfig, SourceConfig, StageConfig
from pipeline.messages import EndOfStream
from pipeline.processes.child import Child
from pipeline.results.record import collect, save_results
from tests.pipeline.clips import make_clip
from tests.viewer.people import people
from viewer import display
from viewer.app import main
from viewer.colors import LEFT, RIGHT

pytest.importorskip("PySide6", reason="the viewer's extra is not installed")

NO_SCREEN = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    messages = [people(seq=i, pts_s=i / 30) for i in range(30)]
    save_results(tmp_path / "out.npz", collect([*messages, EndOfStream(last_seq=29, reason="end")]))
    return tmp_path / "out.npz"


def view(*words: object, **env: str) -> subprocess.CompletedProcess[str]:
    """Run `posestream view` on a machine without a screen."""
    clean = {key: value for key, value in os.environ.items() if key not in NO_SCREEN} | env
    command = [sys.executable, "-m", "pipeline.cli", "view", *map(str, words)]
    return subprocess.run(command, env=clean, capture_output=True, text=True, timeout=60)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has no screen")
@pytest.mark.parametrize("env", [{}, {"DISPLAY": ":4242"}, {"DISPLAY": "nonsense"}])
def test_without_a_screen_one_line_says_so(results: Path, env: dict[str, str]):
    done = view(results, **env)
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert "display" in done.stderr
    assert done.stdout == ""


def test_without_qt_the_command_that_mends_it_is_named(monkeypatch: pytest.MonkeyPatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "PySide6" else find(name))
    with pytest.raises(display.NoWindow, match="PySide6") as caught:
        main(["out.npz"])
    assert caught.value.hint == "pip install 'posestream[viewer]'"
    assert caught.value.exit_code == 3


def test_a_screenshot_needs_no_screen(results: Path, tmp_path: Path):
    import cv2

    clip = make_clip(tmp_path / "clip.mp4", frames=30, wh=(640, 360))
    png = tmp_path / "pic.png"
    done = view(results, "--video", clip, "--screenshot", png, "--at", 0.5, "--size", "1000x600", "--view", "front")
    assert (done.returncode, done.stdout.strip()) == (0, str(png)), done.stderr
    image = cv2.cvtColor(cv2.imread(str(png)), cv2.COLOR_BGR2RGB)
    assert image.shape == (600, 1000, 3)
    for half in (image[60:480, :560], image[60:480, 560:]):  # the picture, the 3D view
        blue, orange = (np.argwhere(np.abs(half.astype(int) - c).max(-1) < 60)[:, 1] for c in (LEFT, RIGHT))
        assert min(len(blue), len(orange)) > 50
        assert blue.mean() > orange.mean() + 15  # seen from the front, the left side is on the right
    red = np.abs(image[60:480, :560].astype(int) - (230, 30, 30)).max(-1) < 40  # the video's own marker
    assert red.sum() > 2000


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["missing.npz"], "does not exist"),
        (["README.md"], "not a results file"),
        (["nonsense"], "neither a results file nor an endpoint"),
        (["hello://x:1"], "cannot listen"),
    ],
)
def test_what_cannot_be_viewed_is_told_in_one_line(tmp_path: Path, words: list[str], text: str):
    done = view(*words, "--screenshot", tmp_path / "x.png")
    assert done.returncode == 2
    assert text in done.stderr
    assert done.stderr.count("\n") == 1


def row(tmp_path: Path, target: str) -> StageConfig:
    run = RunConfig(SourceConfig("camera", "0"))
    endpoint = f"ipc://{tmp_path}/view"
    return StageConfig("view", target, run, subscribe=endpoint, own_loop=True, essential=False)


def until(child: Child, what: Callable[[], object], seconds: float = 20.0) -> None:
    end_s = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end_s, "it did not happen"
        child.read()
        time.sleep(0.02)


def test_as_a_child_it_reports_and_goes_when_the_lifeline_is_cut(tmp_path: Path):
    import zmq

    from pipeline.processes.links import Sender
    from pipeline.processes.wire import pack

    context: zmq.Context = zmq.Context()
    config = row(tmp_path, "viewer.app:run_viewer")
    publisher = Sender(context, LinkConfig(str(config.subscribe), publish=True))
    child = Child(config)
    try:
        until(child, lambda: child.status.state == "running")
        for seq in range(30):
            publisher.try_send(pack(people(seq=seq)))
            time.sleep(0.02)
        publisher.try_send(b"garbage")
        heard_s = child.heard_s
        until(child, lambda: child.heard_s > heard_s + 0.5)  # it goes on reporting
        assert child.process.is_alive()
        child.release()
        child.process.join(5)
        assert child.process.exitcode == 0
    finally:
        child.kill()
        context.destroy(linger=0)


def test_closing_the_window_is_the_end_of_the_child(tmp_path: Path):
    child = Child(row(tmp_path, "tests.viewer.closing:run"))
    try:
        until(child, lambda: child.status.state == "finished")
        child.process.join(5)
        assert child.process.exitcode == 0
    finally:
        child.kill()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has no screen")
def test_a_child_without_a_screen_fails_for_good_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in NO_SCREEN:
        monkeypatch.delenv(name, raising=False)
    child = Child(row(tmp_path, "viewer.app:run_viewer"))
    try:
        until(child, lambda: child.status.state == "failed")
        assert "no display" in child.status.error
        assert child.status.facts["permanent"]
    finally:
        child.kill()
