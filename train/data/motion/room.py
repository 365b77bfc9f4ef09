"""Clips of the motion pack as a room full of fixed cameras films them: the laboratory of the lifting experiments.

What Human3.6M is to the papers, this is to our tables: people whose 3D joints are known, seen by one rig, with the true
2D joints or with what a detector would say.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from train.data.motion.mocap import STATURE_M, Float, Motion, load_motion, resample
from train.data.motion.noise2d import biased, detector_like
from train.data.motion.rigs import Camera
from train.errors import reading

IDLE_SHARE = 0.12  # of the frames: people merely standing ("reactidle")
REACH_M = 2.2  # a pelvis nearer to the middle of the room rig than this is a person whom all four cameras see whole
NEAREST_M = 0.1
BATCH = 48  # sequences that get their noise together


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """What one camera saw of one clip.

    Attributes:
        camera: The camera.
        xyz_m: (T, 17, 3) float32 H36M17 joints in camera axes (x right, y down, z forward), absolute.
        xy_px: (T, 17, 2) float32; meaningless where the score is 0.
        score: (T, 17) float32, 0..1.
    """

    camera: Camera
    xyz_m: Float
    xy_px: Float
    score: Float


@dataclass(frozen=True, slots=True, eq=False)
class RoomClip:
    """One clip of one person, seen by every camera of a rig at the same moments.

    Attributes:
        name: Its name in the data set.
        subject: Who moves; splits go by it.
        action: What is done.
        fps: Frames per second.
        world_m: (T, 17, 3) float32 H36M17 joints in world axes (z up), NaN where a data set has no such joint.
        views: One per camera.
    """

    name: str
    subject: str
    action: str
    fps: float
    world_m: Float
    views: tuple[View, ...]


def room_clips(
    folder: Path, split: str, rig: Sequence[Camera], fps: float = 30.0, detector_seed: int | None = None
) -> list[RoomClip]:
    """Film the motion pack; the same arguments always give the same clips.

    The middle of each person's path lies in the middle of the rig; where a long walk would leave the pictures, its
    longest piece inside is kept. The long recordings of people merely standing are
    cut to their middle parts, so that they make up 12 % of the frames.

    Args:
        folder: Where motion.npz lies.
        split: "train" or "val"; subjects do not mix.
        rig: The cameras.
        fps: Frame rate of the clips.
        detector_seed: None for the true 2D joints with score 1; else the seed of imitated detections.

    Raises:
        DataError: If there is no motion.npz, or it has no clip of the split.
    """
    with reading():
        motion = load_motion(folder, split)
    with np.load(folder / "motion.npz") as pack:
        rows = np.flatnonzero(pack["split"] == split)
        idle = pack["rig"][rows] == "reactidle"
        names, subjects, actions = (pack[key][rows] for key in ("clip_name", "subject", "action"))
    seconds = _seconds(motion, idle, fps)
    clips = []
    for c, times in enumerate(seconds):
        world_m = _within_reach(centred(resample(motion, np.array([c]), times[None])[0]))
        views = tuple(seen(camera, world_m) for camera in rig)
        clips.append(RoomClip(str(names[c]), str(subjects[c]), str(actions[c]), float(fps), world_m, views))
    return clips if detector_seed is None else detected(clips, detector_seed)


def seen(camera: Camera, world_m: Float) -> View:
    """Return what a perfect detector says of (T, 17, 3) joints of the world: the projections, score 1."""
    camera_m = camera.to_camera(world_m)
    xy_px = camera.project(camera_m).astype(np.float32)
    return View(camera, camera_m.astype(np.float32), xy_px, np.ones(xy_px.shape[:2], np.float32))


def detected(clips: Sequence[RoomClip], seed: int) -> list[RoomClip]:
    """Return the clips with imitated detections in place of the true 2D joints (see `train.data.motion.noise2d`).

    Every view has a detector of its own: its bias, level, calibration and lapses are drawn once for the clip.
    """
    shots = [(c, v) for c, clip in enumerate(clips) for v in range(len(clip.views))]
    shots.sort(key=lambda at: len(clips[at[0]].world_m))  # sequences of a batch are padded to the longest
    views = [list(clip.views) for clip in clips]
    for number, first in enumerate(range(0, len(shots), BATCH)):
        rows = shots[first : first + BATCH]
        batch = [clips[c].views[v] for c, v in rows]
        rng = np.random.default_rng([seed, number])
        imitated = _imitate(batch, [clips[c].fps for c, _ in rows], rng)
        for (c, v), (xy_px, score) in zip(rows, imitated, strict=True):
            views[c][v] = replace(views[c][v], xy_px=xy_px, score=score)
    return [replace(clip, views=tuple(views[c])) for c, clip in enumerate(clips)]


def normalised(xy_px: npt.NDArray[np.floating], size_wh: tuple[int, int]) -> Float:
    """Return VideoPose3D's screen coordinates of (..., 2) pixels: the width to [-1, 1], the aspect ratio kept."""
    width, height = size_wh
    return (np.asarray(xy_px) * (2 / width) - np.array([1, height / width])).astype(np.float32)


