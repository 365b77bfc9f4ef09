"""What VideoPose3D's own code is given: its layout, its cameras, the same joints as ours."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from train.data.motion.room import RoomClip, normalised, seen
from train.experiments.videopose3d_data import (
    KEPT,
    LEFT,
    RIGHT,
    Slot,
    _camera,
    cameras,
    others,
    ray_tracks,
    screen_tracks,
    write_2d,
    write_3d,
)

INNER = {
    "center": [512.5, 515.5], "focal_length": [1145.0, 1143.8], "radial_distortion": [-0.2, 0.24, -0.003],
    "tangential_distortion": [-0.001, -0.0014], "res_w": 1000, "res_h": 1002,
}  # fmt: skip
# looks along the world's +y from 5 m behind the origin: camera x = world x, y = -world z, z = world y
OUTER = {"orientation": [2**-0.5, -(2**-0.5), 0, 0], "translation": [0.0, -5000.0, 1000.0]}


def slot(frames: int = 6) -> Slot:
    rng = np.random.default_rng(0)
    world_m = (rng.normal(0, 0.3, (frames, 17, 3)) + np.array([0, 0, 1])).astype(np.float32)
    clip = RoomClip("c", "s", "walk", 30.0, world_m, (seen(_camera(INNER, OUTER), world_m),))
    return Slot("S1", "walk 0", clip)


def test_a_camera_of_its_looks_where_its_quaternion_says() -> None:
    camera = _camera(INNER, OUTER)
    np.testing.assert_allclose(camera.to_camera(np.array([0.5, 0, 1.25])), [0.5, -0.25, 5], atol=1e-6)
    np.testing.assert_allclose(camera.to_camera(np.array([0, 2.0, 1])), [0, 0, 7], atol=1e-6)


def test_files_hold_the_joints_where_it_looks_for_them(tmp_path: Path) -> None:
    here = slot()
    write_3d(tmp_path / "3d.npz", [here])
    write_2d(tmp_path / "2d.npz", [here])
    joints = np.load(tmp_path / "3d.npz", allow_pickle=True)["positions_3d"].item()["S1"]["walk 0"]
    assert joints.shape == (6, 32, 3)
    removed = [4, 5, 9, 10, 11, 16, 20, 21, 22, 23, 24, 28, 29, 30, 31]  # what its code throws away
    np.testing.assert_array_equal(np.delete(joints, removed, 1), here.clip.world_m)
    assert sorted([*KEPT, *removed]) == list(range(32))
    pack = np.load(tmp_path / "2d.npz", allow_pickle=True)
    np.testing.assert_allclose(pack["positions_2d"].item()["S1"]["walk 0"][0], here.clip.views[0].xy_px, atol=1e-3)
    assert (
        pack["metadata"].item()["keypoints_symmetry"] == [LEFT, RIGHT] == [[4, 5, 6, 11, 12, 13], [1, 2, 3, 14, 15, 16]]
    )


def test_tracks_in_both_conventions_are_the_same_joints() -> None:
    here = slot()
    screen, rays = screen_tracks([here])[0], ray_tracks([here])[0]
    camera = here.clip.views[0].camera
    np.testing.assert_allclose((screen.xy + np.array([1, 1.002])) * 500, here.clip.views[0].xy_px, atol=1e-3)
    np.testing.assert_allclose(rays.xy * camera.focal_px + camera.centre_px, here.clip.views[0].xy_px, atol=1e-2)
    assert screen.action == rays.action == "walk"


def test_both_codes_hold_missing_joints_at_the_same_places(tmp_path: Path) -> None:
    """Even where nobody is seen in the first frames."""
    here = slot()
    score = np.ones((6, 17), np.float32)
    score[:2], score[3, 4] = 0, 0
    view = replace(here.clip.views[0], score=score)
    here = replace(here, clip=replace(here.clip, views=(view,)))
    write_2d(tmp_path / "2d.npz", [here])
    theirs = np.load(tmp_path / "2d.npz", allow_pickle=True)["positions_2d"].item()["S1"]["walk 0"][0]
    np.testing.assert_allclose(normalised(theirs, (1000, 1002)), screen_tracks([here])[0].xy, atol=1e-6)


def test_others_act_before_the_same_cameras_with_exact_joints() -> None:
    here = [slot(6), slot(9)]
    again = others(here, 1)
    for was, now in zip(here, again, strict=True):
        view = now.clip.views[0]
        assert view.camera == was.clip.views[0].camera
        assert now.clip.world_m.shape == was.clip.world_m.shape
        assert np.abs(now.clip.world_m - was.clip.world_m).max() > 0.01
        np.testing.assert_allclose(view.camera.project(view.xyz_m), view.xy_px, atol=1e-3)
    np.testing.assert_array_equal(others(here, 1)[1].clip.world_m, again[1].clip.world_m)


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="not a checkout"):
        cameras(tmp_path)
