"""Lift stage: People2D -> People3D. One step of the causal lifter per frame, smoothing beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engines.geometry import default_focal_px
from engines.lifter import Lifter
from engines.runtime import open_engine
from pipeline.config import StageConfig
from pipeline.detect import describe, seconds
from pipeline.messages import People2D, People3D
from pipeline.smooth import OneEuro


@dataclass(slots=True)
class LiftStage:
    """Handler of the stage; see `make`."""

    lifter: Lifter
    smoother: OneEuro | None
    focal_px: float | None
    stills: bool = False

    def handle(self, people: People2D) -> People3D:
        """Lift the people of one frame."""
        keys = people.track.tolist()
        reset = set(keys) if self.stills else {k for k, fresh in zip(keys, people.fresh, strict=True) if fresh}
        time_s = seconds(people.stamp)
        focal_px = self.focal_px or default_focal_px(people.image_wh)
        xyz_m, root_m, filled = self.lifter.lift(
            people.xy_px, people.score, time_s, people.image_wh, focal_px, keys, reset
        )
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
            xyz_smooth_m=self.smoother.smooth(xyz_m, time_s, keys) if self.smoother else None,
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
