"""Pictures without people: shelves, views into environment maps, noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from train.data.people.boxes_augment import NONE, Rng, Scene, decode_rgb

Image = npt.NDArray[np.uint8]
EVERY_FIFTH = 5  # of the backgrounds is held out


class Backgrounds:
    """Pictures without people: flat clutter and views into environment maps.

    Args:
        folder: With `clutter/*.jpg` and `hdri/*.hdr`.
        held_out: The fifth that training never sees, instead of the rest.
    """

    def __init__(self, folder: Path, held_out: bool = False) -> None:
        self.clutter = _part(sorted((folder / "clutter").glob("*.jpg")), held_out)
        self.maps = [_tone_mapped(path) for path in _part(sorted((folder / "hdri").glob("*.hdr")), held_out)]

    def draw(self, rng: Rng) -> Scene:
        """Return one picture, as often an environment as clutter, some of them plain noise."""
        kind = rng.random()
        if kind < 0.08:
            return Scene(noise_picture(rng), NONE, NONE)
        if kind < 0.4:
            return Scene(decode_rgb(np.fromfile(self.clutter[rng.integers(len(self.clutter))], np.uint8)), NONE, NONE)
        return Scene(look_around(self.maps[rng.integers(len(self.maps))], rng), NONE, NONE)


def _part(paths: list[Path], held_out: bool) -> list[Path]:
    return [path for i, path in enumerate(paths) if (i % EVERY_FIFTH == 0) == held_out]


def _tone_mapped(path: Path) -> Image:
    import cv2

    light = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[..., ::-1]
    return (255 * np.clip(light / (1.6 * np.median(light) + 1e-6) / 1.5, 0, 1) ** (1 / 2.2)).astype(np.uint8)


def look_around(environment: Image, rng: Rng, size_wh: tuple[int, int] = (448, 288)) -> Image:
    """Return a (288, 448, 3) perspective view from inside an equirectangular map, roughly level."""
    import cv2

    width, height = size_wh
    focal = width / 2 / np.tan(np.deg2rad(rng.uniform(50, 110)) / 2)
    x, y = np.meshgrid((np.arange(width) - width / 2) / focal, (np.arange(height) - height / 2) / focal)
    pitch, yaw = np.deg2rad(rng.normal(0, 14)), rng.uniform(0, 2 * np.pi)
    down, ahead = y * np.cos(pitch) - np.sin(pitch), y * np.sin(pitch) + np.cos(pitch)
    u = ((np.arctan2(x, ahead) + yaw) / (2 * np.pi) % 1) * environment.shape[1]
    v = (np.arctan2(down, np.hypot(x, ahead)) / np.pi + 0.5) * environment.shape[0]
    places = (u.astype(np.float32), v.astype(np.float32))
    return cv2.remap(environment, *places, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)


def noise_picture(rng: Rng, size_wh: tuple[int, int] = (448, 288)) -> Image:
    """Return a (288, 448, 3) picture of coloured noise at one scale, or of one colour."""
    import cv2

    cells = int(rng.integers(1, 40))
    small = rng.integers(0, 256, (cells, cells, 3)).astype(np.uint8)
    return cv2.resize(small, size_wh, interpolation=cv2.INTER_CUBIC if rng.random() < 0.5 else cv2.INTER_NEAREST)
