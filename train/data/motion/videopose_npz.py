"""Human3.6M and HumanEva-I in the form that VideoPose3D's preparation gives them (Pavllo et al., CVPR 2019).

    data_3d_h36m.npz         positions_3d[subject][action]        (T, 32 or 17, 3) metres, world axes, z up
    data_2d_h36m_gt.npz      positions_2d[subject][action][view]  (T, J, 2) pixels: the true joints, projected
    data_2d_h36m_*.npz       the same of detections, e.g. cpn_ft_h36m_dbb; a third column is a score

Both are dictionaries and so pickled; they are read by `npz_objects`, which takes nothing but arrays. The
files hold no cameras: each is found again from the `gt` file, whose joints are exact projections of the 3D file's, or
comes from a JSON file of the user's (`calibrate`). Known layouts of 2D joints: h36m, coco, mpii, humaneva15.

Human3.6M's lens halves the cross terms of OpenCV's tangential distortion, which a tilt of the camera by 0.2 degrees
makes good: found cameras project to 0.04 px, but lie 1 to 2 cm beside the published ones; poses differ by 1 mm.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engines.skeletons import H36M17
from train.data.motion.calibrate import recover_camera
from train.data.motion.layouts import HUMANEVA15, LAYOUTS, as_h36m17, copied, seen_as_h36m17
from train.data.motion.mocap import Float
from train.data.motion.named_joints import nose
from train.data.motion.npz_objects import read_object
from train.data.motion.rigs import Camera
from train.data.motion.room import RoomClip, View

Clips = dict[str, dict[str, Any]]  # [subject][action]

FPS = {"h36m": 50.0, "humaneva15": 60.0}
SIZES_WH = {"h36m": ((1000, 1002), (1000, 1000), (1000, 1000), (1000, 1002)), "humaneva15": ((640, 480),) * 3}
SPLITS = {
    "h36m": {"train": ("S1", "S5", "S6", "S7", "S8"), "val": ("S9", "S11")},
    "humaneva15": {"train": ("Train/S1", "Train/S2", "Train/S3"), "val": ("Validate/S1", "Validate/S2", "Validate/S3")},
}
MOVING_32 = (0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27)  # of Human3.6M's 32 joints: H36M17
MOST_MISSING = 25  # frames that detections may be shorter than the motion


def read_videopose(
    path_3d: Path,
    path_2d: Path | None = None,
    split: str = "all",
    cameras: Mapping[str, Sequence[Camera]] | None = None,
    views: bool = True,
) -> Iterator[RoomClip]:
    """Read clips, as every camera saw them.

    Args:
        path_3d: data_3d_h36m.npz or data_3d_humaneva15.npz.
        path_2d: What the views hold; None for the `gt` file beside the 3D file. Without both, clips have no views.
        split: "train", "val" (the subjects that all papers use) or "all".
        cameras: Cameras of each subject; None to find them with the `gt` file.
        views: False for the motion alone, which is fast.

    Raises:
        FileNotFoundError: If a file that is named, or the `gt` file that is needed, is not there.
        ValueError: If a file is none of these, or they do not belong together; names the file and what is wrong.
    """
    dataset, motion = read_3d(path_3d)
    wanted = SPLITS[dataset].get(split, tuple(motion)) if split in ("train", "val", "all") else ()
    subjects = [s for s in motion if s in wanted]
    if not subjects:
        raise ValueError(f"{path_3d}: no subject of split {split!r}; it has {', '.join(motion)}")
    truth = gt_path(path_3d)
    seen_path = (path_2d or (truth if truth.exists() else None)) if views else None
    seen, layout = read_2d(seen_path) if seen_path else ({}, "")
    if seen_path and cameras is None:
        cameras = find_cameras(path_3d, truth, subjects)
    for subject in subjects:
        for action, world_m in motion[subject].items():
            shown: tuple[View, ...] = ()
            if seen_path:
                where = f"{seen_path}: {subject} {action}"
                shots = seen.get(subject, {}).get(action)
                if shots is None:
                    raise ValueError(f"{where} is missing")
                shown = _views(where, world_m, shots, layout, (cameras or {}).get(subject, ()))
            frames = len(shown[0].xyz_m) if shown else len(world_m)
            yield RoomClip(f"{subject}/{action}", subject, action, FPS[dataset], world_m[:frames], shown)


def read_3d(path: Path) -> tuple[str, dict[str, dict[str, Float]]]:
    """Return "h36m" or "humaneva15", and the H36M17 joints [subject][action] (T, 17, 3), world metres, z up.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is none of the two.
    """
    clips = _dictionary(path, "positions_3d")
    joints = {a.shape[1:] for actions in clips.values() for a in actions.values()}
    if joints in ({(32, 3)}, {(17, 3)}):
        rows = list(MOVING_32) if joints == {(32, 3)} else list(range(17))
        return "h36m", {s: {n: a[:, rows].astype(np.float32) for n, a in c.items()} for s, c in clips.items()}
    if joints == {(15, 3)}:
        return "humaneva15", {s: {n: _humaneva_pose(a) for n, a in c.items()} for s, c in clips.items()}
    raise ValueError(f"{path}: poses of shapes {sorted(joints)}, not of 32, 17 (Human3.6M) or 15 (HumanEva) joints")


def read_2d(path: Path) -> tuple[Clips, str]:
    """Return positions_2d[subject][action] (list of views) and the name of their joints' layout.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no file of 2D joints, or its layout is unknown.
    """
    clips, metadata = _dictionary(path, "positions_2d"), read_object(path, "metadata")
    count = metadata.get("num_joints")
    layout = metadata.get("layout_name", {15: "humaneva15", 16: "mpii", 17: "h36m"}.get(count, ""))
    if layout not in ("coco", *LAYOUTS):
        raise ValueError(f"{path}: unknown layout {layout!r} of {count} joints")
    return clips, layout


def gt_path(path_3d: Path) -> Path:
    """Return where VideoPose3D puts the true 2D joints of a 3D file."""
    return path_3d.with_name(path_3d.name.replace("data_3d_", "data_2d_").replace(".npz", "_gt.npz"))


def find_cameras(path_3d: Path, path_gt: Path, subjects: Sequence[str] | None = None) -> dict[str, tuple[Camera, ...]]:
    """Find the cameras of each subject from true 3D and 2D joints.

    Raises:
        FileNotFoundError: If one of the files is not there.
        ValueError: If they do not belong together.
    """
    dataset, motion = read_3d(path_3d)
    seen, layout = read_2d(path_gt)
    if layout == "coco":
        raise ValueError(f"{path_gt}: COCO's joints are not the motion's, they cannot tell where the cameras are")
    found: dict[str, tuple[Camera, ...]] = {}
    for subject in subjects or motion:
        shared = [a for a in motion[subject] if a in seen.get(subject, {})]
        if not shared:
            raise ValueError(f"{path_gt}: nothing of {subject}, whose cameras are wanted")
        cameras = []
        for view, size_wh in enumerate(SIZES_WH[dataset][: len(seen[subject][shared[0]])]):
            shots = [(motion[subject][action], seen[subject][action][view]) for action in shared]
            name = f"{path_gt}: camera {view} of {subject}"
            cameras.append(recover_camera(*_correspondences(shots, layout), size_wh, name))
        found[subject] = tuple(cameras)
    return found


def _correspondences(shots: Sequence[tuple[Float, npt.NDArray[np.floating]]], layout: str) -> tuple[Float, Float]:
    """Return points (N, 3) and where one camera saw them (N, 2), of all its clips' (T, 17, 3) and (T, J, 2)."""
    world, pixels = [], []
    for world_m, shot in shots:
        xy_px, score = seen_as_h36m17(shot, layout)
        frames = min(len(xy_px), len(world_m))
        measured = (score[:frames] > 0) & copied(LAYOUTS[layout])
        world.append(world_m[:frames][measured])
        pixels.append(xy_px[:frames][measured])
    return np.concatenate(world), np.concatenate(pixels)


