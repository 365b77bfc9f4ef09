"""Small stages for tests of the process machinery, given by dotted names; their wishes come in the environment.

FAKE_FRAMES   frames that decode gives (default 30)
FAKE_FPS      their rate; 0 (default) = as fast as they are taken
FAKE_FAULT    "stage:kind:seq" with kind raise, segv, exit, hang or source; only in a process's first attempt
              unless it ends in ":always"
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from pipeline.config import StageConfig
from pipeline.errors import SourceError
from pipeline.messages import Frame, People2D, People3D, StageStatus, Stamp
from pipeline.processes.lifeline import Lifeline

SIZE_WH = (64, 48)


def people_2d(stamp: Stamp, people: int = 1, **more: Any) -> People2D:
    xy_px = np.full((people, 17, 2), stamp.seq, np.float32)
    return People2D(
        stamp=stamp,
        image_wh=SIZE_WH,
        track=np.arange(people, dtype=np.int32),
        box_xyxy_px=np.tile(np.array([1, 2, 30, 40], np.float32), (people, 1)),
        xy_px=xy_px,
        score=np.full((people, 17), 0.5, np.float32),
        fresh=np.zeros(people, bool),
        **more,
    )


def people_3d(people: People2D) -> People3D:
    rows = len(people.track)
    return People3D(
        stamp=people.stamp,
        image_wh=people.image_wh,
        track=people.track,
        box_xyxy_px=people.box_xyxy_px,
        xy_px=people.xy_px,
        score=people.score,
        xyz_m=np.full((rows, 17, 3), people.stamp.seq, np.float32),
        root_m=np.full((rows, 3), np.nan, np.float32),
        filled=np.ones(rows, np.float32),
        preview=people.preview,
    )


class Fault:
    def __init__(self, config: StageConfig) -> None:
        stage, kind, at, *always = (os.environ.get("FAKE_FAULT", "") + ":::").split(":")
        self.kind = kind if stage == config.name and (config.attempt == 0 or always[0] == "always") else ""
        self.at = int(at or 0)
        if self.kind and self.at < 0:
            self.strike()

    def check(self, seq: int) -> None:
        if self.kind and seq >= self.at:
            self.strike()

    def strike(self) -> None:
        if self.kind == "raise":
            raise RuntimeError("engine exploded")
        if self.kind == "source":
            raise SourceError("no such film", "look elsewhere")
        if self.kind == "segv":
            ctypes.string_at(0)
        if self.kind == "exit":
            os._exit(7)
        time.sleep(3600)


class FakeDecode:
    def __init__(self, config: StageConfig) -> None:
        self._config, self._fault = config, Fault(config)
        self.note = ""

    def messages(self) -> Iterator[Frame | None]:
        fps = float(os.environ.get("FAKE_FPS", "0"))
        for seq in range(self._config.first_seq, int(os.environ.get("FAKE_FRAMES", "30"))):
            self._fault.check(seq)
            if fps:
                time.sleep(1 / fps)
            image = np.full((SIZE_WH[1], SIZE_WH[0], 3), seq % 256, np.uint8)
            stamp = Stamp("fake", seq, time.monotonic_ns(), seq / (fps or 30))
            yield Frame(stamp=stamp, image=image, source_wh=SIZE_WH)

    def facts(self) -> dict[str, Any]:
        return {"source": "fake", "source_fps": 30.0, "frames": int(os.environ.get("FAKE_FRAMES", "30"))}


class FakeDetect:
    def __init__(self, config: StageConfig) -> None:
        self._fault = Fault(config)
        self._preview = config.run.output.preview_px > 0

    def handle(self, frame: Frame) -> People2D:
        self._fault.check(frame.stamp.seq)
        return people_2d(frame.stamp, frame.stamp.seq % 3, preview=frame.image if self._preview else None)

    def facts(self) -> dict[str, Any]:
        return {"models": {"detector": {"name": "fake", "sha256": "ab" * 32, "backend": "none"}}}


class FakeLift:
    def __init__(self, config: StageConfig) -> None:
        self._fault = Fault(config)

    def handle(self, people: People2D) -> People3D:
        self._fault.check(people.stamp.seq)
        return people_3d(people)

    def facts(self) -> dict[str, Any]:
        return {"models": {"lifter": {"name": "fake", "sha256": "cd" * 32, "backend": "none"}}}


make_decode, make_detect, make_lift = FakeDecode, FakeDetect, FakeLift


def make_view(config: StageConfig, lifeline: Lifeline) -> None:
    """A window with FAKE_VIEW = closed (by the user, after half a second) or crash (it never opens)."""
    if os.environ["FAKE_VIEW"] == "crash":
        raise RuntimeError("no pixels left")
    lifeline.report(StageStatus(stage=config.name, state="running"))
    started_s = time.monotonic()
    while not lifeline.stopped():
        time.sleep(0.05)
        lifeline.report(StageStatus(stage=config.name, state="running"))
        if time.monotonic() - started_s > 0.5:
            return
