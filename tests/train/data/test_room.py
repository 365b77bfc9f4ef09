"""The room: the motion pack filmed by a rig, with true and with imitated 2D joints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.train.walker import STANDING
from train.data.motion.rigs import room_rig
from train.data.motion.room import RoomClip, normalised, room_clips
from train.errors import DataError


def walking(frames: int, begin_y_m: float, step_m: float) -> np.ndarray:
    """A figure (frames, 17, 3) that walks along y."""
    xyz_m = np.repeat(STANDING[None], frames, 0)
    xyz_m[..., 1] += begin_y_m + step_m * np.arange(frames, dtype=np.float32)[:, None]
    return xyz_m


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    parts = [walking(121, 7, 0.02), walking(241, -3, 0), walking(61, 0, 0.01), walking(121, 0, 0.05)]
    xyz_m = np.concatenate(parts)
    np.savez(
        tmp_path / "motion.npz",
        root_m=xyz_m[:, 0],
        joints_mm10=np.pad(np.rint((xyz_m - xyz_m[:, :1]) * 1e4), ((0, 0), (0, 4), (0, 0))).astype(np.int16),
        clip_start=np.cumsum([0, *(len(p) for p in parts)]),
        clip_name=np.array(["cmu/1", "idle/1", "cmu/2", "cmu/3"]),
        subject=np.array(["cmu_1", "idle_1", "cmu_2", "cmu_3"]),
        action=np.array(["walk", "idle", "run", "run far"]),
        fps=np.array([60, 24, 60, 60], np.float32),
        split=np.array(["train", "train", "val", "val"]),
        rig=np.array(["asf", "reactidle", "asf", "asf"]),
    )
    return tmp_path


def test_true_joints_are_the_projections_of_the_centred_clip(folder: Path) -> None:
    walk, idle = room_clips(folder, "train", room_rig())
    assert (walk.name, walk.subject, walk.action, walk.fps) == ("cmu/1", "cmu_1", "walk", 30)
    assert walk.world_m.shape == (61, 17, 3)
    np.testing.assert_allclose(walk.world_m, walking(61, -1.2, 0.04), atol=2e-4)
    assert len(walk.views) == 4
    for view in walk.views:
        np.testing.assert_allclose(view.camera.to_world(view.xyz_m), walk.world_m, atol=1e-5)
        np.testing.assert_allclose(view.camera.project(view.xyz_m), view.xy_px, atol=1e-2)
        assert (view.score == 1).all()
        assert {a.dtype for a in (view.xyz_m, view.xy_px, view.score)} == {np.dtype(np.float32)}
        assert ((view.xy_px > 0) & (view.xy_px < 1000)).all()
    assert len(idle.world_m) / (len(idle.world_m) + len(walk.world_m)) == pytest.approx(0.12, abs=0.02)


def test_splits_do_not_mix_and_long_walks_stay_in_the_picture(folder: Path) -> None:
    short, far = room_clips(folder, "val", room_rig(), fps=60)
    assert (short.subject, far.subject) == ("cmu_2", "cmu_3")
    assert len(short.world_m) == 61
    assert 80 <= len(far.world_m) < 121  # 6 m are more than the cameras see
    assert all(((v.xy_px > 0) & (v.xy_px < 1000)).all() for v in far.views)
    with pytest.raises(DataError, match="no clip of split 'test'"):
        room_clips(folder, "test", room_rig())


def arrays(clips: list[RoomClip]) -> list[np.ndarray]:
    return [a for clip in clips for view in clip.views for a in (view.xyz_m, view.xy_px, view.score)]


def test_imitated_detections_are_near_the_truth_but_not_it_and_follow_the_seed(folder: Path) -> None:
    rig = room_rig()
    truth = room_clips(folder, "train", rig)
    first, again, other = (room_clips(folder, "train", rig, detector_seed=s) for s in (1, 1, 2))
    for a, b in zip(arrays(first), arrays(again), strict=True):
        np.testing.assert_array_equal(a, b)
    assert any(not np.array_equal(a, b) for a, b in zip(arrays(first), arrays(other), strict=True))
    errors, scores = [], []
    for clip, true in zip(first, truth, strict=True):
        np.testing.assert_array_equal(clip.world_m, true.world_m)
        for view, seen in zip(clip.views, true.views, strict=True):
            assert view.camera is seen.camera
            np.testing.assert_array_equal(view.xyz_m, seen.xyz_m)
            assert view.xy_px.shape == seen.xy_px.shape
            errors.append(np.linalg.norm(view.xy_px - seen.xy_px, axis=-1)[view.score > 0.3])
            scores.append(view.score.ravel())
    assert 0.5 < np.median(np.concatenate(errors)) < 25  # of people about 350 px tall
    assert np.ptp(np.concatenate(scores)) > 0.3
    assert np.concatenate(scores).min() >= 0
    assert np.concatenate(scores).max() <= 1


def test_screen_coordinates_are_videopose3ds() -> None:
    corners = normalised(np.array([[0, 0], [1000, 500], [500, 250]]), (1000, 500))
    np.testing.assert_allclose(corners, [[-1, -0.5], [1, 0.5], [0, 0]], atol=1e-7)
