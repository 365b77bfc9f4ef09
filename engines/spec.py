"""What a model file says about itself: EngineSpec, stored as JSON in the ONNX file's metadata_props.

The metadata is the single source of truth: the runtime takes sizes, states, joint names and thresholds
from it. Each kind of model keeps to a fixed set of tensor names (KINDS), so that one Finder, Detector
or Lifter class can drive any model of its kind.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from engines.errors import EngineError
from engines.skeletons import SKELETONS

SCHEMA = 1
METADATA_KEY = "posestream"
PEOPLE = "people"  # name of the dynamic first axis: one row per person

KINDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    # kind: (input names, output names), states and `keep` apart
    "finder": (("image",), ("boxes_xyxy", "scores")),
    "detector": (("crops",), ("xy", "score")),
    "frame_detector": (("frame", "boxes_xyxy"), ("xy", "score")),  # cuts its crops itself
    "lifter": (("xy", "score", "dt_s"), ("xyz_m", "root_m")),
}
SETTINGS: dict[str, tuple[str, ...]] = {
    "finder": ("input_wh", "score_threshold"),
    "detector": ("input_wh", "crop_scale"),
    "frame_detector": ("input_wh", "crop_scale", "frame_wh", "frame_layout"),
    "lifter": ("receptive_field", "frame_rate_hz", "max_gap_s"),
}


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output: name, shape (ints, or "people" for the row axis), numpy dtype name, meaning with unit."""

    name: str
    shape: tuple[int | str, ...]
    dtype: str
    meaning: str = ""


@dataclass(frozen=True, slots=True)
class StateSpec:
    """One recurrent state: fed back from `output` to `input` each frame, one row per person.

    The graph itself handles the reset: where `keep` is 0 it ignores what the state holds.
    """

    input: str
    output: str
    shape: tuple[int | str, ...]
    dtype: str


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """Everything the runtime needs to know about a model file.

    Attributes:
        kind: "finder", "detector" or "lifter".
        name: Model name, e.g. "detector-mnv2-tce64".
        precision: "fp32", "fp16" or "int8": what the file holds.
        inputs, outputs: Tensors apart from states and `keep`.
        states: Recurrent states; empty for a model without memory.
        keep: Name of the reset input (people,) float32, 1 = go on, 0 = forget; "" without states.
        skeleton: Name of the joint set of the outputs; "" for a finder.
        settings: Kind-specific numbers, see SETTINGS (`input_wh` in pixels, `max_gap_s` in seconds ...).
        provenance: Where the weights come from: recipe, data, date, metrics.
    """

    kind: str
    name: str
    precision: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    states: tuple[StateSpec, ...] = ()
    keep: str = ""
    skeleton: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        """Check the spec against its kind's contract.

        Raises:
            EngineError: If the kind is unknown, a tensor or setting is missing, or the states need a keep input.
        """
        if self.kind not in KINDS:
            raise EngineError(f"unknown model kind {self.kind!r}; known: {', '.join(KINDS)}")
        for want, have, what in zip(KINDS[self.kind], (self.inputs, self.outputs), ("inputs", "outputs"), strict=True):
            names = tuple(t.name for t in have)
            if names != want:
                raise EngineError(f"a {self.kind} has {what} {want}, but {self.name} declares {names}")
        missing = [key for key in SETTINGS[self.kind] if key not in self.settings]
        if missing:
            raise EngineError(f"{self.name} lacks the settings {missing} of a {self.kind}")
        if bool(self.states) != bool(self.keep):
            raise EngineError(f"{self.name}: states and the keep input come together or not at all")
        if self.kind != "finder" and self.skeleton not in SKELETONS:
            raise EngineError(f"{self.name}: unknown skeleton {self.skeleton!r}; known: {', '.join(SKELETONS)}")

    @property
    def input_names(self) -> tuple[str, ...]:
        """All graph inputs in order: data, keep, states."""
        keep = (self.keep,) if self.keep else ()
        return (*(t.name for t in self.inputs), *keep, *(s.input for s in self.states))

    @property
    def output_names(self) -> tuple[str, ...]:
        """All graph outputs in order: data, states."""
        return (*(t.name for t in self.outputs), *(s.output for s in self.states))

    def to_json(self) -> str:
        """Return the spec as the JSON text stored under METADATA_KEY."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str, where: str = "metadata") -> EngineSpec:
        """Read a spec.

        Args:
            text: JSON written by `to_json`.
            where: What to name in errors, usually the file path.

        Raises:
            EngineError: If the text is not a spec or of a schema version that this program does not know.
        """
        try:
            raw = json.loads(text)
            if raw.get("schema") != SCHEMA:
                raise EngineError(
                    f"{where}: model metadata has schema {raw.get('schema')}, this program reads schema {SCHEMA}"
                )
            tensors = {
                key: tuple(TensorSpec(**{**t, "shape": tuple(t["shape"])}) for t in raw.pop(key))
                for key in ("inputs", "outputs")
            }
            states = tuple(StateSpec(**{**s, "shape": tuple(s["shape"])}) for s in raw.pop("states"))
            return cls(**raw, **tensors, states=states)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise EngineError(f"{where}: unreadable model metadata ({error})") from error
