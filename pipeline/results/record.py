"""Results: what a run saw, as arrays with one row per frame and person, and their .npz file."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.errors import OutputError, SourceError
from pipeline.messages import JOINTS, EndOfStream, Message, People3D, StageStatus
from pipeline.results.journal import read_journal

PART = ".part"  # suffix of the journal beside a results file that is not finished


@dataclass(frozen=True, slots=True)
class Results:
    """Results of a run; N rows, one per frame and person, in the order of the frames.

    Attributes:
        frame: (N,) int32 decoded-frame index.
        pts_s: (N,) float64 media time in seconds; NaN for sources without one (cameras, stills).
        track: (N,) int32 person.
        xy_px: (N, 17, 2) float32 pixels of the source.
        score: (N, 17) float32 0..1.
        xyz_m: (N, 17, 3) float32 metres, camera axes, pelvis at the origin.
        root_m: (N, 3) float32 metres, pelvis in camera space; NaN where unknown.
        size_wh: (2,) int32 picture size in pixels; 0 0 if no frame was seen.
        fps: Nominal frame rate of the source.
        skeleton: Name of the joint set.
        frames: Number of decoded frames, with or without people.
        xyz_smooth_m: (N, 17, 3) float32, `xyz_m` smoothed; None when smoothing was off.
        info: "models" (names, hashes, backend), "source", "fingerprint", "complete" (the stream was recorded to its
            end), "reason" (how it ended).
    """

    frame: npt.NDArray[np.int32]
    pts_s: npt.NDArray[np.float64]
    track: npt.NDArray[np.int32]
    xy_px: npt.NDArray[np.float32]
    score: npt.NDArray[np.float32]
    xyz_m: npt.NDArray[np.float32]
    root_m: npt.NDArray[np.float32]
    size_wh: npt.NDArray[np.int32]
    fps: float
    skeleton: str
    frames: int
    xyz_smooth_m: npt.NDArray[np.float32] | None = None
    info: dict[str, Any] = field(default_factory=dict)


def collect(messages: Iterable[Message], fps: float = 0.0, info: dict[str, Any] | None = None) -> Results:
    """Make results of a stream's messages: People3D give rows, StageStatus the models, EndOfStream the length.

    Args:
        messages: In the order of the stream.
        fps: Nominal frame rate if no status tells it; 0 = from the times of the frames.
        info: More entries for `Results.info`.
    """
    people: list[People3D] = []
    facts: dict[str, Any] = {}
    models: dict[str, Any] = {}
    end: EndOfStream | None = None
    last_seq = -1
    for message in messages:
        if isinstance(message, People3D):
            last_seq = max(last_seq, message.stamp.seq)
            # A frame without people still tells the size, once.
            if len(message.track) or not people:
                people.append(message)
        elif isinstance(message, StageStatus):
            models.update(message.facts.get("models", {}))
            if "source" in message.facts:
                facts = {key: value for key, value in message.facts.items() if key != "run"}
        elif isinstance(message, EndOfStream):
            end, last_seq = message, max(last_seq, message.last_seq)
    told = {
        "models": models,
        "source": facts,
        "complete": end is not None and end.reason == "end",
        "reason": end.reason if end else "interrupted",
    }
    fps = float(facts.get("source_fps") or fps or _measured_fps(people))
    return _stack(people, fps, last_seq + 1, {**told, **(info or {})})


def _stack(people: list[People3D], fps: float, frames: int, info: dict[str, Any]) -> Results:
    def rows(name: str, shape: tuple[int, ...], dtype: type) -> npt.NDArray[Any]:
        parts = [getattr(p, name) for p in people if len(p.track)]
        return np.concatenate(parts).astype(dtype) if parts else np.zeros((0, *shape), dtype)

    counts = [len(p.track) for p in people]
    smooth = any(p.xyz_smooth_m is not None for p in people)
    pts_s = [np.nan if p.stamp.pts_s is None else p.stamp.pts_s for p in people]
    return Results(
        frame=np.repeat(np.array([p.stamp.seq for p in people], np.int32), counts),
        pts_s=np.repeat(np.array(pts_s, np.float64), counts),
        track=rows("track", (), np.int32),
        xy_px=rows("xy_px", (JOINTS, 2), np.float32),
        score=rows("score", (JOINTS,), np.float32),
        xyz_m=rows("xyz_m", (JOINTS, 3), np.float32),
        root_m=rows("root_m", (3,), np.float32),
        size_wh=np.array(people[0].image_wh if people else (0, 0), np.int32),
        fps=fps,
        skeleton=people[0].skeleton if people else "h36m17",
        frames=frames,
        xyz_smooth_m=rows("xyz_smooth_m", (JOINTS, 3), np.float32) if smooth else None,
        info=info,
    )


def _measured_fps(people: list[People3D]) -> float:
    if len(people) < 2:
        return 0.0
    first, last = people[0].stamp, people[-1].stamp
    if first.pts_s is not None and last.pts_s is not None:
        seconds = last.pts_s - first.pts_s
    else:
        seconds = (last.t_capture_ns - first.t_capture_ns) / 1e9
    return (last.seq - first.seq) / seconds if seconds > 0 else 0.0


def save_results(path: Path | str, results: Results) -> None:
    """Write a results file: whole or not at all.

    Raises:
        OutputError: If it cannot be written; an older file of that name is then still there.
    """
    path = Path(path)
    values = {f.name: getattr(results, f.name) for f in fields(results) if f.name != "info"}
    arrays: dict[str, Any] = {name: np.asarray(value) for name, value in values.items() if value is not None}
    scratch = path.with_name(path.name + ".tmp")
    try:
        with scratch.open("wb") as file:
            np.savez(file, **arrays, info=np.asarray(json.dumps(results.info, sort_keys=True)))
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    except OSError as error:
        scratch.unlink(missing_ok=True)
        raise OutputError(
            f"cannot write {path}: {error.strerror}", "free some space or choose another place"
        ) from error


def load_film(path: Path | str) -> Results:
    """Read results of one film, to be shown frame by frame.

    Raises:
        SourceError: If there is no such file, it holds no results, or those of several clips, whose frames are apart.
    """
    results = load_results(path)
    clips = len(np.unique(results.track)) if results.info.get("source", {}).get("kind") == "tracks" else 1
    if clips > 1:
        raise SourceError(
            f"{path} holds the results of {clips} clips: they are no people of one film", "lift each clip into a file"
        )
    return results


def load_results(path: Path | str) -> Results:
    """Read a results file, or the journal (`*.npz.part`) of a recording that was interrupted.

    Raises:
        SourceError: If there is no such file or it holds no results.
    """
    path = Path(path)
    if path.suffix == PART:
        return collect(read_journal(path))
    try:
        with np.load(path, allow_pickle=False) as file:
            raw: dict[str, Any] = {name: file[name] for name in file.files}
        plain: dict[str, Any] = {
            "fps": float(raw.pop("fps")),
            "skeleton": str(raw.pop("skeleton")),
            "frames": int(raw.pop("frames")),
        }
        info = json.loads(str(raw.pop("info")))
        return Results(**raw, **plain, info=info)
    except FileNotFoundError as error:
        part = path.with_name(path.name + PART)
        hint = f"an interrupted recording is there: {part}" if part.exists() else ""
        raise SourceError(f"{path} does not exist", hint) from error
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise SourceError(f"{path} is not a results file of posestream ({error})") from error
