"""Bone colours, the window's own colours and its style sheet; people's colours are in pipeline/overlay/colors.py."""

from __future__ import annotations

from engines.skeletons import H36M17
from pipeline.overlay.colors import DIM, LEFT, MIDDLE, RGB, RIGHT, SIDES, TEXT, opacity

__all__ = ["DIM", "LEFT", "MIDDLE", "RGB", "RIGHT", "SIDES", "TEXT", "opacity"]

BACKGROUND: RGB = (13, 16, 21)
PANEL: RGB = (19, 24, 31)
FLOOR: RGB = (44, 53, 67)
GRID: RGB = (128, 146, 170)
BORDER: RGB = (38, 46, 58)
GOOD: RGB = (72, 199, 142)
WARN: RGB = (245, 194, 66)
BAD: RGB = (255, 99, 99)
LEVELS: dict[str, RGB] = {"good": GOOD, "warn": WARN, "bad": BAD, "text": TEXT, "dim": DIM}

JOINT_SIDE: tuple[str, ...] = tuple(H36M17.side(j) for j in range(len(H36M17)))
BONE_COLOR: tuple[RGB, ...] = tuple(SIDES[JOINT_SIDE[child]] for _, child in H36M17.bones)
"""One colour per bone of H36M17: the side of the bone's outer end."""


def mix(a: RGB, b: RGB, share: float) -> RGB:
    """Return the colour `share` (0..1) of the way from `a` to `b`."""
    red, green, blue = (round(x + (y - x) * share) for x, y in zip(a, b, strict=True))
    return red, green, blue


def css(color: RGB) -> str:
    """Return a colour as `#rrggbb`."""
    return "#{:02x}{:02x}{:02x}".format(*color)


STYLE = f"""
* {{ font-family: "Inter", "Segoe UI", "Helvetica Neue", "DejaVu Sans"; font-size: 12px; color: {css(TEXT)}; }}
QMainWindow, QWidget#root {{ background: {css(BACKGROUND)}; }}
QLabel {{ background: transparent; }}
QToolTip {{ background: {css(PANEL)}; border: 1px solid {css(BORDER)}; padding: 4px; }}
QSplitter::handle {{ background: {css(BACKGROUND)}; }}
QPushButton {{ background: {css(PANEL)}; border: 1px solid {css(BORDER)}; border-radius: 6px; padding: 5px 11px; }}
QPushButton:hover {{ background: {css(BORDER)}; }}
QPushButton:focus {{ border: 1px solid {css(LEFT)}; outline: none; }}
QPushButton:checked {{ background: {css(mix(PANEL, LEFT, 0.3))}; border-color: {css(LEFT)}; }}
QPushButton#record:checked {{ background: {css(mix(PANEL, BAD, 0.35))}; border-color: {css(BAD)}; }}
QComboBox {{ background: {css(PANEL)}; border: 1px solid {css(BORDER)}; border-radius: 6px; padding: 4px 8px; }}
QComboBox:focus {{ border: 1px solid {css(LEFT)}; }}
QComboBox QAbstractItemView {{ background: {css(PANEL)}; selection-background-color: {css(BORDER)}; }}
"""
