"""The whole window, offscreen."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from pipeline.messages import EndOfStream, People3D
from pipeline.results.record import collect, load_results
from tests.viewer.people import people, picture
from viewer.feed import Feed
from viewer.playback import Playback
from viewer.session import LiveSession

pytest.importorskip("PySide6", reason="the viewer's extra is not installed")


class SilentEar:
    def wait(self, timeout_ms: int) -> bool:
        time.sleep(0.01)
        return False

    def try_receive(self) -> None:
        return None

    def close(self) -> None:
        pass


@pytest.fixture
def live(app: object, tmp_path: Path) -> Iterator[object]:
    from viewer.window import Window

    window = Window(LiveSession(Feed("the door", SilentEar)), tmp_path)
    window.show()
    yield window
    gone(window)


@pytest.fixture
def playback(app: object, tmp_path: Path) -> Iterator[object]:
    from viewer.window import Window

    messages = [people([(0, 0, 4)] * (i < 60), seq=i, pts_s=i / 30) for i in range(90)]
    window = Window(Playback(collect([*messages, EndOfStream(last_seq=89, reason="end")]), "out.npz"), tmp_path)
    window.show()
    yield window
    gone(window)


def gone(window: object) -> None:
    """Close a window and make sure that its timer does not end a later test's event loop."""
    window.close()
    window._timer.stop()
    window.deleteLater()


def hear(window: object, message: People3D | EndOfStream) -> None:
    window.live.feed._hear(message, time.monotonic_ns())
    window.tick()


def press(window: object, key: str) -> None:
    from PySide6.QtGui import QKeySequence
    from PySide6.QtTest import QTest

    _activate(window)
    combination = QKeySequence(key)[0]
    QTest.keyClick(window, combination.key(), combination.keyboardModifiers())


def _activate(window: object) -> None:
    from PySide6.QtTest import QTest

    window.activateWindow()
    assert QTest.qWaitForWindowActive(window, 5000)


def wait(app: object, what: Callable[[], object], seconds: float = 5.0) -> None:
    end_s = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end_s, "it did not happen"
        app.processEvents()
        time.sleep(0.002)


def test_waiting_then_people_then_nobody_then_the_end(live):
    live.settle()
    assert live.state_bar.line.badge == "waiting"
    assert live.video.hint == "Waiting for the door …"
    hear(live, people(preview=picture(), source="camera 0"))
    live.settle()
    assert (live.state_bar.line.badge, live.state_bar.line.source, live.video.hint) == ("live", "camera 0", "")
    assert live.windowTitle() == "camera 0 – posestream"
    assert len(live.scene.scene.figures) == 1
    hear(live, people([], seq=1, preview=picture()))
    live.settle()
    assert live.video.hint == "No person in view"
    hear(live, EndOfStream(last_seq=1, reason="end"))
    live.settle()
    assert live.state_bar.line.badge == "finished"
    assert live.isVisible()


def test_news_draws_without_waiting_for_the_timer(live, app):
    live._timer.stop()
    live.live.feed._hear(people(seq=3), time.monotonic_ns())
    live.news.emit()
    wait(app, lambda: live.video._people is not None and live.video._people.stamp.seq == 3)


def test_pause_holds_the_picture_still_and_goes_on_with_the_newest(live):
    hear(live, people(seq=1))
    press(live, "Space")
    assert live.pause_button.text() == "Play"
    hear(live, people(seq=2))
    hear(live, people(seq=3))
    live.settle()
    assert live.video._people.stamp.seq == 1
    assert live.state_bar.line.badge == "paused"
    live.pause_button.click()
    live.tick()
    assert live.video._people.stamp.seq == 3


def test_screenshot_key_saves_the_window_and_says_where(live, tmp_path: Path):
    import cv2

    hear(live, people(preview=picture()))
    press(live, "S")
    press(live, "S")  # within the same second
    files = sorted(tmp_path.glob("posestream-*.png"))
    assert len(files) == 2
    assert str(files[0].parent) in live.controls.toast.text()
    image = cv2.imread(str(files[0]))
    assert image.shape == (720, 1280, 3)
    assert (np.abs(image.astype(int) - (40, 90, 30)).max(-1) < 6).sum() > 50_000  # the picture is in it


def test_a_screenshot_that_cannot_be_written_is_told(live, tmp_path: Path):
    live.out_dir = tmp_path / "missing"
    assert live.screenshot() is None
    assert "Could not write" in live.controls.toast.text()
    press(live, "C")
    hear(live, people())
    press(live, "C")
    assert "Could not save" in live.controls.toast.text()


def test_recording_by_key_and_saving_by_closing(live, tmp_path: Path):
    hear(live, people(seq=1))
    press(live, "C")
    assert live.record_button.isChecked()
    hear(live, people(seq=2))
    hear(live, people(seq=3))
    live.settle()
    assert ("recording", "2 frames") in [(c.label, c.value) for c in live.state_bar.line.cells]
    press(live, "C")
    assert not live.record_button.isChecked()
    live.record_button.click()
    hear(live, people(seq=4))
    live.close()
    first, second = sorted(tmp_path.glob("*.npz"), key=lambda path: load_results(path).frames)
    assert load_results(first).frame.tolist() == [2, 3]
    assert load_results(second).frame.tolist() == [4]


