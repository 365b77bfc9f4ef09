"""Device buffers of a TensorRT engine, and the work queued on them.

A bank holds as many rows as the largest profile has, and two sets of state buffers, A and B. A lane is one
execution context bound to fixed addresses, for one number of rows and one direction (A to B, or B to A): an
address never is state input and output at once. What a lane does in a frame, upload, network, download, is
recorded once as a CUDA graph and launched with one call from then on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from engines.device.cuda import Driver, PinnedArray
from engines.errors import EngineError
from engines.spec import PEOPLE, EngineSpec, TensorSpec

Recorder = Callable[[Any, Callable[[], None]], "int | None"]


class Loaded(Protocol):
    """What a bank needs of a deserialised engine; see `engines.device.loaded`."""

    spec: EngineSpec
    people: tuple[int, ...]

    def context(self) -> Any:
        """Return a new execution context."""
        ...

    def check(self, good: bool, what: str) -> None:
        """Raise an error that quotes TensorRT if `good` is False."""
        ...


@dataclass
class _Lane:
    """One context for one number of rows and one direction; `graph` is None where nothing could be recorded."""

    context: Any
    graph: int | None


class Bank:
    """Buffers for as many rows as the largest profile has, and the lanes that work on them."""

    def __init__(self, loaded: Loaded, driver: Driver, capacity: int, record: Recorder) -> None:
        """Allocate.

        Args:
            loaded: The engine.
            driver: Where the memory and the stream come from.
            capacity: Rows.
            record: Makes a graph of a context's work, or returns None where that is off or fails.
        """
        self._loaded, self._driver, self._record = loaded, driver, record
        self.spec: EngineSpec = loaded.spec
        keep = (TensorSpec(self.spec.keep, (PEOPLE,), "float32"),) if self.spec.keep else ()
        self._inputs = (*self.spec.inputs, *keep)
        self.host: dict[str, PinnedArray] = {}
        self._device: dict[str, int] = {}
        self.state_bytes = [_row_bytes(s.shape, s.dtype) for s in self.spec.states]
        self._states: tuple[list[int], list[int]] = ([], [])
        self._phase = 0  # which set the next frame reads
        self._lanes: dict[tuple[int, int], _Lane] = {}
        try:
            self._allocate(capacity)
        except EngineError:
            self.close()
            raise

    def _allocate(self, capacity: int) -> None:
        for tensor in (*self._inputs, *self.spec.outputs):
            shape = tuple(capacity if s == PEOPLE else int(s) for s in tensor.shape)
            self.host[tensor.name] = self._driver.pinned(shape, tensor.dtype)
            self._device[tensor.name] = self._driver.allocate(self.host[tensor.name].array.nbytes)
        for addresses in self._states:
            for nbytes in self.state_bytes:
                addresses.append(self._driver.allocate(capacity * nbytes))

    def current(self, state: int) -> int:
        """Return the address of the state that the next frame reads."""
        return self._states[self._phase][state]

    def queue(self, size: int) -> None:
        """Queue one frame of the first `size` rows."""
        lane = self._lanes.get((size, self._phase))
        if lane is None:
            lane = self._lanes[size, self._phase] = self._new_lane(size)
        if lane.graph is not None:
            self._driver.launch(lane.graph)
        else:
            self._enqueue(lane.context, size)
        self._phase = 1 - self._phase if self.spec.states else 0

    def _new_lane(self, size: int) -> _Lane:
        """Bind a context, run it once (recording needs a warm context; its result is overwritten), and record it."""
        context, check, stream = self._loaded.context(), self._loaded.check, self._driver.stream
        if self._loaded.people:
            profile = self._loaded.people.index(size)
            check(context.set_optimization_profile_async(profile, stream), f"choosing the profile for {size} people")
            self._driver.wait()
        states_in = [(s.input, s.shape, a) for s, a in zip(self.spec.states, self._states[self._phase], strict=True)]
        for name, shape, address in [*((t.name, t.shape, self._device[t.name]) for t in self._inputs), *states_in]:
            shape = tuple(size if s == PEOPLE else int(s) for s in shape)
            check(context.set_input_shape(name, shape), f"setting {name} to {shape}")
            check(context.set_tensor_address(name, address), f"binding {name}")
        for name, address in [
            *((t.name, self._device[t.name]) for t in self.spec.outputs),
            *((s.output, a) for s, a in zip(self.spec.states, self._states[1 - self._phase], strict=True)),
        ]:
            check(context.set_tensor_address(name, address), f"binding {name}")
        self._enqueue(context, size)
        self._driver.wait()
        return _Lane(context, self._record(context, lambda: self._enqueue(context, size)))

    def _enqueue(self, context: Any, size: int) -> None:
        """Queue upload, network and download of the first `size` rows."""
        for tensor in self._inputs:
            host = self.host[tensor.name]
            self._driver.upload(self._device[tensor.name], host.address, _bytes_of(tensor, host, size))
        self._loaded.check(context.execute_async_v3(self._driver.stream), "running the network")
        for tensor in self.spec.outputs:
            host = self.host[tensor.name]
            self._driver.download(host.address, self._device[tensor.name], _bytes_of(tensor, host, size))

    def drop_lanes(self) -> None:
        """Free contexts and graphs; they are made anew when needed."""
        for lane in self._lanes.values():
            if lane.graph is not None:
                self._driver.free_graph(lane.graph)
        self._lanes = {}

    def close(self) -> None:
        """Free everything."""
        self._driver.wait()
        self.drop_lanes()
        for address in (*self._device.values(), *self._states[0], *self._states[1]):
            self._driver.free(address)
        for pinned in self.host.values():
            self._driver.free_pinned(pinned)


def _bytes_of(tensor: TensorSpec, host: PinnedArray, size: int) -> int:
    rows = host.array.shape[0] if host.array.ndim else 1
    return host.array.nbytes // rows * size if tensor.shape[:1] == (PEOPLE,) else host.array.nbytes


def _row_bytes(shape: tuple[int | str, ...], dtype: str) -> int:
    return int(np.prod([int(s) for s in shape[1:]])) * np.dtype(dtype).itemsize
