"""fp16 and int8 files: they compute nearly the same, say what they are, and each runtime takes its own."""

from __future__ import annotations

import importlib.util
import itertools

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from engines.measure.parity import recorded_frames
from engines.modelfile import read_model
from engines.ort import OrtEngine
from engines.plans.build import SOURCE_KEY
from engines.plans.plan import PlanOptions, build_plan, find_tensorrt
from engines.runtime import WEIGHTS_DIR
from engines.spec import PEOPLE
from train.deliver.precision import note_source, read_spec, recurrent_feeds, to_fp16, to_int8
from train.deliver.recording import record_inputs
from train.tasks.precision import cost, main

LIFTER, DETECTOR, FINDER = (WEIGHTS_DIR / f"{n}.onnx" for n in ("lifter-tcn", "detector-mnv2-tce64", "finder-mnv2"))
needs_rtx = pytest.mark.skipif(importlib.util.find_spec("tensorrt_rtx") is None, reason="needs tensorrt-rtx-cu13")


def save(model: onnx.ModelProto, path):
    onnx.save(model, path)
    return path


def types(model: onnx.ModelProto) -> set[int]:
    return {w.data_type for w in model.graph.initializer}


def weight_bytes(model: onnx.ModelProto) -> int:
    return sum(len(w.raw_data) for w in model.graph.initializer)


@pytest.mark.parametrize(
    ("path", "limits"), [(LIFTER, {"xyz_m": 1.0, "root_m": 1.0}), (DETECTOR, {"xy": 0.5, "score": 0.01})]
)
class TestFp16:
    def test_it_computes_nearly_the_same_along_a_recording(self, path, limits, tmp_path):
        reference = OrtEngine(path)
        half = OrtEngine(save(to_fp16(onnx.load(path)), tmp_path / "half.onnx"))
        found = cost(reference, half, recorded_frames(reference.spec, 1)[:12])
        assert max(d["max"] for d in found.values()) > 0, "nothing was converted"
        assert all(found[name]["max"] <= limit for name, limit in limits.items()), found

    def test_it_is_half_the_size_and_keeps_its_interface(self, path, limits):
        model = onnx.load(path)
        half = to_fp16(model)
        assert weight_bytes(half) < 0.6 * weight_bytes(model)
        assert list(half.graph.input) == list(model.graph.input)
        assert [o.name for o in half.graph.output] == [o.name for o in model.graph.output]
        assert {o.type.tensor_type.elem_type for o in half.graph.output} == {TensorProto.FLOAT}
        assert read_spec(half).precision == "fp16"
        assert read_spec(half).states == read_spec(model).states

    @needs_rtx
    def test_tensorrt_builds_it(self, path, limits, tmp_path):
        model = onnx.load(path)
        if model.graph.node[0].op_type == "Transpose":
            pytest.skip("this file was exported before casts came first")
        plan, _ = build_plan(
            read_model(save(to_fp16(model), tmp_path / "half.onnx")), PlanOptions((1,)), find_tensorrt()
        )
        assert len(plan) < 0.85 * weight_bytes(model) + 4e6


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Both int8 forms of the lifter, from one calibration."""
    folder, model = tmp_path_factory.mktemp("int8"), onnx.load(LIFTER)
    frames = recorded_frames(read_spec(model), 1)
    return {form: save(to_int8(model, frames, form), folder / f"{form}.onnx") for form in ("ort", "trt")}


class TestInt8:
    @pytest.mark.parametrize("form", ["ort", "trt"])
    def test_it_computes_nearly_the_same(self, made, form):
        reference = OrtEngine(LIFTER)
        found = cost(reference, OrtEngine(made[form]), recorded_frames(reference.spec, 1))
        assert 0.01 < found["xyz_m"]["p50"] < 25, found

    def test_activations_are_unsigned_for_onnx_runtime_and_signed_symmetric_for_tensorrt(self, made):
        for form, kind in (("ort", TensorProto.UINT8), ("trt", TensorProto.INT8)):
            graph = onnx.load(made[form]).graph
            points = {w.name: w for w in graph.initializer}
            zeros = [points[n.input[2]] for n in graph.node if n.op_type == "QuantizeLinear"]
            assert zeros
            assert {z.data_type for z in zeros} == {kind}
            if form == "trt":
                assert all((onnx.numpy_helper.to_array(z) == 0).all() for z in zeros)
                assert TensorProto.INT32 not in types(onnx.load(made[form])), "biases must stay in float"

    def test_metadata_survives(self, made):
        spec = read_spec(onnx.load(made["ort"]))
        assert spec.precision == "int8"
        assert spec.states == OrtEngine(LIFTER).spec.states
        assert any(PEOPLE in t.shape for t in spec.inputs)

    def test_the_first_layers_of_a_convolutional_encoder_stay_float(self):
        model = onnx.load(DETECTOR)
        graph = to_int8(model, recorded_frames(read_spec(model), 1)[:2], "ort").graph
        floats = {w.name for w in graph.initializer if w.data_type == TensorProto.FLOAT}
        assert {n for n in floats if n.endswith("project.weight")} == {
            f"module.detector.encoder.block{i:02}.project.weight" for i in range(4)
        }

    @needs_rtx
    def test_tensorrt_builds_its_own_form(self, made):
        plan, _ = build_plan(read_model(made["trt"]), PlanOptions((1,)), find_tensorrt())
        assert len(plan) > 4e6


def test_calibration_walks_with_the_models_own_state():
    model = onnx.load(LIFTER)
    feeds = list(recurrent_feeds(model, recorded_frames(read_spec(model), 1)[:4]))
    assert [float(f["keep"][0]) for f in feeds] == [0, 1, 1, 1]
    states = [f[read_spec(model).states[0].input] for f in feeds]
    assert not states[0].any()
    assert all(np.abs(b - a).max() > 0 for a, b in itertools.pairwise(states))


def test_a_made_file_says_what_it_was_made_from():
    model = onnx.load(LIFTER)
    note_source(model, "ab" * 32)
    assert read_spec(model).provenance[SOURCE_KEY] == "ab" * 32
    assert read_spec(model).states == OrtEngine(LIFTER).spec.states


def test_recording_taps_every_model():
    """A clip with nobody in it records what the finder saw, and nothing else."""
    blank = [np.full((120, 160, 3), 90, np.uint8)] * 2
    recorded = record_inputs(blank, 30.0)
    assert {kind: len(calls) for kind, calls in recorded.items()} == {"finder": 2, "detector": 0, "lifter": 0}


def test_the_command_explains_itself(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    assert "--clip" in capsys.readouterr().out


def test_a_missing_clip_is_one_line(tmp_path, capsys):
    assert main(["--clip", str(tmp_path / "none.mp4")]) == 1
    assert capsys.readouterr().err.startswith("error: no video frames in")
