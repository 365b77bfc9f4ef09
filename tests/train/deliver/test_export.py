"""The exporter: what it writes equals the module, says what it is, and gives nothing away."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from engines.spec import METADATA_KEY, EngineSpec, StateSpec, TensorSpec
from train.deliver.export import ExportError, export_model, run_onnx


class TinyLifter(nn.Module):
    """A lifter's signature around one linear layer and one state."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(34, 51)

    def forward(self, xy: Tensor, score: Tensor, dt_s: Tensor, keep: Tensor, past: Tensor) -> tuple[Tensor, ...]:
        """Return pose, root and the new state."""
        now = keep[:, None] * past + (xy * score[..., None]).flatten(1)
        xyz_m = self.out(now).unflatten(1, (17, 3)) + dt_s[:, None, None]
        return xyz_m, xyz_m[:, 0], now


def tiny_spec(state_width: int = 34) -> EngineSpec:
    return EngineSpec(
        kind="lifter",
        name="tiny",
        precision="fp32",
        inputs=(
            TensorSpec("xy", ("people", 17, 2), "float32"),
            TensorSpec("score", ("people", 17), "float32"),
            TensorSpec("dt_s", ("people",), "float32"),
        ),
        outputs=(TensorSpec("xyz_m", ("people", 17, 3), "float32"), TensorSpec("root_m", ("people", 3), "float32")),
        states=(StateSpec("past", "past_out", ("people", state_width), "float32"),),
        keep="keep",
        skeleton="h36m17",
        settings={"receptive_field": 1, "frame_rate_hz": [15, 60], "max_gap_s": 0.5},
    )


def examples(rows: int = 3) -> dict[str, Tensor]:
    torch.manual_seed(0)
    return {
        "xy": torch.randn(rows, 17, 2),
        "score": torch.rand(rows, 17),
        "dt_s": torch.rand(rows),
        "keep": torch.ones(rows),
        "past": torch.randn(rows, 34),
    }


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, nn.Module]:
    path, module = tmp_path_factory.mktemp("export") / "tiny.onnx", TinyLifter()
    assert export_model(module, examples(), tiny_spec(), path, True, 1e-5) <= 1e-5
    return path, module


def test_file_runs_any_number_of_people_and_equals_the_module(exported: tuple[Path, nn.Module]) -> None:
    path, module = exported
    for rows in (1, 5):
        inputs = examples(rows)
        got = run_onnx(path.read_bytes(), {k: v.numpy() for k, v in inputs.items()})
        with torch.no_grad():
            want = module(*inputs.values())
        for name, tensor in zip(("xyz_m", "root_m", "past_out"), want, strict=True):
            np.testing.assert_allclose(got[name], tensor.numpy(), atol=1e-5)


def test_file_carries_its_spec_and_no_source_path(exported: tuple[Path, nn.Module]) -> None:
    path, _ = exported
    props = {p.key: p.value for p in onnx.load(path).metadata_props}
    assert EngineSpec.from_json(props[METADATA_KEY]) == EngineSpec.from_json(tiny_spec().to_json())
    assert set(props) == {METADATA_KEY}
    assert b".py" not in path.read_bytes()
    assert not list(path.parent.glob("*.data")), "weights must be inside the file"


def test_difference_above_the_tolerance_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="differs"):
        export_model(TinyLifter(), examples(), tiny_spec(), tmp_path / "x.onnx", True, -1.0)
    assert not list(tmp_path.iterdir())


def test_spec_that_does_not_fit_the_graph_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="past"):
        export_model(TinyLifter(), examples(), tiny_spec(state_width=33), tmp_path / "x.onnx", True, 1e-5)
    with pytest.raises(ExportError, match="inputs"):
        export_model(TinyLifter(), {"xy": torch.zeros(2, 17, 2)}, tiny_spec(), tmp_path / "x.onnx", True, 1e-5)
    with pytest.raises(ExportError, match="two rows"):
        export_model(TinyLifter(), examples(1), tiny_spec(), tmp_path / "x.onnx", True, 1e-5)
