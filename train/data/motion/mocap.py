"""Motion capture as training material: clips by split, resampled, mirrored, and given other bodies.

World axes: x right, y forward, z up, metres; people face any way, the floor is at z = 0.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engines.skeletons import H36M17
from train.data.motion.limbs import exchanged

Float = npt.NDArray[np.float32]

DATA_VARIABLE = "POSESTREAM_DATA"
STATURE_M = 1.65  # floor to crown of the pack's average person
COMMON_FPS = (15.0, 24.0, 25.0, 30.0, 30.0, 30.0, 50.0, 60.0)

# bones that grow together, by their child joint: hips, thighs, shins, trunk, head, shoulders, upper arms, forearms
BONE_GROUPS = ((1, 4), (2, 5), (3, 6), (7, 8), (9, 10), (11, 14), (12, 15), (13, 16))


@dataclass(frozen=True)
class Motion:
    """Clips of one skeleton, one after the other.

    Attributes:
        xyz_m: (N, 17, 3) float32 joints in world axes.
        clip_start: (C + 1,) clip c is frames clip_start[c]:clip_start[c + 1].
        fps: (C,) frames per second.
        weight: (C,) share of the samples that a clip should get; they sum to 1.
    """

    xyz_m: Float
    clip_start: npt.NDArray[np.int64]
    fps: Float
    weight: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Take:
    """A batch of moving people.

    Attributes:
        xyz_m: (B, T, 17, 3) float32 in world axes.
        dt_s: (B, T) float32 seconds since the frame before; 0 for the first.
        stature_m: (B,) float32 rough height of the person.
    """

    xyz_m: Float
    dt_s: Float
    stature_m: Float


def data_root() -> Path:
    """Return the folder of the data packs: $POSESTREAM_DATA, else ../shared/data."""
    return Path(os.environ.get(DATA_VARIABLE, "../shared/data"))


def load_motion(folder: Path, split: str, idle_share: float = 0.12) -> Motion:
    """Read motion.npz.

    Args:
        folder: Where motion.npz lies.
        split: "train" or "val"; subjects do not mix.
        idle_share: Share of the samples that the clips of people merely standing ("reactidle") get.

    Raises:
        FileNotFoundError: If there is no motion.npz.
        ValueError: If the split has no clip.
    """
    with np.load(folder / "motion.npz") as pack:
        clips = np.flatnonzero(pack["split"] == split)
        if not len(clips):
            raise ValueError(f"{folder / 'motion.npz'} has no clip of split {split!r}")
        starts, root, joints = pack["clip_start"], pack["root_m"], pack["joints_mm10"]
        frames = np.concatenate([np.arange(starts[c], starts[c + 1]) for c in clips])
        xyz_m = root[frames, None] + joints[frames, :17] * np.float32(1e-4)
        lengths, fps = np.diff(starts)[clips], pack["fps"][clips].astype(np.float32)
        idle = pack["rig"][clips] == "reactidle"
    weight = lengths / fps.astype(np.float64)
    for rows, share in ((idle, idle_share), (~idle, 1 - idle_share)):
        if rows.any():
            weight[rows] *= (share if idle.any() and not idle.all() else 1.0) / weight[rows].sum()
    start = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Motion(xyz_m.astype(np.float32), start, fps, weight / weight.sum())


def sample_takes(motion: Motion, rng: np.random.Generator, people: int, length: int) -> Take:
    """Draw random motion with random frame rate (15..60 Hz, some uneven), speed, side and body, others' limbs."""
    even = rng.choice(COMMON_FPS, people)
    fps = np.where(rng.random(people) < 0.6, even, rng.uniform(15, 60, people))
    dt_s = np.repeat(1 / fps[:, None], length, 1)
    uneven = rng.random((people, 1)) < 0.4
    dt_s *= np.where(uneven, np.exp(rng.normal(0, 0.12, dt_s.shape)), 1)
    late = (rng.random(dt_s.shape) < 0.06) & (rng.random((people, 1)) < 0.3)  # frames that a live source dropped
    dt_s = np.minimum(dt_s * np.where(late, rng.integers(2, 5, dt_s.shape), 1), 0.3)
    dt_s[:, 0] = 0
    speed = rng.uniform(0.8, 1.2, (people, 1))
    seconds = np.cumsum(dt_s * speed, 1)
    xyz_m = exchanged(_stretches(motion, rng, seconds), _stretches(motion, rng, seconds), rng)
    size = rng.uniform(0.85, 1.1, people)
    groups = rng.uniform(0.9, 1.1, (people, len(BONE_GROUPS)))
    xyz_m = rebuilt(xyz_m, (groups * size[:, None]).astype(np.float32))
    return Take(xyz_m, dt_s.astype(np.float32), (STATURE_M * size).astype(np.float32))


