"""ONNX Runtime backend: CPU sessions with explicit state, two buffer sets used in turn."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from engines.errors import EngineError, TensorShapeError
from engines.modelfile import read_model
from engines.runtime import Arrays, Carried, checked_carried, checked_input
from engines.spec import EngineSpec, StateSpec, TensorSpec

_DTYPES = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(uint8)": "uint8", "tensor(int64)": "int64"}


class OrtEngine:
    """A model run by ONNX Runtime on the CPU. See `engines.runtime.Engine` for the contract."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        """Load a model and check that the graph is what its metadata says.

        Args:
            path: The .onnx file.
            threads: Threads of one call.

        Raises:
            EngineError: If the file is damaged, foreign, or contradicts its own metadata.
        """
        model = read_model(path)
        self.spec, self.sha256 = model.spec, model.sha256
        self._session = _open_session(path, model.content, threads)
        _check_graph(path, self.spec, self._session)
        self.backend = f"ONNX Runtime {ort.__version__} (CPU, {threads} thread{'s' if threads > 1 else ''})"
        self._keys: tuple[Hashable, ...] = ()
        self._state = _StateSets(self.spec.states)

    def run(
        self, inputs: Arrays, keys: Sequence[Hashable] = (), reset: Collection[Hashable] = ()
    ) -> dict[str, npt.NDArray[np.generic]]:
        """Run one frame; see `engines.runtime.Engine.run`."""
        rows = len(keys) if self.spec.states else None
        binding = self._session.io_binding()
        alive = []  # OrtValues share numpy memory: keep both until the run is over
        for spec in self.spec.inputs:
            array = checked_input(spec, inputs, rows)
            alive.append(ort.OrtValue.ortvalue_from_numpy(array))
            binding.bind_ortvalue_input(spec.name, alive[-1])
        for spec in self.spec.outputs:
            binding.bind_output(spec.name)
        if rows is not None:
            if len(set(keys)) != len(keys):
                raise TensorShapeError(f"{self.spec.name}: keys must be distinct, got {list(keys)}")
            keep = self._arrange(tuple(keys), reset)
            alive.append(ort.OrtValue.ortvalue_from_numpy(keep))
            binding.bind_ortvalue_input(self.spec.keep, alive[-1])
            self._state.bind(binding)
        self._session.run_with_iobinding(binding)
        self._state.swap()
        values = binding.get_outputs()[: len(self.spec.outputs)]  # in the order they were bound
        return {spec.name: value.numpy() for spec, value in zip(self.spec.outputs, values, strict=True)}

    def _arrange(self, keys: tuple[Hashable, ...], reset: Collection[Hashable]) -> npt.NDArray[np.float32]:
        """Lay the state rows out in the order of `keys`; return the keep vector (0 = new or reset)."""
        known = {key: row for row, key in enumerate(self._keys)}
        if keys != self._keys:
            self._state.gather([known.get(key) for key in keys])
            self._keys = keys
        return np.array([key in known and key not in reset for key in keys], np.float32)

    def carried(self) -> Carried:
        """Return the state of every key; see `engines.runtime.Engine.carried`."""
        return {key: self._state.row(i) for i, key in enumerate(self._keys)}

    def adopt(self, carried: Carried) -> None:
        """Go on from another engine's state; see `engines.runtime.Engine.adopt`."""
        rows = checked_carried(self.spec, carried)
        self._state.gather([None] * len(rows))
        self._keys = tuple(rows)
        for i, states in enumerate(rows.values()):
            self._state.put(i, states)

    def close(self) -> None:
        """Free the session and the state."""
        del self._session
        self._state = _StateSets(())


class _StateSets:
    """Two sets of state arrays, read from one and written to the other in turn: never aliased."""

    def __init__(self, specs: tuple[StateSpec, ...]) -> None:
        self._specs = specs
        self._read: list[ort.OrtValue] = []
        self._write: list[ort.OrtValue] = []
        self.gather([])

    def gather(self, rows: list[int | None]) -> None:
        """Resize both sets to `rows`: each new row copies an old one, or is zero for None."""
        read = []
        for i, spec in enumerate(self._specs):
            array = np.zeros((len(rows), *spec.shape[1:]), spec.dtype)
            old = self._read[i].numpy() if self._read else array
            for new_row, old_row in enumerate(rows):
                if old_row is not None:
                    array[new_row] = old[old_row]
            read.append(array)
        self._read = [ort.OrtValue.ortvalue_from_numpy(a) for a in read]
        self._write = [ort.OrtValue.ortvalue_from_numpy(np.zeros_like(a)) for a in read]

    def row(self, row: int) -> dict[str, npt.NDArray[np.generic]]:
        """Return a copy of one person's states by name."""
        return {s.input: v.numpy()[row].copy() for s, v in zip(self._specs, self._read, strict=True)}

    def put(self, row: int, states: list[npt.NDArray[np.generic]]) -> None:
        """Overwrite one person's states."""
        for value, state in zip(self._read, states, strict=True):
            value.numpy()[row] = state

    def bind(self, binding: ort.IOBinding) -> None:
        for spec, read, write in zip(self._specs, self._read, self._write, strict=True):
            binding.bind_ortvalue_input(spec.input, read)
            binding.bind_ortvalue_output(spec.output, write)

    def swap(self) -> None:
        self._read, self._write = self._write, self._read


def _open_session(path: Path, content: bytes, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    # Two spinning pools on two cores are slower than one thread: 13-15 ms against 8 ms for detector + lifter.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors share no public base class but Exception
        reason = str(error).splitlines()[0][:200]
        raise EngineError(f"cannot load model {path}: damaged or not an ONNX file ({reason})") from error


def _check_graph(path: Path, spec: EngineSpec, session: ort.InferenceSession) -> None:
    """Compare names, and dtypes of inputs, of the graph with the metadata."""
    inputs = {i.name: i for i in session.get_inputs()}
    outputs = {o.name for o in session.get_outputs()}
    if set(inputs) != set(spec.input_names) or outputs != set(spec.output_names):
        raise EngineError(
            f"{path}: the graph has inputs {sorted(inputs)} and outputs {sorted(outputs)}, its metadata says "
            f"{sorted(spec.input_names)} and {sorted(spec.output_names)}; export the model again"
        )
    for tensor in (*spec.inputs, *(TensorSpec(s.input, s.shape, s.dtype) for s in spec.states)):
        dtype = _DTYPES.get(inputs[tensor.name].type, inputs[tensor.name].type)
        if dtype != tensor.dtype:
            raise EngineError(f"{path}: input {tensor.name} is {dtype} in the graph, {tensor.dtype} in the metadata")
