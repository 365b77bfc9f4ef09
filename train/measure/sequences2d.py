"""Judging memory: sequences with known truth, an occlusion in their middle, and what a detector makes of them.

Sequences come from held-out stills (a crop and a camera that wander, `motion2d`) and from held-out rendered
clips. In the middle something covers the whole person for ten frames.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from engines.joint_filter import FRAME_S, JointFilter
from engines.runtime import Engine
from train.data.people.augment2d import AugmentConfig
from train.data.people.people2d import StillSet, draw
from train.measure.metrics2d import errors, frames_to_recover, jitter, pck
from train.models.detector import Detector

Float = npt.NDArray[np.float32]
Follow = Callable[[npt.NDArray[np.uint8]], tuple[Float, Float]]
"""Crops (N, T, H, W, 3) to xy (N, T, 17, 2) in crop pixels and score (N, T, 17)."""

FRAMES, HIDDEN = 32, range(12, 22)
CALM = AugmentConfig(any_angle=0, tilt=10, half_body=0, occlude=0, glimpse=0, perspective=0.5, flicker=0.5)
LABELLED = 12  # least number of joints for a still to become a sequence


@dataclass(frozen=True)
class Sequences:
    """N sequences of T crops of one person each.

    Attributes:
        crops: (N, T, H, W, 3) uint8.
        xy: (N, T, 17, 2) truth in crop pixels.
        known: (N, T, 17) where there is truth; not in the frames of the occlusion.
        hidden: The frames of the occlusion.
    """

    crops: npt.NDArray[np.uint8]
    xy: Float
    known: npt.NDArray[np.bool_]
    hidden: range


def make_sequences(
    stills: StillSet,
    count: int,
    crop_wh: tuple[int, int],
    frames: int = FRAMES,
    hidden: range = HIDDEN,
    augment: AugmentConfig = CALM,
    seed: int = 0,
) -> Sequences:
    """Make sequences of the set's first well-labelled people; clips go on with their own frames.

    Args:
        stills: Pictures or clips.
        count: At most so many.
        crop_wh: Size of the crops.
        frames: T.
        hidden: When the person is covered; an empty range for never.
        augment: How crop and light move.
        seed: Of all that is drawn.

    Raises:
        ValueError: If the set has nobody with enough labelled joints.
    """
    plain, starts = replace(stills, augment=replace(augment, crop_wh=crop_wh)), set(range(len(stills)))
    starts -= set(stills.following[stills.following >= 0].tolist())  # the middle of a clip is no start
    rows = [i for i in sorted(starts) if (stills.weight[i] > 0).sum() >= LABELLED][:count]
    if not rows:
        raise ValueError(f"{stills.name}: nobody has {LABELLED} labelled joints")
    samples = [draw(np.random.default_rng([seed, i]), plain, i, frames, None) for i in rows]
    known = np.stack([s["weight"] for s in samples]) > 0
    crops, xy = np.stack([s["crops"] for s in samples]), np.stack([s["xy"] for s in samples])
    for n, t in np.ndindex(len(crops), frames):
        if t in hidden:
            _cover(crops[n, t], xy[n, t], known[n, t])
    known[:, [t for t in range(frames) if t in hidden]] = False
    return Sequences(crops, xy, known, hidden)


def _cover(crop: npt.NDArray[np.uint8], xy: Float, known: npt.NDArray[np.bool_]) -> None:
    """Paint the picture's mean colour over a person, in place."""
    if known.any():
        low, high = xy[known].min(0), xy[known].max(0)
        pad = 0.15 * (high - low).max()
        x0, y0, x1, y1 = (int(max(v, 0)) for v in (*(low - pad), *(high + pad)))
        crop[y0:y1, x0:x1] = crop.mean((0, 1))


def follow_with_engine(engine: Engine, forget: bool = False) -> Follow:
    """Return a function that goes through sequences frame by frame, as the pipeline does.

    Args:
        engine: A detector; with a look-ahead, its late answers are put back in their places.
        forget: Take each frame as the first.
    """
    ahead = int(engine.spec.settings.get("look_ahead_frames", 0))

    def follow(crops: npt.NDArray[np.uint8]) -> tuple[Float, Float]:
        keys, last, out = list(range(len(crops))), crops.shape[1] - 1, []
        for t in range(last + 1 + ahead):
            frame = np.ascontiguousarray(crops[:, min(t, last)])
            out.append(engine.run({"crops": frame}, keys, keys if forget or t == 0 else ()))
        xy, score = (np.stack([o[name] for o in out[ahead:]], 1) for name in ("xy", "score"))
        return xy.astype(np.float32), score.astype(np.float32)

    return follow


def follow_with_model(model: Detector, batch: int = 4) -> Follow:
    """Return a function that gives whole sequences to the training graph."""

    @torch.no_grad()
    def follow(crops: npt.NDArray[np.uint8]) -> tuple[Float, Float]:
        device, parts = next(model.parameters()).device, []
        for some in torch.from_numpy(crops).split(batch):
            joints = model(some.to(device))
            parts.append((joints.xy.float().cpu(), torch.sigmoid(joints.score_logit).float().cpu()))
        xy, score = (torch.cat(column).unflatten(0, crops.shape[:2]).numpy() for column in zip(*parts, strict=True))
        return xy, score

    return follow


def steadied(xy: Float, score: Float) -> Float:
    """Put joints (N, T, 17, 2) with scores (N, T, 17) through the pipeline's filter, at 30 frames a second."""
    joint_filter, keys = JointFilter(), list(range(len(xy)))
    frames = range(xy.shape[1])
    return np.stack([joint_filter.steady(xy[:, t], score[:, t], t * FRAME_S, keys) for t in frames], 1)


def filtered(follow: Follow) -> Follow:
    """Return the same with the pipeline's filter of the joints behind it."""

    def with_filter(crops: npt.NDArray[np.uint8]) -> tuple[Float, Float]:
        xy, score = follow(crops)
        return steadied(xy, score), score

    return with_filter


def measure_sequences(sequences: Sequences, follow: Follow) -> dict[str, float]:
    """Return the figures of one detector.

    Returns:
        `pck@0.2 torso`, `pck@0.1 torso` and `pck@0.2 box` over all frames without the occlusion; `jitter torso`, mean
        second difference of the error in torso lengths; `recovery frames`, mean of `frames_to_recover`; `score hidden`
        and `score seen`, mean scores during the occlusion and otherwise.
    """
    xy, score = follow(sequences.crops)
    truth, known = sequences.xy, sequences.known
    flat = [a.reshape(-1, *a.shape[2:]) for a in (xy, truth, known)]
    out = {f"pck@{s} {r}": pck(*flat, s, r) for s, r in ((0.2, "torso"), (0.1, "torso"), (0.2, "box"))}
    out["jitter torso"] = jitter(xy, truth, known)
    covered = [t in sequences.hidden for t in range(xy.shape[1])]
    if any(covered):
        away = errors(*flat, "torso").reshape(known.shape)
        out["recovery frames"] = _mean(frames_to_recover(away, sequences.hidden))
        out["score hidden"] = float(score[:, covered].mean())
    out["score seen"] = float(score[:, [not c for c in covered]].mean())
    return out


def _mean(values: Sequence[float] | Float) -> float:
    known = np.asarray(values)[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")
