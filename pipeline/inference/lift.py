"""Lift stage: People2D -> People3D. One step of the causal lifter per frame, smoothing beside it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from engines.geometry import Float, default_focal_px
from engines.lifter import Lifter
from engines.runtime import open_engine
from engines.tracks import FRAME_S
from pipeline.config import StageConfig
from pipeline.inference.detect import describe, seconds
from pipeline.inference.look_ahead import LookAhead, answered
from pipeline.inference.smooth import OneEuro
from pipeline.messages import EndOfStream, People2D, People3D


@dataclass(slots=True)
class LiftStage:
    """Handler of the stage; see `make`."""

    lifter: Lifter
    smoother: OneEuro | None
    focal_px: float | None
    stills: bool = False
    _ahead: LookAhead | None = field(init=False)
    _last_s: float = 0.0
    _frame_s: float = FRAME_S

    def __post_init__(self) -> None:
        """Queue up people if the model answers later than it is asked; unrelated pictures have no later."""
        frames = 0 if self.stills else self.lifter.look_ahead_frames
        self._ahead = LookAhead(frames) if frames else None

    def handle(self, people: People2D) -> People3D | list[People3D]:
        """Lift the people of one frame; a model that looks ahead gives those of earlier ones, if any are due."""
        keys = people.track.tolist()
        reset = set(keys) if self.stills else {k for k, fresh in zip(keys, people.fresh, strict=True) if fresh}
        time_s = seconds(people.stamp)
        early = self._before(time_s)
        focal_px = self.focal_px or default_focal_px(people.image_wh)
        said = self.lifter.lift(people.xy_px, people.score, time_s, people.image_wh, focal_px, keys, reset)
        if self._ahead is None:
            return self._message(people, *said)
        earlier = self._ahead.push(people)
        return early if earlier is None else [*early, self._answer(earlier)]

    def finish(self, end: EndOfStream) -> list[People3D]:
        """Return the frames that still wait for an answer, however the run ended."""
        return self._rest()

    def _rest(self) -> list[People3D]:
        """Answer for the frames that wait: after the last one nothing more is seen."""
        waiting = self._ahead.rest() if self._ahead else []
        if not waiting:
            return []
        image_wh, step_s = waiting[-1].image_wh, self.lifter.step_after_end_s(self._frame_s)
        nobody = np.zeros((0, 17, 2), np.float32), np.zeros((0, 17), np.float32)
        late, early_steps = [], self.lifter.look_ahead_frames - len(waiting)  # fewer wait soon after a start
        for step in range(self.lifter.look_ahead_frames):
            time_s = self._last_s + (step + 1) * step_s
            self.lifter.lift(*nobody, time_s, image_wh, self.focal_px or default_focal_px(image_wh), [])
            if step >= early_steps:
                late.append(self._answer(waiting[step - early_steps]))
        return late

    def _before(self, time_s: float) -> list[People3D]:
        """Return the frames that get no answer any more once the next frame is seen: everybody starts afresh in it."""
        gap_s = time_s - self._last_s
        remembered = 0 <= gap_s <= self.lifter.max_gap_s
        early = [] if remembered else self._rest()
        self._frame_s = gap_s if remembered and gap_s else FRAME_S
        self._last_s = time_s
        return early

    def _answer(self, people: People2D) -> People3D:
        answers = self.lifter.answers(seconds(people.stamp))
        people = answered(people, answers)
        if not len(people.track):
            empty = np.zeros((0, 17, 3), np.float32), np.zeros((0, 3), np.float32), np.zeros(0, np.float32)
            return self._message(people, *empty)
        said = zip(*(answers[track] for track in people.track.tolist()), strict=True)
        return self._message(people, *(np.stack(part) for part in said))

    def _message(self, people: People2D, xyz_m: Float, root_m: Float, filled: Float) -> People3D:
        smooth_m = None
        if self.smoother:
            smooth_m = self.smoother.smooth(xyz_m, seconds(people.stamp), people.track.tolist())
        return People3D(
            stamp=people.stamp,
            image_wh=people.image_wh,
            track=people.track,
            box_xyxy_px=people.box_xyxy_px,
            xy_px=people.xy_px,
            score=people.score,
            xyz_m=xyz_m,
            root_m=root_m,
            filled=filled,
            xyz_smooth_m=smooth_m,
            dropped=people.dropped,
            preview=people.preview,
            skeleton=self.lifter.engine.spec.skeleton,
        )

    def facts(self) -> dict[str, Any]:
        """Say which model runs, and on what."""
        return {"models": {"lifter": describe(self.lifter.engine)}}

    def close(self) -> None:
        """Free the model."""
        self.lifter.engine.close()


def make(config: StageConfig) -> LiftStage:
    """Load the lifter.

    Raises:
        EngineError: If the model cannot be loaded.
    """
    models, pose = config.run.models, config.run.pose
    return LiftStage(
        lifter=Lifter(open_engine(models.lifter, models.backend, models.threads, config.run.live)),
        smoother=OneEuro() if pose.smooth else None,
        focal_px=pose.focal_px,
        stills=config.run.source.stills,
    )
