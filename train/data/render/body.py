"""The CC0 MakeHuman body: shapes, joints, linear blend skinning and fitted clothes, in metres.

Axes of the rest pose: x to the person's left, y up, z to the front; the soles stand on y = 0.
Shapes are MakeHuman's macro targets (sliders that multiply) plus small local targets.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from train.data.render.meshes import Floats, Ints, Mesh

METRES_PER_UNIT = 0.1
BODY_VERTICES = 13380  # the first vertices are the skin; the rest are fitting shells, eyes and markers


def age_weights(age: float) -> dict[str, float]:
    """Weights of the child / young / old prototypes: 0.1875 is about 10 years, 0.5 is 25, 1 is 90."""
    age = min(max(age, 0.1875), 1.0)
    if age <= 0.5:
        young = (age - 0.1875) / 0.3125
        return {"child": 1 - young, "young": young}
    return {"young": 2 - 2 * age, "old": 2 * age - 1}


def _ends(x: float, low: str, high: str) -> dict[str, float]:
    return {low: max(0.0, 1 - 2 * x), high: max(0.0, 2 * x - 1)}


def macro_weights(
    gender: float = 0.5,
    age: float = 0.5,
    muscle: float = 0.5,
    weight: float = 0.5,
    height: float = 0.5,
    proportions: float = 0.5,
    race: tuple[float, float, float] = (1 / 3, 1 / 3, 1 / 3),
) -> dict[str, float]:
    """Turn sliders in 0..1 into weights of MakeHuman's macro targets.

    Args:
        gender: 0 female, 1 male.
        age: See `age_weights`.
        muscle: 0 least, 1 most.
        weight: 0 thinnest, 1 heaviest.
        height: Adults lie in about 0.35..0.62.
        proportions: 1 is MakeHuman's ideal.
        race: Mix of MakeHuman's african, asian, caucasian prototypes (its own names); any positive numbers.
    """
    genders = {"female": 1 - gender, "male": gender}
    muscles = {**_ends(muscle, "minmuscle", "maxmuscle"), "averagemuscle": 1 - abs(2 * muscle - 1)}
    fats = {**_ends(weight, "minweight", "maxweight"), "averageweight": 1 - abs(2 * weight - 1)}
    extras = _ends(height, "minheight", "maxheight") | _ends(proportions, "uncommonproportions", "idealproportions")
    shares = np.asarray(race, np.float64) / np.sum(race)
    out: dict[str, float] = {}
    for a, age_weight in age_weights(age).items():
        for g, gender_weight in genders.items():
            for r, share in zip(("african", "asian", "caucasian"), shares, strict=True):
                out[f"{r}-{g}-{a}"] = float(share) * gender_weight * age_weight
            for m, muscle_weight in muscles.items():
                for f, fat_weight in fats.items():
                    product = gender_weight * age_weight * muscle_weight * fat_weight
                    out[f"universal-{g}-{a}-{m}-{f}"] = product
                    out |= {f"{g}-{a}-{m}-{f}-{e}": product * w for e, w in extras.items()}
    return {name: value for name, value in out.items() if value > 1e-6}


class Body:
    """The body pack in memory; everything it returns is in metres."""

    def __init__(self, folder: Path) -> None:
        """Read body.npz, shapes_macro.npz, shapes_detail.npz and clothes.npz.

        Raises:
            FileNotFoundError: If the folder lacks one of them.
        """
        body = np.load(folder / "body.npz")
        macro, detail = np.load(folder / "shapes_macro.npz"), np.load(folder / "shapes_detail.npz")
        clothes = np.load(folder / "clothes.npz")
        self._clothes = {name: clothes[name] for name in clothes.files}
        self.kinds = dict(zip(map(str, clothes["names"]), map(str, clothes["kinds"]), strict=True))
        self.base = body["vertices"].astype(np.float32)
        self.bone_names = [str(name) for name in body["bone_names"]]
        self.bone = {name: i for i, name in enumerate(self.bone_names)}
        self.parent: Ints = body["bone_parent"].astype(np.int32)
        self._head, self._tail = body["bone_head_vertices"], body["bone_tail_vertices"]
        self.skin_bone: Ints = body["skin_bone"].astype(np.int32)
        self.skin_weight: Floats = body["skin_weight"].astype(np.float32)
        group = {str(name): i for i, name in enumerate(body["group_names"])}
        faces, owner = body["triangles"].astype(np.int32), body["triangle_group"]
        self.faces = {name: faces[owner == i] for name, i in group.items() if not name.startswith("joint-")}
        self._macro = {str(name): i for i, name in enumerate(macro["names"])}
        self._coef = macro["coef"]
        basis = macro["basis_q"].astype(np.float32) * macro["basis_scale"][:, None, None].astype(np.float32)
        self._basis = basis.reshape(len(basis), -1)
        self.detail_names = [str(name) for name in detail["names"]]
        self._detail = (detail["start"], detail["index"].astype(np.int64), detail["delta_q"])

    def detail(self, name: str) -> tuple[npt.NDArray[np.int64], Floats]:
        """Vertices (n,) that a local target moves and by how much (n, 3), pack units.

        Raises:
            ValueError: If there is no such target.
        """
        if name not in self.detail_names:
            raise ValueError(f"the body has no local shape {name!r}")
        start, index, delta = self._detail
        i = self.detail_names.index(name)
        rows = slice(int(start[i]), int(start[i + 1]))
        return index[rows], delta[rows].astype(np.float32) * np.float32(0.001)

    def shape(self, sliders: Mapping[str, object], details: Mapping[str, float] | None = None) -> Floats:
        """Return the shaped rest mesh (19158, 3) in metres, soles on y = 0.

        Args:
            sliders: Arguments of `macro_weights`.
            details: Local target name -> weight, about 0..1.
        """
        mix = np.zeros(self._coef.shape[1], np.float32)
        for name, value in macro_weights(**sliders).items():  # type: ignore[arg-type]
            mix += np.float32(value) * self._coef[self._macro[name]]
        v = self.base + (mix @ self._basis).reshape(self.base.shape)
        for name, value in (details or {}).items():
            rows, delta = self.detail(name)
            v[rows] += np.float32(value) * delta
        v[:, 1] -= v[:BODY_VERTICES, 1].min()
        return (v * np.float32(METRES_PER_UNIT)).astype(np.float32)

    def joints(self, vertices_m: Floats) -> tuple[Floats, Floats]:
        """Bone heads and tails (163, 3) of a shaped rest mesh: means of marker vertices, so they follow the shape."""

        def mean(rows: npt.NDArray[np.int32]) -> Floats:
            real = rows >= 0
            total = (vertices_m[np.where(real, rows, 0)] * real[..., None]).sum(1)
            return (total / real.sum(1, keepdims=True)).astype(np.float32)

        return mean(self._head), mean(self._tail)

    def surface(self, vertices_m: Floats, triangles: Ints) -> Mesh:
        """Return part of the body's own mesh as a Mesh."""
        return Mesh(vertices_m, triangles, self.skin_bone, self.skin_weight).take(triangles)

    def garment(self, name: str, vertices_m: Floats) -> tuple[Mesh, npt.NDArray[np.int64]]:
        """Fit a garment, hair style or pair of shoes to a shaped rest mesh.

        Returns:
            The fitted mesh, and the body vertices that it hides.
        """
        c = self._clothes
        pairs, spans = c[f"{name}/scale_vertices"], c[f"{name}/scale_den"]
        reach = [abs(vertices_m[pairs[a, 0], a] - vertices_m[pairs[a, 1], a]) / spans[a] for a in range(3)]
        ref, weight = c[f"{name}/ref"].astype(np.int64), c[f"{name}/ref_weight"]
        fitted = (weight[:, :, None] * vertices_m[ref]).sum(1) + c[f"{name}/offset"] * np.asarray(reach, np.float32)
        bone, share = self._garment_skin(name)
        mesh = Mesh(fitted.astype(np.float32), c[f"{name}/triangles"].astype(np.int32), bone, share)
        return mesh, c[f"{name}/hide_body_vertices"].astype(np.int64)

    @cache  # noqa: B019  one Body lives as long as the process; weights do not depend on the shape
    def _garment_skin(self, name: str) -> tuple[Ints, Floats]:
        """Skin weights (V, 4) taken through each vertex's three body vertices."""
        ref = self._clothes[f"{name}/ref"].astype(np.int64)
        weight = np.maximum(self._clothes[f"{name}/ref_weight"], 0)
        dense = np.zeros((len(ref), len(self.bone_names)), np.float32)
        rows = np.arange(len(ref))
        for corner in range(3):
            for k in range(4):
                share = weight[:, corner] * self.skin_weight[ref[:, corner], k]
                np.add.at(dense, (rows, self.skin_bone[ref[:, corner], k]), share)
        top = np.argsort(-dense, 1)[:, :4].astype(np.int32)
        best = np.take_along_axis(dense, top, 1)
        return top, best / np.maximum(best.sum(1, keepdims=True), 1e-9)
