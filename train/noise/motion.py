"""The rest of the fit: how errors last, where gross ones land, what is said of the unseen, the detector's opinion."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from engines.skeletons import H36M17
from train.data.motion.mocap import STATURE_M
from train.data.motion.noise2d import FITTED, SIDES, DetectorModel
from train.data.motion.observed2d import HIDDEN, OUTSIDE, UNKNOWN, VISIBLE, Observed
from train.noise import fit as nf
from train.noise.fit import KNOTS, MIRROR, WEIGHTS, Array, errors, exchanged, quantile

CALM = 0.08  # statures: errors up to here, in two frames, tell how an ordinary error changes
PELVIS, THORAX, NOSE, HEAD_TOP = (H36M17.index(n) for n in ("pelvis", "thorax", "nose", "head_top"))
TORSO, SHOULDERS_AND_HIPS = 0.54 / STATURE_M, (0.375 + 0.2) / STATURE_M  # of the rendered bodies
NOSE_AHEAD, NOSE_UP = 0.136 / STATURE_M, 0.036 / STATURE_M  # from the middle between thorax and head top
QUARTERS = (0.05, 0.25, 0.5, 0.75, 0.95)
BELIEVED, BODY_SHARE, LEAST_SD_M = 0.6, 0.5, 0.008
"""Rendered people are not real ones: the part of the mean offset that is kept. The part of a clip's mean error that is
held to be the person's own, the rest being slow drift; and the least that people differ by."""
SPREAD, WHITE_SPREAD = 2.2, 3.5  # ranges over sequences, up and down from what is fitted over all


def steps(one: Observed, lag: int) -> tuple[Array, Array, Array]:
    """Compare calm errors `lag` frames apart.

    Returns:
        (N,) squared change, mean squared error of the two, and the joint's way relative to the pelvis, in statures.
    """
    error = errors(one)
    error[np.linalg.norm(error, axis=-1) > CALM] = np.nan
    own = (one.truth_px - one.truth_px[:, :1]) / one.size_px[:, None, None]
    way = np.linalg.norm(own[lag:] - own[:-lag], axis=-1)
    change = ((error[lag:] - error[:-lag]) ** 2).sum(-1)
    power = ((error[lag:] ** 2).sum(-1) + (error[:-lag] ** 2).sum(-1)) / 2
    rows = np.isfinite(change)
    return change[rows], power[rows], way[rows]


def lasting(material: Sequence[Observed]) -> tuple[float, float, float]:
    """Return what time and what way leave 1/e of an ordinary error, and the share that is new in every frame.

    1 - correlation grows with the time between two frames and with the joint's way: the slopes over one frame, and over
    two, give all three.
    """
    rows: list[Array] = []
    target: list[float] = []
    for one in material:
        if one.source not in nf.MOVING:
            continue
        for lag in (1, 2, 3, 5):
            change, power, way = steps(one, lag)
            for low, high in ((0, 0.001), (0.001, 0.004), (0.004, 0.01), (0.01, 0.03)):
                part = (way >= low) & (way < high)
                if part.sum() < 30:
                    continue
                lost = float(change[part].sum() / (2 * power[part].sum()))
                share = np.sqrt(part.sum()) / (0.02 + lost)
                rows.append(share * np.array([1.0, lag / one.fps, way[part].mean()]))
                target.append(share * -np.log(max(1 - lost, 0.05)))
    white, per_second, per_way = np.linalg.lstsq(np.array(rows), np.array(target), rcond=None)[0]
    return 1 / max(per_second, 0.05), 1 / max(per_way, 0.5), max(float(white), 0.001)


def haste(material: Sequence[Observed], score: Array, time: float, still_s: float, moved: float) -> float:
    """Return how many times faster sureness changes than an ordinary error, from its changes over 1 and 5 frames.

    Args:
        material: Of it, the sequences with exact truth.
        score: At each of KNOTS.
        time: Standard deviation of sureness in time.
        still_s: After so long 1/e of an error is left.
        moved: Or after such a way of the joint.
    """
    ratios = []
    for lag in (1, 5):
        for name in nf.MOVING:
            change, decay = [], []
            for one in material:
                if one.source == name and len(one.score) > lag:
                    sure = np.where(one.state == VISIBLE, np.interp(one.score, score, KNOTS), np.nan)
                    step = (sure[lag:] - sure[:-lag]) ** 2
                    own = (one.truth_px - one.truth_px[:, :1]) / one.size_px[:, None, None]
                    way = np.linalg.norm(np.diff(own, axis=0), axis=-1)
                    change.append(step[np.isfinite(step)])
                    decay.append(lag * (1 / one.fps / still_s + way / moved).ravel())
            if change:
                left = max(1 - np.concatenate(change).mean() / (2 * time**2), 0.05)
                ratios.append(-np.log(left) / np.concatenate(decay).mean())
    return float(np.clip(np.mean(ratios), 0.5, 5))


