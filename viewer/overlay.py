"""Drawing people on their own picture: skeletons in the two side colours, boxes and track numbers on request."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PySide6.QtCore import QLineF, QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QPainter, QPen

from engines.skeletons import H36M17
from pipeline.messages import People3D
from viewer.colors import BONE_COLOR, JOINT_SIDE, MIDDLE, SIDES, opacity

HIDDEN_BELOW = 0.05
"""A joint with a lower score is not drawn: the detector itself says that it does not see it."""


@dataclass(frozen=True, slots=True)
class OverlayStyle:
    """What to draw besides the skeletons."""

    boxes: bool = False
    tracks: bool = False


def fit_rect(content_wh: tuple[float, float], panel_wh: tuple[float, float]) -> QRectF:
    """Return the largest centred rectangle of the content's shape inside a panel."""
    scale = min(panel_wh[0] / max(1.0, content_wh[0]), panel_wh[1] / max(1.0, content_wh[1]))
    width, height = content_wh[0] * scale, content_wh[1] * scale
    return QRectF((panel_wh[0] - width) / 2, (panel_wh[1] - height) / 2, width, height)


def paint_people(painter: QPainter, people: People3D, rect: QRectF, style: OverlayStyle) -> None:
    """Draw everybody of a message over the rectangle that its picture fills.

    Args:
        painter: Active painter.
        people: The message; its pixels are those of `image_wh`.
        rect: Where the picture lies on the panel.
        style: Options.
    """
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    scale = rect.width() / max(1, people.image_wh[0])
    offset = np.array([rect.x(), rect.y()], np.float32)
    joints = people.xy_px * np.float32(scale) + offset
    boxes = people.box_xyxy_px * np.float32(scale) + np.tile(offset, 2)
    for row in range(len(people.track)):
        height = float(np.ptp(joints[row, :, 1]))
        width = min(max(height * 0.0135, 2.0), 7.0)
        if style.boxes:
            _paint_box(painter, boxes[row].tolist())
        _paint_skeleton(painter, joints[row].tolist(), people.score[row].tolist(), width)
        if style.tracks:
            _paint_tag(painter, boxes[row].tolist(), int(people.track[row]))
    painter.restore()


def _paint_skeleton(painter: QPainter, xy: list[list[float]], score: list[float], width: float) -> None:
    """Draw one person: a dark halo below, coloured bones, then joints."""
    bones = [
        (QLineF(*xy[a], *xy[b]), color, opacity(min(score[a], score[b])))
        for (a, b), color in zip(H36M17.bones, BONE_COLOR, strict=True)
        if min(score[a], score[b]) >= HIDDEN_BELOW
    ]
    pen = QPen(Qt.PenStyle.SolidLine)
    pen.setCapStyle(Qt.PenCapStyle.RoundCap)
    for grow, dark in ((2.2, True), (0.0, False)):
        pen.setWidthF(width + grow)
        for line, color, solid in bones:
            pen.setColor(QColor(8, 10, 14, round(150 * solid)) if dark else QColor(*color, round(255 * solid)))
            painter.setPen(pen)
            painter.drawLine(line)
    painter.setPen(QPen(QColor(8, 10, 14, 190), 1.0))
    for j, (x, y) in enumerate(xy):
        if score[j] >= HIDDEN_BELOW:
            painter.setBrush(QColor(*SIDES[JOINT_SIDE[j]], round(255 * opacity(score[j]))).lighter(125))
            painter.drawEllipse(QPointF(x, y), width * 0.72, width * 0.72)


def _paint_box(painter: QPainter, box: list[float]) -> None:
    """Draw a person box as four corners."""
    x0, y0, x1, y1 = box
    arm = min(x1 - x0, y1 - y0) * 0.16
    painter.setPen(QPen(QColor(*MIDDLE, 210), 1.6))
    for x, y, dx, dy in ((x0, y0, arm, arm), (x1, y0, -arm, arm), (x0, y1, arm, -arm), (x1, y1, -arm, -arm)):
        painter.drawLine(QLineF(x, y, x + dx, y))
        painter.drawLine(QLineF(x, y, x, y + dy))


def _paint_tag(painter: QPainter, box: list[float], track: int) -> None:
    """Write the track number on a small plate at the box's top left corner."""
    font = QFont(painter.font())
    font.setPixelSize(12)
    font.setBold(True)
    painter.setFont(font)
    plate = QRectF(box[0], max(2.0, box[1] - 20), 16 + 8 * len(str(track)), 18)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(10, 13, 18, 205))
    painter.drawRoundedRect(plate, 4, 4)
    painter.setPen(QColor(*MIDDLE))
    painter.drawText(plate, Qt.AlignmentFlag.AlignCenter, f"#{track}")
