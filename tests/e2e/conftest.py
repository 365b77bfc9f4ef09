"""Runs of real processes in a private corner, and the check that nothing of them is left."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
MARK = "POSESTREAM_TEST_RUN"


class Run:
    """A posestream command that is going on, or has ended."""

    def __init__(self, command: list[str], env: dict[str, str], corner: Path) -> None:
        self.corner, self.mark = corner, uuid.uuid4().hex
        own = {"XDG_RUNTIME_DIR": str(corner), "XDG_STATE_HOME": str(corner / "state"), MARK: self.mark}
        paths = os.pathsep.join([str(ROOT), *([os.environ["PYTHONPATH"]] if "PYTHONPATH" in os.environ else [])])
        self._out, self._err = corner / f"{self.mark}.out", corner / f"{self.mark}.err"
        self.process = subprocess.Popen(
            [sys.executable, *command], cwd=corner, env={**os.environ, "PYTHONPATH": paths, **own, **env},
            stdout=self._out.open("w"), stderr=self._err.open("w"),
        )  # fmt: skip

    def end(self, timeout_s: float = 60) -> int:
        """Wait for the command to end; returns its exit code."""
        return self.process.wait(timeout_s)

    @property
    def out(self) -> str:
        return self._out.read_text()

    @property
    def err(self) -> str:
        """What it has said so far."""
        return self._err.read_text()

    @property
    def summary(self) -> dict[str, Any]:
        return json.loads(self.out)

    def pids(self) -> dict[int, str]:
        """Living processes of the run but the command itself: pid -> name. Zombies count as gone."""
        found = {}
        for folder in Path("/proc").iterdir():
            if not folder.name.isdecimal() or int(folder.name) == self.process.pid:
                continue
            try:
                if f"{MARK}={self.mark}".encode() not in (folder / "environ").read_bytes():
                    continue
                state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
                if state not in "ZX":
                    found[int(folder.name)] = (folder / "comm").read_text().strip()
            except OSError:
                continue
        return found

    def wait_for(self, what: Callable[[], Any], why: str, timeout_s: float = 30) -> Any:
        """Wait until something is so."""
        deadline_s = time.monotonic() + timeout_s
        while not (value := what()):
            if time.monotonic() > deadline_s:
                self.process.kill()
                self.end()
                pytest.fail(f"waited {timeout_s} s for {why}; the run said: {self.err}")
            time.sleep(0.02)
        return value

    def stage(self, name: str) -> int:
        """Return the pid of a stage, once it is there."""
        return int(self.wait_for(lambda: next((p for p, n in self.pids().items() if n == f"ps-{name}"), 0), name))

    def assert_nothing_left(self) -> None:
        """No process of the run lives, and its private directory is gone."""
        self.wait_for(lambda: not self.pids(), "the run's processes to be gone", 10)
        assert list(self.corner.glob("posestream-*/*")) == []


@pytest.fixture
def corner() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="ps"))  # a socket's path must be short
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def start(corner: Path) -> Iterator[Callable[..., Run]]:
    """Start a run: `start("live", FAKE_FPS=60)` over fake stages, `start("-m", "pipeline.cli", ...)` for real."""
    runs: list[Run] = []

    def go(*command: str, **env: object) -> Run:
        words = (
            [str(Path(__file__).with_name("fake_run.py")), *command] if command[0] in ("live", "replay") else command
        )
        runs.append(Run(list(words), {key: str(value) for key, value in env.items()}, corner))
        return runs[-1]

    yield go
    for run in runs:
        if run.process.poll() is None:
            run.process.kill()
            run.end()
        for pid in run.pids():
            os.kill(pid, signal.SIGKILL)