def _seconds(motion: Motion, idle: npt.NDArray[np.bool_], fps: float) -> list[npt.NDArray[np.float64]]:
    """Return the times within each clip at which it is seen; of the idle clips only the middle."""
    whole = (np.diff(motion.clip_start) - 1) / motion.fps.astype(np.float64)
    lasts = whole.copy()
    if idle.any() and not idle.all():
        fair = IDLE_SHARE / (1 - IDLE_SHARE) * whole[~idle].sum()
        lasts[idle] *= min(1.0, fair / whole[idle].sum())
    return [
        (all_s - used_s) / 2 + np.arange(int(used_s * fps + 1e-6) + 1) / fps
        for all_s, used_s in zip(whole, lasts, strict=True)
    ]


def centred(world_m: Float) -> Float:
    """Move a clip so that the box of the pelvis' path is centred on the origin; heights stay."""
    path = world_m[:, 0, :2]
    off = np.append((path.min(0) + path.max(0)) / 2, 0)
    return (world_m - off).astype(np.float32)


def _within_reach(world_m: Float) -> Float:
    """Cut a clip to its longest piece in which the pelvis is less than REACH_M from the origin."""
    outside = np.flatnonzero(np.linalg.norm(world_m[:, 0, :2], axis=-1) >= REACH_M)
    edges = np.concatenate([[-1], outside, [len(world_m)]])
    longest = int(np.diff(edges).argmax())
    return world_m[edges[longest] + 1 : edges[longest + 1]]


def _imitate(views: Sequence[View], fps: Iterable[float], rng: np.random.Generator) -> list[tuple[Float, Float]]:
    """Return xy_px and score of each view as a detector might give them."""
    lengths = [len(view.xyz_m) for view in views]
    longest = max(lengths)
    padded = np.stack([np.pad(v.xyz_m, ((0, longest - len(v.xyz_m)), (0, 0), (0, 0)), mode="edge") for v in views])
    wrong_m = biased(padded, rng)
    wrong_m[..., 2] = np.maximum(wrong_m[..., 2], NEAREST_M)
    half_wh = np.array([v.camera.size_wh for v in views], np.float32) / 2
    picture = np.stack([v.camera.project(m) for v, m in zip(views, wrong_m, strict=True)]).astype(np.float32)
    focal = np.array([v.camera.focal_px.mean() for v in views], np.float32)
    size = focal[:, None] * np.float32(STATURE_M) / np.maximum(padded[:, :, 0, 2], NEAREST_M)
    dt_s = np.repeat(1 / np.array(list(fps), np.float32)[:, None], longest, 1)
    dt_s[:, 0] = 0
    xy, score = detector_like(picture - half_wh[:, None, None], size, dt_s, half_wh, rng)
    xy += half_wh[:, None, None]
    return [(xy[i, :n].copy(), score[i, :n].copy()) for i, n in enumerate(lengths)]
