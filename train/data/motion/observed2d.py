"""What the shipped detector says of people whose joints are known: the material that `noise2d` is fitted to.

Every sequence is run as the pipeline runs it: with memory, the crop following the joints found in the frame before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from engines.detector import Detector
from engines.skeletons import COCO17, H36M17, to_h36m17
from train.data.people.clips import HELD_OUT_SHARE, find_person, read_frames
from train.data.people.people2d import StillSet, load_shard
from train.data.people.teacher import Teacher
from train.measure.evaluate2d import Person

Float = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]
UNKNOWN, VISIBLE, HIDDEN, OUTSIDE = range(4)
PELVIS, THORAX, KNEES = H36M17.index("pelvis"), H36M17.index("thorax"), (2, 5)
ARRAYS = ("xy_px", "score", "truth_px", "state", "size_px")
MARGIN, KEEP_BOX, SEEN = 0.12, 0.4, 0.3  # as pipeline.inference.track.TrackConfig follows a person
TEACHER_SURE, TEACHER_APART = 0.45, 0.02  # stricter than for training: only what can stand for the truth

# bones with their usual length as a share of the stature; the third largest ratio of a picture says how large one is
BONES = (
    (1, 2, 0.239), (2, 3, 0.254), (4, 5, 0.240), (5, 6, 0.254), (0, 8, 0.333), (11, 12, 0.176), (12, 13, 0.168),
    (14, 15, 0.176), (15, 16, 0.168), (1, 14, 0.320), (4, 11, 0.320), (8, 10, 0.111),
)  # fmt: skip
THIRD_LARGEST = 1.045  # its median over random cameras, relative to the true stature; sd 7 %


@dataclass(frozen=True)
class Observed:
    """One person over T frames.

    Attributes:
        source: Which material.
        name: Clip or picture.
        xy_px, score: (T, 17, 2), (T, 17) the detector's.
        truth_px: (T, 17, 2), meaningless where `state` is UNKNOWN.
        state: (T, 17) int8 UNKNOWN, VISIBLE, HIDDEN (behind something) or OUTSIDE the picture.
        size_px: (T,) apparent stature, NaN where too few joints are known.
        fps: Frames per second; 0 for a still.
    """

    source: str
    name: str
    xy_px: Float
    score: Float
    truth_px: Float
    state: npt.NDArray[np.int8]
    size_px: Float
    fps: float


def apparent_stature(xy: Float, known: npt.NDArray[np.bool_]) -> Float:
    """Guess the apparent stature from (..., 17, 2) joints; NaN where fewer than five bones are known."""
    a, b, share = (np.array(column) for column in zip(*BONES, strict=True))
    ratio = np.linalg.norm(xy[..., a.astype(int), :] - xy[..., b.astype(int), :], axis=-1) / share
    counted = known[..., a.astype(int)] & known[..., b.astype(int)]
    third = np.sort(np.where(counted, ratio, 0), -1)[..., -3] / THIRD_LARGEST
    return np.where(counted.sum(-1) >= 5, third, np.nan).astype(np.float32)


def followed(detector: Detector, images: Sequence[Image], box: Float) -> tuple[Float, Float]:
    """Run over consecutive pictures as the pipeline does; return xy (T, 17, 2) and score (T, 17)."""
    places, scores = [], []
    for number, image in enumerate(images):
        xy, score = (a[0] for a in detector.detect(image, box[None], [0], [0] if number == 0 else ()))
        places.append(xy)
        scores.append(score)
        seen = xy[score >= SEEN]
        if len(seen) >= 4:
            found = grown(seen)
            box = (found if number == 0 else KEEP_BOX * box + (1 - KEEP_BOX) * found).astype(np.float32)
    return np.stack(places), np.stack(scores)


def grown(xy: Float) -> Float:
    """Return the (4,) box of joints with the pipeline's margin."""
    low, high = xy.min(0), xy.max(0)
    margin = MARGIN * float((high - low).max())
    return np.concatenate([low - margin, high + margin]).astype(np.float32)


def of_person(detector: Detector, source: str, name: str, person: Person) -> Observed:
    """Run on one labelled still."""
    xy, score = followed(detector, [person.image], grown(person.xy[person.labelled]))
    state = np.where(person.labelled, VISIBLE, UNKNOWN).astype(np.int8)[None]
    size = apparent_stature(person.xy, person.labelled)[None]
    return Observed(source, name, xy, score, person.xy[None].astype(np.float32), state, size, 0.0)


def of_shard(detector: Detector, path: Path, source: str, fps: float) -> Iterator[Observed]:
    """Run on rendered people with exact truth: stills (`fps` 0) or the clips of `train.tasks.render clips`."""
    stills = load_shard(path)
    after = set(stills.following[stills.following >= 0].tolist())
    for first in range(len(stills)):
        if first in after:
            continue
        rows = [first]
        while stills.following[rows[-1]] >= 0:
            rows.append(int(stills.following[rows[-1]]))
        yield _of_rows(detector, stills, rows, source, fps)


