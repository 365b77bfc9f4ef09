"""Pictures of what the detector found: an overview, and its worst and best people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from engines.geometry import crop_boxes, cut_crops, pixels_to_crop
from engines.skeletons import H36M17
from train.measure.metrics2d import errors

if TYPE_CHECKING:
    from train.measure.evaluate2d import Person

Float = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]

COLOURS = {"left": (255, 140, 0), "right": (0, 150, 255), "middle": (60, 220, 60)}
TILE_WH = (192, 256)
WORST, COLUMNS = 48, 12


def draw_joints(image: Image, xy: Float, score: Float, least: float = 0.15) -> Image:
    """Return a copy with the skeleton drawn: left orange, right blue; thin where the score is under 0.4."""
    out = image.copy()
    for parent, child in H36M17.bones:
        weakest = min(float(score[parent]), float(score[child]))
        if weakest >= least:
            ends = [tuple(int(v) for v in np.clip(xy[j], -999, 9999)) for j in (parent, child)]
            cv2.line(out, ends[0], ends[1], COLOURS[H36M17.side(child)], 2 if weakest >= 0.4 else 1, cv2.LINE_AA)
    return out


def grid(tiles: Sequence[Image], columns: int) -> Image:
    """Put tiles of one size side by side."""
    blank = [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    whole = [*tiles, *blank]
    rows = [np.concatenate(whole[i : i + columns], 1) for i in range(0, len(whole), columns)]
    return np.concatenate(rows, 0)


def person_tile(person: Person, xy: Float, score: Float) -> Image:
    """Return the person's crop with a skeleton in picture pixels drawn on it."""
    box = crop_boxes(person.box[None], TILE_WH, 1.25)
    crop = cut_crops(person.image, box, TILE_WH)[0]
    return draw_joints(crop, pixels_to_crop(xy[None], box, TILE_WH)[0], score)


def caption(tile: Image, text: str) -> Image:
    """Return a copy of a tile with a line of text at its foot."""
    out = tile.copy()
    place = (4, out.shape[0] - 6)
    for colour, width in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        cv2.putText(out, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, width, cv2.LINE_AA)
    return out


def write_sheets(folder: Path, name: str, people: Sequence[Person], found: dict[str, tuple[Float, Float]]) -> None:
    """Write, as PNG, an overview of every n-th person, and the worst 48, each above its truth.

    Args:
        folder: Where to; made if missing.
        name: Start of the file names.
        people: Labelled people.
        found: xy and score by model; "posestream" is drawn. A tile says the person's number and mean error.
    """
    folder.mkdir(parents=True, exist_ok=True)
    xy, score = found["posestream"]
    truth, labelled = np.stack([p.xy for p in people]), np.stack([p.labelled for p in people])
    away = np.minimum(errors(xy, truth, labelled, "box"), 1)
    counts = np.isfinite(away).sum(1)
    mean = np.where(counts > 0, np.nansum(away, 1) / np.maximum(counts, 1), -1)
    picks = {"overview": np.linspace(0, len(people) - 1, min(40, len(people))).astype(int), "worst": np.argsort(-mean)}
    blank = np.zeros((TILE_WH[1], TILE_WH[0], 3), np.uint8)
    for kind, rows in picks.items():
        tiles: list[Image] = []
        for start in range(0, min(len(rows), WORST), COLUMNS):
            part = rows[start : start + COLUMNS]
            spare = [blank] * (COLUMNS - len(part))
            tiles += [caption(person_tile(people[i], xy[i], score[i]), f"{i}: {mean[i]:.2f} box") for i in part]
            tiles += spare
            if kind == "worst":
                tiles += [person_tile(people[i], people[i].xy, people[i].labelled.astype(np.float32)) for i in part]
                tiles += spare
        cv2.imwrite(str(folder / f"{name}_{kind}.png"), cv2.cvtColor(grid(tiles, COLUMNS), cv2.COLOR_RGB2BGR))
