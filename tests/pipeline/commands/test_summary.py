from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.commands.summary import summarise
from pipeline.config import OutputConfig, Policy, RunConfig, SourceConfig
from pipeline.messages import StageStatus
from pipeline.processes.outcome import Failure, Outcome

MODEL = {"name": "lifter-x", "precision": "fp32", "sha256": "0123456789", "backend": "abacus"}


def status(stage: str, frames: int, last_seq: int, first_s: float, last_s: float, **more: object) -> StageStatus:
    run = {
        "cpu_s": 1.0, "rss_mb": 50.0, "first_ns": int(first_s * 1e9), "last_ns": int(last_s * 1e9),
        "last_seq": last_seq, "people_frames": frames // 2, "stage_ms": {"p50": 1.0, "p95": 2.0, "p99": 3.0},
        "latency_ms": {"p50": 10.0, "p95": 20.0, "p99": 30.0},
    }  # fmt: skip
    return StageStatus(stage=stage, state="finished", frames_in=frames, frames_out=frames, facts={"run": run, **more})


def outcome() -> Outcome:
    decode = status("decode", 100, 99, 1.0, 4.0, source="clip.mp4", source_fps=30.0)
    lifts = [status("lift", 30, 40, 2.0, 3.0, models={"lifter": MODEL}), status("lift", 50, 99, 4.0, 6.0)]
    return Outcome(statuses={"decode": [decode], "lift": lifts}, started_ns=int(0.5e9), go_ns=int(1e9))


def test_attempts_of_a_restarted_stage_are_added_up() -> None:
    run = RunConfig(SourceConfig("file", "clip.mp4"), output=OutputConfig(save=Path("o.npz")))
    summary = summarise(run, outcome(), supervisor_cpu_s=1.0)
    assert summary.frames == {"decoded": 100, "processed": 80, "dropped": 20, "with_people": 40}
    assert summary.fps == pytest.approx(79 / 4, abs=0.01)
    assert summary.cpu_ms_per_frame == pytest.approx(4e3 / 80)
    assert summary.first_skeleton_s == 1.5
    assert summary.stages["lift"]["restarts"] == 1
    assert summary.stages["lift"]["cpu_s"] == 2.0
    assert summary.latency_ms["p95"] == 20.0
    text = summary.text()
    assert "100 frames from clip.mp4: 80 processed, 20 dropped, people in 40" in text
    assert "restarted 1x" in text
    assert "lifter-x (fp32, 01234567)" in text
    assert "o.npz" in text
    assert {"fps", "cpu_ms_per_frame", "latency_ms", "stages", "models"} <= set(
        json.loads(json.dumps(summary.to_json()))
    )


def test_a_replay_has_no_latency() -> None:
    run = RunConfig(SourceConfig("file", "clip.mp4"), policy=Policy.EVERY)
    summary = summarise(run, outcome(), 0.0)
    assert summary.latency_ms == {}
    assert "capture to skeleton" not in summary.text()


def test_a_run_that_failed_at_once_has_a_summary_too() -> None:
    run = RunConfig(SourceConfig("file", "clip.mp4"))
    bad = StageStatus(stage="decode", state="failed", error="no such film", facts={"hint": "x", "exit_code": 2})
    failed = Outcome(2, Failure("decode", "no such film", exit_code=2), {"decode": [bad]})
    summary = summarise(run, failed, 0.1)
    assert summary.frames == {"decoded": 0, "processed": 0, "dropped": 0, "with_people": 0}
    assert summary.failure == {"stage": "decode", "cause": "no such film"}
    assert summary.source == {"source": "clip.mp4"}
    assert summary.text()


def test_a_source_that_never_opened_shows_no_password() -> None:
    run = RunConfig(SourceConfig("stream", "rtsp://me:secret@10.0.0.1/live"))
    failed = Outcome(statuses={"decode": [StageStatus(stage="decode", state="failed")]})
    assert "secret" not in json.dumps(summarise(run, failed, supervisor_cpu_s=0.0).to_json())
