"""Any of the known forms of motion as what the lifter's recipe trains on.

    motion.npz, or the folder that holds it      our motion pack
    data_3d_h36m.npz, data_3d_humaneva15.npz     VideoPose3D's preparation
    a folder with S*/Seq*/annot.mat or TS*       MPI-INF-3DHP
    a .bvh file, or a folder of them             motion capture, any depth
    an .amc file, or a folder of them            motion capture; each finds its .asf beside it

Splits go by subject. BVH and AMC have none of their own: the subject is the folder that a file lies in, for names like
CMU's (07_01) the first number; every eighth subject, beginning with the first, is "val". Of a lone subject it is every
eighth file, of a lone file its last eighth: what was learnt of that person, not of people, is then measured.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from train.data.motion.amc import read_amc, read_asf
from train.data.motion.bvh import read_bvh
from train.data.motion.mocap import Motion, load_motion
from train.data.motion.mpi_inf_3dhp import read_mpi_inf_3dhp
from train.data.motion.named_joints import MotionClip, to_clip
from train.data.motion.room import RoomClip
from train.data.motion.videopose_npz import read_videopose
from train.errors import reading

EVERY = 8  # one subject, file or frame of so many is for validation
SHORTEST = 2  # frames


def load_any(path: Path, split: str = "train", unit_m: float | None = None, up: str = "auto") -> Motion:
    """Read motion in any known form.

    Args:
        path: See this module's description.
        split: "train" or "val"; subjects do not mix if there are several.
        unit_m: Metres per unit of BVH and AMC files; None to guess.
        up: Axis of BVH and AMC files that points up, or "auto".

    Raises:
        DataError: If there is nothing at the path, or it is none of the forms, damaged, or has nothing of the split.
    """
    with reading():
        if (path / "motion.npz").is_file() or path.name == "motion.npz":
            return load_motion(path if path.is_dir() else path.parent, split)
        return as_motion(read_clips(path, split, unit_m, up), f"{path}, split {split!r}")


def read_clips(path: Path, split: str = "train", unit_m: float | None = None, up: str = "auto") -> Iterator[MotionClip]:
    """Read the clips of any known form but the motion pack, see `load_any`."""
    if split not in ("train", "val"):
        raise ValueError(f"split must be train or val, not {split!r}")
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    if path.suffix == ".npz":
        yield from _motions(read_videopose(path, split=split, views=False))
    elif any(path.glob("S*/Seq*/annot.mat")) or any(path.glob("**/TS*/annot_data.mat")):
        yield from _motions(read_mpi_inf_3dhp(path, split, (0,)))
    else:
        train, val = captures(path, "train"), captures(path, "val")
        for file in train if split == "train" else val:
            clip = read_capture(file, unit_m, up)
            yield _piece(clip, split) if train == val else clip


def read_capture(path: Path, unit_m: float | None = None, up: str = "auto") -> MotionClip:
    """Read one .bvh or .amc file; an AMC's skeleton is the .asf of its name or subject, or the only one beside it.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, or has no skeleton.
    """
    motion = read_bvh(path) if path.suffix.lower() == ".bvh" else read_amc(path, read_asf(_skeleton_of(path)))
    return to_clip(motion, path.stem, subject_of(path), unit_m=unit_m, up=up)


def as_motion(clips: Iterable[MotionClip], source: str) -> Motion:
    """Put clips one after the other; each weighs as much as it lasts.

    Raises:
        ValueError: If there is none of at least two frames; the message begins with `source`.
    """
    kept = [clip for clip in clips if len(clip.xyz_m) >= SHORTEST]
    if not kept:
        raise ValueError(f"{source}: no motion in it")
    fps = np.array([clip.fps for clip in kept], np.float32)
    lengths = np.array([len(clip.xyz_m) for clip in kept])
    seconds = lengths / fps.astype(np.float64)
    start = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Motion(np.concatenate([clip.xyz_m for clip in kept]), start, fps, seconds / seconds.sum())


def subject_of(path: Path) -> str:
    """Return whose motion a file is, by its name or its folder."""
    numbered = re.fullmatch(r"(\d+)_\d+.*", path.stem)
    return numbered[1] if numbered else path.parent.name


def _motions(clips: Iterable[RoomClip]) -> Iterator[MotionClip]:
    for clip in clips:
        yield MotionClip(clip.name, clip.subject, clip.action, clip.fps, clip.world_m)


def captures(path: Path, split: str) -> list[Path]:
    """Return the BVH and AMC files of a split; a lone file is in both.

    Raises:
        ValueError: If there is no such file at all.
    """
    kinds = {".bvh", ".amc"}
    files = [path] if path.is_file() else sorted(f for f in path.rglob("*") if f.suffix.lower() in kinds)
    if not files or files[0].suffix.lower() not in kinds:
        raise ValueError(f"{path}: no motion.npz, VideoPose3D file, MPI-INF-3DHP folder, .bvh or .amc")
    if len(files) == 1:
        return files
    several = len({subject_of(file) for file in files}) > 1
    names = [subject_of(file) if several else str(file) for file in files]
    held_out = sorted(set(names))[::EVERY]
    return [file for file, name in zip(files, names, strict=True) if (name in held_out) == (split == "val")]


def _piece(clip: MotionClip, split: str) -> MotionClip:
    frames = len(clip.xyz_m)
    if frames < 2 * SHORTEST:
        raise ValueError(f"{clip.name}: {frames} frames are too few to train on and to validate with")
    cut = frames - max(SHORTEST, frames // EVERY)
    return replace(clip, xyz_m=clip.xyz_m[:cut] if split == "train" else clip.xyz_m[cut:])


def _skeleton_of(path: Path) -> Path:
    beside = {f.stem.lower(): f for f in path.parent.iterdir() if f.suffix.lower() == ".asf"}
    for name in (path.stem.lower(), subject_of(path).lower()):
        if name in beside:
            return beside[name]
    if len(beside) != 1:
        raise ValueError(f"{path}: {len(beside)} .asf files beside it, none of them {subject_of(path)}.asf")
    return next(iter(beside.values()))