def gross_landing(material: Sequence[Observed]) -> tuple[tuple[float, float, float], float]:
    """Say where gross errors land (mirrored joint, another joint, elsewhere), and how far off the last kind is."""
    count, far, weight = np.zeros(3), [], []
    for one in material:
        if one.source not in nf.EXACT:
            continue
        length = np.linalg.norm(errors(one), axis=-1)
        swapped = np.zeros(length.shape, np.bool_)
        swapped[:, 1:7], swapped[:, 11:17] = exchanged(one)[:, :1], exchanged(one)[:, 1:]
        for t, j in zip(*np.nonzero((length > nf.GROSS) & ~swapped), strict=True):
            away = np.linalg.norm(one.xy_px[t, j] - one.truth_px[t], axis=-1) / one.size_px[t]
            known = one.state[t] != UNKNOWN
            twin = MIRROR[j] != j and known[MIRROR[j]] and away[MIRROR[j]] < 0.06
            kind = 0 if twin else 1 if away[known].min() < 0.05 else 2
            count[kind] += WEIGHTS[one.source] / len(one.xy_px)
            if kind == 2:
                far.append(length[t, j])
                weight.append(WEIGHTS[one.source] / len(one.xy_px))
    mirrored, other, near = count / count.sum()
    # the median of a length whose coordinates have that deviation, given that it is above nf.GROSS
    middle = quantile(np.array(far), np.array(weight), [0.5])[0]
    return (float(mirrored), float(other), float(near)), float(np.sqrt((middle**2 - nf.GROSS**2) / (2 * np.log(2))))


def unseen(material: Sequence[Observed], state: int, size_px: int = 320) -> tuple[Array, float]:
    """Return the score's quantiles of covered or outside joints, and how they are spread round their place in sight."""
    score, away = [], []
    for one in material:
        if not one.source.startswith("rendered"):
            continue
        rows = one.state == state
        score.append(one.score[rows])
        place = np.clip(one.truth_px, 0, size_px) if state == OUTSIDE else one.truth_px
        away.append((np.linalg.norm(one.xy_px - place, axis=-1) / one.size_px[:, None])[rows])
    spread = np.median(np.concatenate(away)) / 1.1774
    return np.quantile(np.concatenate(score), QUARTERS), float(spread)


def body_axes(one: Observed) -> Array:
    """Return (T, 3, 2) what a step of one stature to a rendered person's right, up and ahead looks like."""
    xy = one.truth_px / one.size_px[:, None, None]
    right = (xy[:, 14] - xy[:, 11] + xy[:, 1] - xy[:, 4]) / SHOULDERS_AND_HIPS
    up = (xy[:, THORAX] - xy[:, PELVIS]) / TORSO
    ahead = (xy[:, NOSE] - (xy[:, THORAX] + xy[:, HEAD_TOP]) / 2 - NOSE_UP * up) / NOSE_AHEAD
    return np.stack([right, up, ahead], 1)


def _calm_errors(material: Sequence[Observed]) -> Iterator[tuple[Observed, Array, Array]]:
    for one in material:
        if one.source in nf.EXACT:
            error = errors(one)
            error[np.linalg.norm(error, axis=-1) > CALM] = np.nan
            yield one, body_axes(one), error


