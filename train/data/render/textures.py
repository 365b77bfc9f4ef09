"""Procedural surface patterns (weaves, stripes, checks, floors) and colours of skin, hair and cloth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from train.data.render.meshes import Floats

SIZE = 256


def tiling_noise(rng: np.random.Generator, size: int, cells: int, octaves: int = 4, stretch: float = 1.0) -> Floats:
    """Smooth noise (size, size) in 0..1 that tiles: octaves of resized random grids."""
    import cv2

    total, weight = np.zeros((size, size), np.float32), 0.0
    for octave in range(octaves):
        n = min(cells * 2**octave, size)
        grid = rng.random((max(2, int(n / stretch)), n)).astype(np.float32)
        padded = np.tile(grid, (3, 3))
        big = cv2.resize(padded, (3 * size, 3 * size), interpolation=cv2.INTER_CUBIC)
        total += big[size : 2 * size, size : 2 * size] * 0.5**octave
        weight += 0.5**octave
    total /= weight
    return np.clip((total - total.min()) / (total.max() - total.min() + 1e-9), 0, 1)


def _grid(size: int) -> tuple[Floats, Floats]:
    at = (np.arange(size, dtype=np.float32) + 0.5) / size
    y, x = np.meshgrid(at, at, indexing="ij")
    return x, y


def _wave(t: Floats, repeats: int, duty: float) -> Floats:
    """Soft-edged bars: 1 on `duty` of each period."""
    phase = np.abs((t * repeats) % 1.0 - 0.5) * 2
    return np.clip((duty - phase) * len(t) / repeats / 4 + 0.5, 0, 1)


def _mixes(rng: np.random.Generator, size: int) -> dict[str, Floats]:
    """Pattern name -> share of the second colour (size, size)."""
    x, y = _grid(size)
    dots = ((x * 6 % 1 - 0.5) ** 2 + (y * 6 % 1 - 0.5) ** 2 < 0.06).astype(np.float32)
    blob, fine = tiling_noise(rng, size, 4), tiling_noise(rng, size, 24)
    zigzag = _wave(y + np.abs(x * 6 % 1 - 0.5) / 8, 8, 0.4)
    return {
        "plain": np.zeros_like(x),
        "heather": fine * 0.6,
        "stripes_across": _wave(y, 6, 0.5),
        "stripes_fine": _wave(y, 14, 0.35),
        "stripes_down": _wave(x, 8, 0.3),
        "check": (_wave(x, 5, 0.45) + _wave(y, 5, 0.45)) / 2,
        "dots": dots,
        "blobs": (blob > 0.52).astype(np.float32),
        "zigzag": zigzag,
        "chest_band": _wave(y, 1, 0.3),
        "washed": blob * 0.5,
        "camouflage": (np.digitize(blob, [0.35, 0.5, 0.65]) / 3).astype(np.float32),
    }


CLOTH = (
    "plain", "plain", "plain", "heather", "heather", "stripes_across", "stripes_fine", "stripes_down",
    "check", "check", "dots", "blobs", "zigzag", "chest_band", "washed", "washed", "camouflage",
)  # fmt: skip
GROUND = ("planks", "tiles", "concrete", "carpet", "grass", "bricks", "plaster")
SKIN, HAIR = "skin", "hair"


def _floors(rng: np.random.Generator, size: int) -> dict[str, tuple[Floats, Floats]]:
    """Ground name -> (mix, brightness)."""
    x, y = _grid(size)
    row = np.floor(y * 6).astype(int)
    shift = rng.random(6)[row]
    column = np.floor((x + shift) * 2).astype(int) % 2
    tone = rng.random((6, 2))[row, column].astype(np.float32)
    seam = np.maximum(_wave(y + 1 / 12, 6, 0.03), _wave((x + shift).astype(np.float32) + 0.25, 2, 0.012))
    grain = tiling_noise(rng, size, 64, 3, 16.0)
    rough, coarse = tiling_noise(rng, size, 32), tiling_noise(rng, size, 5)
    grout = np.maximum(_wave(x + 1 / 8, 4, 0.03), _wave(y + 1 / 8, 4, 0.03))
    brick_row = np.floor(y * 8).astype(int)
    mortar = np.maximum(_wave(y + 1 / 16, 8, 0.12), _wave(x + 0.125 + 0.125 * (brick_row % 2), 4, 0.05))
    blades = tiling_noise(rng, size, 90, 2)
    return {
        "planks": (0.6 * tone + 0.4 * grain, (0.42 + 0.12 * tone + 0.1 * grain) * (1 - 0.6 * seam)),
        "tiles": (0.3 * coarse + grout * 0.7, 0.5 + 0.05 * rough - 0.2 * grout),
        "concrete": (coarse, 0.35 + 0.2 * coarse + 0.1 * rough),
        "carpet": (rough, 0.35 + 0.25 * rough),
        "grass": (coarse * 0.5 + blades * 0.5, 0.2 + 0.45 * blades),
        "bricks": (mortar, 0.4 + 0.2 * coarse),
        "plaster": (0.3 * coarse, 0.47 + 0.06 * rough),
    }


def patterns(seed: int = 0, size: int = SIZE) -> tuple[npt.NDArray[np.uint8], dict[str, int]]:
    """Draw every pattern.

    Returns:
        (L, size, size, 3) uint8: mix of the two colours, brightness (0.375 leaves a colour as it is), height; and the
        layer of each name.
    """
    rng = np.random.default_rng(seed)
    x, y = _grid(size)
    threads = 0.5 + 0.25 * (np.sin(2 * np.pi * 64 * x) + np.sin(2 * np.pi * 64 * y))
    folds = tiling_noise(rng, size, 3, 4, 0.6)
    layers: dict[str, tuple[Floats, Floats, Floats]] = {}
    for name, mix in _mixes(rng, size).items():
        layers[name] = (mix, 0.345 + 0.04 * threads + 0.03 * folds, folds)
    for name, (mix, bright) in _floors(rng, size).items():
        layers[name] = (mix, bright, bright)
    pores, patches = tiling_noise(rng, size, 60, 2), tiling_noise(rng, size, 3)
    layers[SKIN] = (patches, 0.36 + 0.03 * pores, pores * 0.3)
    strands = tiling_noise(rng, size, 96, 2, 24.0)
    layers[HAIR] = (strands, 0.22 + 0.3 * strands, strands)
    stack = np.stack([np.stack(layers[name], -1) for name in layers])
    return (np.clip(stack, 0, 1) * 255).astype(np.uint8), {name: i for i, name in enumerate(layers)}


def photographs(folder: Path, count: int, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Square crops (count, 256, 256, 3) sRGB of the JPEG files in a folder, for prints, walls and occluders.

    Raises:
        FileNotFoundError: If the folder holds no JPEG file.
    """
    import cv2

    files = sorted(folder.glob("*.jpg"))
    if not files:
        raise FileNotFoundError(f"no .jpg files in {folder}")
    out = np.zeros((count, SIZE, SIZE, 3), np.uint8)
    for i in range(count):
        image = cv2.imread(str(files[rng.integers(len(files))]))[..., ::-1]
        side = int(min(image.shape[:2]) * rng.uniform(0.5, 1.0))
        top, left = (int(rng.integers(n - side + 1)) for n in image.shape[:2])
        out[i] = cv2.resize(image[top : top + side, left : left + side], (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    return out


def linear(photo: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Undo sRGB's curve, roughly, kept in 8 bits."""
    table = (np.arange(256) / 255) ** 2.2 * 255
    return np.ascontiguousarray(np.rint(table).astype(np.uint8)[photo])


def skin_colour(rng: np.random.Generator, race: tuple[float, float, float]) -> Floats:
    """Linear RGB of skin between dark, tan and fair, by the mix of the body's prototypes, with some spread."""
    prototypes = np.array([[0.16, 0.075, 0.045], [0.55, 0.34, 0.22], [0.66, 0.42, 0.33]])
    share = np.asarray(race) / np.sum(race)
    colour = np.exp((share[:, None] * np.log(prototypes)).sum(0))
    return (colour * np.exp(rng.normal(0, 0.15)) * np.exp(rng.normal(0, 0.04, 3))).clip(0.02, 0.85).astype(np.float32)


def hair_colour(rng: np.random.Generator) -> Floats:
    """Linear RGB: mostly black and brown, some blond, red and grey."""
    choices = np.array(
        [
            [0.015, 0.012, 0.01],
            [0.05, 0.028, 0.016],
            [0.11, 0.06, 0.03],
            [0.42, 0.28, 0.13],
            [0.25, 0.08, 0.03],
            [0.45, 0.44, 0.43],
        ]
    )
    colour = choices[rng.choice(6, p=[0.3, 0.3, 0.18, 0.1, 0.05, 0.07])]
    return (colour * np.exp(rng.normal(0, 0.15))).astype(np.float32)


def cloth_colour(rng: np.random.Generator) -> Floats:
    """Linear RGB: greys, dark blues and blacks as people wear them, and every other hue."""
    kind = rng.random()
    if kind < 0.4:
        grey = np.exp(rng.uniform(np.log(0.015), np.log(0.85)))
        return (grey * np.exp(rng.normal(0, 0.06, 3))).clip(0.01, 0.9).astype(np.float32)
    if kind < 0.55:
        return (np.array([0.03, 0.06, 0.17]) * np.exp(rng.normal(0, 0.5))).clip(0.005, 0.9).astype(np.float32)
    hue, saturation, value = rng.random(), rng.uniform(0.3, 1.0), rng.uniform(0.1, 1.0)
    offsets = np.abs((hue * 6 + np.array([0.0, 4.0, 2.0])) % 6 - 3) - 1
    return ((value * (1 - saturation + saturation * offsets.clip(0, 1))) ** 2.2).clip(0.01, 0.9).astype(np.float32)
