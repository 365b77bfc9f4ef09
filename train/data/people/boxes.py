"""Where pictures with person boxes come from, and how they become training batches for the finder.

A source has `draw(rng) -> Scene`. Sources are mixed into pictures of the finder's input size: views of whole
scenes, people cut out and pasted onto empty scenes, and empty scenes with clutter pasted in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from train.data.people.boxes_augment import (
    FILL,
    NONE,
    SPREAD,
    Rng,
    Scene,
    around,
    decode_rgb,
    empty_part,
    letterboxed,
    mirrored,
    pasted,
    warped,
    zoomed,
)
from train.data.people.boxes_backgrounds import noise_picture
from train.data.people.boxes_clips import Clip
from train.data.people.boxes_disturb import disturbed
from train.data.people.boxes_lspet import LspetBoxes

Float = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]
STRIDE = 8


class Source(Protocol):
    """Something that scenes can be drawn from."""

    def draw(self, rng: Rng) -> Scene:
        """Return one scene."""


class LspetSource:
    """The labelled people of LSPET, whole pictures."""

    def __init__(self, folder: Path, rows: Sequence[LspetBoxes]) -> None:
        self.folder, self.rows = folder, rows

    def draw(self, rng: Rng) -> Scene:
        """Return one picture with its one person."""
        row = self.rows[rng.integers(len(self.rows))]
        image = decode_rgb(np.fromfile(self.folder / "images" / row.file, np.uint8))
        return Scene(image, row.box[None], row.ignore, row.upright)


class ClipSource:
    """Frames of the clips before their held-out part.

    Args:
        clips: From `read_clip`.
        empty: Draw parts without people instead of frames.
    """

    def __init__(self, clips: Sequence[Clip], empty: bool = False) -> None:
        self.clips, self.empty = clips, empty
        share = np.sqrt([clip.held_out_from for clip in clips])
        self.share = share / share.sum()

    def draw(self, rng: Rng) -> Scene:
        """Return one frame, or a part of one."""
        while True:
            clip = self.clips[rng.choice(len(self.clips), p=self.share)]
            frame = int(rng.integers(clip.held_out_from))
            upper_body = clip.name.startswith("asl")
            scene = Scene(decode_rgb(clip.jpegs[frame]), clip.boxes[frame], clip.unclear[frame], not upper_body)
            if not self.empty:
                return scene
            part = empty_part(scene, rng)
            if part is not None:
                return part


class ShardSource:
    """Rendered pictures from .npz shards, also from those that appear while training runs.

    A shard has `jpeg` (bytes of all pictures) with `jpeg_start` (N + 1,), and `box_xyxy_px` of everybody with
    `box_visible` (shares 0..1) and `box_start` (N + 1,); or no `box_start` and one row, the main person's, per picture.

    Args:
        folder: Where the shards are.
        per_shard: Pictures drawn from one before the next is opened.
    """

    def __init__(self, folder: Path, per_shard: int = 300) -> None:
        self.folder, self.per_shard, self.left = folder, per_shard, 0
        self.shard: dict[str, npt.NDArray[np.generic]] = {}

    def ready(self) -> bool:
        """Return whether there is any shard by now."""
        return self.left > 0 or any(self.folder.glob("*.npz"))

    def draw(self, rng: Rng) -> Scene:
        """Return one picture; people of whom less than a fifth is visible are regions to ignore."""
        if self.left == 0:
            paths = sorted(self.folder.glob("*.npz"))
            with np.load(paths[rng.integers(len(paths))]) as arrays:
                keys = ("jpeg", "jpeg_start", "box_xyxy_px", "box_start", "box_visible")
                self.shard = {key: arrays[key] for key in keys if key in arrays}
            self.left = self.per_shard
        self.left -= 1
        return _scene(self.shard, int(rng.integers(len(self.shard["jpeg_start"]) - 1)))


def shard_scenes(path: Path) -> Iterator[Scene]:
    """Yield every picture of one shard, in order."""
    with np.load(path) as arrays:
        shard = dict(arrays)
    for i in range(len(shard["jpeg_start"]) - 1):
        yield _scene(shard, i)


def _scene(shard: dict[str, npt.NDArray[np.generic]], i: int) -> Scene:
    image = decode_rgb(shard["jpeg"][shard["jpeg_start"][i] : shard["jpeg_start"][i + 1]])
    if "box_start" not in shard:
        return _one_known(image, shard["box_xyxy_px"][i].astype(np.float32))
    rows = slice(shard["box_start"][i], shard["box_start"][i + 1])
    boxes, clear = shard["box_xyxy_px"][rows].astype(np.float32), shard["box_visible"][rows] > 0.2
    return Scene(image, boxes[clear], boxes[~clear], upright=True)


def _one_known(image: Image, box: Float) -> Scene:
    """Return a scene whose one person is boxed while there may be others all round."""
    height, width = image.shape[:2]
    x1, y1, x2, y2 = np.clip(box, 0, [width, height, width, height])
    beside = [[0, 0, x1, height], [x2, 0, width, height], [0, 0, width, y1], [0, y2, width, height]]
    return Scene(image, np.array([[x1, y1, x2, y2]], np.float32), np.array(beside, np.float32), upright=True)


def centre_maps(boxes: Float, ignore: Float, size_wh: tuple[int, int]) -> dict[str, Float]:
    """Return what the network should say at stride 8 for people `boxes` (K, 4) and regions `ignore` (M, 4).

    Returns:
        centre (1, h, w), counted (1, h, w), box (4, h, w) in pixels, weight (1, h, w); see train/losses_boxes.py.
    """
    width, height = size_wh[0] // STRIDE, size_wh[1] // STRIDE
    maps = {"centre": np.zeros((1, height, width), np.float32), "counted": np.ones((1, height, width), np.float32)}
    maps |= {"box": np.zeros((4, height, width), np.float32), "weight": np.zeros((1, height, width), np.float32)}
    maps["box"][2:] = 1
    for x1, y1, x2, y2 in ignore / STRIDE:
        maps["counted"][0, int(y1) : int(np.ceil(y2)), int(x1) : int(np.ceil(x2))] = 0
    columns, rows = np.arange(width), np.arange(height)[:, None]
    for box in sorted(boxes, key=lambda b: -(b[2:] - b[:2]).prod()):  # small people last, over large ones
        side = (box[2:] - box[:2]) / STRIDE
        x, y = np.minimum(((box[:2] + box[2:]) / 2 / STRIDE).astype(int), [width - 1, height - 1])
        sigma = np.maximum(side * SPREAD, 0.4)
        bump = np.exp(-(((columns - x) / sigma[0]) ** 2 + ((rows - y) / sigma[1]) ** 2) / 2).astype(np.float32)
        bump[bump < 1e-3] = 0
        maps["centre"][0] = np.maximum(maps["centre"][0], bump)
        near = bump > 0.1
        maps["box"][:, near] = box[:, None]
        maps["weight"][0, near] = (bump / bump[near].sum())[near] * np.log1p(side.prod())
    return maps


class BoxBatches(IterableDataset[dict[str, Tensor]]):
    """Endless batches: image (B, 3, H, W) uint8 and the maps of `centre_maps`.

    Args:
        frames: Sources of whole scenes, with the share each gets.
        people: Sources of people to cut out and paste, with shares.
        empties: Sources of scenes without people, with shares.
        size_wh: The finder's input.
        batch: Pictures per batch.
        seed: Of everything random; workers count on from it.
    """

    def __init__(
        self,
        frames: Sequence[tuple[Source, float]],
        people: Sequence[tuple[Source, float]],
        empties: Sequence[tuple[Source, float]],
        size_wh: tuple[int, int],
        batch: int,
        seed: int = 0,
    ) -> None:
        self.frames, self.people, self.empties = frames, people, empties
        self.size_wh, self.batch, self.seed = size_wh, batch, seed

    def scene(self, rng: Rng) -> Scene:
        """Return one training picture with its boxes."""
        kind = rng.random()
        under = self._background(rng)
        if kind < 0.5:
            scene = _drawn(self.frames, rng)
            out = letterboxed(scene, self.size_wh) if rng.random() < 0.2 else zoomed(scene, under, rng)
        else:
            out = Scene(under, NONE, NONE)
            for _ in range(int(rng.integers(1, 5)) if kind < 0.88 else 0):
                out = pasted(out, around(_drawn(self.people, rng), rng), rng)
            for _ in range(int(rng.integers(0, 3))):
                part = empty_part(_drawn(self.empties, rng), rng)
                out = pasted(out, part or Scene(noise_picture(rng), NONE, NONE), rng)
        out = mirrored(out) if rng.random() < 0.5 else out
        return Scene(disturbed(out.image, rng), out.boxes, out.ignore)

    def _background(self, rng: Rng) -> Image:
        if rng.random() < 0.12:
            return np.full((self.size_wh[1], self.size_wh[0], 3), FILL if rng.random() < 0.5 else 0, np.uint8)
        image = _drawn(self.empties, rng).image
        scale = max(self.size_wh[0] / image.shape[1], self.size_wh[1] / image.shape[0]) * float(rng.uniform(1, 1.8))
        room = np.array(self.size_wh) - np.array(image.shape[1::-1]) * scale
        shift = rng.uniform(0, 1, 2) * room
        grey = np.full((self.size_wh[1], self.size_wh[0], 3), FILL, np.uint8)
        return warped(image, scale, (float(shift[0]), float(shift[1])), self.size_wh, grey)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        """Yield batches for ever."""
        worker = torch.utils.data.get_worker_info()
        rng = np.random.default_rng([self.seed, worker.id if worker else 0])
        while True:
            scenes = [self.scene(rng) for _ in range(self.batch)]
            maps = [centre_maps(s.boxes, s.ignore, self.size_wh) for s in scenes]
            out = {key: torch.from_numpy(np.stack([m[key] for m in maps])) for key in maps[0]}
            images = np.stack([s.image for s in scenes]).transpose(0, 3, 1, 2)
            yield out | {"image": torch.from_numpy(np.ascontiguousarray(images))}


def _drawn(sources: Sequence[tuple[Source, float]], rng: Rng) -> Scene:
    ready = [(source, share) for source, share in sources if (not isinstance(source, ShardSource) or source.ready())]
    shares = np.array([share for _, share in ready])
    return ready[rng.choice(len(ready), p=shares / shares.sum())][0].draw(rng)
