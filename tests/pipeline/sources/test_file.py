"""Video files: every frame with its time, whatever their pixels, sizes and damage."""

import gc
import itertools
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from pipeline.errors import SourceError
from pipeline.sources.convert import upright
from pipeline.sources.file import FileSource
from tests.pipeline.clips import make_clip, number, picture, read, turn


def test_a_clip_is_read_whole_in_order_and_with_its_times(tmp_path: Path) -> None:
    times_s = [0, 0.033, 0.2, 0.21, 0.5, 1.0]
    source, pictures = read(make_clip(tmp_path / "vfr.mp4", 6, times_s=times_s))
    assert [p.index for p in pictures] == list(range(6))
    assert [number(p.image) for p in pictures] == list(range(6))
    assert [p.pts_s for p in pictures] == pytest.approx(times_s, abs=1e-3)
    assert source.note == ""
    assert pictures[0].t_capture_ns is None  # a file's frames have no moment of capture


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "wh", "name"),
    [
        ("libx264", "yuv420p", (64, 48), "a.mp4"),
        ("libx264", "yuv420p10le", (64, 48), "ten.mp4"),
        ("libx264", "yuv444p", (63, 47), "odd.mp4"),
        ("ffv1", "yuv420p", (33, 17), "odd.mkv"),
        ("ffv1", "gray", (64, 48), "grey.mkv"),
        ("ffv1", "gray16le", (64, 48), "grey16.mkv"),
        ("ffv1", "bgra", (64, 48), "alpha.mkv"),
        ("mjpeg", "yuvj420p", (64, 48), "full.mkv"),
        ("png", "rgba", (1, 1), "one.mov"),
        ("mjpeg", "yuvj420p", (1, 5), "thin.mkv"),
    ],
)  # fmt: skip
def test_any_pixel_format_and_size_becomes_rgb(
    tmp_path: Path, codec: str, pix_fmt: str, wh: tuple[int, int], name: str
) -> None:
    _, pictures = read(make_clip(tmp_path / name, 6, wh, codec, pix_fmt))
    image = pictures[5].image
    assert len(pictures) == 6
    assert image.shape == (wh[1], wh[0], 3)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    assert pictures[5].source_wh == wh
    want = picture(5, wh)
    if "gray" in pix_fmt:
        want = np.repeat(cv2.cvtColor(want, cv2.COLOR_RGB2GRAY)[..., None], 3, 2)
    corners = ([0, -1], [0, -1])
    assert np.abs(image[corners].astype(int) - want[corners]).max() < 14  # 14: what the codecs themselves change


def test_huge_frames_are_shrunk_while_decoding(tmp_path: Path) -> None:
    _, pictures = read(make_clip(tmp_path / "8k.mkv", 1, (7680, 4320), "mjpeg", "yuvj420p"))
    assert [p.image.shape for p in pictures] == [(1080, 1920, 3)]
    assert pictures[0].source_wh == (7680, 4320)
    assert np.abs(pictures[0].image[10, 10].astype(int) - (230, 30, 30)).max() < 10


@pytest.mark.parametrize(
    "matrix", [(1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0), (-1, 0, 0, 1), (0, 1, 1, 0)]
)
def test_a_turned_clip_comes_upright(tmp_path: Path, matrix: tuple[int, int, int, int]) -> None:
    _, pictures = read(turn(make_clip(tmp_path / "turned.mp4", 3), matrix))
    a, b, c, d = matrix
    swapped = b != 0
    assert pictures[0].source_wh == ((48, 64) if swapped else (64, 48))
    assert pictures[0].image.shape[1::-1] == pictures[0].source_wh
    # the red quarter's middle, measured from the picture's middle, goes where the matrix sends it
    x, y = a * -16 + c * -12, b * -16 + d * -12
    width, height = pictures[0].source_wh
    assert pictures[2].image[height // 2 + y, width // 2 + x, 0] > 180
    assert (pictures[2].image[..., 0] > 180).mean() == pytest.approx(0.25, abs=0.05)


def test_upright_takes_the_nearest_quarter_turn() -> None:
    image = picture(0)
    assert np.array_equal(upright(image, (65000, 300, -300, 65000)), image)
    assert upright(image, (10, 65536, -65536, 10)).shape == (64, 48, 3)


def test_oblong_pixels_are_made_square(tmp_path: Path) -> None:
    path = tmp_path / "dv.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 60, 48, "yuv420p"
        stream.codec_context.sample_aspect_ratio = 2
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(1, (60, 48)), format="rgb24")))
        container.mux(stream.encode())
    _, pictures = read(path)
    assert pictures[0].image.shape == (48, 120, 3)
    assert pictures[0].source_wh == (120, 48)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_truncated_file_gives_what_is_there_and_says_so(tmp_path: Path, suffix: str) -> None:
    options = {"movflags": "faststart"} if suffix == "mp4" else {}
    path = make_clip(tmp_path / f"cut.{suffix}", 60, (320, 240), options=options)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    source, pictures = read(path)
    assert 20 < len(pictures) < 50
    assert [number(p.image) for p in pictures] == [n % 12 for n in range(len(pictures))]
    assert f"is cut off: {len(pictures)} frames decoded" in source.note


