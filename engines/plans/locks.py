"""Locks between processes, as files: given back by the kernel when their holder dies, whatever it dies of."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

_POLL_S = 0.1
Say = Callable[[str], None]


@contextmanager
def hold(path: Path, waiting: str, say: Say) -> Iterator[None]:
    """Hold a lock file; where it cannot be made, do without.

    Args:
        path: The file; its folder is made.
        waiting: Said once if another process holds it.
        say: Gets that line.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+b")
    except OSError:
        yield
        return
    with file:
        if not _try_lock(file):
            say(waiting)
            while not _try_lock(file):
                time.sleep(_POLL_S)
        yield  # closing the file gives the lock back


def _try_lock(file: IO[bytes]) -> bool:
    """Lock an open file; return False if another process holds it."""
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # Windows says the latter
        return False
    return True
