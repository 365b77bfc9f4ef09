"""Contact sheets of rendered stills."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from engines.skeletons import H36M17
from train.data.render.shards import Row

SIDES = {"left": (0, 160, 255), "right": (255, 80, 0), "middle": (0, 230, 0)}


def draw_truth(image: npt.NDArray[np.uint8], xy_px: npt.NDArray[np.floating], visible: npt.NDArray[np.bool_]) -> None:
    """Draw a skeleton into an RGB picture: left blue, right orange; hidden joints black."""
    import cv2

    points = [(int(x), int(y)) for x, y in np.clip(np.nan_to_num(xy_px), -3000, 3000)]
    for a, b in H36M17.bones:
        cv2.line(image, points[a], points[b], SIDES[H36M17.side(b)], 1, cv2.LINE_AA)
    for point, seen in zip(points, visible, strict=True):
        cv2.circle(image, point, 3, (255, 255, 255) if seen else (0, 0, 0), -1, cv2.LINE_AA)


def sheet(rows: list[Row], path: Path, columns: int = 6) -> None:
    """Write a grid of stills, the truth drawn on every second.

    Args:
        rows: As `train.data.render.stills.still` returns them, all of one size.
        path: PNG file.
        columns: Pictures side by side.
    """
    import cv2

    tiles = []
    for i, row in enumerate(rows):
        image = np.ascontiguousarray(cv2.imdecode(np.asarray(row["jpeg"], np.uint8), cv2.IMREAD_COLOR)[..., ::-1])
        if i % 2:
            draw_truth(image, row["xy_px"], row["visible"])
            x1, y1, x2, y2 = (int(v) for v in row["box_xyxy_px"])
            cv2.rectangle(image, (x1, y1), (x2, y2), (255, 255, 0), 1)
        tiles.append(image)
    while len(tiles) % columns:
        tiles.append(np.zeros_like(tiles[0]))
    grid = np.concatenate([np.concatenate(tiles[i : i + columns], 1) for i in range(0, len(tiles), columns)])
    cv2.imwrite(str(path), np.ascontiguousarray(grid[..., ::-1]))
