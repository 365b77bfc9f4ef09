"""How well boxes were found: recall, ghosts, and how far off the boxes are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engines.finder import Finder
from engines.geometry import box_iou
from train.data.people.boxes_augment import Scene

Float = npt.NDArray[np.float32]
SWEEP = (0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6)
"""Thresholds that `sweep` tries."""
FRAME_WH = (1280, 720)
"""Heights of people are given as in a picture that fits into this."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One picture with what the finder said about it.

    Attributes:
        scene: The picture and its people; `ignore` regions excuse what is found there.
        boxes: (N, 4) float32 found, pixels of the picture.
        scores: (N,) float32.
    """

    scene: Scene
    boxes: Float
    scores: Float


def judge(finder: Finder, scenes: Iterable[Scene]) -> list[Judged]:
    """Run the finder on every scene; its threshold should be `LOW`."""
    return [Judged(scene, *finder.find(np.ascontiguousarray(scene.image))) for scene in scenes]


def matched(found: Float, people: Float, iou: float = 0.5) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Pair found boxes (best first) with people, greedily; return the indices of both."""
    overlap = box_iou(found, people) if len(found) and len(people) else np.zeros((len(found), len(people)), np.float32)
    pairs = []
    for i in range(len(found)):
        if len(people) and overlap[i].max() >= iou:
            j = int(overlap[i].argmax())
            pairs.append((i, j))
            overlap[:, j] = 0
    rows = np.array(pairs, np.intp).reshape(-1, 2)
    return rows[:, 0], rows[:, 1]


def ghosts(found: Float, scene: Scene) -> int:
    """Count found boxes on nobody: IoU below 0.3 with everybody and mostly outside of every known region."""
    count = 0
    known = np.concatenate([scene.boxes, scene.ignore])
    for box in found:
        size = np.maximum(np.minimum(box[2:], known[:, 2:]) - np.maximum(box[:2], known[:, :2]), 0)
        inside = size.prod(1) / max(float((box[2:] - box[:2]).prod()), 1e-6)
        near = len(scene.boxes) and box_iou(box[None], scene.boxes).max() >= 0.3
        count += not (near or (inside > 0.5).any())
    return count


def figures(judged: Sequence[Judged], threshold: float) -> dict[str, float]:
    """Return what a threshold leaves: recall at IoU 0.5, ghosts, share of empty pictures with a ghost, mean IoU.

    `centre_error` is the median distance of the hits' centres from the truth, in parts of the person's longer side.
    """
    people = hits = ghost_count = empty = haunted = 0
    ious, errors = [], []
    for one in judged:
        found = one.boxes[one.scores >= threshold]
        i, j = matched(found, one.scene.boxes)
        people, hits = people + len(one.scene.boxes), hits + len(i)
        count = ghosts(found, one.scene)
        ghost_count += count
        if not len(one.scene.boxes) and not len(one.scene.ignore):
            empty, haunted = empty + 1, haunted + (count > 0)
        for a, b in zip(found[i], one.scene.boxes[j], strict=True):
            ious.append(float(box_iou(a[None], b[None])[0, 0]))
            errors.append(float(np.hypot(*((a[:2] + a[2:] - b[:2] - b[2:]) / 2)) / (b[2:] - b[:2]).max()))
    return {
        "pictures": len(judged),
        "people": people,
        "recall": hits / people if people else float("nan"),
        "ghosts_per_picture": ghost_count / max(len(judged), 1),
        "ghost_share_empty": haunted / empty if empty else float("nan"),
        "empty": empty,
        "iou": float(np.mean(ious)) if ious else float("nan"),
        "centre_error": float(np.median(errors)) if errors else float("nan"),
    }


def sweep(groups: Mapping[str, Sequence[Judged]]) -> dict[float, dict[str, float]]:
    """Return, by threshold and group, recall where there are people and the ghost share where there are none."""
    out: dict[float, dict[str, float]] = {}
    for threshold in SWEEP:
        out[threshold] = {}
        for name, judged in groups.items():
            row = figures(judged, threshold)
            if row["people"]:
                out[threshold][f"recall, {name}"] = row["recall"]
            if row["empty"]:
                out[threshold][f"ghosts, {name}"] = row["ghost_share_empty"]
    return out


def recall_at_rate(
    groups: Mapping[str, Sequence[Judged]], quiet: Sequence[Judged], per_frame: float = 1e-3, least_px: float = 60.0
) -> dict[str, float]:
    """Return what is found of all but the smallest people when so few boxes on empty pictures are allowed.

    Args:
        groups: Judged pictures.
        quiet: Pictures to choose the threshold on; those with people or with regions to ignore are passed over.
        per_frame: Ghosts per empty picture.
        least_px: Height of a person in a picture of 1280x720 from which on they count.

    Returns:
        `threshold` that leaves no more ghosts than that, `empty` pictures, and recall and number of people by group.
    """
    empties = [one for one in quiet if not len(one.scene.boxes) and not len(one.scene.ignore)]
    scores = np.sort(np.concatenate([one.scores for one in empties]))[::-1] if empties else np.zeros(0, np.float32)
    allowed = int(per_frame * len(empties))
    threshold = float(np.nextafter(scores[allowed], np.float32(2))) if len(scores) > allowed else 0.0
    out: dict[str, float] = {"threshold": threshold, "empty": len(empties)}
    for name, judged in groups.items():
        people = hits = 0
        for one in judged:
            height, width = one.scene.image.shape[:2]
            tall = (one.scene.boxes[:, 3] - one.scene.boxes[:, 1]) * min(FRAME_WH[0] / width, FRAME_WH[1] / height)
            _, found = matched(one.boxes[one.scores >= threshold], one.scene.boxes)
            people, hits = people + int((tall >= least_px).sum()), hits + int((tall[found] >= least_px).sum())
        if people:
            out |= {f"recall, {name}": hits / people, f"people, {name}": people}
    return out
