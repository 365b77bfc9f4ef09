"""Labels from the teacher for pictures without any: people in video clips, noses in LSPET.

Only what several views of the teacher agree on is kept. The last third of each clip is held out.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from engines.skeletons import COCO17, H36M17, to_h36m17
from train.data.people.people2d import StillSet
from train.data.people.teacher import Teacher
from train.measure.metrics2d import presence

Float = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]

SURE = 0.3  # least mean score of a joint over the views
APART = 0.03  # largest spread of a joint over the views, as part of the box's longer side
FOUND = 0.35  # least mean score of the best ten joints for a person to be there
TRUST = 0.7  # weight of a label by the teacher
HEIGHT = 384  # people are stored at most this tall
HELD_OUT_SHARE = 1 / 3
NOSE, THORAX, HEAD_TOP = (H36M17.index(n) for n in ("nose", "thorax", "head_top"))


def read_frames(path: Path) -> list[Image]:
    """Decode a whole clip, (H, W, 3) uint8 RGB each.

    Raises:
        FileNotFoundError: If nothing can be decoded.
    """
    capture, frames = cv2.VideoCapture(str(path)), []
    while True:
        ok, frame = capture.read()
        if not ok:
            break
        frames.append(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
    capture.release()
    if not frames:
        raise FileNotFoundError(f"no video frames in {path}")
    return frames


def windows(width: int, height: int) -> Float:
    """Return (n, 4) square boxes to look for a person in: of the picture's shorter side and 0.6 of it, overlapping."""
    boxes = []
    for side in (min(width, height), 0.6 * min(width, height)):
        for y in np.linspace(0, height - side, int(np.ceil((height - side) / side * 2)) + 1):
            for x in np.linspace(0, width - side, int(np.ceil((width - side) / side * 2)) + 1):
                boxes.append((x, y, x + side, y + side))
    return np.asarray(boxes, np.float32)


def joints_box(xy: Float, score: Float, least: float = 0.2) -> Float:
    """Return the (4,) box of the joints with at least that score, all of them where fewer than four have it."""
    known = xy[score >= least] if (score >= least).sum() >= 4 else xy
    return np.concatenate([known.min(0), known.max(0)]).astype(np.float32)


def find_person(teacher: Teacher, image: Image, last_box: Float | None) -> Float | None:
    """Return the (4,) box of the one person, from the last frame's box or from a search; None if nobody is there."""
    starts = [last_box] if last_box is not None else list(windows(image.shape[1], image.shape[0]))
    looks = [teacher.joints(image, box, 1.25 if last_box is not None else 1.0) for box in starts]
    xy, score = max(looks, key=lambda look: presence(look[1]))
    for _ in range(0 if last_box is not None else 2):  # settle: again around the joints found
        xy, score = teacher.joints(image, joints_box(xy, score))
    if presence(score) >= FOUND:
        return joints_box(xy, score)
    return find_person(teacher, image, None) if last_box is not None else None


def label_clip(teacher: Teacher, path: Path, frame_step: int = 1) -> tuple[StillSet, StillSet]:
    """Label one clip.

    Args:
        teacher: MoveNet.
        path: The video.
        frame_step: Use every n-th frame.

    Returns:
        People of the first two thirds, and of the last third.
    """
    frames = read_frames(path)
    edge = int(len(frames) * (1 - HELD_OUT_SHARE))
    rows: dict[bool, list[tuple[int, npt.NDArray[np.uint8], Float, Float, Float]]] = {False: [], True: []}
    box = None
    for number in range(0, len(frames), frame_step):
        box = find_person(teacher, frames[number], box)
        if box is None:
            continue
        xy, score, spread = teacher.agreed(frames[number], box)
        joints, weight = to_h36m17(xy, TRUST * ((score > SURE) & (spread < APART)).astype(np.float32), COCO17)
        if (weight > 0).sum() >= 6:
            jpeg, scale, corner = pack_person(frames[number], box)
            moved = np.tile(corner, 2).astype(np.float32)
            place = (number // frame_step, jpeg, (joints - corner) * scale, weight, (box - moved) * scale)
            rows[number >= edge].append(place)
    return _as_set(path.stem, rows[False]), _as_set(path.stem, rows[True])


def pack_person(image: Image, box: Float) -> tuple[npt.NDArray[np.uint8], float, Float]:
    """Cut a generous surrounding of the box, no taller than 2 x HEIGHT; return JPEG, its scale and its corner."""
    centre, reach = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]).max() * 1.1
    x0, y0 = np.maximum(np.floor(centre - reach), 0).astype(int)
    x1, y1 = np.ceil(centre + reach).astype(int)
    part = image[y0:y1, x0:x1]
    scale = min(1.0, 2 * HEIGHT / max(part.shape[:2]))
    if scale < 1:
        part = cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    jpeg = cv2.imencode(".jpg", cv2.cvtColor(part, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 92])[1]
    return jpeg, scale, np.array([x0, y0], np.float32)


def _as_set(name: str, rows: list[tuple[int, npt.NDArray[np.uint8], Float, Float, Float]]) -> StillSet:
    numbers = [r[0] for r in rows]
    following = [i + 1 if i + 1 < len(rows) and numbers[i + 1] == n + 1 else -1 for i, n in enumerate(numbers)]
    count = len(rows)
    return StillSet(
        name, [r[1] for r in rows], np.array([r[2] for r in rows], np.float32).reshape(count, 17, 2),
        np.array([r[3] for r in rows], np.float32).reshape(count, 17), np.zeros((count, 17), bool),
        np.array([r[4] for r in rows], np.float32).reshape(count, 4), np.ones(count, np.float32),
        np.array(following, np.int64),
    )  # fmt: skip


def label_noses(teacher: Teacher, stills: StillSet, files: list[str], path: Path, most: int) -> int:
    """Ask the teacher for the noses of LSPET's `most` most upright pictures; write `path`, return how many were kept.

    A nose counts where the views agree and it lies about as far from the thorax as the marked head top.
    """
    kept = []
    for row in np.argsort(-stills.share, kind="stable")[:most]:
        xy, weight = stills.xy_px[row], stills.weight[row]
        if min(weight[THORAX], weight[HEAD_TOP]) <= 0:
            continue
        up = xy[HEAD_TOP] - xy[THORAX]
        degrees = float(np.rad2deg(np.arctan2(-up[0], -up[1])))
        found, score, spread = teacher.agreed(stills.picture(row), stills.box_xyxy_px[row], degrees)
        nose, head = found[COCO17.index("nose")], np.linalg.norm(up)
        away = np.linalg.norm(nose - (xy[THORAX] + xy[HEAD_TOP]) / 2)
        if score[0] > 0.4 and spread[0] < APART and away < 0.8 * head:
            kept.append((files[row], nose, TRUST))
    np.savez(
        path, picture=np.array([k[0] for k in kept]), xy_px=np.array([k[1] for k in kept], np.float32).reshape(-1, 2),
        score=np.array([k[2] for k in kept], np.float32),
    )  # fmt: skip
    return len(kept)
