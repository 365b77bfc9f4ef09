"""Whole frames made of recorded crops, for detectors that cut their crops themselves."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engines.geometry import Float
from engines.spec import EngineSpec

MARGIN = 0.1  # of a place's size, left free round each person


def compose(crops: npt.NDArray[np.uint8], spec: EngineSpec) -> tuple[npt.NDArray[np.uint8], Float]:
    """Put people side by side into one frame.

    Args:
        crops: (P, h, w, 3) uint8 RGB.
        spec: Of a "frame_detector".

    Returns:
        The frame in the layout that the model takes; (P, 4) the boxes where the crops are.
    """
    import cv2  # late: engines imports only numpy at import time

    width, height = (int(n) for n in spec.settings["frame_wh"])
    columns = int(np.ceil(np.sqrt(len(crops) * width / height * 4 / 3)))
    place = np.array([width / columns, height / np.ceil(len(crops) / columns)])
    aspect = crops.shape[2] / crops.shape[1]
    size = np.maximum(np.minimum(place, [place[1] * aspect, place[0] / aspect]) * (1 - MARGIN), 2).astype(int)
    frame = np.full((height, width, 3), 114, np.uint8)
    boxes = np.empty((len(crops), 4), np.float32)
    for i, crop in enumerate(crops):
        left, top = (place * (i % columns, i // columns) + (place - size) / 2).astype(int)
        frame[top : top + size[1], left : left + size[0]] = cv2.resize(crop, size.tolist())
        boxes[i] = left, top, left + size[0], top + size[1]
    return (frame if spec.settings["frame_layout"] == "rgb" else to_nv12(frame)), boxes


def to_nv12(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return (H, W, 3) RGB as (H * 3 / 2, W) NV12 in BT.601's limited range, as a video decoder lays it out."""
    import cv2

    height, width = image.shape[:2]
    planar = cv2.cvtColor(image, cv2.COLOR_RGB2YUV_I420).reshape(-1)
    luma, chroma = planar[: height * width], planar[height * width :].reshape(2, -1)
    return np.concatenate([luma, chroma.T.reshape(-1)]).reshape(height * 3 // 2, width)
