from __future__ import annotations

import numpy as np
import pytest

from pipeline.messages import EndOfStream, Frame, Stamp
from pipeline.processes.timing import Durations, Meter


def test_quantiles_are_right_to_one_percent() -> None:
    values = np.random.default_rng(1).lognormal(2, 1, 5000)
    durations = Durations()
    for value in values:
        durations.add(float(value))
    for share in (0.5, 0.95, 0.99):
        assert durations.quantile(share) == pytest.approx(np.quantile(values, share), rel=0.02)


def test_durations_of_any_size_are_counted() -> None:
    durations = Durations()
    assert durations.quantile(0.5) == 0.0
    for value in (0.0, -1.0, 1e12):
        durations.add(value)
    assert durations.count == 3
    assert durations.quantile(1.0) > 1e5


def test_gaps_in_the_indices_are_drops_but_not_what_went_before_the_first() -> None:
    meter = Meter("detect", from_start=False)
    for seq in (7, 8, 11, 12):
        meter.take(seq)
    assert (meter.frames_in, meter.dropped) == (4, 2)
    meter.end(EndOfStream(last_seq=15, reason="end").last_seq)
    assert meter.dropped == 5


def test_a_stage_that_was_there_from_the_start_counts_the_first_frames_too() -> None:
    meter = Meter("detect", from_start=True)
    meter.take(4)
    assert meter.dropped == 4


def test_status_counts_what_went_out_and_its_age() -> None:
    meter = Meter("decode")
    stamp = Stamp("x", 0, t_capture_ns=1_000_000)
    meter.give(Frame(stamp=stamp, image=np.zeros((1, 1, 3), np.uint8), source_wh=(1, 1)), now_ns=21_000_000)
    meter.spent(3.0)
    status = meter.status("running", "fine", {"fps": 30})
    assert (status.frames_out, status.p50_ms, status.note) == (1, 3.0, "fine")
    assert status.facts["fps"] == 30
    assert status.facts["run"]["latency_ms"]["p50"] == pytest.approx(20, rel=0.02)
