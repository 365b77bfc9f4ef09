"""One engine now, a better one later: an engine that changes what runs it between two frames.

The first live start on a GPU builds its engines, which takes from seconds to minutes. Meanwhile ONNX Runtime runs
the same model. When the other engine is ready it is given the state of every person and takes the next frame: no
frame waits, none is lost, and nobody's history starts anew.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Hashable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from engines.errors import EngineError
from engines.runtime import Arrays, Carried, Engine

CLOSE_S = 2.0


class Successor(Protocol):
    """An engine that is not there yet."""

    def open(self) -> Engine:
        """Make it ready, however long that takes; called in a thread of its own."""
        ...

    def cancel(self) -> None:
        """Give up: `open` is to end soon, with an EngineError."""
        ...


class HandoverEngine:
    """Runs on one engine until another is ready. See `engines.runtime.Engine` for the contract."""

    def __init__(self, first: Engine, successor: Successor) -> None:
        """Start to make the successor ready.

        Args:
            first: Runs meanwhile; of the same model file.
            successor: Takes over; if that fails `backend` says why and `first` goes on.
        """
        self.spec, self.sha256 = first.spec, first.sha256
        self._now, self._successor = first, successor
        self._next: Engine | None = None
        self._said = "; the engine for this GPU is being built meanwhile"
        self._trouble = ""
        self._frames = 0
        self._closed = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._make_ready, name=f"build {first.spec.name}", daemon=True)
        self._thread.start()

    @property
    def backend(self) -> str:
        """What runs it at present, and what is going on."""
        return self._now.backend + (f"; {self._trouble}" if self._trouble else self._said)

    def _make_ready(self) -> None:
        try:
            engine = self._successor.open()
        except EngineError as error:
            self._trouble = str(error)
            return
        with self._lock:
            if not self._closed:
                self._next = engine
                return
        engine.close()

    def run(
        self, inputs: Arrays, keys: Sequence[Hashable] = (), reset: Collection[Hashable] = ()
    ) -> dict[str, npt.NDArray[np.generic]]:
        """Run one frame; see `engines.runtime.Engine.run`."""
        if self._next is not None:
            self._hand_over()
        self._frames += 1
        return self._now.run(inputs, keys, reset)

    def _hand_over(self) -> None:
        with self._lock:
            ready, self._next = self._next, None
        assert ready is not None
        try:
            ready.adopt(self._now.carried())
        except EngineError as error:
            self._trouble = str(error)
            ready.close()
            return
        self._now.close()
        self._now = ready
        self._said = f"; took over after {self._frames} frames"

    def carried(self) -> Carried:
        """Return the state of every key; see `engines.runtime.Engine.carried`."""
        return self._now.carried()

    def adopt(self, carried: Carried) -> None:
        """Go on from another engine's state; see `engines.runtime.Engine.adopt`."""
        self._now.adopt(carried)

    def close(self) -> None:
        """Free both engines; a build that is under way is given up."""
        with self._lock:
            self._closed = True
            ready, self._next = self._next, None
        self._successor.cancel()
        self._thread.join(CLOSE_S)
        if ready is not None:
            ready.close()
        self._now.close()
