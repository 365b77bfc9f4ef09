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
from train.data.people.motion2d import leaning, wander

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
        cut: Chance that the picture ends where the person still goes on: heads and legs out of it, as before a webcam.
        occlude: Chance of something in front of the person.
        glimpse: Chance, for each frame but the first of a sequence, of something large in front in that frame only.
        drift: Motion per frame relative to what a still camera and a steady crop would show; 1 = lively.
        perspective: How strongly the crop leans, and how that changes; 1 = see `motion2d.leaning`.
        flicker: How much light and sharpness change over a sequence; 1 = as an automatic camera does.
        erase: Chance of a plain rectangle in front, as in Zhong et al., "Random Erasing", AAAI 2020; its size as in
            Li's thesis, section 2.8.2. In a sequence it is there for some of the frames.
    """

    crop_wh: tuple[int, int] = (192, 256)
    crop_scale: float = 1.25
    upright: float = 0.0
    any_angle: float = 0.05
    tilt: float = 30.0
    scale: float = 0.35
    shift: float = 0.08
    half_body: float = 0.12
    cut: float = 0.0
    occlude: float = 0.5
    glimpse: float = 0.25
    drift: float = 1.0
    perspective: float = 0.0
    flicker: float = 0.0
    erase: float = 0.0


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


def picture_edges(rng: Rng, config: AugmentConfig, boxes: Float, sizes_wh: Float) -> npt.NDArray[np.int64] | None:
    """Draw where the pictures end on the person, or None: they stay whole.

    A cut takes up to 40 % off the person's box at the top or a side, or up to half off its bottom; in a sequence the
    same part of every frame's, whose pictures may be pieces of unequal size.

    Args:
        rng: Source of randomness; not asked where `config.cut` is 0.
        config: See AugmentConfig.
        boxes: (T, 4) person boxes.
        sizes_wh: (T, 2) width and height of the pictures.

    Returns:
        (T, 4) edges left, top, right, bottom of the parts to keep, each of 8 pixels or more.
    """
    if not config.cut or rng.random() >= config.cut:
        return None
    side = int(rng.choice(4, p=(0.1, 0.4, 0.1, 0.4)))
    share = rng.uniform(0.05, 0.5 if side == 3 else 0.4) * (1 if side < 2 else -1)
    edges = np.concatenate([np.zeros_like(sizes_wh), sizes_wh], 1).astype(np.int64)
    lengths = boxes[:, 2 + side % 2] - boxes[:, side % 2]
    edges[:, side] = np.clip(boxes[:, side] + share * lengths, 0, sizes_wh[:, side % 2])
    return edges if (edges[:, 2:] - edges[:, :2]).min() >= 8 else None


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
        (T, 3, 3) maps from picture to crop, corner-origin pixels.
    """
    frames, (width, height) = len(boxes), config.crop_wh
    sides = (boxes[:, 2:] - boxes[:, :2]).mean(0) * config.crop_scale
    tall = max(float(sides[1]), float(sides[0]) * height / width, 8.0)  # the crop's height in picture pixels
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    centres = (centres + centres.mean(0)) / 2  # a tracker smooths
    angle = _angle(rng, config, xy, weight)
    zoom = np.exp(rng.uniform(-config.scale, 0.7 * config.scale))
    shift = rng.uniform(-config.shift, config.shift, 2)
    drift = config.drift
    spin, grow = wander(rng, frames, 0.03 * drift)[:, 0], wander(rng, frames, 0.02 * drift)[:, 0]
    move, jitter = wander(rng, frames, 0.015 * drift, 2), 0.01 * drift * rng.random()
    out = np.tile(np.eye(3), (frames, 1, 1))
    for t in range(frames):
        scale = height / tall * zoom * np.exp(grow[t] + rng.normal(0, jitter))
        cos, sin = np.cos(angle + spin[t]), np.sin(angle + spin[t])
        turn = scale * np.array([[cos, -sin], [sin, cos]])
        if mirror:
            turn[0] *= -1
        where = (0.5 + shift + move[t] + rng.normal(0, jitter, 2)) * (width, height)
        out[t, :2] = np.concatenate([turn, (where - turn @ centres[t])[:, None]], 1)
    return leaning(rng, frames, config.crop_wh, config.perspective) @ out if config.perspective else out


class Look:
    """Light, lens and compression of one sequence; each frame has noise of its own.

    Args:
        rng: Source of randomness.
        frames: Length of the sequence.
        flicker: See AugmentConfig.
    """

    def __init__(self, rng: Rng, frames: int = 1, flicker: float = 0.0) -> None:
        self.rng = rng
        self.gains = np.exp(rng.normal(0, 0.12)) * np.exp(rng.normal(0, 0.05, 3))
        self.gamma, self.lift = np.exp(rng.normal(0, 0.2)), rng.normal(0, 0.05)
        self.grey = rng.random() < 0.05
        self.shrink = rng.uniform(1.5, 4.0) if rng.random() < 0.2 else 1.0
        self.blur = rng.uniform(0.5, 1.8) if rng.random() < 0.15 else 0.0
        self.streak = int(rng.integers(3, 9)) if rng.random() < 0.12 else 0
        self.streak_angle = rng.uniform(0, 180)
        self.noise = rng.uniform(2, 12) if rng.random() < 0.25 else 0.0
        self.jpeg = int(rng.integers(25, 80)) if rng.random() < 0.25 else 0
        self.exposure = np.exp(wander(rng, frames, 0.025 * flicker) + rng.normal(0, 0.015 * flicker, (frames, 1)))
        self.focus = np.exp(wander(rng, frames, 0.08 * flicker)[:, 0])

    def apply(self, crop: Image, t: int = 0) -> Image:
        """Return the crop as this camera would have seen it in frame t."""
        levels = np.arange(256)[:, None] / 255
        curve = np.clip(levels**self.gamma * self.gains * self.exposure[t] + self.lift, 0, 1)
        out = cv2.LUT(crop, (curve * 255).astype(np.uint8).reshape(256, 1, 3))
        height, width = out.shape[:2]
        if self.grey:
            out = cv2.cvtColor(cv2.cvtColor(out, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        if self.shrink > 1:
            small = cv2.resize(out, (int(width / self.shrink), int(height / self.shrink)), interpolation=cv2.INTER_AREA)
            out = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
        if self.blur:
            out = cv2.GaussianBlur(out, (0, 0), self.blur * float(np.clip(self.focus[t], 0.3, 3)))
        if self.streak:
            out = self._streaked(out)
        if self.noise:
            grain = self.rng.integers(-128, 128, (height // 2, width // 2, 3), np.int8).astype(np.float32)
            grain = cv2.resize(grain * (self.noise / 64), (width, height), interpolation=cv2.INTER_NEAREST)
            out = np.clip(out + grain, 0, 255).astype(np.uint8)
        if self.jpeg:
            packed = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, self.jpeg])[1]
            out = cv2.imdecode(packed, cv2.IMREAD_COLOR)
        return out

    def _streaked(self, image: Image) -> Image:
        """Blur along a line."""
        line = np.zeros((self.streak, self.streak), np.float32)
        line[self.streak // 2] = 1 / self.streak
        middle = ((self.streak - 1) / 2, (self.streak - 1) / 2)
        line = cv2.warpAffine(line, cv2.getRotationMatrix2D(middle, self.streak_angle, 1), line.shape)
        return cv2.filter2D(image, -1, line / max(float(line.sum()), 1e-3))
