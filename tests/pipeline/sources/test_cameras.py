"""Cameras on a fake device."""

import time
from typing import Any

import numpy as np
import pytest

from pipeline.errors import SourceError
from pipeline.sources.camera import list_cameras, open_camera
from pipeline.sources.live import LiveSource
from tests.pipeline.fake_camera import FakeDevice
from tests.pipeline.taking import take, wait_for


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
