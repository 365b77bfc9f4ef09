"""Crops in which nobody is: what a detector's scores have to be low on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from engines.skeletons import H36M17
from train.data.people.augment2d import AugmentConfig
from train.data.people.boxes_backgrounds import Backgrounds
from train.data.people.clips import pack_person
from train.data.people.people2d import StillSet

Float = npt.NDArray[np.float32]
COUNT = 500
CALM = AugmentConfig(half_body=0.0)  # there is no body to take half of


def somewhere(rng: np.random.Generator, width: int, height: int) -> Float:
    """Return a (4,) box of a person's proportions anywhere in a picture."""
    tall = rng.uniform(0.3, 0.95) * height
    wide = tall * rng.uniform(0.3, 0.6)
    x, y = rng.uniform(0, max(width - wide, 1)), rng.uniform(0, max(height - tall, 1))
    return np.array([x, y, x + wide, y + tall], np.float32)


def load_nobody(folder: Path, count: int = COUNT, seed: int = 0) -> StillSet:
    """Cut boxes out of the backgrounds that training may see.

    Args:
        folder: With `clutter/` and `hdri/`, see `Backgrounds`.
        count: Of crops.
        seed: Of what is cut.

    Returns:
        People whose joints are all absent; their `xy_px` only sets the tolerance that no joint can meet.
    """
    rng, backgrounds = np.random.default_rng(seed), Backgrounds(folder)
    jpegs, joints, boxes = [], np.zeros((count, 17, 2), np.float32), np.zeros((count, 4), np.float32)
    for i in range(count):
        image = backgrounds.draw(rng).image
        box = somewhere(rng, image.shape[1], image.shape[0])
        jpeg, scale, corner = pack_person(image, box)
        jpegs.append(jpeg)
        boxes[i] = (box - np.tile(corner, 2)) * scale
        joints[i] = (boxes[i, :2] + boxes[i, 2:]) / 2
        joints[i, H36M17.index("thorax"), 1] -= (boxes[i, 3] - boxes[i, 1]) / 4
    return StillSet(
        "nobody", jpegs, joints, np.zeros((count, 17), np.float32), np.ones((count, 17), bool), boxes,
        np.ones(count, np.float32), np.full(count, -1, np.int64), CALM,
    )  # fmt: skip
