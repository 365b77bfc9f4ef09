"""The two plots under the pictures: latency and frame rate over the last ten seconds."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from viewer.colors import BORDER, DIM, PANEL, RGB, TEXT, css

WINDOW_S = 10.0


class History:
    """Values of the last ten seconds with their times."""

    def __init__(self, window_s: float = WINDOW_S) -> None:
        self.window_s = window_s
        self._points: deque[tuple[float, float]] = deque()

    def add(self, t_s: float, value: float) -> None:
        """Add a value at a time and forget what is older than the window."""
        self._points.append((t_s, value))
        while self._points[0][0] < t_s - self.window_s:
            self._points.popleft()

    def arrays(self, now_s: float) -> tuple[np.ndarray, np.ndarray]:
        """Return times relative to now (seconds, -10..0) and values."""
        points = np.array([p for p in self._points if p[0] >= now_s - self.window_s], float).reshape(-1, 2)
        return points[:, 0] - now_s, points[:, 1]

    def rate(self, now_s: float) -> float:
        """Return values per second over the window that ends now."""
        return len(self.arrays(now_s)[0]) / self.window_s

    def median(self) -> float:
        """Return the median of what is in the window, NaN if empty."""
        return float(np.median([value for _, value in self._points])) if self._points else float("nan")


class PlotPanel(QWidget):
    """One plot with a title, a legend with the newest medians, and a curve per series."""

    def __init__(self, title: str, unit: str, series: Mapping[str, RGB], least: float) -> None:
        """Lay out the panel.

        Args:
            title: Shown at the top left.
            unit: Unit of the values.
            series: Name and colour of each curve.
            least: The y axis always reaches at least this value.
        """
        super().__init__()
        self._title, self._unit, self._least = title, unit, least
        self._series = dict(series)
        self.history = {name: History() for name in series}
        self._plot = pg.PlotWidget(background=QColor(*PANEL))
        self._plot.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._plot.setMouseEnabled(False, False)
        self._plot.hideButtons()
        self._plot.setMenuEnabled(False)
        self._plot.setXRange(-WINDOW_S, 0, padding=0)
        for side in ("left", "bottom"):
            axis = self._plot.getAxis(side)
            axis.setPen(QColor(*BORDER))
            axis.setTextPen(QColor(*DIM))
            axis.setStyle(tickLength=-4, tickFont=self.font())
            axis.setCacheMode(axis.CacheMode.DeviceCoordinateCache)  # drawing its texts costs more than the curves
        self._plot.getAxis("left").setWidth(34)
        self._plot.showGrid(x=False, y=True, alpha=0.12)
        self._top = 0.0
        self._curves = {
            name: self._plot.plot(pen=pg.mkPen(QColor(*color), width=1.6), antialias=True)
            for name, color in series.items()
        }
        self._legend = QLabel()
        self._legend.setTextFormat(Qt.TextFormat.RichText)
        head = QHBoxLayout()
        head.addWidget(QLabel(f"<span style='color:{css(TEXT)}'>{title}</span>"))
        head.addStretch()
        head.addWidget(self._legend)
        head.setContentsMargins(12, 6, 12, 0)
        body = QVBoxLayout(self)
        body.addLayout(head)
        body.addWidget(self._plot)
        body.setContentsMargins(1, 1, 1, 1)
        body.setSpacing(0)
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setStyleSheet(f"PlotPanel {{ background: {css(PANEL)}; border: 1px solid {css(BORDER)}; }}")

    def add(self, name: str, t_s: float, value: float) -> None:
        """Add a value to a curve (NaN is left out); `refresh` draws it."""
        if not math.isnan(value):
            self.history[name].add(t_s, value)

    def refresh(self, now_s: float) -> None:
        """Draw the last ten seconds."""
        top = self._least
        for name, curve in self._curves.items():
            t, values = self.history[name].arrays(now_s)
            curve.setData(t, values)
            if len(values):
                top = max(top, float(np.percentile(values, 98)) * 1.05)
        self._set_top(top)
        parts = [
            f"<span style='color:{css(color)}'>●</span> <span style='color:{css(DIM)}'>{name}</span> "
            f"{self._figure(self.history[name].median())}"
            for name, color in self._series.items()
        ]
        self._legend.setText("&nbsp;&nbsp;&nbsp;".join(parts))

    def _set_top(self, least: float) -> None:
        """Let the y axis reach at least a value; it grows at once and shrinks only when much of it is empty."""
        if least > self._top or least < self._top / 2.5:
            self._top = least * 1.15
            self._plot.setYRange(0, self._top, padding=0)

    def _figure(self, value: float) -> str:
        return "–" if np.isnan(value) else f"{value:.0f} {self._unit}"


def plot_row(*panels: PlotPanel) -> QWidget:
    """Return the plots side by side, as low as they can be read."""
    row = QWidget()
    row.setFixedHeight(132)
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(8)
    for panel in panels:
        layout.addWidget(panel)
    return row
