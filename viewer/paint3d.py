"""Drawing the 3D view in software with QPainter: floor, grid, shadow, trails and shaded, depth-sorted limbs.

Every limb is a tapered capsule whose thickness is in metres, so perspective makes it thinner with
distance; a gradient across it makes it round. No OpenGL: about a millisecond per person.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QLineF, QPointF, QRectF, Qt
from PySide6.QtGui import QBrush, QColor, QLinearGradient, QPainter, QPainterPath, QPen, QPolygonF, QRadialGradient

from engines.skeletons import H36M17
from viewer.camera import NEAR_M, OrbitCamera
from viewer.colors import BACKGROUND, BONE_COLOR, FLOOR, GRID, JOINT_SIDE, MIDDLE, RGB, SIDES, mix, opacity
from viewer.scene import TRAIL_JOINTS, Figure

Float = npt.NDArray[np.float32]

LIGHT = np.array([-0.22, 1.0, 0.18], np.float32)  # towards the light: shadows fall a little to the side
GRID_REACH_M = 6.0
HEAD_RADIUS_M = 0.095
TRAIL_PIECE = 4  # points drawn at one opacity
_RADII = {  # metres at (parent, child)
    "right_hip": (0.050, 0.050), "left_hip": (0.050, 0.050), "spine": (0.056, 0.050), "thorax": (0.050, 0.050),
    "right_knee": (0.056, 0.040), "left_knee": (0.056, 0.040), "right_ankle": (0.040, 0.026),
    "left_ankle": (0.040, 0.026), "left_shoulder": (0.040, 0.040), "right_shoulder": (0.040, 0.040),
    "left_elbow": (0.038, 0.030), "right_elbow": (0.038, 0.030), "left_wrist": (0.030, 0.021),
    "right_wrist": (0.030, 0.021), "nose": (0.034, 0.028), "head_top": (0.028, 0.028),
}  # fmt: skip
PARENTS = np.array([p for p, _ in H36M17.bones])
CHILDREN = np.array([c for _, c in H36M17.bones])
RADII_M = np.array([_RADII[H36M17.joints[c]] for _, c in H36M17.bones], np.float32)
HEAD = H36M17.index("head_top")
NOSE = H36M17.index("nose")
_CAP = np.linspace(math.pi / 2, 3 * math.pi / 2, 9, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class SceneStyle:
    """What to draw apart from the people."""

    trails: bool = False
    labels: bool = True


@dataclass(frozen=True, slots=True)
class _Part:
    """One thing to draw, sorted by depth: a limb's outline polygon or the head (`polygon` None)."""

    depth: float
    polygon: QPolygonF | None
    start: QPointF
    end: QPointF
    radius: float
    color: RGB
    alpha: float


def paint_room(painter: QPainter, size_px: tuple[float, float], camera: OrbitCamera) -> None:
    """Draw what does not move with the people: background, light on the floor, grid.

    Args:
        painter: Active painter; the view fills (0, 0) to `size_px`.
        size_px: Width and height.
        camera: The eye.
    """
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    _paint_floor(painter, size_px, camera)
    _paint_grid(painter, size_px, camera)


def paint_figures(
    painter: QPainter, size_px: tuple[float, float], camera: OrbitCamera, figures: Sequence[Figure], style: SceneStyle
) -> None:
    """Draw the people, their shadows and trails, far ones first; arguments as in `paint_room`."""
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    parts: list[_Part] = []
    for figure in figures:
        _paint_shadow(painter, size_px, camera, figure)
        if style.trails:
            _paint_trails(painter, size_px, camera, figure)
    for figure in figures:
        parts += _parts(size_px, camera, figure)
    for part in sorted(parts, key=lambda part: -part.depth):
        _paint_part(painter, part)
    if style.labels and len(figures) > 1:
        _paint_labels(painter, size_px, camera, figures)


def _paint_floor(painter: QPainter, size_px: tuple[float, float], camera: OrbitCamera) -> None:
    """Fill the background and light the floor round the point of interest."""
    painter.fillRect(QRectF(0, 0, *size_px), QColor(*BACKGROUND))
    centre = camera.target_m * np.array([1, 0, 1], np.float32)
    xy, depth = camera.project(centre[None], size_px)
    if depth[0] < NEAR_M:
        return
    radius = camera.focal_px(size_px[1]) * 3.4 / float(depth[0])
    glow = QRadialGradient(QPointF(0, 0), radius)
    for stop, share in ((0.0, 1.0), (0.3, 0.7), (0.65, 0.25), (1.0, 0.0)):
        glow.setColorAt(stop, QColor(*mix(BACKGROUND, FLOOR, share)))
    painter.save()
    painter.translate(float(xy[0, 0]), float(xy[0, 1]))
    painter.scale(1.0, max(0.06, abs(math.sin(math.radians(camera.pitch)))))
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QBrush(glow))
    painter.drawEllipse(QPointF(0, 0), radius, radius)
    painter.restore()


