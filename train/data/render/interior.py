"""The room of the demo clip: walls with windows, wooden floor, a few pieces of furniture, daylight."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from train.data.render import props
from train.data.render.lights import Light, light_from, read_map
from train.data.render.meshes import Floats
from train.data.render.surfaces import Material, Object3D

VIEW = "rooitou_park"  # behind the windows
AMBIENCE = "lebombo"  # an interior: where the skylight inside comes from
PICTURES = ("venice_sunset", "chinese_garden", "kloppenheim_05", "thatch_chapel")
BACK_M, WINDOW_WALL_M, HIGH_M = 3.4, 3.2, 3.7


@dataclass(frozen=True, slots=True)
class Interior:
    """A furnished room.

    Attributes:
        objects: Everything in it.
        light: Sun through the windows, skylight inside.
        balls: (S, 4) balls that darken the floor under the furniture.
    """

    objects: list[Object3D]
    light: Light
    balls: Floats


def _picture(radiance: Floats, at: float) -> npt.NDArray[np.uint8]:
    """A square view (256, 256, 3) sRGB out of an environment map, around its horizon."""
    import cv2

    h, w, _ = radiance.shape
    left = int(at * (w - h // 2))
    cut = radiance[h // 4 : 3 * h // 4, left : left + h // 2]
    shown = np.clip(cut / (2.2 * np.median(cut)), 0, 1) ** (1 / 2.2)
    return cv2.resize((shown * 255).astype(np.uint8), (256, 256), interpolation=cv2.INTER_CUBIC)


class _Builder:
    """Collects boxes and turned shapes with few words."""

    def __init__(self, layers: dict[str, int]) -> None:
        self.layers, self.objects = layers, list[Object3D]()

    def material(
        self, colour: tuple[float, float, float], layer: str = "plain", repeats: float = 1.0, second: float = 1.0
    ) -> Material:
        base = np.asarray(colour, np.float32)
        return props.plain_material(base, base * second, self.layers[layer], repeats)

    def box(
        self, size: tuple[float, float, float], at: tuple[float, float, float], material: Material, turn: float = 0.0
    ) -> None:
        self.objects.append(props.box(np.asarray(size), turn, np.asarray(at), material, 0, True))

    def lathe(self, profile: list[tuple[float, float]], at: tuple[float, float, float], material: Material) -> None:
        self.objects.append(props.lathe(np.asarray(profile), np.asarray(at), material, 0, True))


def _walls(b: _Builder) -> None:
    paint = b.material((0.66, 0.63, 0.58), "plaster", 0.5, 0.97)
    white = b.material((0.8, 0.79, 0.77))
    b.box((14, HIGH_M, 0.2), (0, 0, BACK_M + 0.1), paint)
    b.box((14, 0.11, 0.03), (0, 0, BACK_M - 0.01), white)
    b.box((0.2, 0.75, 14), (WINDOW_WALL_M + 0.1, 0, -2), paint)
    b.box((0.2, HIGH_M - 2.75, 14), (WINDOW_WALL_M + 0.1, 2.75, -2), paint)
    b.box((0.3, 0.04, 14), (WINDOW_WALL_M + 0.02, 0.75, -2), white)
    b.box((10.2, 0.2, 14), (WINDOW_WALL_M - 5.1, HIGH_M, -2), b.material((0.75, 0.74, 0.72)))
    for z in (2.0, -0.6, -3.2):
        b.box(
            (10.2, 0.26, 0.2),
            (WINDOW_WALL_M - 5.1, HIGH_M - 0.26, z),
            b.material((0.3, 0.17, 0.09), "planks", 0.5, 0.8),
        )
    for z in (BACK_M, 1.0, -1.4, -3.8, -6.2):
        b.box((0.2, 2.0, 0.7), (WINDOW_WALL_M + 0.1, 0.75, z), paint)
    for z in (2.2, -0.2, -2.6, -5.0):
        b.box((0.06, 2.0, 0.05), (WINDOW_WALL_M + 0.1, 0.75, z), white)
        b.box((0.06, 0.05, 1.7), (WINDOW_WALL_M + 0.1, 1.85, z), white)


def _furniture(b: _Builder) -> None:
    oak, dark = b.material((0.36, 0.2, 0.1), "planks", 1.3, 0.75), b.material((0.05, 0.045, 0.04))
    b.box((1.9, 0.5, 0.42), (-0.9, 0.18, BACK_M - 0.24), oak)
    for x in (-1.75, -0.05):
        b.box((0.05, 0.18, 0.34), (x, 0, BACK_M - 0.24), dark)
    for x in (-1.37, -0.43):
        b.box((0.9, 0.42, 0.02), (x, 0.22, BACK_M - 0.46), b.material((0.42, 0.24, 0.12), "planks", 0.9, 0.8))
    vase = [(0.05, 0), (0.1, 0.06), (0.11, 0.14), (0.06, 0.24), (0.04, 0.3), (0.055, 0.33)]
    b.lathe(vase, (-1.5, 0.68, BACK_M - 0.24), b.material((0.1, 0.25, 0.3)))
    colours = (
        (0.5, 0.08, 0.06),
        (0.06, 0.14, 0.3),
        (0.6, 0.5, 0.3),
        (0.08, 0.2, 0.12),
        (0.5, 0.3, 0.1),
        (0.2, 0.2, 0.22),
    )
    for i, colour in enumerate(colours):
        b.box((0.035, 0.2 + 0.02 * (i % 3), 0.16), (-0.55 + 0.042 * i, 0.68, BACK_M - 0.24), b.material(colour))
    _armchair(b, (1.75, 0, BACK_M - 0.75), 0.5)
    lamp, shade = (2.65, 0, BACK_M - 0.35), b.material((0.85, 0.78, 0.62))
    b.lathe([(0.15, 0), (0.15, 0.02), (0.012, 0.03), (0.012, 1.45), (0, 1.45)], lamp, dark)
    b.lathe([(0.2, 1.38), (0.12, 1.68), (0, 1.68)], lamp, shade)
    _plant(b, (-2.6, 0, BACK_M - 0.5))
    rug = props.box(
        np.array([3.0, 0.012, 2.1]), 0.06, np.array([0.2, 0, -0.4]), b.material((0.5, 0.47, 0.41), "zigzag", 1.2, 0.62)
    )
    b.objects.append(replace(rug, near_people=True))


def _armchair(b: _Builder, at: tuple[float, float, float], turn: float) -> None:
    cloth = b.material((0.1, 0.19, 0.2), "heather", 3.0, 1.5)
    wood = b.material((0.2, 0.1, 0.05), "planks", 2.0, 0.8)
    c, s = np.cos(turn), np.sin(turn)

    def put(size: tuple[float, float, float], x: float, y: float, z: float, material: Material) -> None:
        b.box(size, (at[0] + c * x + s * z, y, at[2] - s * x + c * z), material, turn)

    put((0.72, 0.2, 0.7), 0, 0.22, 0, cloth)
    put((0.6, 0.1, 0.6), 0, 0.42, -0.04, b.material((0.13, 0.24, 0.25), "heather", 3.0, 1.4))
    put((0.72, 0.6, 0.14), 0, 0.3, 0.32, cloth)
    for x in (-0.38, 0.38):
        put((0.1, 0.42, 0.7), x, 0.2, 0, cloth)
        for z in (-0.28, 0.28):
            put((0.05, 0.22, 0.05), x * 0.85, 0, z, wood)


def _plant(b: _Builder, at: tuple[float, float, float]) -> None:
    """A pot of upright leaves."""
    rng = np.random.default_rng(1)
    b.lathe([(0.13, 0), (0.17, 0.3), (0.16, 0.31), (0, 0.29)], at, b.material((0.62, 0.6, 0.56), "plaster", 3.0, 0.9))
    for _ in range(16):
        angle, away = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.1)
        tall, wide = rng.uniform(0.4, 0.85), rng.uniform(0.02, 0.035)
        t = np.linspace(0, 1, 7)
        profile = [(wide * np.sin(np.pi * (0.15 + 0.85 * x)) ** 0.8, tall * x) for x in t]
        green = b.material((0.05 * rng.uniform(0.7, 1.4), 0.14 * rng.uniform(0.7, 1.3), 0.04), "washed", 6.0, 1.6)
        b.lathe(profile, (at[0] + away * np.sin(angle), 0.27, at[2] + away * np.cos(angle)), green)


def _pictures(b: _Builder) -> None:
    frame = b.material((0.07, 0.05, 0.04))
    mount = b.material((0.82, 0.81, 0.79))
    for i, (x, y, side) in enumerate(((-1.55, 1.35, 0.62), (-0.72, 1.35, 0.62), (0.85, 1.3, 0.85))):
        b.box((side, side, 0.03), (x, y, BACK_M - 0.015), frame)
        b.box((side - 0.06, side - 0.06, 0.012), (x, y + 0.03, BACK_M - 0.034), mount)
        inner = side - 0.22
        photo = props.plain_material(np.ones(3, np.float32), np.ones(3, np.float32), 0, 1 / inner, i)
        hung = props.box(np.array([inner, inner, 0.01]), 0.0, np.array([x, y + 0.11, BACK_M - 0.044]), photo, 0, False)
        # Looked up from the frame's corner, so that one copy of the photograph fills it the right way up.
        b.objects.append(_hung(hung, inner))


def _hung(picture: Object3D, side: float) -> Object3D:
    corner = np.array([side / 2, side, 0], np.float32)
    return replace(picture, rest_m=(corner - picture.rest_m).astype(np.float32))


def furnish(skies: Path, layers: dict[str, int], seed: int) -> tuple[Interior, npt.NDArray[np.uint8]]:
    """Build the room.

    Args:
        skies: Folder of the environment maps.
        layers: Pattern name -> texture layer.
        seed: Of the cut-outs that hang on the wall.

    Returns:
        The room and the photographs (L, 256, 256, 3) its pictures use.

    Raises:
        FileNotFoundError: If an environment map is missing.
    """
    rng = np.random.default_rng(seed)
    b = _Builder(layers)
    ground = props.plain_material(
        np.array([0.37, 0.25, 0.16], np.float32), np.array([0.27, 0.175, 0.105], np.float32), layers["planks"], 0.8
    )
    b.objects.append(props.floor(9.0, ground, False))
    _walls(b)
    _furniture(b)
    _pictures(b)
    view, inside = read_map(skies / f"{VIEW}.hdr"), read_map(skies / f"{AMBIENCE}.hdr")
    ambient = light_from(inside, AMBIENCE, 0.1, 2)
    sun = np.array([0.72, 0.62, -0.22], np.float32)
    window = np.array([0.75, 0.62, -0.1], np.float32)
    towards = np.stack([sun / np.linalg.norm(sun), window / np.linalg.norm(window)])
    rgb = np.array([[1.7, 1.5, 1.2], [0.62, 0.66, 0.72]], np.float32)
    spread = np.array([0.0, 0.12], np.float32)
    outside = light_from(view, VIEW, 0.3, 0)
    light = Light(view, towards, rgb, spread, ambient.sky * np.float32(0.66), 0.3, outside.exposure * 1.6, VIEW)
    rows = [[x, 0.1, BACK_M - 0.24, 0.24] for x in np.linspace(-1.7, -0.1, 6)]
    rows += [[1.75 + x, 0.12, BACK_M - 0.75, 0.26] for x in (-0.2, 0.2)] + [[-2.6, 0.1, BACK_M - 0.5, 0.16]]
    photos = np.stack([_picture(read_map(skies / f"{name}.hdr"), float(rng.random())) for name in PICTURES])
    return Interior(b.objects, light, np.asarray(rows, np.float32)), photos
