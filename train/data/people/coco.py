"""COCO keypoints: Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014, in its published layout.

    annotations/person_keypoints_train2017.json    train2017/000000000009.jpg
    annotations/person_keypoints_val2017.json      val2017/...

Annotations are CC BY 4.0; the pictures belong to their Flickr authors, each under its own licence.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from engines.skeletons import COCO17, to_h36m17
from train.data.people.annotated import Row, as_stills, labelled_enough, weights
from train.data.people.people2d import StillSet

YEAR = "2017"
SEEN = 2  # flag of a joint that is labelled and visible; 1 = labelled, hidden; 0 = not labelled


def people(index: Path, images: Path) -> Iterator[Row]:
    """Yield the people of one annotation file, crowds left out.

    Args:
        index: `person_keypoints_*.json`.
        images: The folder of its pictures.
    """
    content = json.loads(index.read_text())
    names = {image["id"]: image["file_name"] for image in content["images"]}
    for person in content["annotations"]:
        if person.get("iscrowd") or not person.get("num_keypoints", 1):
            continue
        points = np.asarray(person["keypoints"], np.float32).reshape(17, 3)
        told = weights(points[:, 2] > 0, points[:, 2] == SEEN)
        xy, weight = to_h36m17(points[:, :2] + 0.5, told, COCO17)  # from pixel indices to the corner's origin
        x, y, width, height = person["bbox"]
        box = np.array([x, y, x + width, y + height], np.float32)
        yield Row(images / Path(names[person["image_id"]]).name, xy, weight, box)


def load(folder: Path, split: str) -> StillSet:
    """Read people with six joints or more.

    Args:
        folder: Of the layout above.
        split: "train" or "val".

    Raises:
        FileNotFoundError: If the annotation file is not there.
    """
    part = f"{split}{YEAR}"
    rows = people(folder / "annotations" / f"person_keypoints_{part}.json", folder / part)
    return as_stills(f"coco {split}", labelled_enough(rows))
