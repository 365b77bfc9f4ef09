"""Our motion pack in the files that VideoPose3D's own code reads, filmed by that code's own Human3.6M cameras.

The people of the train split become S1, S5, S6, S7, S8, those of the val split S9 and S11: each slot has the four
cameras which that code hard-codes for it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from engines.skeletons import H36M17
from train.data.motion.limbs import exchanged
from train.data.motion.mocap import BONE_GROUPS, Float, rebuilt
from train.data.motion.rigs import Camera, room_rig
from train.data.motion.room import RoomClip, View, detected, normalised, room_clips, seen
from train.data.motion.windows import Track
from train.tasks.videopose import held

SLOTS = {"train": ("S1", "S5", "S6", "S7", "S8"), "val": ("S9", "S11")}
# where Human3.6M's 32 joints hold the 17 that VideoPose3D keeps, in H36M17's order
KEPT = (0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27)
LEFT, RIGHT = ([j for j, name in enumerate(H36M17.joints) if name.startswith(side)] for side in ("left_", "right_"))
ASK = (
    "import json, common.h36m_dataset as d;"
    "print(json.dumps([d.h36m_cameras_intrinsic_params, d.h36m_cameras_extrinsic_params]))"
)


@dataclass(frozen=True)
class Slot:
    """One clip in one of VideoPose3D's slots: its subject, the name of its action there, and what was filmed."""

    subject: str
    action: str
    clip: RoomClip


