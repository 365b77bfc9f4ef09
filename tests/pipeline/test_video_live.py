"""Streams over real local sockets, cut and restored; cameras on a fake device."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from pipeline.errors import SourceError
from pipeline.sources.camera import list_cameras, open_camera
from pipeline.sources.live import LiveSource
from pipeline.sources.stream import open_stream
from pipeline.sources.video import Picture
from tests.pipeline.clips import free_port, serving
from tests.pipeline.fake_camera import FakeDevice
from tests.pipeline.rtsp_camera import RtspCamera


def take(pictures: Iterator[Picture | None], count: int, limit_s: float = 10) -> list[Picture]:
    """Return the next pictures; fails if they take too long."""
    deadline_s, taken = time.monotonic() + limit_s, []
    for shown in pictures:
        taken += [shown] if shown is not None else []
        if len(taken) >= count:
            return taken
        assert time.monotonic() < deadline_s, f"only {len(taken)} of {count} pictures in {limit_s} s"
    pytest.fail("the source ended")


def wait_for(pictures: Iterator[Picture | None], true: Callable[[], bool], limit_s: float = 10) -> None:
    deadline_s = time.monotonic() + limit_s
    for _ in pictures:
        if true():
            return
        assert time.monotonic() < deadline_s
    pytest.fail("the source ended")


# ---- streams


@pytest.mark.parametrize("kind", ["tcp", "http", "udp"])
def test_a_cut_stream_flows_again_within_three_seconds(kind: str) -> None:
    with serving(kind) as sender:
        source = open_stream(sender.url, max_side_px=1920)
        pictures = source.pictures()
        before = take(pictures, 10)
        assert source.note == ""
        assert source.facts()["codec"] == "h264"
        sender.cut()
        wait_for(pictures, lambda: "reconnecting (attempt" in source.note)
        assert source.note.startswith("no signal, reconnecting (attempt ")
        time.sleep(1.5)  # long enough for the pauses between attempts to have grown
        sender.start()
        restored_s = time.monotonic()
        after = take(pictures, 3)
        # the new sender is a Python process that must start first: about 1 s of these on an idle machine
        assert time.monotonic() - restored_s < 3 + 2
        source.close()
    assert source.facts()["reconnects"] == 1
    assert source.note == ""
    indices = [p.index for p in before + after]
    assert indices == sorted(set(indices))
    assert all(p.pts_s is None and p.image.shape == (48, 64, 3) for p in after)


def test_an_rtsp_camera_plays_and_comes_back() -> None:
    camera = RtspCamera()
    source = open_stream(camera.url, max_side_px=1920)
    pictures = source.pictures()
    take(pictures, 10)
    assert source.name == f"rtsp://***@127.0.0.1:{camera.port}/live"
    camera.unplug()
    wait_for(pictures, lambda: "reconnecting (attempt" in source.note)
    time.sleep(1.0)
    camera.plug()
    start_s = time.monotonic()
    assert take(pictures, 3)[0].image.shape == (48, 64, 3)
    assert time.monotonic() - start_s < 3
    source.close()
    camera.unplug()


def test_wrong_credentials_fail_at_once_and_are_not_shown() -> None:
    camera = RtspCamera()
    source = open_stream(camera.url.replace("s3cret", "wr0ng"), max_side_px=1920)
    start_s = time.monotonic()
    with pytest.raises(SourceError, match="wrong or missing user name and password") as error:
        list(source.pictures())
    assert time.monotonic() - start_s < 4
    assert "wr0ng" not in str(error.value) + error.value.hint + source.note
    camera.unplug()


def test_a_slow_reader_gets_the_newest_frame() -> None:
    with serving("tcp") as sender:
        source = open_stream(sender.url, max_side_px=1920)
        pictures = source.pictures()
        first = take(pictures, 5)[-1]
        time.sleep(1.0)
        late = take(pictures, 2)
        source.close()
    assert late[0].index - first.index > 20  # what came meanwhile was dropped, and the gap tells how much
    assert (time.monotonic_ns() - late[1].t_capture_ns) / 1e9 < 1.0


def test_nobody_there_is_an_error_after_patience() -> None:
    url = f"tcp://user:hunter2@127.0.0.1:{free_port()}"
    source = open_stream(url, max_side_px=1920, patience_s=0.5)
    pictures = source.pictures()
    assert next(pictures) is None
    assert source.note.startswith("connecting to tcp://***@127.0.0.1")
    with pytest.raises(SourceError, match="nothing answers at that address and port") as error:
        list(pictures)
    assert "hunter2" not in str(error.value) + error.value.hint
    assert error.value.hint == "is the sender running?"


def test_a_wrong_path_fails_at_once(http_server: str) -> None:
    source = open_stream(f"{http_server}/nothing.ts?token=hunter2", max_side_px=1920)
    start_s = time.monotonic()
    with pytest.raises(SourceError, match="the server has no such path") as error:
        list(source.pictures())
    assert time.monotonic() - start_s < 3
    assert "hunter2" not in str(error.value)


def test_an_unknown_scheme_lists_the_known_ones() -> None:
    with pytest.raises(SourceError, match="unknown kind of stream") as error:
        open_stream("gopher://host/x", max_side_px=1920)
    assert "rtsp" in error.value.hint


def test_a_recording_behind_a_url_plays_at_its_own_speed_and_ends(http_server: str) -> None:
    source = open_stream(f"{http_server}/clip.mp4", max_side_px=1920)
    start_s, shown = time.monotonic(), []
    for picture in source.pictures():
        shown += [picture] if picture else []
    assert 0.7 < time.monotonic() - start_s < 5  # 30 frames at 30 per second
    assert len(shown) > 10
    assert shown[-1].index == 29


@pytest.fixture
def http_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    import functools
    import http.server
    import threading

    from tests.pipeline.clips import make_clip

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    folder = tmp_path_factory.mktemp("www")
    make_clip(folder / "clip.mp4", 30, options={"movflags": "faststart"})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


# ---- cameras


def camera(device: FakeDevice, **how: Any) -> LiveSource:
    names = how.pop("names", lambda: {0: "Fake Cam"})
    asked = {"wh": None, "fps": None, "max_side_px": 1920, **how}
    return open_camera("0", capture=device.capture, names=names, **asked)


def test_a_camera_gives_its_newest_picture_in_rgb() -> None:
    device = FakeDevice()
    source = camera(device)
    pictures = source.pictures()
    first = take(pictures, 1)[0]
    time.sleep(0.5)
    later = take(pictures, 1)[0]
    source.close()
    assert tuple(first.image[0, 0]) == (0, 0, 200)
    assert later.index - first.index > 5
    assert (time.monotonic_ns() - later.t_capture_ns) / 1e9 < 0.5
    assert device.open_captures == 0  # let go of


def test_asked_and_given_are_compared() -> None:
    obedient, stubborn = FakeDevice(), FakeDevice(obedient=False)
    for device, note in (
        (obedient, ""),
        (stubborn, "camera 0: asked for 1280x720 at 30 fps, it gives 64x48 at 50 fps"),
    ):
        source = camera(device, wh=(1280, 720), fps=30)
        shown = take(source.pictures(), 2)[-1]
        assert source.note == note
        assert shown.image.shape[1::-1] == shown.source_wh == device.wh
        assert source.facts()["asked_wh"] == [1280, 720]
        source.close()


@pytest.mark.parametrize("shape", [(48, 64), (48, 64, 1), (48, 64, 4)])
def test_grey_and_four_channel_cameras(shape: tuple[int, ...]) -> None:
    device = FakeDevice()
    device.shape = shape
    source = camera(device)
    assert take(source.pictures(), 1)[0].image.shape == (48, 64, 3)
    source.close()


def test_an_8k_camera_is_shrunk() -> None:
    device = FakeDevice((7680, 4320))
    source = camera(device)
    shown = take(source.pictures(), 1)[0]
    source.close()
    assert shown.image.shape == (1080, 1920, 3)
    assert shown.source_wh == (7680, 4320)


def test_a_missing_camera_names_those_found() -> None:
    device = FakeDevice()
    device.plugged = False
    source = camera(device, patience_s=0.3, names=lambda: {1: "Desk Cam", 4: "Door Cam"})
    with pytest.raises(SourceError, match="camera 0: there is no such camera; cameras found: 1: Desk Cam, 4: Door Cam"):
        list(source.pictures())


def test_a_busy_camera_says_so() -> None:
    device = FakeDevice()
    device.busy = True
    source = camera(device, patience_s=0.3)
    with pytest.raises(SourceError, match="Fake Cam is there but cannot be opened") as error:
        list(source.pictures())
    assert "close the program that uses it" in error.value.hint


def test_an_unplugged_camera_comes_back() -> None:
    device = FakeDevice()
    source = camera(device)
    pictures = source.pictures()
    last = take(pictures, 3)[-1]
    device.plugged = False
    wait_for(pictures, lambda: source.note.startswith("no signal, reconnecting (attempt 2)"))
    device.plugged = True
    start_s = time.monotonic()
    after = take(pictures, 3)
    source.close()
    assert time.monotonic() - start_s < 3
    assert after[0].index > last.index
    assert source.facts()["reconnects"] == 1


def test_a_camera_that_hangs_is_opened_again() -> None:
    device = FakeDevice()
    source = camera(device, stall_s=0.5)
    pictures = source.pictures()
    take(pictures, 2)
    device.stuck.set()
    wait_for(pictures, lambda: "nothing came for" in source.note)
    device.stuck.clear()
    after = take(pictures, 5)
    source.close()
    assert source.facts()["reconnects"] == 1
    assert np.all(np.diff([p.index for p in after]) >= 1)  # the reader that woke up again delivers nothing
    assert device.open_captures == 0


def test_a_real_camera_number_that_does_not_exist_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    source = open_camera("97", wh=None, fps=None, max_side_px=1920, patience_s=0.1)
    with pytest.raises(SourceError, match="camera 97: there is no such camera; cameras found: "):
        list(source.pictures())
    assert capfd.readouterr().err == ""  # OpenCV keeps quiet
    assert isinstance(list_cameras(), dict)


def test_what_names_no_camera_is_an_error() -> None:
    with pytest.raises(SourceError, match="does not name a camera"):
        open_camera("front door", wh=None, fps=None, max_side_px=1920)