def _stretches(motion: Motion, rng: np.random.Generator, seconds: npt.NDArray[np.float64]) -> Float:
    """Return (B, T, 17, 3) stretches of random clips, half of them mirrored, at times (B, T) from random beginnings."""
    people = len(seconds)
    clips = rng.choice(len(motion.fps), people, p=motion.weight)
    whole = np.diff(motion.clip_start)[clips] / motion.fps[clips]
    begin = rng.random(people) * np.maximum(whole - seconds[:, -1], 0)
    begin += np.where(whole < seconds[:, -1], rng.random(people) * whole, 0)
    xyz_m = resample(motion, clips, begin[:, None] + seconds)
    swapped = rng.random(people) < 0.5
    xyz_m[swapped] = mirrored(xyz_m[swapped])
    return xyz_m


def even_takes(motion: Motion, length: int, fps: float, clips: Iterator[int] | range) -> Take:
    """Cut the beginning of each given clip at an even frame rate, as it is: for evaluation.

    Clips that are too short run back and forth.
    """
    rows = np.asarray(list(clips))
    seconds = np.repeat((np.arange(length) / fps)[None], len(rows), 0)
    dt_s = np.full((len(rows), length), 1 / fps, np.float32)
    dt_s[:, 0] = 0
    return Take(resample(motion, rows, seconds), dt_s, np.full(len(rows), STATURE_M, np.float32))


def resample(motion: Motion, clips: npt.NDArray[np.int64], seconds: npt.NDArray[np.float64]) -> Float:
    """Interpolate clips at any times; past the end a clip runs backwards.

    Args:
        motion: The clips.
        clips: (B,) clip numbers.
        seconds: (B, T) times since each clip's start.

    Returns:
        (B, T, 17, 3) float32.
    """
    last = (np.diff(motion.clip_start)[clips] - 1)[:, None]
    at = seconds * motion.fps[clips, None]
    at = last - np.abs(at % (2 * last) - last)  # there and back again
    low = np.minimum(at.astype(np.int64), last - 1)
    share = (at - low).astype(np.float32)[..., None, None]
    first = motion.clip_start[clips, None] + low
    return motion.xyz_m[first] * (1 - share) + motion.xyz_m[first + 1] * share


def mirrored(xyz_m: Float) -> Float:
    """Return the mirror image (..., 17, 3): x negated, left and right exchanged."""
    return xyz_m[..., list(H36M17.mirror), :] * np.array([-1, 1, 1], np.float32)


def rebuilt(xyz_m: Float, groups: Float) -> Float:
    """Scale the bones and put the body together again; the pelvis' path grows with the legs.

    Args:
        xyz_m: (B, T, 17, 3) world joints.
        groups: (B, 8) factor for each of BONE_GROUPS.
    """
    factor = np.ones((len(xyz_m), 17), np.float32)
    for column, joints in enumerate(BONE_GROUPS):
        factor[:, joints] = groups[:, column, None]
    legs = groups[:, 1:3].mean(1)
    out = np.empty_like(xyz_m)
    out[:, :, 0] = xyz_m[:, :, 0] * legs[:, None, None]
    for parent, joint in H36M17.bones:
        out[:, :, joint] = out[:, :, parent] + (xyz_m[:, :, joint] - xyz_m[:, :, parent]) * factor[:, joint, None, None]
    return out
