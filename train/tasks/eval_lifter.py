"""`posestream eval lifter` without a file: measure lifters on people of the motion pack whom they never saw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from engines.measure.score3d import Truth
from engines.runtime import find_weights, open_engine
from engines.tracks import Tracks
from train.data.motion.mocap import data_root
from train.measure.evaluate3d import evaluate, load_stage
from train.measure.report3d import draw_errors, tables


def measure_pack(
    models: Sequence[str],
    write: Callable[[str], None],
    say: Callable[[str], None],
    keep: Callable[[list[dict[str, Any]]], None] = lambda reports: None,
    *,
    folder: Path | None = None,
    seconds: float = 4.0,
    seed: int = 11,
    detected: tuple[Tracks, Truth] | None = None,
    plots: Path | None = None,
    against_batch: bool = False,
    backend: str = "ort",
    threads: int = 1,
) -> list[dict[str, Any]]:
    """Measure lifters, write a table of each, and return the figures as plain data.

    Args:
        models: Names or paths.
        write: Takes the tables.
        say: Takes what is done next, for people who wait.
        keep: Takes the figures so far, before anything is made of them.
        folder: Of motion.npz; None for the data folder's.
        seconds: Of each clip.
        seed: Of cameras and imitated detector.
        detected: Real detections with their truth, measured as well.
        plots: Folder for a picture of each lifter's errors.
        against_batch: Also compare the stream with the PyTorch network (needs torch).
        backend: What runs the models.
        threads: CPU threads.

    Raises:
        FileNotFoundError: If the motion pack is not there.
    """
    stage = load_stage(folder or data_root() / "mocap", seed)
    reports = []
    for model in models:
        report, shown = evaluate(model, stage, seconds, detected, say, backend, threads)
        if against_batch:
            report["streaming_minus_batch"] = _streaming_minus_batch(model)
        keep([*reports, report])
        write(tables(report))
        if plots is not None:
            draw_errors(plots / f"{report['model']['name']}.png", report["model"]["name"], shown)
        reports.append(report)
    return reports


def _streaming_minus_batch(model: str) -> float:
    from train.measure.against_batch import from_file, streaming_gap

    engine = open_engine(model, "ort", threads=1)
    try:
        return streaming_gap(engine, from_file(find_weights(model)))
    finally:
        engine.close()
