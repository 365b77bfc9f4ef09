"""A capture device in memory, with the faults that real ones have."""

import threading
import time

import cv2
import numpy as np


class FakeDevice:
    """The hardware: lives on while captures are opened and released.

    `plugged`: False makes opening and reading fail. `stuck`: reads block while it is set.
    """

    def __init__(self, wh: tuple[int, int] = (64, 48), fps: float = 50.0, obedient: bool = True) -> None:
        self.wh, self.fps, self.obedient = wh, fps, obedient
        self.plugged, self.busy = True, False
        self.stuck = threading.Event()
        self.shape: tuple[int, ...] | None = None
        self.reads = 0
        self.open_captures = 0

    def capture(self, index: int) -> "FakeCapture":
        return FakeCapture(self)


class FakeCapture:
    def __init__(self, device: FakeDevice) -> None:
        self._device = device
        self._opened = device.plugged and not device.busy
        device.open_captures += self._opened

    def isOpened(self) -> bool:
        return self._opened

    def read(self) -> tuple[bool, np.ndarray | None]:
        device = self._device
        time.sleep(1 / device.fps)
        while device.stuck.is_set():
            time.sleep(0.01)
        if not device.plugged or not self._opened:
            return False, None
        device.reads += 1
        image = np.zeros(device.shape or (device.wh[1], device.wh[0], 3), np.uint8)
        image[..., :1] = 200  # blue in BGR
        return True, image

    def get(self, prop: int) -> float:
        device = self._device
        known = {
            cv2.CAP_PROP_FPS: device.fps,
            cv2.CAP_PROP_FRAME_WIDTH: device.wh[0],
            cv2.CAP_PROP_FRAME_HEIGHT: device.wh[1],
        }
        return float(known.get(prop, 0))

    def set(self, prop: int, value: float) -> bool:
        device = self._device
        if not device.obedient:
            return False
        if prop == cv2.CAP_PROP_FRAME_WIDTH:
            device.wh = (int(value), device.wh[1])
        elif prop == cv2.CAP_PROP_FRAME_HEIGHT:
            device.wh = (device.wh[0], int(value))
        elif prop == cv2.CAP_PROP_FPS:
            device.fps = value
        return True

    def release(self) -> None:
        self._device.open_captures -= self._opened
        self._opened = False
