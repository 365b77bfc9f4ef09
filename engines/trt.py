"""TensorRT backend: state stays on the device, one CUDA graph per frame.

Nothing but pixels or joints goes in and nothing but joints comes out. Rows and their keys are kept by
`engines.slots`, buffers and graphs by `engines.banks`; this file loads the plan and moves a frame through.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engines.banks import Bank
from engines.cache import write_atomically
from engines.cuda import Driver
from engines.errors import EngineError, TensorShapeError
from engines.modelfile import ModelFile
from engines.plan import DTYPES, Toolkit, check_signature
from engines.runtime import Arrays, checked_input
from engines.slots import Assignment, SlotTable
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
            driver: An open CUDA driver.
            graphs: Record each frame's work as a CUDA graph; False queues it piece by piece, for comparison.
            jit_cache: Where TensorRT-RTX keeps the kernels it compiles at run time; other flavours have none.

        Raises:
            EngineError: If TensorRT refuses the plan, or the plan is not of this model.
        """
        self.spec, self.sha256 = model.spec, model.sha256
        self._driver = driver
        self._loaded = _Loaded(plan, toolkit, model, jit_cache)
        self._graphs = graphs
        self.graph_trouble = ""
        self._slots = SlotTable(self._loaded.people or (1,))
        self._has_people = bool(self._loaded.people)
        self._banks: list[Bank] = []
        self._warm_up()
        mode = "CUDA graphs" if graphs and not self.graph_trouble else f"no CUDA graphs{self.graph_trouble}"
        self.backend = f"{toolkit.flavour} {toolkit.version} ({driver.gpu.name}, {mode})"

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
        self._driver.use()
        where = self._slots.assign(keys, reset)
        self._prepare(where)
        self._fill(arrays, where)
        for bank, size in zip(self._banks, where.sizes, strict=False):
            bank.queue(size)
        self._driver.wait()
        return self._collect(where)

    def _warm_up(self) -> None:
        """Create every lane now, so that no frame waits for one; twice, once in each direction."""
        self._banks.append(self._new_bank())
        for size in self._slots.sizes:
            for _ in range(2):
                self._banks[0].queue(size)
        self._driver.wait()

    def _new_bank(self) -> Bank:
        return Bank(self._loaded, self._driver, self._slots.capacity, self._record)

    def _prepare(self, where: Assignment) -> None:
        """Add banks if there are more people than ever before; move state rows that change place."""
        while len(self._banks) < len(where.sizes):
            self._banks.append(self._new_bank())
        capacity = self._slots.capacity
        for source, target in where.moves:
            from_bank, to_bank = self._banks[source // capacity], self._banks[target // capacity]
            for state in range(len(self.spec.states)):
                nbytes = to_bank.state_bytes[state]
                to = to_bank.current(state) + target % capacity * nbytes
                self._driver.copy(to, from_bank.current(state) + source % capacity * nbytes, nbytes)

    def _fill(self, arrays: dict[str, npt.NDArray[np.generic]], where: Assignment) -> None:
        capacity = self._slots.capacity
        for number in range(len(where.sizes)):
            host = self._banks[number].host
            mine = np.flatnonzero(where.rows // capacity == number)
            for name, array in arrays.items():
                if self._has_people:
                    host[name].array[where.rows[mine] % capacity] = array[mine]
                else:
                    host[name].array[...] = array
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

    def use_graphs(self, graphs: bool) -> None:
        """Turn CUDA graphs on or off, to compare the two; lanes are made anew."""
        self._driver.wait()
        self._graphs = graphs
        for bank in self._banks:
            bank.drop_lanes()

    def _record(self, context: Any, enqueue: Callable[[], None]) -> int | None:
        """Record a context's work as a graph, or return None if graphs are off or this work cannot be recorded."""
        if not self._graphs or self.graph_trouble:
            return None
        capturable = getattr(context, "is_stream_capturable", None)  # TensorRT-RTX only
        if capturable is not None and not capturable(self._driver.stream):
            self.graph_trouble = ": TensorRT says that this network cannot be recorded"
            return None
        try:
            return self._driver.record(enqueue)
        except EngineError as error:
            self.graph_trouble = f": {error}"  # said in `backend`; the engine works without, only slower
            return None

    def close(self) -> None:
        """Free the engine and its buffers, and keep the kernels compiled meanwhile."""
        for bank in self._banks:
            bank.close()
        self._banks = []
        self._loaded.keep_jit_cache()


class _Loaded:
    """A deserialised engine: what it is called, what it takes, and how to make execution contexts."""

    def __init__(self, plan: bytes, toolkit: Toolkit, model: ModelFile, jit_cache: Path | None) -> None:
        self._toolkit, self._jit_path = toolkit, jit_cache
        toolkit.logger.tail.clear()
        self._runtime = toolkit.trt.Runtime(toolkit.logger)
        self.engine = self._runtime.deserialize_cuda_engine(plan)
        if self.engine is None:
            raise EngineError(
                f"{toolkit.flavour} {toolkit.version} refuses the engine of {model.path}: {toolkit.why()}"
            )
        self.spec = model.spec
        check_signature(model, _engine_io(self.engine, toolkit.trt))
        first = self.spec.inputs[0]
        count = self.engine.num_optimization_profiles if first.shape[0] == PEOPLE else 0
        self.people = tuple(int(self.engine.get_tensor_profile_shape(first.name, i)[1][0]) for i in range(count))
        self._config, self._jit = self._runtime_config()

    def _runtime_config(self) -> tuple[Any, Any]:
        """Return TensorRT-RTX's run-time settings and kernel cache; (None, None) for other flavours."""
        strategy = getattr(self._toolkit.trt, "DynamicShapesKernelSpecializationStrategy", None)
        if strategy is None:
            return None, None
        config = self.engine.create_runtime_config()
        # compile now: a graph recorded before would keep the slow fallback kernels for ever
        config.dynamic_shapes_kernel_specialization_strategy = strategy.__members__["EAGER"]
        jit = config.create_runtime_cache()
        if self._jit_path is not None and self._jit_path.is_file():
            jit.deserialize(self._jit_path.read_bytes())  # False = foreign or stale: it is then made anew
        self.check(config.set_runtime_cache(jit), "setting up the kernel cache")
        return config, jit

    def keep_jit_cache(self) -> None:
        """Write the kernels compiled at run time beside the plan; a cache that cannot be written is no error."""
        kernels = self._jit.serialize() if self._jit is not None and self._jit_path is not None else None
        if kernels is None:
            return
        try:
            write_atomically(self._jit_path, bytes(kernels))
        except OSError:
            return  # the engine's own store has said so already

    def context(self) -> Any:
        """Return a new execution context."""
        context = self.engine.create_execution_context(*(() if self._config is None else (self._config,)))
        if context is None:
            raise EngineError(f"{self.spec.name}: TensorRT cannot create an execution context: {self._toolkit.why()}")
        return context

    def check(self, good: bool, what: str) -> None:
        """Turn a False from TensorRT into an error that quotes it."""
        if not good:
            raise EngineError(f"{self.spec.name}: {what} failed: {self._toolkit.why()}")


def _engine_io(engine: Any, trt: Any) -> tuple[dict[str, tuple[tuple[int, ...], str]], ...]:
    names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
    described = {
        n: (tuple(engine.get_tensor_shape(n)), DTYPES.get(engine.get_tensor_dtype(n).name, "unknown")) for n in names
    }
    inputs = [n for n in names if engine.get_tensor_mode(n) == trt.TensorIOMode.INPUT]
    return {n: described[n] for n in inputs}, {n: described[n] for n in names if n not in inputs}
