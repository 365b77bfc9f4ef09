"""Turning what a detector said of known joints into the numbers of `train.data.motion.noise2d`.

Sureness is the score's rank among the visible joints of all material, as a normal quantile. Errors are looked at
where the truth is exact (rendered people) and the sides are not exchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from engines.skeletons import H36M17
from train.data.motion.noise2d import SIDES
from train.data.motion.observed2d import VISIBLE, Observed

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
NORMAL = NormalDist()

# how much each material counts; the gymnasts of LSPET little
WEIGHTS = {
    "demo": 0.1, "clips": 0.1, "rendered clips": 0.2, "rendered stills": 0.3, "coco": 0.1, "lspet upright": 0.15,
    "lspet": 0.05,
}  # fmt: skip
EXACT = ("demo", "rendered clips", "rendered stills")
MOVING = ("demo", "rendered clips")
GROSS = 0.067  # statures, 0.2 torso lengths: an error beyond that is gross, and a score is the belief that it is none
LONG = 25  # frames
KNOTS = (-2.4, -1.8, -1.3, -0.8, -0.3, 0.2, 0.8, 1.5, 2.3)
WIDTH = 0.25  # of the window round a knot
MIRROR = np.array(H36M17.mirror)
RAYLEIGH_MEDIAN, RAYLEIGH_LOG = 1.1774, 0.058  # of a length whose coordinates are unit normal; the mean logarithm


@dataclass(frozen=True)
class Samples:
    """Visible joints one by one, (N,) each.

    Attributes:
        source: Index into WEIGHTS.
        sequence: Number of the sequence.
        joint: H36M17 index.
        score: 0..1.
        error: In statures.
        weight: Sums to 1 over everything.
        swapped: Whether the whole limb pair was exchanged.
    """

    source: npt.NDArray[np.int64]
    sequence: npt.NDArray[np.int64]
    joint: npt.NDArray[np.int64]
    score: Array
    error: Array
    weight: Array
    swapped: Mask

    def only(self, rows: Mask) -> Samples:
        """Return some of them."""
        return replace(self, **{name: getattr(self, name)[rows] for name in self.__dataclass_fields__})

    @property
    def exact(self) -> Mask:
        """Where the truth is exact."""
        return np.isin(self.source, [list(WEIGHTS).index(name) for name in EXACT])


def errors(one: Observed) -> Array:
    """Return (T, 17, 2) errors in statures, NaN where the joint is not visible."""
    error = (one.xy_px - one.truth_px) / one.size_px[:, None, None]
    return np.where((one.state == VISIBLE)[..., None], error, np.nan).astype(np.float64)


def exchanged(one: Observed) -> Mask:
    """Return (T, 2): legs, arms exchanged as a whole, all joints visible."""
    out = np.zeros((len(one.xy_px), 2), np.bool_)
    for side, (right, left) in enumerate(SIDES):
        joints = [*right, *left]
        seen = (one.state[:, joints] == VISIBLE).all(-1)
        far = [
            np.linalg.norm(one.xy_px[:, joints] - one.truth_px[:, at], axis=-1).mean(1) / one.size_px
            for at in (joints, [*left, *right])
        ]
        out[:, side] = seen & (far[1] < far[0] - 0.03) & (far[1] < GROSS)
    return out


def gather(material: Sequence[Observed]) -> Samples:
    """Put all visible joints together; each source gets its weight, whatever the number of its people."""
    counts = {name: sum((o.state == VISIBLE).sum() for o in material if o.source == name) for name in WEIGHTS}
    total = sum(weight for name, weight in WEIGHTS.items() if counts[name])
    columns = []
    for number, one in enumerate(material):
        length = np.linalg.norm(errors(one), axis=-1)
        t, j = np.nonzero(np.isfinite(length))
        swapped = np.zeros(length.shape, np.bool_)
        for side, joints in enumerate(SIDES):
            swapped[:, np.ravel(joints)] = exchanged(one)[:, side : side + 1]
        weight = WEIGHTS[one.source] / counts[one.source] / total
        full = [np.full(len(t), v) for v in (list(WEIGHTS).index(one.source), number, weight)]
        columns.append((full[0], full[1], j, one.score[t, j], length[t, j], full[2], swapped[t, j]))
    return Samples(*(np.concatenate(c) for c in zip(*columns, strict=True)))


def quantile(values: Array, weight: Array, shares: Sequence[float]) -> Array:
    """Return weighted quantiles."""
    order = np.argsort(values)
    at = np.cumsum(weight[order]) - weight[order] / 2
    return np.interp(np.asarray(shares) * weight.sum(), at, values[order])


def sureness(samples: Samples) -> Array:
    """Return (N,) normal quantiles of the scores' ranks."""
    order = np.argsort(samples.score, kind="stable")
    rank = np.empty(len(order))
    rank[order] = np.cumsum(samples.weight[order]) - samples.weight[order] / 2
    rank /= samples.weight.sum()
    grid = np.linspace(-3.7, 3.7, 1500)
    return np.interp(rank, [NORMAL.cdf(z) for z in grid], grid)


