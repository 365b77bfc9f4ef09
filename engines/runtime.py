"""Running a model: the Engine protocol and open_engine().

A stateful engine keeps one state row per person. The caller names its rows by keys (track ids); the
engine carries each key's state from call to call, starts a new key fresh, and forgets keys that are
not in the call. How the rows are laid out and ping-ponged is the backend's own business.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from engines.errors import EngineError
from engines.spec import EngineSpec

WEIGHTS_DIR = Path(__file__).parent / "weights"
BACKENDS = ("auto", "ort", "tensorrt")

Arrays = Mapping[str, npt.NDArray[np.generic]]


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

    def close(self) -> None:
        """Free the model."""
        ...


def find_weights(model: str) -> Path:
    """Return the path of a model: a path as it stands, or a name such as "lifter-tcn" among the shipped weights.

    Raises:
        EngineError: If there is neither such a file nor such a shipped model.
    """
    for path in (Path(model), WEIGHTS_DIR / f"{model}.onnx"):
        if path.is_file():
            return path
    shipped = ", ".join(sorted(p.stem for p in WEIGHTS_DIR.glob("*.onnx")))
    raise EngineError(f"no model file {model!r}; shipped models: {shipped or 'none'}")


def open_engine(model: str | Path, backend: str = "auto", threads: int = 1) -> Engine:
    """Load a model.

    Args:
        model: Path of an .onnx file, or the name of a shipped model.
        backend: "auto" or "ort" for ONNX Runtime; "tensorrt" for an NVIDIA GPU.
        threads: CPU threads of one call (ONNX Runtime).

    Raises:
        EngineError: If the file is missing, damaged or not a posestream model, or the backend is not available.
    """
    if backend not in BACKENDS:
        raise EngineError(f"unknown backend {backend!r}; known: {', '.join(BACKENDS)}")
    if backend == "tensorrt":
        raise EngineError("the tensorrt backend is not part of this version; use --backend ort")
    from engines.ort import OrtEngine  # imported late: a GPU machine need not have ONNX Runtime

    return OrtEngine(find_weights(str(model)), threads)