def opinion(material: Sequence[Observed]) -> tuple[Array, Array]:
    """Estimate the detector's own idea of each joint on rendered people.

    Returns:
        (17, 3) mean offsets in metres to the person's right, up, ahead, the same for both sides (least absolute
        deviations), and (17,) the standard deviation of a whole clip's mean error from that, along a picture axis.
    """
    parts = list(_calm_errors(material))
    weight = np.concatenate([np.full(len(o.xy_px), WEIGHTS[o.source] / len(o.xy_px)) for o, _, _ in parts])
    axes, error = (np.concatenate([part[i] for part in parts]) for i in (1, 2))
    offset = np.zeros((17, 3))
    for joint in range(17):
        rows = np.isfinite(error[:, joint]).all(-1)
        design, seen = axes[rows].transpose(0, 2, 1).reshape(-1, 3), error[rows, joint].ravel()
        base = np.repeat(weight[rows], 2)
        robust = base
        for _ in range(10):
            square = (design * robust[:, None]).T @ design
            offset[joint] = np.linalg.solve(square, (design * robust[:, None]).T @ seen)
            robust = base / np.maximum(np.abs(seen - design @ offset[joint]), 0.005)
    offset = (offset + offset[MIRROR] * [-1, 1, 1]) / 2
    lasting_part = []
    for one, turn, wrong in parts:
        if one.source in nf.MOVING:
            with np.errstate(invalid="ignore", divide="ignore"):
                rest = wrong - np.einsum("ja,tai->tji", offset, turn)
                there = np.isfinite(rest)
                lasting_part.append(np.where(there, rest, 0).sum(0) / np.where(there.sum(0) >= 6, there.sum(0), np.nan))
    spread = np.sqrt(np.nanmean(np.array(lasting_part) ** 2, axis=(0, 2)))
    return offset * STATURE_M, nf.symmetric(spread) * STATURE_M


def without_opinion(core: Array, joint_sure: Array, joint_core: Array, fixed: Array) -> tuple[Array, Array]:
    """Take what `biased` adds, (17,) statures along an axis, out of the ordinary error and its factors per joint."""
    rest = np.sqrt(np.maximum(core**2 - np.mean(fixed) ** 2, 0.3 * core**2))
    own = joint_core * np.interp(joint_sure, KNOTS, core)
    own_rest = np.sqrt(np.maximum(own**2 - fixed**2, 0.3 * own**2))
    return rest, own_rest / np.interp(joint_sure, KNOTS, rest)


def fit(material: Sequence[Observed]) -> DetectorModel:
    """Fit all numbers of the model; the nose's offset, where renderings say little, is kept."""
    samples = nf.gather(material)
    sure = nf.sureness(samples)
    rows = samples.exact & ~samples.swapped
    exact, known = samples.only(rows), sure[rows]
    core, gross = nf.by_sureness(exact, known)
    joint_sure, parts = nf.sure_parts(samples, sure)
    joint_core, level = nf.per_joint(exact, known, core)
    offset, spread = opinion(material)
    offset, spread = BELIEVED * offset, np.maximum(BODY_SHARE * spread, LEAST_SD_M)
    fixed = np.sqrt((offset**2).mean(1) + spread**2) / STATURE_M
    offset[NOSE], spread[NOSE] = FITTED.bias_m[NOSE], FITTED.bias_sd_m[NOSE]
    rest, joint_rest = without_opinion(core, joint_sure, joint_core, fixed)
    time, way, white = lasting(material)
    kinds, near = gross_landing(material)
    (hidden, guess), (outside, astray) = (unseen(material, state) for state in (HIDDEN, OUTSIDE))
    score = np.interp(KNOTS, np.sort(sure), np.sort(samples.score))
    faster = round(haste(material, score, parts[2], time, way), 1)
    return DetectorModel(
        KNOTS, _row(score), _row(rest, 4), _row(np.maximum(gross, 1e-4), 4), _row(parts, 2),
        faster, _row(joint_sure, 2), _row(joint_rest, 2), round(level, 2),
        _range(time), _range(way), _range(white, WHITE_SPREAD), _row(kinds, 2), round(near, 3),
        _row(swap_rates(material)), _row(hidden), _row(outside), round(guess, 3), round(astray, 3),
        tuple(_row(o) for o in offset), _row(spread),
    )  # fmt: skip


def swap_rates(material: Sequence[Observed]) -> Array:
    """Return the weighted share of frames with legs, and with arms, exchanged, of those that show all of them."""
    rates = np.zeros(2)
    for side, joints in enumerate(SIDES):
        shares, weights = [], []
        for name, weight in WEIGHTS.items():
            part = [o for o in material if o.source == name]
            seen = sum(int((o.state[:, np.ravel(joints)] == VISIBLE).all(-1).sum()) for o in part)
            if seen:
                shares.append(sum(int(exchanged(o)[:, side].sum()) for o in part) / seen)
                weights.append(weight)
        rates[side] = np.average(shares, weights=weights)
    return rates


def _row(values: Sequence[float] | Array, digits: int = 3) -> tuple[float, ...]:
    return tuple(round(float(v), digits) + 0.0 for v in values)


def _range(middle: float, spread: float = SPREAD) -> tuple[float, float]:
    return float(f"{middle / spread:.2g}"), float(f"{middle * spread:.2g}")
