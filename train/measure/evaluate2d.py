"""Judging the 2D detector: labelled people beside MoveNet, ghosts where nobody is, steadiness on real clips."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from engines.detector import Detector
from engines.skeletons import COCO17, H36M17, to_h36m17
from train.data.people.boxes_augment import decode_rgb
from train.data.people.boxes_backgrounds import Backgrounds
from train.data.people.boxes_clips import read_clip
from train.data.people.clips import FOUND, HELD_OUT_SHARE, find_person, joints_box, read_frames
from train.data.people.lspet import load_lspet
from train.data.people.nobody import somewhere
from train.data.people.people2d import StillSet
from train.data.people.teacher import Teacher
from train.measure.calibrate import reliability
from train.measure.metrics2d import (
    GROUPS,
    LIMBS,
    calibration_error,
    errors,
    exchanged,
    pck,
    pck_by_joint,
    presence,
    side_opinion,
)
from train.measure.peers2d import mediapipe_joints, movenet_joints
from train.measure.sequences2d import steadied

Float = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]
SETTLE = 0.6  # share of the last box kept when a clip's person is followed by the joints found
MEMORY = {"memory": False, "fresh": True}  # whether to forget before each frame
EMPTY_CLIP = "one-by-one-person-detection.mp4"


@dataclass(frozen=True)
class Person:
    """One labelled person: picture, box (4,), truth (17, 2) and which joints are labelled (17,)."""

    image: Image
    box: Float
    xy: Float
    labelled: npt.NDArray[np.bool_]


def set_people(stills: StillSet) -> Iterator[Person]:
    """Yield the people of a set, in its boxes."""
    for i in range(len(stills)):
        yield Person(stills.picture(i), stills.box_xyxy_px[i], stills.xy_px[i], stills.weight[i] > 0)


def lspet_people(folder: Path) -> Iterator[Person]:
    """Yield the held-out tenth of LSPET; the box is that of the marked joints."""
    return set_people(load_lspet(folder, held_out=True))


def coco_people(folder: Path, least: int = 6) -> Iterator[Person]:
    """Yield people of a COCO keypoint file with at least so many labelled joints, in the annotated box."""
    index = json.loads((folder / "keypoints.json").read_text())
    names = {image["id"]: image["file_name"] for image in index["images"]}
    for person in index["annotations"]:
        points = np.asarray(person["keypoints"], np.float32).reshape(17, 3)
        if (points[:, 2] > 0).sum() < least or person.get("iscrowd"):
            continue
        image = cv2.imread(str(folder / "images" / Path(names[person["image_id"]]).name))
        xy, labelled = to_h36m17(points[:, :2] + 0.5, (points[:, 2] > 0).astype(np.float32), COCO17)
        x, y, w, h = person["bbox"]
        box = np.array([x, y, x + w, y + h], np.float32)
        yield Person(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), box, xy, labelled > 0)


def predict(
    people: list[Person], detector: Detector, teacher: Teacher | None, mediapipe: Path | None = None
) -> dict[str, tuple[Float, Float]]:
    """Run all on every person: xy (N, 17, 2) and score (N, 17) by model name; see `peers2d` for the others."""
    ours = [detector.detect(p.image, p.box[None], [number]) for number, p in enumerate(people)]
    found = {"posestream": (np.concatenate([o[0] for o in ours]), np.concatenate([o[1] for o in ours]))}
    images, boxes = [p.image for p in people], [p.box for p in people]
    if teacher is not None:
        found["movenet"] = movenet_joints(images, boxes, teacher)
    if mediapipe is not None:
        found["mediapipe"] = mediapipe_joints(images, boxes, mediapipe)
    return found


def judged(people: list[Person], xy: Float) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return (N, 17) which joints are right, within 0.2 torso lengths, and (N, 17) of which that is known."""
    truth, labelled = np.stack([p.xy for p in people]), np.stack([p.labelled for p in people])
    away = errors(xy, truth, labelled, "torso")
    return np.nan_to_num(away, nan=np.inf) <= 0.2, np.isfinite(away)


CONFIRMED = "left/right exchanged, where MediaPipe confirms the label"


def measure(people: list[Person], found: dict[str, tuple[Float, Float]]) -> dict[str, dict[str, float]]:
    """Return the figures of each model; `limbs` are the 12 joints that both have.

    A person counts as detected where `presence` is at least FOUND: the share of labelled people for whom that is so.
    """
    truth, labelled = np.stack([p.xy for p in people]), np.stack([p.labelled for p in people])
    third = side_opinion(*found["mediapipe"], truth, labelled) if "mediapipe" in found else np.zeros(len(people))
    out: dict[str, dict[str, float]] = {}
    for model, (xy, score) in found.items():
        row = {}
        for reference in ("torso", "box"):
            for share in (0.2, 0.1):
                row[f"limbs pck@{share} {reference}"] = pck(xy, truth, labelled, share, reference, LIMBS)
        for group, joints in GROUPS.items():
            row[f"{group} pck@0.2 torso"] = pck(xy, truth, labelled, 0.2, "torso", joints)
        for share, reference in ((0.2, "torso"), (0.2, "box")):
            for joint, value in pck_by_joint(xy, truth, labelled, share, reference).items():
                row[f"{joint} pck@{share} {reference}"] = value
        row["left/right exchanged"] = exchanged(xy, truth, labelled)
        if third.any() and model != "mediapipe":
            row[CONFIRMED] = exchanged(xy[third > 0], truth[third > 0], labelled[third > 0])
        row["detected"] = float((presence(score) >= FOUND).mean())
        right, known = judged(people, xy)
        row["score calibration error"] = calibration_error(score[known], right[known])
        out[model] = row
    return out


