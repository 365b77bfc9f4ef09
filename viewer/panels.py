"""The two picture panels: the video with its skeletons, and the 3D view that the mouse turns."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import (
    QColor,
    QFont,
    QFontMetricsF,
    QImage,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QPixmap,
    QWheelEvent,
)
from PySide6.QtWidgets import QSizePolicy, QWidget

from pipeline.messages import People3D
from viewer.camera import OrbitCamera
from viewer.colors import BACKGROUND, BORDER, DIM, GRID, LEFT, PANEL, RGB, RIGHT, TEXT
from viewer.overlay import OverlayStyle, fit_rect, paint_people
from viewer.paint3d import SceneStyle, paint_figures, paint_room
from viewer.scene import Scene

Image = npt.NDArray[np.uint8]

FIGURE_HEIGHT_M = 2.2
DEGREES_PER_PX = 0.4


class Panel(QWidget):
    """A dark panel with a caption, a hint in the middle when there is nothing to see, and a thin frame."""

    def __init__(self, caption: str, minimum: QSize) -> None:
        super().__init__()
        self.caption = caption
        self.hint = ""
        self.hint_low = False
        self.setMinimumSize(minimum)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)

    def set_hint(self, hint: str) -> None:
        """Write a line in the middle of the panel; "" for none."""
        if hint != self.hint:
            self.hint = hint
            self.update()

    def _size_px(self) -> tuple[float, float]:
        return float(self.width()), float(self.height())

    def _paint_chrome(self, painter: QPainter) -> None:
        """Draw caption, hint and frame over the content."""
        _text(painter, QRectF(14, 10, self.width() - 28, 18), self.caption, 11, DIM, Qt.AlignmentFlag.AlignLeft)
        if self.hint:
            self._paint_hint(painter)
        painter.setPen(QPen(QColor(*BORDER), 1.0))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRect(QRectF(0.5, 0.5, self.width() - 1, self.height() - 1))

    def _paint_hint(self, painter: QPainter) -> None:
        """Write the hint on a plate: in the middle of an empty panel, near the lower edge of a picture."""
        font = QFont(painter.font())
        font.setPixelSize(15)
        width = min(QFontMetricsF(font).horizontalAdvance(self.hint) + 40, self.width() - 16.0)
        middle = self.height() - 44 if self.hint_low else self.height() / 2
        plate = QRectF((self.width() - width) / 2, middle - 18, width, 36)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(*BACKGROUND, 205))
        painter.drawRoundedRect(plate, 18, 18)
        _text(painter, plate, self.hint, 15, TEXT, Qt.AlignmentFlag.AlignCenter)


def _text(painter: QPainter, rect: QRectF, text: str, size_px: int, color: RGB, align: Qt.AlignmentFlag) -> None:
    font = QFont(painter.font())
    font.setPixelSize(size_px)
    painter.setFont(font)
    painter.setPen(QColor(*color))
    painter.drawText(rect, align | Qt.AlignmentFlag.AlignVCenter, text)


class VideoPanel(Panel):
    """The picture that the joints belong to, with the people drawn on it; a dark canvas where there is no picture."""

    def __init__(self) -> None:
        super().__init__("Picture", QSize(240, 160))
        self.style_2d = OverlayStyle()
        self._people: People3D | None = None
        self._array: Image | None = None
        self._pixels: Image | None = None  # keeps alive what the QImage looks at
        self._image: QImage | None = None

    def show_people(self, people: People3D | None, picture: Image | None = None) -> None:
        """Show a message on its picture.

        Args:
            people: The message, or None for nobody.
            picture: (H, W, 3) uint8 RGB picture of the same frame; the message's own preview if None.
        """
        self._people = people
        if picture is None and people is not None:
            picture = people.preview
        self._array, self._image = picture, None
        self.hint_low = picture is not None
        self.update()

    def _scaled(self, picture: Image, rect: QRectF) -> QImage:
        """Return the picture at the size and in the pixel format of the screen: Qt then only copies it."""
        sharp = self.devicePixelRatioF()
        wh = (max(1, round(rect.width() * sharp)), max(1, round(rect.height() * sharp)))
        if self._image is None or (self._image.width(), self._image.height()) != wh:
            how = cv2.INTER_AREA if wh[0] * 2 < picture.shape[1] else cv2.INTER_LINEAR
            small = picture if wh == picture.shape[1::-1] else cv2.resize(picture, wh, interpolation=how)
            self._pixels = cv2.cvtColor(small, cv2.COLOR_RGB2BGRA)  # Format_RGB32 on little-endian machines
            self._image = QImage(self._pixels.data, *wh, 4 * wh[0], QImage.Format.Format_RGB32)
            self._image.setDevicePixelRatio(sharp)
        return self._image

    def picture_rect(self) -> QRectF:
        """Return where the picture lies on the panel, in the panel's pixels."""
        shape: tuple[float, float] = (16.0, 9.0)
        if self._people is not None:
            shape = self._people.image_wh
        elif self._array is not None:
            shape = (self._array.shape[1], self._array.shape[0])
        return QRectF(fit_rect(shape, self._size_px()).toRect())  # whole pixels are copied, others interpolated

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw picture or canvas, people, caption."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor(*BACKGROUND))
        rect = self.picture_rect()
        if self._array is not None:
            painter.drawImage(rect.topLeft(), self._scaled(self._array, rect))
        elif self._people is not None:
            painter.fillRect(rect, QColor(*PANEL))
            painter.setPen(QPen(QColor(*GRID, 90), 1.0, Qt.PenStyle.DashLine))
            painter.drawRect(rect.adjusted(0.5, 0.5, -0.5, -0.5))
        if self._people is not None:
            paint_people(painter, self._people, rect, self.style_2d)
        self._paint_chrome(painter)
        painter.end()