def _dictionary(path: Path, key: str) -> Clips:
    clips = read_object(path, key)
    if not isinstance(clips, dict) or not clips or not all(isinstance(c, dict) for c in clips.values()):
        raise ValueError(f"{path}: {key!r} is not a dictionary of subjects and actions")
    return clips


def _views(
    where: str, world_m: Float, shots: Sequence[npt.NDArray[np.floating]], layout: str, cameras: Sequence[Camera]
) -> tuple[View, ...]:
    """Return the views of a clip, all cut to the shortest: some videos have a few frames more."""
    if len(shots) != len(cameras):
        raise ValueError(f"{where} has {len(shots)} views, but there are {len(cameras)} cameras")
    seen = [seen_as_h36m17(shot, layout) for shot in shots]
    frames = min(len(world_m), *(len(xy) for xy, _ in seen))
    if frames < len(world_m) - MOST_MISSING:
        raise ValueError(f"{where} has {frames} frames of {len(world_m)}")
    camera_m = [c.to_camera(world_m[:frames]).astype(np.float32) for c in cameras]
    parts = zip(cameras, camera_m, seen, strict=True)
    return tuple(View(c, xyz_m, xy[:frames], score[:frames]) for c, xyz_m, (xy, score) in parts)


def _humaneva_pose(world_m: npt.NDArray[np.floating]) -> Float:
    """Return H36M17 of (T, 15, 3); the nose is put in front of the neck, square to the shoulders."""
    out = as_h36m17(world_m, HUMANEVA15)
    at = {joint: out[:, H36M17.index(joint)].astype(np.float64) for joint in H36M17.joints}
    face = np.cross(at["thorax"] - at["pelvis"], at["right_shoulder"] - at["left_shoulder"])
    out[:, H36M17.index("nose")] = nose(at["thorax"], at["head_top"], face)
    return out
