"""From a model file to a running TensorRT engine: out of the cache, or built, proven and then cached.

An engine that was just built must compute what ONNX Runtime computes on recorded input; otherwise there is no
engine. Whatever is wrong with the cache costs a rebuild or a line of text, never the run.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from engines.cache import CacheError, EngineCache, PlanKey, Say
from engines.cuda import Driver
from engines.errors import EngineError
from engines.modelfile import ModelFile, read_model
from engines.plan import PlanOptions, Progress, Toolkit, build_plan, find_tensorrt
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


def plan_key(model: ModelFile, toolkit: Toolkit, driver: Driver | None, options: PlanOptions) -> PlanKey:
    """Return what the plan of a model depends on, here."""
    gpu = driver.gpu if driver is not None else None
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
        plan, seconds = build_plan(model, options, toolkit, progress)
        facts = {
            "built_utc": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),  # noqa: UP017  # runs on 3.10
            "build_s": round(seconds, 2),
            "spec": json.loads(model.spec.to_json()),
            **(verify(plan) if verify else {}),
        }
        try:
            cache.store(key, plan, facts)
        except CacheError as error:
            say(str(error))
    return Obtained(plan, True, facts)


def open_tensorrt(path: Path, say: Say, build: bool = True) -> Engine:
    """Load a model on the GPU.

    Args:
        path: The .onnx file.
        say: Gets the lines worth knowing, see `obtain`.
        build: Build the engine if the cache has none that fits, and again if TensorRT refuses what it has.

    Raises:
        EngineError: If there is no GPU, no TensorRT, or no engine that computes what it should.
    """
    from engines.trt import TrtEngine

    driver, toolkit, model, cache = Driver(), find_tensorrt(), read_model(path), EngineCache()
    key = cache.resolve(plan_key(model, toolkit, driver, PlanOptions()))
    jit = cache.folder / f"{key.stem}.jit"

    def load(plan: bytes) -> TrtEngine:
        return TrtEngine(model, plan, toolkit, driver, jit_cache=jit)

    def verify(plan: bytes) -> dict[str, Any]:
        return prove(load(plan), path, say)

    if not build:
        plan, reason = cache.load(key)
        if plan is None:
            why = f" ({reason})" if reason else ""
            raise EngineError(f"no engine for this GPU yet{why}: posestream build {model.path.stem}")
        return load(plan)
    obtained = obtain(model, key, toolkit, cache, say, verify=verify)
    try:
        return load(obtained.plan)
    except EngineError as error:
        if obtained.fresh:
            raise
        obtained = obtain(model, key, toolkit, cache, say, verify=verify, rebuild=f"it was refused ({error})")
        return load(obtained.plan)


def prove(engine: Engine, path: Path, say: Say) -> dict[str, Any]:
    """Compare a new engine with ONNX Runtime on recorded input, time it, and close it.

    Returns:
        Facts for the cache: the differences and the speed.

    Raises:
        EngineError: If an output differs by more than the model's precision allows.
    """
    from engines.bench import measure
    from engines.ort import OrtEngine
    from engines.parity import compare, recorded_frames

    reference = OrtEngine(path)
    try:
        frames = recorded_frames(engine.spec, 1 if engine.spec.kind == "finder" else 2)
        found = compare(reference, engine, frames)
        speed = measure(engine, recorded_frames(engine.spec, 1), SPEED_RUNS)
    finally:
        reference.close()
        engine.close()
    text = ", ".join(str(d) for d in found)
    if not all(d.good for d in found):
        raise EngineError(f"the engine of {path} does not compute what ONNX Runtime computes: {text}; not used")
    say(f"{engine.spec.name}: same as ONNX Runtime: {text}; {speed.p50_ms:.2f} ms per frame for one person")
    return {"parity": [asdict(d) for d in found], "speed": asdict(speed), "backend": engine.backend}
