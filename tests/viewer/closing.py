"""A viewer whose user closes the window after half a second: target of a process-table row."""

from __future__ import annotations

from pipeline.config import StageConfig
from pipeline.processes.lifeline import Lifeline


def run(config: StageConfig, lifeline: Lifeline) -> None:
    """Be the viewer, with a user."""
    from PySide6.QtCore import QTimer

    from viewer.app import _application, run_viewer
    from viewer.window import Window

    app = _application()
    timer = QTimer()
    timer.timeout.connect(lambda: [w.close() for w in app.topLevelWidgets() if isinstance(w, Window)])
    timer.start(500)
    run_viewer(config, lifeline)
