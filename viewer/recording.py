"""Keeping what is shown: messages of a live stream collected into a results file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from pipeline.messages import Message, People3D, StageStatus
from pipeline.results.record import collect, save_results

FIRST_FRAME = "first_frame"
"""Entry of a recording's `info`: index of the frame it begins with."""


def free_path(folder: Path, suffix: str) -> Path:
    """Return a path in a folder that does not exist yet, named after the time."""
    name = f"posestream-{datetime.now():%Y%m%d-%H%M%S}"
    path, count = folder / f"{name}{suffix}", 1
    while path.exists():
        path, count = folder / f"{name}-{count}{suffix}", count + 1
    return path.absolute()


class Recording:
    """Messages kept in memory, without their pictures: about half a kilobyte per person and frame."""

    def __init__(self) -> None:
        self._messages: list[People3D] = []
        self._shift = 0

    @property
    def frames(self) -> int:
        """Number of messages kept."""
        return len(self._messages)

    def add(self, people: People3D) -> None:
        """Keep a message. Frame numbers go on rising when the stream begins anew."""
        last = self._messages[-1].stamp.seq if self._messages else -1
        if people.stamp.seq + self._shift <= last:
            self._shift = last + 1 - people.stamp.seq
        stamp = replace(people.stamp, seq=people.stamp.seq + self._shift)
        self._messages.append(replace(people, stamp=stamp, preview=None))

    def save(self, path: Path, statuses: Iterable[StageStatus] = ()) -> None:
        """Write the results file.

        Args:
            path: The file.
            statuses: Of the stream's stages: they tell the models and the source.

        Raises:
            OutputError: If it cannot be written.
        """
        messages: list[Message] = [*self._messages, *statuses]
        first = self._messages[0].stamp.seq if self._messages else 0
        save_results(path, collect(messages, info={FIRST_FRAME: first}))
