"""Cameras through OpenCV: newest frame only, what was asked compared with what came, reconnecting (see live.py)."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.errors import SourceError
from pipeline.sources.live import LiveSource, SignalLost
from pipeline.sources.video import FALLBACK_FPS, Image

PATIENCE_S = 3.0
STALL_S = 4.0
FAILED_READS = 5
"""Some drivers fail once or twice after a mode switch; a camera that was unplugged fails always."""

Names = Callable[[], dict[int, str]]


class Capture(Protocol):
    """The part of cv2.VideoCapture that is used, so that tests can bring their own device."""

    def isOpened(self) -> bool: ...  # noqa: D102
    def read(self) -> tuple[bool, npt.NDArray[np.uint8] | None]: ...  # noqa: D102
    def get(self, prop: int) -> float: ...  # noqa: D102
    def set(self, prop: int, value: float) -> bool: ...  # noqa: D102
    def release(self) -> None: ...  # noqa: D102


def list_cameras() -> dict[int, str]:
    """Return the names of the cameras of this machine by index; empty if there are none or nothing can list them."""
    try:
        from cv2_enumerate_cameras import enumerate_cameras
    except ImportError:
        return {}
    # on Windows and macOS an index carries its backend in the thousands; one camera may show up once per backend
    return {camera.index % 100: camera.name for camera in reversed(enumerate_cameras())}


def open_capture(index: int) -> Capture:
    """Open a real camera, silently: OpenCV's own warnings say less than our errors."""
    before = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        return cv2.VideoCapture(index)
    finally:
        cv2.utils.logging.setLogLevel(before)


def open_camera(
    target: str,
    *,
    wh: tuple[int, int] | None,
    fps: float | None,
    max_side_px: int,
    capture: Callable[[int], Capture] = open_capture,
    names: Names = list_cameras,
    patience_s: float = PATIENCE_S,
    stall_s: float = STALL_S,
) -> LiveSource:
    """Begin to read a camera; errors of the first opening come from `pictures()`.

    Args:
        target: Its number, "camera 1", or "/dev/video1".
        wh: Size to ask for; None takes what the camera gives.
        fps: Rate to ask for.
        max_side_px: Longest side of delivered pictures.
        capture: Opens a device; replaced in tests.
        names: Lists the cameras; replaced in tests.
        patience_s: How long the first opening is tried.
        stall_s: A read that blocks for longer counts as a lost camera.

    Raises:
        SourceError: If the target names no camera.
    """
    number = re.fullmatch(r"(?:camera[ :]|/dev/video)?(\d+)", target)
    if number is None:
        raise SourceError(f"{target} does not name a camera", "give its number, e.g. --camera 0")
    index = int(number[1])
    return LiveSource(
        f"camera {index}", lambda: CameraSignal(index, wh, fps, max_side_px, capture, names),
        patience_s=patience_s, stall_s=stall_s,
    )  # fmt: skip


class CameraSignal:
    """One opened camera."""

    def __init__(
        self, index: int, wh: tuple[int, int] | None, fps: float | None, max_side_px: int,
        capture: Callable[[int], Capture], names: Names,
    ) -> None:  # fmt: skip
        """Open the camera and ask for size and rate.

        Raises:
            SignalLost: If it is missing or busy; the text names the cameras that were found.
        """
        self._index, self._asked_wh, self._asked_fps, self._max_side_px = index, wh, fps, max_side_px
        self._capture = capture(index)
        if not self._capture.isOpened():
            self._capture.release()
            raise SignalLost(*explain_missing(index, names()))
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        if wh:
            self._capture.set(cv2.CAP_PROP_FRAME_WIDTH, wh[0])
            self._capture.set(cv2.CAP_PROP_FRAME_HEIGHT, wh[1])
        if fps:
            self._capture.set(cv2.CAP_PROP_FPS, fps)
        claimed = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = claimed if 1 <= claimed <= 1000 else (fps or FALLBACK_FPS)
        self.note = ""
        self._got_wh: tuple[int, int] | None = None

    def read(self) -> tuple[npt.NDArray[np.uint8], int]:
        """Block for the next picture; see Signal."""
        for _ in range(FAILED_READS):
            ok, bgr = self._capture.read()
            t_ns = time.monotonic_ns()
            if ok and bgr is not None and bgr.size:
                if self._got_wh is None:
                    self._compare((bgr.shape[1], bgr.shape[0]))
                return bgr, t_ns
            time.sleep(0.01)
        raise SignalLost("the camera gives no pictures", "is it still plugged in?")

    def _compare(self, got_wh: tuple[int, int]) -> None:
        self._got_wh = got_wh
        asked = [f"{self._asked_wh[0]}x{self._asked_wh[1]}"] if self._asked_wh else []
        asked += [f"{self._asked_fps:g} fps"] if self._asked_fps else []
        wrong = self._asked_wh not in (None, got_wh)
        wrong |= self._asked_fps is not None and abs(self._asked_fps - self.fps) > 0.5
        if wrong:
            gives = f"{got_wh[0]}x{got_wh[1]} at {self.fps:g} fps"
            self.note = f"camera {self._index}: asked for {' at '.join(asked)}, it gives {gives}"

    def to_rgb(self, raw: npt.NDArray[np.uint8]) -> tuple[Image, tuple[int, int]]:
        """Convert BGR, BGRA or grey of 8 or 16 bits; see Signal."""
        return rgb_from_cv(raw, cv2.COLOR_BGR2RGB, self._max_side_px)

    def facts(self) -> dict[str, Any]:
        """Return kind, index, and what was asked for and given."""
        return {
            "kind": "camera", "index": self._index, "stored_wh": list(self._got_wh or ()),
            "asked_wh": list(self._asked_wh or ()), "asked_fps": self._asked_fps,
        }  # fmt: skip

    def close(self) -> None:
        """Release the device."""
        self._capture.release()


def explain_missing(index: int, names: dict[int, str]) -> tuple[str, str]:
    """Say why a camera cannot be opened, as far as the list of cameras tells, and what to do."""
    found = ", ".join(f"{i}: {name}" for i, name in sorted(names.items())) or "none"
    if index in names:
        reason = f"{names[index]} is there but cannot be opened; cameras found: {found}"
        return reason, "close the program that uses it, or check its permissions"
    return f"there is no such camera; cameras found: {found}", "choose one with --camera N, or plug it in"


def rgb_from_cv(raw: npt.NDArray[Any], code: int, max_side_px: int) -> tuple[Image, tuple[int, int]]:
    """Convert OpenCV's picture to RGB.

    Args:
        raw: (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), uint8, or uint16 of full range.
        code: Conversion for three channels, e.g. cv2.COLOR_BGR2RGB.
        max_side_px: Shrink so that the longer side is at most this.

    Returns:
        (H, W, 3) uint8 RGB C-contiguous, and the size before shrinking.
    """
    source_wh = (raw.shape[1], raw.shape[0])
    scale = max_side_px / max(source_wh)
    if scale < 1:
        wh = (max(1, round(source_wh[0] * scale)), max(1, round(source_wh[1] * scale)))
        raw = cv2.resize(raw, wh, interpolation=cv2.INTER_AREA)
    if raw.dtype == np.uint16:
        raw = (raw >> 8).astype(np.uint8)
    channels = 1 if raw.ndim == 2 else raw.shape[2]
    code = {1: cv2.COLOR_GRAY2RGB, 3: code, 4: cv2.COLOR_BGRA2RGB}[channels]
    return np.ascontiguousarray(cv2.cvtColor(raw, code)), source_wh
