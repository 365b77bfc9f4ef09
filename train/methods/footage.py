"""Clips of the room as tensors: what the methods of this folder draw their batches from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from train.data.motion.rigs import Camera, room_rig
from train.data.motion.room import RoomClip, normalised, room_clips
from train.methods.projection import lens_screen

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Footage:
    """All frames of some clips, one after the other, as every camera of one rig saw them.

    Attributes:
        screen: (V, N, 17, 2) float32 joints on VideoPose3D's screen; 0 where the score is 0.
        score: (V, N, 17) float32 confidences 0..1.
        xyz_m: (V, N, 17, 3) float32 the truth in each camera's axes, absolute.
        lens: (V, 9) float32, see `projection.lens_screen`.
        begin, end: (N,) the frames of the clip that each frame belongs to: begin <= n < end.
        subject: (N,) whose motion it is.
        cameras: The V cameras.
    """

    screen: Tensor
    score: Tensor
    xyz_m: Tensor
    lens: Tensor
    begin: Rows
    end: Rows
    subject: npt.NDArray[np.str_]
    cameras: tuple[Camera, ...]

    def views(self, chosen: Sequence[int]) -> Footage:
        """Return the footage of some of the cameras only."""
        rows = list(chosen)
        parts = (a[rows] for a in (self.screen, self.score, self.xyz_m, self.lens))
        return Footage(*parts, self.begin, self.end, self.subject, tuple(self.cameras[v] for v in rows))


def both_splits(
    folder: Path, rig: Sequence[Camera], fps: float, detector_seed: int | None = None
) -> tuple[Footage, Footage]:
    """Film the motion pack for a recipe: the train split by its rig, the val split by the room's cameras.

    Args:
        folder: Where motion.npz lies.
        rig: Cameras to train with.
        fps: Frames per second.
        detector_seed: None for the true 2D joints; else the seed of imitated detections, another one for val.
    """
    val_seed = None if detector_seed is None else detector_seed + 1
    return (
        footage(room_clips(folder, "train", rig, fps, detector_seed)),
        footage(room_clips(folder, "val", room_rig(), fps, val_seed)),
    )


def footage(clips: Sequence[RoomClip], every: int = 1) -> Footage:
    """Stack clips that one rig filmed; with `every` only each so-many-th frame of a clip.

    Raises:
        ValueError: If there is no clip, or the clips have different cameras.
    """
    if not clips:
        raise ValueError("no clips")
    cameras = tuple(view.camera for view in clips[0].views)
    if any(tuple(v.camera for v in clip.views) != cameras for clip in clips):
        raise ValueError("clips of different rigs cannot be one footage")
    lengths = np.array([len(clip.world_m[::every]) for clip in clips])
    start = np.concatenate([[0], np.cumsum(lengths)])
    score = _stacked(clips, "score", every)
    screen = torch.stack([torch.from_numpy(normalised(xy, c.size_wh)).float() for xy, c in _pixels(clips, every)])
    return Footage(
        torch.where((score > 0).unsqueeze(-1), screen, torch.zeros_like(screen)),
        score,
        _stacked(clips, "xyz_m", every),
        torch.stack([lens_screen(c) for c in cameras]),
        np.repeat(start[:-1], lengths),
        np.repeat(start[1:], lengths),
        np.repeat(np.array([clip.subject for clip in clips]), lengths),
        cameras,
    )


def _stacked(clips: Sequence[RoomClip], name: str, every: int) -> Tensor:
    views = range(len(clips[0].views))
    return torch.from_numpy(
        np.stack([np.concatenate([getattr(c.views[v], name)[::every] for c in clips]) for v in views])
    ).float()


def _pixels(clips: Sequence[RoomClip], every: int) -> list[tuple[npt.NDArray[np.float32], Camera]]:
    views = range(len(clips[0].views))
    return [(np.concatenate([c.views[v].xy_px[::every] for c in clips]), clips[0].views[v].camera) for v in views]


def windows(shots: Footage, view: Rows, frame: Rows, before: int, after: int) -> Tensor:
    """Cut (B, before + 1 + after, 17, 2) screens round frames; beyond a clip's ends its edge frame is repeated."""
    at = frame[:, None] + np.arange(-before, after + 1)
    at = np.clip(at, shots.begin[frame, None], shots.end[frame, None] - 1)
    return shots.screen[torch.from_numpy(view[:, None]), torch.from_numpy(at)]
