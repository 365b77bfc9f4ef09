"""The private directory of a run (its sockets), and its log file.

The owner holds a lock inside the directory for as long as it lives; the kernel lets go of it even after
kill -9. So a directory whose lock is free belongs to nobody: the orphaned stages remove it as they leave,
or the next start does.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from pathlib import Path

_LOCK = "owner"
_KEPT_LOGS = 20
_LONGEST_PATH = 90  # a socket path may have 107 bytes; "/decode.ipc" and the like come on top


class RunDir:
    """A private directory, removed when it is closed."""

    def __init__(self) -> None:
        """Make the directory, and remove those of dead owners."""
        parent = _parent()
        remove_stale(parent)
        fresh = Path(tempfile.mkdtemp(prefix="new-", dir=parent))
        self._lock = os.open(fresh / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        # Only now does it look like a run: another start must not find it without its lock held.
        self.path = fresh.rename(parent / fresh.name.replace("new-", "run-", 1))

    def endpoint(self, name: str) -> str:
        """Return the ipc endpoint of a link."""
        return f"ipc://{self.path / name}.ipc"

    def close(self) -> None:
        """Remove the directory."""
        shutil.rmtree(self.path, ignore_errors=True)
        with contextlib.suppress(OSError):
            os.close(self._lock)


def remove_stale(parent: Path | None = None) -> None:
    """Remove the run directories in `parent`, by default this user's, whose owners are gone."""
    parent = parent or _parent()
    for path in (*parent.glob("run-*"), *parent.glob("new-*")):
        with contextlib.suppress(OSError):
            if path.name.startswith("new-") and time.time() - path.stat().st_mtime < 60:
                continue  # its owner is about to lock it
            lock = os.open(path / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises while the owner lives
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(lock)


def _parent() -> Path:
    """Return this user's directory for runs: short enough for socket paths, and nobody else's."""
    candidates = [os.environ.get("XDG_RUNTIME_DIR", ""), tempfile.gettempdir(), "/tmp"]
    for base in candidates:
        path = Path(base) / f"posestream-{os.getuid()}"
        if not base or len(str(path)) > _LONGEST_PATH - len("/run-12345678"):
            continue
        with contextlib.suppress(OSError):
            path.mkdir(mode=0o700, exist_ok=True)
            if path.stat().st_uid == os.getuid() and os.access(path, os.W_OK | os.X_OK):
                path.chmod(0o700)
                return path
    return Path(tempfile.mkdtemp(prefix="posestream-", dir="/tmp"))


def new_log() -> Path:
    """Return the path of a new log file for this run, and remove the oldest of former runs."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    folder = Path(state) / "posestream"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(folder)
    except OSError:
        folder = _parent()
    for old in sorted(folder.glob("*.log"))[: -_KEPT_LOGS + 1 or None]:
        old.unlink(missing_ok=True)
    return folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
