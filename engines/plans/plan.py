"""From an .onnx file to a TensorRT plan: one code path for TensorRT 8.6 to 11 and the RTX flavour.

There are no version branches: enum members are looked up by name, since their numbers and their presence
differ. The precision is in the file, never in a builder flag; only a TensorRT without strong typing (8.6) is
told which types it will meet. TensorRT-RTX needs no GPU for any of this.
"""

from __future__ import annotations

import importlib
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from engines.errors import EngineError
from engines.modelfile import ModelFile
from engines.plans.opset17 import to_opset17
from engines.plans.tactics import attach, keep
from engines.spec import PEOPLE, EngineSpec, TensorSpec

MODULES = ("tensorrt", "tensorrt_rtx")  # in this order; both have the same API
INSTALL = "pip install 'posestream[gpu]'"
DTYPES = {"FLOAT": "float32", "HALF": "float16", "UINT8": "uint8", "INT32": "int32", "INT64": "int64", "BOOL": "bool"}
_CANCEL_POLL_S = 0.2

Progress = Callable[[str, int, int], None]
"""Called with (phase, steps done, steps in all) while a plan is built, from any thread."""


@dataclass(frozen=True)
class PlanOptions:
    """How to build.

    Attributes:
        people: Row counts to build a profile for; a model without a people axis ignores them.
        workspace_mib: Most scratch memory a layer may use while it runs.
    """

    people: tuple[int, ...] = (1, 2, 4, 8)
    workspace_mib: int = 1024


@dataclass(frozen=True)
class Toolkit:
    """An imported TensorRT.

    Attributes:
        trt: The module.
        flavour: Its name, "tensorrt" or "tensorrt_rtx".
        version: E.g. "10.16.1".
        logger: The one logger of this process; `logger.tail` holds its last error lines.
    """

    trt: Any
    flavour: str
    version: str
    logger: Any

    def why(self) -> str:
        """Return what TensorRT last complained about, in one line, and forget it."""
        lines = list(self.logger.tail)
        self.logger.tail.clear()
        return " | ".join(lines) or "it gave no reason"


@lru_cache(maxsize=1)
def find_tensorrt() -> Toolkit:
    """Import TensorRT, full or RTX flavour, once per process.

    Raises:
        EngineError: If neither is installed, or the installed one cannot be loaded.
    """
    broken = ""
    for name in MODULES:
        try:
            trt = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                broken = f"{name} is installed but lacks {error.name}"
        except (ImportError, OSError) as error:
            broken = f"{name} is installed but does not load: {error}"
        else:
            return Toolkit(trt, name, trt.__version__, _make_logger(trt))
    raise EngineError(f"{broken or 'TensorRT is not installed'}; get it with: {INSTALL}")


