"""The latency table: what is measured, judged and written."""

from __future__ import annotations

import json
import threading

import pytest

from engines.measure.bench import Row, all_models, goals, main
from engines.measure.floor import KNOWN, work_of
from engines.measure.latency import Timing, measure, measure_streams
from engines.measure.parity import recorded_frames
from engines.ort import OrtEngine
from engines.runtime import WEIGHTS_DIR
from tests.engines.gpu import REASON


def test_the_table_on_the_cpu(lifter_path, tmp_path, capsys):
    target = tmp_path / "bench.json"
    words = [str(lifter_path), "--backend", "ort", "--people", "1", "2", "--runs", "20", "--json", str(target)]
    assert main(words) == 0
    rows = json.loads(target.read_text())["rows"]
    assert [(r["people"], r["mode"]) for r in rows] == [(1, "cpu"), (2, "cpu")]
    assert all(0 < r["timing"]["p50_ms"] <= r["timing"]["p95_ms"] <= r["timing"]["p99_ms"] for r in rows)
    assert capsys.readouterr().out.count("lifter-tiny") == 2


def test_the_table_of_a_gpu(gpu, lifter_path, tmp_path, capsys):
    assert main([str(lifter_path), "--people", "1", "8", "--runs", "20", "--bandwidth", "4800"]) == 0
    out = capsys.readouterr().out
    assert [line.split()[2:5] for line in out.splitlines()[:4]] == [
        ["plain", "people", "1"], ["graph", "people", "1"], ["plain", "people", "8"], ["graph", "people", "8"],
    ]  # fmt: skip
    assert "of the floor" in out
    assert "lifter-tiny, 8 people over 1" in out


def test_goals_are_judged(lifter_path):
    def row(model, people, ms):
        return Row(model, "fp16", "b", "graph", people, Timing(1, ms, ms, ms))

    others = [row("detector-mnv2-tce64-1920x1080", 1, 9), row("lifter-lstm", 1, 9)]  # not of the sum
    lines = goals([row("detector-mnv2-tce64", 1, 0.3), row("lifter-tcn", 1, 0.3), row("lifter-tcn", 8, 0.5), *others])
    assert lines[0].startswith("NOT met: fp16 detector + lifter, 1 person: 0.60 ms")
    assert lines[1].startswith("met: fp16 lifter-tcn, 8 people over 1: 1.67 times")


def test_a_missing_gpu_is_one_line(lifter_path, capsys):
    if not REASON:
        pytest.skip("there is a GPU")
    assert main([str(lifter_path)]) == 1
    assert capsys.readouterr().err.startswith("error: no NVIDIA driver here")


def test_measure_goes_on_from_frame_to_frame(lifter_path):
    engine = OrtEngine(lifter_path)
    frames = recorded_frames(engine.spec, 1)
    assert measure(engine, frames, 5).runs == 5
    age = engine.run(frames[0], [0])["xyz_m"][0, 0, 2] / frames[0]["score"][0, 0]
    assert round(float(age)) == 16


def test_one_bad_model_does_not_stop_the_table(lifter_path, tmp_path, capsys):
    assert (
        main([str(tmp_path / "none.onnx"), str(lifter_path), "--backend", "ort", "--people", "1", "--runs", "5"]) == 1
    )
    out, err = capsys.readouterr()
    assert err.startswith("error: no model file")
    assert out.startswith("lifter-tiny")


def test_all_leaves_out_the_other_backends_int8(tmp_path, monkeypatch):
    monkeypatch.setenv("POSESTREAM_CACHE", str(tmp_path))
    (tmp_path / "models").mkdir()
    for form in ("fp16", "int8-ort", "int8-trt"):
        (tmp_path / "models" / f"lifter-tiny-{form}.onnx").touch()
    tiny = {b: [m.split("tiny-")[1] for m in all_models(b) if "tiny" in m] for b in ("ort", "tensorrt")}
    assert tiny == {"ort": ["fp16.onnx", "int8-ort.onnx"], "tensorrt": ["fp16.onnx", "int8-trt.onnx"]}


def test_goals_of_the_paper_size():
    rows = [
        Row(f"detector-r50-tce512{form}", "fp16", "b", "graph", 1, Timing(1, 1.2, 1.2, 1.2))
        for form in ("", "-window6")
    ]
    assert [line.split(":")[0] for line in goals(rows)] == ["NOT met", "met"]


def test_a_graph_that_could_not_be_recorded_is_not_reported_as_one(gpu, lifter_path, tmp_path, capsys):
    gpu.cuda.can_record = False
    target = tmp_path / "bench.json"
    assert main([str(lifter_path), "--people", "1", "--runs", "5", "--json", str(target)]) == 1
    document = json.loads(target.read_text())
    assert [r["mode"] for r in document["rows"]] == ["plain"]
    assert "no CUDA graphs: cuStreamEndCapture failed" in document["troubles"][0]
    assert "no CUDA graphs: cuStreamEndCapture failed" in capsys.readouterr().err


def test_streams_run_at_once_and_together(lifter_path, tmp_path):
    target = tmp_path / "bench.json"
    words = ["--backend", "ort", "--people", "1", "--streams", "1", "3", "--runs", "20", "--json", str(target)]
    assert main([str(lifter_path), *words]) == 0
    rows = json.loads(target.read_text())["rows"]
    assert [(r["streams"], r["timing"]["runs"]) for r in rows] == [(1, 20), (1, 20), (3, 60)]
    assert all(r["frames_per_s"] > 0 for r in rows[1:])


def test_a_stream_that_fails_does_not_leave_the_others_waiting(lifter_path):
    engines = []

    def open_one():
        engines.append(OrtEngine(lifter_path))
        if len(engines) == 2:
            engines[-1].run = lambda *a: (_ for _ in ()).throw(RuntimeError("boom"))
        return engines[-1]

    with pytest.raises((RuntimeError, threading.BrokenBarrierError)):
        measure_streams(open_one, recorded_frames(OrtEngine(lifter_path).spec, 1), 3, 5)
    assert len(engines) == 3


def test_streams_of_a_gpu_have_a_cuda_stream_each(gpu, lifter_path, tmp_path):
    target = tmp_path / "bench.json"
    assert main([str(lifter_path), "--people", "1", "--streams", "4", "--runs", "5", "--json", str(target)]) == 0
    last = json.loads(target.read_text())["rows"][-1]
    assert (last["streams"], last["mode"]) == (4, "graph")
    assert gpu.cuda.most_streams >= 4
    assert gpu.cuda.streams == set()


def test_the_floor_counts_bytes_and_operations():
    """By hand: the TCN lifter is one matrix after another, each weight used once per person."""
    path = WEIGHTS_DIR / "lifter-tcn.onnx"
    one, eight = work_of(path, 1), work_of(path, 8)
    weights = path.stat().st_size
    assert eight.operations == 8 * one.operations
    assert 0.9 * weights < one.nbytes < 1.2 * weights
    assert 0.4 < one.operations / weights < 0.6  # two operations for each weight of four bytes
    h200 = KNOWN["H200"]
    assert one.floor_ms(h200, "fp32") == pytest.approx(one.nbytes / 4.8e9, rel=0.01)  # bound by memory
    detector = work_of(WEIGHTS_DIR / "detector-mnv2-tce64.onnx", 8)
    assert detector.floor_ms(h200, "fp32") == pytest.approx(detector.operations / 67e9)  # bound by arithmetic
