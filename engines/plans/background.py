"""Building an engine in a process of its own, beside a live run.

Apart from it, not in a thread: a builder that crashes or eats memory does not take the run along, it can be given
up at once, and it runs at low priority, one builder after the other.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

from engines.errors import EngineError
from engines.plans.cache import Say
from engines.plans.obtain import open_tensorrt
from engines.runtime import Engine

GIVE_UP_S = 1.0


class BackgroundBuild:
    """The TensorRT engine of a model, built by `posestream build` in the background; see `handover.Successor`."""

    def __init__(self, path: Path, say: Say) -> None:
        """Prepare; nothing is started before `open`.

        Args:
            path: The .onnx file.
            say: Gets the builder's lines and those of loading.
        """
        self._path, self._say = path, say
        self._process: subprocess.Popen[str] | None = None
        self._cancelled = False
        self._lock = threading.Lock()

    def open(self) -> Engine:
        """Build, wait and load.

        Raises:
            EngineError: If it cannot be built, kept or loaded, or was cancelled.
        """
        said = self._build()
        try:
            return open_tensorrt(self._path, self._say, build=False)
        except EngineError as error:
            raise EngineError(f"{error} ({said})" if said.startswith("cannot keep") else str(error)) from error

    def _build(self) -> str:
        """Run the builder to its end; return its last line."""
        room = str(Path(__file__).parents[2])
        path = os.pathsep.join(filter(None, (room, os.environ.get("PYTHONPATH"))))
        with self._lock:
            if self._cancelled:
                raise EngineError("the build was given up")
            self._process = subprocess.Popen(
                [sys.executable, "-m", "engines.plans.build", str(self._path), "--background"],
                env={**os.environ, "PYTHONPATH": path},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
        said = ""
        assert self._process.stderr is not None
        with self._process.stderr as lines:
            for line in lines:
                said = line.strip() or said
                self._say(said)
        code = self._process.wait()
        if self._cancelled:
            raise EngineError("the build was given up")
        if code != 0:
            raise EngineError(f"the engine for this GPU could not be built: {said.removeprefix('error: ') or code}")
        return said

    def cancel(self) -> None:
        """Stop the builder, if it runs."""
        with self._lock:
            self._cancelled = True
            process = self._process
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(GIVE_UP_S)
        except subprocess.TimeoutExpired:
            process.kill()