def _of_rows(detector: Detector, stills: StillSet, rows: list[int], source: str, fps: float) -> Observed:
    images, truth = [stills.picture(r) for r in rows], stills.xy_px[rows]
    state = np.where(stills.absent[rows], OUTSIDE, np.where(stills.weight[rows] >= 1, VISIBLE, HIDDEN)).astype(np.int8)
    inside = truth[0][state[0] != OUTSIDE]
    xy, score = followed(detector, images, grown(inside))
    size = apparent_stature(truth, np.ones(truth.shape[:2], bool))  # what lies outside is known exactly too
    return Observed(source, f"{stills.name}:{rows[0]}", xy, score, truth, state, size, fps)


def of_demo(detector: Detector, video: Path, truth_npz: Path) -> Observed:
    """Run on the demo clip, with its exact truth."""
    frames = read_frames(video)
    with np.load(truth_npz) as z:
        truth, numbers, wh, fps = z["xy_px"], z["frame"], z["size_wh"], float(z["fps"])
    images = [frames[n] for n in numbers]
    xy, score = followed(detector, images, grown(truth[0]))
    outside = ((truth < 0) | (truth > wh)).any(-1)
    size = apparent_stature(truth, ~outside)
    return Observed(
        "demo", video.stem, xy, score, truth, np.where(outside, OUTSIDE, VISIBLE).astype(np.int8), size, fps
    )


def of_clip(detector: Detector, teacher: Teacher, path: Path, every: int) -> Iterator[Observed]:
    """Run on the held-out last third of a real clip; every n-th frame is judged by what MoveNet's views agree on."""
    fps = float(cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FPS))
    frames = read_frames(path)
    frames = frames[int(len(frames) * (1 - HELD_OUT_SHARE)) :]
    begin = 0
    while begin < len(frames):
        box = find_person(teacher, frames[begin], None)
        if box is None:
            begin += 5
            continue
        xy, score = followed(detector, frames[begin:], box)
        there = np.sort(score, 1)[:, 8:].mean(1) >= 0.35  # the pipeline's measure of a person being there
        gone = np.flatnonzero(~there)
        length = int(gone[0]) if len(gone) else len(xy)
        if length >= 20:
            yield _with_teacher(teacher, path, frames[begin : begin + length], xy[:length], score[:length], fps, every)
        begin += max(length, 5)


def _with_teacher(
    teacher: Teacher, path: Path, images: list[Image], xy: Float, score: Float, fps: float, every: int
) -> Observed:
    truth, state = np.zeros_like(xy), np.zeros(score.shape, np.int8)
    for t in range(0, len(images), every):
        found, sure, spread = teacher.agreed(images[t], grown(xy[t][score[t] >= SEEN]))
        counted = ((sure > TEACHER_SURE) & (spread < TEACHER_APART)).astype(np.float32)
        truth[t], known = to_h36m17(found, counted, COCO17)
        state[t] = np.where(known > 0, VISIBLE, UNKNOWN)
    state[:, THORAX] = UNKNOWN  # MoveNet has no neck
    size = apparent_stature(xy, score >= SEEN)
    return Observed("clips", path.stem, xy, score, truth, state, size, fps)


def upright(one: Observed) -> bool:
    """Whether a still shows a standing person: torso within 20 degrees of the vertical, knees below the hips."""
    truth, known = one.truth_px[0], one.state[0] != UNKNOWN
    down = truth[PELVIS] - truth[THORAX]
    if known.sum() < 12 or not known[PELVIS] or not known[THORAX] or down[1] < 0.94 * np.linalg.norm(down):
        return False
    return all(truth[PELVIS, 1] < truth[knee, 1] for knee in KNEES if known[knee])


def save_observed(path: Path, material: Sequence[Observed]) -> None:
    """Write sequences to an npz, one after the other."""
    arrays = {name: np.concatenate([getattr(o, name) for o in material]) for name in ARRAYS}
    np.savez(
        path, starts=np.cumsum([0, *(len(o.score) for o in material)]), fps=[o.fps for o in material],
        source=[o.source for o in material], name=[o.name for o in material], **arrays,
    )  # fmt: skip


def load_observed(path: Path) -> list[Observed]:
    """Read what `save_observed` wrote."""
    with np.load(path) as z:
        arrays = {name: z[name] for name in z.files}
    return [
        Observed(
            str(arrays["source"][i]), str(arrays["name"][i]), fps=float(arrays["fps"][i]),
            **{name: arrays[name][first:last] for name in ARRAYS},
        )
        for i, (first, last) in enumerate(pairwise(arrays["starts"]))
    ]  # fmt: skip
