"""Measuring a lifter on the motion pack as a live run would use it: rates, kinds of 2D, lost joints, dropped frames.

One random camera films each clip of the val split (see `train.data.motion.filmed.make_batch`); the model file streams
through `engines.tracks`, so time steps, gaps and resets are those of a live run.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engines.geometry import rays_to_pixels
from engines.lifter import Lifter
from engines.measure.metrics3d import mpjpe_mm
from engines.measure.score3d import Truth, score
from engines.runtime import Engine, open_engine
from engines.tracks import Tracks, lift_tracks
from train.data.motion.filmed import make_batch
from train.data.motion.mocap import Float, Motion, even_takes, load_motion

KINDS = {"truth": 1.0, "detector-like": 0.0}  # name: share of the sequences with the true 2D joints
RATES_HZ = (15, 25, 30, 50, 60)
FPS = 30
MISSING = (0.0, 0.1, 0.2)
LOST_FRAMES = 5  # a lost joint is gone for so many frames on average
DROPPED = range(1, 11)
BEFORE_DROP, AFTER_DROP = 45, 10  # frames

Lifted = tuple[Float, Float]
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """The val split of the motion pack, with the names that tables go by."""

    motion: Motion
    action: npt.NDArray[np.str_]
    subject: npt.NDArray[np.str_]
    seed: int

    def film(self, fps: float, kind: str, seconds: float) -> tuple[Tracks, Truth]:
        """Film the beginning of every clip and detect the person.

        Args:
            fps: Frame rate.
            kind: One of KINDS.
            seconds: Length; shorter clips run back and forth.
        """
        take = even_takes(self.motion, round(seconds * fps), fps, range(len(self.motion.fps)))
        case = make_batch(take, np.random.default_rng(self.seed), KINDS[kind])
        clips, length = case["score"].shape[:2]
        size_wh, focal_px = (2000, 2000), 2000.0  # any will do: the file format has pixels, the lifter takes rays
        tracks = Tracks(
            xy_px=rays_to_pixels(case["xy"].reshape(-1, 17, 2), size_wh, focal_px),
            score=case["score"].reshape(-1, 17),
            pts_s=np.cumsum(case["dt_s"].astype(np.float64), 1).ravel(),
            clip=np.repeat(np.arange(clips), length),
            size_wh=np.tile(size_wh, (clips, 1)),
            focal_px=np.full(clips, focal_px),
        )
        poses, roots = case["pose_m"].reshape(-1, 17, 3), case["root_m"].reshape(-1, 3)
        return tracks, Truth(poses, roots, self.action, self.subject)


def load_stage(folder: Path, seed: int) -> Stage:
    """Read the val split of motion.npz.

    Raises:
        FileNotFoundError: If there is no motion.npz.
        ValueError: If the split has no clip.
    """
    motion = load_motion(folder, "val")
    with np.load(folder / "motion.npz") as pack:
        rows = pack["split"] == "val"
        return Stage(motion, np.array([kind_of(a) for a in pack["action"][rows]]), pack["subject"][rows], seed)


def kind_of(action: str) -> str:
    """Return what is done in one word: "walk" of "slow walk/stride"."""
    return re.split(r" - |,|/", action.lower())[0].split()[-1]


def evaluate(
    model: str | Path, stage: Stage, seconds: float, detected: tuple[Tracks, Truth] | None = None, say: Tell = print,
    backend: str = "ort", threads: int = 1,
) -> tuple[dict[str, Any], dict[str, tuple[Tracks, Truth, Float]]]:  # fmt: skip
    """Measure one lifter.

    Args:
        model: Name or path.
        stage: Who is filmed.
        seconds: Of each clip.
        detected: Real detections with their truth, if there are any.
        say: Told what is done next.
        backend: What runs it.
        threads: CPU threads while errors are measured.

    Returns:
        Plain data: "model", "causal", "look_ahead_frames", "flip", "by_rate", "by_missing", "by_dropped", "step_ms";
        and what was lifted at 30 frames a second by kind of 2D joints, for pictures.
    """
    engine = open_engine(model, backend, threads)
    lifter = Lifter(engine)
    report = lifter.conditions() | {"clips": len(stage.motion.fps), "seconds": seconds, "seed": stage.seed}
    shown: dict[str, tuple[Tracks, Truth, Float]] = {}
    report["by_rate"] = []
    for fps in RATES_HZ:
        for kind in KINDS:
            say(f"{engine.spec.name}: {fps} frames/s, {kind}")
            tracks, truth = stage.film(fps, kind, seconds)
            xyz_m, root_m = lift_tracks(lifter, tracks)
            report["by_rate"].append({"joints_2d": kind, "fps": fps, **score(xyz_m, root_m, truth, tracks)})
            if fps == FPS:
                shown[kind] = tracks, truth, xyz_m
    if detected is not None:
        tracks, truth = detected
        xyz_m, root_m = lift_tracks(lifter, tracks)
        rate = round(float(1 / np.median(np.diff(tracks.pts_s)[np.diff(tracks.clip) == 0])), 2)
        report["by_rate"].append({"joints_2d": "detector", "fps": rate, **score(xyz_m, root_m, truth, tracks)})
        shown["detector"] = tracks, truth, xyz_m
    say(f"{engine.spec.name}: lost joints, dropped frames, speed")
    report["by_missing"] = [
        r for kind in KINDS for r in with_joints_missing(lifter, *stage.film(FPS, kind, seconds), kind)
    ]
    span_s = (BEFORE_DROP + max(DROPPED) + AFTER_DROP) / FPS
    report["by_dropped"] = [
        r for kind in KINDS for r in with_frames_dropped(lifter, *stage.film(FPS, kind, span_s), kind)
    ]
    engine.close()
    report["step_ms"] = [step_ms(model, backend, threads, people) for threads in (1, 2) for people in (1, 4)]
    return report, shown


def with_joints_missing(lifter: Lifter, tracks: Tracks, truth: Truth, kind: str) -> list[dict[str, Any]]:
    """Return the errors with a share of all joints lost, for about LOST_FRAMES frames each time."""
    rows = []
    for share in MISSING:
        lost = lost_joints(np.random.default_rng(0), len(tracks), share)
        worse = replace(tracks, score=np.where(lost, np.float32(0), tracks.score))
        rows.append(
            {"joints_2d": kind, "fps": FPS, "missing": share, **score(*lift_tracks(lifter, worse), truth, worse)}
        )
    return rows


def lost_joints(rng: np.random.Generator, rows: int, share: float) -> npt.NDArray[np.bool_]:
    """Return a (rows, 17) mask of joints that come and go: `share` are lost, for LOST_FRAMES frames on average."""
    if share == 0:
        return np.zeros((rows, 17), np.bool_)
    draw, lost = rng.random((rows, 17)), np.zeros((rows, 17), np.bool_)
    lost[0] = draw[0] < share
    again, anew = 1 - 1 / LOST_FRAMES, share / (1 - share) / LOST_FRAMES
    for row in range(1, rows):
        lost[row] = draw[row] < np.where(lost[row - 1], again, anew)
    return lost


def with_frames_dropped(lifter: Lifter, tracks: Tracks, truth: Truth, kind: str) -> list[dict[str, Any]]:
    """Return the error on the frame after a gap, and on the first 5 and 10, beside that of the same frames without."""
    number = np.concatenate([np.arange(s.stop - s.start) for s in tracks.spans()])
    whole, _ = lift_tracks(lifter, tracks)
    rows = []
    for dropped in DROPPED:
        first = BEFORE_DROP + dropped
        kept = (number < BEFORE_DROP) | ((number >= first) & (number < first + AFTER_DROP))
        rest = replace(
            tracks, xy_px=tracks.xy_px[kept], score=tracks.score[kept], pts_s=tracks.pts_s[kept], clip=tracks.clip[kept]
        )
        pose, _ = lift_tracks(lifter, rest)
        row: dict[str, Any] = {"joints_2d": kind, "fps": FPS, "dropped": dropped}
        for frames in (1, 5, AFTER_DROP):
            after = (number >= first) & (number < first + frames)
            row[f"first_{frames}_mm"] = round(mpjpe_mm(pose[after[kept]], truth.xyz_m[after]), 3)
            row[f"first_{frames}_without_gap_mm"] = round(mpjpe_mm(whole[after], truth.xyz_m[after]), 3)
        rows.append(row)
    return rows


def step_ms(model: str | Path, backend: str, threads: int, people: int, steps: int = 300) -> dict[str, Any]:
    """Return median and 95th percentile of one step's time in milliseconds."""
    engine: Engine = open_engine(model, backend, threads)
    rng = np.random.default_rng(0)
    shapes = {t.name: (people, *t.shape[1:]) for t in engine.spec.inputs}
    inputs = {name: rng.uniform(0, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}
    times = []
    for _ in range(steps):
        start = time.perf_counter()
        engine.run(inputs, range(people))
        times.append((time.perf_counter() - start) * 1000)
    engine.close()
    p50, p95 = np.percentile(times[10:], (50, 95)).round(3).tolist()
    return {"threads": threads, "people": people, "p50": p50, "p95": p95}
