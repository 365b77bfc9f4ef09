"""The window with a results file, and how windows end."""

from __future__ import annotations

import os
import signal
import sys
import time

import pytest

from tests.viewer.windows import press, wait

pytest.importorskip("PySide6", reason="the viewer's extra is not installed")


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
