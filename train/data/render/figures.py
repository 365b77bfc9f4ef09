"""Dressed people as the renderer sees them: one skinned mesh with materials, posed by mocap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from train.data.render.meshes import Floats, Ints, Mesh, skin
from train.data.render.retarget import Posed, Retargeter, joints_of
from train.data.render.surfaces import Material, Object3D
from train.data.render.textures import CLOTH, HAIR, SKIN, cloth_colour, hair_colour, skin_colour

SKIN_SLOT, EYE_SLOT, HAIR_SLOT, TOP_SLOT, BOTTOM_SLOT, SHOE_SLOT, HAT_SLOT, SKIRT_SLOT = range(8)
# Balls that keep skylight away: (joint, joint, share of the way, radius in metres); 17 and 18 are the toes.
BALLS = (
    (0, 7, 0.0, 0.13), (0, 7, 0.7, 0.125), (7, 8, 0.4, 0.135), (7, 8, 0.85, 0.12),
    (8, 10, 0.2, 0.06), (8, 10, 0.9, 0.1),
    *((a, b, t, r) for a, b in ((1, 2), (4, 5)) for t, r in ((0.15, 0.09), (0.5, 0.08), (0.85, 0.065))),
    *((a, b, t, r) for a, b in ((2, 3), (5, 6)) for t, r in ((0.2, 0.058), (0.55, 0.055), (0.95, 0.045))),
    *((a, b, t, r) for a, b in ((11, 12), (14, 15)) for t, r in ((0.25, 0.052), (0.75, 0.045))),
    *((a, b, t, r) for a, b in ((12, 13), (15, 16)) for t, r in ((0.25, 0.04), (0.75, 0.034), (1.3, 0.045))),
    *((a, b, t, r) for a, b in ((3, 17), (6, 18)) for t, r in ((0.1, 0.055), (0.45, 0.055), (0.8, 0.05))),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Figure:
    """A dressed person.

    Attributes:
        retargeter: Poses the body.
        mesh: Skin, eyes, hair and clothes in one, rest pose.
        rest_normals: (V, 3).
        marks: (V, 4) slot and masks, as `train.data.render.raster.Object3D` has them.
        material: Colours and patterns.
        probes: (P,) vertices spread evenly over the surface.
        medium, coarse: Fewer triangles over the same vertices, for small figures and for shadows.
    """

    retargeter: Retargeter
    mesh: Mesh
    rest_normals: Floats
    marks: Floats
    material: Material
    probes: npt.NDArray[np.int64]
    medium: Ints
    coarse: Ints

    def posed(
        self, posed: Posed, shift_m: npt.NDArray[np.float64], t: int, object_id: int, small: bool = False
    ) -> Object3D:
        """Draw-ready surface in frame t of a pose whose pelvis is put at `shift_m`; `small` leaves detail out."""
        rotation, offset = posed.offset(self.retargeter.rest, shift_m, t)
        position, normal = skin(self.mesh, self.rest_normals, rotation, offset)
        faces = self.medium if small else self.mesh.triangles
        return Object3D(
            position,
            normal,
            self.mesh.vertices_m,
            self.rest_normals,
            self.marks,
            faces,
            self.material,
            object_id,
            caster=self.coarse,
        )

    def joints(self, posed: Posed, shift_m: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """H36M17 joints (T, 17, 3) of the drawn body in the world."""
        return joints_of(self.retargeter.body, self.retargeter.rest, posed) + shift_m


def balls(joints_m: npt.NDArray[np.float64], toes_m: npt.NDArray[np.float64]) -> Floats:
    """(S, 4) balls around one person's 17 joints and two toe tips (right, left)."""
    at = np.concatenate([joints_m, toes_m])
    rows = [[*(at[a] + t * (at[b] - at[a])), r] for a, b, t, r in BALLS]
    return np.asarray(rows, np.float32)


