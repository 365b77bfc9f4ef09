"""posestream bench: its clips, its figures, and the whole of it over real processes."""

import json
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from pipeline.bench.clips import encode_for_streaming, repeat, serving
from pipeline.bench.command import machine, main, measure_peer
from pipeline.bench.live_runs import summarise_live
from pipeline.bench.report import insert
from pipeline.errors import OutputError, PipelineError, SourceError, UsageError
from pipeline.sources.file import FileSource
from pipeline.sources.stream import open_stream
from tests.engines.tiny_models import counting_lifter, drifting_detector, fixed_finder
from tests.pipeline.clips import make_clip, number

ROOT = Path(__file__).parents[3]


def test_a_clip_is_repeated_frame_by_frame(tmp_path: Path) -> None:
    repeat(str(make_clip(tmp_path / "a.mp4", 5)), tmp_path / "long.mkv", 12)
    pictures = list(FileSource(str(tmp_path / "long.mkv")).pictures())
    assert [number(p.image) for p in pictures] == [n % 5 for n in range(12)]
    assert np.diff([p.pts_s for p in pictures]) == pytest.approx(np.full(11, 1 / 30), abs=2e-3)


def test_what_is_no_clip_is_said_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("no video")
    with pytest.raises(SourceError, match="is not a video"):
        repeat(str(tmp_path / "a.mp4"), tmp_path / "long.mkv", 12)
    with pytest.raises(UsageError, match="does not exist"):
        main([str(tmp_path / "nope.mp4")])


def test_the_stream_is_720p_at_30_frames_per_second_without_end(tmp_path: Path) -> None:
    assert encode_for_streaming(str(make_clip(tmp_path / "a.mp4", 60, (128, 96))), tmp_path / "live.ts", 8) == 8
    with serving(tmp_path / "live.ts") as url:
        source = open_stream(url, max_side_px=1920)
        times_s, indices = [], []
        for shown in source.pictures():
            if shown is not None:
                times_s.append(shown.t_capture_ns / 1e9)
                indices.append(shown.index)
                assert shown.image.shape == (720, 960, 3)
            if len(indices) >= 60:
                break
        source.close()
    # the first second may come in a burst; after it every frame comes on its beat, through several repetitions
    rate = (indices[-1] - indices[30]) / (times_s[-1] - times_s[30])
    assert rate == pytest.approx(30, rel=0.1)


def test_drift_and_percentiles() -> None:
    seconds = np.arange(0, 120, 1 / 30)
    ages = np.stack([seconds, 20 + seconds / 60 * 3], 1)
    memory = np.stack([np.arange(-10, 120.0), np.where(np.arange(-10, 120) < 0, 50, 300)], 1)
    figures = summarise_live(ages, memory, dropped=4)
    assert figures["latency_drift_ms_per_min"] == pytest.approx(3, abs=0.01)
    assert figures["memory_drift_mb_per_min"] == pytest.approx(0, abs=0.01)  # the warm-up does not count
    assert figures["memory_mb"] == {"start": 300, "end": 300}
    assert figures["latency_ms"]["p50"] == pytest.approx(23, abs=0.1)
    assert figures["latency_ms"]["p99"] == pytest.approx(25.94, abs=0.1)
    assert figures["fps"] == pytest.approx(30, abs=0.1)
    assert figures["dropped"] == 4


def test_the_machine_is_described() -> None:
    told = machine()
    assert told["cores"] >= 1
    assert isinstance(told["busy"], bool)


def fake_python(path: Path, prints: str, code: int = 0) -> str:
    path.write_text(f"#!/bin/sh\n{prints}\nexit {code}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_a_peer_that_does_not_run_is_one_line(tmp_path: Path) -> None:
    good = fake_python(tmp_path / "good", """echo noise; echo '{"fps": 50, "cpu_ms_per_frame": 20}'""")
    assert measure_peer(good, "clip", 10)["fps"] == 50
    bad = fake_python(tmp_path / "bad", "echo Traceback >&2; echo \"No module named 'mediapipe'\" >&2", 1)
    with pytest.raises(PipelineError, match="MediaPipe did not run: No module named 'mediapipe'"):
        measure_peer(bad, "clip", 10)
    with pytest.raises(UsageError, match="cannot run"):
        measure_peer(str(tmp_path / "nope"), "clip", 10)


def test_a_peer_that_is_not_installed_names_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="mediapipe is not installed") as error:
        main([str(make_clip(tmp_path / "a.mp4", 2)), "--peer", "mediapipe"])
    assert "pip install mediapipe" in error.value.hint


@pytest.mark.timeout(180)
def test_the_whole_bench_gives_its_figures(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", 20, (320, 180))
    peer = fake_python(tmp_path / "peer", """echo '{"name": "Peer", "fps": 50, "cpu_ms_per_frame": 20}'""")
    models = [
        "--finder", str(fixed_finder(tmp_path / "f.onnx", [[6, 8, 30, 40]], [0.9], (48, 48))),
        "--detector", str(drifting_detector(tmp_path / "d.onnx")),
        "--lifter", str(counting_lifter(tmp_path / "l.onnx")),
    ]  # fmt: skip
    start_s = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "bench", str(clip), "--frames", "40", "--seconds", "2",
         "--json", str(tmp_path / "b.json"), *models, "--peer", "mediapipe", "--peer-python", peer],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    told = json.loads((tmp_path / "b.json").read_text())
    assert told["fps"] > 0
    assert told["cpu_ms_per_frame"] > 0
    assert told["frames"]["processed"] == 40
    assert told["frames"]["dropped"] == 0
    assert {"decode", "detect", "lift"} <= set(told["stages"])
    assert 0 < told["latency_ms"]["p50"] <= told["latency_ms"]["p95"] <= told["latency_ms"]["p99"] < 5000
    live = told["live"]
    assert live["frames"] > 2
    assert 1 < live["seconds"] < time.monotonic() - start_s
    assert live["memory_mb"]["end"] > 50
    assert set(told["models"]) == {"finder", "detector", "lifter"}
    for word in ("posestream, all processes", "Peer", "capture to skeleton", "MiB/min"):
        assert word in done.stdout


def test_the_table_takes_its_place_in_a_readme_and_nothing_else_changes(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- bench: begin -->\nold\n<!-- bench: end -->\nafter\n")
    insert(readme, "new table\n")
    insert(readme, "newer table\n")
    wanted = "before\n<!-- bench: begin -->\n\n```\nnewer table\n```\n\n<!-- bench: end -->\nafter\n"
    assert readme.read_text() == wanted


def test_a_readme_without_marks_is_left_alone(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("nothing here")
    with pytest.raises(OutputError, match="no place for the table"):
        insert(readme, "table")
    assert readme.read_text() == "nothing here"


def test_gpu_measures_the_engines_alone(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--gpu", "lifter-tcn", "--backend", "ort", "--people", "1", "--runs", "3"]
    assert main(words) == 0
    assert "people 1  ms p50 p95 p99" in capsys.readouterr().out
    assert main(["--gpu", "no-such-model"]) == 1
    assert capsys.readouterr().err.startswith("error: no model file 'no-such-model'")