def _make_logger(trt: Any) -> Any:
    class TailLogger(trt.ILogger):  # type: ignore[misc]  # the base class is known only at run time
        """Keeps the last errors for our own messages, instead of writing them to the terminal."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.tail: deque[str] = deque(maxlen=4)

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                self.tail.append(" ".join(message.split())[:300])

    return TailLogger()


def build_plan(
    model: ModelFile,
    options: PlanOptions,
    toolkit: Toolkit,
    progress: Progress | None = None,
    timing: Path | None = None,
) -> tuple[bytes, float]:
    """Build a plan for the GPU of this machine, or ahead of time where the RTX flavour finds none.

    Args:
        model: What to build.
        options: See PlanOptions.
        toolkit: From `find_tensorrt`.
        progress: Told how far it is, if this TensorRT can say (all but 8.6).
        timing: Where what is measured while building is kept for the next build; see `engines.plans.tactics`.

    Returns:
        The plan, and the seconds it took.

    Raises:
        EngineError: With TensorRT's own last lines, if it cannot parse or build the file.
    """
    trt = toolkit.trt
    started = time.monotonic()
    toolkit.logger.tail.clear()
    try:
        builder = trt.Builder(toolkit.logger)
    except TypeError as error:  # how pybind reports that TensorRT found no driver
        raise EngineError(f"{toolkit.flavour} {toolkit.version} builds only where a GPU is: {toolkit.why()}") from error
    network = builder.create_network(1 << int(_by_name(trt.NetworkDefinitionCreationFlag, _typing_flag(trt))))
    parser = trt.OnnxParser(network, toolkit.logger)
    content = model.content if _typing_flag(trt) == "STRONGLY_TYPED" else to_opset17(model.content)  # 8.6 reads no more
    if not parser.parse(content):
        errors = " | ".join(" ".join(str(parser.get_error(i)).split()) for i in range(parser.num_errors))
        toolkit.logger.tail.clear()
        raise EngineError(f"TensorRT cannot read {model.path}: {errors[:800]}")
    check_signature(model, _network_io(network))
    config = _configure(builder, network, model.spec, options, trt)
    timed = attach(config, toolkit.flavour, timing)
    monitor = _make_monitor(trt, progress)
    if monitor is not None:
        config.progress_monitor = monitor
    plan = _build_interruptibly(builder, network, config, monitor)
    if plan is None:
        raise EngineError(f"TensorRT cannot build {model.path}: {toolkit.why()}")
    seconds = time.monotonic() - started
    if timed and timing is not None:
        keep(config, timing)
    return bytes(plan), seconds


def _typing_flag(trt: Any) -> str:
    return "STRONGLY_TYPED" if "STRONGLY_TYPED" in trt.NetworkDefinitionCreationFlag.__members__ else "EXPLICIT_BATCH"


def _by_name(enum: Any, name: str) -> Any:
    return enum.__members__[name]


def _configure(builder: Any, network: Any, spec: EngineSpec, options: PlanOptions, trt: Any) -> Any:
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_mib << 20)
    sources = ("EDGE_MASK_CONVOLUTIONS", "JIT_CONVOLUTIONS")  # the two that need neither cuBLAS nor cuDNN
    config.set_tactic_sources(sum(1 << int(_by_name(trt.TacticSource, name)) for name in sources))
    flags = trt.BuilderFlag.__members__
    config.clear_flag(flags["TF32"])  # it cannot keep fp32's promise of 1e-4; who wants speed takes fp16
    if "REQUIRE_USER_ALLOCATION" in flags:  # RTX: without it a stream may not be capturable
        config.set_flag(flags["REQUIRE_USER_ALLOCATION"])
    if _typing_flag(trt) == "EXPLICIT_BATCH":
        for name in {"fp16": ("FP16",), "int8": ("INT8",)}.get(spec.precision, ()):
            config.set_flag(flags[name])
        config.set_flag(flags["PREFER_PRECISION_CONSTRAINTS"])
    if "PROFILE_SHARING_0806" in trt.PreviewFeature.__members__:  # two contexts per profile; always on since 10
        config.set_preview_feature(_by_name(trt.PreviewFeature, "PROFILE_SHARING_0806"), True)
    inputs = [network.get_input(i) for i in range(network.num_inputs)]
    if any(-1 in tuple(tensor.shape) for tensor in inputs):
        for people in options.people:
            profile = builder.create_optimization_profile()
            for tensor in inputs:
                shape = tuple(people if size == -1 else size for size in tensor.shape)
                profile.set_shape(tensor.name, shape, shape, shape)
            config.add_optimization_profile(profile)
    return config


def _make_monitor(trt: Any, progress: Progress | None) -> Any:
    """Return a progress monitor, which also lets Ctrl-C through; None for a TensorRT that has none."""
    if not hasattr(trt, "IProgressMonitor"):
        return None

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        """Tells how far the phase under way is."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.cancelled = False
            self.steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self.steps[phase_name] = num_steps

        def step_complete(self, phase_name: str, step: int) -> bool:
            if progress is not None:
                progress(phase_name, step + 1, self.steps.get(phase_name, 0))
            return not self.cancelled

        def phase_finish(self, phase_name: str) -> None:
            self.steps.pop(phase_name, None)

    return Monitor()


def _build_interruptibly(builder: Any, network: Any, config: Any, monitor: Any) -> Any:
    """Build in a second thread: TensorRT does not come back to Python, so Ctrl-C would wait until the end."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(builder.build_serialized_network, network, config)
        try:
            while not wait([future], _CANCEL_POLL_S).done:
                pass  # back in Python, where Ctrl-C is seen
            return future.result()
        except KeyboardInterrupt:
            if monitor is not None:
                monitor.cancelled = True
            raise


def _network_io(network: Any) -> tuple[dict[str, tuple[tuple[int, ...], str]], ...]:
    inputs = (network.get_input(i) for i in range(network.num_inputs))
    outputs = (network.get_output(i) for i in range(network.num_outputs))
    return tuple(
        {t.name: (tuple(t.shape), DTYPES.get(t.dtype.name, t.dtype.name)) for t in ts} for ts in (inputs, outputs)
    )


def check_signature(model: ModelFile, io: tuple[dict[str, tuple[tuple[int, ...], str]], ...]) -> None:
    """Compare names, shapes and types that TensorRT reports, (inputs, outputs), with the file's metadata.

    Raises:
        EngineError: If they differ.
    """
    spec = model.spec
    states_in = tuple(TensorSpec(s.input, s.shape, s.dtype) for s in spec.states)
    states_out = tuple(TensorSpec(s.output, s.shape, s.dtype) for s in spec.states)
    keep = (TensorSpec(spec.keep, (PEOPLE,), "float32"),) if spec.keep else ()
    for have, wanted in zip(io, ((*spec.inputs, *keep, *states_in), (*spec.outputs, *states_out)), strict=True):
        want = {t.name: (tuple(-1 if s == PEOPLE else int(s) for s in t.shape), t.dtype) for t in wanted}
        if have != want:
            names = sorted(n for n in {*have, *want} if have.get(n) != want.get(n))
            raise EngineError(
                f"{model.path}: the graph has {[(n, have.get(n)) for n in names]}, its metadata says "
                f"{[(n, want.get(n)) for n in names]}; export the model again"
            )
