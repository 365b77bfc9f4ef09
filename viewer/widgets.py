"""The smaller parts of the window: state line, timeline, help sheet."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QWidget

from viewer.colors import BACKGROUND, BORDER, DIM, GRID, LEFT, LEVELS, PANEL, TEXT, css, mix
from viewer.status import StateLine


class StateBar(QWidget):
    """The line at the top: badge, source, figures, note."""

    def __init__(self) -> None:
        super().__init__()
        self.line: StateLine | None = None
        self._brand = QLabel(f"<b style='font-size:15px'>pose<span style='color:{css(LEFT)}'>stream</span></b>")
        self._badge, self._source, self._note, self._cells = QLabel(), QLabel(), QLabel(), QLabel()
        self._note.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self._note.setStyleSheet(f"color: {css(LEVELS['warn'])};")
        self._source.setMaximumWidth(420)
        self._badge.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Preferred)
        row = QHBoxLayout(self)
        row.setContentsMargins(4, 0, 4, 0)
        row.setSpacing(12)
        for widget in (self._brand, self._badge, self._source):
            row.addWidget(widget)
        row.addWidget(self._note, 1)
        row.addWidget(self._cells)

    def show_line(self, line: StateLine) -> None:
        """Write a state line; unchanged lines cost nothing."""
        if line == self.line:
            return
        self.line = line
        color = LEVELS[line.level]
        self._badge.setText(line.badge.upper() if len(line.badge) < 10 else line.badge)
        self._badge.setStyleSheet(
            f"color: {css(color)}; background: {css(mix(BACKGROUND, color, 0.16))}; border-radius: 9px;"
            "padding: 3px 10px; font-weight: bold; font-size: 11px;"
        )
        self._source.setText(line.source)
        self._note.setText(line.note)
        self._note.setToolTip(line.note)
        self._cells.setText(
            "&nbsp;&nbsp;&nbsp;&nbsp;".join(
                f"<span style='color:{css(DIM)}'>{cell.label}</span>&nbsp;"
                f"<b style='color:{css(LEVELS[cell.level])}'>{cell.value}</b>"
                for cell in line.cells
            )
        )


class Timeline(QWidget):
    """The scrub bar of a results file: a ribbon per person where they are in view, and the playhead."""

    sought = Signal(float)
    """Share of the length, 0..1, that the mouse asks for."""

    def __init__(self) -> None:
        super().__init__()
        self.setFixedHeight(34)
        self.setMinimumWidth(120)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self._spans: tuple[tuple[int, float, float], ...] = ()
        self._at = 0.0

    def set_spans(self, spans: Sequence[tuple[int, float, float]]) -> None:
        """Say who is in view when: (track, start, end) with times as shares of the length."""
        self._spans = tuple(spans)
        self.update()

    def set_position(self, share: float) -> None:
        """Move the playhead."""
        if abs(share - self._at) > 1e-6:
            self._at = share
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw ribbons and playhead."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        width, height = self.width() - 12.0, float(self.height())
        painter.setPen(QPen(QColor(*BORDER), 1))
        painter.setBrush(QColor(*PANEL))
        painter.drawRoundedRect(QRectF(0.5, 0.5, self.width() - 1, height - 1), 6, 6)
        painter.setPen(Qt.PenStyle.NoPen)
        tracks = sorted({track for track, _, _ in self._spans})
        lane = min(8.0, (height - 12) / max(1, len(tracks)))
        top = (height - lane * len(tracks)) / 2
        for track, start, end in self._spans:
            row = tracks.index(track)
            painter.setBrush(QColor(*mix(PANEL, GRID, 0.75 if row % 2 else 0.5)))
            y = top + row * lane + 0.5
            painter.drawRoundedRect(QRectF(6 + start * width, y, max(2.0, (end - start) * width), lane - 1), 1.5, 1.5)
        x = 6 + self._at * width
        painter.setPen(QPen(QColor(*LEFT), 2))
        painter.drawLine(QPointF(x, 3), QPointF(x, height - 3))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(*LEFT))
        painter.drawEllipse(QPointF(x, 5), 4, 4)
        painter.end()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Go where the mouse is."""
        self.sought.emit(min(1.0, max(0.0, (event.position().x() - 6) / max(1.0, self.width() - 12.0))))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Follow the mouse while a button is held."""
        self.mousePressEvent(event)


class HelpSheet(QWidget):
    """A sheet over the whole window that lists keys and mouse."""

    def __init__(self, parent: QWidget, keys: Sequence[tuple[str, str]]) -> None:
        super().__init__(parent)
        self._keys = tuple(keys)
        self.hide()

    def toggle(self) -> None:
        """Show or hide the sheet."""
        parent = self.parentWidget()
        if parent is not None:
            self.setGeometry(parent.rect())
        self.setVisible(not self.isVisible())
        self.raise_()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Hide."""
        self.hide()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the list in two columns on a dimmed window."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(self.rect(), QColor(*BACKGROUND, 215))
        rows = (len(self._keys) + 1) // 2
        line, width = 24.0, min(860.0, self.width() - 24.0)
        sheet = QRectF((self.width() - width) / 2, (self.height() - rows * line - 76) / 2, width, rows * line + 76)
        painter.setPen(QPen(QColor(*BORDER), 1))
        painter.setBrush(QColor(*PANEL))
        painter.drawRoundedRect(sheet, 10, 10)
        painter.setPen(QColor(*TEXT))
        painter.drawText(sheet.adjusted(24, 18, -24, 0), Qt.AlignmentFlag.AlignLeft, "Keys and mouse")
        for i, (key, meaning) in enumerate(self._keys):
            x = sheet.left() + 24 + (i // rows) * (width / 2 - 6)
            y = sheet.top() + 50 + (i % rows) * line
            painter.setPen(QColor(*LEFT))
            painter.drawText(QRectF(x, y, 110, line), Qt.AlignmentFlag.AlignVCenter, key)
            painter.setPen(QColor(*TEXT))
            painter.drawText(QRectF(x + 112, y, width / 2 - 140, line), Qt.AlignmentFlag.AlignVCenter, meaning)
        painter.end()