def by_sureness(samples: Samples, sure: Array) -> tuple[Array, Array]:
    """Return the ordinary error (standard deviation along an axis) and the share of gross ones at each knot."""
    core, gross = [], []
    for knot in KNOTS:
        near = samples.weight * np.exp(-0.5 * ((sure - knot) / WIDTH) ** 2)
        wild = samples.error > GROSS
        gross.append(np.average(wild, weights=near))
        core.append(quantile(samples.error[~wild], near[~wild], [0.5])[0] / RAYLEIGH_MEDIAN)
    return np.array(core), np.array(gross)


def sure_parts(samples: Samples, sure: Array) -> tuple[Array, tuple[float, float, float]]:
    """Split sureness into joints' means (17,) and the standard deviations between sequences, their joints, in time."""
    mean = symmetric(_means(samples.joint, sure, samples.weight, 17))
    rest = sure - mean[samples.joint]
    sequences = _means(samples.sequence, rest, samples.weight, samples.sequence.max() + 1)
    shares = np.bincount(samples.sequence, samples.weight)
    between = float(np.sqrt(np.average(np.nan_to_num(sequences) ** 2, weights=shares)))
    rest = rest - sequences[samples.sequence]
    whole = float(np.average(rest**2, weights=samples.weight))
    key = samples.sequence * 17 + samples.joint
    count = np.bincount(key)
    long = count[key] >= LONG  # in shorter ones, slow changes would pass for the joint's own
    joints = _means(key[long], rest[long], samples.weight[long], len(count))
    time = float(np.average((rest - joints[key])[long] ** 2, weights=samples.weight[long]))
    within, time = np.sqrt(max(whole - time, 0.0)), np.sqrt(time)
    return mean, (between, float(within), float(time))


def per_joint(samples: Samples, sure: Array, core: Array) -> tuple[Array, float]:
    """Return factors (17,) of the ordinary error, and the spread (logarithm) between sequences beyond the scores'."""
    calm = samples.only(samples.error <= GROSS)
    excess = np.log(np.maximum(calm.error, 5e-4) / np.interp(sure[samples.error <= GROSS], KNOTS, core)) - RAYLEIGH_LOG
    joints = symmetric(_means(calm.joint, excess, calm.weight, 17))
    rest = excess - joints[calm.joint]
    rest -= np.average(rest, weights=calm.weight)
    count = np.bincount(calm.sequence)
    mean = _means(calm.sequence, rest, calm.weight, len(count))
    many = count >= 10
    share = np.bincount(calm.sequence, calm.weight)[many]
    chance = np.average(0.64**2 / count[many], weights=share)  # what the mean of so few joints would spread anyway
    spread = np.sqrt(max(np.average(mean[many] ** 2, weights=share) - chance, 0.0))
    return np.exp(joints - np.mean(joints)), float(spread)


def symmetric(per_joint: Array) -> Array:
    """Return (17, ...) numbers made the same for left and right."""
    return (per_joint + per_joint[MIRROR]) / 2


def _means(key: npt.NDArray[np.int64], value: Array, weight: Array, count: int) -> Array:
    """Return (count,) weighted means by key, NaN where there is none."""
    with np.errstate(invalid="ignore"):
        return np.bincount(key, weight * value, count) / np.bincount(key, weight, count)
