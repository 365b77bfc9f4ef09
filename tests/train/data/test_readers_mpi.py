"""MPI-INF-3DHP: joints, cameras, an upright world, the test set, and damaged files."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.io import savemat
from scipy.spatial.transform import Rotation

from engines.skeletons import CROWN_TO_HEAD_TOP, H36M17
from train.data.motion.mpi_inf_3dhp import CHEST_CAMERAS, read_calibration, read_mpi_inf_3dhp

NAMES_28 = (
    "spine3", "spine4", "spine2", "spine", "pelvis", "neck", "head", "head_top", "left_clavicle", "left_shoulder",
    "left_elbow", "left_wrist", "left_hand", "right_clavicle", "right_shoulder", "right_elbow", "right_wrist",
    "right_hand", "left_hip", "left_knee", "left_ankle", "left_foot", "left_toe", "right_hip", "right_knee",
    "right_ankle", "right_foot", "right_toe",
)  # fmt: skip
TEST_17 = (7, 5, 14, 15, 16, 9, 10, 11, 23, 24, 25, 18, 19, 20, 4, 3, 6)  # of the 28
RENAMED = {"thorax": "neck", "nose": "head"}


def person(frames: int) -> np.ndarray:
    """(frames, 28, 3) millimetres in the file's world, whose y points down and whose floor is at y = 0."""
    rng = np.random.default_rng(0)
    heights = {
        "head_top": 1700,
        "head": 1580,
        "neck": 1450,
        "pelvis": 950,
        "spine": 1100,
        "left_ankle": 80,
        "right_ankle": 80,
    }
    out = rng.uniform(-300, 300, (frames, 28, 3))
    for row, name in enumerate(NAMES_28):
        out[:, row, 1] = -heights.get(name, 600 + 10 * row)
    out[:, :, 0] += 100 * np.arange(frames)[:, None] / frames
    return out


def rig() -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """14 cameras: matrix (3, 3), rotation (3, 3), shift (3,) in millimetres; all look at the middle of the room."""
    cameras = []
    for number in range(14):
        turn = Rotation.from_euler("xyz", [2, 25 * number, 1], degrees=True).as_matrix()
        matrix = np.array([[1500 + number, 0, 1024], [0, 1498, 1050], [0, 0, 1]], float)
        cameras.append((matrix, turn, np.array([10, 1000, 4000.0]) + number))
    return cameras


