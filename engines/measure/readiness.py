"""What this machine has for the GPU path: card, TensorRT, and which engines are built and fit."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from engines.device.cuda import Gpu, find_gpu
from engines.errors import EngineError
from engines.modelfile import read_model
from engines.plans.cache import EngineCache, cache_dir
from engines.plans.obtain import plan_key
from engines.plans.plan import PlanOptions, Toolkit, find_tensorrt
from engines.runtime import WEIGHTS_DIR


@dataclass(frozen=True)
class Finding:
    """One thing looked at: what, whether it is there, what was found, what mends it, and plain data."""

    name: str
    there: bool
    said: str
    mend: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


def look() -> list[Finding]:
    """Look at the card, TensorRT and the engines; without one of the first two there are none to look at."""
    gpu, card = _card()
    toolkit, library = _library(gpu is not None)
    found = [card, library]
    if gpu is not None and toolkit is not None:
        found += [_engine(path, toolkit, gpu) for path in _models()]
    return found


def _card() -> tuple[Gpu | None, Finding]:
    try:
        gpu = find_gpu()
    except EngineError as error:
        return None, Finding("GPU", False, f"{error}; everything runs on the processor")
    said = f"{gpu.name}, compute {gpu.capability[0]}.{gpu.capability[1]}, CUDA {gpu.driver}"
    return gpu, Finding("GPU", True, said, facts=asdict(gpu))


def _library(gpu: bool) -> tuple[Toolkit | None, Finding]:
    try:
        toolkit = find_tensorrt()
    except EngineError as error:
        said, _, mend = str(error).partition("; get it with: ")
        more = "" if gpu else " (of use with an NVIDIA GPU only)"
        return None, Finding("TensorRT", False, said + more, mend * gpu)
    return toolkit, Finding("TensorRT", True, f"{toolkit.flavour} {toolkit.version}")


def _models() -> list[Path]:
    """Return the shipped models, and what was converted for TensorRT here."""
    folders = (WEIGHTS_DIR, cache_dir() / "models")
    return [p for f in folders for p in sorted(f.glob("*.onnx")) if not p.stem.endswith("-int8-ort")]


def _engine(path: Path, toolkit: Toolkit, gpu: Gpu) -> Finding:
    name, cache = f"engine {path.stem}", EngineCache()
    try:
        key = cache.resolve(plan_key(read_model(path), toolkit, gpu, PlanOptions()))
    except EngineError as error:
        return Finding(name, False, str(error))
    plan, reason = cache.load(key)
    if plan is None:
        return Finding(name, False, f"none that fits{f': {reason}' if reason else ''}", f"posestream build {path.stem}")
    facts = next((e.facts for e in cache.entries() if e.path.stem == key.stem), {})
    speed = f", {facts['speed']['p50_ms']:.2f} ms for one person" if facts.get("speed") else ""
    people = f" for {', '.join(map(str, key.people))} people" if key.people else ""
    return Finding(name, True, f"built{people}, fits{speed}", facts={"plan_bytes": len(plan)})
