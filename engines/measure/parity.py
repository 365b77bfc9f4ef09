"""Does an engine compute what ONNX Runtime computes from the same file? Measured on recorded input.

Both engines walk through the recording with their own state, so that errors may build up as they would in
life. What is compared is what people see: pixels of the crop or picture, millimetres, scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engines.errors import EngineError
from engines.measure.framing import compose
from engines.runtime import WEIGHTS_DIR, Engine
from engines.spec import PEOPLE, EngineSpec, TensorSpec

RECORDING = WEIGHTS_DIR / "recording.npz"
SURE = 0.3  # joints below this score may sit on another peak after a rounding; they are not compared
_UNITS = {"xy": "px", "boxes_xyxy": "px", "xyz_m": "mm", "root_m": "mm/m", "score": "", "scores": ""}
_LIMITS = {"fp16": {"px": 0.5, "mm": 2.0, "mm/m": 2.0, "": 0.02}}
_FP32_LIMIT = 1e-4  # of the size of the numbers
Frames = list[dict[str, npt.NDArray[Any]]]


@dataclass(frozen=True)
class Difference:
    """How far two engines are apart in one output.

    Attributes:
        output: Its name.
        worst: The largest difference.
        unit: Of `worst`.
        limit: The largest that is allowed; None = stated only.
        good: The verdict.
        people: How many people there were.
    """

    output: str
    worst: float
    unit: str
    limit: float | None
    good: bool
    people: int = 1

    def __str__(self) -> str:
        allowed = "" if self.limit is None else f" (allowed {self.limit:.2g})"
        return f"{self.output} {self.worst:.2g} {self.unit}".rstrip() + allowed


def recorded_frames(spec: EngineSpec, people: int, path: Path = RECORDING) -> Frames:
    """Return the recorded inputs of a model's kind, frame by frame.

    The recording has one array per input name, (T, ...): `crops` and `image` as one tall JPEG. Rows of several
    people are the same person at different times.

    Args:
        spec: Of the model.
        people: Rows per frame.
        path: The recording.

    Raises:
        EngineError: If the recording has nothing for this kind of model.
    """
    if spec.kind == "frame_detector":
        return _whole_frames(spec, people, path)
    recorded = {}
    with np.load(path) as arrays:
        for tensor in spec.inputs:
            name = f"{spec.kind}_{tensor.name}"
            if name not in arrays:
                raise EngineError(f"{path} has no input {tensor.name!r} for a {spec.kind}")
            recorded[tensor.name] = (
                _unpack(arrays[name], tensor.shape[-3:-1]) if tensor.dtype == "uint8" else arrays[name]
            )
    length = min(len(a) for a in recorded.values())
    if spec.kind == "finder":
        return [{name: a[t] for name, a in recorded.items()} for t in range(length)]
    offsets = [i * 3 % length for i in range(people)]
    return [{name: a[[(t + o) % length for o in offsets]] for name, a in recorded.items()} for t in range(length)]


def _whole_frames(spec: EngineSpec, people: int, path: Path) -> Frames:
    """Return frames with the recorded crops in them, and the boxes where they are."""
    width, height = spec.settings["input_wh"]
    crops = TensorSpec("crops", (PEOPLE, height, width, 3), "uint8")
    detector = replace(spec, kind="detector", inputs=(crops,))
    composed = (compose(f["crops"], spec) for f in recorded_frames(detector, people, path))
    return [{"frame": frame, "boxes_xyxy": boxes} for frame, boxes in composed]


def proof_frames(spec: EngineSpec, people: int) -> Frames:
    """Return what a new engine is proven on: the whole recording for up to two people, a third of it for more."""
    frames = recorded_frames(spec, people)
    return frames if people <= 2 else frames[: max(1, len(frames) // 3)]


def _unpack(jpeg: npt.NDArray[np.uint8], size_hw: Sequence[int | str]) -> npt.NDArray[np.uint8]:
    """Decode a strip of pictures (T stacked; the first 8 bytes are T) and bring them to the model's size, RGB."""
    import cv2  # late: engines imports only numpy at import time

    count, (height, width) = int(jpeg[:8].view(np.int64)[0]), (int(s) for s in size_hw)
    strip = cv2.cvtColor(cv2.imdecode(jpeg[8:], cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    pictures = strip.reshape(count, -1, *strip.shape[1:])
    return np.stack([cv2.resize(p, (width, height), interpolation=cv2.INTER_AREA) for p in pictures])


def count_people(spec: EngineSpec, frame: dict[str, npt.NDArray[Any]]) -> int:
    """Return how many people a frame of inputs has; 1 for a model without a people axis."""
    return next((len(frame[t.name]) for t in spec.inputs if t.shape[:1] == (PEOPLE,)), 1)


def walk(engine: Engine, frames: Frames) -> list[dict[str, npt.NDArray[Any]]]:
    """Run an engine through the frames, each person from a fresh state; return its outputs per frame."""
    keys = range(count_people(engine.spec, frames[0])) if engine.spec.states else ()
    return [engine.run(f, keys, set(keys) if t == 0 else ()) for t, f in enumerate(frames)]


def compare(reference: Engine, candidate: Engine, frames: Frames) -> list[Difference]:
    """Compare two engines of one model, output by output, by the limits of the model's precision."""
    spec = reference.spec
    want, have = walk(reference, frames), walk(candidate, frames)
    found = []
    for tensor in spec.outputs:
        unit = _UNITS[tensor.name]
        each = [_difference(spec, tensor.name, w, h) for w, h in zip(want, have, strict=True)]
        worst = float(np.max(each))  # not max(), which loses a NaN
        if spec.precision == "fp32":
            size = 1.0 if unit == "mm/m" else max(float(np.abs(w[tensor.name]).max(initial=1.0)) for w in want)
            limit: float | None = _FP32_LIMIT * size * (1000 if unit.startswith("mm") else 1)
        else:
            limit = _LIMITS.get(spec.precision, {}).get(unit)
        good = bool(np.isfinite(worst)) and (limit is None or worst <= limit)
        found.append(Difference(tensor.name, worst, unit, limit, good))
    return found


def _difference(spec: EngineSpec, name: str, want: dict[str, Any], have: dict[str, Any]) -> float:
    """Return the largest difference of one output in one frame, in its unit; NaN is handed on."""
    a, b = want[name].astype(np.float64), have[name].astype(np.float64)
    if spec.kind == "finder":
        return _box_difference(spec, name, want, have)
    gap = np.abs(a - b)
    if name == "xy" and spec.precision != "fp32":
        gap = gap[want["score"] >= SURE]
    if name == "root_m":
        gap = gap / np.linalg.norm(a, axis=-1, keepdims=True).clip(1.0)
    worst: float = np.max(gap, initial=0.0) * (1000.0 if name.endswith("_m") else 1.0)
    return float(worst)


def _box_difference(spec: EngineSpec, name: str, want: dict[str, Any], have: dict[str, Any]) -> float:
    """Compare each box that counts with the one nearest to it: equals may change places in the list."""
    sure = want["scores"] >= float(spec.settings["score_threshold"])
    gaps = np.abs(want["boxes_xyxy"][sure, None].astype(np.float64) - have["boxes_xyxy"][None]).max(-1)  # (S, K)
    if not gaps.size:
        return float(np.abs(want["scores"].max(initial=0.0) - have["scores"].max(initial=0.0)))
    if name == "boxes_xyxy":
        return float(gaps.min(1).max())
    return float(np.abs(want["scores"][sure] - have["scores"][gaps.argmin(1)]).max())
