"""Training runs side by side on one page: curves of losses and validation, errors where they were measured."""

from __future__ import annotations

import base64
import html
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engines.skeletons import H36M17
from train.loop.runlog import TRAIN, VAL, read_curves

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Curves = dict[str, list[float]]
COLOURS = ("#2a6f97", "#e07a3f", "#3a9a5b", "#b23a6f", "#7a5cc2", "#8a8a2a", "#444444", "#3ab5b0")
DPI, WIDTH_INCHES = 100, 12.3
SMOOTH = 9  # points; the raw curve stays behind, faint
COLUMNS = 3
KINDS = {"truth": "-", "detector-like": "--", "detector": ":"}
ERRORS = (  # rows, their x and y, title, label
    ("by_rate", "fps", "mpjpe_mm", "MPJPE, mm", "frames/s"),
    ("by_missing", "missing", "mpjpe_mm", "MPJPE at 30 frames/s, mm", "share of the joints that are missing"),
    ("by_dropped", "dropped", "first_5_mm", "MPJPE of the 5 frames after a gap, mm", "frames dropped"),
)
_STYLE = (
    "body{font:15px/1.45 system-ui,sans-serif;max-width:1280px;margin:2em auto;padding:0 1em;color:#222}"
    "h1{font-size:1.5em}h2{font-size:1.15em;margin-top:1.8em}img{max-width:100%}table{border-collapse:collapse}"
    "td,th{padding:.25em .9em .25em 0;text-align:right}td:first-child,th:first-child{text-align:left}"
    "tr{border-bottom:1px solid #ddd}"
)


@dataclass(frozen=True, slots=True)
class Run:
    """One training run.

    Attributes:
        name: Shown in legends.
        losses: Columns of log.csv, empty if there is none.
        scores: Columns of val.csv.
        reports: What `posestream eval lifter --json` wrote into its folder, by file name and model.
    """

    name: str
    losses: Curves
    scores: Curves
    reports: dict[str, dict[str, Any]]


def load_runs(folders: Sequence[Path]) -> list[Run]:
    """Read runs.

    Raises:
        ValueError: If a folder holds neither log.csv nor val.csv.
    """
    runs = []
    names = [folder.resolve().name for folder in folders]
    for folder, name in zip(folders, names, strict=True):
        losses, scores = read_curves(folder / TRAIN), read_curves(folder / VAL)
        if not losses and not scores:
            raise ValueError(f"{folder} is not the folder of a training run: it has neither {TRAIN} nor {VAL}")
        parent = folder.resolve().parent.name
        runs.append(Run(f"{parent}/{name}" if names.count(name) > 1 else name, losses, scores, dict(_reports(folder))))
    return runs


