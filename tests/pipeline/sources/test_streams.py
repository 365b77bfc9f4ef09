"""Streams over real local sockets, cut and restored."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from pipeline.errors import SourceError
from pipeline.sources.stream import open_stream
from tests.pipeline.clips import free_port, serving
from tests.pipeline.rtsp_camera import RtspCamera
from tests.pipeline.taking import take, wait_for


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
