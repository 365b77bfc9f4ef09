"""Things in front of a person: shapes, pieces of other pictures, erased rectangles; they move through a sequence."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]
Rng = np.random.Generator

ERASED_AREA = (0.02, 0.4)  # of the crop; Li's thesis, section 2.8.2
ERASED_ASPECT = 0.3  # to its inverse


@dataclass
class Occluder:
    """A patch in front of the person.

    Attributes:
        patch: (h, w, 3) what it looks like.
        mask: (h, w) its shape.
        start: (2,) its top-left corner in frame 0, crop pixels.
        step: (2,) its motion per frame.
        frames: When it is there.
    """

    patch: Image
    mask: npt.NDArray[np.bool_]
    start: npt.NDArray[np.float64]
    step: npt.NDArray[np.float64]
    frames: range = range(1 << 30)

    def cover(self, crop: Image, xy: Float, t: int) -> npt.NDArray[np.bool_]:
        """Paint into the crop of frame t; return which of the (17, 2) joints are behind."""
        x, y = (self.start + self.step * t).astype(int)
        h, w = self.mask.shape
        x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + w, crop.shape[1]), min(y + h, crop.shape[0])
        if t not in self.frames or x0 >= x1 or y0 >= y1:
            return np.zeros(len(xy), bool)
        mask = self.mask[y0 - y : y1 - y, x0 - x : x1 - x]
        crop[y0:y1, x0:x1][mask] = self.patch[y0 - y : y1 - y, x0 - x : x1 - x][mask]
        at = np.floor(xy).astype(int) - (x, y)
        inside = (at >= 0).all(1) & (at[:, 0] < w) & (at[:, 1] < h)
        at = np.clip(at, 0, (w - 1, h - 1))
        return inside & self.mask[at[:, 1], at[:, 0]]


def _sides(area: float, aspect: float, crop_wh: tuple[int, int]) -> tuple[int, int]:
    """Return width and height in pixels of a rectangle, kept smaller than the crop."""
    pixels = area * crop_wh[0] * crop_wh[1]
    w = int(np.clip(np.sqrt(pixels * aspect), 8, crop_wh[0] - 1))
    h = int(np.clip(np.sqrt(pixels / aspect), 8, crop_wh[1] - 1))
    return w, h


def something(rng: Rng, crop_wh: tuple[int, int], texture: Image | None, drift: float) -> Occluder:
    """Return a rectangle or an ellipse: plain or noisy, or cut from a picture of at least the crop's size."""
    w, h = _sides(rng.uniform(0.02, 0.22), np.exp(rng.uniform(-1.1, 1.1)), crop_wh)
    width, height = crop_wh
    start = np.array([rng.uniform(-w / 3, width - w * 2 / 3), rng.uniform(-h / 3, height - h * 2 / 3)])
    step = rng.normal(0, 0.03 * drift, 2) * crop_wh
    if texture is not None:
        x, y = rng.integers(0, width - w), rng.integers(0, height - h)
        patch = texture[y : y + h, x : x + w]
    elif rng.random() < 0.4:
        patch = rng.integers(0, 256, (h, w, 3), np.uint8)
    else:
        patch = np.full((h, w, 3), rng.integers(0, 256, 3), np.uint8)
    mask = np.ones((h, w), bool)
    if rng.random() < 0.4:
        half = (w // 2, h // 2)
        mask = cv2.ellipse(np.zeros((h, w), np.uint8), half, half, 0, 0, 360, 1, -1) > 0
    return Occluder(patch, mask, start, step)


def erased(rng: Rng, crop_wh: tuple[int, int], colour: npt.NDArray[np.floating], frames: int) -> Occluder:
    """Return a rectangle of one colour, the mean of the picture, that stands still for part of the sequence.

    Args:
        rng: Source of randomness.
        crop_wh: Of the crop.
        colour: (3,) 0..255.
        frames: Length of the sequence.
    """
    w, h = _sides(rng.uniform(*ERASED_AREA), np.exp(rng.uniform(-1, 1) * np.log(1 / ERASED_ASPECT)), crop_wh)
    start = np.array([rng.integers(0, crop_wh[0] - w + 1), rng.integers(0, crop_wh[1] - h + 1)], float)
    first = int(rng.integers(0, frames))
    when = range(first, first + int(rng.integers(1, frames + 1)))
    return Occluder(np.full((h, w, 3), colour, np.uint8), np.ones((h, w), bool), start, np.zeros(2), when)
