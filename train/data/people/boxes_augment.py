"""Scenes with person boxes: zooming, pasting, disturbing, and the maps that the finder learns from."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]
Rng = np.random.Generator

FILL = 114  # grey of the bars that letterboxing adds
NONE = np.zeros((0, 4), np.float32)
SEEN_ENOUGH = 0.3  # share of a person's box inside the picture from which it is to be found
SMALLEST = 11.0  # px of the longer side; smaller people are neither wanted nor forbidden
SPREAD = 0.54 / 6  # sigma of a centre's Gaussian, as part of the box's side (TTFNet)


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture with its people.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        boxes: (K, 4) float32 x1, y1, x2, y2 in pixels: the people to find.
        ignore: (M, 4) float32: where somebody unlabelled may be.
        upright: The people stand or sit upright.
    """

    image: Image
    boxes: Float
    ignore: Float
    upright: bool = False


def decode_rgb(jpeg: npt.NDArray[np.uint8]) -> Image:
    """Return the (H, W, 3) uint8 RGB picture of some JPEG bytes."""
    import cv2

    return cv2.cvtColor(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def moved(boxes: Float, scale: float, shift_xy: tuple[float, float]) -> Float:
    """Return boxes (K, 4) scaled, then shifted."""
    return (boxes * scale + np.tile(np.asarray(shift_xy), 2)).astype(np.float32)


def trimmed(boxes: Float, ignore: Float, rect: tuple[float, float, float, float]) -> tuple[Float, Float]:
    """Cut boxes and regions off at a rectangle; people of whom too little is left become regions to ignore."""
    low, high = np.tile(rect[:2], 2), np.tile(rect[2:], 2)
    inside, regions = np.clip(boxes, low, high), np.clip(ignore, low, high)
    share = (inside[:, 2:] - inside[:, :2]).prod(1) / np.maximum((boxes[:, 2:] - boxes[:, :2]).prod(1), 1e-6)
    found = (share >= SEEN_ENOUGH) & ((inside[:, 2:] - inside[:, :2]).max(1) >= SMALLEST)
    regions = np.concatenate([regions, inside[~found]])
    regions = regions[(regions[:, 2:] > regions[:, :2]).all(1)]
    return inside[found].astype(np.float32), regions.astype(np.float32)


def warped(image: Image, scale: float, shift_xy: tuple[float, float], size_wh: tuple[int, int], under: Image) -> Image:
    """Draw the picture, scaled and shifted, over a copy of `under` (H, W, 3) of the given size."""
    import cv2

    while scale < 0.55 and min(image.shape[:2]) > 8:  # bilinear skips pixels when it shrinks a lot
        image = cv2.resize(image, (image.shape[1] // 2, image.shape[0] // 2), interpolation=cv2.INTER_AREA)
        scale *= 2
    half = 0.5 * scale - 0.5  # cv2 counts from the middle of the first pixel
    matrix = np.array([[scale, 0, shift_xy[0] + half], [0, scale, shift_xy[1] + half]])
    out = under.copy()
    return cv2.warpAffine(image, matrix, size_wh, dst=out, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_TRANSPARENT)


def letterboxed(scene: Scene, size_wh: tuple[int, int]) -> Scene:
    """Return the scene as the runtime shows it to the finder: scaled to fit, in the middle, grey bars."""
    height, width = scene.image.shape[:2]
    scale = min(size_wh[0] / width, size_wh[1] / height)
    shift = ((size_wh[0] - width * scale) / 2, (size_wh[1] - height * scale) / 2)
    grey = np.full((size_wh[1], size_wh[0], 3), FILL, np.uint8)
    image = warped(scene.image, scale, shift, size_wh, grey)
    boxes, ignore = trimmed(moved(scene.boxes, scale, shift), moved(scene.ignore, scale, shift), (0, 0, *size_wh))
    return Scene(image, boxes, ignore, scene.upright)


def zoomed(scene: Scene, under: Image, rng: Rng) -> Scene:
    """Return a view of the scene, as large as `under`, in which one of its people is between 16 px and 2.2 frames tall.

    Half of the upright people come as at a desk: head near the upper edge, the frame ending above the knees.
    """
    height, width = under.shape[:2]
    if len(scene.boxes):
        box = scene.boxes[rng.integers(len(scene.boxes))]
    else:
        box = np.array([0, 0, scene.image.shape[1], scene.image.shape[0]], np.float32)
    box_w, box_h = box[2:] - box[:2]
    desk = scene.upright and len(scene.boxes) > 0 and rng.random() < 0.5
    if desk:
        tall = height * rng.uniform(0.9, 2.4)
    else:
        low, high = (20.0, 1.3 * height) if len(scene.boxes) else (0.8 * height, 3.0 * height)
        tall = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    scale = min(tall / max(box_h, box_w * height / width), 5.0)
    x = rng.uniform(0.1, 0.9) * width if not desk else rng.uniform(0.25, 0.75) * width
    y = rng.uniform(0.1, 0.9) * height if not desk else rng.uniform(0.02, 0.4) * height + box_h * scale / 2
    if not len(scene.boxes):
        x, y = width / 2, height / 2
    middle = (box[:2] + box[2:]) / 2 * scale
    shift = (float(x - middle[0]), float(y - middle[1]))
    boxes, ignore = trimmed(moved(scene.boxes, scale, shift), moved(scene.ignore, scale, shift), (0, 0, width, height))
    return Scene(warped(scene.image, scale, shift, (width, height), under), boxes, ignore, scene.upright)


def cropped(scene: Scene, rect: tuple[int, int, int, int]) -> Scene:
    """Cut a rectangle x1, y1, x2, y2 out of the scene."""
    x1, y1, x2, y2 = rect
    boxes, ignore = trimmed(scene.boxes, scene.ignore, (x1, y1, x2, y2))
    return Scene(scene.image[y1:y2, x1:x2], moved(boxes, 1, (-x1, -y1)), moved(ignore, 1, (-x1, -y1)), scene.upright)


def around(scene: Scene, rng: Rng) -> Scene:
    """Cut out one person with a random margin on each side."""
    if not len(scene.boxes):
        return scene
    height, width = scene.image.shape[:2]
    box = scene.boxes[rng.integers(len(scene.boxes))]
    margin = rng.uniform(0.03, 0.45, 4) * (box[2:] - box[:2]).max() * [-1, -1, 1, 1]
    x1, y1, x2, y2 = np.clip(box + margin, 0, [width, height, width, height]).astype(int)
    return cropped(scene, (x1, y1, max(x2, x1 + 8), max(y2, y1 + 8)))


def empty_part(scene: Scene, rng: Rng, tries: int = 20) -> Scene | None:
    """Cut out a rectangle that touches nobody, a quarter of each side or more; None if none was hit."""
    height, width = scene.image.shape[:2]
    taken = np.concatenate([scene.boxes, scene.ignore])
    for _ in range(tries):
        w, h = (rng.uniform(0.25, 0.9, 2) * [width, height]).astype(int)
        x, y = int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1))
        clear = (taken[:, 0] > x + w) | (taken[:, 2] < x) | (taken[:, 1] > y + h) | (taken[:, 3] < y)
        if clear.all():
            return Scene(scene.image[y : y + h, x : x + w], NONE, NONE)
    return None


def pasted(scene: Scene, patch: Scene, rng: Rng) -> Scene:
    """Paste a patch, at a random size and place, over the scene; its edges are hard or soft."""
    import cv2

    height, width = scene.image.shape[:2]
    reach = (patch.boxes[0, 2:] - patch.boxes[0, :2]).max() if len(patch.boxes) else max(patch.image.shape[:2])
    scale = float(np.exp(rng.uniform(np.log(16), np.log(1.1 * height)))) / max(reach, 1.0)
    scale = min(scale, 4.0)
    ph, pw = patch.image.shape[0] * scale, patch.image.shape[1] * scale
    shift = (float(rng.uniform(-0.25, 1.25) * (width - pw)), float(rng.uniform(-0.25, 1.25) * (height - ph)))
    rect = (max(shift[0], 0.0), max(shift[1], 0.0), min(shift[0] + pw, width), min(shift[1] + ph, height))
    if rect[2] - rect[0] < 4 or rect[3] - rect[1] < 4:
        return scene
    drawn = warped(patch.image, scale, shift, (width, height), scene.image)
    if rng.random() < 0.6:
        mask = np.zeros((height, width), np.float32)
        x1, y1, x2, y2 = (round(v) for v in rect)
        soft = int(rng.integers(1, 2 + max(2, int(0.06 * max(ph, pw)))))
        mask[min(y1 + soft, y2) : max(y2 - soft, y1), min(x1 + soft, x2) : max(x2 - soft, x1)] = 1
        mask = cv2.blur(mask, (2 * soft + 1, 2 * soft + 1))[..., None]
        drawn = (scene.image * (1 - mask) + drawn * mask).astype(np.uint8)
    boxes, ignore = hidden(scene, rect)
    new, beside = trimmed(moved(patch.boxes, scale, shift), moved(patch.ignore, scale, shift), rect)
    return Scene(drawn, np.concatenate([boxes, new]), np.concatenate([ignore, beside]))


def hidden(scene: Scene, rect: tuple[float, float, float, float]) -> tuple[Float, Float]:
    """Return the scene's boxes and regions after a rectangle was painted over it.

    People covered by less than 35 % stay, cut off where the rectangle takes a whole side of them; by more than
    85 % they are gone; in between nobody can say.
    """
    boxes, gone, unsure = scene.boxes.copy(), [], []
    for box in boxes:
        w, h = min(box[2], rect[2]) - max(box[0], rect[0]), min(box[3], rect[3]) - max(box[1], rect[1])
        share = max(w, 0) * max(h, 0) / max(float((box[2:] - box[:2]).prod()), 1e-6)
        gone.append(share > 0.85)
        unsure.append(0.35 < share <= 0.85)
        if w >= 0.95 * (box[2] - box[0]) and share <= 0.35:
            box[1 if rect[1] <= box[1] else 3] = rect[3] if rect[1] <= box[1] else min(box[3], max(rect[1], box[1]))
    gone_, unsure_ = np.array(gone, bool), np.array(unsure, bool)
    return boxes[~gone_ & ~unsure_], np.concatenate([scene.ignore, boxes[unsure_]])


def mirrored(scene: Scene) -> Scene:
    """Return the mirror image."""
    width = scene.image.shape[1]
    boxes, ignore = (
        np.column_stack([width - b[:, 2], b[:, 1], width - b[:, 0], b[:, 3]]) for b in (scene.boxes, scene.ignore)
    )
    return replace(scene, image=np.ascontiguousarray(scene.image[:, ::-1]), boxes=boxes, ignore=ignore)
