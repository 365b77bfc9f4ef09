"""VideoPose3D's files: joints, recovered cameras, cut frames, splits, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from engines.skeletons import H36M17
from train.data.motion.calibrate import load_cameras, recover_camera, save_cameras
from train.data.motion.npz_objects import read_object
from train.data.motion.rigs import Camera, room_rig
from train.data.motion.videopose_npz import MOVING_32, find_cameras, read_videopose

SYMMETRY_17 = [[4, 5, 6, 11, 12, 13], [1, 2, 3, 14, 15, 16]]
# HumanEva's 15 joints as H36M17's: see ConvertHumanEva.m
TO_15 = [0, 8, 11, 12, 13, 14, 15, 16, 4, 5, 6, 1, 2, 3]


def poses(frames: int, seed: int) -> np.ndarray:
    """People (frames, 17, 3) who jump about the room; metres, z up."""
    rng = np.random.default_rng(seed)
    place = rng.uniform([-1.5, -1.2, 0.9], [1.5, 1.2, 1.0], (frames, 1, 3))
    return (place + rng.uniform([-0.4, -0.4, -0.85], [0.4, 0.4, 0.8], (frames, 17, 3))).astype(np.float32)


def human36m_lens(camera: Camera, points: np.ndarray) -> np.ndarray:
    """Human3.6M's own projection, whose tangential cross terms are half of OpenCV's."""
    ray = points[..., :2] / points[..., 2:]
    r2 = (ray**2).sum(-1, keepdims=True)
    k1, k2, k3 = camera.radial
    shift = camera.tangential[::-1]
    bent = ray * (1 + k1 * r2 + k2 * r2**2 + k3 * r2**3 + (shift * ray).sum(-1, keepdims=True)) + shift * r2
    return bent * camera.focal_px + camera.centre_px


def seen(world: np.ndarray, extra: int = 0) -> list[np.ndarray]:
    views = [human36m_lens(c, c.to_camera(world)).astype(np.float32) for c in room_rig()]
    return [np.concatenate([v, np.repeat(v[-1:], extra, 0)]) for v in views]


@pytest.fixture
def h36m(tmp_path: Path) -> Path:
    motion = {s: {"Walking 1": poses(60, i), "Eating": poses(40, 9 + i)} for i, s in enumerate(["S1", "S5", "S9"])}
    full = {s: {a: np.zeros((len(x), 32, 3), np.float32) for a, x in actions.items()} for s, actions in motion.items()}
    for subject, actions in motion.items():
        for action, xyz in actions.items():
            full[subject][action][:, list(MOVING_32)] = xyz
    gt = {s: {a: seen(x) for a, x in actions.items()} for s, actions in motion.items()}
    noisy = {
        s: {a: [v + np.float32(3) for v in seen(x, extra=4)] for a, x in actions.items()}
        for s, actions in motion.items()
    }
    metadata = {"layout_name": "h36m", "num_joints": 17, "keypoints_symmetry": SYMMETRY_17}
    np.savez_compressed(tmp_path / "data_3d_h36m.npz", positions_3d=full)
    np.savez_compressed(
        tmp_path / "data_2d_h36m_gt.npz",
        positions_2d=gt,
        metadata={"num_joints": 17, "keypoints_symmetry": SYMMETRY_17},
    )
    np.savez_compressed(tmp_path / "data_2d_h36m_cpn_ft_h36m_dbb.npz", positions_2d=noisy, metadata=metadata)
    return tmp_path


def test_human36m_with_true_joints_and_recovered_cameras(h36m: Path) -> None:
    clips = list(read_videopose(h36m / "data_3d_h36m.npz"))
    assert [c.name for c in clips][:2] == ["S1/Walking 1", "S1/Eating"]
    assert {c.subject for c in clips} == {"S1", "S5", "S9"}
    for clip, expected in zip(clips[:2], (poses(60, 0), poses(40, 9)), strict=True):
        assert clip.fps == 50
        np.testing.assert_array_equal(clip.world_m, expected)
        assert len(clip.views) == 4
        for view, camera in zip(clip.views, room_rig(), strict=True):
            true_m = camera.to_camera(expected)
            np.testing.assert_allclose(view.xyz_m, true_m, atol=0.03)
            relative = (view.xyz_m - view.xyz_m[:, :1]) - (true_m - true_m[:, :1])
            assert np.linalg.norm(relative, axis=-1).mean() < 0.003
            np.testing.assert_allclose(view.camera.project(view.xyz_m), view.xy_px, atol=0.3)
            assert (view.score == 1).all()
    assert clips[0].views[0].camera.size_wh == (1000, 1002)


def test_splits_are_the_papers(h36m: Path) -> None:
    subjects = {
        split: {c.subject for c in read_videopose(h36m / "data_3d_h36m.npz", split=split)} for split in ("train", "val")
    }
    assert subjects == {"train": {"S1", "S5"}, "val": {"S9"}}
    with pytest.raises(ValueError, match="no subject of split 'test'"):
        list(read_videopose(h36m / "data_3d_h36m.npz", split="test"))


def test_detections_are_cut_to_the_motion_and_use_the_gt_cameras(h36m: Path) -> None:
    detections = h36m / "data_2d_h36m_cpn_ft_h36m_dbb.npz"
    true, clip = (next(read_videopose(h36m / "data_3d_h36m.npz", path)) for path in (None, detections))
    for view, other in zip(clip.views, true.views, strict=True):
        assert view.xy_px.shape == (60, 17, 2)
        np.testing.assert_allclose(view.xy_px - other.xy_px, 3, atol=1e-3)
        np.testing.assert_allclose(view.xyz_m, other.xyz_m, atol=1e-5)


def test_cameras_of_the_users_own(h36m: Path, tmp_path: Path) -> None:
    found = find_cameras(h36m / "data_3d_h36m.npz", h36m / "data_2d_h36m_gt.npz", ["S1"])
    save_cameras(tmp_path / "cameras.json", found)
    read = load_cameras(tmp_path / "cameras.json")
    for a, b in zip(found["S1"], read["S1"], strict=True):
        assert a.size_wh == b.size_wh
        for part in ("rotation", "position_m", "focal_px", "centre_px", "radial", "tangential"):
            np.testing.assert_allclose(getattr(a, part), getattr(b, part))
    (h36m / "data_2d_h36m_gt.npz").unlink()
    detections = h36m / "data_2d_h36m_cpn_ft_h36m_dbb.npz"
    clips = read_videopose(h36m / "data_3d_h36m.npz", detections, cameras={"S1": found["S1"]})
    assert next(clips).views[2].camera is found["S1"][2]
    with pytest.raises(FileNotFoundError):
        next(read_videopose(h36m / "data_3d_h36m.npz", detections))
    (tmp_path / "cameras.json").write_text('{"S1": [{"rotation": 1}]}')
    with pytest.raises(ValueError, match=r"cameras\.json: not a file of cameras"):
        load_cameras(tmp_path / "cameras.json")


def test_without_2d_there_are_no_views(h36m: Path) -> None:
    (h36m / "data_2d_h36m_gt.npz").unlink()
    assert next(read_videopose(h36m / "data_3d_h36m.npz")).views == ()


def test_other_layouts_of_detections(h36m: Path) -> None:
    found = find_cameras(h36m / "data_3d_h36m.npz", h36m / "data_2d_h36m_gt.npz", ["S1"])
    path = h36m / "data_2d_h36m_detectron_pt_coco.npz"
    coco = np.random.default_rng(0).uniform(0, 900, (62, 17, 3)).astype(np.float32)
    coco[..., 2] = 0.7
    coco[5, 11, :2] = np.nan
    metadata = {"layout_name": "coco", "num_joints": 17, "keypoints_symmetry": SYMMETRY_17}
    np.savez(path, positions_2d={"S1": {"Walking 1": [coco] * 4, "Eating": [coco[:40]] * 4}}, metadata=metadata)
    clip = next(read_videopose(h36m / "data_3d_h36m.npz", path, "train", found))
    view = clip.views[0]
    np.testing.assert_array_equal(view.xy_px[:, H36M17.index("right_knee")], coco[:60, 14, :2])
    assert view.score[0, H36M17.index("right_knee")] == pytest.approx(0.7)
    assert view.score[5, H36M17.index("left_hip")] == 0
    assert view.score[5, H36M17.index("pelvis")] == 0
    metadata = {"layout_name": "mpii", "num_joints": 16, "keypoints_symmetry": [[], []]}
    np.savez(
        path, positions_2d={"S1": {"Walking 1": [coco[:, :16]] * 4, "Eating": [coco[:40, :16]] * 4}}, metadata=metadata
    )
    view = next(read_videopose(h36m / "data_3d_h36m.npz", path, "train", found)).views[0]
    np.testing.assert_array_equal(view.xy_px[:, H36M17.index("right_ankle")], coco[:60, 0, :2])
    assert (view.score[:, H36M17.index("nose")] == 0).all()


def test_humaneva_has_fifteen_joints(tmp_path: Path) -> None:
    motion, gt = {}, {}
    for number, subject in enumerate(("Train/S1", "Validate/S1")):
        world = poses(80, number)
        crown = world[:, 8:9] + [0, 0, 0.24]
        motion[subject] = {"Walking 1 chunk0": np.concatenate([world[:, TO_15], crown], 1).astype(np.float32)}
        views = [c.project(c.to_camera(motion[subject]["Walking 1 chunk0"])) * 0.48 for c in room_rig()[:3]]
        gt[subject] = {"Walking 1 chunk0": [v.astype(np.float32) for v in views]}
    np.savez(tmp_path / "data_3d_humaneva15.npz", positions_3d=motion)
    np.savez(
        tmp_path / "data_2d_humaneva15_gt.npz",
        positions_2d=gt,
        metadata={"layout_name": "humaneva15", "num_joints": 15, "keypoints_symmetry": [[], []]},
    )
    (clip,) = read_videopose(tmp_path / "data_3d_humaneva15.npz", split="val")
    assert (clip.subject, clip.fps, len(clip.views)) == ("Validate/S1", 60, 3)
    world = poses(80, 1)
    rows = list(TO_15)
    np.testing.assert_allclose(clip.world_m[:, rows], world[:, rows], atol=1e-6)
    np.testing.assert_allclose(clip.world_m[:, 10] - world[:, 8], np.tile([0, 0, 0.18], (80, 1)), atol=1e-5)
    np.testing.assert_allclose(clip.world_m[:, 7], (world[:, 0] + world[:, 8]) / 2, atol=1e-6)
    assert np.isfinite(clip.world_m).all()
    for view in clip.views:
        assert view.camera.size_wh == (640, 480)
        np.testing.assert_allclose(view.camera.project(view.xyz_m)[:, rows], view.xy_px[:, rows], atol=0.05)
        assert (view.score[:, 9] == 0).all()
        assert (view.score[:, rows] == 1).all()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("data_3d_h36m.npz", {"positions_3d": np.zeros(3)}, "is an array, not a dictionary"),
        ("data_3d_h36m.npz", {"positions": {}}, "no 'positions_3d' in it"),
        ("data_3d_h36m.npz", {"positions_3d": {"S1": {"a": np.zeros((5, 21, 3))}}}, "poses of shapes"),
        ("data_3d_h36m.npz", {"positions_3d": {"S1": [1, 2]}}, "not a dictionary of subjects and actions"),
        ("data_2d_h36m_gt.npz", {"positions_2d": {"S1": {}}, "metadata": {"num_joints": 9}}, "unknown layout"),
        ("data_2d_h36m_gt.npz", {"positions_2d": {"S1": {}}, "metadata": {"num_joints": 17}}, "nothing of S1"),
    ],
)
def test_a_bad_file_gives_one_clear_error(h36m: Path, name: str, content: dict, message: str) -> None:
    np.savez(h36m / name, **content)
    with pytest.raises(ValueError, match=name) as caught:
        list(read_videopose(h36m / "data_3d_h36m.npz"))
    assert message in str(caught.value)


def test_files_that_do_not_belong_together(h36m: Path) -> None:
    short = {"S1": {a: [v[:10] for v in seen(poses(60, 0))] for a in ("Walking 1", "Eating")}}
    metadata = {"layout_name": "h36m", "num_joints": 17}
    path = h36m / "data_2d_h36m_x.npz"
    np.savez(path, positions_2d=short, metadata=metadata)
    with pytest.raises(ValueError, match="S1 Walking 1 has 10 frames of 60"):
        next(read_videopose(h36m / "data_3d_h36m.npz", path))
    np.savez(path, positions_2d={"S1": {}}, metadata=metadata)
    with pytest.raises(ValueError, match="S1 Walking 1 is missing"):
        next(read_videopose(h36m / "data_3d_h36m.npz", path))
    wrong = {s: {a: seen(poses(60, 99)) for a in ("Walking 1", "Eating")} for s in ("S1", "S5", "S9")}
    np.savez(h36m / "data_2d_h36m_gt.npz", positions_2d=wrong, metadata=metadata)
    with pytest.raises(ValueError, match=r"camera 0 of S1.*misses half of the points"):
        next(read_videopose(h36m / "data_3d_h36m.npz"))


def test_points_that_cannot_tell_a_camera() -> None:
    flat = np.random.default_rng(0).uniform(-1, 1, (100, 3)) * [1, 1, 0]
    camera = room_rig()[0]
    with pytest.raises(ValueError, match="one plane"):
        recover_camera(flat, camera.project(camera.to_camera(flat)), (1000, 1000))
    with pytest.raises(ValueError, match="20 known points are too few"):
        recover_camera(flat[:20], flat[:20, :2], (1000, 1000))


class _Attack:
    def __reduce__(self) -> tuple:
        return os.mkdir, ("was_here",)


def test_a_file_cannot_make_us_run_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "evil.npz", positions_3d={"S1": {"a": _Attack()}})
    with pytest.raises(ValueError, match=r"evil\.npz: it asks for .*mkdir"):
        read_object(tmp_path / "evil.npz", "positions_3d")
    assert not (tmp_path / "was_here").exists()
    (tmp_path / "torn.npz").write_bytes((tmp_path / "evil.npz").read_bytes()[:100])
    with pytest.raises(ValueError, match=r"torn\.npz"):
        read_object(tmp_path / "torn.npz", "positions_3d")