def _paint_grid(painter: QPainter, size_px: tuple[float, float], camera: OrbitCamera) -> None:
    """Draw the floor's metre grid (half metres fainter), fading with distance from the point of interest."""
    centre = camera.target_m[[0, 2]]
    across = np.arange(-GRID_REACH_M, GRID_REACH_M + 0.25, 0.5, dtype=np.float32)
    line, step = np.meshgrid(across, across[::2], indexing="ij")
    origin = np.round(centre)
    for axis in (0, 1):
        points = np.zeros((*line.shape, 3), np.float32)
        points[..., 0 if axis == 0 else 2] = line + origin[axis]
        points[..., 2 if axis == 0 else 0] = step + origin[1 - axis]
        xy, depth = camera.project(points.reshape(-1, 3), size_px)
        xy, depth = xy.reshape(*line.shape, 2), depth.reshape(line.shape)
        middle = (points[:, 1:] + points[:, :-1]) / 2
        away = np.hypot(middle[..., 0] - centre[0], middle[..., 2] - centre[1]) / (GRID_REACH_M - 0.5)
        strength = np.clip(1 - away, 0, 1) ** 1.5 * np.where(np.arange(len(across)) % 2 == 0, 0.62, 0.24)[:, None]
        strength = np.where((depth[:, 1:] > NEAR_M) & (depth[:, :-1] > NEAR_M), strength, 0)
        _draw_segments(painter, xy[:, :-1], xy[:, 1:], strength)


def _draw_segments(painter: QPainter, start: Float, end: Float, strength: npt.NDArray[np.floating]) -> None:
    """Draw grid pieces in eight steps of opacity."""
    level = np.round(strength * 12).astype(int)
    for step in range(1, int(level.max(initial=0)) + 1):
        chosen = level == step
        lines = [QLineF(*row) for row in np.concatenate([start[chosen], end[chosen]], 1).tolist()]
        painter.setPen(QPen(QColor(*GRID, round(255 * step / 12)), 1.0))
        painter.drawLines(lines)


def _paint_shadow(painter: QPainter, size_px: tuple[float, float], camera: OrbitCamera, figure: Figure) -> None:
    """Draw the shadow on the floor as one stroked path, so that crossing limbs do not darken twice."""
    points = figure.points_m - LIGHT * (figure.points_m[:, 1:2] / LIGHT[1])
    xy, depth = camera.project(points, size_px)
    if depth.min() < NEAR_M or camera.pitch < 0.5:
        return
    path = QPainterPath()
    for parent, child in H36M17.bones:
        path.moveTo(float(xy[parent, 0]), float(xy[parent, 1]))
        path.lineTo(float(xy[child, 0]), float(xy[child, 1]))
    flatten = max(0.25, math.sin(math.radians(camera.pitch)))
    width = camera.focal_px(size_px[1]) * 0.10 / float(depth.mean()) * flatten
    painter.setBrush(Qt.BrushStyle.NoBrush)
    for grow, alpha in ((1.9, 62), (1.0, 96)):
        color = QColor(0, 0, 0, round(alpha * (0.4 + 0.6 * figure.filled)))
        pen = QPen(color, width * grow, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap, Qt.PenJoinStyle.RoundJoin)
        painter.strokePath(path, pen)


def _paint_trails(painter: QPainter, size_px: tuple[float, float], camera: OrbitCamera, figure: Figure) -> None:
    """Draw the last second of hands and feet, fading towards the past."""
    for joint, trail in zip(TRAIL_JOINTS, figure.trails, strict=False):
        xy, depth = camera.project(trail, size_px)
        color = SIDES[JOINT_SIDE[joint]]
        for i in range(0, len(xy) - 1, TRAIL_PIECE):
            piece = slice(i, i + TRAIL_PIECE + 1)
            if depth[piece].min() > NEAR_M:
                painter.setPen(QPen(QColor(*color, round(190 * ((i + 1) / len(xy)) ** 1.4)), 2.2))
                painter.drawPolyline(QPolygonF([QPointF(x, y) for x, y in xy[piece].tolist()]))


