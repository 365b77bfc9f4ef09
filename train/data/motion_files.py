"""Any of the known forms of motion as what the lifter's recipe trains on.

    motion.npz, or the folder that holds it      our motion pack
    data_3d_h36m.npz, data_3d_humaneva15.npz     VideoPose3D's preparation
    a folder with S*/Seq*/annot.mat or TS*       MPI-INF-3DHP
    a .bvh file, or a folder of them             motion capture, any depth
    an .amc file, or a folder of them            motion capture; each finds its .asf beside it

Splits go by subject. BVH and AMC have none of their own: the subject is the folder that a file lies in, for names like
CMU's (07_01) the first number; every eighth subject, beginning with the first, is "val"; a lone subject is all "train".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from train.data.amc import read_amc, read_asf
from train.data.bvh import read_bvh
from train.data.mocap import Motion, load_motion
from train.data.mpi_inf_3dhp import read_mpi_inf_3dhp
from train.data.named_joints import MotionClip, to_clip
from train.data.room import RoomClip
from train.data.videopose_npz import read_videopose

EVERY = 8  # one subject of so many is for validation
SHORTEST = 2  # frames


def load_any(path: Path, split: str = "train", unit_m: float | None = None, up: str = "auto") -> Motion:
    """Read motion in any known form.

    Args:
        path: See this module's description.
        split: "train" or "val"; subjects do not mix.
        unit_m: Metres per unit of BVH and AMC files; None to guess.
        up: Axis of BVH and AMC files that points up, or "auto".

    Raises:
        FileNotFoundError: If there is nothing at the path.
        ValueError: If it is none of the forms, is damaged, or has nothing of the split; says what is wrong.
    """
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
        for file in captures(path, split):
            yield read_capture(file, unit_m, up)


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
    """Return the BVH and AMC files of a split.

    Raises:
        ValueError: If there is no such file at all.
    """
    kinds = {".bvh", ".amc"}
    files = [path] if path.is_file() else sorted(f for f in path.rglob("*") if f.suffix.lower() in kinds)
    if not files or files[0].suffix.lower() not in kinds:
        raise ValueError(f"{path}: no motion.npz, VideoPose3D file, MPI-INF-3DHP folder, .bvh or .amc")
    subjects = sorted({subject_of(file) for file in files})
    held_out = set(subjects[::EVERY]) if len(subjects) > 1 else set()
    return [file for file in files if (subject_of(file) in held_out) == (split == "val")]


def _skeleton_of(path: Path) -> Path:
    beside = {f.stem.lower(): f for f in path.parent.iterdir() if f.suffix.lower() == ".asf"}
    for name in (path.stem.lower(), subject_of(path).lower()):
        if name in beside:
            return beside[name]
    if len(beside) != 1:
        raise ValueError(f"{path}: {len(beside)} .asf files beside it, none of them {subject_of(path)}.asf")
    return next(iter(beside.values()))
