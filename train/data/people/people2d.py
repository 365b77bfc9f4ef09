"""Pictures of one person each with H36M17 joints, packed as JPEG, and the endless stream of batches from them."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch

from engines.skeletons import H36M17
from train.data.people.augment2d import AugmentConfig, Look, crop_matrices, person_box, picture_edges
from train.data.people.motion2d import moved
from train.data.people.occluders import erased, something
from train.data.people.teacher import cut_view

Float = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]

HIDDEN = 0.3  # weight of a joint that is known but cannot be seen
RECALLED = 0.8  # of one that cannot be seen now but could be a frame ago
TORSO_SHARE, CROP_SHARE = 0.2, 0.05
"""A joint is right within this part of the torso's length; where that is unknown, of the crop's height."""
BORDERS = (cv2.BORDER_CONSTANT, cv2.BORDER_CONSTANT, cv2.BORDER_REPLICATE, cv2.BORDER_REFLECT_101)


@dataclass(frozen=True)
class StillSet:
    """N labelled people.

    Attributes:
        name: For logs.
        jpeg: N encoded pictures.
        xy_px: (N, 17, 2) float32 joints in their picture, corner-origin pixels.
        weight: (N, 17) float32 how far to trust each label, 0 = no label.
        absent: (N, 17) bool, joints known to be out of the picture: their score has to be low.
        box_xyxy_px: (N, 4) float32 person boxes.
        share: (N,) float32 how often to take each, relative to the others of this set.
        following: (N,) int64 row of the same person in the clip's next frame, -1 = none.
        augment: How to augment these pictures.
    """

    name: str
    jpeg: Sequence[npt.NDArray[np.uint8]]
    xy_px: Float
    weight: Float
    absent: npt.NDArray[np.bool_]
    box_xyxy_px: Float
    share: Float
    following: npt.NDArray[np.int64]
    augment: AugmentConfig = field(default_factory=AugmentConfig)

    def __len__(self) -> int:
        """Return N."""
        return len(self.jpeg)

    def picture(self, row: int) -> Image:
        """Decode one picture, (H, W, 3) uint8 RGB."""
        return cv2.cvtColor(cv2.imdecode(self.jpeg[row], cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def save_shard(path: Path, stills: StillSet) -> None:
    """Write a set as one npz in the layout that `load_shard` reads."""
    starts = np.cumsum([0, *(len(j) for j in stills.jpeg)])
    np.savez(
        path, jpeg=np.concatenate(stills.jpeg), jpeg_start=starts, xy_px=stills.xy_px, weight=stills.weight,
        visible=(stills.weight > 0), box_xyxy_px=stills.box_xyxy_px, following=stills.following, share=stills.share,
    )  # fmt: skip


def load_shard(path: Path, augment: AugmentConfig | None = None) -> StillSet:
    """Read an npz of people: ours, or rendered ones.

    Arrays: `jpeg` (all files one after another), `jpeg_start` (N+1,), `xy_px` (N, 17, 2), `visible` (N, 17),
    `box_xyxy_px` (N, 4); optional `weight`, `following`, `share`. Without `weight` the joints are exact:
    those that are not visible but in the picture are hidden, the others absent.

    Raises:
        KeyError: If an array is missing.
    """
    with np.load(path) as z:
        arrays = {name: z[name] for name in z.files}
    starts, count = arrays["jpeg_start"], len(arrays["xy_px"])
    jpeg = [arrays["jpeg"][a:b] for a, b in itertools.pairwise(starts)]
    xy = arrays["xy_px"].astype(np.float32)
    absent = np.zeros((count, 17), bool)
    if "weight" in arrays:
        weight = arrays["weight"].astype(np.float32)
    else:
        sizes = np.array([_jpeg_size(j) for j in jpeg], np.float32)
        absent = ~((xy >= 0) & (xy <= sizes[:, None])).all(-1)
        weight = np.where(absent, 0.0, np.where(arrays["visible"], 1.0, HIDDEN)).astype(np.float32)
    return StillSet(
        path.stem, jpeg, xy, weight, absent, arrays["box_xyxy_px"].astype(np.float32),
        arrays.get("share", np.ones(count, np.float32)), arrays.get("following", np.full(count, -1, np.int64)),
        augment or AugmentConfig(),
    )  # fmt: skip


def _jpeg_size(jpeg: npt.NDArray[np.uint8]) -> tuple[int, int]:
    """Return width and height from the JPEG's frame header, without decoding it."""
    data, at = jpeg.tobytes(), 2
    while not (0xC0 <= data[at + 1] <= 0xCF and data[at + 1] not in (0xC4, 0xC8, 0xCC)):
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return int.from_bytes(data[at + 7 : at + 9], "big"), int.from_bytes(data[at + 5 : at + 7], "big")


