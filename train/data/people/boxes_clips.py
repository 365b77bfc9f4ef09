"""Person boxes for the development clips: keyframes set by hand, or the difference to the empty room.

All five cameras stand still. Where a clip has empty stretches (`ROOMS`), a person is what differs from the
median of those frames: exact full-extent boxes for 1,394 frames. For the others the boxes of a few frames
were set by hand on a pixel grid and are interpolated linearly between.

The last third of every clip is held out from training (`held_out_from`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]
Track = tuple[tuple[int, int, int, int, int], ...]

# fmt: off
ROOMS: dict[str, tuple[tuple[int, int], ...]] = {
    "one-by-one-person-detection.mp4": (
        (0, 50), (200, 225), (470, 490), (710, 740), (885, 920), (1210, 1233), (1370, 1393),
    ),
}
"""Stretches (first, last + 1 frame) with nobody in the room, found by eye."""

PEOPLE: dict[str, tuple[Track, ...]] = {
    "sports2d_demo.mp4": (
        ((37, 1087, 404, 1155, 676), (40, 1061, 404, 1147, 682), (44, 1045, 402, 1141, 686), (48, 1043, 396, 1133, 684),
         (54, 1005, 390, 1099, 684), (60, 929, 396, 1087, 684), (66, 931, 388, 1065, 676), (72, 889, 380, 993, 670),
         (80, 801, 384, 975, 672), (88, 803, 376, 895, 672), (96, 694, 376, 837, 666), (104, 656, 378, 797, 670),
         (112, 594, 372, 724, 668), (120, 519, 375, 681, 673), (126, 519, 366, 590, 671), (132, 412, 371, 585, 671),
         (138, 369, 371, 548, 671), (144, 380, 363, 457, 674), (150, 278, 365, 442, 670), (155, 252, 372, 430, 683),
         (160, 252, 370, 380, 683), (166, 194, 368, 303, 684), (170, 121, 375, 316, 679), (175, 86, 375, 284, 679),
         (180, 95, 375, 194, 679), (185, 31, 373, 168, 684), (190, 0, 373, 152, 684), (195, 0, 379, 129, 673),
         (200, 0, 379, 40, 662)),
        ((0, 432, 54, 516, 332), (8, 371, 68, 566, 332), (16, 337, 29, 592, 318), (24, 369, 39, 535, 332),
         (32, 330, 30, 596, 322), (40, 428, 64, 523, 329), (48, 342, 27, 605, 321), (56, 380, 11, 526, 332),
         (64, 364, 11, 525, 329), (72, 357, 41, 566, 329), (80, 421, 71, 505, 330), (88, 409, 50, 516, 329),
         (96, 419, 54, 512, 329), (104, 439, 59, 514, 329), (112, 448, 62, 568, 332), (120, 454, 64, 569, 336),
         (128, 508, 64, 583, 336), (136, 524, 64, 619, 336), (144, 536, 57, 633, 336), (152, 528, 54, 630, 336),
         (158, 530, 100, 655, 336), (164, 530, 150, 757, 336), (168, 541, 129, 705, 300), (172, 559, 114, 673, 200)),
        ((183, 667, 218, 883, 396), (186, 692, 225, 820, 496), (187, 703, 259, 843, 561), (189, 715, 308, 823, 634),
         (191, 733, 407, 851, 650), (193, 729, 467, 900, 652), (196, 739, 532, 896, 652), (200, 764, 533, 912, 652),
         (204, 776, 500, 957, 650), (208, 788, 460, 998, 646), (211, 802, 449, 1030, 650), (214, 851, 435, 1054, 650),
         (217, 945, 421, 1087, 650), (220, 961, 401, 1115, 650), (222, 989, 395, 1131, 650),
         (224, 1010, 395, 1150, 609), (226, 1050, 409, 1152, 609)),
    ),
    "pose_1.mp4": (
        ((0, 201, 185, 376, 451), (6, 208, 190, 362, 453), (12, 218, 193, 349, 454), (18, 229, 201, 342, 455),
         (24, 228, 201, 350, 455), (30, 216, 196, 376, 455), (36, 223, 193, 376, 455), (42, 232, 137, 357, 455),
         (48, 240, 130, 342, 455), (66, 239, 132, 341, 455), (72, 236, 144, 332, 455), (78, 236, 172, 339, 455),
         (84, 236, 193, 332, 455), (96, 237, 193, 331, 455), (102, 236, 194, 324, 455), (108, 237, 196, 328, 455),
         (119, 243, 196, 346, 455)),
    ),
    "asl_book.mkv": (
        ((0, 190, 84, 432, 480), (9, 192, 84, 423, 480), (18, 198, 86, 416, 480), (36, 198, 86, 414, 480),
         (81, 198, 86, 415, 480), (90, 203, 86, 417, 480), (99, 201, 86, 426, 480), (108, 192, 84, 447, 480)),
    ),
    "asl_walk.mkv": (
        ((0, 200, 86, 441, 480), (6, 199, 86, 438, 480), (12, 181, 88, 451, 480), (18, 174, 88, 460, 480),
         (24, 178, 88, 464, 480), (30, 175, 88, 465, 480), (36, 174, 88, 458, 480), (42, 185, 88, 459, 480),
         (48, 178, 90, 450, 480), (54, 180, 90, 442, 480), (60, 178, 92, 436, 480), (66, 177, 92, 422, 480),
         (72, 187, 92, 411, 480), (78, 190, 92, 411, 480), (84, 185, 92, 436, 480), (88, 185, 92, 436, 480)),
    ),
}
"""Clip -> people; each (frame, x1, y1, x2, y2) in pixels of the clip."""

UNCLEAR: dict[str, tuple[tuple[int, ...], ...]] = {
    "sports2d_demo.mp4": ((31, 36, 1080, 390, 1180, 690), (173, 182, 600, 80, 900, 420), (201, 212, 0, 360, 90, 680),
                          (227, 229, 1050, 390, 1180, 620)),
}
# fmt: on
"""Clip -> (first, last frame, x1, y1, x2, y2): a hand, or hidden by glare; neither person nor empty."""

DIFFERENCE = 40  # grey levels; shadows on the floor stay below
WHOLE_SHARE = 0.02  # of the frame: a smaller blob is a sleeve or a shadow, and unclear


@dataclass(frozen=True, slots=True)
class Clip:
    """All frames of a clip as JPEG bytes with their boxes.

    Attributes:
        name: File name.
        jpegs: One JPEG per frame, no wider than `WIDEST`.
        boxes: Per frame (K, 4) float32 x1, y1, x2, y2 of every person, in pixels of the stored frame.
        unclear: Per frame (M, 4) float32: regions that are neither person nor empty.
        held_out_from: First frame that training never sees.
    """

    name: str
    jpegs: list[npt.NDArray[np.uint8]]
    boxes: list[Float]
    unclear: list[Float]
    held_out_from: int


WIDEST = 832  # px; a clip frame is stored no wider: the finder sees at most half of that


def interpolate(track: Track, frame: int) -> tuple[float, ...] | None:
    """Return x1, y1, x2, y2 of a track at a frame, or None outside it."""
    keys = np.array(track, np.float32)
    if not keys[0, 0] <= frame <= keys[-1, 0]:
        return None
    return tuple(float(np.interp(frame, keys[:, 0], keys[:, i])) for i in range(1, 5))


def differing(frame: Image, room: Image) -> tuple[Float, Float]:
    """Find people as what differs from the empty room.

    Args:
        frame: (H, W, 3) uint8.
        room: The same without people.

    Returns:
        Boxes (K, 4) of blobs large enough to be a person, boxes (M, 4) of the smaller ones.
    """
    import cv2

    small_wh = (frame.shape[1] // 2, frame.shape[0] // 2)
    mask = cv2.resize(cv2.absdiff(frame, room), small_wh, interpolation=cv2.INTER_AREA).max(2) > DIFFERENCE
    mask = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, np.ones((2, 2), np.uint8))
    count, label = cv2.connectedComponents(cv2.dilate(mask, np.ones((11, 11), np.uint8)))
    large, small = [], []
    for k in range(1, count):
        blob = (mask > 0) & (label == k)
        share = blob.mean()
        if share < 0.0004:
            continue
        rows, columns = np.nonzero(blob.any(1))[0] * 2, np.nonzero(blob.any(0))[0] * 2
        box = (columns[0], rows[0], columns[-1] + 2, rows[-1] + 2)
        (large if share >= WHOLE_SHARE else small).append(box)
    return np.array(large, np.float32).reshape(-1, 4), np.array(small, np.float32).reshape(-1, 4)


def read_clip(path: Path) -> Clip:
    """Decode a clip and box everybody in it.

    Raises:
        KeyError: If the clip is neither in ROOMS nor in PEOPLE.
        FileNotFoundError: If it has no frames.
    """
    import cv2

    frames = []
    capture = cv2.VideoCapture(str(path))
    while True:
        good, frame = capture.read()
        if not good:
            break
        frames.append(cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 95])[1])
    if not frames:
        raise FileNotFoundError(f"{path}: no frames")
    if path.name in ROOMS:
        boxes, unclear = _room_boxes(frames, ROOMS[path.name])
    else:
        boxes, unclear = _hand_boxes(path.name, len(frames))
    shrink = min(1.0, WIDEST / cv2.imdecode(frames[0], cv2.IMREAD_COLOR).shape[1])
    return Clip(
        path.name,
        [_shrunk(jpeg, shrink) for jpeg in frames],
        [b * np.float32(shrink) for b in boxes],
        [b * np.float32(shrink) for b in unclear],
        len(frames) - len(frames) // 3,
    )


def _room_boxes(jpegs: list[Image], empty: tuple[tuple[int, int], ...]) -> tuple[list[Float], list[Float]]:
    import cv2

    samples = [cv2.imdecode(jpegs[k], cv2.IMREAD_COLOR) for a, b in empty for k in range(a, min(b, len(jpegs)), 5)]
    room = np.median(np.stack(samples), 0).astype(np.uint8)
    pairs = [differing(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), room) for jpeg in jpegs]
    return [p[0] for p in pairs], [p[1] for p in pairs]


def _hand_boxes(name: str, count: int) -> tuple[list[Float], list[Float]]:
    boxes, unclear = [], []
    for k in range(count):
        people = [box for track in PEOPLE[name] if (box := interpolate(track, k))]
        regions = [r[2:] for r in UNCLEAR.get(name, ()) if r[0] <= k <= r[1]]
        boxes.append(np.array(people, np.float32).reshape(-1, 4))
        unclear.append(np.array(regions, np.float32).reshape(-1, 4))
    return boxes, unclear


def _shrunk(jpeg: npt.NDArray[np.uint8], shrink: float) -> npt.NDArray[np.uint8]:
    import cv2

    if shrink == 1:
        return jpeg
    small = cv2.resize(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 95])[1]
