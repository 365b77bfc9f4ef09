"""Finder: a whole picture -> person boxes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engines.geometry import Float, box_iou
from engines.runtime import Engine, require_kind

NMS_IOU = 0.5


class Finder:
    """Runs a finder model on pictures of any size."""

    def __init__(self, engine: Engine, score_threshold: float | None = None) -> None:
        """Wrap a loaded model.

        Args:
            engine: An engine of kind "finder".
            score_threshold: Lowest score of a reported box; by default the model's own, which keeps empty rooms empty.

        Raises:
            EngineError: If it is not a finder.
        """
        require_kind(engine, "finder")
        self.engine = engine
        settings = engine.spec.settings
        self.input_wh: tuple[int, int] = (int(settings["input_wh"][0]), int(settings["input_wh"][1]))
        self.score_threshold = float(settings["score_threshold"] if score_threshold is None else score_threshold)
        self._fill = int(settings.get("fill", 114))

    def find(self, image: npt.NDArray[np.uint8], floor: float | None = None) -> tuple[Float, Float]:
        """Find people.

        Args:
            image: (H, W, 3) uint8 RGB.
            floor: Lowest score to report; by default `score_threshold`. A lower one serves to find again who is
                known to be there.

        Returns:
            (P, 4) boxes in picture pixels, clipped to the picture, best first; (P,) scores 0..1.
        """
        canvas, scale, offset = letterbox(image, self.input_wh, self._fill)
        out = self.engine.run({"image": canvas})
        boxes, scores = out["boxes_xyxy"].astype(np.float32), out["scores"].astype(np.float32)
        good = (scores >= (self.score_threshold if floor is None else floor)) & np.isfinite(boxes).all(1)
        boxes, scores = boxes[good], scores[good]
        boxes = (boxes - np.tile(offset, 2)) / scale
        limit = np.tile(np.asarray(image.shape[1::-1], np.float32), 2)
        boxes = np.clip(boxes, 0, limit).astype(np.float32)
        solid = ((boxes[:, 2:] - boxes[:, :2]) > 1).all(1)
        return _suppress(boxes[solid], scores[solid])


def letterbox(
    image: npt.NDArray[np.uint8], input_wh: tuple[int, int], fill: int
) -> tuple[npt.NDArray[np.uint8], float, Float]:
    """Scale a picture to fit the input and centre it on a plain ground.

    Returns:
        The (H, W, 3) input; the scale (input pixels per picture pixel); the (2,) offset of the picture in the input.
    """
    import cv2  # late: engines imports only numpy at import time

    height, width = image.shape[:2]
    scale = min(input_wh[0] / width, input_wh[1] / height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    shrink = cv2.INTER_AREA if scale < 0.5 else cv2.INTER_LINEAR
    canvas = np.full((input_wh[1], input_wh[0], 3), fill, np.uint8)
    left, top = (input_wh[0] - size[0]) // 2, (input_wh[1] - size[1]) // 2
    canvas[top : top + size[1], left : left + size[0]] = cv2.resize(image, size, interpolation=shrink)
    return canvas, scale, np.array([left, top], np.float32)


def _suppress(boxes: Float, scores: Float) -> tuple[Float, Float]:
    """Greedy non-maximum suppression; boxes come best first."""
    order = np.argsort(-scores, kind="stable")
    overlap = box_iou(boxes, boxes)
    kept: list[int] = []
    for i in order:
        if all(overlap[i, j] < NMS_IOU for j in kept):
            kept.append(int(i))
    return boxes[kept], scores[kept]
