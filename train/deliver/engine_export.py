"""A module straight to a TensorRT engine by torch-tensorrt's exported-program route, for those who have that stack.

The usual way is the .onnx file (`posestream build`), which needs no torch. This one is for models that ONNX cannot say.
The engine is for one number of people: that route takes one shape. It has the names of the model's spec, so that
`engines.trt` runs it like any other.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from engines.errors import EngineError
from engines.spec import EngineSpec

INSTALL = "pip install torch-tensorrt (with the torch of the same minor version, built for CUDA)"
NAMES = ("arg_input_binding_names", "output_binding_names")


def converter() -> Callable[..., bytes]:
    """Return torch-tensorrt's converter.

    Raises:
        EngineError: If torch-tensorrt is not installed, does not load, or is too old to name the engine's tensors.
    """
    try:
        module = importlib.import_module("torch_tensorrt")
    except ModuleNotFoundError as error:
        raise EngineError(f"torch-tensorrt is not installed; get it with: {INSTALL}") from error
    except (ImportError, OSError) as error:
        raise EngineError(
            f"torch-tensorrt is installed but does not load ({error}); get one that fits: {INSTALL}"
        ) from error
    version = getattr(module, "__version__", "of unknown version")
    convert = getattr(module.dynamo, "convert_exported_program_to_serialized_trt_engine", None)
    known = inspect.signature(convert).parameters if convert is not None else {}
    missing = [name for name in ("arg_inputs", *NAMES) if name not in known]
    if convert is None or missing:
        what = ", ".join(missing) if convert is not None else "convert_exported_program_to_serialized_trt_engine"
        raise EngineError(f"torch-tensorrt {version} has no {what}: a newer one is needed: {INSTALL}")
    return convert  # type: ignore[no-any-return]


def to_engine(
    module: nn.Module, example_inputs: dict[str, Tensor], spec: EngineSpec, people: int, device: str = "cuda"
) -> bytes:
    """Return a serialised engine for a number of people.

    Args:
        module: As it is to run; takes the inputs of `spec` in order and returns its outputs in order.
        example_inputs: By name, with at least one row.
        spec: Of the model.
        people: Rows of the engine; ignored for a finder.
        device: Where torch traces the module.

    Raises:
        EngineError: If torch-tensorrt is not there or too old, there is no GPU, or it cannot convert the module.
    """
    convert = converter()
    if device == "cuda" and not torch.cuda.is_available():
        raise EngineError("torch-tensorrt builds engines only where an NVIDIA GPU and a torch for CUDA are")
    args = tuple(_rows(example_inputs[n], people, spec).to(device) for n in spec.input_names)
    with torch.no_grad():
        program = torch.export.export(module.to(device).eval(), args)
    options: dict[str, Any] = {
        "arg_inputs": args,
        NAMES[0]: spec.input_names,
        NAMES[1]: spec.output_names if len(spec.output_names) > 1 else spec.output_names[0],
        "disable_tf32": True,  # fp32 means 1e-4, as in engines.plans.plan
    }
    try:
        return bytes(convert(program, **options))
    except (RuntimeError, ValueError, NotImplementedError, AssertionError) as error:
        raise EngineError(f"torch-tensorrt cannot convert {spec.name}: {' '.join(str(error).split())[:400]}") from error


def _rows(example: Tensor, people: int, spec: EngineSpec) -> Tensor:
    if spec.kind == "finder":
        return example
    return example[torch.arange(people) % len(example)].clone()