def cameras(checkout: Path) -> dict[str, tuple[Camera, ...]]:
    """Ask a checkout of VideoPose3D for its cameras: four for each subject that has any.

    Raises:
        RuntimeError: If the folder is no such checkout.
    """
    answer = subprocess.run([sys.executable, "-c", ASK], cwd=checkout, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise RuntimeError(
            f"{checkout} is not a checkout of VideoPose3D that runs here: {answer.stderr.strip()[-300:]}"
        )
    inner, outer = json.loads(answer.stdout)
    return {s: tuple(map(_camera, inner, places)) for s, places in outer.items() if all(places)}


def _camera(inner: dict[str, Any], outer: dict[str, Any]) -> Camera:
    p1, p2 = inner["tangential_distortion"]
    return Camera(
        rotation=_matrix(outer["orientation"]).T,  # it turns the camera's axes into the world's
        position_m=np.array(outer["translation"]) / 1000,
        size_wh=(inner["res_w"], inner["res_h"]),
        focal_px=np.array(inner["focal_length"]),
        centre_px=np.array(inner["center"]),
        radial=np.array(inner["radial_distortion"]),
        tangential=np.array([p2, p1]),  # Human3.6M's order is the other way round
    )


def _matrix(quaternion: Sequence[float]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the rotation matrix of a quaternion w, x, y, z."""
    w, x, y, z = np.array(quaternion) / np.linalg.norm(quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def filmed(
    folder: Path, checkout: Path, split: str, fps: float, every: int, most_s: float, noise_seed: int | None
) -> list[Slot]:
    """Film a split of the motion pack with VideoPose3D's cameras.

    Args:
        folder: Where motion.npz lies.
        checkout: Of VideoPose3D.
        split: "train" or "val".
        fps: Frame rate.
        every: Take every so-manyth clip.
        most_s: Longest piece of a clip, its middle.
        noise_seed: None for the true 2D joints; else the seed of the imitated detector.
    """
    rigs, slots, people = cameras(checkout), SLOTS[split], []
    out: list[Slot] = []
    for number, clip in enumerate(room_clips(folder, split, room_rig(), fps)[::every]):
        if clip.subject not in people:
            people.append(clip.subject)
        subject = slots[people.index(clip.subject) % len(slots)]
        spare = max(0, len(clip.world_m) - round(most_s * fps)) // 2
        world_m = clip.world_m[spare : len(clip.world_m) - spare]
        if len(world_m) < 2:
            continue
        views = tuple(seen(camera, world_m) for camera in rigs[subject])
        out.append(Slot(subject, f"{_word(clip.action)} {number}", replace(clip, world_m=world_m, views=views)))
    return out if noise_seed is None else detected_anew(out, noise_seed)


def detected_anew(slots: Sequence[Slot], noise_seed: int) -> list[Slot]:
    """Return the slots with other detections of the same people."""
    clips = detected([s.clip for s in slots], noise_seed)
    return [replace(s, clip=c) for s, c in zip(slots, clips, strict=True)]


def others(slots: Sequence[Slot], seed: int) -> list[Slot]:
    """Return the slots acted by other bodies, some with other people's limbs, before the same cameras, true 2D joints.

    What the shipped lifter's recipe does to its motion (`mocap.sample_takes`), with nothing but these clips.
    """
    rng, out = np.random.default_rng(seed), []
    for slot in slots:
        world_m = slot.clip.world_m
        donor = slots[rng.integers(len(slots))].clip.world_m
        there_and_back = np.concatenate([donor, donor[::-1]])
        limbs = there_and_back[(rng.integers(len(there_and_back)) + np.arange(len(world_m))) % len(there_and_back)]
        groups = rng.uniform(0.9, 1.1, (1, len(BONE_GROUPS))) * rng.uniform(0.85, 1.1)
        world_m = rebuilt(exchanged(world_m[None], limbs[None], rng), groups.astype(np.float32))[0]
        views = tuple(seen(view.camera, world_m) for view in slot.clip.views)
        out.append(replace(slot, clip=replace(slot.clip, world_m=world_m, views=views)))
    return out


def _word(action: str) -> str:
    """Return the first word of an action: "walk", "dance", "playground", ...: what errors are averaged by."""
    word = action.replace("/", " ").replace(",", " ").replace("-", " ").split()[0].lower()
    return "walk" if word in ("walking", "walking001", "slow", "normal") else word


def write_3d(path: Path, slots: Sequence[Slot]) -> None:
    """Write data_3d_h36m.npz: world joints in metres, the 15 joints that are thrown away left at 0."""
    out: dict[str, dict[str, Float]] = {}
    for slot in slots:
        joints = np.zeros((len(slot.clip.world_m), 32, 3), np.float32)
        joints[:, KEPT] = slot.clip.world_m
        out.setdefault(slot.subject, {})[slot.action] = joints
    np.savez_compressed(path, positions_3d=np.array(out, dtype=object))


def write_2d(path: Path, slots: Sequence[Slot]) -> None:
    """Write data_2d_h36m_NAME.npz: the joints of `screen_tracks` in pixels; that format has no confidence."""
    out: dict[str, dict[str, list[Float]]] = {}
    for slot in slots:
        out.setdefault(slot.subject, {})[slot.action] = [_pixels(_screen(v), v.camera.size_wh) for v in slot.clip.views]
    about = {"layout_name": "h36m", "num_joints": 17, "keypoints_symmetry": [LEFT, RIGHT]}
    np.savez_compressed(path, positions_2d=np.array(out, dtype=object), metadata=np.array(about, dtype=object))


def _screen(view: View) -> Float:
    """Return VideoPose3D's screen coordinates; missing joints are held, from the middle of the picture if need be."""
    return held(normalised(view.xy_px, view.camera.size_wh), view.score)


def _pixels(screen: Float, size_wh: tuple[int, int]) -> Float:
    width, height = size_wh
    return ((screen.astype(np.float64) + np.array([1, height / width])) * (width / 2)).astype(np.float32)


def screen_tracks(slots: Sequence[Slot]) -> list[Track]:
    """Return every view with VideoPose3D's screen coordinates, as its code sees them."""
    return [Track(_screen(v), v.score, v.xyz_m, s.action.split(" ")[0]) for s in slots for v in s.clip.views]


def ray_tracks(slots: Sequence[Slot]) -> list[Track]:
    """Return every view with ray coordinates as they are, scores beside them, as our lifters see them."""
    return [
        Track(
            ((v.xy_px - v.camera.centre_px) / v.camera.focal_px).astype(np.float32),
            v.score,
            v.xyz_m,
            s.action.split(" ")[0],
        )
        for s in slots
        for v in s.clip.views
    ]
