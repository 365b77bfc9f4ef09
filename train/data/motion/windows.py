"""Windows of many sequences in random order: what temporal models are trained on.

A target frame comes with the frames that a model sees for it; beyond the ends of a sequence its edge frame is repeated
(VideoPose3D, appendix A.5). Chunks of neighbouring targets share most of what they see, which is cheaper.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from engines.skeletons import H36M17
from train.data.motion.mocap import Float

Int = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
MIRROR = list(H36M17.mirror)


@dataclass(frozen=True, eq=False)
class Track:
    """One person seen by one camera.

    Attributes:
        xy: (T, 17, 2) float32 joints in the model's convention.
        score: (T, 17) float32 confidence.
        xyz_m: (T, 17, 3) float32 truth in camera axes, absolute.
        action: What is done.
    """

    xy: Float
    score: Float
    xyz_m: Float
    action: str = ""

    @property
    def pose_m(self) -> Float:
        """(T, 17, 3) float32 with the pelvis at the origin."""
        return self.xyz_m - self.xyz_m[:, :1]


class Windows:
    """Draws batches from tracks.

    Attributes:
        frames: Number of targets in all.
    """

    def __init__(self, tracks: Sequence[Track], receptive_field: int, look_ahead: int) -> None:
        """Lay the tracks end to end, once, and remember where each begins."""
        self.before, self.after = receptive_field - 1 - look_ahead, look_ahead
        self.lengths = np.array([len(t.xy) for t in tracks])
        self.starts = np.concatenate([[0], np.cumsum(self.lengths)[:-1]])
        self.xy, self.score, self.xyz_m = (
            np.concatenate([getattr(t, name) for t in tracks]) for name in ("xy", "score", "xyz_m")
        )
        self.frames = int(self.lengths.sum())

    def epoch(
        self, rng: np.random.Generator, batch: int, chunk: int = 1, targets: int | None = None, flip: str = "half"
    ) -> Iterator[dict[str, torch.Tensor]]:
        """Yield batches that cover every frame once, or as many random chunks as hold `targets` frames.

        Args:
            rng: Random source of order, cuts and flips.
            batch: Chunks in a batch.
            chunk: Neighbouring targets in a chunk.
            targets: Frames in the epoch; None for all.
            flip: "none"; "half" mirrors half of the chunks; "both" gives every chunk as it is and mirrored.

        Yields:
            xy (B, R - 1 + chunk, 17, 2) and score of what is seen; pose_m (B, chunk, 17, 3), root_m (B, chunk, 3)
            and counts (B, chunk), 0 for targets beyond the chunk's end.
        """
        rows, begins, ends = self._chunks(rng, chunk)
        chunks, copies = len(rows), 2 if flip == "both" else 1
        order = rng.permutation(chunks * copies)
        if targets is not None:
            order = order[: int(np.searchsorted((ends - begins)[order % chunks].cumsum(), targets)) + 1]
        flips = order >= chunks if flip == "both" else rng.random(len(order)) < (0.5 if flip == "half" else 0)
        for first in range(0, len(order), batch):
            some = order[first : first + batch] % chunks
            yield self._batch(rows[some], begins[some], ends[some], chunk, flips[first : first + batch])

    def _chunks(self, rng: np.random.Generator, chunk: int) -> tuple[Int, Int, Int]:
        """Return track, first target and end of every chunk; the cuts lie elsewhere each time."""
        parts = []
        for row, length in enumerate(self.lengths):
            off = int(rng.integers(chunk)) if length > chunk else chunk
            cuts = np.unique(np.concatenate([[0], np.arange(off, length, chunk)]))
            parts.append(np.stack([np.full(len(cuts), row), cuts, np.append(cuts[1:], length)]))
        rows, begins, ends = np.concatenate(parts, 1)
        return rows, begins, ends

    def _batch(self, rows: Int, begins: Int, ends: Int, chunk: int, flips: Mask) -> dict[str, torch.Tensor]:
        last, start = self.lengths[rows, None] - 1, self.starts[rows, None]
        targets = begins[:, None] + np.arange(chunk)
        seen = start + np.clip(begins[:, None] + np.arange(-self.before, chunk + self.after), 0, last)
        at = start + np.minimum(targets, last)
        out = {"xy": self.xy[seen], "score": self.score[seen], "xyz_m": self.xyz_m[at]}
        for name, a in out.items():
            a[flips] = mirrored(a[flips], name)
        xyz_m = out.pop("xyz_m")
        out["pose_m"], out["root_m"] = xyz_m - xyz_m[:, :, :1], xyz_m[:, :, 0]
        out["counts"] = (targets < ends[:, None]).astype(np.float32)
        return {name: torch.from_numpy(np.ascontiguousarray(a)) for name, a in out.items()}


def mirrored(a: Float, name: str) -> Float:
    """Return the mirror image of joints (..., 17, 2 or 3), or of their scores (..., 17)."""
    if name == "score":
        return a[..., MIRROR]
    swapped = a[..., MIRROR, :].copy()
    swapped[..., 0] *= -1
    return swapped
