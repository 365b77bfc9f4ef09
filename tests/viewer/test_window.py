"""The live window, offscreen."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from pipeline.messages import EndOfStream
from pipeline.results.record import load_results
from tests.viewer.people import people, picture
from tests.viewer.windows import activate, hear, press, wait

pytest.importorskip("PySide6", reason="the viewer's extra is not installed")


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

    activate(live)
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
