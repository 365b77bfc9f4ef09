"""Environment maps as light: a few directional lights for the brightest parts, harmonics for the rest.

Directions use the body's world: y up, the first column of an unturned map lies at +z. Radiances are linear RGB.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from train.data.render.meshes import Floats


@dataclass(frozen=True, slots=True)
class Light:
    """Everything a scene is lit by.

    Attributes:
        radiance: (H, W, 3) the map, exposure applied by the shader.
        towards: (K, 3) unit directions to the lights.
        rgb: (K, 3) irradiance of each on a facing surface, divided by pi and multiplied by `exposure`.
        spread: (K,) half angle each light seems to have, radians.
        sky: (9, 3) coefficients of the remaining light in the shader's basis, same unit as `rgb`.
        turn: The map is turned by this share of a full circle.
        exposure: Factor that makes a white surface about 1.
        name: The map's file name.
    """

    radiance: Floats
    towards: Floats
    rgb: Floats
    spread: Floats
    sky: Floats
    turn: float
    exposure: float
    name: str


def directions(height: int, width: int, turn: float) -> tuple[Floats, Floats]:
    """Unit directions (H, W, 3) and solid angles (H, W) of an equirectangular map turned by `turn` circles."""
    theta = (np.arange(height) + 0.5) * np.pi / height
    phi = ((np.arange(width) + 0.5) / width - turn) * 2 * np.pi
    t, p = np.meshgrid(theta, phi, indexing="ij")
    d = np.stack([np.sin(t) * np.sin(p), np.cos(t), np.sin(t) * np.cos(p)], -1)
    return d.astype(np.float32), (np.sin(t) * np.pi / height * 2 * np.pi / width).astype(np.float32)


def harmonics(radiance: Floats, direction: Floats, solid: Floats) -> Floats:
    """Irradiance / pi as coefficients (9, 3) of the polynomials in `train.data.render.shaders` (`sky_light`)."""
    x, y, z = direction[..., 0], direction[..., 1], direction[..., 2]
    basis = [1 + 0 * x, y, z, x, x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y]
    norm = [0.282095, 0.488603, 0.488603, 0.488603, 1.092548, 1.092548, 0.315392, 1.092548, 0.546274]
    band = [np.pi] + [2 * np.pi / 3] * 3 + [np.pi / 4] * 5
    rows = [
        (radiance * (b * solid)[..., None]).sum((0, 1)) * n * n * a / np.pi
        for b, n, a in zip(basis, norm, band, strict=True)
    ]
    return np.asarray(rows, np.float32)


def _brightest(light: Floats, direction: Floats, solid: Floats, count: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Take `count` lights out of the map: its brightest spots with what lies within 20 degrees of each."""
    rest = light.copy()
    towards, rgb, spread = [], [], []
    for _ in range(count):
        luminance = rest.mean(-1) * solid
        peak = direction.reshape(-1, 3)[int(_blurred(luminance).argmax())]
        near = (direction @ peak) > np.cos(np.radians(20))
        bright = near & (rest.mean(-1) > 2.0 * np.average(rest.mean(-1), weights=solid)) & (direction[..., 1] > -0.1)
        if not bright.any():
            break
        weight = luminance * bright
        mean = (direction * weight[..., None]).sum((0, 1)) / weight.sum()
        towards.append(mean / np.linalg.norm(mean))
        rgb.append((rest * (solid * bright)[..., None]).sum((0, 1)) / np.pi)
        spread.append(float(np.sqrt(max(2 * (1 - np.linalg.norm(mean)), 0))))
        rest[bright] = np.average(rest[~bright], axis=0, weights=solid[~bright])
    empty = np.zeros((0, 3), np.float32)
    as_rows = (np.asarray(a, np.float32) if a else empty for a in (towards, rgb))
    return (*as_rows, np.asarray(spread, np.float32), rest)


def _blurred(image: Floats) -> Floats:
    import cv2

    return cv2.GaussianBlur(image, (0, 0), 3.0, borderType=cv2.BORDER_REFLECT)


def read_map(path: Path) -> Floats:
    """Read a Radiance file as (H, W, 3) float32 linear RGB.

    Raises:
        FileNotFoundError: If it cannot be read.
    """
    import cv2

    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise FileNotFoundError(f"no readable environment map at {path}")
    return np.ascontiguousarray(image[..., ::-1].astype(np.float32))


def light_from(radiance: Floats, name: str, turn: float, count: int = 3, gain: float = 1.0) -> Light:
    """Light a scene by an environment map.

    Args:
        radiance: (H, W, 3).
        name: For the record.
        turn: Share of a full circle to turn the map by.
        count: Directional lights at most.
        gain: Exposure on top of the automatic one.
    """
    height, width = 64, 128
    step_y, step_x = radiance.shape[0] // height, radiance.shape[1] // width
    small = radiance[: height * step_y, : width * step_x].reshape(height, step_y, width, step_x, 3).mean((1, 3))
    direction, solid = directions(height, width, turn)
    towards, rgb, spread, rest = _brightest(small, direction, solid, count)
    sky = harmonics(rest, direction, solid)
    # Irradiance / pi on an upright surface, averaged over the compass: what a standing person gets.
    upright = float(sky[0].mean() + 0.3 * (rgb.mean(-1).sum() if len(rgb) else 0))
    exposure = gain * 0.8 / max(upright, 1e-4)
    return Light(radiance, towards, rgb * exposure, spread, sky * exposure, turn, exposure, name)
