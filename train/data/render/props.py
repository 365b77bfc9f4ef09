"""Things that are not people: floors, walls, boxes, posts, balls, with random materials."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from train.data.render.meshes import Floats, Ints, normals
from train.data.render.surfaces import Material, Object3D
from train.data.render.textures import CLOTH, GROUND, cloth_colour

Array = npt.NDArray[np.float64]


def plain_material(
    colour: Floats, second: Floats, layer: int, repeats: float, photo: int = -1, bump: float = 0.0
) -> Material:
    """A material whose slots are all the same."""
    return Material(
        np.tile(colour, (8, 1)).astype(np.float32),
        np.tile(second, (8, 1)).astype(np.float32),
        np.tile(np.array([layer, repeats, bump, photo], np.float32), (8, 1)),
        np.tile(np.array([0.3, 20], np.float32), (8, 1)),
    )


def random_material(rng: np.random.Generator, layers: dict[str, int], photos: int) -> Material:
    """Photograph, ground or cloth pattern in random colours."""
    kind = rng.random()
    name = str(rng.choice(GROUND if kind < 0.4 else CLOTH))
    photo = int(rng.integers(photos)) if kind > 0.7 else -1
    repeats = float(np.exp(rng.uniform(np.log(0.6), np.log(3))))
    return plain_material(cloth_colour(rng), cloth_colour(rng), layers[name], repeats, photo)


def _object(
    vertices: Array, triangles: Ints, turn: float, at: Array, material: Material, object_id: int, casts: bool
) -> Object3D:
    rest = vertices.astype(np.float32)
    rest_normal = normals(rest, triangles)
    c, s = np.cos(turn), np.sin(turn)
    rotation = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]], np.float32)
    position = (rest @ rotation.T + at).astype(np.float32)
    marks = np.zeros((len(rest), 4), np.float32)
    return Object3D(
        position,
        rest_normal @ rotation.T,
        rest,
        rest_normal,
        marks,
        triangles,
        material,
        object_id,
        casts,
        False,
        False,
    )


def box(size: Array, turn: float, at: Array, material: Material, object_id: int = 0, casts: bool = True) -> Object3D:
    """A box (w, h, d) standing on the point `at`, turned about the vertical; flat faces."""
    corners, faces = [], []
    for axis in range(3):
        for sign in (-1, 1):
            u, v = (axis + 1) % 3, (axis + 2) % 3
            quad = np.zeros((4, 3))
            quad[:, axis] = sign
            quad[:, u], quad[:, v] = [-1, 1, 1, -1], [-1, -1, 1, 1]
            n = len(corners) * 4
            order = [[0, 1, 2], [0, 2, 3]] if sign > 0 else [[0, 2, 1], [0, 3, 2]]
            faces += [[n + i for i in f] for f in order]
            corners.append(quad)
    unit_box = np.concatenate(corners)
    unit_box[:, 1] += 1
    return _object(unit_box * size / 2, np.asarray(faces, np.int32), turn, at, material, object_id, casts)


def lathe(profile: Array, at: Array, material: Material, object_id: int = 0, casts: bool = True) -> Object3D:
    """A turned shape: profile (P, 2) of radius and height, bottom first, about a vertical axis through `at`."""
    sides, rows = 20, len(profile)
    angle = np.arange(sides) * 2 * np.pi / sides
    ring = np.stack([np.sin(angle), np.zeros(sides), np.cos(angle)], -1)
    vertices = np.concatenate([r * ring + [0, y, 0] for r, y in profile])
    i, j = np.meshgrid(np.arange(rows - 1), np.arange(sides), indexing="ij")
    a, b = i * sides + j, i * sides + (j + 1) % sides
    faces = np.concatenate([np.stack([a, b, a + sides], -1), np.stack([b, b + sides, a + sides], -1)]).reshape(-1, 3)
    return _object(vertices, faces.astype(np.int32), 0.0, at, material, object_id, casts)


def floor(half_m: float, material: Material, catcher: bool) -> Object3D:
    """A square of floor round the origin; a catcher only shows shadows."""
    corners = np.array([[-1, 0, 1], [1, 0, 1], [1, 0, -1], [-1, 0, -1]], np.float32) * np.float32(half_m)
    up = np.tile(np.array([0, 1, 0], np.float32), (4, 1))
    faces = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    return Object3D(corners, up, corners, up, np.zeros((4, 4), np.float32), faces, material, 0, False, catcher)


def random_prop(
    rng: np.random.Generator, at: Array, tall: float, layers: dict[str, int], photos: int, object_id: int
) -> Object3D:
    """A box, post, vase or ball of about the given height."""
    material, kind = random_material(rng, layers, photos), rng.random()
    if kind < 0.55:
        size = np.array([rng.uniform(0.2, 1.2), tall, rng.uniform(0.1, 0.8)])
        return box(size, rng.uniform(0, np.pi), at, material, object_id)
    if kind < 0.7:
        radius = rng.uniform(0.03, 0.2)
        return lathe(np.array([[radius, 0], [radius, tall], [0, tall]]), at, material, object_id)
    t = np.linspace(0, 1, 9)
    bulge = rng.uniform(0.1, 0.4) * tall * (rng.uniform(0.1, 1) + np.sin(np.pi * (t * rng.uniform(0.6, 1))))
    return lathe(np.stack([np.append(bulge * 0.5, 0), np.append(t, 1.0) * tall], -1), at, material, object_id)


def room(
    rng: np.random.Generator, layers: dict[str, int], photos: int, towards: float, depth_m: float
) -> list[Object3D]:
    """Floor and one or two walls behind the origin as seen from the compass direction `towards` (radians)."""
    ground = layers[str(rng.choice(GROUND))]
    tint = np.exp(rng.uniform(np.log(0.15), np.log(0.8))) * np.exp(rng.normal(0, 0.12, 3))
    repeats = float(np.exp(rng.uniform(np.log(0.4), np.log(1.5))))
    out = [floor(14.0, plain_material(tint, tint * rng.uniform(0.5, 1.1, 3), ground, repeats), False)]
    for turn in (0.0, np.pi / 2 * rng.choice([-1, 1]))[: int(rng.integers(1, 3))]:
        back = towards + np.pi + turn + rng.uniform(-0.4, 0.4)
        at = depth_m * (1 + turn**2 / 4) * np.array([np.sin(back), 0, np.cos(back)])
        shade = np.exp(rng.uniform(np.log(0.2), np.log(0.9))) * np.exp(rng.normal(0, 0.1, 3))
        name = str(rng.choice(["plaster", "plaster", "bricks", "plain", "tiles", "stripes_down"]))
        photo = int(rng.integers(photos)) if rng.random() < 0.15 else -1
        wall = plain_material(
            shade.clip(0, 0.9), shade * rng.uniform(0.6, 1.1), layers[name], rng.uniform(0.4, 1), photo
        )
        out.append(box(np.array([24.0, 4.0, 0.2]), back, at, wall, 0, False))
        for _ in range(int(rng.integers(0, 4))):
            side, up = rng.uniform(-2.5, 2.5), rng.uniform(0.6, 1.7)
            spot = at - 0.12 * at / depth_m + side * np.array([np.cos(back), 0, -np.sin(back)]) + [0, up, 0]
            size = np.array([rng.uniform(0.3, 1.4), rng.uniform(0.3, 1.0), 0.06])
            out.append(box(size, back, spot, random_material(rng, layers, photos), 0, False))
    return out
