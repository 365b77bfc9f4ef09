"""The window: state line, picture, 3D view, plots or timeline, buttons and keys."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from PySide6.QtCore import QSize, Qt, QTimer, Signal
from PySide6.QtGui import QCloseEvent, QResizeEvent
from PySide6.QtWidgets import QApplication, QMainWindow, QSplitter, QVBoxLayout, QWidget

from pipeline.errors import OutputError
from viewer.colors import GOOD, LEFT, RIGHT, STYLE
from viewer.controls import Controls
from viewer.icons import icon
from viewer.keys import bind_keys, key_table
from viewer.overlay import OverlayStyle
from viewer.panels import ScenePanel, VideoPanel
from viewer.playback import SPEEDS, Playback
from viewer.plots import History, PlotPanel, plot_row
from viewer.recording import free_path
from viewer.session import LiveSession, Session, Shot
from viewer.widgets import HelpSheet, StateBar, Timeline

TICK_MS = 16
SLOW_TICK_NS = 100_000_000
LATENCY, ON_SCREEN, STREAM, DRAWN = "capture → skeleton", "on screen", "stream", "drawn"


class Window(QMainWindow):
    """The whole viewer. It asks its session for news on a timer, and at once when `news` is emitted."""

    news = Signal()

    def __init__(self, session: Session, out_dir: Path) -> None:
        """Build the window.

        Args:
            session: What to show; closed together with the window.
            out_dir: Where screenshots and recordings go.
        """
        super().__init__()
        self.session = session
        self.live = session if isinstance(session, LiveSession) else None
        self.playback = session if isinstance(session, Playback) else None
        self.out_dir = out_dir
        self._drawn = History(window_s=1.0)
        self.setStyleSheet(STYLE)
        self._build()
        self._build_controls()
        bind_keys(self)
        self.resize(1280, 720)
        self._last_ns = time.monotonic_ns()
        self._slow_ns = 0
        self._closed = False
        self._timer = QTimer(self, interval=TICK_MS, timerType=Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self.tick)
        self._timer.start()
        self.news.connect(self.tick, Qt.ConnectionType.QueuedConnection)
        self.tick()

    # ---- layout

    def _build(self) -> None:
        self.state_bar, self.video, self.scene, self.timeline = StateBar(), VideoPanel(), ScenePanel(), Timeline()
        self.latency = PlotPanel("Latency", "ms", {LATENCY: LEFT, ON_SCREEN: RIGHT}, 50.0)
        self.rates = PlotPanel("Frame rate", "fps", {STREAM: LEFT, DRAWN: GOOD}, 30.0)
        self.controls = Controls()
        pictures = QSplitter(Qt.Orientation.Horizontal)
        pictures.addWidget(self.video)
        pictures.addWidget(self.scene)
        pictures.setSizes([720, 540])
        pictures.setHandleWidth(8)
        pictures.setChildrenCollapsible(False)
        self.plots = plot_row(self.latency, self.rates)
        root = QWidget(objectName="root")
        body = QVBoxLayout(root)
        body.setContentsMargins(10, 8, 10, 8)
        body.setSpacing(8)
        for widget in (self.state_bar, pictures, self.timeline, self.plots, self.controls):
            body.addWidget(widget, 1 if widget is pictures else 0)
        (self.plots if self.playback else self.timeline).hide()
        self.setCentralWidget(root)
        root.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        root.setFocus()
        self.setMinimumSize(QSize(760, 420))
        self.help = HelpSheet(root, key_table(self.playback is not None))
        if self.playback:
            self.timeline.set_spans(self.playback.spans())
            self.timeline.sought.connect(self.playback.seek)

    def _build_controls(self) -> None:
        add = self.controls.add
        self.pause_button = add("pause", "Pause", "Pause or go on (Space)", self.toggle_pause)
        if self.playback:
            add("back", "", "One frame back (←)", lambda: self.step(-1))
            add("on", "", "One frame on (→)", lambda: self.step(1))
            self.speed_box = self.controls.add_speed(self._choose_speed)
        else:
            self.record_button = add("record", "Record", "Record a results file (C)", self.toggle_recording, True)
        add("camera", "Screenshot", "Save a picture of the window (S)", self.screenshot)
        add("reset", "Reset view", "Reset the 3D view (R)", lambda: self.scene.look("reset"))
        self.controls.add_toast()
        add("help", "Help", "Keys and mouse (H)", self.help.toggle)

    # ---- what happens all the time

    def tick(self) -> None:
        """Show what is new; let the camera glide; ten times a second, state line and plots."""
        if self._closed:  # maybe before the event loop ran, when quitting had no effect yet
            QApplication.quit()
            return
        now_ns = time.monotonic_ns()
        shot = self.session.tick(now_ns)
        if shot is not None:
            self._show(shot, now_ns)
        self.scene.advance(min(0.1, (now_ns - self._last_ns) / 1e9))
        self._last_ns = now_ns
        if self.playback:
            self.timeline.set_position(self.playback.share)
            self._mark_paused(not self.playback.playing)
        if now_ns - self._slow_ns >= SLOW_TICK_NS:
            self._refresh(now_ns)

    def _show(self, shot: Shot, now_ns: int) -> None:
        self._drawn.add(now_ns / 1e9, 1.0)
        self.video.show_people(shot.people, shot.picture)
        self.scene.show_people(shot.people, shot.t_s)
        if self.live:
            self.latency.add(ON_SCREEN, now_ns / 1e9, self.live.shown_age_ms(now_ns))

    def _refresh(self, now_ns: int) -> None:
        line = self.session.line(now_ns)
        self.state_bar.show_line(line)
        self.video.set_hint(line.hint)
        self.setWindowTitle(f"{line.source} – posestream")
        if self.live and not self.live.paused:
            now_s = now_ns / 1e9
            for at_s, value in self.live.feed.take_latencies():
                self.latency.add(LATENCY, at_s, value)
            self.rates.add(STREAM, now_s, self.live.state.fps)
            self.rates.add(DRAWN, now_s, self._drawn.rate(now_s))
            if self.plots.isVisible():
                self.latency.refresh(now_s)
                self.rates.refresh(now_s)
        self._slow_ns = now_ns

    def settle(self) -> None:
        """End all glides and draw everything as it is now: for pictures."""
        self.scene.advance(1e9)
        self._refresh(time.monotonic_ns())

    def show_moment(self, at_s: float | None) -> None:
        """Show a results file at a time (None: the middle), with the two seconds before it in floor and trails."""
        if self.playback is None:
            return
        for shot in self.playback.approach(at_s):
            self._show(shot, time.monotonic_ns())
        self.timeline.set_position(self.playback.share)

    # ---- what the user does

    def toggle_pause(self) -> None:
        """Stop or go on."""
        self._mark_paused(self.session.toggle_pause())
        self._slow_ns = 0

    def _mark_paused(self, paused: bool) -> None:
        text = "Play" if paused else "Pause"
        if self.pause_button.text() != text:
            self.pause_button.setText(text)
            self.pause_button.setIcon(icon("play" if paused else "pause"))

    def step(self, frames: int) -> None:
        """Go some frames on or back in a results file."""
        if self.playback:
            self.playback.step(frames)
            self.tick()

    def change_speed(self, steps: int) -> None:
        """Play a results file faster or slower."""
        self.speed_box.setCurrentIndex(min(max(self.speed_box.currentIndex() + steps, 0), len(SPEEDS) - 1))

    def _choose_speed(self, index: int) -> None:
        if self.playback:
            self.playback.speed = SPEEDS[index]

    def toggle_boxes(self) -> None:
        """Show or hide boxes and track numbers."""
        show = not self.video.style_2d.boxes
        self.video.style_2d = OverlayStyle(boxes=show, tracks=show)
        self.video.update()

    def toggle_trails(self) -> None:
        """Show or hide trails in the 3D view."""
        self.scene.style_3d = replace(self.scene.style_3d, trails=not self.scene.style_3d.trails)

    def toggle_full_screen(self) -> None:
        """Fill the screen, or stop doing so."""
        self.showNormal() if self.isFullScreen() else self.showFullScreen()

    def toggle_plots(self) -> None:
        """Show or hide the plots."""
        self.plots.setVisible(not self.plots.isVisible())

    def escape(self) -> None:
        """Hide the help sheet, else leave full screen."""
        if self.help.isVisible():
            self.help.hide()
        elif self.isFullScreen():
            self.showNormal()

    def screenshot(self) -> Path | None:
        """Save a picture of the window; its path is shown, and returned if it worked."""
        path = free_path(self.out_dir, ".png")
        if not self.grab().save(str(path)):
            self.controls.say(f"Could not write {path}")
            return None
        self.controls.say(f"Saved {path}")
        return path

    def toggle_recording(self) -> None:
        """Start recording, or stop and save."""
        if self.live is None:
            return
        if self.live.state.recorded is None:
            self.live.record()
            self.controls.say("Recording: press C again to save")
        else:
            self._save_recording()
        self.live.tick(time.monotonic_ns())
        self.record_button.setChecked(self.live.state.recorded is not None)

    def _save_recording(self) -> None:
        path = free_path(self.out_dir, ".npz")
        try:
            frames = self.live.save_recording(path) if self.live else None
        except OutputError as error:
            self.controls.say(f"Could not save the recording: {error}")
            return
        self.controls.say("Nothing came in: no file written" if frames is None else f"Saved {frames} frames: {path}")

    # ---- Qt events

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Keep the help sheet over everything."""
        self.help.setGeometry(self.centralWidget().rect())
        super().resizeEvent(event)

    def closeEvent(self, event: QCloseEvent) -> None:
        """Save a running recording, let go of the session, and end the application."""
        self._closed = True
        if self.live and self.live.feed.recording:
            self._save_recording()
        self.session.close()
        event.accept()
        QApplication.quit()
