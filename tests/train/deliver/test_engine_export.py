"""`posestream export`: checkpoints to .onnx for real; --engine against a stand-in for torch-tensorrt."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch

from engines.errors import EngineError
from engines.modelfile import read_model
from engines.plans.cache import EngineCache
from engines.runtime import WEIGHTS_DIR, open_engine
from tests.engines.conftest import gpu  # noqa: F401  # the fixture
from tests.engines.standin import make_plan
from tests.engines.test_build_obtain import damaged_copy
from train.deliver import engine_export
from train.deliver.checkpoints import load, names
from train.deliver.engine_export import converter, to_engine
from train.tasks.export import main, store_engine

HAVE_IT = importlib.util.find_spec("torch_tensorrt") is not None


def stand_in(monkeypatch, convert) -> None:
    module = ModuleType("torch_tensorrt")
    module.__version__, module.dynamo = "9.9", SimpleNamespace()
    if convert is not None:
        module.dynamo.convert_exported_program_to_serialized_trt_engine = convert
    monkeypatch.setitem(sys.modules, "torch_tensorrt", module)


@pytest.mark.skipif(HAVE_IT, reason="torch-tensorrt is installed")
def test_without_torch_tensorrt_it_says_what_to_install_before_it_works(tmp_path, capsys):
    out = tmp_path / "x.onnx"
    assert main([str(tmp_path / "none.pt"), "--model", "lifter-tcn", "--out", str(out), "--engine"]) == 1
    assert capsys.readouterr().err.startswith(
        "error: torch-tensorrt is not installed; get it with: pip install torch-te"
    )


def test_one_that_does_not_load_or_is_too_old_says_so(monkeypatch):
    stand_in(monkeypatch, lambda exported_program, *, arg_inputs, output_binding_names: b"")
    with pytest.raises(EngineError, match=r"torch-tensorrt 9\.9 has no arg_input_binding_names: a newer one"):
        converter()
    stand_in(monkeypatch, None)
    with pytest.raises(EngineError, match=r"has no convert_exported_program_to_serialized_trt_engine"):
        converter()


def test_it_is_given_the_whole_program_with_the_names_of_the_spec(monkeypatch):
    seen = {}

    def convert(exported_program, *, arg_inputs, arg_input_binding_names, output_binding_names, disable_tf32):
        seen.update(locals())
        return b"engine"

    stand_in(monkeypatch, convert)
    made = load("lifter-tcn", None, {})
    assert to_engine(made.module, made.example_inputs, made.spec, 3, device="cpu") == b"engine"
    assert seen["arg_input_binding_names"] == made.spec.input_names
    assert seen["output_binding_names"] == made.spec.output_names
    assert {len(a) for a in seen["arg_inputs"]} == {3}
    outputs = seen["exported_program"].module()(*seen["arg_inputs"])
    assert len(outputs) == len(made.spec.output_names)
    torch.testing.assert_close(outputs[0], made.module(*seen["arg_inputs"])[0])


def test_what_it_cannot_convert_is_quoted(monkeypatch):
    def convert(exported_program, *, arg_inputs, arg_input_binding_names, output_binding_names, disable_tf32):
        raise RuntimeError("no converter for\n aten.weird")

    stand_in(monkeypatch, convert)
    made = load("lifter-lstm", None, {})
    with pytest.raises(EngineError, match=r"cannot convert lifter-lstm: no converter for aten\.weird"):
        to_engine(made.module, made.example_inputs, made.spec, 1, device="cpu")


def test_without_a_gpu_it_says_so(monkeypatch):
    stand_in(monkeypatch, lambda p, *, arg_inputs, arg_input_binding_names, output_binding_names, disable_tf32: b"")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    made = load("lifter-lstm", None, {})
    with pytest.raises(EngineError, match="only where an NVIDIA GPU"):
        to_engine(made.module, made.example_inputs, made.spec, 1)


def test_the_engine_is_proven_and_put_where_a_run_finds_it(gpu, monkeypatch, tmp_path):  # noqa: F811
    """The whole way, with the stand-ins for the driver, TensorRT and torch-tensorrt."""
    out, source = tmp_path / "mine.onnx", []
    monkeypatch.setattr("train.tasks.export.find_tensorrt", lambda: gpu.toolkit)
    monkeypatch.setattr("train.tasks.export.converter", lambda: None)
    monkeypatch.setattr("train.tasks.export.to_engine", lambda *a: make_plan(read_model(source[0]), (a[3],)))
    start = tmp_path / "start.pt"
    torch.save({"model": load("lifter-lstm", None, {}).module.state_dict()}, start)
    source.append(out)
    assert main([str(start), "--model", "lifter-lstm", "--out", str(out), "--engine", "--people", "2"]) == 0
    assert EngineCache().entries()[0].facts["by"] == "torch-tensorrt"
    assert open_engine(out).backend.startswith("stand-in 1.0")
    assert gpu == [], "nothing was built from the file"
    EngineCache().clean()
    source[0] = damaged_copy(out, tmp_path / "off.onnx", 1.01)
    with pytest.raises(EngineError, match="does not compute what ONNX Runtime computes"):
        store_engine(load("lifter-lstm", None, {}), out, 2)
    assert EngineCache().entries() == []


@pytest.mark.parametrize("name", ["lifter-tcn", "lifter-lstm", "finder-mnv2"])
def test_a_shipped_file_exported_again_computes_the_same(name, tmp_path):
    """Weights out of the file, into the module, into a file: what a checkpoint goes through."""
    out = tmp_path / "again.onnx"
    shipped = WEIGHTS_DIR / f"{name}.onnx"
    spec = read_model(shipped).spec
    made = load(name, None, {})
    if [s.shape for s in made.spec.states] != [s.shape for s in spec.states]:
        pytest.skip("the shipped file is of an older form of this network")
    assert main([str(shipped), "--model", name, "--out", str(out)]) == 0
    told = read_model(out).spec.provenance
    assert told["data"] == spec.provenance["data"], "credits and licences go with the weights"
    assert told["checkpoint"] == shipped.name
    assert "val_30_fps" not in told, "measured on the old file"
    from engines.measure.parity import compare, recorded_frames
    from engines.ort import OrtEngine

    a, b = OrtEngine(shipped), OrtEngine(out)
    assert all(d.good for d in compare(a, b, recorded_frames(spec, 1)[:4]))


def test_wrong_words_are_one_line(tmp_path, capsys):
    assert main([str(tmp_path / "none.pt"), "--model", "lifter-tcn"]) == 1
    assert "cannot read checkpoint" in capsys.readouterr().err
    assert main([str(tmp_path / "none.pt"), "--model", "nobody"]) == 1
    assert "no model 'nobody'; there are: detector-mnv2-tce" in capsys.readouterr().err
    torch.save({"model": {}}, tmp_path / "empty.pt")
    assert main([str(tmp_path / "empty.pt"), "--model", "lifter-tcn", "--out", str(tmp_path / "x.onnx")]) == 1
    assert "is no checkpoint of this model" in capsys.readouterr().err
    assert "detector-r50-tce512" in names()
    assert engine_export.INSTALL