class ScenePanel(Panel):
    """The 3D view. Drag to orbit, right-drag or Shift-drag to shift, wheel to zoom, double click to reset."""

    def __init__(self) -> None:
        super().__init__("3D", QSize(220, 160))
        self.camera = OrbitCamera()
        self.scene = Scene()
        self.style_3d = SceneStyle()
        self.shift_m = np.zeros(3, np.float32)
        self._grip: QPointF | None = None
        self._fresh = True
        self._room_eye: tuple[float, ...] = ()
        self._room_pixmap = QPixmap()
        self.setCursor(Qt.CursorShape.OpenHandCursor)

    def show_people(self, people: People3D | None, t_s: float) -> None:
        """Take a message (None clears the scene); `t_s` is its time in seconds on the source's clock."""
        if people is None:
            self.scene.clear()
            self._fresh = True
        else:
            self.scene.update(people, t_s)
            self.advance(1e9 if self._fresh and self.scene.figures else 0.0)
            self._fresh = self._fresh and not self.scene.figures
        self.update()

    def advance(self, dt_s: float) -> None:
        """Let the camera glide for `dt_s` seconds towards where it should be."""
        self.camera.target_m = self.scene.centre_m + self.shift_m
        self.camera.fit(self.scene.radius_m, FIGURE_HEIGHT_M, self._size_px())
        if self.camera.advance(dt_s):
            self.update()

    def look(self, view: str) -> None:
        """Glide to a named view; "reset" also undoes zoom and shift."""
        self.shift_m[:] = 0
        if view == "reset":
            self.camera.reset()
        else:
            self.camera.look(view)
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the scene, caption and legend."""
        painter = QPainter(self)
        painter.drawPixmap(0, 0, self._room())
        paint_figures(painter, self._size_px(), self.camera, self.scene.figures, self.style_3d)
        self._paint_legend(painter)
        self._paint_chrome(painter)
        painter.end()

    def _room(self) -> QPixmap:
        """Return the empty room as seen now; drawn anew only when the eye moved."""
        camera, sharp = self.camera, self.devicePixelRatioF()
        eye = (camera.yaw, camera.pitch, camera.distance, *camera.target_m.tolist(), *self._size_px(), sharp)
        if self._room_eye != eye:
            self._room_eye = eye
            self._room_pixmap = QPixmap(self.size() * sharp)
            self._room_pixmap.setDevicePixelRatio(sharp)
            painter = QPainter(self._room_pixmap)
            paint_room(painter, self._size_px(), camera)
            painter.end()
        return self._room_pixmap

    def _paint_legend(self, painter: QPainter) -> None:
        """Name the two side colours in the top right corner."""
        x = self.width() - 14.0
        for name, color, width in (("right", RIGHT, 28), ("left", LEFT, 20)):
            _text(painter, QRectF(x - width, 10, width, 18), name, 11, DIM, Qt.AlignmentFlag.AlignRight)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(*color))
            painter.drawEllipse(QPointF(x - width - 8, 19), 4, 4)
            x -= width + 30

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Take hold of the view."""
        self._grip = event.position()
        self.setCursor(Qt.CursorShape.ClosedHandCursor)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Let go."""
        self._grip = None
        self.setCursor(Qt.CursorShape.OpenHandCursor)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Orbit with the left button, shift with another or with Shift held."""
        if self._grip is None:
            return
        by, self._grip = event.position() - self._grip, event.position()
        shifting = event.modifiers() & Qt.KeyboardModifier.ShiftModifier
        if event.buttons() & Qt.MouseButton.LeftButton and not shifting:
            self.camera.orbit(-by.x() * DEGREES_PER_PX, by.y() * DEGREES_PER_PX)
        else:
            right, up, _ = self.camera.axes()
            per_px = np.float32(self.camera.distance / self.camera.focal_px(self.height()))
            self.shift_m += (-right * np.float32(by.x()) + up * np.float32(by.y())) * per_px
            self.camera.target_m = self.scene.centre_m + self.shift_m
        self.update()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Reset the view."""
        self.look("reset")

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Zoom."""
        self.camera.magnify(1.0015 ** event.angleDelta().y())
        event.accept()
        self.update()
