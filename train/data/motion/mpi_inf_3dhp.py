"""MPI-INF-3DHP as its authors publish it (Mehta et al., 3DV 2017).

    S1..S8/Seq1..Seq2/annot.mat            cells of 14 cameras: annot2 (T, 56) px, annot3 and univ_annot3 (T, 84) mm,
                                           in the axes of each camera; 28 joints
    S1..S8/Seq1..Seq2/camera.calibration   14 cameras: size, intrinsic and extrinsic 4x4, row by row; no distortion
    TS1..TS6/annot_data.mat                MATLAB 7.3: annot2, annot3, univ_annot3 (T, 1, 17, 2 or 3), valid_frame

The test set may also lie in mpi_inf_3dhp_test_set/. Its camera is found from the joints; as it has no extrinsics, its
world is the camera's, tilt included. Axes are exchanged so that people stand along z, with the floor at their feet.
"annot3" is the motion as measured; "univ_annot3", which papers report errors on, is scaled to one size of person and
then no longer projects to annot2.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engines.skeletons import H36M17
from train.data.motion.layouts import MPI17, MPI28, as_h36m17
from train.data.motion.mocap import Float
from train.data.motion.named_joints import FLOOR_M, upright_axes
from train.data.motion.rigs import Camera, Double
from train.data.motion.room import RoomClip, View

CHEST_CAMERAS = (0, 2, 4, 7, 8)  # the five at the height of the chest, which most papers train on
FAST = {("S1", "Seq2"), ("S3", "Seq1"), ("S3", "Seq2"), ("S5", "Seq1"), ("S5", "Seq2")}  # 50 frames/s; others 25
TEST_FPS = 25.0
WIDE_TESTS = ("TS5", "TS6")  # outdoors, 1920x1080; the others 2048x2048
ANKLE_M = 0.08  # of the ankle above the floor


@dataclass(frozen=True)
class _Scene:
    """One recording in the axes of its cameras: xyz_m (T, 17, 3) and xy_px (T, 17, 2) of each."""

    cameras: tuple[Camera, ...]
    xyz_m: tuple[Float, ...]
    xy_px: tuple[Float, ...]


def read_mpi_inf_3dhp(
    folder: Path, split: str = "all", cameras: Sequence[int] = CHEST_CAMERAS, annotation: str = "annot3"
) -> Iterator[RoomClip]:
    """Read the recordings below a folder.

    Args:
        folder: Where S1, S2, ... and TS1, ... (or mpi_inf_3dhp_test_set) lie; not all need to be there.
        split: "train" (S*), "val" (TS*) or "all".
        cameras: Which of the 14 cameras of the training set.
        annotation: "annot3" or "univ_annot3".

    Raises:
        FileNotFoundError: If a recording lacks its camera.calibration.
        ValueError: If there is no recording, or a file is damaged; names it and what is wrong.
    """
    if annotation not in ("annot3", "univ_annot3"):
        raise ValueError(f"annotation must be annot3 or univ_annot3, not {annotation!r}")
    train = sorted(folder.glob("S*/Seq*/annot.mat")) if split in ("train", "all") else []
    tests = sorted([*folder.glob("TS*/annot_data.mat"), *folder.glob("mpi_inf_3dhp_test_set/TS*/annot_data.mat")])
    if split not in ("val", "all"):
        tests = []
    if not train and not tests:
        raise ValueError(f"{folder}: no S*/Seq*/annot.mat or TS*/annot_data.mat of split {split!r}")
    for path in train:
        yield _training_clip(path, cameras, annotation)
    for path in tests:
        yield _test_clip(path, annotation)


def read_calibration(path: Path) -> tuple[Camera, ...]:
    """Read the cameras of a camera.calibration file; the world is the file's, in metres.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not such a file.
    """
    text = path.read_text(errors="replace")
    blocks = re.split(r"^\s*name\s+\S+\s*$", text, flags=re.MULTILINE)[1:]
    cameras = []
    for number, block in enumerate(blocks):
        rows = {row[0]: row[1:] for line in block.splitlines() if (row := line.split())}
        try:
            width, height = (int(float(v)) for v in rows["size"])
            inner, outer = (np.array(rows[k], np.float64).reshape(4, 4) for k in ("intrinsic", "extrinsic"))
            rotation = outer[:3, :3]
            at_m = -rotation.T @ outer[:3, 3] / 1000
            cameras.append(Camera(rotation, at_m, (width, height), np.diag(inner)[:2], inner[:2, 2]))
        except (KeyError, ValueError) as error:
            raise ValueError(f"{path}: camera {number} is damaged ({error})") from error
    if not cameras:
        raise ValueError(f"{path}: no camera in it")
    return tuple(cameras)


def _training_clip(path: Path, chosen: Sequence[int], annotation: str) -> RoomClip:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    subject, sequence = path.parts[-3:-1]
    rig = read_calibration(path.parent / "camera.calibration")
    try:
        read = loadmat(path, variable_names=["annot2", annotation])
        cells = {name: [_joints(read[name][c, 0], 28) for c in chosen] for name in ("annot2", annotation)}
    except (KeyError, IndexError, TypeError, ValueError, NotImplementedError, MatReadError) as error:
        raise ValueError(f"{path}: not an annotation of MPI-INF-3DHP ({error})") from error
    if max(chosen) >= len(rig):
        raise ValueError(f"{path.parent / 'camera.calibration'}: {len(rig)} cameras, number {max(chosen)} is wanted")
    frames = min(len(a) for part in cells.values() for a in part)
    xyz_m = tuple(as_h36m17(a[:frames] / 1000, MPI28) for a in cells[annotation])
    xy_px = tuple(as_h36m17(a[:frames], MPI28) for a in cells["annot2"])
    scene = _Scene(tuple(rig[c] for c in chosen), xyz_m, xy_px)
    fps = 50.0 if (subject, sequence) in FAST else 25.0
    return _clip(f"{subject}/{sequence}", subject, sequence, fps, scene, np.ones(frames, np.bool_))


def _test_clip(path: Path, annotation: str) -> RoomClip:
    import h5py

    subject = path.parent.name
    try:
        with h5py.File(path) as file:
            xyz = np.asarray(file[annotation], np.float64).reshape(-1, 17, 3)
            xy = np.asarray(file["annot2"], np.float64).reshape(-1, 17, 2)
            measured = np.asarray(file["annot3"], np.float64).reshape(-1, 17, 3)
            valid = np.asarray(file["valid_frame"]).reshape(-1) > 0
    except (OSError, KeyError, ValueError) as error:
        raise ValueError(f"{path}: not a test annotation of MPI-INF-3DHP ({error})") from error
    if not len(xyz) == len(xy) == len(valid) or not valid.any():
        raise ValueError(f"{path}: {len(xyz)} poses, {len(xy)} pictures, {int(valid.sum())} valid frames")
    size_wh = (1920, 1080) if subject in WIDE_TESTS else (2048, 2048)
    camera = _pinhole(measured[valid], xy[valid], size_wh)
    scene = _Scene((camera,), (as_h36m17(xyz / 1000, MPI17),), (as_h36m17(xy, MPI17),))
    return _clip(subject, subject, subject, TEST_FPS, scene, valid)


def _clip(name: str, subject: str, action: str, fps: float, scene: _Scene, valid: npt.NDArray[np.bool_]) -> RoomClip:
    """Stand the world upright and put the parts together; frames that are not valid get score 0."""
    world_m = scene.cameras[0].to_world(scene.xyz_m[0])
    at = [H36M17.index(joint) for joint in ("thorax", "pelvis", "left_ankle", "right_ankle")]
    axes = upright_axes((world_m[:, at[0]] - world_m[:, at[1]])[valid])
    upright = world_m @ axes.T
    lift = np.array([0, 0, ANKLE_M + FLOOR_M - np.percentile(upright[valid][:, at[2:], 2].min(1), 2)])
    score = np.repeat(valid[:, None], 17, 1).astype(np.float32)
    views = tuple(
        View(replace(c, rotation=c.rotation @ axes.T, position_m=axes @ c.position_m + lift), xyz_m, xy_px, score)
        for c, xyz_m, xy_px in zip(scene.cameras, scene.xyz_m, scene.xy_px, strict=True)
    )
    return RoomClip(name, subject, action, fps, (upright + lift).astype(np.float32), views)


def _joints(cell: npt.NDArray[np.floating], joints: int) -> Double:
    """Return (T, joints, 2 or 3) of a cell's (T, joints * 2 or 3)."""
    cell = np.asarray(cell, np.float64)
    return cell.reshape(len(cell), joints, -1)


def _pinhole(camera_mm: Double, xy_px: Double, size_wh: tuple[int, int]) -> Camera:
    """Return the camera at the origin that projects points in its own axes to pixels, by least squares."""
    ray = (camera_mm[..., :2] / camera_mm[..., 2:]).reshape(-1, 2)
    fits = [np.polyfit(ray[:, i], xy_px.reshape(-1, 2)[:, i], 1) for i in range(2)]
    focal, centre = np.array(fits).T
    return Camera(np.eye(3), np.zeros(3), size_wh, focal, centre)