def _reports(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted(folder.glob("*.json")):
        try:
            found = json.loads(path.read_text())
        except (OSError, ValueError):
            continue  # another program's file
        for report in found if isinstance(found, list) else [found]:
            if isinstance(report, dict) and "by_rate" in report and "model" in report:
                yield f"{path.stem} {report['model']['name']}", report


def page(runs: Sequence[Run]) -> str:
    """Return the page as HTML that needs nothing from anywhere else."""
    parts = ["<!doctype html>", "<meta charset=utf-8>", "<title>Training runs</title>", f"<style>{_STYLE}</style>"]
    parts += [f"<h1>Training runs: {html.escape(', '.join(r.name for r in runs))}</h1>", _table(runs)]
    for title, figure in figures(runs):
        data = base64.b64encode(_png(figure)).decode()
        parts += [f"<h2>{title}</h2>", f'<img alt="{title}" src="data:image/png;base64,{data}">']
    return "\n".join(parts) + "\n"


def picture(runs: Sequence[Run], path: Path) -> None:
    """Write all figures below each other as one PNG."""
    import matplotlib.image

    images = []
    for title, figure in figures(runs):
        figure.suptitle(title)
        images.append(matplotlib.image.imread(io.BytesIO(_png(figure)))[..., :3])
    width = max(image.shape[1] for image in images)
    padded = [np.pad(i, ((0, 0), (0, width - i.shape[1]), (0, 0)), constant_values=1) for i in images]
    matplotlib.image.imsave(path, np.concatenate(padded))


def figures(runs: Sequence[Run]) -> Iterator[tuple[str, Figure]]:
    """Yield titles and figures."""
    for title, kind in (("Losses", "losses"), ("Validation", "scores")):
        columns = sorted({c for run in runs for c in getattr(run, kind)} - {"step", "seconds_per_step"})
        columns.sort(key=lambda c: c not in ("loss", "val_score"))
        if columns:
            yield title, _curves(runs, kind, columns)
    reports = {f"{run.name}: {name}": report for run in runs for name, report in run.reports.items()}
    if reports:
        yield "Errors", _errors(reports)


def _curves(runs: Sequence[Run], kind: str, columns: Sequence[str]) -> Figure:
    figure, axes = _panels(len(columns))
    for axis, column in zip(axes, columns, strict=True):
        for run, colour in zip(runs, _colours(len(runs)), strict=True):
            curves: Curves = getattr(run, kind)
            if column in curves:
                points = np.array(curves["step"]), np.array(curves[column])
                _draw(axis, *points, colour, run.name, smooth=kind == "losses")
        axis.set_title(column.removeprefix("val_").replace("_", " "), fontsize=10)
        axis.set_xlabel("step", fontsize=8)
        low, high = axis.get_ylim()
        if kind == "losses" and low > 0 and high > 4 * low:
            axis.set_yscale("log")
    axes[0].legend(frameon=False, fontsize=8)
    return figure


def _draw(axis: Axes, steps: np.ndarray, values: np.ndarray, colour: str, name: str, smooth: bool) -> None:
    known = np.isfinite(values)
    steps, values = steps[known], values[known]
    if smooth and len(values) > 3 * SMOOTH:
        axis.plot(steps, values, color=colour, alpha=0.2, linewidth=0.8)
        edges = np.pad(values, SMOOTH // 2, mode="edge")
        values = np.convolve(edges, np.ones(SMOOTH) / SMOOTH, "valid")
    marker = "o" if len(values) < 40 and not smooth else None
    axis.plot(steps, values, color=colour, linewidth=1.5, marker=marker, markersize=3, label=name)


def _errors(reports: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Draw MPJPE by frame rate, by joints missing, after dropped frames, and by joint; one colour for each report."""
    figure, axes = _panels(4, columns=2, height=3.6)
    for name, report, colour in zip(reports, reports.values(), _colours(len(reports)), strict=True):
        for kind, dashes in KINDS.items():
            for axis, (rows, x, y, *_) in zip(axes, ERRORS, strict=False):
                points = [(r[x], r[y]) for r in report[rows] if r["joints_2d"] == kind]
                if points:
                    x_y = zip(*points, strict=True)
                    axis.plot(*x_y, color=colour, linestyle=dashes, marker=".", label=f"{name}, {kind}")
    for axis, (*_, title, label) in zip(axes, ERRORS, strict=False):
        axis.set_title(title, fontsize=10)
        axis.set_xlabel(label, fontsize=8)
        axis.set_ylim(bottom=0)
    _joint_bars(axes[3], list(reports.values()))
    axes[0].legend(frameon=False, fontsize=7, handlelength=4)
    return figure


def _joint_bars(axis: Axes, reports: Sequence[Mapping[str, Any]]) -> None:
    width = 0.8 / (2 * len(reports))
    for at, (report, colour) in enumerate(zip(reports, _colours(len(reports)), strict=True)):
        for number, kind in enumerate(("truth", "detector-like")):
            for row in report["by_rate"]:
                if row["joints_2d"] == kind and row["fps"] == 30:
                    errors = [row["per_joint_mm"].get(j, math.nan) for j in H36M17.joints]
                    place = np.arange(17) + (2 * at + number) * width
                    axis.bar(place, errors, width, color=colour, alpha=1 - 0.5 * number)
    names = [joint.replace("_", " ") for joint in H36M17.joints]
    axis.set_xticks(np.arange(17) + 0.4, names, rotation=60, ha="right", fontsize=7)
    axis.set_title("MPJPE by joint, 30 frames/s, mm; pale: detector-like", fontsize=10)


def _panels(count: int, columns: int = COLUMNS, height: float = 2.9) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    columns = min(columns, count)
    rows = math.ceil(count / columns)
    figure = Figure((WIDTH_INCHES, height * rows + 0.3), DPI, layout="constrained")
    axes = list(np.atleast_1d(figure.subplots(rows, columns)).ravel())
    for axis in axes:
        axis.grid(alpha=0.25)
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    for axis in axes[count:]:
        axis.set_axis_off()
    return figure, axes[:count]


def _colours(count: int) -> list[str]:
    return [COLOURS[i % len(COLOURS)] for i in range(count)]


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _table(runs: Sequence[Run]) -> str:
    """Return how far each run got and its best validation, as an HTML table."""
    head = ("run", "steps", "s per step", "last loss", "best score", "at step")
    rows = [f"<tr>{''.join(f'<th>{h}</th>' for h in head)}</tr>"]
    for run in runs:
        steps = max([*run.losses.get("step", []), *run.scores.get("step", [])], default=math.nan)
        pace = np.array(run.losses.get("seconds_per_step", [math.nan]))
        scores = np.array(run.scores.get("val_score", [math.nan]))
        best = int(np.nanargmin(scores)) if np.isfinite(scores).any() else None
        cells = [
            html.escape(run.name),
            f"{steps:g}",
            _cell(float(np.nanmedian(pace)) if np.isfinite(pace).any() else math.nan),
            _cell(run.losses.get("loss", [math.nan])[-1]),
            _cell(float(scores[best]) if best is not None else math.nan),
            f"{run.scores['step'][best]:g}" if best is not None else "",
        ]
        rows.append(f"<tr>{''.join(f'<td>{c}</td>' for c in cells)}</tr>")
    return f"<table>{''.join(rows)}</table>"


def _cell(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else ""
