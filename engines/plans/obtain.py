"""From a model file to a running TensorRT engine: out of the cache, or built, proven and then cached.

An engine that was just built must compute what ONNX Runtime computes on recorded input; otherwise there is no
engine. Whatever is wrong with the cache costs a rebuild or a line of text, never the run.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from engines.device.cuda import Driver, Gpu, find_gpu
from engines.errors import EngineError, NoEngineYet
from engines.modelfile import ModelFile, read_model
from engines.plans.cache import CacheError, EngineCache, PlanKey, Say
from engines.plans.plan import PlanOptions, Progress, Toolkit, build_plan, find_tensorrt
from engines.runtime import Engine
from engines.spec import PEOPLE

Verify = Callable[[bytes], dict[str, Any]]
"""Proves a new plan and returns facts about it (parity, speed), or raises EngineError."""
SPEED_RUNS = 100


@dataclass(frozen=True)
class Obtained:
    """A plan, whether it was built just now, and what is known of it."""

    plan: bytes
    fresh: bool
    facts: dict[str, Any]


def plan_key(model: ModelFile, toolkit: Toolkit, gpu: Gpu | None, options: PlanOptions) -> PlanKey:
    """Return what the plan of a model depends on, here."""
    dynamic = any(PEOPLE in t.shape for t in model.spec.inputs)
    return PlanKey(
        model=model.path.stem,
        sha256=model.sha256,
        flavour=toolkit.flavour,
        version=toolkit.version,
        gpu=gpu.name if gpu else "none",
        capability=f"{gpu.capability[0]}.{gpu.capability[1]}" if gpu else "",
        driver=gpu.driver if gpu else "",
        people=options.people if dynamic else (),
        workspace_mib=options.workspace_mib,
    )


def obtain(
    model: ModelFile,
    key: PlanKey,
    toolkit: Toolkit,
    cache: EngineCache,
    say: Say,
    progress: Progress | None = None,
    verify: Verify | None = None,
    rebuild: str = "",
) -> Obtained:
    """Return the plan for a key, from the cache or built now.

    Args:
        model: The model file.
        key: From `plan_key`; its people and workspace are what is built.
        toolkit: From `find_tensorrt`.
        cache: Where engines are kept.
        say: Gets one line for each thing worth knowing: why it builds, whom it waits for, what went wrong.
        progress: Passed to the builder.
        verify: Run on a new plan before it is stored.
        rebuild: A reason not to take what the cache holds.

    Raises:
        EngineError: If the plan cannot be built, or does not pass `verify`; nothing is stored then.
    """
    plan, reason = (None, rebuild) if rebuild else cache.load(key)
    if plan is not None:
        return Obtained(plan, False, {})
    with cache.lock(key, say):
        if not rebuild:
            plan, reason = cache.load(key)  # whoever held the lock may have built it
            if plan is not None:
                return Obtained(plan, False, {})
        say(f"building {key.model}" + (f" again: {reason}" if reason else ""))
        options = PlanOptions(key.people, key.workspace_mib)
        cpu_s = time.process_time()
        plan, seconds = build_plan(model, options, toolkit, progress, cache.folder / key.timing)
        facts = {
            "built_utc": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),  # noqa: UP017  # runs on 3.10
            "build_s": round(seconds, 2),
            "build_cpu_s": round(time.process_time() - cpu_s, 2),
            "spec": json.loads(model.spec.to_json()),
            **(verify(plan) if verify else {}),
        }
        try:
            cache.store(key, plan, facts)
        except CacheError as error:
            say(str(error))
    return Obtained(plan, True, facts)


@dataclass(frozen=True)
class Loader:
    """Loads and proves plans of one model on this machine's GPU; each engine has a stream of its own.

    Attributes:
        model: The model file.
        key: Of its plan.
        toolkit: From `find_tensorrt`.
        cache: Where kernels that TensorRT-RTX compiles at run time are kept, beside the plan.
        say: Gets the line that says what the proof found.
    """

    model: ModelFile
    key: PlanKey
    toolkit: Toolkit
    cache: EngineCache
    say: Say

    def load(self, plan: bytes) -> Engine:
        """Return a running engine.

        Raises:
            EngineError: If TensorRT refuses the plan.
        """
        from engines.trt import TrtEngine

        jit = self.cache.folder / f"{self.key.stem}.jit"
        return TrtEngine(self.model, plan, self.toolkit, Driver(), jit_cache=jit)

    def verify(self, plan: bytes) -> dict[str, Any]:
        """Prove a new plan for every number of people it was built for; see `prove`."""
        return prove(self.load(plan), self.model.path, self.key.people, self.say)


def open_tensorrt(path: Path, say: Say, build: bool = True) -> Engine:
    """Load a model on the GPU.

    Args:
        path: The .onnx file.
        say: Gets the lines worth knowing, see `obtain`.
        build: Build the engine if the cache has none that fits, and again if TensorRT refuses what it has.

    Raises:
        NoEngineYet: Without `build`, if there is none that fits.
        EngineError: If there is no GPU, no TensorRT, or no engine that computes what it should.
    """
    gpu, toolkit, model, cache = find_gpu(), find_tensorrt(), read_model(path), EngineCache()
    key = cache.resolve(plan_key(model, toolkit, gpu, PlanOptions()))
    loader = Loader(model, key, toolkit, cache, say)
    if not build:
        plan, reason = cache.load(key)
        if plan is None:
            why = f" ({reason})" if reason else ""
            raise NoEngineYet(f"no engine for this GPU yet{why}: posestream build {model.path.stem}")
        return loader.load(plan)
    obtained = obtain(model, key, toolkit, cache, say, verify=loader.verify)
    try:
        return loader.load(obtained.plan)
    except EngineError as error:
        if obtained.fresh:
            raise
        obtained = obtain(model, key, toolkit, cache, say, verify=loader.verify, rebuild=f"it was refused ({error})")
        return loader.load(obtained.plan)


def prove(engine: Engine, path: Path, people: tuple[int, ...], say: Say) -> dict[str, Any]:
    """Compare a new engine with ONNX Runtime on recorded input, time it, and close it.

    Args:
        engine: The engine.
        path: Its .onnx file.
        people: The numbers of people it was built for, each of which is proven; empty for a model without people.
        say: Gets one line with the worst of each output.

    Returns:
        Facts for the cache: the differences for each number of people, and the speed.

    Raises:
        EngineError: If an output differs by more than the model's precision allows.
    """
    from engines.measure.latency import measure
    from engines.measure.parity import compare, proof_frames, recorded_frames

    found = []
    try:
        try:
            from engines.ort import OrtEngine
        except ImportError as error:
            raise EngineError(
                f"a new engine is proven against ONNX Runtime: pip install onnxruntime ({error})"
            ) from error
        reference = OrtEngine(path, os.cpu_count() or 1)
        for count in people or (1,):
            each = compare(reference, engine, proof_frames(engine.spec, count))
            found += [replace(d, people=count) for d in each]
        reference.close()
        speed = measure(engine, recorded_frames(engine.spec, 1), SPEED_RUNS)
    finally:
        engine.close()
    bad = [d for d in found if not d.good]
    if bad:
        text = ", ".join(f"{d} for {d.people} people" for d in bad)
        raise EngineError(f"the engine of {path} does not compute what ONNX Runtime computes: {text}; not used")
    worst = [max((d for d in found if d.output == t.name), key=lambda d: d.worst) for t in engine.spec.outputs]
    counts = f" for {', '.join(map(str, people))} people" if people else ""
    text = ", ".join(map(str, worst))
    say(f"{engine.spec.name}: same as ONNX Runtime{counts}: {text}; {speed.p50_ms:.2f} ms per frame for one person")
    return {"parity": [asdict(d) for d in found], "speed": asdict(speed), "backend": engine.backend}
