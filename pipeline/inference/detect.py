"""Detect stage: Frame -> People2D. Finder now and then, tracker, temporal detector on every frame, steady joints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engines.detector import Detector
from engines.finder import Finder
from engines.joint_filter import JointFilter
from engines.runtime import Engine, open_engine
from pipeline.config import StageConfig
from pipeline.inference.track import TrackConfig, Tracker
from pipeline.messages import Frame, People2D, Stamp

IDLE_FIND_S = 0.1
"""How often the finder looks while nobody, or somebody doubtful, is followed."""
KNOWN_SHARE = 0.6
"""A box with this share of the finder's threshold confirms somebody who is followed already; others must convince."""
CUT_S = 1.0
"""After so long a gap, or a jump back in time, nobody is assumed to be where they were."""


@dataclass(slots=True)
class DetectStage:
    """Handler of the stage; see `make`."""

    finder: Finder
    detector: Detector
    tracker: Tracker
    joint_filter: JointFilter | None
    find_every_s: float
    stills: bool
    preview_px: int
    _found_s: float = -np.inf
    _last_s: float = -np.inf

    def handle(self, frame: Frame) -> People2D:
        """Find and follow the people of one frame; all pixels refer to the source's own size."""
        time_s = seconds(frame.stamp)
        if self.stills or not 0 <= time_s - self._last_s <= CUT_S:
            self.tracker.clear()
            self._found_s = -np.inf
        self._last_s = time_s
        if self._due(time_s):
            sure = self.finder.score_threshold
            boxes, scores = self.finder.find(frame.image, KNOWN_SHARE * sure)
            self.tracker.propose(boxes, time_s, scores >= sure)
            self._found_s = time_s
        return self._detect(frame, time_s)

    def _due(self, time_s: float) -> bool:
        idle = not self.tracker.tracks or self.tracker.doubtful
        # half a millisecond of slack: time stamps of a 30 fps file are rounded
        return time_s - self._found_s >= (IDLE_FIND_S if idle else self.find_every_s) - 5e-4

    def _detect(self, frame: Frame, time_s: float) -> People2D:
        height, width = frame.image.shape[:2]
        tracks = list(self.tracker.tracks)
        boxes = np.array([t.box_xyxy_px for t in tracks], np.float32).reshape(-1, 4)
        ids = [t.id for t in tracks]
        fresh = np.array([t.fresh for t in tracks], bool)
        new = [t.id for t in tracks if t.fresh]
        xy_px, score = self.detector.detect(frame.image, boxes, ids, new)
        report = self.tracker.observe(xy_px, score, (width, height), time_s)
        to_source = np.asarray(frame.source_wh, np.float32) / (width, height)
        xy_px = xy_px * to_source
        if self.joint_filter:
            xy_px = self.joint_filter.steady(xy_px, score, time_s, ids, new)
        return People2D(
            stamp=frame.stamp,
            image_wh=frame.source_wh,
            track=np.array(ids, np.int32)[report],
            box_xyxy_px=(boxes * np.tile(to_source, 2)).astype(np.float32)[report],
            xy_px=xy_px.astype(np.float32)[report],
            score=np.clip(score, 0, 1)[report],
            fresh=fresh[report],
            preview=shrink(frame.image, self.preview_px) if self.preview_px else None,
        )

    def facts(self) -> dict[str, Any]:
        """Say which models run, and on what."""
        return {"models": {"finder": describe(self.finder.engine), "detector": describe(self.detector.engine)}}

    def close(self) -> None:
        """Free the models."""
        self.finder.engine.close()
        self.detector.engine.close()


def make(config: StageConfig) -> DetectStage:
    """Load the finder and the detector.

    Raises:
        EngineError: If a model cannot be loaded.
    """
    models, pose = config.run.models, config.run.pose
    return DetectStage(
        finder=Finder(open_engine(models.finder, models.backend, models.threads, config.run.live)),
        detector=Detector(open_engine(models.detector, models.backend, models.threads, config.run.live)),
        tracker=Tracker(TrackConfig(max_people=pose.max_people)),
        joint_filter=JointFilter() if pose.steady else None,
        find_every_s=pose.find_every_s,
        stills=config.run.source.stills,
        preview_px=config.run.output.preview_px,
    )


def seconds(stamp: Stamp) -> float:
    """Return a frame's time on one clock for the run: media time where there is one, else capture time."""
    return stamp.t_capture_ns * 1e-9 if stamp.pts_s is None else stamp.pts_s


def describe(engine: Engine) -> dict[str, str]:
    """Return what the summary and the results file say of a loaded model."""
    spec = engine.spec
    return {"name": spec.name, "precision": spec.precision, "sha256": engine.sha256, "backend": engine.backend}


def shrink(image: npt.NDArray[np.uint8], longest_px: int) -> npt.NDArray[np.uint8]:
    """Scale a picture down so that its longer side has at most `longest_px` pixels; smaller ones stay as they are."""
    import cv2

    scale = longest_px / max(image.shape[:2])
    if scale >= 1:
        return image
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return np.ascontiguousarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
