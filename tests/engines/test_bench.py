"""The latency table: what is measured, judged and written."""

from __future__ import annotations

import json

import pytest

from engines.bench import Row, Timing, _all_models, goals, main, measure
from engines.ort import OrtEngine
from engines.parity import recorded_frames
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
        return Row(model, "fp16", "b", "graph", people, Timing(1, ms, ms, ms), None)

    lines = goals([row("detector-mnv2-tce64", 1, 0.3), row("lifter-tcn", 1, 0.3), row("lifter-tcn", 8, 0.5)])
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
    tiny = {b: [m.split("tiny-")[1] for m in _all_models(b) if "tiny" in m] for b in ("ort", "tensorrt")}
    assert tiny == {"ort": ["fp16.onnx", "int8-ort.onnx"], "tensorrt": ["fp16.onnx", "int8-trt.onnx"]}


def test_goals_of_the_paper_size():
    rows = [
        Row(f"detector-r50-tce512{form}", "fp16", "b", "graph", 1, Timing(1, 1.2, 1.2, 1.2), None)
        for form in ("", "-window6")
    ]
    assert [line.split(":")[0] for line in goals(rows)] == ["NOT met", "met"]
