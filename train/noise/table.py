"""Measured against imitated: the same people, once as the detector saw them, once as `noise2d` says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from engines.skeletons import H36M17
from train.data.motion.mocap import STATURE_M
from train.data.motion.noise2d import FITTED, NOSE, of_visible
from train.data.motion.observed2d import Observed
from train.noise.fit import GROSS, MOVING, Samples, errors, gather, quantile
from train.noise.motion import CALM, steps, swap_rates

MM = STATURE_M * 1000  # errors are told in millimetres on a person of this stature
SHARES = (0.5, 0.75, 0.9, 0.95, 0.99)
BINS = ((0, 0.1), (0.1, 0.3), (0.3, 0.5), (0.5, 0.7), (0.7, 0.85), (0.85, 0.95), (0.95, 1.01))
LAGS, SURE = (1, 2, 5, 10), 0.6
PEOPLE = (0.1, 0.25, 0.5, 0.75, 0.9)
Table = dict[str, float]


def imitate(material: Sequence[Observed], seed: int = 0, copies: int = 1) -> list[Observed]:
    """Return the same people as seen by the imitated detector; joints without truth become NaN.

    The offsets of `biased` need 3D joints: here each person's joints get constant ones of the same size in the picture.

    Args:
        material: The people, with their truth.
        seed: Of everything random.
        copies: How often sequences are imitated; stills once.
    """
    rng = np.random.default_rng(seed)
    mean = np.array(FITTED.bias_m)
    mean[NOSE] = 0  # the rendered truth has the tip of the nose, as a detector has
    spread = (np.sqrt((mean**2).mean(1) + np.square(FITTED.bias_sd_m)) / STATURE_M).astype(np.float32)
    alike: dict[tuple[int, float], list[Observed]] = {}
    for one in material:
        times = copies if one.fps else 1
        alike.setdefault((len(one.score), one.fps), []).extend([one] * times)
    out = []
    for (length, fps), people in alike.items():
        truth = np.stack([np.where((o.state > 0)[..., None], o.truth_px, np.nan) for o in people])
        size = np.stack([o.size_px for o in people])
        own = spread[:, None] * rng.standard_normal((len(people), 1, 17, 2), np.float32)
        dt_s = np.full((len(people), length), 1 / fps if fps else 0.0, np.float32)
        xy, score, _ = of_visible(truth + own * size[..., None, None], size, dt_s, rng)
        out += [replace(o, xy_px=x, score=s) for o, x, s in zip(people, xy, score, strict=True)]
    return out


def _error_rows(samples: Samples, kind: str) -> Table:
    rows = {}
    values = quantile(samples.error, samples.weight, SHARES) * MM
    rows |= {f"{kind}: error, {share:.0%} quantile, mm": v for share, v in zip(SHARES, values, strict=True)}
    rows[f"{kind}: share of gross errors"] = np.average(samples.error > GROSS, weights=samples.weight)
    people = np.unique(samples.sequence)
    middle = np.array([np.median(samples.error[samples.sequence == s]) for s in people])
    weight = np.array([samples.weight[samples.sequence == s].sum() for s in people])
    for share, v in zip(PEOPLE, quantile(middle, weight, PEOPLE), strict=True):
        rows[f"{kind}: a person's median error, {share:.0%} quantile, mm"] = v * MM
    for share, v in zip(PEOPLE, quantile(samples.score, samples.weight, PEOPLE), strict=True):
        rows[f"{kind}: score, {share:.0%} quantile"] = v
    return rows


def _joint_rows(samples: Samples) -> Table:
    rows = {}
    for joint, name in enumerate(H36M17.joints):
        part = samples.only(samples.joint == joint)
        rows[f"{name}: error, median, mm"] = quantile(part.error, part.weight, [0.5])[0] * MM
        rows[f"{name}: score, mean"] = np.average(part.score, weights=part.weight)
    return rows


def _score_rows(samples: Samples) -> Table:
    rows = {}
    for low, high in BINS:
        part, name = samples.only((samples.score >= low) & (samples.score < high)), f"score {low}..{min(high, 1)}"
        if len(part.score) < 30:
            continue
        rows[f"{name}, share"] = part.weight.sum() / samples.weight.sum()
        rows[f"{name}, within 0.2 torso"] = np.average(part.error < GROSS, weights=part.weight)
        for share, v in zip((0.5, 0.95), quantile(part.error, part.weight, (0.5, 0.95)), strict=True):
            rows[f"{name}, error {share:.0%}, mm"] = v * MM
    return rows


def _time_rows(material: Sequence[Observed]) -> Table:
    """Of the sequences with exact truth: calm errors only, for the correlation and the change from frame to frame."""
    rows = {}
    for name in MOVING:
        for lag in LAGS:
            parts = [steps(o, lag) for o in material if o.source == name and len(o.xy_px) > lag]
            change, power = (np.concatenate([p[i] for p in parts]) for i in (0, 1))
            if not len(change):
                continue
            rows[f"{name}, correlation over {lag} frames"] = 1 - change.sum() / (2 * power.sum())
            if lag == 1:
                rows[f"{name}, change per frame, median, mm"] = np.sqrt(np.median(change)) * MM
                rows[f"{name}, change per frame, rms, mm"] = np.sqrt(change.mean()) * MM
        second = [np.linalg.norm(np.diff(errors(o), 2, axis=0), axis=-1) for o in material if o.source == name]
        shiver = np.concatenate([s[np.isfinite(s)] for s in second])
        rows[f"{name}, second difference, median, mm"] = np.median(shiver[shiver < CALM]) * MM
    return rows | _shake(material)


def _shake(material: Sequence[Observed]) -> Table:
    """Of the real clips, where only the detections are known: their second differences, the motion's included."""
    rows = {}
    for name in {o.name: None for o in material if o.source == "clips"}:
        parts = []
        for one in material:
            if one.source == "clips" and one.name == name:
                second = np.linalg.norm(np.diff(one.xy_px, 2, axis=0), axis=-1) / np.nanmedian(one.size_px)
                parts.append(second[one.score[1:-1] > SURE])
        both = np.concatenate(parts)
        if np.isfinite(both).any():
            rows[f"{name}: second difference of what is found, median, mm"] = np.nanmedian(both) * MM
    return rows


def table(material: Sequence[Observed]) -> Table:
    """Return all figures by name; where the truth is not exact its own errors are in them."""
    samples = gather(material)
    exact = samples.only(samples.exact)
    legs, arms = swap_rates(material)
    rows = _error_rows(samples, "all") | _error_rows(exact, "exact truth") | _joint_rows(exact) | _score_rows(exact)
    rows |= _time_rows(material) | {"frames with legs exchanged": legs, "frames with arms exchanged": arms}
    return {name: float(value) for name, value in rows.items()}
