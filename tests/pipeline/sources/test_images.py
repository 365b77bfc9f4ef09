"""Folders of pictures, and single ones."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.config import SourceConfig
from pipeline.errors import SourceError
from pipeline.sources.images import open_images
from pipeline.sources.video import open_source
from tests.pipeline.clips import number, picture


def test_a_folder_is_read_by_name_and_bad_files_are_named(tmp_path: Path) -> None:
    for n in (10, 2, 1):
        cv2.imwrite(str(tmp_path / f"f{n}.png"), picture(n)[..., ::-1])
    (tmp_path / "f3.png").write_text("no picture")
    (tmp_path / "notes.txt").write_text("not looked at")
    source = open_source(SourceConfig("images", str(tmp_path)))
    pictures = list(source.pictures())
    assert [number(p.image) for p in pictures] == [1, 2, 10]
    assert [p.index for p in pictures] == [0, 1, 3]
    assert [p.pts_s for p in pictures] == pytest.approx([0, 1 / 30, 3 / 30])
    assert source.note == "1 of 4 pictures could not be read and were skipped: f3.png"


def test_stills_have_no_time_and_plain_order(tmp_path: Path) -> None:
    for n in (10, 2, 1):
        cv2.imwrite(str(tmp_path / f"f{n}.png"), picture(n)[..., ::-1])
    pictures = list(open_source(SourceConfig("images", str(tmp_path), stills=True)).pictures())
    assert [number(p.image) for p in pictures] == [1, 10, 2]
    assert all(p.pts_s is None for p in pictures)


@pytest.mark.parametrize("kind", ["grey", "alpha", "sixteen", "one", "large"])
def test_any_kind_of_picture_becomes_rgb(tmp_path: Path, kind: str) -> None:
    bgr = picture(3)[..., ::-1]
    raw = {
        "grey": bgr[..., 0], "alpha": np.dstack([bgr, np.full(bgr.shape[:2], 128, np.uint8)]),
        "sixteen": bgr.astype(np.uint16) * 257, "one": bgr[:1, :1],
        "large": np.ascontiguousarray(cv2.resize(bgr, (4000, 3000))),
    }[kind]  # fmt: skip
    cv2.imwrite(str(tmp_path / "a.png"), raw)
    (shown,) = list(open_images(str(tmp_path / "a.png"), stills=True, loop=False, max_side_px=1920).pictures())
    assert shown.image.dtype == np.uint8
    assert shown.image.flags.c_contiguous
    assert shown.source_wh == (raw.shape[1], raw.shape[0])
    assert max(shown.image.shape[:2]) <= 1920
    want = (30, 30, 30) if kind == "grey" else (230, 30, 30)
    assert np.abs(shown.image[0, 0].astype(int) - want).max() <= 1


def test_a_single_picture_given_as_a_file_is_read_as_one(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), picture(3)[..., ::-1])
    (shown,) = list(open_source(SourceConfig("file", str(tmp_path / "a.png"))).pictures())
    assert number(shown.image) == 3


def test_folders_that_hold_nothing_usable_are_errors(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="holds no pictures"):
        open_images(str(tmp_path), stills=True, loop=False, max_side_px=1920)
    with pytest.raises(SourceError, match="does not exist"):
        open_images(str(tmp_path / "nope.png"), stills=True, loop=False, max_side_px=1920)
    (tmp_path / "a.jpg").write_bytes(b"")
    with pytest.raises(SourceError, match="no picture in it can be read"):
        list(open_images(str(tmp_path), stills=False, loop=True, max_side_px=1920).pictures())