def test_views_and_toggles_by_key(live):
    hear(live, people())
    for key, yaw in (("1", 0.0), ("2", -90.0), ("4", 180.0)):
        press(live, key)
        live.scene.advance(1e9)
        assert (live.scene.camera.yaw - yaw) % 360 == pytest.approx(0, abs=0.1)
    press(live, "3")
    live.scene.advance(1e9)
    assert live.scene.camera.pitch == pytest.approx(89, abs=0.1)
    press(live, "Shift+Down")
    press(live, "+")
    press(live, "R")
    live.scene.advance(1e9)
    assert (live.scene.camera.zoom, live.scene.camera.pitch) == (1.0, pytest.approx(14, abs=0.1))
    press(live, "B")
    press(live, "T")
    press(live, "G")
    assert live.video.style_2d.boxes
    assert live.scene.style_3d.trails
    assert not live.plots.isVisible()


def test_help_covers_the_window_and_goes_away(live):
    press(live, "H")
    assert live.help.isVisible()
    live.resize(900, 600)
    assert live.help.size() == live.centralWidget().size()
    assert not live.grab().isNull()
    press(live, "Esc")
    assert not live.help.isVisible()


def test_the_window_can_be_small_and_large(live, app):
    hear(live, people(preview=picture()))
    for wh in ((760, 420), (1920, 1080), (1280, 720)):
        live.resize(*wh)
        app.processEvents()
        assert (live.width(), live.height()) == wh
        assert live.video.width() >= 240
        assert live.scene.width() >= 220


def test_buttons_are_reached_by_tab_and_pressed_by_enter(live, app):
    from PySide6.QtCore import Qt
    from PySide6.QtTest import QTest
    from PySide6.QtWidgets import QPushButton

    _activate(live)
    seen = set()
    for _ in range(12):
        QTest.keyClick(app.focusWidget() or live, Qt.Key.Key_Tab)
        if isinstance(app.focusWidget(), QPushButton):
            seen.add(app.focusWidget().text())
    assert {"Pause", "Record", "Screenshot", "Reset view", "Help"} <= seen
    live.pause_button.setFocus()
    QTest.keyClick(live.pause_button, Qt.Key.Key_Return)
    assert live.live.paused


def test_plots_fill_with_latency_and_rate(live):
    for seq in range(20):
        hear(live, people(seq=seq))
    live.settle()
    times, values = live.latency.history["capture → skeleton"].arrays(time.monotonic())
    assert len(values) == 20
    assert np.median(values) == pytest.approx(20, abs=2)
    assert -10 < times.min() <= times.max() <= 0
    assert "20 ms" in live.latency._legend.text()


def test_a_results_file_plays_steps_and_scrubs(playback, app):
    wait(app, lambda: playback.playback.frame > 2)
    assert playback.state_bar.line.badge == "playing"
    press(playback, "Space")
    at = playback.playback.frame
    press(playback, "Right")
    assert playback.playback.frame == at + 1
    press(playback, "Left")
    press(playback, "Left")
    assert playback.playback.frame == at - 1
    press(playback, "End")
    assert playback.playback.frame == 89
    playback.settle()
    assert playback.video.hint == "No person in this frame"
    press(playback, "]")
    assert playback.playback.speed == 2.0
    _click_timeline(playback, 0.5)
    playback.tick()
    assert playback.playback.frame in (44, 45)
    assert playback.video._people.stamp.seq in (44, 45)


def _click_timeline(window: object, share: float) -> None:
    from PySide6.QtCore import QPoint, Qt
    from PySide6.QtTest import QTest

    bar = window.timeline
    QTest.mouseClick(bar, Qt.MouseButton.LeftButton, pos=QPoint(round(6 + share * (bar.width() - 12)), 12))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_closes_the_window_and_ends_the_loop(live, app, number: signal.Signals):
    from PySide6.QtCore import QTimer

    from viewer.app import _close_on_signals

    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        _close_on_signals(live)
        QTimer.singleShot(50, lambda: os.kill(os.getpid(), number))
        start_s = time.monotonic()
        app.exec()
        assert 0.02 < time.monotonic() - start_s < 5  # a coarse timer may fire a little early
        assert not live.isVisible()
    finally:
        for n, handler in before.items():
            signal.signal(n, handler)


def test_a_window_closed_before_the_loop_runs_still_ends_it(live, app):
    live.close()
    start_s = time.monotonic()
    app.exec()
    assert time.monotonic() - start_s < 5


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="None cannot lose references from Python 3.12 on")
def test_qt_calls_do_not_eat_references_to_none(app):
    """PySide6 6.12.0 drops one per void call and so aborts the interpreter within seconds."""
    from PySide6.QtWidgets import QWidget

    widget = QWidget()
    before = sys.getrefcount(None)
    for _ in range(1000):
        widget.update()
    assert sys.getrefcount(None) > before - 500, "this PySide6 is broken on Python < 3.12: install another version"
