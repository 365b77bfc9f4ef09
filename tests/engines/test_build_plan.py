"""ONNX to plan with the real TensorRT-RTX, which needs no GPU for it."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from engines.errors import EngineError
from engines.modelfile import ModelFile, onnx_metadata, read_model
from engines.plans.plan import PlanOptions, build_plan, find_tensorrt
from engines.runtime import WEIGHTS_DIR
from engines.spec import METADATA_KEY
from tests.engines.tiny_models import LIFTER_SPEC, counting_lifter, drifting_detector, fixed_finder, wrong_keep_spec

pytest.importorskip("tensorrt_rtx", reason="needs tensorrt-rtx-cu13, which is in the dev extra")
SHIPPED = sorted(WEIGHTS_DIR.glob("*.onnx"))
ONE = PlanOptions(people=(1,))


def build(path, options: PlanOptions = ONE) -> bytes:
    return build_plan(read_model(path), options, find_tensorrt())[0]


@pytest.mark.parametrize(
    "make",
    [counting_lifter, drifting_detector, lambda p: fixed_finder(p, [[1, 2, 3, 4]], [0.9], (32, 16))],
    ids=["lifter", "detector", "finder"],
)
def test_each_kind_builds(make, tmp_path):
    assert build(make(tmp_path / "model.onnx"), PlanOptions(people=(1, 2))).startswith(b"vtrt")


def test_progress_is_told(tmp_path):
    seen = []
    model = read_model(counting_lifter(tmp_path / "model.onnx"))
    build_plan(model, ONE, find_tensorrt(), lambda phase, done, steps: seen.append((phase, done, steps)))
    assert len(seen) > 5
    assert all(phase and 1 <= done <= steps for phase, done, steps in seen)


def test_ctrl_c_stops_a_build(monkeypatch):
    """TensorRT does not come back to Python: the build runs beside, and its monitor ends it."""
    started = threading.Event()

    def interrupted(futures, timeout):
        started.wait(20)
        raise KeyboardInterrupt

    monkeypatch.setattr("engines.plans.plan.wait", interrupted)
    model = read_model(WEIGHTS_DIR / "lifter-tcn.onnx")
    with pytest.raises(KeyboardInterrupt):
        build_plan(model, PlanOptions(), find_tensorrt(), lambda *step: started.set())


def test_an_operator_it_does_not_know_is_quoted(tmp_path):
    """uint8 may only be cast: the mistake that an exporter makes most easily."""
    path = tmp_path / "odd.onnx"
    graph = helper.make_graph(
        [helper.make_node("Transpose", ["image"], ["turned"], perm=[2, 0, 1], name="turn_first")],
        "odd",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [4, 4, 3])],
        [helper.make_tensor_value_info("turned", TensorProto.UINT8, [3, 4, 4])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, {METADATA_KEY: LIFTER_SPEC.to_json()})
    onnx.save(model, path)
    with pytest.raises(EngineError, match=r"TensorRT cannot read .*odd\.onnx: .*turn_first.*Transpose.*UInt8"):
        build(path)


def test_metadata_that_contradicts_the_graph(tmp_path):
    with pytest.raises(EngineError, match=r"other_in.*export the model again"):
        build(counting_lifter(tmp_path / "liar.onnx", spec=wrong_keep_spec()))


@pytest.mark.parametrize("shape", [("people", 17, 3), (2, 17, 2)])
def test_a_shape_that_contradicts_the_graph(shape, tmp_path):
    xy = replace(LIFTER_SPEC.inputs[0], shape=shape)
    spec = replace(LIFTER_SPEC, inputs=(xy, *LIFTER_SPEC.inputs[1:]))
    with pytest.raises(EngineError, match=r"\('xy', \(\(-1, 17, 2\), 'float32'\)\)"):
        build(counting_lifter(tmp_path / "liar.onnx", spec=spec))


def test_a_type_that_contradicts_the_graph(tmp_path):
    spec = replace(LIFTER_SPEC, outputs=(replace(LIFTER_SPEC.outputs[0], dtype="float16"), LIFTER_SPEC.outputs[1]))
    with pytest.raises(EngineError, match=r"xyz_m.*float32.*xyz_m.*float16"):
        build(counting_lifter(tmp_path / "liar.onnx", spec=spec))


def test_a_file_that_is_no_graph_for_tensorrt(tmp_path):
    model = read_model(counting_lifter(tmp_path / "lifter.onnx"))
    cut = ModelFile(model.path, model.content[:200], model.sha256, model.spec)
    with pytest.raises(EngineError, match="TensorRT cannot read"):
        build_plan(cut, ONE, find_tensorrt())


class TestMetadata:
    @pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
    def test_it_is_what_the_onnx_package_reads(self, path):
        want = {p.key: p.value for p in onnx.load(path, load_external_data=False).metadata_props}
        assert onnx_metadata(path.read_bytes()) == want

    def test_every_cut_is_noticed(self, tmp_path):
        content = counting_lifter(tmp_path / "lifter.onnx").read_bytes()
        want = onnx_metadata(content)
        for length in range(0, len(content), 7):
            with contextlib.suppress(ValueError):  # the usual case; a cut between two fields loses the metadata
                assert onnx_metadata(content[:length]) != want

    def test_random_bytes_never_crash_it(self):
        rng = np.random.default_rng(0)
        for _ in range(300):
            with pytest.raises(ValueError):
                onnx_metadata(rng.bytes(rng.integers(1, 200)))


def test_without_tensorrt_the_command_that_mends_it_is_named(monkeypatch):
    monkeypatch.setattr("engines.plans.plan.MODULES", ("tensorrt_that_is_not_there",))
    with pytest.raises(EngineError, match=r"TensorRT is not installed; get it with: pip install 'posestream\[gpu\]'"):
        find_tensorrt.__wrapped__()
