"""What the readers of published data sets have in common: pictures left on disk, rows, and the list of readers."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engines.skeletons import Skeleton
from train.data.people.augment2d import AugmentConfig
from train.data.people.people2d import HIDDEN, StillSet

Float = npt.NDArray[np.float32]
Bool = npt.NDArray[np.bool_]


class PictureFiles(Sequence[npt.NDArray[np.uint8]]):
    """Encoded pictures (JPEG, PNG) that are read when they are asked for: a large set does not fit into memory."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        """Return how many there are, people of one picture counted each."""
        return len(self.paths)

    def __getitem__(self, row: int) -> npt.NDArray[np.uint8]:
        """Return the bytes of one file.

        Raises:
            FileNotFoundError: If it is not there.
        """
        return np.fromfile(self.paths[row], np.uint8)


@dataclass(frozen=True)
class Row:
    """One annotated person in one picture.

    Attributes:
        path: The picture.
        xy_px: (17, 2) float32, H36M17, corner-origin pixels.
        weight: (17,) float32, 0 = not labelled.
        box_xyxy_px: (4,) float32.
        track: Names the clip and person that the row belongs to; "" = a picture on its own.
        frame: Number in that clip.
    """

    path: Path
    xy_px: Float
    weight: Float
    box_xyxy_px: Float
    track: str = ""
    frame: int = 0


def as_stills(name: str, rows: Sequence[Row], augment: AugmentConfig | None = None) -> StillSet:
    """Put rows into a set; `following` joins rows of one track whose frame numbers follow each other.

    Raises:
        ValueError: If there are none.
    """
    if not rows:
        raise ValueError(f"{name}: nobody in it has enough labelled joints")
    at = {(row.track, row.frame): i for i, row in enumerate(rows) if row.track}
    following = np.array([at.get((row.track, row.frame + 1), -1) if row.track else -1 for row in rows], np.int64)
    count = len(rows)
    return StillSet(
        name, PictureFiles([row.path for row in rows]), np.stack([row.xy_px for row in rows]),
        np.stack([row.weight for row in rows]), np.zeros((count, 17), bool),
        np.stack([row.box_xyxy_px for row in rows]), np.ones(count, np.float32), following, augment or AugmentConfig(),
    )  # fmt: skip


def renamed(xy: Float, known: Float, names: Sequence[str], target: Skeleton) -> tuple[Float, Float]:
    """Put joints in the order of another skeleton, by name; those that are missing get weight 0.

    Args:
        xy: (..., J, 2).
        known: (..., J).
        names: J names; those that the target does not have are left out.
        target: E.g. LSP14.
    """
    out_xy = np.zeros((*xy.shape[:-2], len(target), 2), np.float32)
    out_known = np.zeros((*known.shape[:-1], len(target)), np.float32)
    for column, name in enumerate(names):
        if name in target.joints:
            out_xy[..., target.index(name), :] = xy[..., column, :]
            out_known[..., target.index(name)] = known[..., column]
    return out_xy, out_known


def joints_box(xy: Float, known: Float, margin: float = 0.05) -> Float:
    """Return the (4,) box around the labelled joints, grown by a share of its longer side."""
    points = xy[known > 0]
    low, high = points.min(0), points.max(0)
    pad = margin * float((high - low).max())
    return np.concatenate([low - pad, high + pad]).astype(np.float32)


def weights(labelled: Bool, visible: Bool) -> Float:
    """Return 1 for joints that are seen, HIDDEN for labelled ones that are not, 0 for those without a label."""
    return np.where(labelled, np.where(visible, 1.0, HIDDEN), 0.0).astype(np.float32)


def labelled_enough(rows: Iterable[Row], least: int = 6) -> list[Row]:
    """Return the rows with at least so many labelled joints."""
    return [row for row in rows if int((row.weight > 0).sum()) >= least]


def load_mat(path: Path) -> dict[str, npt.NDArray[np.generic]]:
    """Read a MATLAB file, structs as objects, axes of length 1 removed.

    Raises:
        FileNotFoundError: If it is not there.
        ImportError: If scipy is not installed (it comes with `posestream[train]`).
    """
    from scipy.io import loadmat  # late: only these data sets need it

    return loadmat(str(path), struct_as_record=False, squeeze_me=True)


@dataclass(frozen=True)
class Reader:
    """A published data set.

    Attributes:
        module: Where its `load(folder, split) -> StillSet` is; split is "train" or "val".
        terms: What goes into the provenance of weights that saw it.
    """

    module: str
    terms: str

    def load(self, folder: Path, split: str) -> StillSet:
        """Read one side of the set's own split.

        Raises:
            FileNotFoundError: If the folder does not have the published layout.
        """
        return importlib.import_module(f"train.data.people.{self.module}").load(folder, split)


STILL_READERS = {
    "coco": Reader("coco", "COCO keypoints (annotations CC BY 4.0; pictures under their Flickr licences)"),
    "mpii": Reader("mpii", "MPII Human Pose (non-commercial research: research data inside)"),
    "lsp": Reader("lsp", "LSP or LSPET (no licence stated: research data inside)"),
}
VIDEO_READERS = {
    "penn": Reader("penn", "Penn Action (no licence stated: research data inside)"),
    "jhmdb": Reader("jhmdb", "Sub-JHMDB (clips CC BY 4.0, annotations without a licence: research data inside)"),
}