def _parts(size_px: tuple[float, float], camera: OrbitCamera, figure: Figure) -> list[_Part]:
    """Return a person's limbs and head as outlines in pixels."""
    head = (figure.points_m[HEAD] + figure.points_m[NOSE]) / 2
    xy, depth = camera.project(np.concatenate([figure.points_m, head[None]]), size_px)
    if depth.min() < NEAR_M:
        return []
    focal = camera.focal_px(size_px[1])
    solid = [opacity(s) * (0.7 + 0.3 * figure.filled) for s in figure.score.tolist()]
    a, b = xy[PARENTS], xy[CHILDREN]
    radius_a, radius_b = RADII_M[:, 0] * focal / depth[PARENTS], RADII_M[:, 1] * focal / depth[CHILDREN]
    outlines = _capsules(a, b, radius_a, radius_b)
    middle = (depth[PARENTS] + depth[CHILDREN]) / 2
    parts = [
        _Part(
            float(middle[i]), QPolygonF([QPointF(x, y) for x, y in outlines[i].tolist()]),
            QPointF(*a[i].tolist()), QPointF(*b[i].tolist()), float(radius_a[i] + radius_b[i]) / 2,
            _fog(BONE_COLOR[i], float(middle[i]), camera.distance), min(solid[PARENTS[i]], solid[CHILDREN[i]]),
        )
        for i in range(len(PARENTS)) if CHILDREN[i] != HEAD
    ]  # fmt: skip
    centre = QPointF(*xy[-1].tolist())
    skin = _fog(MIDDLE, float(depth[-1]), camera.distance)
    size = HEAD_RADIUS_M * focal / float(depth[-1])
    parts.append(_Part(float(depth[-1]), None, centre, centre, size, skin, min(solid[HEAD], solid[NOSE])))
    return parts


def _capsules(a: Float, b: Float, radius_a: Float, radius_b: Float) -> Float:
    """Return (N, 18, 2) outlines: half circles of the two radii round the two ends."""
    along = b - a
    angle = np.arctan2(along[:, 1], along[:, 0])[:, None]
    tail, tip = angle + _CAP, angle + _CAP + np.float32(math.pi)
    round_a = a[:, None] + np.stack([np.cos(tail), np.sin(tail)], 2) * radius_a[:, None, None]
    round_b = b[:, None] + np.stack([np.cos(tip), np.sin(tip)], 2) * radius_b[:, None, None]
    outline: Float = np.concatenate([round_a, round_b], 1)
    return outline


def _fog(color: RGB, depth: float, distance: float) -> RGB:
    """Blend a colour towards the background with distance behind the point of interest."""
    return mix(color, BACKGROUND, min(0.55, max(0.0, (depth - distance) * 0.14)))


def _paint_part(painter: QPainter, part: _Part) -> None:
    """Draw one limb or the head: a dark rim that sets it off, and a shade that makes it round."""
    solid = round(255 * part.alpha)
    light, dark = mix(part.color, (255, 255, 255), 0.3), mix(part.color, (0, 0, 0), 0.5)
    painter.setPen(QPen(QColor(*mix(part.color, (0, 0, 0), 0.78), solid), 1.2))
    shade: QLinearGradient | QRadialGradient
    if part.polygon is None:
        focus = part.start - QPointF(part.radius * 0.35, part.radius * 0.45)
        shade = QRadialGradient(part.start, part.radius * 1.05, focus)
        stops = ((0.0, light), (0.45, part.color), (1.0, dark))
    else:
        along = part.end - part.start
        across = QPointF(along.y(), -along.x()) * (part.radius / (math.hypot(along.x(), along.y()) or 1.0))
        if across.x() + across.y() > 0:  # light comes from the top left
            across = -across
        middle = (part.start + part.end) / 2
        shade = QLinearGradient(middle + across, middle - across)
        stops = ((0.0, part.color), (0.3, light), (1.0, dark))
    for stop, color in stops:
        shade.setColorAt(stop, QColor(*color, solid))
    painter.setBrush(QBrush(shade))
    if part.polygon is None:
        painter.drawEllipse(part.start, part.radius * 0.9, part.radius)
    else:
        painter.drawPolygon(part.polygon)


def _paint_labels(
    painter: QPainter, size_px: tuple[float, float], camera: OrbitCamera, figures: Sequence[Figure]
) -> None:
    """Write each person's track number over the head."""
    tops = np.stack([figure.points_m[HEAD] + np.array([0, 0.17, 0], np.float32) for figure in figures])
    xy, depth = camera.project(tops, size_px)
    painter.setPen(QColor(*MIDDLE, 190))
    for figure, (x, y), far in zip(figures, xy.tolist(), depth.tolist(), strict=True):
        if far > NEAR_M:
            painter.drawText(QRectF(x - 40, y - 16, 80, 16), Qt.AlignmentFlag.AlignCenter, f"#{figure.track}")
