"""Judging detectors: metrics of sequences on cases with known answers, calibration, sheets and plots."""

from __future__ import annotations

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from engines.runtime import find_weights
from engines.skeletons import H36M17
from tests.train.data.test_people2d import dotted
from tests.train.test_losses2d import person
from train.data.people.people2d import StillSet
from train.measure.calibrate import (
    Curves,
    fit_curves,
    fit_temperature,
    isotonic,
    load_curves,
    plot_reliability,
    reliability,
)
from train.measure.evaluate2d import judged, measure, nobody_people, set_people
from train.measure.metrics2d import calibration_error, frames_to_recover, jitter, pck_by_joint, presence
from train.measure.report2d import COLUMNS, TILE_WH, write_sheets
from train.measure.sequences2d import Sequences, make_sequences, measure_sequences
from train.tasks import calibrate, detector, eval_detector
from train.tasks.detector import NAME


def still_people(count: int = 3) -> StillSet:
    """Standing people with a torso of 100 pixels."""
    stills = dotted(count=count, wh=(300, 320))
    xy = np.stack([person() + np.float32([90, 60]) for _ in range(count)]).astype(np.float32)
    return replace(stills, xy_px=xy, box_xyxy_px=np.tile(np.float32([60, 50, 180, 260]), (count, 1)))


def test_pck_of_each_joint():
    truth, labelled = person()[None], np.ones((1, 17), bool)
    xy = truth.copy()
    wrist = H36M17.index("left_wrist")
    xy[0, wrist] += 30
    labelled[0, H36M17.index("nose")] = False
    by = pck_by_joint(xy, truth, labelled, 0.2, "torso")
    assert (by["left_wrist"], by["right_wrist"]) == (0, 1)
    assert "nose" not in by


def test_jitter_counts_shaking_and_neither_lag_nor_offset():
    truth = np.stack([person() + 3 * t for t in range(8)])[None].astype(np.float32)
    known = np.ones(truth.shape[:3], bool)
    assert jitter(truth + 9, truth, known) == pytest.approx(0, abs=1e-5)
    assert jitter(truth + np.arange(8)[None, :, None, None], truth, known) == pytest.approx(0, abs=1e-5)
    shaken = truth.copy()
    shaken[:, ::2, :, 0] += 5
    assert jitter(shaken, truth, known) == pytest.approx(0.1, rel=0.02)  # 2 x 5 px of a torso of 100 px


def test_recovery_is_counted_from_the_end_of_the_occlusion():
    away = np.full((3, 12, 17), 0.1, np.float32)
    away[:, 4:8] = np.nan
    away[0, 8:10] = 0.9  # two frames late
    away[1, 8:] = 5.0  # never
    assert frames_to_recover(away, range(4, 8)).tolist() == [2, 4, 0]


def test_sequences_are_covered_in_the_middle_and_judged_only_outside():
    sequences = make_sequences(still_people(2), 2, (96, 128), 12, range(4, 7))
    assert sequences.crops.shape == (2, 12, 128, 96, 3)
    assert not sequences.known[:, 4:7].any()
    assert sequences.known[:, :4].any()
    seen = np.array([sequences.crops[0, t].std() for t in range(12)])
    assert seen[4:7].max() < 0.7 * seen[[0, 1, 2, 10, 11]].max(), "the dot is covered"
    steps = np.linalg.norm(np.diff(sequences.xy, axis=1), axis=-1).mean((0, 2))
    assert (steps > 0.02).all()
    with pytest.raises(ValueError, match="labelled"):
        make_sequences(replace(still_people(1), weight=np.zeros((1, 17), np.float32)), 1, (96, 128))


def test_a_perfect_and_a_lost_follower():
    sequences = make_sequences(still_people(2), 2, (96, 128), 12, range(4, 7))

    def perfect(crops):
        return sequences.xy, np.ones(sequences.xy.shape[:3], np.float32)

    def lost(crops):
        xy = sequences.xy.copy()
        xy[:, 7:9] += 500
        return xy, np.tile(np.float32(0.2), xy.shape[:3])

    best, worse = measure_sequences(sequences, perfect), measure_sequences(sequences, lost)
    assert (best["pck@0.2 torso"], best["recovery frames"]) == (1, 0)
    assert best["jitter torso"] == pytest.approx(0)
    assert worse["recovery frames"] == 2
    assert worse["pck@0.2 torso"] < 1
    assert worse["score hidden"] == pytest.approx(0.2)
    assert isinstance(sequences, Sequences)


