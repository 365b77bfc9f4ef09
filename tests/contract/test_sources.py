"""What every source keeps to, whatever it reads."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.config import SourceConfig
from pipeline.sources.camera import open_camera
from pipeline.sources.video import Picture, VideoSource, open_source
from tests.pipeline.clips import make_clip, picture, serving
from tests.pipeline.fake_camera import FakeDevice

Opened = Callable[[Path], "contextmanager[VideoSource]"]


@contextmanager
def file_source(folder: Path) -> Iterator[VideoSource]:
    yield open_source(SourceConfig("file", str(make_clip(folder / "a.mp4", 30))))


@contextmanager
def images_source(folder: Path) -> Iterator[VideoSource]:
    for n in range(30):
        cv2.imwrite(str(folder / f"{n:03}.png"), picture(n)[..., ::-1])
    yield open_source(SourceConfig("images", str(folder)))


@contextmanager
def stream_source(folder: Path) -> Iterator[VideoSource]:
    with serving("tcp") as sender:
        yield open_source(SourceConfig("stream", sender.url))


@contextmanager
def camera_source(folder: Path) -> Iterator[VideoSource]:
    yield open_camera("0", wh=None, fps=None, max_side_px=1920, capture=FakeDevice().capture, names=lambda: {0: "Fake"})


@pytest.fixture(params=[file_source, images_source, stream_source, camera_source], ids=lambda f: f.__name__)
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[VideoSource]:
    with request.param(tmp_path) as opened:
        yield opened
        opened.close()


def take(source: VideoSource, count: int, first: int = 0) -> tuple[list[Picture], float]:
    """Return pictures, and the longest time that `pictures()` kept its reader waiting."""
    taken: list[Picture] = []
    start_s = last_s = time.monotonic()
    longest_s = 0.0
    for shown in source.pictures(first):
        longest_s = max(longest_s, time.monotonic() - last_s)
        taken += [shown] if shown is not None else []
        if len(taken) == count:
            break
        assert time.monotonic() - start_s < 15
        last_s = time.monotonic()
    return taken, longest_s


def test_pictures_are_rgb_with_rising_numbers_and_times(source: VideoSource) -> None:
    pictures, longest_s = take(source, 6)
    assert len(pictures) == 6
    for shown in pictures:
        assert shown.image.dtype == np.uint8
        assert shown.image.shape == (48, 64, 3)
        assert shown.image.flags.c_contiguous
        assert shown.source_wh == (64, 48)
    indices = [p.index for p in pictures]
    assert indices == sorted(set(indices))
    assert longest_s < 0.5  # a loop around it stays alive
    if source.live:
        times_ns = [p.t_capture_ns for p in pictures]
        assert times_ns == sorted(times_ns)
        assert 0 <= time.monotonic_ns() - times_ns[-1] < 1e9
        assert all(p.pts_s is None for p in pictures)
    else:
        assert np.diff([p.pts_s for p in pictures]) == pytest.approx(np.full(5, 1 / 30), abs=2e-3)
        assert all(p.t_capture_ns is None for p in pictures)


def test_each_picture_is_an_array_of_its_own(source: VideoSource) -> None:
    (first, second), _ = take(source, 2)
    kept = second.image.copy()
    first.image[:] = 7
    assert np.array_equal(second.image, kept)


def test_numbers_can_begin_further_on(source: VideoSource) -> None:
    pictures, _ = take(source, 2, first=20)
    assert pictures[0].index >= 20
    assert source.live or [p.index for p in pictures] == [20, 21]


def test_it_tells_about_itself_in_plain_values(source: VideoSource) -> None:
    take(source, 1)
    assert source.name
    assert 0 < source.fps <= 240
    assert source.note == ""
    facts = source.facts()
    assert facts["kind"] in ("file", "images", "stream", "camera")
    plain = (str, int, float, bool, list, type(None))
    assert all(isinstance(value, plain) for value in facts.values())


def test_closing_twice_is_fine_and_quick(source: VideoSource) -> None:
    take(source, 1)
    start_s = time.monotonic()
    source.close()
    source.close()
    assert time.monotonic() - start_s < 2.5
