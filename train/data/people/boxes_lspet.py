"""Person boxes for the LSPET crops: from the marked joints, checked against FastestDet; research data.

Johnson and Everingham, "Learning Effective Human Pose Estimation from Inaccurate Annotation", CVPR 2011. The
set labels one person per picture, so whoever else FastestDet sees in it becomes a region to ignore.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]

REACH = {0: 0.07, 5: 0.07, 6: 0.06, 7: 0.06}  # feet and hands go on beyond ankles (0, 5) and wrists (6, 7)
FLESH = 0.035  # round every other joint, as part of the diagonal of the joints' box
WHOLE = 12  # joints from which their box is believed without FastestDet
HEAD_TOP, HIPS = 13, (2, 3)


@dataclass(frozen=True, slots=True)
class LspetBoxes:
    """One row per usable picture.

    Attributes:
        file: Name in `images/`.
        box: (4,) float32 x1, y1, x2, y2 of the labelled person, in pixels of the picture.
        ignore: (M, 4) float32 of other people.
        upright: Head clearly above the hips: may stand in for somebody at a desk.
    """

    file: str
    box: Float
    ignore: Float
    upright: bool


def held_out(name: str) -> bool:
    """Return whether a file belongs to the tenth that no training sees."""
    return int(hashlib.sha1(name.encode()).hexdigest(), 16) % 10 == 0


def joint_box(joints_px: Float, visible: npt.NDArray[np.bool_], size_wh: Sequence[int]) -> Float:
    """Return the (4,) box round the marked joints (14, 2) with room for hands, feet and flesh, inside the picture."""
    xy = joints_px[visible] - 1  # the labels count pixels from 1
    diagonal = float(np.hypot(*(xy.max(0) - xy.min(0))))
    reach = np.array([REACH.get(k, FLESH) for k in np.nonzero(visible)[0]])[:, None] * diagonal
    low, high = (xy - reach).min(0), (xy + reach).max(0)
    return np.array([*np.maximum(low, 0), *np.minimum(high, size_wh)], np.float32)


def overlap(box: Float, others: Float) -> tuple[Float, Float]:
    """Return the IoU (N,) of a box with others (N, 4), and the share (N,) of each other that lies inside the box."""
    size = np.maximum(np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2]), 0)
    inner = size.prod(1)
    area = (others[:, 2:] - others[:, :2]).prod(1)
    return inner / ((box[2:] - box[:2]).prod() + area - inner + 1e-6), inner / (area + 1e-6)


def settle(box: Float, marked: int, seen: Float) -> tuple[Float, Float] | None:
    """Combine the joints' box with FastestDet's.

    Args:
        box: (4,) from `joint_box`.
        marked: Number of marked joints.
        seen: (N, 5) FastestDet's boxes with scores, from the picture and its mirror image.

    Returns:
        The box and the regions (M, 4) of other people, or None where too few joints are marked to be sure.
    """
    iou, inside = overlap(box, seen[:, :4])
    same = (iou > 0.5) & (seen[:, 4] > 0.4)
    ignore = seen[(iou < 0.4) & (inside < 0.6), :4]
    if same.any():
        match = np.median(seen[same, :4], 0)
        slack = 0.12 * np.tile(box[2:] - box[:2], 2)
        if marked >= WHOLE:  # trust the joints, let the detector add at most 12 % a side
            match = np.clip(match, box - slack, box + slack)
        box = np.concatenate([np.minimum(box[:2], match[:2]), np.maximum(box[2:], match[2:])])
    elif marked < WHOLE:
        return None
    return box.astype(np.float32), ignore.astype(np.float32)


class FastestDet:
    """FastestDet's people ((c) 2022 xuehao.ma, BSD-3-Clause; trained on COCO), through OpenCV's own ONNX reader."""

    def __init__(self, weights: Path) -> None:
        """Load `FastestDet.onnx`."""
        import cv2

        self.net = cv2.dnn.readNetFromONNX(str(weights))

    def look(self, bgr: Image, threshold: float = 0.25) -> Float:
        """Return (N, 5) boxes x1, y1, x2, y2 in pixels with scores, from one look at the (H, W, 3) BGR picture."""
        import cv2

        x = cv2.resize(bgr, (352, 352)).astype(np.float32).transpose(2, 0, 1)[None] / 255
        self.net.setInput(np.ascontiguousarray(x))
        out = self.net.forward()[0]  # (85, 22, 22): objectness, tx, ty, tw, th, 80 classes, the person first
        rows, columns = np.nonzero(out[5:].argmax(0) == 0)
        objectness, (tx, ty, tw, th), person = out[0, rows, columns], out[1:5, rows, columns], out[5, rows, columns]
        score = np.maximum(objectness, 0) ** 0.6 * np.maximum(person, 0) ** 0.4
        centre = np.stack([columns + np.tanh(tx), rows + np.tanh(ty)], 1) / 22
        half = 0.5 / (1 + np.exp(-np.stack([tw, th], 1)))
        scale = np.tile(np.array(bgr.shape[1::-1], np.float32), 2)
        boxes = np.concatenate([(centre - half), (centre + half)], 1) * scale
        keep = score > threshold
        return np.column_stack([boxes, score])[keep].astype(np.float32)

    def look_twice(self, bgr: Image, threshold: float = 0.25) -> Float:
        """`look` at the picture and at its mirror image; boxes in pixels of the picture."""
        mirrored = self.look(np.ascontiguousarray(bgr[:, ::-1]), threshold)
        mirrored[:, [0, 2]] = bgr.shape[1] - mirrored[:, [2, 0]]
        return np.concatenate([self.look(bgr, threshold), mirrored])


def lspet_boxes(folder: Path, detector: Path, cache: Path) -> list[LspetBoxes]:
    """Box the labelled person of every usable picture.

    Args:
        folder: The data set (`labels.npz`, `images/`).
        detector: `FastestDet.onnx`.
        cache: Where FastestDet's findings are kept (.npz); looked for first, written if absent (3 minutes).
    """
    with np.load(folder / "labels.npz") as arrays:
        labels = {key: arrays[key] for key in ("file", "joints_px", "visible", "size")}
    if not cache.exists():
        _find_all(folder, FastestDet(detector), labels["file"], cache)
    with np.load(cache) as arrays:
        start, seen = arrays["start"], arrays["seen"].astype(np.float32)
    rows = []
    for i, name in enumerate(labels["file"]):
        joints, visible = labels["joints_px"][i], labels["visible"][i]
        box = joint_box(joints, visible, labels["size"][i])
        settled = settle(box, int(visible.sum()), seen[start[i] : start[i + 1]])
        if settled is not None and (settled[0][2:] - settled[0][:2]).min() > 8:
            rise = np.nanmean(joints[HIPS, 1]) - joints[HEAD_TOP, 1] if visible[[HEAD_TOP, *HIPS]].all() else 0.0
            rows.append(LspetBoxes(str(name), *settled, upright=bool(rise > 0.3 * (settled[0][3] - settled[0][1]))))
    return rows


def _find_all(folder: Path, detector: FastestDet, files: npt.NDArray[np.str_], cache: Path) -> None:
    import cv2

    seen = [detector.look_twice(cv2.imread(str(folder / "images" / name))) for name in files]
    cache.parent.mkdir(parents=True, exist_ok=True)
    np.savez(cache, start=np.cumsum([0, *map(len, seen)]), seen=np.concatenate(seen))
