"""Leeds Sports Pose and its extension, as published: joints.mat and images/.

    joints.mat: joints (3, 14, 2000)    images/im0001.jpg      LSP: Johnson and Everingham, BMVC 2010
    joints.mat: joints (14, 3, 10000)   images/im00001.jpg     LSPET: the same, CVPR 2011

LSP labels every joint, its third row says that a joint is hidden; in LSPET it says that the joint is labelled at all.
Neither states a licence. LSP's own split: the first 1,000 pictures to train on. LSPET has none: a tenth by the sha1 of
the name is held out, as everywhere here (`train.data.people.lspet` reads this project's cleaned copy of it).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from engines.skeletons import LSP14, to_h36m17
from train.data.people.annotated import Row, as_stills, joints_box, labelled_enough, load_mat, weights
from train.data.people.lspet import AUGMENT, is_held_out
from train.data.people.people2d import StillSet

TRAINING = 1000  # of LSP's pictures


def load(folder: Path, split: str) -> StillSet:
    """Read either set; which one is told by the shape of its array.

    Args:
        folder: With `joints.mat` and `images/`.
        split: "train" or "val".

    Raises:
        FileNotFoundError: If there is no joints.mat.
        ValueError: If its array has neither shape.
    """
    joints = np.asarray(load_mat(folder / "joints.mat")["joints"], np.float32)
    if joints.ndim != 3 or joints.shape[:2] not in ((3, 14), (14, 3)):
        raise ValueError(f"{folder}: joints is {joints.shape}, LSP has (3, 14, N), LSPET (14, 3, N)")
    extended = joints.shape[0] == 14
    people = joints.transpose(2, 0, 1) if extended else joints.transpose(2, 1, 0)  # (N, 14, 3)
    rows = []
    for number, person in enumerate(people):
        name = f"im{number + 1:05d}.jpg" if extended else f"im{number + 1:04d}.jpg"
        held_out = is_held_out(name) if extended else number >= TRAINING
        if held_out != (split == "val"):
            continue
        flag = person[:, 2] > 0
        told = weights(flag, flag) if extended else weights(np.ones(14, bool), ~flag)
        points = person[:, :2] - 0.5  # from 1-based pixel middles
        if (told > 0).any():
            rows.append(Row(folder / "images" / name, *to_h36m17(points, told, LSP14), joints_box(points, told)))
    return as_stills(f"{'lspet' if extended else 'lsp'} {split}", labelled_enough(rows), AUGMENT)
