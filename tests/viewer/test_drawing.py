"""Pixels: what is drawn is where it should be, in the colour it should have."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from tests.viewer.people import LEFT as LEFT_JOINTS
from tests.viewer.people import RIGHT as RIGHT_JOINTS
from tests.viewer.people import people, picture
from viewer.colors import LEFT, RIGHT, opacity

pytest.importorskip("PySide6", reason="the viewer's extra is not installed")


def pixels(widget: object) -> npt.NDArray[np.uint8]:
    """Return a widget as (H, W, 3) RGB."""
    from PySide6.QtGui import QImage

    image = widget.grab().toImage().convertToFormat(QImage.Format.Format_RGB888)
    raw = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())
    return raw[:, : 3 * image.width()].reshape(image.height(), image.width(), 3).copy()


def like(image: npt.NDArray[np.uint8], color: tuple[int, int, int], within: int = 60) -> npt.NDArray[np.bool_]:
    """Return a mask of the pixels near a colour."""
    return np.abs(image.astype(int) - color).max(-1) < within


@pytest.fixture
def video(app: object):
    from viewer.panels import VideoPanel

    panel = VideoPanel()
    panel.resize(640, 480)
    return panel


@pytest.fixture
def space(app: object):
    from viewer.panels import ScenePanel

    panel = ScenePanel()
    panel.resize(640, 480)
    panel.look("front")
    return panel


def test_the_picture_is_fitted_and_the_joints_lie_on_it(video):
    message = people(preview=picture(color=(30, 90, 40)))
    video.show_people(message)
    shot = pixels(video)
    rect = video.picture_rect()
    assert (rect.x(), rect.y(), rect.width(), rect.height()) == (0, 60, 640, 360)
    assert shot[20, 320].max() < 40  # above the picture: dark
    assert np.abs(shot[70, 20].astype(int) - (30, 90, 40)).max() < 4  # RGB, not BGR
    for joints, color in ((LEFT_JOINTS, LEFT), (RIGHT_JOINTS, RIGHT)):
        for x, y in message.xy_px[0, joints]:
            near = shot[int(y) + 60 - 2 : int(y) + 60 + 3, int(x) - 2 : int(x) + 3]
            assert like(near, color, 90).any(), (joints, x, y)


def test_a_smaller_preview_of_another_size_still_fits_the_joints(video):
    message = people(preview=picture((320, 180)))
    video.show_people(message)
    shot = pixels(video)
    x, y = message.xy_px[0, 13]  # left wrist
    assert like(shot[int(y) + 57 : int(y) + 64, int(x) - 3 : int(x) + 4], LEFT, 90).any()


def test_without_a_picture_there_is_its_outline(video):
    video.show_people(people())
    shot = pixels(video)
    assert like(shot, LEFT).sum() > 100
    assert shot[60:62].mean() > shot[40:50].mean() + 5


def test_confidence_is_opacity_and_unseen_joints_are_not_drawn(video):
    amounts = []
    for score in (0.9, 0.3, 0.01):
        video.show_people(people(score=score))
        amounts.append(int(like(pixels(video), LEFT, 40).sum()))
    assert amounts[0] > 100
    assert amounts[1] < amounts[0] / 4
    assert amounts[2] == 0
    assert opacity(1.0) == opacity(0.5) == 1.0
    assert opacity(0.0) < opacity(0.2) < 0.5


def test_several_people_boxes_and_numbers(video):
    from viewer.overlay import OverlayStyle

    message = people([(-0.8, 0, 4), (0.8, 0, 4)])
    video.show_people(message)
    plain = pixels(video)
    halves = [like(plain[:, :320], LEFT).sum(), like(plain[:, 320:], LEFT).sum()]
    assert min(halves) > 100
    video.style_2d = OverlayStyle(boxes=True, tracks=True)
    video.update()
    marked = pixels(video)
    x0, y0 = message.box_xyxy_px[0, :2].astype(int)
    corner = (slice(y0 + 58, y0 + 64), slice(x0 - 2, x0 + 12))
    assert marked[corner].mean() > plain[corner].mean() + 20


def test_the_3d_view_from_the_front_and_from_behind(space):
    space.show_people(people([(0, 0, 4)]), 0.0)
    space.camera.settle()
    front = pixels(space)[60:]  # below the legend
    blue, orange = np.argwhere(like(front, LEFT)), np.argwhere(like(front, RIGHT))
    assert min(len(blue), len(orange)) > 300
    assert blue[:, 1].mean() > orange[:, 1].mean() + 30  # who faces the camera has the left side on its right
    space.look("back")
    space.camera.settle()
    behind = pixels(space)[60:]
    assert np.argwhere(like(behind, LEFT))[:, 1].mean() < np.argwhere(like(behind, RIGHT))[:, 1].mean() - 30
    rows = np.argwhere(like(front, LEFT))[:, 0]
    assert rows.min() > 40  # all of the person is in view
    assert rows.max() < len(front) - 10


def test_nearer_people_hide_those_behind_them_and_are_larger(space):
    space.show_people(people([(0, 0, 3), (0.02, 0, 6)]), 0.0)
    space.camera.settle()
    xy, depth = space.camera.project(np.stack([f.points_m[6] for f in space.scene.figures]), (640.0, 480.0))
    assert depth[0] < depth[1]
    near = pixels(space)[int(xy[0, 1]) - 3, int(xy[0, 0])]
    assert np.abs(near.astype(int) - LEFT).max() < 110
    from viewer.paint3d import _parts

    radius = [max(p.radius for p in _parts((640.0, 480.0), space.camera, f)) for f in space.scene.figures]
    assert radius[0] > radius[1] * 1.3


def test_there_is_a_grid_and_a_shadow(space):
    space.look("top")
    space.camera.settle()
    empty = pixels(space)
    assert np.ptp(empty[240].mean(-1)) > 20  # grid lines
    space.show_people(people([(0, 0, 4)]), 0.0)
    space.look("three-quarter")
    space.camera.settle()
    with_person = pixels(space)
    space.show_people(None, 0.0)
    space.camera.target_m = space.scene.centre_m
    without = pixels(space)
    darker = (without.astype(int).mean(-1) - with_person.astype(int).mean(-1)) > 12
    assert darker.sum() > 150


def test_turning_and_zooming_by_mouse_and_back(space):
    from PySide6.QtCore import QPoint, Qt
    from PySide6.QtTest import QTest

    space.show_people(people(), 0.0)
    space.camera.settle()
    before, yaw = pixels(space), space.camera.yaw
    QTest.mousePress(space, Qt.MouseButton.LeftButton, pos=QPoint(300, 200))
    _move(space, QPoint(400, 200))
    QTest.mouseRelease(space, Qt.MouseButton.LeftButton, pos=QPoint(400, 200))
    assert space.camera.yaw == pytest.approx(yaw - 40, abs=0.5)
    assert np.abs(pixels(space).astype(int) - before).max() > 60
    space.camera.magnify(2.0)
    space.look("reset")
    space.look("front")
    space.camera.settle()
    assert np.abs(pixels(space).astype(int) - before).mean() < 1


def _move(widget: object, to: object) -> None:
    from PySide6.QtCore import QEvent, QPointF, Qt
    from PySide6.QtGui import QMouseEvent
    from PySide6.QtWidgets import QApplication

    left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    event = QMouseEvent(QEvent.Type.MouseMove, QPointF(to), QPointF(to), left, left, none)
    QApplication.sendEvent(widget, event)


@pytest.mark.parametrize("wh", [(1, 1), (240, 2000), (2000, 160)])
def test_odd_sizes_draw_without_complaint(video, space, wh: tuple[int, int]):
    video.setMinimumSize(1, 1)
    space.setMinimumSize(1, 1)
    for panel in (video, space):
        panel.resize(*wh)
    video.show_people(people(preview=picture((1, 1)), wh=(1, 1)))
    space.show_people(people(), 0.0)
    assert pixels(video).shape[:2] == (wh[1], wh[0])
    assert pixels(space).shape[:2] == (wh[1], wh[0])
