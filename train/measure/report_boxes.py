"""Overview pictures of found boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from train.measure.evaluate_boxes import Judged

TILE_PX = 320


def drawn(one: Judged, threshold: float) -> npt.NDArray[np.uint8]:
    """Return the picture, 320 px on its longer side: truth green, ignored blue, found red (purple: too low a score)."""
    import cv2

    scale = TILE_PX / max(one.scene.image.shape[:2])
    small = cv2.resize(one.scene.image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    good = one.scores >= threshold
    layers = [(one.scene.boxes, (0, 255, 0), 1), (one.scene.ignore, (0, 0, 255), 1)]
    layers += [(one.boxes[~good], (120, 0, 60), 1), (one.boxes[good], (255, 0, 0), 2)]
    for boxes, colour, width in layers:
        for x1, y1, x2, y2 in (boxes * scale).astype(int):
            cv2.rectangle(small, (int(x1), int(y1)), (int(x2), int(y2)), colour, width)
    return small


def write_sheets(folder: Path, groups: Mapping[str, Sequence[Judged]], threshold: float, each: int = 24) -> None:
    """Write one PNG per group with up to `each` of its pictures, evenly spread, numbered."""
    import cv2

    folder.mkdir(parents=True, exist_ok=True)
    for name, judged in groups.items():
        tiles = []
        for k in np.linspace(0, len(judged) - 1, min(each, len(judged))).astype(int):
            tile = np.zeros((TILE_PX, TILE_PX, 3), np.uint8)
            small = drawn(judged[k], threshold)[:TILE_PX, :TILE_PX]
            tile[: small.shape[0], : small.shape[1]] = small
            tiles.append(cv2.putText(tile, str(k), (4, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 0, 255), 1))
        height = max(int(np.flatnonzero(tile.any((1, 2))).max()) + 1 for tile in tiles)
        tiles = [tile[:height] for tile in tiles] + [np.zeros_like(tiles[0][:height])] * (-len(tiles) % 6)
        sheet = np.vstack([np.hstack(tiles[i : i + 6]) for i in range(0, len(tiles), 6)])
        cv2.imwrite(str(folder / (name.replace(", ", "_").replace(" ", "_") + ".png")), sheet[..., ::-1])
