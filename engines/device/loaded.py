"""A deserialised TensorRT plan: checked against its model, ready to make execution contexts.

TensorRT-RTX compiles its kernels when a context is first used; what it compiled is kept beside the plan, so that
the next start need not compile again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engines.errors import EngineError
from engines.modelfile import ModelFile
from engines.plans.cache import write_atomically
from engines.plans.plan import DTYPES, Toolkit, check_signature
from engines.spec import PEOPLE


class LoadedPlan:
    """What an engine is called, what it takes, and how to make execution contexts.

    Attributes:
        spec: Of the model.
        people: Row counts of its profiles; empty for a model without a people axis.
    """

    def __init__(self, plan: bytes, toolkit: Toolkit, model: ModelFile, jit_cache: Path | None) -> None:
        """Load a plan.

        Args:
            plan: The serialised engine.
            toolkit: The TensorRT that built it.
            model: The .onnx file it was built from.
            jit_cache: Where TensorRT-RTX keeps the kernels it compiles at run time; other flavours have none.

        Raises:
            EngineError: If TensorRT refuses the plan, or the plan is not of this model.
        """
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
        rowed = next((t.name for t in self.spec.inputs if t.shape[:1] == (PEOPLE,)), "")
        count = self.engine.num_optimization_profiles if rowed else 0
        self.people = tuple(int(self.engine.get_tensor_profile_shape(rowed, i)[1][0]) for i in range(count))
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