def bent(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores that are too sure: right with the probability of half their log odds, less 0.5."""
    logits = rng.normal(0, 3, (count, 17))
    right = rng.random((count, 17)) < 1 / (1 + np.exp(-(0.5 * logits - 0.5)))
    return (1 / (1 + np.exp(-logits))).astype(np.float32), right, np.ones((count, 17), bool)


def test_calibration_makes_scores_probabilities(tmp_path):
    rng = np.random.default_rng(0)
    score, right, known = bent(rng, 3000)
    known[:, 3] = False
    curves = fit_curves(score, right, known)
    assert curves.scale[0] == pytest.approx(0.5, abs=0.06)
    assert curves.shift[0] == pytest.approx(-0.5, abs=0.15)
    assert (curves.scale[3], curves.cases[3]) == (1, 0), "nothing known: left alone"
    fresh, truth, _ = bent(rng, 3000)
    before, after = (calibration_error(s[:, 0], truth[:, 0]) for s in (fresh, curves.apply(fresh)))
    assert before > 0.1
    assert after < 0.03
    curves.save(tmp_path / "curves.json")
    again = load_curves(tmp_path / "curves.json")
    np.testing.assert_allclose(again.apply(fresh), curves.apply(fresh), atol=1e-6)
    probability = again.module()(torch.linspace(-6, 6, 50)[:, None].expand(50, 17))
    assert (probability.diff(dim=0) >= -1e-6).all(), "a higher score is never less probable"


def test_pieces_of_the_fit():
    assert isotonic(np.array([0.1, 0.5, 0.3, 0.9]), np.ones(4)).tolist() == pytest.approx([0.1, 0.4, 0.4, 0.9])
    scale, shift = fit_temperature(np.full(100, 2.0), np.ones(100, bool))
    assert np.isfinite([scale, shift]).all()
    rows = reliability(np.array([0.05, 0.95, 0.99]), np.array([False, True, False]))
    assert rows[-1] == {"score": pytest.approx(0.97), "right": 0.5, "cases": 2}
    identity = Curves(np.ones(17), np.zeros(17), np.tile(np.linspace(0, 1, 11), (17, 1)), np.zeros(17, int))
    score = np.random.default_rng(0).random((5, 17))
    np.testing.assert_allclose(identity.apply(score), score, atol=1e-4)


def test_figures_sheets_and_plots_of_a_set(tmp_path):
    people = list(set_people(still_people(3)))
    xy, score = np.stack([p.xy for p in people]), np.full((3, 17), 0.9, np.float32)
    xy[1] += 40
    figures = measure(people, {"posestream": (xy, score)})["posestream"]
    assert figures["left_knee pck@0.2 torso"] == pytest.approx(2 / 3)
    assert (figures["detected"], figures["left/right exchanged"]) == (1, 0)
    assert presence(np.zeros((2, 17))).tolist() == [0, 0]
    write_sheets(tmp_path, "set", people, {"posestream": (xy, score)})
    worst = cv2.imread(str(tmp_path / "set_worst.png"))
    assert worst.shape == (2 * TILE_WH[1], COLUMNS * TILE_WH[0], 3)
    right, known = judged(people, xy)
    plot_reliability(tmp_path / "r.png", {"set": (score[known], right[known])})
    assert cv2.imread(str(tmp_path / "r.png")).shape[0] > 300


def test_the_command_writes_figures_and_pictures(tmp_path, monkeypatch, capsys):
    empty = (np.zeros((200, 200, 3), np.uint8), np.float32([50, 20, 120, 180]))
    monkeypatch.setattr(eval_detector, "people_of", lambda args: {"toys": list(set_people(still_people(2)))})
    monkeypatch.setattr(eval_detector, "empty_frames", lambda *args: iter([empty]))
    toys = make_sequences(still_people(1), 1, (192, 256), 9, range(3, 5))
    monkeypatch.setattr(eval_detector, "sequences_of", lambda args, wh: {"toy sequences": toys})
    words = ["--quick", "--no-movenet", "--json", str(tmp_path / "e.json"), "--sheets", str(tmp_path / "sheets")]
    eval_detector.main(words)
    report = json.loads((tmp_path / "e.json").read_text())
    assert report["toys"]["people"] == 2
    assert "left_wrist pck@0.2 box" in report["toys"]["posestream"]
    assert report["toys"]["reliability"]["posestream"][0]["cases"] > 0
    assert report["empty crops"]["ghosts"] == 0
    assert set(report["toy sequences"]) == {"memory", "fresh", "filtered"}
    names = {p.name for p in (tmp_path / "sheets").iterdir()}
    assert names == {"toys_overview.png", "toys_worst.png", "reliability.png"}
    assert "jitter torso" in capsys.readouterr().out


def test_scores_are_calibrated_by_a_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(calibrate, "gather", lambda args: list(set_people(still_people(4))))
    shipped, raw, words = str(find_weights(NAME)), str(tmp_path / "raw.onnx"), ["--out", str(tmp_path / "c.json")]
    with pytest.raises(SystemExit):
        calibrate.main(["--model", shipped, *words])
    assert "calibrated already" in capsys.readouterr().err
    detector.main(["--start", shipped, "--export", raw])
    calibrate.main(["--model", raw, *words, "--plot", str(tmp_path / "r.png")])
    assert "4 people; calibration error" in capsys.readouterr().out
    assert load_curves(tmp_path / "c.json").cases.tolist() == [4] * 17
    assert (tmp_path / "r.png").exists()


def test_nothing_found_where_nobody_is_can_be_right():
    image, box = np.zeros((60, 80, 3), np.uint8), np.array([10, 5, 30, 55], np.float32)
    people = list(nobody_people(iter([(image, box)] * 2)))
    xy = np.random.default_rng(0).uniform(0, 80, (2, 17, 2)).astype(np.float32)
    right, known = judged(people, xy)
    assert known.all()
    assert not right.any()
