"""Lifter: 2D joints over time -> 3D joints and the place of the pelvis, causally, one step per frame."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from engines.geometry import Float, pixels_to_rays
from engines.runtime import Engine


@dataclass(slots=True)
class _History:
    """What the host remembers of one person: when the last frame was, and how many there were."""

    pts_s: float
    frames: int


class Lifter:
    """Runs a causal lifter; one memory row per person."""

    def __init__(self, engine: Engine) -> None:
        """Wrap a loaded engine of kind "lifter"."""
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

        A person whose last frame is longer ago than the model's `max_gap_s` starts afresh.

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
        fresh = {k for k in keys if k in reset or k not in self._history or self._gap(k, time_s)}
        dt_s = np.array([0.0 if k in fresh else time_s - self._history[k].pts_s for k in keys], np.float32)
        self._history = {k: _History(time_s, 1 if k in fresh else self._history[k].frames + 1) for k in keys}
        if len(keys) == 0:
            return np.zeros((0, 17, 3), np.float32), np.zeros((0, 3), np.float32), np.zeros(0, np.float32)
        out = self.engine.run(
            {"xy": pixels_to_rays(xy_px, image_wh, focal_px), "score": score.astype(np.float32), "dt_s": dt_s},
            keys,
            fresh,
        )
        frames = np.array([self._history[k].frames for k in keys], np.float32)
        filled = np.minimum(frames / self.receptive_field, 1).astype(np.float32)
        return out["xyz_m"].astype(np.float32), out["root_m"].astype(np.float32), filled

    def _gap(self, key: Hashable, time_s: float) -> bool:
        past_s = time_s - self._history[key].pts_s
        return past_s > self.max_gap_s or past_s < 0
