"""Windows of tests: their keys, their news, their end."""

from __future__ import annotations

import time
from collections.abc import Callable

from pipeline.messages import EndOfStream, People3D


class SilentEar:
    def wait(self, timeout_ms: int) -> bool:
        time.sleep(0.01)
        return False

    def try_receive(self) -> None:
        return None

    def close(self) -> None:
        pass


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

    activate(window)
    combination = QKeySequence(key)[0]
    QTest.keyClick(window, combination.key(), combination.keyboardModifiers())


def activate(window: object) -> None:
    from PySide6.QtTest import QTest

    window.activateWindow()
    assert QTest.qWaitForWindowActive(window, 5000)


def wait(app: object, what: Callable[[], object], seconds: float = 5.0) -> None:
    end_s = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end_s, "it did not happen"
        app.processEvents()
        time.sleep(0.002)