@dataclass(frozen=True, slots=True)
class Sliders:
    """What kind of person: see `train.data.render.body.macro_weights`."""

    gender: float
    age: float
    muscle: float
    weight: float
    height: float
    race: tuple[float, float, float]


def random_sliders(rng: np.random.Generator) -> Sliders:
    """Mostly adults of all builds; one in sixteen is a child of ten or so."""
    child = rng.random() < 0.06
    first, second, third = (float(x) for x in rng.dirichlet([0.5, 0.5, 0.5]) + 1e-3)
    gender = float(rng.choice([rng.uniform(0, 0.2), rng.uniform(0.8, 1)]))
    age = rng.uniform(0.19, 0.35) if child else rng.beta(1.6, 2.4) * 0.5 + 0.45
    height = rng.normal(0.5, 0.05)
    return Sliders(
        gender,
        float(age),
        rng.uniform(0.2, 0.9),
        rng.beta(2, 2) * 0.8 + 0.12,
        float(np.clip(height, 0.36, 0.62)),
        (first, second, third),
    )


def random_colours(rng: np.random.Generator, sliders: Sliders, layers: dict[str, int], photos: int) -> Material:
    """Random colours and patterns for every slot, from pattern layers by name and a number of photographs."""
    a, b = np.zeros((8, 3), np.float32), np.zeros((8, 3), np.float32)
    cloth, shine = np.zeros((8, 4), np.float32), np.zeros((8, 2), np.float32)
    cloth[:, 3] = -1
    complexion, hair = skin_colour(rng, sliders.race), hair_colour(rng)
    a[SKIN_SLOT], b[SKIN_SLOT] = complexion, complexion * np.array([1.08, 0.9, 0.88])
    cloth[SKIN_SLOT], shine[SKIN_SLOT] = (layers[SKIN], 6, 0.0004, -1), (0.5, 18)
    a[EYE_SLOT] = b[EYE_SLOT] = 0.75
    cloth[EYE_SLOT], shine[EYE_SLOT] = (layers["plain"], 1, 0, -1), (1, 120)
    a[HAIR_SLOT], b[HAIR_SLOT] = hair * 0.6, hair * 1.5
    cloth[HAIR_SLOT], shine[HAIR_SLOT] = (layers[HAIR], 5, 0.002, -1), (0.9, 24)
    _random_cloth(rng, layers, photos, a, b, cloth, shine)
    eyes = np.array([[0.05, 0.025, 0.012], [0.06, 0.1, 0.16], [0.05, 0.08, 0.04]])[rng.choice(3, p=[0.7, 0.2, 0.1])]
    masks = np.stack([complexion * [1.0, 0.62, 0.62], np.minimum(hair, complexion * 0.5), eyes])
    return Material(a, b, cloth, shine, masks.astype(np.float32))


def _random_cloth(
    rng: np.random.Generator, layers: dict[str, int], photos: int, a: Floats, b: Floats, cloth: Floats, shine: Floats
) -> None:
    """Fill in the rows of the slots that are clothes."""
    for slot in (TOP_SLOT, BOTTOM_SLOT, SHOE_SLOT, HAT_SLOT, SKIRT_SLOT):
        a[slot], b[slot] = cloth_colour(rng), cloth_colour(rng)
        plain = slot in (BOTTOM_SLOT, SHOE_SLOT, HAT_SLOT) and rng.random() < 0.7
        layer = layers["washed" if plain else str(rng.choice(CLOTH))]
        b[slot] = a[slot] * rng.uniform(0.6, 1.3) if plain else b[slot]
        photo = float(rng.integers(photos)) if slot in (TOP_SLOT, SKIRT_SLOT) and rng.random() < 0.06 else -1.0
        cloth[slot] = (layer, np.exp(rng.uniform(np.log(1.5), np.log(6))), rng.uniform(0.003, 0.02), photo)
        shine[slot] = (rng.uniform(0, 0.5), rng.uniform(6, 20))
