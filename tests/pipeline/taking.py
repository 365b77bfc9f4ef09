"""Pictures taken from a live source, within a time."""

import time
from collections.abc import Callable, Iterator

import pytest

from pipeline.sources.video import Picture


def take(pictures: Iterator[Picture | None], count: int, limit_s: float = 10) -> list[Picture]:
    """Return the next pictures; fails if they take too long."""
    deadline_s, taken = time.monotonic() + limit_s, []
    for shown in pictures:
        taken += [shown] if shown is not None else []
        if len(taken) >= count:
            return taken
        assert time.monotonic() < deadline_s, f"only {len(taken)} of {count} pictures in {limit_s} s"
    pytest.fail("the source ended")


def wait_for(pictures: Iterator[Picture | None], true: Callable[[], bool], limit_s: float = 10) -> None:
    deadline_s = time.monotonic() + limit_s
    for _ in pictures:
        if true():
            return
        assert time.monotonic() < deadline_s
    pytest.fail("the source ended")
