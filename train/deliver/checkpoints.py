"""From a checkpoint to what is exported: the network as it runs, example inputs, and what the file will say of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from engines.errors import EngineError
from engines.modelfile import read_model
from engines.spec import EngineSpec
from train.deliver.export import read_weights
from train.loop.provenance import read_provenance
from train.models.family import FAMILY, build_detector
from train.models.finder import INPUT_WH, Finder, FinderGraph
from train.models.lifter_io import lifter_spec
from train.models.low_rank import take_ranks
from train.models.streaming import DetectorStep

OF_A_FILE = ("calibration", "val_30_fps", "made_from_sha256")
DETECTOR, LIFTER, FINDER = "detector-", "lifter-", "finder-mnv2"


@dataclass(frozen=True)
class Exportable:
    """A network that can be exported.

    Attributes:
        module: In eval mode; takes the inputs of `spec` in order.
        example_inputs: By name, two rows or more.
        spec: Metadata of the file.
        tolerance: Largest difference allowed between module and file.
    """

    module: nn.Module
    example_inputs: dict[str, Tensor]
    spec: EngineSpec
    tolerance: float

    @property
    def dynamic_people(self) -> bool:
        """Whether it has a people axis."""
        return self.spec.kind != "finder"


def names() -> list[str]:
    """Return the models that can be made from a checkpoint."""
    from train.tasks.lifter import MODELS

    return sorted([*(DETECTOR + n for n in FAMILY), *(LIFTER + n for n in MODELS), FINDER])


def origin(checkpoint: Path) -> dict[str, Any]:
    """Return what is known of where weights come from: data, licences, recipe.

    What was true of a file only, its calibration, its figures and what it was converted from, is left out.

    Raises:
        EngineError: If an .onnx file cannot be read or is none of ours.
    """
    facts = read_model(checkpoint).spec.provenance if checkpoint.suffix == ".onnx" else read_provenance(checkpoint)
    return {key: fact for key, fact in facts.items() if key not in OF_A_FILE}


def load(name: str, checkpoint: Path | None, provenance: dict[str, Any]) -> Exportable:
    """Build a model and load its weights.

    Args:
        name: One of `names`.
        checkpoint: A recipe's best.pt or checkpoint.pt, or a shipped .onnx file; None = random weights.
        provenance: Stored in the file.

    Raises:
        EngineError: If there is no such model, or the checkpoint is not of it.
    """
    if name not in names():
        raise EngineError(f"no model {name!r}; there are: {', '.join(names())}")
    if name == FINDER:
        return _finder(checkpoint, provenance)
    return (_detector if name.startswith(DETECTOR) else _lifter)(name, checkpoint, provenance)


def _detector(name: str, checkpoint: Path | None, provenance: dict[str, Any]) -> Exportable:
    detector = build_detector(FAMILY[name.removeprefix(DETECTOR)])
    _fill(detector, checkpoint, "detector.")
    step = DetectorStep(detector.eval()).eval()
    return Exportable(step, step.example_inputs(2), step.spec(name, provenance), 0.05)


def _lifter(name: str, checkpoint: Path | None, provenance: dict[str, Any]) -> Exportable:
    from train.tasks.lifter import MODELS, example_inputs

    model = MODELS[name.removeprefix(LIFTER)]()
    _fill(model, checkpoint, "")
    spec = lifter_spec(name, model.states(), model.receptive_field, provenance, model.look_ahead)
    return Exportable(model.eval(), example_inputs(model), spec, 1e-3)


def _finder(checkpoint: Path | None, provenance: dict[str, Any]) -> Exportable:
    from train.tasks.finder import finder_spec

    net = Finder()
    _fill(net, checkpoint, "net.")
    image = torch.randint(0, 255, (INPUT_WH[1], INPUT_WH[0], 3), dtype=torch.uint8)
    return Exportable(FinderGraph(net.eval()).eval(), {"image": image}, finder_spec(0.4, provenance), 0.05)


def _fill(model: nn.Module, checkpoint: Path | None, prefix: str) -> None:
    """Load the averaged weights of a checkpoint if it has them, else its weights; of an .onnx file what it holds."""
    if checkpoint is None:
        return
    try:
        if checkpoint.suffix == ".onnx":
            weights = {k.removeprefix(prefix): w for k, w in read_weights(checkpoint).items()}
            take_ranks(model, weights.items())
            model.load_state_dict({**model.state_dict(), **weights})
            return
        held = torch.load(checkpoint, weights_only=True, map_location="cpu")
        weights = held["averaged"] if "averaged" in held else held["model"]
        take_ranks(model, weights.items())
        model.load_state_dict(weights)
    except OSError as error:
        raise EngineError(f"cannot read checkpoint {checkpoint}: {error.strerror}") from error
    except (RuntimeError, KeyError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise EngineError(f"{checkpoint} is no checkpoint of this model: {reason}") from error