Sample = dict[str, npt.NDArray[np.generic]]


def draw(rng: np.random.Generator, stills: StillSet, row: int, frames: int, texture: Image | None) -> Sample:
    """Make one training sequence from a row of a set.

    Args:
        rng: Source of randomness.
        stills: The set.
        row: Which person; in a clip, the first frame.
        frames: Length T. A still is moved about; a clip goes on with its own frames.
        texture: A crop of another picture to cut occluders from, at least the crop's size.

    Returns:
        crops (T, H, W, 3) uint8; xy (T, 17, 2) crop pixels; weight (T, 17) of the positions; judged (T, 17) weight of
        the scores; inside (T, 17) whether the joint is in the crop; tolerance (T,) pixels within which it is right.
    """
    config, rows = stills.augment, follow(stills, row, frames)
    xy, weight = stills.xy_px[rows], stills.weight[rows]
    mirror = bool(rng.random() < 0.5)
    pictures = {r: stills.picture(r) for r in set(rows)}
    boxes, absent = stills.box_xyxy_px[rows], stills.absent[rows]
    sizes = np.array([pictures[r].shape[1::-1] for r in rows], np.float32)
    edges = picture_edges(rng, config, boxes, sizes)
    if edges is not None:
        outside = ~((xy >= edges[:, None, :2]) & (xy <= edges[:, None, 2:])).all(-1)
        absent = absent | ((weight > 0) & outside)
        weight, boxes = np.where(absent, np.float32(0), weight), _within(boxes, edges)
    pad = person_box(rng, config, xy[0], weight[0], boxes[0]) - boxes[0]
    matrices = crop_matrices(rng, config, boxes + pad, xy[0], weight[0], mirror)
    look, border = Look(rng, frames, config.flicker), BORDERS[rng.integers(len(BORDERS))]
    if edges is None:
        crops = [cut_view(pictures[r], m, config.crop_wh, border) for r, m in zip(rows, matrices, strict=True)]
    else:
        crops = [_part(pictures[r], e, m, config.crop_wh) for r, e, m in zip(rows, edges, matrices, strict=True)]
    xy = moved(xy, matrices)
    inside = ((xy >= 0) & (xy < config.crop_wh)).all(-1) & ~absent
    judged = ((weight > 0) | absent).astype(np.float32)
    weight = weight * inside
    _hide(rng, config, crops, xy, weight, texture, look)
    if mirror:
        swap = list(H36M17.mirror)
        xy, weight, inside, judged = xy[:, swap], weight[:, swap], inside[:, swap], judged[:, swap]
    return {
        "crops": np.stack(crops), "xy": xy.astype(np.float32), "weight": weight.astype(np.float32),
        "judged": judged, "inside": inside.astype(np.float32), "tolerance": _tolerance(xy, judged, config.crop_wh[1]),
    }  # fmt: skip


def _hide(
    rng: np.random.Generator,
    config: AugmentConfig,
    crops: list[Image],
    xy: Float,
    weight: Float,
    texture: Image | None,
    look: Look,
) -> None:
    """Put occluders and erased rectangles before the person and light over all, in place, crops and weights alike."""
    occluders = []
    while rng.random() < config.occlude and len(occluders) < 3:
        occluders.append(something(rng, config.crop_wh, texture if rng.random() < 0.6 else None, config.drift))
    if config.erase and rng.random() < config.erase:
        occluders.append(erased(rng, config.crop_wh, crops[0].mean((0, 1)), len(crops)))
    for t, crop in enumerate(crops):
        for occluder in occluders:
            weight[t][occluder.cover(crop, xy[t], t)] *= HIDDEN
        if t > 0 and rng.random() < config.glimpse:
            flash = something(rng, config.crop_wh, texture, 0.0)
            weight[t][flash.cover(crop, xy[t], 0)] *= RECALLED
        crops[t] = look.apply(crop, t)


