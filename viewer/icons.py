"""The buttons' icons, drawn with a few strokes: no icon theme and no image files needed."""

from __future__ import annotations

import math
from collections.abc import Callable

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QIcon, QPainter, QPen, QPixmap, QPolygonF

from viewer.colors import BAD, TEXT

_SIZE, _SHARP = 20, 3


def _play(painter: QPainter) -> None:
    painter.drawPolygon(QPolygonF([QPointF(6, 4), QPointF(16, 10), QPointF(6, 16)]))


def _pause(painter: QPainter) -> None:
    painter.drawRect(QRectF(5, 4, 3.4, 12))
    painter.drawRect(QRectF(11.6, 4, 3.4, 12))


def _step(painter: QPainter, sign: int) -> None:
    tip = [QPointF(10 + sign * x, y) for x, y in ((-5, 4), (3, 10), (-5, 16))]
    painter.drawPolygon(QPolygonF(tip))
    painter.drawRect(QRectF(10 + sign * 5 - 1.2, 4, 2.4, 12))


def _record(painter: QPainter) -> None:
    painter.setBrush(QColor(*BAD))
    painter.drawEllipse(QPointF(10, 10), 5.5, 5.5)


def _camera(painter: QPainter) -> None:
    _outline(painter)
    painter.drawRoundedRect(QRectF(2.5, 6, 15, 10.5), 2, 2)
    painter.drawEllipse(QPointF(10, 11.2), 3, 3)
    painter.drawLine(QPointF(7.5, 4), QPointF(12.5, 4))


def _reset(painter: QPainter) -> None:
    _outline(painter)
    painter.drawArc(QRectF(4, 4, 12, 12), 60 * 16, 285 * 16)
    tip = QPointF(10 + 6 * math.cos(math.radians(60)), 10 - 6 * math.sin(math.radians(60)))
    painter.drawPolyline(QPolygonF([tip + QPointF(-4.2, -0.6), tip, tip + QPointF(-0.4, 4.4)]))


def _help(painter: QPainter) -> None:
    painter.setPen(QColor(*TEXT))
    font = painter.font()
    font.setPixelSize(15)
    font.setBold(True)
    painter.setFont(font)
    painter.drawText(QRectF(0, 0, _SIZE, _SIZE), Qt.AlignmentFlag.AlignCenter, "?")


def _outline(painter: QPainter) -> None:
    pen = QPen(QColor(*TEXT), 1.6)
    pen.setCapStyle(Qt.PenCapStyle.RoundCap)
    painter.setPen(pen)
    painter.setBrush(Qt.BrushStyle.NoBrush)


_DRAW: dict[str, Callable[[QPainter], None]] = {
    "play": _play, "back": lambda painter: _step(painter, -1), "on": lambda painter: _step(painter, 1),
    "pause": _pause, "record": _record, "camera": _camera, "reset": _reset, "help": _help,
}  # fmt: skip


def icon(name: str) -> QIcon:
    """Return an icon by name.

    Raises:
        KeyError: If there is none of that name.
    """
    draw = _DRAW[name]
    pixmap = QPixmap(_SIZE * _SHARP, _SIZE * _SHARP)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.scale(_SHARP, _SHARP)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(*TEXT))
    draw(painter)
    painter.end()
    pixmap.setDevicePixelRatio(_SHARP)
    return QIcon(pixmap)
