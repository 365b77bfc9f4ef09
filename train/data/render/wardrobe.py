"""Random people: a shaped body with hair, clothes and colours, ready to be posed and drawn."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from train.data.render.body import Body
from train.data.render.figures import (
    BOTTOM_SLOT,
    EYE_SLOT,
    HAIR_SLOT,
    HAT_SLOT,
    SHOE_SLOT,
    SKIN_SLOT,
    SKIRT_SLOT,
    TOP_SLOT,
    Figure,
    Sliders,
    random_colours,
    random_sliders,
)
from train.data.render.meshes import Floats, Ints, Mesh, coarser, components, normals, without_shaft
from train.data.render.retarget import Retargeter
from train.data.render.surfaces import Material

# The other hair styles are made for see-through textures and would hide the face.
HAIR_STYLES = {
    "male": ("short01", "short02", "short04", "afro01"),
    "female": ("long01", "ponytail01", "short04", "short02", "afro01"),
}
BODY_SHAPES = ("torso", "hip", "stomach", "arms/measure", "legs/measure", "head/head", "nose", "chin", "neck/measure")
CHAINS = (
    (1, "upperarm01", "lowerarm01", 0), (2, "lowerarm01", "wrist", 1),
    (4, "upperleg01", "lowerleg01", 0), (5, "lowerleg01", "foot", 1),
)  # fmt: skip


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
        self.suits = {
            g: [n for n, k in body.kinds.items() if k == "suit" and n.startswith(g + "_")] for g in ("male", "female")
        }
        self.shoes = [n for n, k in body.kinds.items() if k == "shoes"]
        self.hats = [n for n, k in body.kinds.items() if k == "hat"]
        names = np.array(body.bone_names)
        self._limb = np.select(
            [
                np.char.startswith(names, p)
                for p in (("upperarm"), ("lowerarm"), ("wrist"), ("upperleg"), ("lowerleg"), ("foot"))
            ],
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
        near = np.exp(-(((v[:, 1] - arch) / 0.0045) ** 2)) * (x > -0.6) * (x < 1) * (v[:, 2] > eye[2])
        return near.astype(np.float32)

    def dress(
        self,
        rng: np.random.Generator,
        sliders: Sliders | None = None,
        outfit: str | None = None,
        hair: str | None = None,
    ) -> Figure:
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
            parts.append(_part(without_shaft(mesh), SHOE_SLOT))
            hidden[covered[v[covered, 1] < 0.07]] = True
        parts += self._head(v, rng, hair or str(rng.choice(HAIR_STYLES[sex])))
        faces = self.body.faces["body"]
        parts.append(self._skin(v, faces[~hidden[faces].any(1)]))
        return self._assemble(v, parts, random_colours(rng, sliders, self.layers, self.photos), rng)

    def recolour(self, figure: Figure, rng: np.random.Generator, sliders: Sliders | None = None) -> Figure:
        """The same body and cut in other colours."""
        return replace(figure, material=random_colours(rng, sliders or random_sliders(rng), self.layers, self.photos))

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

    def _assemble(self, v: Floats, parts: list[_Part], material: Material, rng: np.random.Generator) -> Figure:
        starts = np.cumsum([0] + [len(p.mesh.vertices_m) for p in parts])
        triangles = np.concatenate([p.mesh.triangles + s for p, s in zip(parts, starts[:-1], strict=True)]).astype(
            np.int32
        )
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
