"""Augmentation of person crops: how the crop lies on the person, light and lens, things in front.

Everything is drawn once per sequence and moves smoothly over its frames, so a still picture turns into
a short clip of a camera and a crop that drift and jitter; a sequence of one frame is a plain crop.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from engines.skeletons import H36M17

Float = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]
Rng = np.random.Generator

PELVIS, THORAX = H36M17.index("pelvis"), H36M17.index("thorax")
UPPER = [H36M17.index(n) for n in ("pelvis", "head_top", "thorax", "left_shoulder", "right_shoulder")]
UPPER += [H36M17.index(f"{s}_{n}") for s in ("left", "right") for n in ("elbow", "wrist")]
LOWER = [H36M17.index(f"{s}_{n}") for s in ("left", "right") for n in ("hip", "knee", "ankle")]


@dataclass(frozen=True)
class AugmentConfig:
    """How strongly to augment.

    Attributes:
        crop_wh: Width and height of the crops in pixels.
        crop_scale: Enlargement of the person box, as the pipeline does it.
        upright: Chance to turn the picture so that the torso stands upright, give or take 20 degrees.
        any_angle: Chance of a turn by any angle at all.
        tilt: Largest other turn in degrees.
        scale: Log of the smallest crop scale is -scale, of the largest 0.7 * scale.
        shift: Largest shift as a part of the crop's sides.
        half_body: Chance that the box is that of the upper or the lower body only.
        occlude: Chance of something in front of the person.
        glimpse: Chance, for each frame but the first of a sequence, of something large in front in that frame only.
        drift: Motion per frame relative to what a still camera and a steady crop would show; 1 = lively.
    """

    crop_wh: tuple[int, int] = (192, 256)
    crop_scale: float = 1.25
    upright: float = 0.0
    any_angle: float = 0.05
    tilt: float = 30.0
    scale: float = 0.35
    shift: float = 0.08
    half_body: float = 0.12
    occlude: float = 0.5
    glimpse: float = 0.25
    drift: float = 1.0


def person_box(rng: Rng, config: AugmentConfig, xy: Float, weight: Float, box: Float) -> Float:
    """Return the (4,) box to crop around: the given one, a little padded, or that of half the body."""
    if rng.random() < config.half_body:
        part = UPPER if rng.random() < 0.7 else LOWER
        known = xy[part][weight[part] > 0]
        if len(known) >= 4:
            low, high = known.min(0), known.max(0)
            if (high - low).max() > 0.25 * (box[2:] - box[:2]).max():
                box = np.concatenate([low, high]).astype(np.float32)
    pad = rng.uniform(0, 0.06) * (box[2:] - box[:2]).max()
    return box + np.array([-pad, -pad, pad, pad], np.float32)


def _angle(rng: Rng, config: AugmentConfig, xy: Float, weight: Float) -> float:
    """Draw the turn of the picture in radians."""
    dice = rng.random()
    if dice < config.any_angle:
        return float(rng.uniform(-np.pi, np.pi))
    if dice < config.any_angle + config.upright and min(weight[PELVIS], weight[THORAX]) > 0:
        up = xy[THORAX] - xy[PELVIS]
        return float(np.arctan2(-up[0], -up[1]) * -1 + np.deg2rad(rng.normal(0, 20)))
    return float(np.deg2rad(np.clip(rng.normal(0, config.tilt / 2), -config.tilt, config.tilt)))


def crop_matrices(
    rng: Rng, config: AugmentConfig, boxes: Float, xy: Float, weight: Float, mirror: bool
) -> npt.NDArray[np.float64]:
    """Draw how the crop lies on the picture in each frame.

    Args:
        rng: Source of randomness.
        config: See AugmentConfig.
        boxes: (T, 4) person boxes.
        xy: (17, 2) joints of the first frame: where is up.
        weight: (17,) their weights, 0 = not known.
        mirror: Whether to mirror.

    Returns:
        (T, 2, 3) maps from picture to crop, corner-origin pixels.
    """
    frames, (width, height) = len(boxes), config.crop_wh
    sides = (boxes[:, 2:] - boxes[:, :2]).mean(0) * config.crop_scale
    tall = max(float(sides[1]), float(sides[0]) * height / width, 8.0)  # the crop's height in picture pixels
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    centres = (centres + centres.mean(0)) / 2  # a tracker smooths
    angle = _angle(rng, config, xy, weight)
    zoom = np.exp(rng.uniform(-config.scale, 0.7 * config.scale))
    shift = rng.uniform(-config.shift, config.shift, 2)
    spin, grow = rng.normal(0, 0.03) * config.drift, rng.normal(0, 0.02) * config.drift
    move, jitter = rng.normal(0, 0.015, 2) * config.drift, 0.01 * config.drift * rng.random()
    out = np.empty((frames, 2, 3))
    for t in range(frames):
        scale = height / tall * zoom * np.exp(grow * t + rng.normal(0, jitter))
        cos, sin = np.cos(angle + spin * t), np.sin(angle + spin * t)
        turn = scale * np.array([[cos, -sin], [sin, cos]])
        if mirror:
            turn[0] *= -1
        where = (0.5 + shift + move * t + rng.normal(0, jitter, 2)) * (width, height)
        out[t] = np.concatenate([turn, (where - turn @ centres[t])[:, None]], 1)
    return out


class Look:
    """Light, lens and compression of one sequence; each frame has noise of its own."""

    def __init__(self, rng: Rng) -> None:
        self.rng = rng
        gains = np.exp(rng.normal(0, 0.12)) * np.exp(rng.normal(0, 0.05, 3))
        levels = np.arange(256)[:, None] / 255
        curve = np.clip(levels ** np.exp(rng.normal(0, 0.2)) * gains + rng.normal(0, 0.05), 0, 1)
        self.curve = (curve * 255).astype(np.uint8).reshape(256, 1, 3)
        self.grey = rng.random() < 0.05
        self.shrink = rng.uniform(1.5, 4.0) if rng.random() < 0.2 else 1.0
        self.blur = rng.uniform(0.5, 1.8) if rng.random() < 0.15 else 0.0
        self.streak = int(rng.integers(3, 9)) if rng.random() < 0.12 else 0
        self.streak_angle = rng.uniform(0, 180)
        self.noise = rng.uniform(2, 12) if rng.random() < 0.25 else 0.0
        self.jpeg = int(rng.integers(25, 80)) if rng.random() < 0.25 else 0

    def apply(self, crop: Image) -> Image:
        """Return the crop as this camera would have seen it."""
        out = cv2.LUT(crop, self.curve)
        height, width = out.shape[:2]
        if self.grey:
            out = cv2.cvtColor(cv2.cvtColor(out, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        if self.shrink > 1:
            small = cv2.resize(out, (int(width / self.shrink), int(height / self.shrink)), interpolation=cv2.INTER_AREA)
            out = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
        if self.blur:
            out = cv2.GaussianBlur(out, (0, 0), self.blur)
        if self.streak:
            line = np.zeros((self.streak, self.streak), np.float32)
            line[self.streak // 2] = 1 / self.streak
            middle = ((self.streak - 1) / 2, (self.streak - 1) / 2)
            line = cv2.warpAffine(line, cv2.getRotationMatrix2D(middle, self.streak_angle, 1), line.shape)
            out = cv2.filter2D(out, -1, line / max(float(line.sum()), 1e-3))
        if self.noise:
            grain = self.rng.integers(-128, 128, (height // 2, width // 2, 3), np.int8).astype(np.float32)
            grain = cv2.resize(grain * (self.noise / 64), (width, height), interpolation=cv2.INTER_NEAREST)
            out = np.clip(out + grain, 0, 255).astype(np.uint8)
        if self.jpeg:
            packed = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, self.jpeg])[1]
            out = cv2.imdecode(packed, cv2.IMREAD_COLOR)
        return out


class Occluder:
    """A rectangle or an ellipse in front of the person: plain, noisy, or cut from another picture; it may move."""

    def __init__(self, rng: Rng, crop_wh: tuple[int, int], texture: Image | None, drift: float) -> None:
        width, height = crop_wh
        area, aspect = rng.uniform(0.02, 0.22) * width * height, np.exp(rng.uniform(-1.1, 1.1))
        w = int(np.clip(np.sqrt(area * aspect), 8, width - 1))
        h = int(np.clip(np.sqrt(area / aspect), 8, height - 1))
        self.start = np.array([rng.uniform(-w / 3, width - w * 2 / 3), rng.uniform(-h / 3, height - h * 2 / 3)])
        self.step = rng.normal(0, 0.03 * drift, 2) * crop_wh
        if texture is None:
            self.patch = np.full((h, w, 3), rng.integers(0, 256, 3), np.uint8)
            if rng.random() < 0.4:
                self.patch = rng.integers(0, 256, (h, w, 3), np.uint8)
        else:
            x, y = rng.integers(0, width - w), rng.integers(0, height - h)
            self.patch = texture[y : y + h, x : x + w]
        self.mask = np.ones((h, w), bool)
        if rng.random() < 0.4:
            half = (w // 2, h // 2)
            self.mask = cv2.ellipse(np.zeros((h, w), np.uint8), half, half, 0, 0, 360, 1, -1) > 0

    def cover(self, crop: Image, xy: Float, t: int) -> npt.NDArray[np.bool_]:
        """Paint into the crop of frame t; return which of the (17, 2) joints are behind."""
        x, y = (self.start + self.step * t).astype(int)
        h, w = self.mask.shape
        x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + w, crop.shape[1]), min(y + h, crop.shape[0])
        if x0 >= x1 or y0 >= y1:
            return np.zeros(len(xy), bool)
        mask = self.mask[y0 - y : y1 - y, x0 - x : x1 - x]
        crop[y0:y1, x0:x1][mask] = self.patch[y0 - y : y1 - y, x0 - x : x1 - x][mask]
        at = np.floor(xy).astype(int) - (x, y)
        inside = (at >= 0).all(1) & (at[:, 0] < w) & (at[:, 1] < h)
        at = np.clip(at, 0, (w - 1, h - 1))
        return inside & self.mask[at[:, 1], at[:, 0]]
