"""Skinned surfaces: normals, linear blend skinning, connected pieces, fewer triangles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Mesh:
    """A skinned surface in the rest pose.

    Attributes:
        vertices_m: (V, 3) float32, rest pose.
        triangles: (T, 3) int32.
        skin_bone: (V, 4) int32 bone indices.
        skin_weight: (V, 4) float32, rows sum to 1.
    """

    vertices_m: Floats
    triangles: Ints
    skin_bone: Ints
    skin_weight: Floats

    def take(self, triangles: Ints) -> Mesh:
        """Return only these triangles and the vertices they use."""
        used, flat = np.unique(triangles, return_inverse=True)
        faces = flat.reshape(-1, 3).astype(np.int32)
        return Mesh(self.vertices_m[used], faces, self.skin_bone[used], self.skin_weight[used])


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


def without_shaft(mesh: Mesh) -> Mesh:
    """Drop the ankle shafts of shoes (pieces that reach above 15 cm): they would show through trousers."""
    piece = components(mesh.triangles, len(mesh.vertices_m))
    top = np.zeros(len(piece), np.float32)
    np.maximum.at(top, piece, mesh.vertices_m[:, 1])
    return mesh.take(mesh.triangles[top[piece[mesh.triangles[:, 0]]] < 0.15])


def coarser(vertices: Floats, triangles: Ints, cell_m: float, keep: Ints | None = None) -> Ints:
    """Fewer triangles over the same vertices: those in one cube of a grid become one (Rossignac and Borrel, 1993).

    Args:
        vertices: (V, 3) metres.
        triangles: (T, 3).
        cell_m: Side of the cubes.
        keep: (V,) labels; vertices with different labels are never joined.

    Returns:
        (T', 3) triangles that did not collapse.
    """
    cell = np.floor((vertices - vertices.min(0)) / cell_m).astype(np.int64)
    code = (cell[:, 0] * 4096 + cell[:, 1]) * 4096 + cell[:, 2]
    if keep is not None:
        code = code * 16 + keep
    _, first, inverse = np.unique(code, return_index=True, return_inverse=True)
    faces = first[inverse.reshape(-1)][triangles]
    flat = (faces[:, 0] == faces[:, 1]) | (faces[:, 1] == faces[:, 2]) | (faces[:, 0] == faces[:, 2])
    return faces[~flat].astype(np.int32)


def normals(vertices: Floats, triangles: Ints) -> Floats:
    """Area-weighted unit vertex normals (V, 3), outward for the pack's winding."""
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    face = np.cross(b - a, c - a)
    total = np.zeros((len(vertices), 3), np.float64)
    for axis in range(3):
        for k in range(3):
            total[:, axis] += np.bincount(triangles[:, k], face[:, axis], len(vertices))
    length = np.linalg.norm(total, axis=1, keepdims=True)
    return (total / np.maximum(length, 1e-12)).astype(np.float32)


def skin(mesh: Mesh, rest_normals: Floats, rotation: Floats, offset_m: Floats) -> tuple[Floats, Floats]:
    """Linear blend skinning: posed vertices and unit normals, both (V, 3).

    Args:
        mesh: Rest surface.
        rest_normals: (V, 3).
        rotation: (B, 3, 3) world rotation of each bone.
        offset_m: (B, 3); a point of bone b goes to `rotation[b] @ rest + offset_m[b]`.
    """
    table = np.concatenate([rotation, offset_m[:, :, None]], 2).reshape(len(rotation), 12).astype(np.float32)
    blend = (table[mesh.skin_bone] * mesh.skin_weight[..., None]).sum(1).reshape(-1, 3, 4)
    posed = np.einsum("vij,vj->vi", blend[:, :, :3], mesh.vertices_m) + blend[:, :, 3]
    turned = np.einsum("vij,vj->vi", blend[:, :, :3], rest_normals)
    turned /= np.maximum(np.linalg.norm(turned, axis=1, keepdims=True), 1e-9)
    return posed.astype(np.float32), turned.astype(np.float32)
