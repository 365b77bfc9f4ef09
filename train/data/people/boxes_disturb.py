"""What cameras and cables do to a picture: light, colour, blur, noise, compression, something in the way."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Rng = np.random.Generator


def relit(image: Image, rng: Rng) -> Image:
    """Change exposure, contrast, gamma, white balance and saturation of an (H, W, 3) picture."""
    levels = np.linspace(0, 1, 256, dtype=np.float32)[:, None]
    gains = np.exp(rng.normal(0, 0.08, 3) + rng.normal(0, 0.22))
    curve = np.clip((levels ** np.exp(rng.normal(0, 0.25)) * gains - 0.5) * np.exp(rng.normal(0, 0.15)) + 0.5, 0, 1)
    table = (curve * 255).astype(np.uint8)
    out = np.stack([table[image[..., c], c] for c in range(3)], -1)
    if rng.random() < 0.5:
        keep = 0.0 if rng.random() < 0.2 else rng.uniform(0.3, 1.4)
        grey = out.mean(2, keepdims=True, dtype=np.float32)
        out = np.clip(grey + (out - grey) * keep, 0, 255).astype(np.uint8)
    return out


def blurred(image: Image, rng: Rng) -> Image:
    """Lose sharpness: out of focus, moving, or scaled up from fewer pixels."""
    import cv2

    height, width = image.shape[:2]
    kind = rng.random()
    if kind < 0.4:
        return cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.8))
    if kind < 0.6:
        kernel = np.zeros((7, 7), np.float32)
        angle = rng.uniform(0, np.pi)
        for t in np.linspace(-3, 3, 13) * rng.uniform(0.3, 1):
            kernel[round(3 + t * np.sin(angle)), round(3 + t * np.cos(angle))] = 1
        return cv2.filter2D(image, -1, kernel / kernel.sum())
    share = rng.uniform(0.35, 0.8)
    small = cv2.resize(image, (int(width * share), int(height * share)), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


def noisy(image: Image, rng: Rng) -> Image:
    """Add sensor noise, or compress."""
    import cv2

    if rng.random() < 0.5:
        grain = rng.normal(0, rng.uniform(2, 14), (*image.shape[:2], 1 if rng.random() < 0.5 else 3))
        return np.clip(image + grain.astype(np.float32), 0, 255).astype(np.uint8)
    coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(20, 80))])[1]
    return cv2.imdecode(coded, cv2.IMREAD_COLOR)


def cut_out(image: Image, rng: Rng) -> Image:
    """Cover up to three small rectangles with one colour each."""
    out = image.copy()
    height, width = image.shape[:2]
    for _ in range(int(rng.integers(1, 4))):
        w, h = (rng.uniform(0.03, 0.16, 2) * [width, height]).astype(int) + 1
        x, y = int(rng.integers(0, width - w)), int(rng.integers(0, height - h))
        out[y : y + h, x : x + w] = rng.integers(0, 256, 3)
    return out


def disturbed(image: Image, rng: Rng) -> Image:
    """Return the (H, W, 3) uint8 picture with a random choice of all of these; geometry stays."""
    for step, chance in ((cut_out, 0.15), (relit, 0.8), (blurred, 0.35), (noisy, 0.45)):
        if rng.random() < chance:
            image = step(image, rng)
    return image
