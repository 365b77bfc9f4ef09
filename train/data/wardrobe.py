"""Random people: a shaped body with hair, clothes and colours, ready to be posed and drawn."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from train.data.body import Body, Floats, Ints, Mesh, coarser, normals, skin
from train.data.raster import Material, Object3D
from train.data.retarget import Posed, Retargeter, joints_of
from train.data.textures import CLOTH, HAIR, SKIN, cloth_colour, hair_colour, skin_colour

SKIN_SLOT, EYE_SLOT, HAIR_SLOT, TOP_SLOT, BOTTOM_SLOT, SHOE_SLOT, HAT_SLOT, SKIRT_SLOT = range(8)
# The other hair styles are made for see-through textures and would hide the face.
HAIR_STYLES = {"male": ("short01", "short02", "short04", "afro01"), "female": ("long01", "ponytail01", "short04", "short02", "afro01")}
BODY_SHAPES = ("torso", "hip", "stomach", "arms/measure", "legs/measure", "head/head", "nose", "chin", "neck/measure")
CHAINS = (
    (1, "upperarm01", "lowerarm01", 0), (2, "lowerarm01", "wrist", 1),
    (4, "upperleg01", "lowerleg01", 0), (5, "lowerleg01", "foot", 1),
)  # fmt: skip
# Balls that keep skylight away: (joint, joint, share of the way, radius in metres); 17 and 18 are the toes.
BALLS = (
    (0, 7, 0.0, 0.13), (0, 7, 0.7, 0.125), (7, 8, 0.4, 0.135), (7, 8, 0.85, 0.12), (8, 10, 0.2, 0.06), (8, 10, 0.9, 0.1),
    *((a, b, t, r) for a, b in ((1, 2), (4, 5)) for t, r in ((0.15, 0.09), (0.5, 0.08), (0.85, 0.065))),
    *((a, b, t, r) for a, b in ((2, 3), (5, 6)) for t, r in ((0.2, 0.058), (0.55, 0.055), (0.95, 0.045))),
    *((a, b, t, r) for a, b in ((11, 12), (14, 15)) for t, r in ((0.25, 0.052), (0.75, 0.045))),
    *((a, b, t, r) for a, b in ((12, 13), (15, 16)) for t, r in ((0.25, 0.04), (0.75, 0.034), (1.3, 0.045))),
    (3, 17, 0.2, 0.045), (3, 17, 0.75, 0.042), (6, 18, 0.2, 0.045), (6, 18, 0.75, 0.042),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Figure:
    """A dressed person.

    Attributes:
        retargeter: Poses the body.
        mesh: Skin, eyes, hair and clothes in one, rest pose.
        rest_normals: (V, 3).
        marks: (V, 4) slot and masks, as `train.data.raster.Object3D` has them.
        material: Colours and patterns.
        probes: (P,) vertices spread evenly over the surface.
        medium, coarse: Fewer triangles over the same vertices, for figures that are small in the picture and for shadows.
    """

    retargeter: Retargeter
    mesh: Mesh
    rest_normals: Floats
    marks: Floats
    material: Material
    probes: npt.NDArray[np.int64]
    medium: Ints
    coarse: Ints

    def posed(self, posed: Posed, shift_m: npt.NDArray[np.float64], t: int, object_id: int, small: bool = False) -> Object3D:
        """Draw-ready surface in frame t of a pose whose pelvis is put at `shift_m`; `small` leaves detail out."""
        rotation, offset = posed.offset(self.retargeter.rest, shift_m, t)
        position, normal = skin(self.mesh, self.rest_normals, rotation, offset)
        faces = self.medium if small else self.mesh.triangles
        return Object3D(
            position, normal, self.mesh.vertices_m, self.rest_normals, self.marks, faces, self.material, object_id, caster=self.coarse
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
    """What kind of person: see `train.data.body.macro_weights`."""

    gender: float
    age: float
    muscle: float
    weight: float
    height: float
    race: tuple[float, float, float]


def random_sliders(rng: np.random.Generator) -> Sliders:
    """Mostly adults of all builds; one in sixteen is a child of ten or so."""
    child = rng.random() < 0.06
    race = tuple(float(x) for x in rng.dirichlet([0.5, 0.5, 0.5]) + 1e-3)
    gender = float(rng.choice([rng.uniform(0, 0.2), rng.uniform(0.8, 1)]))
    age = rng.uniform(0.19, 0.35) if child else rng.beta(1.6, 2.4) * 0.5 + 0.45
    height = rng.normal(0.5, 0.05)
    return Sliders(gender, float(age), rng.uniform(0.2, 0.9), rng.beta(2, 2) * 0.8 + 0.12, float(np.clip(height, 0.36, 0.62)), race)


def _details(body: Body, rng: np.random.Generator) -> dict[str, float]:
    """A few local shapes; those of paired limbs are left out, so that bodies stay even."""
    names = [n for n in body.detail_names if n.startswith(BODY_SHAPES) and "/l-" not in n and "/r-" not in n]
    picked = rng.choice(len(names), 8, replace=False)
    return {names[i]: float(rng.uniform(0.0, 0.5)) for i in picked}


@dataclass(frozen=True, slots=True)
class _Part:
    mesh: Mesh
    slot: npt.NDArray[np.float32]
    masks: Floats | None = None


def _part(mesh: Mesh, slot: int, masks: Floats | None = None) -> _Part:
    return _Part(mesh, np.full(len(mesh.vertices_m), slot, np.float32), masks)


def _inflated(mesh: Mesh, by_m: float) -> Mesh:
    return replace(mesh, vertices_m=mesh.vertices_m + by_m * normals(mesh.vertices_m, mesh.triangles))


def components(triangles: Ints, count: int) -> npt.NDArray[np.int64]:
    """Label (count,) of the connected piece each vertex belongs to: its lowest vertex number."""
    label = np.arange(count)
    while True:
        low = label[triangles].min(1)
        new = label.copy()
        for corner in range(3):
            np.minimum.at(new, triangles[:, corner], low)
        new = new[new]
        if np.array_equal(new, label):
            return label
        label = new


class Wardrobe:
    """Makes Figures from a body pack."""

    def __init__(self, body: Body, layers: dict[str, int], photos: int) -> None:
        """Prepare the parts every figure shares.

        Args:
            body: The pack.
            layers: Pattern name -> texture layer.
            photos: Number of photograph layers.
        """
        self.body, self.layers, self.photos = body, layers, photos
        self.suits = {g: [n for n, k in body.kinds.items() if k == "suit" and n.startswith(g + "_")] for g in ("male", "female")}
        self.shoes = [n for n, k in body.kinds.items() if k == "shoes"]
        self.hats = [n for n, k in body.kinds.items() if k == "hat"]
        names = np.array(body.bone_names)
        self._limb = np.select(
            [np.char.startswith(names, p) for p in (("upperarm"), ("lowerarm"), ("wrist"), ("upperleg"), ("lowerleg"), ("foot"))],
            [1, 2, 3, 4, 5, 6],
            0,
        )
        self._limb[np.char.startswith(names, "finger") | np.char.startswith(names, "metacarpal")] = 3
        self._limb[np.char.startswith(names, "toe")] = 6
        self._limb[np.char.startswith(names, "neck") | np.char.startswith(names, "head")] = 7
        self._lips = self._mask(("mouth/mouth-upperlip-volume-incr", "mouth/mouth-lowerlip-volume-incr"), 0.5)

    def _mask(self, details: tuple[str, ...], threshold: float) -> Floats:
        """Per-vertex paint where local shapes move the face most."""
        out = np.zeros(len(self.body.base), np.float32)
        for name in details:
            rows, delta = self.body.detail(name)
            size = np.linalg.norm(delta, axis=1)
            out[rows] = np.maximum(out[rows], np.clip((size / size.max() - threshold) / (1 - threshold) * 2, 0, 1))
        return out

    def _brows(self, v: Floats) -> Floats:
        """Eyebrows: a band over each eye."""
        eye = self.body.joints(v)[0][self.body.bone["eye.L"]]
        x = np.clip((np.abs(v[:, 0]) - eye[0]) / 0.028, -1.5, 1.5)
        arch = eye[1] + 0.021 - 0.004 * x * x
        near = np.exp(-(((v[:, 1] - arch) / 0.0045) ** 2)) * (np.abs(x) < 1) * (v[:, 2] > eye[2])
        return near.astype(np.float32)

    def dress(self, rng: np.random.Generator, sliders: Sliders | None = None, outfit: str | None = None, hair: str | None = None) -> Figure:
        """Make a person.

        Args:
            rng: Source of everything left open.
            sliders: Body shape.
            outfit: A suit's name, or "tights" for clothes cut from the body's own shell.
            hair: Hair style's name.
        """
        sliders = sliders or random_sliders(rng)
        plain = {k: getattr(sliders, k) for k in ("gender", "age", "muscle", "weight", "height", "race")}
        v = self.body.shape(plain, _details(self.body, rng))
        sex = "male" if sliders.gender > 0.5 else "female"
        suits = self.suits[sex] if sex == "female" or rng.random() < 0.95 else self.suits["female"]
        outfit = outfit or ("tights" if rng.random() < 0.45 else str(rng.choice(suits)))
        parts = self._tights(v, rng, sex) if outfit == "tights" else self._suit(outfit, v, rng)
        hidden = np.zeros(len(v), bool)
        if outfit != "tights":
            hidden[self.body.garment(outfit, v)[1]] = True
        if rng.random() < 0.93:
            shoes = str(rng.choice(self.shoes))
            mesh, covered = self.body.garment(shoes, v)
            parts.append(_part(_without_shaft(mesh), SHOE_SLOT))
            hidden[covered[v[covered, 1] < 0.07]] = True
        parts += self._head(v, rng, hair or str(rng.choice(HAIR_STYLES[sex])))
        faces = self.body.faces["body"]
        parts.append(self._skin(v, faces[~hidden[faces].any(1)]))
        return self._assemble(v, parts, self.colours(rng, sliders), rng)

    def recolour(self, figure: Figure, rng: np.random.Generator, sliders: Sliders | None = None) -> Figure:
        """The same body and cut in other colours."""
        return replace(figure, material=self.colours(rng, sliders or random_sliders(rng)))

    def _skin(self, v: Floats, faces: Ints) -> _Part:
        used = np.unique(faces)
        masks = np.zeros((len(used), 3), np.float32)
        masks[:, 0], masks[:, 1] = self._lips[used], self._brows(v)[used]
        return _part(self.body.surface(v, faces), SKIN_SLOT, masks)

    def _head(self, v: Floats, rng: np.random.Generator, hair: str) -> list[_Part]:
        out = []
        for side in "lr":
            eye = self.body.surface(v, self.body.faces[f"helper-{side}-eye"])
            centre = (eye.vertices_m.min(0) + eye.vertices_m.max(0)) / 2
            front = (eye.vertices_m - centre)[:, 2] / np.linalg.norm(eye.vertices_m - centre, axis=1)
            masks = np.zeros((len(front), 3), np.float32)
            masks[:, 2] = front > 0.8
            out.append(_part(eye, EYE_SLOT, masks))
        if hair != "bald":
            out.append(_part(_inflated(self.body.garment(hair, v)[0], 0.002), HAIR_SLOT))
        if rng.random() < 0.06:
            out.append(_part(self.body.garment(str(rng.choice(self.hats)), v)[0], HAT_SLOT))
        return out

    def _suit(self, name: str, v: Floats, rng: np.random.Generator) -> list[_Part]:
        mesh = self.body.garment(name, v)[0]
        piece = components(mesh.triangles, len(mesh.vertices_m))
        y = mesh.vertices_m[:, 1]
        waist = v[:13380, 1].max() * 0.575
        slot = np.full(len(y), TOP_SLOT, np.float32)
        for label in np.unique(piece):
            rows = piece == label
            whole = y[rows].min() < waist - 0.35 and y[rows].max() > waist + 0.3
            if whole and rng.random() < 0.6:
                slot[rows] = np.where(y[rows] < waist, BOTTOM_SLOT, TOP_SLOT)
            elif not whole:
                slot[rows] = BOTTOM_SLOT if y[rows].mean() < waist else TOP_SLOT
        return [_Part(_inflated(mesh, 0.003), slot)]

    def _tights(self, v: Floats, rng: np.random.Generator, sex: str) -> list[_Part]:
        """Shirt and trousers, shorts, leggings or a skirt, cut from the shell round the body."""
        limb, along = self._along_limbs(v)
        height, head = v[:, 1], self.body.joints(v)[0]
        hip, neck = head[self.body.bone["upperleg01.L"], 1], head[self.body.bone["neck01"], 1]
        waist, collar = hip + rng.uniform(0.06, 0.13), neck + rng.uniform(-0.05, 0.02)
        sleeve = float(rng.choice([0.08, rng.uniform(0.3, 0.9), rng.uniform(0.4, 0.7), 1.92, rng.uniform(1.0, 1.8)]))
        leg = float(rng.choice([rng.uniform(0.3, 0.9), rng.uniform(0.5, 1.1), 1.93, 1.93, rng.uniform(1.3, 1.8)]))
        arm, lower = (limb >= 1) & (limb <= 3), limb >= 4
        shirt = np.minimum(height - (waist - rng.uniform(0.04, 0.18)), np.where(limb == 7, -0.05, collar - height))
        top = np.where(lower, np.minimum(shirt, height - hip), np.where(arm, (sleeve - along) * 0.27, shirt))
        bottom = np.where(lower & (limb < 7), (leg - along) * 0.42, np.where(arm | (limb == 7), -1.0, waist - height))
        loose = rng.uniform(0.004, 0.014)
        parts = [self._cut(v, "helper-tights", top, loose + 0.006, TOP_SLOT)]
        if sex == "female" and rng.random() < 0.3:
            hem = rng.uniform(0.3, 0.75) * waist
            parts.append(self._cut(v, "helper-skirt", height - hem, 0.004, SKIRT_SLOT))
        parts.append(self._cut(v, "helper-tights", bottom, rng.uniform(0.002, 0.01), BOTTOM_SLOT))
        return parts

    def _cut(self, v: Floats, shell: str, inside_m: npt.NDArray[np.floating], loose_m: float, slot: int) -> _Part:
        """The part of a shell where `inside_m` (per body vertex) is positive; the shader cuts the hem."""
        faces = self.body.faces[shell]
        faces = faces[(inside_m[faces] > 0).any(1)]
        used = np.unique(faces)
        masks = np.zeros((len(used), 3), np.float32)
        masks[:, 0] = inside_m[used]
        return _part(_inflated(self.body.surface(v, faces), loose_m), slot, masks)

    def _along_limbs(self, v: Floats) -> tuple[npt.NDArray[np.int64], Floats]:
        """Per vertex: limb code, and place along arm or leg (0 root, 1 elbow or knee, 2 wrist or ankle)."""
        head, _ = self.body.joints(v)
        rows = np.arange(len(v))
        limb = self._limb[self.body.skin_bone[rows, self.body.skin_weight.argmax(1)]]
        along = np.where((limb == 3) | (limb == 6), 2.2, 0.0).astype(np.float32)
        for code, first, second, base in CHAINS:
            for side, sign in (("L", 1), ("R", -1)):
                a, b = head[self.body.bone[f"{first}.{side}"]], head[self.body.bone[f"{second}.{side}"]]
                mine = (limb == code) & (v[:, 0] * sign > 0)
                along[mine] = base + ((v[mine] - a) @ (b - a)) / ((b - a) @ (b - a))
        return limb, along

    def colours(self, rng: np.random.Generator, sliders: Sliders) -> Material:
        """Random colours and patterns for every slot."""
        a, b = np.zeros((8, 3), np.float32), np.zeros((8, 3), np.float32)
        cloth, shine = np.zeros((8, 4), np.float32), np.zeros((8, 2), np.float32)
        cloth[:, 3] = -1
        complexion, hair = skin_colour(rng, sliders.race), hair_colour(rng)
        a[SKIN_SLOT], b[SKIN_SLOT] = complexion, complexion * np.array([1.08, 0.9, 0.88])
        cloth[SKIN_SLOT], shine[SKIN_SLOT] = (self.layers[SKIN], 6, 0.0004, -1), (0.5, 18)
        a[EYE_SLOT] = b[EYE_SLOT] = 0.75
        cloth[EYE_SLOT], shine[EYE_SLOT] = (self.layers["plain"], 1, 0, -1), (1, 120)
        a[HAIR_SLOT], b[HAIR_SLOT] = hair * 0.6, hair * 1.5
        cloth[HAIR_SLOT], shine[HAIR_SLOT] = (self.layers[HAIR], 5, 0.002, -1), (0.9, 24)
        for slot in (TOP_SLOT, BOTTOM_SLOT, SHOE_SLOT, HAT_SLOT, SKIRT_SLOT):
            a[slot], b[slot] = cloth_colour(rng), cloth_colour(rng)
            plain = slot in (BOTTOM_SLOT, SHOE_SLOT, HAT_SLOT) and rng.random() < 0.7
            layer = self.layers["washed" if plain else str(rng.choice(CLOTH))]
            b[slot] = a[slot] * rng.uniform(0.6, 1.3) if plain else b[slot]
            photo = float(rng.integers(self.photos)) if slot in (TOP_SLOT, SKIRT_SLOT) and rng.random() < 0.06 else -1.0
            cloth[slot] = (layer, np.exp(rng.uniform(np.log(1.5), np.log(6))), rng.uniform(0.003, 0.02), photo)
            shine[slot] = (rng.uniform(0, 0.5), rng.uniform(6, 20))
        eyes = np.array([[0.05, 0.025, 0.012], [0.06, 0.1, 0.16], [0.05, 0.08, 0.04]])[rng.choice(3, p=[0.7, 0.2, 0.1])]
        masks = np.stack([complexion * [1.0, 0.62, 0.62], np.minimum(hair, complexion * 0.5), eyes])
        return Material(a, b, cloth, shine, masks.astype(np.float32))

    def _assemble(self, v: Floats, parts: list[_Part], material: Material, rng: np.random.Generator) -> Figure:
        starts = np.cumsum([0] + [len(p.mesh.vertices_m) for p in parts])
        triangles = np.concatenate([p.mesh.triangles + s for p, s in zip(parts, starts[:-1], strict=True)]).astype(np.int32)
        mesh = Mesh(
            np.concatenate([p.mesh.vertices_m for p in parts]),
            triangles,
            np.concatenate([p.mesh.skin_bone for p in parts]),
            np.concatenate([p.mesh.skin_weight for p in parts]),
        )
        masks = [np.zeros((len(p.slot), 3), np.float32) if p.masks is None else p.masks for p in parts]
        slots = np.concatenate([p.slot for p in parts])
        marks = np.concatenate([slots[:, None], np.concatenate(masks)], 1).astype(np.float32)
        a, b, c = (mesh.vertices_m[triangles[:, k]] for k in range(3))
        area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
        probes = triangles[rng.choice(len(triangles), 600, p=area / area.sum()), 0].astype(np.int64)
        rest_normals = np.concatenate([normals(p.mesh.vertices_m, p.mesh.triangles) for p in parts])
        label = slots.astype(np.int32)
        medium = coarser(mesh.vertices_m, triangles, 0.009, label)
        coarse = coarser(mesh.vertices_m, triangles, 0.02)
        return Figure(Retargeter(self.body, v), mesh, rest_normals, marks, material, probes, medium, coarse)


def _without_shaft(mesh: Mesh) -> Mesh:
    """Drop the ankle shafts of shoes (pieces that reach above 15 cm): they would show through trousers."""
    piece = components(mesh.triangles, len(mesh.vertices_m))
    top = np.zeros(len(piece), np.float32)
    np.maximum.at(top, piece, mesh.vertices_m[:, 1])
    return mesh.take(mesh.triangles[top[piece[mesh.triangles[:, 0]]] < 0.15])
