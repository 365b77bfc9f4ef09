"""Keeping what is shown: messages of a live stream collected into a results file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pipeline.messages import People3D


class Recording:
    """Messages kept in memory, without their pictures: about half a kilobyte per person and frame."""

    def __init__(self) -> None:
        self._messages: list[People3D] = []

    @property
    def frames(self) -> int:
        """Number of messages kept."""
        return len(self._messages)

    def add(self, people: People3D) -> None:
        """Keep a message."""
        self._messages.append(replace(people, preview=None))

    def save(self, path: Path) -> None:
        """Write the results file.

        Raises:
            OutputError: If it cannot be written.
        """
        raise NotImplementedError
