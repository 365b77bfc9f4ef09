"""Running a model: the Engine protocol and open_engine().

A stateful engine keeps one state row per person. The caller names its rows by keys (track ids); the
engine carries each key's state from call to call, starts a new key fresh, and forgets keys that are
not in the call. How the rows are laid out and ping-ponged is the backend's own business.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from engines.errors import EngineError, NoEngineYet, TensorShapeError, WrongKind
from engines.plans.cache import cache_dir
from engines.spec import PEOPLE, EngineSpec, TensorSpec

WEIGHTS_DIR = Path(__file__).parent / "weights"
BACKENDS = ("auto", "ort", "tensorrt")

_LOG = logging.getLogger(__name__)

Arrays = Mapping[str, npt.NDArray[np.generic]]
Carried = dict[Hashable, dict[str, npt.NDArray[Any]]]
"""The memory of an engine: for every key, by name of the state's input, one row without the people axis."""


class Engine(Protocol):
    """A loaded model. Not thread-safe; one per stage."""

    spec: EngineSpec
    backend: str
    """What really runs it, e.g. "ONNX Runtime 1.31 (CPU, 1 thread)"."""
    sha256: str
    """Hash of the .onnx file."""

    def run(
        self, inputs: Arrays, keys: Sequence[Hashable] = (), reset: Collection[Hashable] = ()
    ) -> dict[str, npt.NDArray[np.generic]]:
        """Run one frame.

        Args:
            inputs: The spec's inputs by name, without states and keep. Rows follow `keys`.
            keys: One distinct key per row of a stateful engine; its state is carried from the last call.
            reset: Keys to start afresh in this call.

        Returns:
            The spec's outputs by name, in arrays of the caller's own.

        Raises:
            TensorShapeError: If an input has the wrong shape or dtype, or rows and keys differ in number.
        """
        ...

    def carried(self) -> Carried:
        """Return a copy of the state of every key of the last call."""
        ...

    def adopt(self, carried: Carried) -> None:
        """Go on from the state of another engine of the same model; what this one held is forgotten.

        Raises:
            TensorShapeError: If a state is missing or has the wrong shape or dtype.
        """
        ...

    def close(self) -> None:
        """Free the model."""
        ...


def checked_input(spec: TensorSpec, inputs: Arrays, rows: int | None) -> npt.NDArray[np.generic]:
    """Return one input as a contiguous array after checking it.

    Args:
        spec: What it should be.
        inputs: All inputs of the call.
        rows: Number of people, or None if the input itself says (an engine without states).

    Raises:
        TensorShapeError: If it is missing or has the wrong shape or dtype.
    """
    if spec.name not in inputs:
        raise TensorShapeError(f"missing input {spec.name!r}; got {sorted(inputs)}")
    array = np.ascontiguousarray(inputs[spec.name])
    people = rows if rows is not None else (array.shape[0] if array.ndim else 0)
    want = tuple(people if size == PEOPLE else size for size in spec.shape)
    if array.shape != want or array.dtype != np.dtype(spec.dtype):
        raise TensorShapeError(f"{spec.name} must be {want} {spec.dtype}, got {array.shape} {array.dtype}")
    return array


def checked_carried(spec: EngineSpec, carried: Carried) -> dict[Hashable, list[npt.NDArray[Any]]]:
    """Return each key's states in the order of the spec, contiguous, after checking them.

    Raises:
        TensorShapeError: If one is missing or has the wrong shape or dtype.
    """
    return {
        key: [checked_input(TensorSpec(s.input, s.shape[1:], s.dtype), rows, None) for s in spec.states]
        for key, rows in carried.items()
    }


def find_weights(model: str) -> Path:
    """Return the path of a model: a path as it stands, or a name such as "lifter-tcn".

    Names are looked up among the shipped weights, then among the models converted here (`train.tasks.precision`).

    Raises:
        EngineError: If there is neither such a file nor such a shipped model.
    """
    for path in (Path(model), WEIGHTS_DIR / f"{model}.onnx", cache_dir() / "models" / f"{model}.onnx"):
        if path.is_file():
            return path
    shipped = ", ".join(sorted(p.stem for p in WEIGHTS_DIR.glob("*.onnx")))
    raise EngineError(f"no model file {model!r}; shipped models: {shipped or 'none'}")


def open_engine(model: str | Path, backend: str = "auto", threads: int = 1, background: bool = False) -> Engine:
    """Load a model.

    Args:
        model: Path of an .onnx file, or the name of a shipped model.
        backend: "ort" for ONNX Runtime on the CPU; "tensorrt" for an NVIDIA GPU, building the engine if need be;
            "auto" for TensorRT if it is ready to run this model, else ONNX Runtime: the engine's `backend` says why.
        threads: CPU threads of one call (ONNX Runtime).
        background: Where "auto" finds a GPU but no engine yet, build it meanwhile and then change over (live runs).

    Raises:
        EngineError: If the file is missing, damaged or not a posestream model, or the backend is not available.
    """
    if backend not in BACKENDS:
        raise EngineError(f"unknown backend {backend!r}; known: {', '.join(BACKENDS)}")
    path = find_weights(str(model))
    trouble = ""
    if backend != "ort":
        try:
            return _open_tensorrt(path, build=backend == "tensorrt")
        except EngineError as error:
            if backend == "tensorrt":
                raise EngineError(f"{error}. Or use --backend ort") from error
            background, trouble = background and isinstance(error, NoEngineYet), f"; {error}"
    from engines.ort import OrtEngine  # imported late: a GPU machine need not have ONNX Runtime

    engine = OrtEngine(path, threads)
    if background and trouble:
        return _build_meanwhile(engine, path)
    engine.backend += trouble
    return engine


def _build_meanwhile(engine: Engine, path: Path) -> Engine:
    from engines.plans.background import BackgroundBuild
    from engines.plans.handover import HandoverEngine

    return HandoverEngine(engine, BackgroundBuild(path, _tell))


def _open_tensorrt(path: Path, build: bool) -> Engine:
    from engines.plans.obtain import open_tensorrt

    return open_tensorrt(path, _tell, build=build)


def _tell(line: str) -> None:
    _LOG.warning("%s", line)


def require_kind(engine: Engine, kind: str, *others: str) -> None:
    """Refuse a model of another kind.

    Raises:
        WrongKind: If the model is neither a `kind` nor one of `others`.
    """
    if engine.spec.kind not in (kind, *others):
        raise WrongKind(f"{engine.spec.name} is a {engine.spec.kind}, not a {kind}: choose another model file")
