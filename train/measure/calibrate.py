"""Making a detector's score a probability: fitted on held-out predictions, one curve for each joint.

A joint is right within 0.2 torso lengths of the truth. First a temperature and a bias for each joint (Platt; Guo et
al., "On Calibration of Modern Neural Networks", ICML 2017), then, where there are enough cases, isotonic regression
(Zadrozny and Elkan, KDD 2002), drawn towards the straight line and read off at evenly spread scores.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from engines.skeletons import H36M17
from train.measure.metrics2d import calibration_error
from train.models.reader import JOINTS, Calibration

Float = npt.NDArray[np.floating]
Bool = npt.NDArray[np.bool_]

KNOTS = 11
BINS = 10
DOUBT = 30.0  # cases per knot that the straight line counts for
ENOUGH = 50  # cases of a joint below which its score stays as it is


@dataclass(frozen=True)
class Curves:
    """A calibration as numbers; see `train.models.reader.Calibration`.

    Attributes:
        scale, shift: (17,).
        levels: (17, KNOTS).
        cases: (17,) how many joints each curve was fitted on.
    """

    scale: Float
    shift: Float
    levels: Float
    cases: npt.NDArray[np.int64]

    def module(self) -> Calibration:
        """Return it as a part of the exported graph."""
        return Calibration(*(torch.tensor(np.asarray(a), dtype=torch.float32) for a in self._parts()))

    def apply(self, score: Float) -> Float:
        """Map (N, 17) scores as the uncalibrated model gives them."""
        with torch.no_grad():
            return self.module()(torch.from_numpy(logit(score)).float()).numpy()

    def _parts(self) -> tuple[Float, Float, Float]:
        return self.scale, self.shift, self.levels

    def save(self, path: Path) -> None:
        """Write JSON, by joint name."""
        rows = zip(H36M17.joints, self.cases.tolist(), *(a.tolist() for a in self._parts()), strict=True)
        keys = ("cases", "scale", "shift", "levels")
        path.write_text(json.dumps({name: dict(zip(keys, row, strict=True)) for name, *row in rows}, indent=1))


def load_curves(path: Path) -> Curves:
    """Read what `Curves.save` wrote.

    Raises:
        KeyError: If a joint is missing.
    """
    rows = json.loads(path.read_text())
    columns = ([rows[name][key] for name in H36M17.joints] for key in ("scale", "shift", "levels", "cases"))
    return Curves(*(np.asarray(c) for c in columns))


def logit(score: Float) -> Float:
    """Return the log odds of scores, bounded."""
    clipped = np.clip(score.astype(np.float64), 1e-6, 1 - 1e-6)
    return np.log(clipped / (1 - clipped))


def fit_temperature(logits: Float, right: Bool, rounds: int = 30) -> tuple[float, float]:
    """Return scale and shift of the most likely sigmoid(scale * logit + shift), by Newton's method.

    Held a little towards 1 and 0, so that a joint that is always right gives no infinite scale.
    """
    design = np.stack([logits, np.ones_like(logits)], 1)
    prior, pull = np.array([1.0, 0.0]), np.diag([1.0, 1.0])
    weights = prior.copy()
    for _ in range(rounds):
        told = 1 / (1 + np.exp(-np.clip(design @ weights, -30, 30)))
        slope = design.T @ (told - right) + pull @ (weights - prior)
        curve = (design * (told * (1 - told))[:, None]).T @ design + pull
        step = np.linalg.solve(curve, slope)
        weights = weights - step / max(1.0, float(np.abs(step).max()))
    return max(float(weights[0]), 0.05), float(weights[1])


def isotonic(values: Float, weights: Float) -> Float:
    """Return the rising sequence nearest to `values` in weighted squares (pool adjacent violators)."""
    blocks: list[list[float]] = []
    for value, weight in zip(values, weights, strict=True):
        blocks.append([float(value), float(weight), 1])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            b, a = blocks.pop(), blocks.pop()
            total = a[1] + b[1]
            blocks.append([(a[0] * a[1] + b[0] * b[1]) / total, total, a[2] + b[2]])
    return np.concatenate([np.full(int(count), value) for value, _, count in blocks])


def fit_levels(score: Float, right: Bool) -> Float:
    """Return (KNOTS,) rising probabilities at evenly spread scores: what is right near each, and a rising fit of it."""
    knots = np.linspace(0, 1, KNOTS)
    near = np.clip(1 - np.abs(score[:, None] - knots) * (KNOTS - 1), 0, 1)  # (N, KNOTS), rows sum to 1
    cases = near.sum(0)
    shares = (near.T @ right + DOUBT * knots) / (cases + DOUBT)
    return np.clip(isotonic(shares, cases + DOUBT), 0, 1)


def fit_curves(score: Float, right: Bool, known: Bool) -> Curves:
    """Fit every joint.

    Args:
        score: (N, 17) as the uncalibrated model gives them.
        right: (N, 17) whether the joint is within the tolerance.
        known: (N, 17) whether that is known.
    """
    scale, shift, levels = np.ones(JOINTS), np.zeros(JOINTS), np.tile(np.linspace(0, 1, KNOTS), (JOINTS, 1))
    for j in range(JOINTS):
        logits, hits = logit(score[known[:, j], j]), right[known[:, j], j]
        if len(hits) >= ENOUGH:
            scale[j], shift[j] = fit_temperature(logits, hits)
            levels[j] = fit_levels(1 / (1 + np.exp(-(scale[j] * logits + shift[j]))), hits)
    return Curves(scale, shift, levels, known.sum(0).astype(np.int64))


def reliability(score: Float, right: Bool) -> list[dict[str, float]]:
    """Return, per score bin, mean score, share that is right, and number of cases; empty bins are left out."""
    which, rows = np.minimum((score * BINS).astype(int), BINS - 1), []
    for b in range(BINS):
        of = which == b
        if of.any():
            rows.append({"score": float(score[of].mean()), "right": float(right[of].mean()), "cases": int(of.sum())})
    return rows


def plot_reliability(path: Path, curves: dict[str, tuple[Float, Bool]]) -> None:
    """Draw share of right joints over score for each named (scores, right), dot area by cases, as a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 5), dpi=110, layout="constrained")
    axes = figure.add_subplot(xlabel="score", ylabel="share of joints within 0.2 torso", xlim=(0, 1), ylim=(0, 1))
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    for name, (score, right) in curves.items():
        rows = reliability(score, right)
        x, y, cases = ([row[key] for row in rows] for key in ("score", "right", "cases"))
        label = f"{name}: error {100 * calibration_error(score, right):.1f} points"
        line = axes.plot(x, y, label=label)[0]
        axes.scatter(x, y, s=[200 * n / sum(cases) + 4 for n in cases], color=line.get_color())
    axes.legend(loc="upper left", frameon=False)
    figure.savefig(path)