def test_a_damaged_file_gives_what_can_be_decoded(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "bad.mkv", 60, (320, 240))
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 400] = bytes(400)
    path.write_bytes(data)
    _, pictures = read(path)
    assert 20 < len(pictures) <= 60
    times_s = [p.pts_s for p in pictures]
    assert all(a < b for a, b in itertools.pairwise(times_s))


def no_video(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


def headless(path: Path) -> None:
    make_clip(path, 30)
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"moov")])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda p: None, "does not exist"),
        (lambda p: p.write_bytes(b""), "is not a video"),
        (lambda p: p.write_text("hello\n" * 99), "is not a video"),
        (lambda p: p.mkdir(), "cannot be opened: Is a directory"),
        (headless, "cut off before its index"),
        (no_video, "has no video in it"),
    ],
)
def test_what_is_no_video_gives_one_clear_line(tmp_path: Path, make: object, said: str) -> None:
    path = tmp_path / "x.mp4"
    make(path)  # type: ignore[operator]
    with pytest.raises(SourceError, match=said) as error:
        FileSource(str(path))
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    assert error.value.exit_code == 2


def test_a_video_without_frames_is_an_error(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "empty.mkv", 1)
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"\x1f\x43\xb6\x75")])  # the header without any cluster
    with pytest.raises(SourceError, match=r"(holds no readable video frames|is not a video)"):
        list(FileSource(str(path)).pictures())


def test_an_unreadable_file_names_its_permissions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object, **__: object) -> None:
        raise av.error.PermissionError(13, "Permission denied", "x")

    monkeypatch.setattr(av, "open", denied)
    with pytest.raises(SourceError, match="may not be read"):
        FileSource("x.mp4")


def test_looping_goes_on_in_index_and_time(tmp_path: Path) -> None:
    source = FileSource(str(make_clip(tmp_path / "a.mp4", 5)), loop=True)
    pictures = [p for p, _ in zip(source.pictures(), range(12), strict=False)]
    assert [p.index for p in pictures] == list(range(12))
    assert [number(p.image) for p in pictures] == [n % 5 for n in range(12)]
    assert np.diff([p.pts_s for p in pictures]) == pytest.approx(np.full(11, 1 / 30), abs=2e-3)


def test_reading_can_begin_further_on(tmp_path: Path) -> None:
    source = FileSource(str(make_clip(tmp_path / "a.mp4", 8)))
    assert [(p.index, number(p.image)) for p in source.pictures(first=5)] == [(5, 5), (6, 6), (7, 7)]


def test_facts_survive_closing(tmp_path: Path) -> None:
    source, _ = read(make_clip(tmp_path / "a.mp4", 10))
    assert source.facts() == {
        "kind": "file", "codec": "h264", "stored_wh": [64, 48], "frames": 10,
        "duration_s": pytest.approx(1 / 3, abs=0.01),
    }  # fmt: skip
    assert source.fps == pytest.approx(30, abs=0.1)


def test_frames_do_not_wait_for_the_garbage_collector(tmp_path: Path) -> None:
    """A decoded frame that refers to itself keeps its pixels until then: 400 MB at 720p instead of 85."""
    pictures = FileSource(str(make_clip(tmp_path / "a.mp4", 60))).pictures()
    next(pictures)
    gc.collect()
    gc.disable()
    try:
        assert sum(1 for _ in pictures) == 59
        assert gc.collect() < 30
    finally:
        gc.enable()


def test_a_closed_file_leaves_no_decoder_behind(tmp_path: Path) -> None:
    def decoders() -> int:
        return sum(isinstance(o, av.VideoCodecContext) for o in gc.get_objects())

    before = decoders()
    looped = FileSource(str(make_clip(tmp_path / "a.mp4", 3)), loop=True)
    assert sum(1 for _ in zip(range(30), looped.pictures(), strict=False)) == 30
    assert decoders() <= before + 1
    looped.close()
    assert decoders() <= before
