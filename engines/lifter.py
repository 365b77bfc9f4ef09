"""Lifter: 2D joints over time -> 3D joints and the place of the pelvis, causally, one step per frame."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from engines.geometry import Float, pixels_to_rays
from engines.runtime import Engine, require_kind


@dataclass(slots=True)
class _History:
    """What the host remembers of one person: last step, last frame in view, and how many frames in view."""

    step_s: float
    seen_s: float
    frames: int


class Lifter:
    """Runs a causal lifter; one memory row per person."""

    def __init__(self, engine: Engine) -> None:
        """Wrap a loaded model.

        Raises:
            EngineError: If it is not a lifter.
        """
        require_kind(engine, "lifter")
        self.engine = engine
        settings = engine.spec.settings
        self.receptive_field = int(settings["receptive_field"])
        self.max_gap_s = float(settings["max_gap_s"])
        self._history: dict[Hashable, _History] = {}

    def lift(
        self,
        xy_px: Float,
        score: Float,
        time_s: float,
        image_wh: tuple[int, int],
        focal_px: float,
        keys: Sequence[Hashable],
        reset: Collection[Hashable] = (),
    ) -> tuple[Float, Float, Float]:
        """Lift one frame.

        A person who is not in the call coasts: their memory takes a step without joints, so that a frame or two
        of weak detections do not throw it away. After the model's `max_gap_s` they start afresh.

        Args:
            xy_px: (P, 17, 2) joints in pixels.
            score: (P, 17) 0..1; at 0 the position is ignored.
            time_s: Time of the frame in seconds, on one clock for the run.
            image_wh: Picture size in pixels.
            focal_px: Focal length in pixels.
            keys: P track ids.
            reset: Keys whose history is forgotten.

        Returns:
            xyz_m (P, 17, 3) in camera axes with the pelvis at the origin; root_m (P, 3) pelvis in camera space;
            filled (P,) 0..1, share of the receptive field that holds real history.
        """
        self._history = {
            k: h for k, h in self._history.items() if 0 <= time_s - h.seen_s <= self.max_gap_s and k not in reset
        }
        fresh = {k for k in keys if k in reset or k not in self._history}
        for key in fresh:
            self._history[key] = _History(time_s, time_s, 0)
        rows = [*keys, *(k for k in self._history if k not in keys)]  # the coasting ones last
        dt_s = np.array([time_s - self._history[k].step_s for k in rows], np.float32)
        for key in rows:
            self._history[key].step_s = time_s
        for key in keys:
            self._history[key].seen_s = time_s
            self._history[key].frames += 1
        if not rows:
            return np.zeros((0, 17, 3), np.float32), np.zeros((0, 3), np.float32), np.zeros(0, np.float32)
        idle = ((0, len(rows) - len(keys)),)
        rays = np.pad(pixels_to_rays(xy_px, image_wh, focal_px), (*idle, (0, 0), (0, 0)))
        scores = np.pad(score.astype(np.float32), (*idle, (0, 0)))
        out = self.engine.run({"xy": rays, "score": scores, "dt_s": dt_s}, rows, fresh)
        people = len(keys)
        frames = np.array([self._history[k].frames for k in keys], np.float32)
        filled = np.minimum(frames / self.receptive_field, 1).astype(np.float32)
        return out["xyz_m"][:people].astype(np.float32), out["root_m"][:people].astype(np.float32), filled
