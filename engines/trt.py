"""TensorRT backend: state stays on the device, one CUDA graph per frame.

Nothing but pixels or joints goes in and nothing but joints comes out. In `engines.device` `loaded` loads the
plan, `slots` keeps rows and their keys, `banks` buffers and graphs; this file moves a frame through.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engines.device.banks import Bank
from engines.device.cuda import Driver, PinnedArray
from engines.device.loaded import LoadedPlan
from engines.device.slots import Assignment, SlotTable
from engines.errors import EngineError, TensorShapeError
from engines.modelfile import ModelFile
from engines.plans.plan import Toolkit
from engines.runtime import Arrays, Carried, checked_carried, checked_input
from engines.spec import PEOPLE


class TrtEngine:
    """A TensorRT plan. See `engines.runtime.Engine` for the contract."""

    def __init__(
        self,
        model: ModelFile,
        plan: bytes,
        toolkit: Toolkit,
        driver: Driver,
        graphs: bool = True,
        jit_cache: Path | None = None,
    ) -> None:
        """Load a plan and warm up every number of people it was built for.

        Args:
            model: The .onnx file the plan was built from.
            plan: The serialised engine.
            toolkit: The TensorRT that built it.
            driver: An open CUDA driver, for this engine alone: it is closed with the engine, or if loading fails.
            graphs: Record each frame's work as a CUDA graph; False queues it piece by piece, for comparison.
            jit_cache: Where TensorRT-RTX keeps the kernels it compiles at run time; other flavours have none.

        Raises:
            EngineError: If TensorRT refuses the plan, or the plan is not of this model.
        """
        self.spec, self.sha256 = model.spec, model.sha256
        self._driver: Driver | None = driver
        self._runs_on = f"{toolkit.flavour} {toolkit.version} ({driver.gpu.name}, "
        self._graphs = graphs
        self.graph_trouble = ""
        self._banks: list[Bank] = []
        self._loaded: LoadedPlan | None = None
        try:
            self._loaded = LoadedPlan(plan, toolkit, model, jit_cache)
            self._slots = SlotTable(self._loaded.people or (1,))
            self._has_people = bool(self._loaded.people)
            self._warm_up()
        except BaseException:
            self.close()
            raise

    @property
    def mode(self) -> str:
        """Say "graph" if every frame is the launch of a recorded graph, else "plain"."""
        return "graph" if self._graphs and not self.graph_trouble else "plain"

    @property
    def backend(self) -> str:
        """What runs it, with or without graphs and why."""
        return self._runs_on + ("CUDA graphs)" if self.mode == "graph" else f"no CUDA graphs{self.graph_trouble})")

    def run(
        self, inputs: Arrays, keys: Sequence[Hashable] = (), reset: Collection[Hashable] = ()
    ) -> dict[str, npt.NDArray[np.generic]]:
        """Run one frame; see `engines.runtime.Engine.run`."""
        rows = len(keys) if self.spec.states else None
        arrays = {spec.name: checked_input(spec, inputs, rows) for spec in self.spec.inputs}
        if len(set(keys)) != len(keys):
            raise TensorShapeError(f"{self.spec.name}: keys must be distinct, got {list(keys)}")
        if not self.spec.states:
            keys = range(next(iter(arrays.values())).shape[0]) if self._has_people else (0,)
        driver = self._open_driver()
        where = self._slots.assign(keys, reset)
        self._prepare(where)
        self._fill(arrays, where)
        for bank, size in zip(self._banks, where.sizes, strict=False):
            bank.queue(size)
        driver.wait()
        return self._collect(where)

    def _open_driver(self) -> Driver:
        if self._driver is None:
            raise EngineError(f"{self.spec.name}: the engine is closed")
        self._driver.use()
        return self._driver

    def _warm_up(self) -> None:
        """Create every lane now, so that no frame waits for one; twice, once in each direction."""
        self._banks.append(self._new_bank())
        self._run_lanes()
        if self.graph_trouble:  # all or none: half a set of graphs would be timed as one thing and be another
            self._banks[0].drop_lanes()
            self._run_lanes()

    def _run_lanes(self) -> None:
        for size in self._slots.sizes:
            for _ in range(2):
                self._banks[0].queue(size)
        self._open_driver().wait()

    def _new_bank(self) -> Bank:
        assert self._loaded is not None
        return Bank(self._loaded, self._open_driver(), self._slots.capacity, self._record)

    def _prepare(self, where: Assignment) -> None:
        """Add banks if there are more people than ever before; move state rows that change place."""
        while len(self._banks) < len(where.sizes):
            self._banks.append(self._new_bank())
        for source, target in where.moves:
            for (to, nbytes), (start, _) in zip(self._rows_of(target), self._rows_of(source), strict=True):
                self._open_driver().copy(to, start, nbytes)

    def _rows_of(self, row: int) -> list[tuple[int, int]]:
        """Return address and size in bytes of one person's row, state by state, as the next frame reads them."""
        bank, within = self._banks[row // self._slots.capacity], row % self._slots.capacity
        return [(bank.current(i) + within * n, n) for i, n in enumerate(bank.state_bytes)]

    def _fill(self, arrays: dict[str, npt.NDArray[np.generic]], where: Assignment) -> None:
        capacity = self._slots.capacity
        for number in range(len(where.sizes)):
            host = self._banks[number].host
            mine = np.flatnonzero(where.rows // capacity == number)
            for spec in self.spec.inputs:
                if spec.shape[:1] == (PEOPLE,):
                    host[spec.name].array[where.rows[mine] % capacity] = arrays[spec.name][mine]
                else:
                    host[spec.name].array[...] = arrays[spec.name]
            if self.spec.keep:
                host[self.spec.keep].array[...] = where.keep[number * capacity : (number + 1) * capacity]

    def _collect(self, where: Assignment) -> dict[str, npt.NDArray[np.generic]]:
        """Copy the outputs out of the page-locked buffers, rows in the order of the call."""
        capacity = self._slots.capacity
        out = {}
        for spec in self.spec.outputs:
            if not self._has_people:
                out[spec.name] = self._banks[0].host[spec.name].array.copy()
                continue
            out[spec.name] = np.empty((len(where.rows), *spec.shape[1:]), spec.dtype)
            for i, row in enumerate(where.rows):
                out[spec.name][i] = self._banks[row // capacity].host[spec.name].array[row % capacity]
        return out

    def carried(self) -> Carried:
        """Return the state of every key; see `engines.runtime.Engine.carried`."""
        shapes = [(s.input, tuple(int(n) for n in s.shape[1:]), s.dtype) for s in self.spec.states]
        driver = self._open_driver()
        out: Carried = {}
        with self._staging() as staging:
            for key, row in self._slots.known().items():
                out[key] = {}
                for (name, shape, dtype), (address, nbytes) in zip(shapes, self._rows_of(row), strict=True):
                    driver.download(staging.address, address, nbytes)
                    driver.wait()
                    out[key][name] = staging.array[:nbytes].copy().view(dtype).reshape(shape)
        return out

    def adopt(self, carried: Carried) -> None:
        """Go on from another engine's state; see `engines.runtime.Engine.adopt`."""
        states = checked_carried(self.spec, carried)
        driver = self._open_driver()
        self._slots.assign(())
        where = self._slots.assign(tuple(states))
        self._prepare(where)
        with self._staging() as staging:
            for arrays, row in zip(states.values(), where.rows.tolist(), strict=True):
                for array, (address, nbytes) in zip(arrays, self._rows_of(row), strict=True):
                    staging.array[:nbytes] = array.reshape(-1).view(np.uint8)
                    driver.upload(address, staging.address, nbytes)
                    driver.wait()

    @contextmanager
    def _staging(self) -> Iterator[PinnedArray]:
        """Lend page-locked memory for one row of the largest state."""
        driver = self._open_driver()
        staging = driver.pinned((max(self._banks[0].state_bytes, default=1),), "uint8")
        try:
            yield staging
        finally:
            driver.free_pinned(staging)

    def use_graphs(self, graphs: bool) -> None:
        """Turn CUDA graphs on or off, to compare; lanes are made anew. `mode` says after a run what came of it."""
        self._open_driver().wait()
        self._graphs, self.graph_trouble = graphs, ""
        for bank in self._banks:
            bank.drop_lanes()

    def _record(self, context: Any, enqueue: Callable[[], None]) -> int | None:
        """Record a context's work as a graph, or return None if graphs are off or this work cannot be recorded."""
        if not self._graphs or self.graph_trouble:
            return None
        driver = self._open_driver()
        capturable = getattr(context, "is_stream_capturable", None)  # TensorRT-RTX only
        if capturable is not None and not capturable(driver.stream):
            self.graph_trouble = ": TensorRT says that this network cannot be recorded"
            return None
        try:
            return driver.record(enqueue)
        except EngineError as error:
            self.graph_trouble = f": {error}"  # said in `backend`; the engine works without, only slower
            return None

    def close(self) -> None:
        """Free the engine, its buffers and its stream, and keep the kernels compiled meanwhile. May be called twice."""
        driver, self._driver = self._driver, None
        if driver is None:
            return
        try:
            driver.use()
            for bank in self._banks:
                bank.close()
            if self._loaded is not None:
                self._loaded.keep_jit_cache()
        finally:
            self._banks, self._loaded = [], None  # TensorRT's own objects go before the stream
            driver.close()
