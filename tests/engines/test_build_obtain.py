"""Getting an engine: parity or nothing, second chances, and what auto says. On stand-ins for driver and TensorRT."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import onnx
import pytest

from engines.device.cuda import Driver
from engines.errors import EngineError
from engines.measure.parity import compare, recorded_frames
from engines.modelfile import read_model
from engines.ort import OrtEngine
from engines.plans.build import SOURCE_KEY, people_sizes, variant
from engines.plans.build import main as build_main
from engines.plans.cache import EngineCache
from engines.plans.obtain import obtain, plan_key
from engines.plans.plan import PlanOptions, Toolkit
from engines.runtime import WEIGHTS_DIR, open_engine
from tests.engines.gpu import REASON
from tests.engines.standin import make_plan, make_toolkit
from tests.engines.standin_cuda import StandInCuda
from tests.engines.tiny_models import LIFTER_SPEC, counting_lifter

SHIPPED = sorted(WEIGHTS_DIR.glob("*.onnx"))


def damaged_copy(path, target, factor: float):
    """Write a model whose weights are all a little off."""
    model = onnx.load(path)
    for weight in model.graph.initializer:
        if weight.data_type == onnx.TensorProto.FLOAT and len(weight.dims) > 1:
            weight.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weight) * factor, weight.name))
    onnx.save(model, target)
    return target


class TestParity:
    @pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
    def test_the_recording_fits_every_shipped_model(self, path):
        engine = OrtEngine(path)
        frames = recorded_frames(engine.spec, 2)[:3]
        found = compare(engine, OrtEngine(path), frames)
        assert [d.output for d in found] == [t.name for t in engine.spec.outputs]
        assert all(d.good and d.worst == 0 for d in found)

    def test_the_recording_is_of_a_person(self):
        """Not noise: the detector is sure of the joints, and the lifter is given plausible ones."""
        detector = OrtEngine(WEIGHTS_DIR / "detector-mnv2-tce64.onnx")
        frames = recorded_frames(detector.spec, 1)
        scores = [detector.run(f, [0])["score"] for f in frames]
        assert np.mean(scores) > 0.3
        lifted = recorded_frames(OrtEngine(WEIGHTS_DIR / "lifter-tcn.onnx").spec, 3)
        assert lifted[0]["xy"].shape == (3, 17, 2)
        assert all(0 < f["dt_s"][0] < 0.2 for f in lifted[1:5])

    def test_weights_that_are_a_little_off_are_noticed(self, tmp_path):
        path = WEIGHTS_DIR / "lifter-tcn.onnx"
        other = damaged_copy(path, tmp_path / "off.onnx", 1.001)
        reference = OrtEngine(path)
        found = compare(reference, OrtEngine(other), recorded_frames(reference.spec, 2))
        assert not all(d.good for d in found)
        assert "xyz_m" in str(found[0])
        assert "mm (allowed" in str(found[0])

    def test_nan_is_never_good(self, lifter_path):
        engine = OrtEngine(lifter_path)
        frames = recorded_frames(engine.spec, 1)[:2]
        frames[1]["xy"] = frames[1]["xy"] * np.float32("nan")
        assert not compare(engine, OrtEngine(lifter_path), frames)[0].good

    def test_a_model_of_an_unrecorded_kind_is_refused(self, lifter_path, tmp_path):
        np.savez(tmp_path / "empty.npz", credit="nobody")
        with pytest.raises(EngineError, match="no input 'xy' for a lifter"):
            recorded_frames(OrtEngine(lifter_path).spec, 1, tmp_path / "empty.npz")


class TestOpen:
    def test_first_time_builds_and_proves_second_time_loads(self, gpu, lifter_path, caplog):
        engine = open_engine(lifter_path, "tensorrt")
        assert engine.backend == "stand-in 1.0 (Stand-in GPU, CUDA graphs)"
        assert "same as ONNX Runtime for 1, 2, 4, 8 people: xyz_m 0 mm" in caplog.text
        open_engine(lifter_path, "tensorrt")
        assert gpu == [(1, 2, 4, 8)]
        facts = EngineCache().entries()[0].facts
        assert facts["build_s"] == 1.25
        assert [(d["people"], d["output"]) for d in facts["parity"]] == [
            (n, name) for n in (1, 2, 4, 8) for name in ("xyz_m", "root_m")
        ]
        assert facts["speed"]["p50_ms"] > 0
        assert facts["spec"]["name"] == "lifter-tiny"

    def test_an_engine_that_computes_something_else_is_no_engine(self, gpu, lifter_path, tmp_path, monkeypatch):
        wrong = onnx.load(lifter_path)
        next(n for n in wrong.graph.node if n.output[0] == "xyz_m").op_type = "Add"
        onnx.save(wrong, tmp_path / "wrong.onnx")
        bad = make_plan(read_model(tmp_path / "wrong.onnx"))
        monkeypatch.setattr("engines.plans.obtain.build_plan", lambda *a, **k: (bad, 1.0))
        with pytest.raises(EngineError, match=r"does not compute what ONNX Runtime computes: xyz_m .* mm \(allowed"):
            open_engine(lifter_path, "tensorrt")
        assert EngineCache().entries() == []

    def test_a_fault_in_the_profile_for_eight_is_found(self, gpu, lifter_path, monkeypatch):
        from engines.trt import TrtEngine

        right = TrtEngine.run

        def wrong_for_eight(engine, inputs, keys=(), reset=()):
            out = right(engine, inputs, keys, reset)
            if len(keys) == 8:
                out["xyz_m"][7] += 0.01
            return out

        monkeypatch.setattr(TrtEngine, "run", wrong_for_eight)
        with pytest.raises(EngineError, match=r"xyz_m 10 mm \(allowed .*\) for 8 people; not used"):
            open_engine(lifter_path, "tensorrt")
        assert EngineCache().entries() == []

    def test_without_onnx_runtime_nothing_can_be_proven(self, gpu, lifter_path, monkeypatch):
        monkeypatch.delitem(sys.modules, "engines.ort", raising=False)
        monkeypatch.setitem(sys.modules, "onnxruntime", None)
        with pytest.raises(EngineError, match=r"proven against ONNX Runtime: pip install onnxruntime"):
            open_engine(lifter_path, "tensorrt")
        assert (gpu.cuda.streams, gpu.cuda.memory) == (set(), {})

    def test_nothing_is_left_on_the_device(self, gpu, lifter_path):
        open_engine(lifter_path, "tensorrt").close()
        open_engine(lifter_path).close()
        assert (gpu.cuda.streams, gpu.cuda.memory) == (set(), {})

    def test_build_keeps_the_kernels_that_were_compiled_while_proving(self, gpu, lifter_path, monkeypatch, capsys):
        """TensorRT-RTX compiles at run time: what `posestream build` had compiled, the first run finds there."""
        rtx = make_toolkit(gpu.cuda, rtx=True)
        for name in ("obtain", "build"):
            monkeypatch.setattr(f"engines.plans.{name}.find_tensorrt", lambda: rtx)
        assert build_main([str(lifter_path)]) == 0
        assert "ready after" in capsys.readouterr().out
        (kernels,) = EngineCache().folder.glob("*.jit")
        compiled = kernels.read_bytes()
        open_engine(lifter_path, "tensorrt").close()
        assert kernels.read_bytes().startswith(compiled)
        assert len(kernels.read_bytes()) > len(compiled)

    def test_a_plan_that_tensorrt_refuses_is_built_again_once(self, gpu, lifter_path, caplog):
        model, toolkit = read_model(lifter_path), make_toolkit(StandInCuda())
        key = plan_key(model, toolkit, Driver(StandInCuda()).gpu, PlanOptions())
        EngineCache().store(key, b"of a build that lied about its version", {})
        engine = open_engine(lifter_path, "tensorrt")
        assert "building lifter again: it was refused" in caplog.text
        assert len(gpu) == 1
        assert engine.run({"xy": np.zeros((1, 17, 2), np.float32), "score": np.zeros((1, 17), np.float32),
                           "dt_s": np.zeros(1, np.float32)}, "a")  # fmt: skip

    def test_an_engine_built_for_more_people_is_used(self, gpu, lifter_path):
        model, toolkit, gpu_facts = read_model(lifter_path), make_toolkit(StandInCuda()), Driver(StandInCuda()).gpu
        key = plan_key(model, toolkit, gpu_facts, PlanOptions(people=people_sizes(12)))
        assert key.people == (1, 2, 4, 8, 12)
        EngineCache().store(key, make_plan(model, key.people), {"built_utc": "2026"})
        open_engine(lifter_path, "tensorrt")
        assert gpu == []

    def test_auto_takes_tensorrt_only_when_it_is_ready(self, gpu, lifter_path):
        first = open_engine(lifter_path)
        assert first.backend.startswith("ONNX Runtime")
        assert first.backend.endswith("; no engine for this GPU yet: posestream build lifter")
        open_engine(lifter_path, "tensorrt")
        assert open_engine(lifter_path).backend.startswith("stand-in 1.0")

    def test_auto_says_why_it_cannot_load_what_is_there(self, gpu, lifter_path, monkeypatch):
        open_engine(lifter_path, "tensorrt")
        monkeypatch.setattr(
            "engines.trt.TrtEngine.__init__", lambda *a, **k: (_ for _ in ()).throw(EngineError("boom"))
        )
        assert open_engine(lifter_path).backend.endswith("; boom")

    def test_ort_explains_nothing(self, lifter_path):
        assert open_engine(lifter_path, "ort").backend.endswith("thread)")

    @pytest.mark.skipif(not REASON, reason="there is a GPU")
    def test_without_a_gpu(self, lifter_path):
        assert "; no NVIDIA driver here" in open_engine(lifter_path).backend
        with pytest.raises(EngineError, match=r"^no NVIDIA driver here \(.*\)\. Or use --backend ort$"):
            open_engine(lifter_path, "tensorrt")

    def test_a_gpu_without_tensorrt(self, gpu, lifter_path, monkeypatch):
        from engines.plans.plan import find_tensorrt

        monkeypatch.setattr("engines.plans.plan.MODULES", ("tensorrt_that_is_not_there",))
        monkeypatch.setattr("engines.plans.obtain.find_tensorrt", find_tensorrt.__wrapped__)
        assert open_engine(lifter_path).backend.endswith("get it with: pip install 'posestream[gpu]'")
        with pytest.raises(EngineError, match=r"pip install 'posestream\[gpu\]'"):
            open_engine(lifter_path, "tensorrt")


def test_running_engines_needs_neither_onnx_runtime_nor_torch(tmp_path, lifter_path):
    """A GPU machine may have nothing but numpy and TensorRT."""
    import subprocess

    code = (
        "import sys; sys.modules.update(onnxruntime=None, torch=None, onnx=None, cv2=None)\n"
        "import engines.trt, engines.plans.obtain, engines.plans.build, engines.measure.bench, engines.measure.parity\n"
        "from pathlib import Path; from engines.modelfile import read_model\n"
        f"print(read_model(Path({str(lifter_path)!r})).spec.name)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "lifter-tiny\n", done.stderr


def test_a_verified_plan_is_all_that_is_stored(lifter_path, tmp_path, monkeypatch):
    model, toolkit = read_model(lifter_path), Toolkit(None, "stand-in", "1", None)
    cache, said = EngineCache(tmp_path), []
    key = plan_key(model, toolkit, None, PlanOptions())

    def refuse(plan):
        raise EngineError("differs")

    monkeypatch.setattr("engines.plans.obtain.build_plan", lambda *a: (b"plan", 1.0))
    with pytest.raises(EngineError, match="differs"):
        obtain(model, key, toolkit, cache, said.append, verify=refuse)
    assert cache.load(key) == (None, "")
    assert said == ["building lifter"]


@pytest.mark.parametrize(("most", "sizes"), [(1, (1,)), (2, (1, 2)), (6, (1, 2, 4, 6)), (8, (1, 2, 4, 8))])
def test_people_sizes(most, sizes):
    assert people_sizes(most) == sizes


def test_variants_are_found_beside_the_model_and_in_the_cache(lifter_path, tmp_path, monkeypatch):
    monkeypatch.setenv("POSESTREAM_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache" / "models").mkdir(parents=True)
    beside = counting_lifter(tmp_path / "lifter-fp16.onnx")
    cached = counting_lifter(tmp_path / "cache" / "models" / "lifter-int8-trt.onnx")
    assert variant(str(lifter_path), "fp32") == lifter_path
    assert variant(str(lifter_path), "fp16") == beside
    assert variant(str(lifter_path), "int8") == cached
    assert open_engine("lifter-int8-trt", "ort").spec.name == "lifter-tiny"


def test_a_variant_of_an_older_file_is_refused(lifter_path, tmp_path):
    made = {sha: replace(LIFTER_SPEC, provenance={SOURCE_KEY: sha}) for sha in (read_model(lifter_path).sha256, "old")}
    for sha, spec in made.items():
        counting_lifter(tmp_path / "lifter-fp16.onnx", spec=spec)
        if sha == "old":
            with pytest.raises(
                EngineError, match=r"lifter-fp16\.onnx was made from another version .* train.tasks.prec"
            ):
                variant(str(lifter_path), "fp16")
        else:
            assert variant(str(lifter_path), "fp16") == tmp_path / "lifter-fp16.onnx"
