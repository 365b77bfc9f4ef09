"""Judging the 2D detector: stills beside MoveNet, sequences with and without memory, steadiness on real clips."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from engines.detector import Detector
from engines.skeletons import COCO17, to_h36m17
from train.data.augment2d import AugmentConfig
from train.data.clips import HELD_OUT_SHARE, find_person, joints_box, read_frames
from train.data.lspet import load_lspet
from train.data.people2d import draw
from train.data.teacher import Teacher
from train.metrics2d import GROUPS, LIMBS, calibration_error, errors, exchanged, pck

Float = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]
SETTLE = 0.6  # share of the last box kept when a clip's person is followed by the joints found
MEMORY = {"memory": False, "fresh": True}  # whether to forget before each frame


@dataclass(frozen=True)
class Person:
    """One labelled person: picture, box (4,), truth (17, 2) and which joints are labelled (17,)."""

    image: Image
    box: Float
    xy: Float
    labelled: npt.NDArray[np.bool_]


def lspet_people(folder: Path) -> Iterator[Person]:
    """Yield the held-out tenth of LSPET; the box is that of the marked joints."""
    stills = load_lspet(folder, held_out=True)
    for i in range(len(stills)):
        yield Person(stills.picture(i), stills.box_xyxy_px[i], stills.xy_px[i], stills.weight[i] > 0)


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


def predict(people: list[Person], detector: Detector, teacher: Teacher) -> dict[str, tuple[Float, Float]]:
    """Run both on every person: xy (N, 17, 2) and score (N, 17) by model name."""
    ours, theirs = [], []
    for number, person in enumerate(people):
        ours.append(detector.detect(person.image, person.box[None], [number]))
        theirs.append(to_h36m17(*teacher.joints(person.image, person.box), COCO17))
    return {
        "posestream": (np.concatenate([o[0] for o in ours]), np.concatenate([o[1] for o in ours])),
        "movenet": (np.stack([t[0] for t in theirs]), np.stack([t[1] for t in theirs])),
    }


def measure(people: list[Person], found: dict[str, tuple[Float, Float]]) -> dict[str, dict[str, float]]:
    """Return the figures of each model; `limbs` are the 12 joints that both have."""
    truth, labelled = np.stack([p.xy for p in people]), np.stack([p.labelled for p in people])
    out: dict[str, dict[str, float]] = {}
    for model, (xy, score) in found.items():
        row = {}
        for reference in ("torso", "box"):
            for share in (0.2, 0.1):
                row[f"limbs pck@{share} {reference}"] = pck(xy, truth, labelled, share, reference, LIMBS)
        for group, joints in GROUPS.items():
            row[f"{group} pck@0.2 torso"] = pck(xy, truth, labelled, 0.2, "torso", joints)
        row["left/right exchanged"] = exchanged(xy, truth, labelled)
        away = errors(xy, truth, labelled, "torso")
        counted = np.isfinite(away)
        row["score calibration error"] = calibration_error(score[counted], away[counted] <= 0.2)
        out[model] = row
    return out


def sequences(folder: Path, detector: Detector, count: int = 100, frames: int = 6) -> dict[str, float]:
    """Turn held-out LSPET pictures into short sequences (drifting crops, moving occluders) with known truth.

    Returns:
        PCK@0.2 of the torso over all 17 joints in the first frame and in the later ones, and the mean error of the
        motion from frame to frame in torso lengths, with memory and with each frame taken as the first.
    """
    stills = load_lspet(folder, held_out=True)
    stills = replace(stills, augment=AugmentConfig(any_angle=0, tilt=10, half_body=0, occlude=0.6))
    rows = [i for i in range(len(stills)) if (stills.weight[i] > 0).sum() >= 14][:count]
    textures = [cv2.resize(stills.picture(i), stills.augment.crop_wh) for i in (rows[-1], *rows[:-1])]
    samples = [draw(np.random.default_rng(i), stills, i, frames, x) for i, x in zip(rows, textures, strict=True)]
    truth, known = np.stack([s["xy"] for s in samples]), np.stack([s["weight"] for s in samples]) > 0
    out: dict[str, float] = {}
    for kind, forget in MEMORY.items():
        keys, found = list(range(len(samples))), []
        for t in range(frames):
            crops = np.stack([s["crops"][t] for s in samples])
            found.append(detector.engine.run({"crops": crops}, keys, keys if forget or t == 0 else ())["xy"])
        xy = np.stack(found, 1)
        for name, part in (("first", slice(0, 1)), ("later", slice(2, None))):
            flat = [a[:, part].reshape(-1, *a.shape[2:]) for a in (xy, truth, known)]
            out[f"{name} frames pck@0.2 torso, {kind}"] = pck(*flat, 0.2, "torso")
        steps = [a[:, 1:].reshape(-1, 17, 2) - a[:, :-1].reshape(-1, 17, 2) for a in (xy, truth)]
        both = known[:, 1:] & known[:, :-1]
        size = np.linalg.norm(truth[..., 8, :] - truth[..., 0, :], axis=-1)[:, 1:].reshape(-1)
        wrong = np.linalg.norm(steps[0] - steps[1], axis=-1) / np.maximum(size, 20)[:, None]
        out[f"motion error, {kind}"] = float(wrong[both.reshape(-1, 17)].mean())
    return out


def steadiness(path: Path, detector: Detector, teacher: Teacher) -> dict[str, float]:
    """Follow the person in the last third of a clip by the joints found, as the pipeline does.

    Returns:
        `shake`: mean second difference of the joints with score over 0.3 from frame to frame, in box heights, with
        memory and without; `seen`: mean score; `away`: median distance from MoveNet's sure joints in box heights.
    """
    frames = read_frames(path)
    frames = frames[int(len(frames) * (1 - HELD_OUT_SHARE)) :]
    start = next((t for t, f in enumerate(frames) if find_person(teacher, f, None) is not None), None)
    if start is None:
        return {}
    first, out = find_person(teacher, frames[start], None), {}
    for kind, forget in MEMORY.items():
        box, last, shakes, aways, scores = first, [], [], [], []
        for image in frames[start:]:
            xy, score = (a[0] for a in detector.detect(image, box[None], [kind], [kind] if forget or not last else ()))
            scores.append(score.mean())
            height = max(float((box[2:] - box[:2]).max()), 1.0)
            theirs, sure = to_h36m17(*teacher.joints(image, box), COCO17)
            aways.append((np.linalg.norm(xy - theirs, axis=-1) / height)[sure > 0.4])
            last = [*last[-2:], xy]
            if len(last) == 3:
                shakes.append((np.linalg.norm(last[2] - 2 * last[1] + last[0], axis=-1) / height)[score > 0.3])
            box = SETTLE * box + (1 - SETTLE) * joints_box(xy, score)
        out[f"shake {kind}"] = float(np.concatenate(shakes).mean())
        out[f"away {kind}"] = float(np.median(np.concatenate(aways)))
        out[f"seen {kind}"] = float(np.mean(scores))
    return out