def in_camera(world: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
    matrix, turn, shift = rig()[number]
    xyz = world @ turn.T + shift
    return xyz, (xyz / xyz[..., 2:])[..., :] @ matrix[:2].T


def write_sequence(folder: Path, frames: int = 12, name: str = "S1/Seq2") -> Path:
    place = folder / name
    place.mkdir(parents=True)
    world = person(frames)
    cells = {key: np.empty((14, 1), object) for key in ("annot2", "annot3", "univ_annot3")}
    lines = ["Skeletool Camera Calibration File V1.0"]
    for number, (matrix, turn, shift) in enumerate(rig()):
        xyz, xy = in_camera(world, number)
        cells["annot2"][number, 0] = xy.reshape(frames, -1)
        cells["annot3"][number, 0] = xyz.reshape(frames, -1)
        cells["univ_annot3"][number, 0] = (xyz * 0.9).reshape(frames, -1)
        inner, outer = np.eye(4), np.eye(4)
        inner[:3, :3], outer[:3, :3], outer[:3, 3] = matrix, turn, shift
        lines += [f"name          {number}", "  sensor      10 10", "  size        2048 2048", "  animated    0"]
        lines += [
            f"  {key}   {' '.join(f'{v:.9g}' for v in m.ravel())} "
            for key, m in (("intrinsic", inner), ("extrinsic", outer))
        ]
        lines += ["  radial      0"]
    savemat(place / "annot.mat", cells)
    (place / "camera.calibration").write_text("\n".join(lines) + "\n")
    return place


def write_test(folder: Path, name: str = "TS1", frames: int = 12) -> Path:
    place = folder / name
    place.mkdir(parents=True)
    xyz, xy = in_camera(person(frames), 0)
    with h5py.File(place / "annot_data.mat", "w") as file:
        file["annot3"] = xyz[:, None, list(TEST_17)]
        file["univ_annot3"] = xyz[:, None, list(TEST_17)] * 0.9
        file["annot2"] = xy[:, None, list(TEST_17)]
        file["valid_frame"] = (np.arange(frames) != 3).astype(float)[:, None]
    return place


def check_pose(world_m: np.ndarray, tilt_m: float) -> None:
    """The distances between joints are the file's, and the person stands on the floor with the head up."""
    truth = person(len(world_m)) / 1000
    rows = [NAMES_28.index(RENAMED.get(joint, joint)) for joint in H36M17.joints]
    expected = truth[:, rows]
    neck, crown = truth[:, NAMES_28.index("neck")], truth[:, NAMES_28.index("head_top")]
    expected[:, H36M17.index("head_top")] = neck + CROWN_TO_HEAD_TOP * (crown - neck)
    between = [np.linalg.norm(a[:, :, None] - a[:, None], axis=-1) for a in (world_m, expected)]
    np.testing.assert_allclose(between[0], between[1], atol=1e-4)
    np.testing.assert_allclose(world_m[:, H36M17.index("left_ankle"), 2], 0.09, atol=tilt_m)
    assert (world_m[:, H36M17.index("thorax"), 2] > 1.4).all()
    side = np.cross(expected[0, 1] - expected[0, 0], expected[0, 8] - expected[0, 0]) @ (
        expected[0, 12] - expected[0, 0]
    )
    other = np.cross(world_m[0, 1] - world_m[0, 0], world_m[0, 8] - world_m[0, 0]) @ (world_m[0, 12] - world_m[0, 0])
    assert side == pytest.approx(other, rel=1e-3)  # not mirrored


def test_training_sequences(tmp_path: Path) -> None:
    write_sequence(tmp_path)
    (clip,) = read_mpi_inf_3dhp(tmp_path, "train")
    assert (clip.name, clip.subject, clip.action, clip.fps) == ("S1/Seq2", "S1", "Seq2", 50)
    assert len(clip.views) == len(CHEST_CAMERAS)
    check_pose(clip.world_m, tilt_m=0.001)
    for view, number in zip(clip.views, CHEST_CAMERAS, strict=True):
        assert view.camera.focal_px[0] == 1500 + number
        np.testing.assert_allclose(view.camera.to_world(view.xyz_m), clip.world_m, atol=1e-4)
        np.testing.assert_allclose(view.camera.project(view.xyz_m)[:, :10], view.xy_px[:, :10], atol=0.01)
        assert (view.score == 1).all()
        assert view.camera.position_m[2] > 0
    (universal,) = read_mpi_inf_3dhp(tmp_path, "train", (0, 3), "univ_annot3")
    assert len(universal.views) == 2
    bone = [np.linalg.norm(c.world_m[0, 1] - c.world_m[0, 2]) for c in (clip, universal)]
    assert bone[1] / bone[0] == pytest.approx(0.9)


def test_test_set(tmp_path: Path) -> None:
    write_test(tmp_path / "mpi_inf_3dhp_test_set")
    write_test(tmp_path / "mpi_inf_3dhp_test_set", "TS5")
    clip, outdoors = read_mpi_inf_3dhp(tmp_path, "val")
    assert (clip.name, len(clip.views)) == ("TS1", 1)
    check_pose(clip.world_m, tilt_m=0.03)
    (view,) = clip.views
    np.testing.assert_array_equal(view.score.min(1), (np.arange(12) != 3).astype(np.float32))
    np.testing.assert_allclose(view.camera.project(view.xyz_m)[:, :10], view.xy_px[:, :10], atol=0.01)
    np.testing.assert_allclose(view.camera.focal_px, [1500, 1498], rtol=1e-6)
    assert (view.camera.size_wh, outdoors.views[0].camera.size_wh) == ((2048, 2048), (1920, 1080))


def test_bad_files_give_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no S"):
        list(read_mpi_inf_3dhp(tmp_path))
    place = write_sequence(tmp_path)
    with pytest.raises(ValueError, match="annotation must be"):
        list(read_mpi_inf_3dhp(tmp_path, annotation="annot2"))
    calibration = place / "camera.calibration"
    text = calibration.read_text()
    calibration.write_text(text.replace("  size        2048 2048\n", "", 1))
    with pytest.raises(ValueError, match=r"camera\.calibration: camera 0 is damaged"):
        list(read_mpi_inf_3dhp(tmp_path))
    calibration.write_text(text.split("name          3")[0])
    assert len(read_calibration(calibration)) == 3
    with pytest.raises(ValueError, match=r"camera\.calibration: 3 cameras, number 8 is wanted"):
        list(read_mpi_inf_3dhp(tmp_path))
    calibration.write_text("")
    with pytest.raises(ValueError, match=r"camera\.calibration: no camera"):
        list(read_mpi_inf_3dhp(tmp_path))
    calibration.unlink()
    with pytest.raises(FileNotFoundError):
        list(read_mpi_inf_3dhp(tmp_path))
    calibration.write_text(text)
    savemat(place / "annot.mat", {"annot2": np.zeros((3, 5))})
    with pytest.raises(ValueError, match=r"annot\.mat: not an annotation"):
        list(read_mpi_inf_3dhp(tmp_path))
    (place / "annot.mat").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"annot\.mat: not an annotation"):
        list(read_mpi_inf_3dhp(tmp_path))
    test = write_test(tmp_path) / "annot_data.mat"
    test.write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"annot_data\.mat: not a test annotation"):
        list(read_mpi_inf_3dhp(tmp_path, "val"))