def reliability_of(people: list[Person], found: dict[str, tuple[Float, Float]]) -> dict[str, list[dict[str, float]]]:
    """Return, by model, mean score and share of right joints in each bin of scores."""
    out = {}
    for model, (xy, score) in found.items():
        right, known = judged(people, xy)
        out[model] = reliability(score[known], right[known])
    return out


def empty_frames(data: Path, count: int, clip_too: bool = True, seed: int = 0) -> Iterator[tuple[Image, Float]]:
    """Yield pictures without people and a box (4,) in each: held-out backgrounds, and empty frames of a clip.

    Half of each; without the clip, whose reading takes a minute, only the backgrounds' half. In the clip the box is
    where somebody stands in another frame, in a background it is anywhere.
    """
    rng = np.random.default_rng(seed)
    backgrounds = Backgrounds(data / "backgrounds", held_out=True)
    for _ in range(count // 2):
        image = backgrounds.draw(rng).image
        yield image, somewhere(rng, image.shape[1], image.shape[0])
    if not clip_too:
        return
    clip = read_clip(data / "clips" / EMPTY_CLIP)
    crowd = np.concatenate([b for b in clip.boxes if len(b)])
    empty = [i for i, (b, u) in enumerate(zip(clip.boxes, clip.unclear, strict=True)) if not len(b) and not len(u)]
    for i in islice(rng.permutation(empty), count - count // 2):
        yield decode_rgb(clip.jpegs[i]), crowd[rng.integers(len(crowd))]


def nobody_people(frames: Iterator[tuple[Image, Float]]) -> Iterator[Person]:
    """Yield empty boxes as people whose joints are known to be far away: whatever is found there is wrong."""
    for image, box in frames:
        far = np.repeat(box[None, :2] - 1e4, 17, 0)
        far[H36M17.index("left_shoulder"), 1] -= (box[3] - box[1]) / 3  # a torso to measure by
        yield Person(image, box, far, np.ones(17, bool))


def ghosts(frames: Iterator[tuple[Image, Float]], detector: Detector) -> dict[str, float]:
    """Return the share of empty crops in which the detector sees somebody, and the mean score there."""
    looks = [detector.detect(image, box[None], [n])[1][0] for n, (image, box) in enumerate(frames)]
    score = np.stack(looks)
    return {
        "crops": len(score), "ghosts": float((presence(score) >= FOUND).mean()), "mean score": float(score.mean()),
    }  # fmt: skip


def steadiness(path: Path, detector: Detector, teacher: Teacher) -> dict[str, float]:
    """Follow the person in the last third of a clip by the joints found, as the pipeline does.

    Returns:
        `shake`: mean second difference of the joints with score over 0.3 from frame to frame, in box heights, with
        memory, without, and with memory and the filter of the joints; `seen`: mean score; `away`: median distance from
        MoveNet's sure joints in box heights.
    """
    frames = read_frames(path)
    frames = frames[int(len(frames) * (1 - HELD_OUT_SHARE)) :]
    start = next((t for t, f in enumerate(frames) if find_person(teacher, f, None) is not None), None)
    if start is None:
        return {}
    first, out = find_person(teacher, frames[start], None), dict[str, float]()
    for kind, forget in MEMORY.items():
        found = _followed(frames[start:], detector, first, forget)
        theirs, sure = movenet_joints(frames[start:], found.box, teacher)
        away = np.linalg.norm(found.xy - theirs, axis=-1) / found.height[:, None]
        out[f"shake {kind}"] = _shake(found.xy, found)
        out[f"away {kind}"] = float(np.median(away[sure > 0.4]))
        out[f"seen {kind}"] = float(found.score.mean())
        if not forget:
            out["shake filtered"] = _shake(steadied(found.xy[None], found.score[None])[0], found)
    return out


class _Followed(NamedTuple):
    """One person through T frames: xy (T, 17, 2), score (T, 17), boxes (T, 4), their longer sides (T,)."""

    xy: Float
    score: Float
    box: Float
    height: Float


def _followed(frames: Sequence[Image], detector: Detector, box: Float, forget: bool) -> _Followed:
    rows = []
    for t, image in enumerate(frames):
        xy, score = (a[0] for a in detector.detect(image, box[None], [0], [0] if forget or t == 0 else ()))
        rows.append((xy, score, box, max(float((box[2:] - box[:2]).max()), 1.0)))
        box = SETTLE * box + (1 - SETTLE) * joints_box(xy, score)
    return _Followed(*(np.array(column, np.float32) for column in zip(*rows, strict=True)))


def _shake(xy: Float, found: _Followed) -> float:
    away = np.linalg.norm(np.diff(xy, n=2, axis=0), axis=-1) / found.height[2:, None]
    return float(away[found.score[2:] > 0.3].mean())
