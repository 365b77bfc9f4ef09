"""How sure a difference between two detectors on the same people is.

The people are drawn again and again with replacement, and on every draw both detectors are judged (the percentile
bootstrap of paired data; Efron and Tibshirani, "An Introduction to the Bootstrap", 1993). Joints of one person are
right or wrong together, so people are drawn, not joints.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from train.measure.metrics2d import LIMBS, can_tell_sides, errors, fits_exchanged, rows_of

Float = npt.NDArray[np.float32]
Bool = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.float64]
DRAWS, COVERED = 2000, 95.0
EXCHANGED_OF = "left/right exchanged, share of theirs"


def differences(ours: Float, theirs: Float, truth: Float, labelled: Bool, seed: int = 0) -> dict[str, list[float]]:
    """Compare two detectors on the same people.

    Args:
        ours: (N, 17, 2) joints found, pixels.
        theirs: (N, 17, 2) the other's.
        truth: (N, 17, 2).
        labelled: (N, 17).
        seed: Of the draws.

    Returns:
        By figure the difference (of exchanges the quotient) and the ends of its 95 % interval, NaN where there is
        nothing to compare: PCK@0.2 of the limbs by torso and by box, ours less theirs; exchanges, ours by theirs.
    """
    people = len(truth)
    draws = np.random.default_rng(seed).multinomial(people, np.full(people, 1 / people), DRAWS).astype(np.float64)
    once = np.ones((1, people))
    out = {}
    for reference in ("torso", "box"):
        pairs = [_right(xy, truth, labelled, reference) for xy in (ours, theirs)]
        out[f"limbs pck@0.2 {reference}"] = _interval(
            lambda w, p=pairs: _share(w, *p[0]) - _share(w, *p[1]), once, draws
        )
    can = can_tell_sides(labelled)
    swaps = [np.where(can, fits_exchanged(xy, truth, labelled), 0).astype(np.float64) for xy in (ours, theirs)]
    out[EXCHANGED_OF] = _interval(lambda w: _share(w, swaps[0], swaps[1]), once, draws)
    return out


def beside(
    found: dict[str, tuple[Float, Float]], truth: Float, labelled: Bool, ours: str = "posestream"
) -> dict[str, dict[str, list[float]]]:
    """Return `differences` from each of the others by name; `found` is that of `evaluate2d.predict`."""
    return {name: differences(found[ours][0], xy, truth, labelled) for name, (xy, _) in found.items() if name != ours}


def as_text(figure: str, interval: Sequence[float]) -> str:
    """Return one of `differences` for people: points with a sign, or the quotient, and the interval behind it."""
    middle, low, high = interval
    if not np.isfinite(middle):
        return ""
    if figure == EXCHANGED_OF:
        return f"{middle:.2f} ({low:.2f} to {high:.2f})"
    return f"{100 * middle:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


def _right(xy: Float, truth: Float, labelled: Bool, reference: str) -> tuple[Counts, Counts]:
    """Return (N,) how many limb joints are right and of how many that is known."""
    away = errors(xy, truth, labelled, reference)[:, rows_of(LIMBS)]
    return (away <= 0.2).sum(1).astype(np.float64), np.isfinite(away).sum(1).astype(np.float64)


def _share(weights: Counts, some: Counts, of: Counts) -> Any:
    """Return (D,) the weighted sum of one by that of the other."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return (weights @ some) / (weights @ of)


def _interval(figure: Callable[[Counts], Any], once: Counts, draws: Counts) -> list[float]:
    """Return a figure of all people and the ends of its interval."""
    drawn = figure(draws)
    drawn = drawn[np.isfinite(drawn)]
    middle = float(figure(once)[0])
    if not len(drawn) or not np.isfinite(middle):
        return [float("nan")] * 3
    low, high = np.percentile(drawn, [(100 - COVERED) / 2, (100 + COVERED) / 2])
    return [middle, float(low), float(high)]
