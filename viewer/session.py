"""What the window shows: a live stream or a results file, behind one small protocol. No Qt."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from pipeline.errors import OutputError
from pipeline.messages import People3D
from viewer.feed import Feed, display_age_ms
from viewer.status import LiveState, StateLine, describe_live


@dataclass(frozen=True, slots=True)
class Shot:
    """One thing to show.

    Attributes:
        people: The message.
        t_s: Its time on the source's own clock, seconds.
        picture: (H, W, 3) uint8 RGB of the same frame; None to use the message's preview.
    """

    people: People3D
    t_s: float
    picture: npt.NDArray[np.uint8] | None = None


class Session(Protocol):
    """What the window needs of what it shows."""

    title: str

    def tick(self, now_ns: int) -> Shot | None:
        """Return what to show now, None if nothing changed."""

    def line(self, now_ns: int) -> StateLine:
        """Return the state line."""

    def toggle_pause(self) -> bool:
        """Stop or go on; True if it stands still now."""

    def close(self) -> None:
        """Let go of sockets and files."""


class LiveSession:
    """A live stream. Pausing only stops the picture: the feed goes on listening, and so does a recording."""

    def __init__(self, feed: Feed) -> None:
        self.title = feed.name
        self.feed = feed
        self.paused = False
        self.state: LiveState = feed.state(time.monotonic_ns())
        self._shown: People3D | None = None

    def tick(self, now_ns: int) -> Shot | None:
        """See Session."""
        self.state = replace(self.feed.state(now_ns), paused=self.paused)
        people = self.state.people
        if self.paused or people is None or people is self._shown:
            return None
        self._shown = people
        self.title = people.stamp.source
        return Shot(people, stamp_seconds(people))

    def line(self, now_ns: int) -> StateLine:
        """See Session."""
        return describe_live(self.state)

    def shown_age_ms(self, now_ns: int) -> float:
        """Return the age of what is on the screen, NaN if there is nothing or its clock is another machine's."""
        return display_age_ms(self._shown, now_ns) if self._shown is not None else float("nan")

    def toggle_pause(self) -> bool:
        """See Session."""
        self.paused = not self.paused
        return self.paused

    def record(self) -> None:
        """Start keeping what comes in."""
        self.feed.start_recording()

    def save_recording(self, path: Path) -> int | None:
        """Stop recording, write the results file and return the number of frames; None if there was nothing to write.

        Raises:
            OutputError: If the file cannot be written.
        """
        recording = self.feed.stop_recording()
        if recording is None or recording.frames == 0:
            return None
        try:
            recording.save(path, self.state.statuses.values())
        except OutputError:
            self.feed.start_recording(recording)  # still there, to be saved elsewhere
            raise
        return recording.frames

    def close(self) -> None:
        """See Session."""
        self.feed.close()


def stamp_seconds(people: People3D) -> float:
    """Return a message's time on its source's clock: media time, else the moment of capture."""
    pts_s = people.stamp.pts_s
    return people.stamp.t_capture_ns / 1e9 if pts_s is None else pts_s
