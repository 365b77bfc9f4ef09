"""A picture of measured against imitated detections."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from train.data.motion.observed2d import Observed
from train.noise.fit import MOVING, errors, gather, quantile
from train.noise.motion import steps
from train.noise.table import BINS, MM

LEVELS = np.linspace(0.01, 0.99, 99)


def plot_noise(path: Path, measured: Sequence[Observed], imitated: Sequence[Observed]) -> None:
    """Write a PNG: sizes of errors, errors by score, scores, what is left of an error, one joint's error over time."""
    from matplotlib.figure import Figure

    figure = Figure((15, 8.5), layout="constrained")
    axes = figure.subplots(2, 3).ravel()
    for name, material, colour in (("measured", measured, "tab:blue"), ("imitated", imitated, "tab:orange")):
        samples = gather(material)
        exact = samples.only(samples.exact)
        axes[0].semilogx(
            quantile(samples.error, samples.weight, LEVELS) * MM, LEVELS, ":", color=colour, label=f"{name}, all"
        )
        axes[0].semilogx(
            quantile(exact.error, exact.weight, LEVELS) * MM, LEVELS, color=colour, label=f"{name}, exact truth"
        )
        _by_score(axes[1], exact, colour, name)
        axes[2].plot(quantile(exact.score, exact.weight, LEVELS), LEVELS, color=colour, label=name)
        _lasting(axes[3], material, colour, name)
    _one_joint(axes[4], measured, "measured", 3)
    _one_joint(axes[5], imitated, "imitated", 3)
    titles = (
        ("share of joints with less error", "mm (stature 1.65 m)"), ("error by score: 50, 75, 95 % (mm)", "score"),
        ("share of joints with less score", "score"), ("correlation of the error over time", "frames (30 Hz)"),
        ("right ankle, demo: x (line), y (dashed), mm", "frame"), ("the same, imitated", "frame"),
    )  # fmt: skip
    for axis, (title, below) in zip(axes, titles, strict=True):
        axis.set(title=title, xlabel=below)
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    figure.savefig(path, dpi=80)


def _by_score(axis: Any, samples: Any, colour: str, name: str) -> None:
    middles, rows = [], []
    for low, high in BINS:
        part = samples.only((samples.score >= low) & (samples.score < high))
        if len(part.score) >= 30:
            middles.append((low + min(high, 1)) / 2)
            rows.append(quantile(part.error, part.weight, (0.5, 0.75, 0.95)) * MM)
    for column, style in enumerate(("o-", "o--", "o:")):
        axis.semilogy(middles, np.array(rows)[:, column], style, color=colour, label=name if column == 0 else None)


def _lasting(axis: Any, material: Sequence[Observed], colour: str, name: str) -> None:
    for source, style in zip(MOVING, ("-", "--"), strict=True):
        parts = [o for o in material if o.source == source]
        lags, left = np.arange(1, 11), []
        for lag in lags:
            change, power, _ = (np.concatenate(p) for p in zip(*(steps(o, lag) for o in parts), strict=True))
            left.append(1 - change.sum() / (2 * power.sum()) if power.sum() else np.nan)
        axis.plot(lags, left, style, color=colour, label=f"{name}, {source}")


def _one_joint(axis: Any, material: Sequence[Observed], name: str, joint: int) -> None:
    demo = next((o for o in material if o.source == MOVING[0]), material[0])
    error = errors(demo)[:, joint] * MM
    axis.plot(error[:, 0], color="tab:green", lw=1, label=name)
    axis.plot(error[:, 1], "--", color="tab:red", lw=1)
    axis.set_ylim(-150, 150)
