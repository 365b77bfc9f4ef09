"""Two cameras' relative pose from nothing but the joints of a clip."""

from __future__ import annotations

import numpy as np
import pytest

from train.data.motion.rigs import Camera, room_rig
from train.data.motion.room import seen
from train.methods.extrinsics import ExtrinsicsError, depths, relative_pose

RIG = room_rig()


def somebody(frames: int = 80) -> np.ndarray:
    """Joints (frames, 17, 3) of somebody who walks in a circle, float32 world metres."""
    rng = np.random.default_rng(3)
    body = rng.normal([0, 0, 1], [0.25, 0.25, 0.5], (1, 17, 3))
    turn = np.linspace(0, 2 * np.pi, frames)
    path = 1.5 * np.stack([np.cos(turn), np.sin(turn), np.zeros(frames)], -1)[:, None]
    return (body + path + rng.normal(0, 0.05, (frames, 17, 3))).astype(np.float32)


def filmed(first: Camera, second: Camera, noise_px: float, wild: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    world_m = somebody()
    views = [seen(c, world_m).xy_px.reshape(-1, 2).astype(np.float64) for c in (first, second)]
    for xy in views:
        xy += rng.normal(0, noise_px, xy.shape)
        lost = rng.random(len(xy)) < wild
        xy[lost] += rng.normal(0, 120, (lost.sum(), 2))
    return views[0], views[1]


def errors(first: Camera, second: Camera, rotation: np.ndarray, position_m: np.ndarray) -> tuple[float, float]:
    """Angle of the rotation error in degrees, distance of the second camera's centre in metres."""
    turn = rotation @ (second.rotation @ first.rotation.T).T
    angle = np.degrees(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1)))
    return float(angle), float(np.linalg.norm(position_m - first.to_camera(second.position_m)))


@pytest.mark.parametrize("pair", [(0, 1), (0, 2), (1, 0), (2, 3), (3, 1)])
def test_exact_joints_give_the_exact_pose(pair: tuple[int, int]) -> None:
    first, second = (RIG[i] for i in pair)
    baseline_m = float(np.linalg.norm(second.position_m - first.position_m))
    found = relative_pose(*filmed(first, second, 0), (first, second), baseline_m)
    angle, off_m = errors(first, second, found.rotation, found.position_m)
    assert angle < 0.01
    assert off_m < 2e-3
    assert found.inlier.all()


def test_noise_and_outliers_leave_the_pose_within_a_degree() -> None:
    first, second = RIG[0], RIG[1]
    baseline_m = float(np.linalg.norm(second.position_m - first.position_m))
    xy1, xy2 = filmed(first, second, 2.0, wild=0.15)
    found = relative_pose(xy1, xy2, (first, second), baseline_m, threshold_px=6)
    angle, off_m = errors(first, second, found.rotation, found.position_m)
    assert angle < 1
    assert off_m < 0.1
    assert 0.55 < found.inlier.mean() < 0.95
    truth = filmed(first, second, 0)
    gross = np.linalg.norm(xy1 - truth[0], axis=1) > 100
    assert found.inlier[gross].mean() < 0.25  # a jump along the epipolar line cannot be told


def test_scale_is_the_given_baseline_and_the_way_back_is_the_inverse() -> None:
    first, second = RIG[0], RIG[3]
    xy = filmed(first, second, 0)
    found = relative_pose(*xy, (first, second))
    np.testing.assert_allclose(np.linalg.norm(found.position_m), 1)
    twice = relative_pose(*xy, (first, second), baseline_m=2.0)
    np.testing.assert_allclose(twice.position_m, 2 * found.position_m, atol=1e-9)
    back = found.reversed()
    point = np.array([0.3, -0.2, 4.0])
    there = found.rotation @ (point - found.position_m)
    np.testing.assert_allclose(back.rotation @ (there - back.position_m), point, atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(back.position_m), 1)


def test_the_lens_is_undone() -> None:
    first, second = RIG[0], RIG[1]
    straight = tuple(Camera(c.rotation, c.position_m, c.size_wh, c.focal_px, c.centre_px) for c in (first, second))
    baseline_m = float(np.linalg.norm(second.position_m - first.position_m))
    xy = filmed(first, second, 0)
    with_lens = relative_pose(*xy, (first, second), baseline_m)
    without = relative_pose(*xy, straight, baseline_m)
    assert errors(first, second, with_lens.rotation, with_lens.position_m)[0] < 0.01
    assert errors(first, second, without.rotation, without.position_m)[0] > 0.05


def test_triangulated_depths_are_the_true_ones() -> None:
    first, second = RIG[1], RIG[2]
    world_m = somebody(2).reshape(-1, 3)
    a, b = first.to_camera(world_m), second.to_camera(world_m)
    rotation = second.rotation @ first.rotation.T
    move = second.to_camera(first.position_m)
    found = depths(rotation, move, a[:, :2] / a[:, 2:], b[:, :2] / b[:, 2:])
    np.testing.assert_allclose(found, np.stack([a[:, 2], b[:, 2]], 1), rtol=1e-6)


def test_what_cannot_be_told_is_refused() -> None:
    rng = np.random.default_rng(0)
    pair = RIG[0], RIG[1]
    few = rng.uniform(0, 1000, (10, 2))
    with pytest.raises(ExtrinsicsError, match="10 joints"):
        relative_pose(few, few, pair)
    lost = np.full((40, 2), np.nan)
    with pytest.raises(ExtrinsicsError, match="0 joints"):
        relative_pose(lost, lost, pair)
    with pytest.raises(ExtrinsicsError):
        relative_pose(rng.uniform(0, 1000, (400, 2)), rng.uniform(0, 1000, (400, 2)), pair, threshold_px=0.5)