def _within(boxes: Float, edges: npt.NDArray[np.int64]) -> Float:
    """Return boxes (T, 4) cut at the pictures' edges (T, 4), where a person finder's end too."""
    low, high = np.maximum(boxes[:, :2], edges[:, :2]), np.minimum(boxes[:, 2:], edges[:, 2:])
    cut = np.concatenate([low, high], 1).astype(np.float32)
    return np.where((high - low > 4).all(1, keepdims=True), cut, boxes)


def _part(
    picture: Image, edges: npt.NDArray[np.int64], matrix: npt.NDArray[np.float64], size_wh: tuple[int, int]
) -> Image:
    """Warp what is within the edges by a map (3, 3) from the whole picture, black beyond.

    A reflection, as for whole pictures, would show the limbs that were cut off.
    """
    left, top, right, bottom = edges
    back = np.array([[1, 0, left], [0, 1, top], [0, 0, 1.0]])
    return cut_view(picture[top:bottom, left:right], matrix @ back, size_wh)


def follow(stills: StillSet, row: int, frames: int) -> list[int]:
    """Return the rows of a sequence that starts with a row; a clip that is too short is gone through to and fro."""
    rows = [row]
    while len(rows) < frames and stills.following[rows[-1]] >= 0:
        rows.append(int(stills.following[rows[-1]]))
    there_and_back = rows + rows[-2:0:-1]
    return [there_and_back[t % len(there_and_back)] for t in range(frames)]


def _tolerance(xy: Float, judged: Float, height: int) -> Float:
    """Return (T,) pixels: a fifth of the torso, within bounds, or 5 % of the crop where the torso is unknown."""
    torso = np.linalg.norm(xy[:, H36M17.index("thorax")] - xy[:, H36M17.index("pelvis")], axis=-1)
    known = judged[:, [H36M17.index("thorax"), H36M17.index("pelvis")]].min(-1) > 0
    by_torso = np.clip(TORSO_SHARE * torso, 0.025 * height, 0.08 * height)
    return np.where(known, by_torso, CROP_SHARE * height).astype(np.float32)


class Mixer:
    """Draws from several sets, each with its share of the batch."""

    def __init__(self, sets: Sequence[tuple[StillSet, float]], frames: int, seed: int) -> None:
        self.sets, self.frames, self.rng = [s for s, _ in sets], frames, np.random.default_rng(seed)
        shares = np.array([share for _, share in sets], float)
        self.shares = shares / shares.sum()
        self.rows = [s.share / s.share.sum() for s in self.sets]
        self.texture: Image | None = None

    def draw(self) -> Sample:
        """Return one sample of `draw`; its crop becomes the next one's occluders."""
        which = int(self.rng.choice(len(self.sets), p=self.shares))
        row = int(self.rng.choice(len(self.sets[which]), p=self.rows[which]))
        sample = draw(self.rng, self.sets[which], row, self.frames, self.texture)
        self.texture = sample["crops"][0].copy()
        return sample


def batches(make_mixer: Callable[[int], Mixer], size: int, renew_every: int = 250) -> Iterator[dict[str, torch.Tensor]]:
    """Stack samples into batches for ever, drawn in a background thread.

    Args:
        make_mixer: Called with 0, 1, 2 ... every `renew_every` batches, so that new shards are noticed.
        size: Sequences per batch.
        renew_every: In batches.
    """
    with ThreadPoolExecutor(1) as worker:  # one: the mixer is not thread-safe, and the network needs the cores
        mixer, count, pending = make_mixer(0), 0, deque[Future[dict[str, torch.Tensor]]]()
        while True:
            while len(pending) < 3:
                if count and count % renew_every == 0:
                    mixer = make_mixer(count // renew_every)
                pending.append(worker.submit(_stack, mixer, size))
                count += 1
            yield pending.popleft().result()


def _stack(mixer: Mixer, size: int) -> dict[str, torch.Tensor]:
    samples = [mixer.draw() for _ in range(size)]
    return {key: torch.from_numpy(np.stack([s[key] for s in samples])) for key in samples[0]}
