"""People who wait until a lifter that looks ahead has answered for them."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Mapping
from dataclasses import replace

import numpy as np

from engines.lifter import Answer
from pipeline.messages import People2D


class LookAhead:
    """A queue of the last frames' people; the oldest leaves when the answer for it is there."""

    def __init__(self, frames: int) -> None:
        """Wait `frames` frames, at least one."""
        self._frames = frames
        self._waiting: deque[People2D] = deque()

    def push(self, people: People2D) -> People2D | None:
        """Add a frame; return the one that the lifter now answers for, None at the beginning."""
        self._waiting.append(people)
        return self._waiting.popleft() if len(self._waiting) > self._frames else None

    def rest(self) -> list[People2D]:
        """Return and forget those who still wait, the oldest first."""
        rest = list(self._waiting)
        self._waiting.clear()
        return rest


def answered(people: People2D, answers: Mapping[Hashable, Answer]) -> People2D:
    """Leave out who has no answer: who was given up, or is somebody else by now, before the lifter got to them.

    Args:
        people: Of an earlier frame.
        answers: From `engines.lifter.Lifter.answers` for that frame's time.
    """
    keep = np.array([track in answers for track in people.track.tolist()], np.bool_)
    if keep.all():
        return people
    rows = {name: getattr(people, name)[keep] for name in ("track", "box_xyxy_px", "xy_px", "score", "fresh")}
    return replace(people, **rows)
