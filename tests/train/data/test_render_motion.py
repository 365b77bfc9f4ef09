"""Body and retargeting: shapes have human sizes, posed limbs follow the mocap, feet stand."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from train.data.render.body import Body, age_weights, macro_weights
from train.data.render.meshes import coarser, normals, skin
from train.data.render.motions import Motions, facing, greet, sit_down, swap_arms
from train.data.render.retarget import Retargeter, joints_of, soles_of
from train.data.render.rotations import axis_angle, blend, frame, swing, turn, unit
from train.data.render.takes import resample, sliding_mps, take
from train.data.render.textures import patterns
from train.data.render.wardrobe import Wardrobe

DATA = Path(os.environ.get("POSESTREAM_DATA", "../shared/data"))
needs_data = pytest.mark.skipif(
    not (DATA / "body/body.npz").exists() or not (DATA / "mocap/motion.npz").exists(),
    reason=f"no body and mocap packs in {DATA} (set POSESTREAM_DATA)",
)


@pytest.fixture(scope="module")
def body() -> Body:
    return Body(DATA / "body")


@pytest.fixture(scope="module")
def motions() -> Motions:
    return Motions(DATA / "mocap/motion.npz")


@pytest.fixture(scope="module")
def man(body: Body) -> np.ndarray:
    return body.shape({"gender": 1.0, "age": 0.5, "height": 0.5})


def test_frame_is_orthonormal_and_swing_reaches_its_target() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 50, 3))
    f = frame(a, b)
    np.testing.assert_allclose(np.swapaxes(f, -1, -2) @ f, np.broadcast_to(np.eye(3), f.shape), atol=1e-9)
    np.testing.assert_allclose(np.linalg.det(f), 1.0)
    np.testing.assert_allclose(f[..., 1], unit(a), atol=1e-9)
    np.testing.assert_allclose(np.einsum("tij,tj->ti", swing(a, b), unit(a)), unit(b), atol=1e-9)


def test_blend_goes_half_way() -> None:
    end = turn(np.array([0.0, 0, 1]), 1.2)
    axis, angle = axis_angle(blend(np.eye(3), end, 0.5))
    np.testing.assert_allclose(angle, 0.6)
    np.testing.assert_allclose(axis, [0, 0, 1], atol=1e-9)


def test_age_and_macro_weights_are_shares() -> None:
    for age in (0.1, 0.3, 0.5, 0.8, 1.0):
        assert sum(age_weights(age).values()) == pytest.approx(1.0)
    weights = macro_weights(gender=0.3, age=0.7)
    prototypes = [v for k, v in weights.items() if k.startswith(("african", "asian", "caucasian"))]
    assert sum(prototypes) == pytest.approx(1.0)


def test_coarser_keeps_labels_apart_and_drops_triangles() -> None:
    x, y = np.meshgrid(np.arange(20), np.arange(20))
    vertices = np.stack([x.ravel(), y.ravel(), 0 * x.ravel()], 1).astype(np.float32) * np.float32(0.01)
    at = np.arange(400).reshape(20, 20)
    quads = [at[:-1, :-1], at[1:, :-1], at[1:, 1:]]
    triangles = np.stack([q.ravel() for q in quads], 1).astype(np.int32)
    fewer = coarser(vertices, triangles, 0.03)
    assert 0 < len(fewer) < len(triangles) / 2
    labels = (vertices[:, 0] > 0.1).astype(np.int32)
    kept = coarser(vertices, triangles, 0.5, labels)
    assert len(kept) == 0  # two clusters cannot span a triangle


@needs_data
def test_shapes_have_human_sizes(body: Body, man: np.ndarray) -> None:
    woman = body.shape({"gender": 0.0, "height": 0.5})
    child = body.shape({"age": 0.1875})
    heights = [v[:13380, 1].max() for v in (man, woman, child)]
    assert heights[0] == pytest.approx(1.73, abs=0.03)
    assert heights[1] == pytest.approx(1.59, abs=0.03)
    assert heights[2] == pytest.approx(1.31, abs=0.06)
    assert man[:13380, 1].min() == pytest.approx(0.0, abs=1e-6)


@needs_data
def test_skin_without_rotation_gives_the_rest_pose_and_normals_point_out(body: Body, man: np.ndarray) -> None:
    mesh = body.surface(man, body.faces["body"])
    still = np.tile(np.eye(3, dtype=np.float32), (163, 1, 1))
    out = normals(mesh.vertices_m, mesh.triangles)
    posed, turned = skin(mesh, out, still, np.zeros((163, 3), np.float32))
    np.testing.assert_allclose(posed, mesh.vertices_m, atol=1e-5)
    np.testing.assert_allclose(turned, out, atol=1e-4)
    belly = np.argmax(np.where(np.abs(mesh.vertices_m[:, 1] - 1.0) < 0.05, mesh.vertices_m[:, 2], -9))
    assert out[belly, 2] > 0.7


@needs_data
@pytest.mark.parametrize("name", ["cmu/07_01", "cmu/02_05", "cmu/135_03", "reactidle/001_acted"])
def test_limbs_point_where_the_mocap_points(body: Body, man: np.ndarray, motions: Motions, name: str) -> None:
    clip = motions.named(name)
    xyz = clip.xyz_m[:: max(1, len(clip.xyz_m) // 12)]
    maker = Retargeter(body, man)
    joints = joints_of(body, maker.rest, maker.pose(xyz, clip.flat))
    for a, b in ((1, 2), (2, 3), (4, 5), (5, 6), (11, 12), (12, 13), (14, 15), (15, 16)):
        cosine = (unit(joints[:, b] - joints[:, a]) * unit(xyz[:, b] - xyz[:, a])).sum(-1)
        assert np.degrees(np.arccos(np.clip(cosine, -1, 1))).max() < 3.0, (a, b)
    for t in range(len(xyz)):  # nothing mirrored: the body faces where the mocap does
        difference = facing(joints[t]) - facing(xyz[t])
        assert abs(np.angle(np.exp(1j * difference))) < 0.1
        nose, between = joints[t, 9], (joints[t, 8] + joints[t, 10]) / 2
        toward = np.cross(joints[t, 4] - joints[t, 1], [0.0, 1, 0])
        if name == "cmu/07_01":
            assert (nose - between) @ toward > 0


@needs_data
def test_standing_soles_are_level(body: Body, man: np.ndarray, motions: Motions) -> None:
    clip = motions.named("reactidle/001_acted")
    xyz = clip.xyz_m[100:160:12]
    maker = Retargeter(body, man)
    soles = soles_of(maker.rest, maker.pose(xyz, clip.flat))[..., 1]
    assert np.ptp(soles, axis=1).max() < 0.07  # both feet, heel to toe


@needs_data
def test_a_take_slides_less_than_its_mocap(body: Body, motions: Motions) -> None:
    _, layers = patterns()
    figure = Wardrobe(body, layers, 1).dress(np.random.default_rng(0))
    clip = motions.named("cmu/27_01")
    xyz = resample(clip.xyz_m, clip.fps, 30)[:120]
    performed = take(figure, clip, xyz, 30)
    assert sliding_mps(performed, xyz) < 0.05
    path = performed.person.shift_m[:, [0, 2]]
    assert np.linalg.norm(path[-1] - path[0]) > 1.0  # and it still walks
    feet = soles_of(figure.retargeter.rest, performed.person.posed)[..., 1].min(1) + performed.person.shift_m[:, 1]
    assert np.abs(feet).max() < 0.03


@needs_data
def test_made_up_poses_keep_bone_lengths(motions: Motions) -> None:
    clip, rng = motions.named("reactidle/001_acted"), np.random.default_rng(0)
    xyz = clip.xyz_m[:3]
    other = motions.named("cmu/60_05").xyz_m[[200] * 3]
    for changed in (sit_down(xyz, rng), greet(xyz, 24, -1.0, 2.0)):
        for a, b in ((1, 2), (2, 3), (11, 12), (12, 13), (14, 15), (15, 16)):
            before, after = (np.linalg.norm(x[:, b] - x[:, a], axis=-1) for x in (xyz, changed))
            np.testing.assert_allclose(after, before, rtol=1e-6)
    sitting = sit_down(xyz, rng)
    assert (sitting[:, 2, 1] > xyz[:, 2, 1] + 0.2).all()  # knees come up to the hips
    swapped = swap_arms(xyz, other)
    np.testing.assert_array_equal(swapped[:, :11], xyz[:, :11])
    assert np.abs(swapped[:, 13] - xyz[:, 13]).max() > 0.1
