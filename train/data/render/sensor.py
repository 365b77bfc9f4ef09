"""What a camera makes of linear light: exposure, colour, blur, noise, resampling, JPEG."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from train.data.render.meshes import Floats


@dataclass(frozen=True, slots=True)
class Sensor:
    """How one picture is degraded.

    Attributes:
        gain: (3,) exposure times white balance.
        contrast: Power applied after the display curve, about 1.
        saturation: 0 grey, 1 as it is.
        blur_px: Standard deviation of the defocus, pixels.
        shake_px: (2,) length of a linear camera shake.
        shot, read: Noise per square root of signal, and constant.
        shrink: The picture went through a size this many times smaller.
        quality: JPEG's.
    """

    gain: tuple[float, float, float]
    contrast: float
    saturation: float
    blur_px: float
    shake_px: tuple[float, float]
    shot: float
    read: float
    shrink: float
    quality: int


CLEAN = Sensor((1.0, 1.0, 1.0), 1.0, 1.0, 0.0, (0.0, 0.0), 0.0, 0.0, 1.0, 95)


def random_sensor(rng: np.random.Generator) -> Sensor:
    """From a good camera in daylight to a webcam in a dim room."""
    gain = np.exp(rng.normal(0.05, 0.28)) * np.exp(rng.normal(0, 0.07, 3))
    noisy = rng.random() < 0.5
    shake = rng.normal(0, 2.5, 2) if rng.random() < 0.1 else np.zeros(2)
    return Sensor(
        (float(gain[0]), float(gain[1]), float(gain[2])),
        float(np.exp(rng.normal(0, 0.12))),
        float(rng.uniform(0.4, 1.25)) if rng.random() < 0.95 else 0.0,
        float(rng.uniform(0.4, 1.8)) if rng.random() < 0.35 else 0.0,
        (float(shake[0]), float(shake[1])),
        float(rng.uniform(0.005, 0.04)) if noisy else 0.003,
        float(rng.uniform(0.002, 0.012)) if noisy else 0.002,
        float(rng.uniform(1.2, 2.5)) if rng.random() < 0.25 else 1.0,
        int(rng.integers(35, 96)),
    )


def _shake_kernel(dx: float, dy: float) -> Floats:
    import cv2

    half = int(np.ceil(max(abs(dx), abs(dy)) / 2)) + 1
    kernel = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
    ends = [tuple(round((half + s * d / 2) * 16) for d in (dx, dy)) for s in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], 1.0, 1, cv2.LINE_AA, 4)
    return kernel / max(float(kernel.sum()), 1e-6)


def expose(rgb: Floats, sensor: Sensor, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Turn linear light (H, W, 3) into an 8-bit sRGB picture."""
    import cv2

    light = np.maximum(rgb, 0) * np.asarray(sensor.gain, np.float32)
    if any(sensor.shake_px):
        light = cv2.filter2D(light, -1, _shake_kernel(*sensor.shake_px))
    if sensor.blur_px > 0:
        light = cv2.GaussianBlur(light, (0, 0), sensor.blur_px)
    h, w = light.shape[:2]
    if sensor.shrink > 1:
        light = cv2.resize(light, (int(w / sensor.shrink), int(h / sensor.shrink)), interpolation=cv2.INTER_AREA)
    sigma = np.sqrt(sensor.shot**2 * light + sensor.read**2)
    light = light + rng.standard_normal(light.shape, np.float32) * sigma
    # A shoulder keeps bright windows and skies from clipping at once.
    light = np.maximum(light, 0)
    light = np.where(light < 0.7, light, 0.7 + 0.3 * (1 - np.exp(-(light - 0.7) / 0.3)))
    shown = np.clip(light, 0, 1) ** (sensor.contrast / 2.2)
    grey = shown.mean(-1, keepdims=True)
    out = np.clip((grey + sensor.saturation * (shown - grey)) * 255 + 0.5, 0, 255).astype(np.uint8)
    return cv2.resize(out, (w, h), interpolation=cv2.INTER_LINEAR) if sensor.shrink > 1 else out


def jpeg(image: npt.NDArray[np.uint8], quality: int) -> npt.NDArray[np.uint8]:
    """Compress an RGB picture; returns the file's bytes (n,) uint8."""
    import cv2

    ok, data = cv2.imencode(".jpg", np.ascontiguousarray(image[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not ok:
        raise ValueError(f"cannot encode a picture of shape {image.shape}")
    return np.asarray(data).reshape(-1)
