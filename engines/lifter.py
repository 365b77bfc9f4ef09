"""Lifter: 2D joints over time -> 3D joints and the place of the pelvis, causally, one step per frame."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engines.geometry import Float, pixels_to_rays
from engines.runtime import Engine, require_kind

Answer = tuple[Float, Float, np.float32]
"""Of one person: xyz_m (17, 3), root_m (3,), filled, as `Lifter.lift` returns them."""


@dataclass(slots=True)
class _Seen:
    """What is remembered of one person: first frame, last step, last frame in view, and how many frames in view."""

    began_s: float
    step_s: float
    seen_s: float
    frames: int


class History:
    """Who was seen when: whose memory takes a step with a frame, after how long, and who starts afresh."""

    def __init__(self, max_gap_s: float) -> None:
        """Begin with nobody; `max_gap_s` is how long somebody may be out of view and still be remembered."""
        self._max_gap_s = max_gap_s
        self._seen: dict[Hashable, _Seen] = {}

    def step(
        self, keys: Sequence[Hashable], time_s: float, reset: Collection[Hashable] = ()
    ) -> tuple[list[Hashable], list[float], set[Hashable]]:
        """Take note of one frame.

        Args:
            keys: Who is in it.
            time_s: Its time in seconds.
            reset: Keys whose history is forgotten.

        Returns:
            Whose memory takes a step: `keys`, then those who coast; the seconds since the last step of each, 0 for
            those who start; and who starts afresh.
        """
        self._seen = {
            k: s for k, s in self._seen.items() if 0 <= time_s - s.seen_s <= self._max_gap_s and k not in reset
        }
        fresh = {k for k in keys if k not in self._seen}
        for key in fresh:
            self._seen[key] = _Seen(time_s, time_s, time_s, 0)
        rows = [*keys, *(k for k in self._seen if k not in keys)]
        dt_s = [time_s - self._seen[k].step_s for k in rows]
        for key in rows:
            self._seen[key].step_s = time_s
        for key in keys:
            self._seen[key].seen_s = time_s
            self._seen[key].frames += 1
        return rows, dt_s, fresh

    def frames(self, key: Hashable) -> int:
        """Return in how many frames somebody was seen since they started."""
        return self._seen[key].frames

    def began_s(self, key: Hashable) -> float:
        """Return the time of the frame in which somebody started."""
        return self._seen[key].began_s


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
        self.look_ahead_frames = int(settings.get("look_ahead_frames", 0))  # by which the answers lag
        self._history = History(self.max_gap_s)
        self._answers: dict[Hashable, Answer] = {}

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
            filled (P,) 0..1, share of the receptive field that holds real history. A model that looks ahead speaks of
            each person's frame `look_ahead_frames` steps ago.
        """
        rows, dt_s, fresh = self._history.step(keys, time_s, reset)
        self._answers = {}
        if not rows:
            return np.zeros((0, 17, 3), np.float32), np.zeros((0, 3), np.float32), np.zeros(0, np.float32)
        idle = ((0, len(rows) - len(keys)),)
        rays = np.pad(pixels_to_rays(xy_px, image_wh, focal_px), (*idle, (0, 0), (0, 0)))
        scores = np.pad(score.astype(np.float32), (*idle, (0, 0)))
        inputs = {"xy": rays, "score": scores, "dt_s": np.array(dt_s, np.float32)}
        out = self.engine.run(inputs, rows, fresh)
        frames = np.array([self._history.frames(k) for k in rows], np.float32)
        filled = np.minimum(frames / self.receptive_field, 1).astype(np.float32)
        said = out["xyz_m"].astype(np.float32), out["root_m"].astype(np.float32), filled
        self._answers = dict(zip(rows, zip(*said, strict=True), strict=True))
        people = len(keys)
        return said[0][:people], said[1][:people], said[2][:people]

    def answers(self, time_s: float) -> dict[Hashable, Answer]:
        """Return what the last step said of everybody who took it and is remembered since `time_s` or longer.

        Those who coast are among them. Who started later is somebody else than whom that frame showed.
        """
        return {k: said for k, said in self._answers.items() if self._history.began_s(k) <= time_s}

    def step_after_end_s(self, frame_s: float) -> float:
        """Return how far apart the steps are that fetch the last answers after frames `frame_s` apart.

        Everybody in the last frame must still be remembered when the answer for it comes.
        """
        return min(frame_s, self.max_gap_s / (self.look_ahead_frames + 1))

    def conditions(self) -> dict[str, Any]:
        """Return as plain data what a table of errors must say beside them: the model, and how it was used."""
        spec, engine = self.engine.spec, self.engine
        return {
            "model": {
                "name": spec.name, "precision": spec.precision, "sha256": engine.sha256, "backend": engine.backend
            },
            "causal": self.look_ahead_frames == 0,
            "look_ahead_frames": self.look_ahead_frames,
            "flip": False,
        }  # fmt: skip
