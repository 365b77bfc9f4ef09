"""The 3D metrics: values worked out by hand, what they must not depend on, and rows that nobody knows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from engines.errors import TensorShapeError
from engines.measure import bones3d, metrics3d, score3d
from engines.skeletons import H36M17
from engines.tracks import Tracks

POSES = arrays(np.float64, (4, 17, 3), elements=st.floats(-1, 1, width=32)).map(
    lambda p: p + np.random.default_rng(0).normal(0, 0.3, p.shape)  # never flat
)
SETTINGS = settings(max_examples=25, deadline=None)


def moving(frames: int = 6) -> np.ndarray:
    """A body (frames, 17, 3) that changes from frame to frame, pelvis at the origin."""
    rng = np.random.default_rng(1)
    pose = rng.normal(0, 0.4, (17, 3)) + np.cumsum(rng.normal(0, 0.02, (frames, 17, 3)), 0)
    return pose - pose[:, :1]


def turned(seed: int) -> np.ndarray:
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return q * np.sign(np.linalg.det(q))


def test_position_errors_by_hand() -> None:
    truth = np.zeros((2, 17, 3))
    pose = truth.copy()
    pose[:, 3] = [0.03, 0, 0.04]  # 50 mm
    pose[1, 6] = [0, 0.17, 0]  # 170 mm
    assert metrics3d.mpjpe_mm(pose, truth) == pytest.approx((50 + 50 + 170) / 34)
    np.testing.assert_allclose(metrics3d.joint_errors_mm(pose, truth)[[0, 3, 6]], [0, 50, 85])
    assert metrics3d.pck(pose, truth) == pytest.approx(33 / 34)
    assert metrics3d.pck(pose[:, 3:4], truth[:, 3:4], 50.0001) == 1
    assert metrics3d.pck(pose[:, 3:4], truth[:, 3:4], 49.9) == 0
    # 31 thresholds 0, 5 .. 150: an error of 52 mm is inside those from 55 on, 20 of them
    pose[:, 3] = [0.052, 0, 0]
    assert metrics3d.auc(pose[:, 3:4], truth[:, 3:4]) == pytest.approx(20 / 31)


def test_velocity_acceleration_and_jitter_by_hand() -> None:
    truth = np.zeros((4, 1, 3))
    pose = truth.copy()
    pose[:, 0, 0] = [0, 0.001, 0.004, 0.009]  # second difference 2 mm
    assert metrics3d.mpjve_mm_per_frame(pose, truth) == pytest.approx(3)
    assert metrics3d.mpjve_mm_per_s(pose, truth, np.array([0, 0.1, 0.2, 0.4])) == pytest.approx((10 + 30 + 25) / 3)
    assert metrics3d.acceleration_error_mm(pose, truth) == pytest.approx(2)
    assert metrics3d.jitter_mm(pose) == pytest.approx(2)
    assert metrics3d.jitter_mm(np.cumsum(np.ones((9, 17, 3)), 0)) == pytest.approx(0, abs=1e-9), "even motion is smooth"


def test_root_errors_by_hand() -> None:
    truth = np.array([[0, 0, 2.0], [1, 0, 4], [0, 1, 5], [0, 0, np.nan]])
    root = truth + np.array([0, 0, 0.2])
    assert metrics3d.root_error_share(root, truth) == pytest.approx(0.05)
    assert metrics3d.root_error_mm(root, truth) == pytest.approx(200)


@SETTINGS
@given(POSES, st.floats(0.2, 5), st.integers(0, 1000))
def test_p_mpjpe_does_not_see_a_similarity_transform(pose: np.ndarray, scale: float, seed: int) -> None:
    moved = scale * pose @ turned(seed) + [0.3, -2, 1]
    assert metrics3d.p_mpjpe_mm(moved, pose) == pytest.approx(0, abs=1e-4)
    assert metrics3d.p_mpjpe_mm(pose * [-1, 1, 1], pose) > 10, "a mirror image is no match"


@SETTINGS
@given(POSES, POSES, st.floats(0.2, 5), st.integers(0, 1000))
def test_aligned_errors_are_no_larger_and_stay_under_their_group(
    pose: np.ndarray, truth: np.ndarray, scale: float, seed: int
) -> None:
    squared = [((a - truth) ** 2).sum() for a in (metrics3d.procrustes(pose, truth), pose)]
    assert squared[0] <= squared[1] * (1 + 1e-9) + 1e-12
    moved = scale * pose @ turned(seed) + 0.5
    assert metrics3d.p_mpjpe_mm(moved, truth) == pytest.approx(metrics3d.p_mpjpe_mm(pose, truth), rel=1e-6, abs=1e-4)
    assert metrics3d.n_mpjpe_mm(scale * pose, truth) == pytest.approx(
        metrics3d.n_mpjpe_mm(pose, truth), rel=1e-6, abs=1e-4
    )
    assert metrics3d.n_mpjpe_mm(scale * truth, truth) == pytest.approx(0, abs=1e-6)
    both = (pose @ turned(seed), truth @ turned(seed))
    assert metrics3d.mpjpe_mm(*both) == pytest.approx(metrics3d.mpjpe_mm(pose, truth), abs=1e-9)
    assert metrics3d.mpjve_mm_per_frame(pose + 7, truth) == pytest.approx(
        metrics3d.mpjve_mm_per_frame(pose, truth), abs=1e-9
    )


@SETTINGS
@given(POSES, POSES)
def test_auc_is_between_none_and_the_last_threshold(pose: np.ndarray, truth: np.ndarray) -> None:
    assert 0 <= metrics3d.auc(pose, truth) <= metrics3d.pck(pose, truth) <= 1


def test_unknown_joints_are_not_measured() -> None:
    truth, pose = moving(), moving() * 1.05 + 0.01
    holes = truth.copy()
    holes[2, 5] = np.nan
    holes[4] = np.nan
    known = np.isfinite(holes[..., 0])
    apart = np.linalg.norm(pose - truth, axis=-1) * 1000
    assert metrics3d.mpjpe_mm(pose, holes) == pytest.approx(apart[known].mean())
    assert metrics3d.pck(pose, holes) == pytest.approx((apart[known] < 150).mean())
    # each joint weighs alike, so leaving the same joint out by hand is the same
    row = np.delete(np.arange(17), 5)
    by_hand = metrics3d.procrustes(pose[2:3, row], truth[2:3, row])
    np.testing.assert_allclose(metrics3d.procrustes(pose, holes)[2:3, row], by_hand, atol=1e-9)
    assert np.isnan(metrics3d.procrustes(pose, holes)[4]).all()
    for metric in (metrics3d.p_mpjpe_mm, metrics3d.n_mpjpe_mm, metrics3d.mpjve_mm_per_frame):
        assert np.isfinite(metric(pose, holes))
    assert np.isnan(metrics3d.mpjpe_mm(pose, truth * np.nan))


def test_bones_by_hand() -> None:
    truth = np.zeros((4, 17, 3))
    for parent, child in H36M17.bones:
        truth[:, child] = truth[:, parent] + [0, 0.3, 0]
    pose = truth.copy()
    knee, ankle = H36M17.index("left_knee"), H36M17.index("left_ankle")
    pose[:, ankle, 1] += [0.01, -0.01, 0.01, -0.01]
    thigh, shin = bones3d.BONES.index("left thigh"), bones3d.BONES.index("left shin")
    assert (H36M17.bones[shin][1], H36M17.bones[thigh][1]) == (ankle, knee)
    np.testing.assert_allclose(bones3d.bone_lengths_m(truth), 0.3)
    assert bones3d.bone_length_sd_mm(pose)[shin] == pytest.approx(10)
    assert bones3d.bone_length_errors_mm(pose, truth)[shin] == pytest.approx(10)
    assert bones3d.bone_length_sd_mm(pose)[thigh] == pytest.approx(0, abs=1e-9)
    assert bones3d.limb_ratio_error(pose, truth) == pytest.approx(1 / 30 / 4)  # one of four pairs is 1/30 off
    assert bones3d.limb_ratio_error(1.3 * pose, pose) == pytest.approx(0, abs=1e-9), "a larger body has the same ratios"
    assert len(bones3d.LIMBS) == 8
    pose[:, ankle] = np.nan
    assert np.isnan(bones3d.bone_length_sd_mm(pose)[shin])


def two_clips() -> tuple[Tracks, np.ndarray]:
    truth = np.concatenate([moving(5), moving(3) + np.array([5, 0, 0])])
    truth -= truth[:, :1]
    tracks = Tracks(
        xy_px=np.zeros((8, 17, 2)), score=np.ones((8, 17)), pts_s=np.array([0, 1, 2, 3, 4, 0, 1, 2]) / 25,
        clip=np.repeat([1, 0], [5, 3]), size_wh=np.ones((2, 2)), focal_px=np.ones(2),
    )  # fmt: skip
    return tracks, truth.astype(np.float32)


def test_no_difference_in_time_reaches_from_clip_to_clip() -> None:
    tracks, poses = two_clips()
    truth = score3d.Truth(poses, action=np.array(["sit", "walk"]))
    jump = poses.copy()
    jump[5:, 1:] += 1  # a steady offset in one clip: no error of velocity
    found = score3d.score(jump, np.zeros((8, 3), np.float32), truth, tracks)
    assert found["mpjve_mm_per_frame"] == pytest.approx(0, abs=0.01)
    assert found["acceleration_error_mm"] == pytest.approx(0, abs=0.01)
    assert found["jitter_mm"] == pytest.approx(found["truth_jitter_mm"])
    assert found["per_action"]["walk"]["mpjpe_mm"] == 0
    assert found["per_action"]["sit"]["mpjpe_mm"] == pytest.approx(1000 * 3**0.5 * 16 / 17, rel=1e-4)
    assert found["mpjpe_mm"] == pytest.approx(1000 * 3**0.5 * 16 / 17 * 3 / 8, rel=1e-4)
    moves = [np.linalg.norm(np.diff(clip, axis=0), axis=-1) for clip in (poses[:5], poses[5:])]
    assert found["still_mm_per_s"] == pytest.approx(np.concatenate(moves).mean() * 25000, rel=1e-3)
    assert (found["rows"], found["clips"]) == (8, 2)
    assert "root_error_share" not in found
    table = "\n".join(score3d.lines({"all": found}))
    assert "MPJVE" in table
    assert "root" not in table


def test_clips_with_a_limb_that_breathes_or_a_pose_that_shakes_are_counted() -> None:
    rng = np.random.default_rng(0)
    still = np.repeat(rng.normal(0, 0.3, (1, 17, 3)), 30, 0).astype(np.float32)
    breathing, shaking = still.copy(), still.copy()
    wrist, elbow = H36M17.index("left_wrist"), H36M17.index("left_elbow")
    forearm = still[0, wrist] - still[0, elbow]
    breathing[:, wrist] += forearm / np.linalg.norm(forearm) * np.linspace(0, 0.03, 30, dtype=np.float32)[:, None]
    shaking[::2] += np.float32(0.005) * (np.arange(17) > 0)[:, None]
    clips = [still, breathing, shaking]
    tracks = Tracks(
        np.zeros((90, 17, 2), np.float32), np.ones((90, 17), np.float32), np.tile(np.arange(30) / 30, 3),
        np.repeat(np.arange(3), 30), np.full((3, 2), 500), np.full(3, 500.0),
    )  # fmt: skip
    truth = score3d.Truth(np.tile(still, (3, 1, 1)))
    found = score3d.score(np.concatenate(clips), np.zeros((90, 3), np.float32), truth, tracks)
    assert (found["unsteady_clips"], found["restless_clips"]) == (1, 1)
    assert found["per_limb_worst_sd_mm"]["left forearm"] == pytest.approx(np.std(np.linspace(0, 30, 30)), rel=1e-3)
    assert found["per_limb_worst_sd_mm"]["right forearm"] < 0.01


def test_the_truth_is_checked_and_brought_to_the_pelvis() -> None:
    tracks, poses = two_clips()
    raw = {"xyz_m": poses + np.array([1, 2, 3]), "root_m": np.ones((8, 3))}
    np.testing.assert_allclose(score3d.Truth.of(raw, tracks).xyz_m, poses, atol=1e-6)
    with pytest.raises(TensorShapeError, match=r"root_m must be \(8, 3\) numbers, found \(8, 2\) float64"):
        score3d.Truth.of({**raw, "root_m": np.ones((8, 2))}, tracks)
