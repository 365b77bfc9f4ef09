"""Shards of rendered pictures: npz files with JPEG bytes end to end and the truth beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

Row = dict[str, npt.NDArray[np.generic]]


def write_shard(path: Path, rows: list[Row], joined: tuple[str, ...] = ()) -> None:
    """Write rows to one npz through a temporary file, so that a reader never sees half of one.

    `jpeg` becomes one byte array with `jpeg_start` (N+1,) int64. Keys in `joined` have a varying number of rows per
    picture: they are concatenated, and `box_start` (N+1,) int64 tells where each picture's begin. Others are stacked.

    Args:
        path: Where to; its folder is made.
        rows: One dictionary per picture, the same keys in each.
        joined: Keys to concatenate.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    files = [row["jpeg"] for row in rows]
    out: Row = {"jpeg": np.concatenate(files), "jpeg_start": _starts([len(f) for f in files])}
    for key in rows[0]:
        if key != "jpeg":
            values = [row[key] for row in rows]
            out[key] = np.concatenate(values) if key in joined else np.stack(values)
    if joined:
        out["box_start"] = _starts([len(row[joined[0]]) for row in rows])
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        np.savez(file, **out)
    temporary.replace(path)


def _starts(lengths: list[int]) -> npt.NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def pictures(shard: dict[str, npt.NDArray[np.generic]]) -> list[npt.NDArray[np.uint8]]:
    """Decode a shard's pictures: N arrays (H, W, 3) uint8 RGB.

    Raises:
        ValueError: If one of them is not a readable JPEG file.
    """
    import cv2

    out = []
    for a, b in zip(shard["jpeg_start"][:-1], shard["jpeg_start"][1:], strict=True):
        image = cv2.imdecode(np.asarray(shard["jpeg"][a:b], np.uint8), cv2.IMREAD_COLOR)
        if image is None:
            raise ValueError(f"picture {len(out)} of the shard is not a readable JPEG file")
        out.append(np.ascontiguousarray(image[..., ::-1]))
    return out
