"""The row of buttons at the bottom of the window."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLabel, QPushButton, QWidget

from viewer.icons import icon
from viewer.playback import SPEEDS

TOAST_MS = 6000


class Controls(QWidget):
    """The buttons at the bottom, with room for a passing message."""

    def __init__(self) -> None:
        super().__init__()
        self._row = QHBoxLayout(self)
        self._row.setContentsMargins(0, 0, 0, 0)
        self._row.setSpacing(8)
        self.toast = QLabel()
        self._fade = QTimer(self, singleShot=True, interval=TOAST_MS)
        self._fade.timeout.connect(self.toast.clear)

    def add(self, picture: str, text: str, tip: str, act: Callable[[], object], checkable: bool = False) -> QPushButton:
        """Add a button.

        Args:
            picture: Name of an icon, "" for none.
            text: What stands on it.
            tip: What it does, with its key.
            act: Called when it is pressed.
            checkable: It stays pressed until pressed again.
        """
        button = QPushButton(text)
        if picture:
            button.setIcon(icon(picture))
        button.setToolTip(tip)
        button.setAccessibleName(tip)
        button.setCheckable(checkable)
        button.setObjectName(picture)
        button.setAutoDefault(True)  # Enter presses it: Space is the pause key everywhere
        button.clicked.connect(lambda _checked=False: act())
        self._row.addWidget(button)
        return button

    def add_speed(self, choose: Callable[[int], object]) -> QComboBox:
        """Add the choice of SPEEDS; `choose` gets the index."""
        box = QComboBox()
        box.addItems([f"{speed:g}×" for speed in SPEEDS])
        box.setCurrentIndex(SPEEDS.index(1.0))
        box.setToolTip("Speed ([ and ])")
        box.currentIndexChanged.connect(choose)
        self._row.addWidget(box)
        return box

    def add_toast(self) -> None:
        """Put the passing message here; it takes the room that is left."""
        self._row.addWidget(self.toast, 1)

    def say(self, text: str) -> None:
        """Show a message for a few seconds."""
        self.toast.setText(text)
        self._fade.start()
