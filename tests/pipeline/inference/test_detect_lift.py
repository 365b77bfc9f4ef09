"""The detect and lift handlers over tiny real models, without processes."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.config import ModelConfig, OutputConfig, PoseConfig, RunConfig, SourceConfig, StageConfig
from pipeline.inference import detect, lift
from pipeline.messages import Frame, Stamp
from tests.engines.tiny_models import counting_lifter, drifting_detector, fixed_finder

GOOD = (6, 8, 230)  # the tiny detector puts every joint at (6, 8) of its 12x16 crop, with score 0.9
BAD = (6, 8, 10)


def config(tmp_path, boxes=((8, 8, 32, 40),), scores=(0.9,), stills=False, preview_px=0, smooth=False, steady=True):
    """Return the configuration of a stage with tiny models."""
    models = ModelConfig(
        finder=str(fixed_finder(tmp_path / "f.onnx", [list(b) for b in boxes], list(scores), (48, 48))),
        detector=str(drifting_detector(tmp_path / "d.onnx")),
        lifter=str(counting_lifter(tmp_path / "l.onnx")),
    )
    run = RunConfig(
        SourceConfig("file", "x.mp4", stills=stills),
        models,
        PoseConfig(smooth=smooth, steady=steady),
        OutputConfig(preview_px=preview_px),
    )
    return StageConfig("stage", "x:y", run)


def frame(seq, colour=GOOD, wh=(96, 96), source_wh=None, fps=30.0) -> Frame:
    image = np.empty((wh[1], wh[0], 3), np.uint8)
    image[:] = colour
    return Frame(stamp=Stamp("x.mp4", seq, 10**9 + seq, seq / fps), image=image, source_wh=source_wh or wh)


@pytest.fixture
def both(tmp_path):
    c = config(tmp_path)
    stages = detect.make(c), lift.make(c)
    yield stages
    for stage in stages:
        stage.close()


def test_a_person_is_found_followed_and_lifted(both):
    finder_to_detector, lifter = both
    tracks = []
    for seq in range(20):
        people = lifter.handle(finder_to_detector.handle(frame(seq)))
        tracks.append(people.track.tolist())
        assert people.xyz_m.shape == (1, 17, 3)
        assert people.filled[0] == pytest.approx(min(1, (seq + 1) / 4))
    assert tracks == [[0]] * 20


def test_nobody_reported_when_joints_are_weak(both):
    people = both[1].handle(both[0].handle(frame(0, BAD)))
    assert len(people.track) == 0
    assert people.xyz_m.shape == (0, 17, 3)


def test_pixels_refer_to_the_source_not_to_the_downscaled_frame(tmp_path):
    stage = detect.make(config(tmp_path))
    small = stage.handle(frame(0, wh=(96, 96)))
    stage = detect.make(config(tmp_path))
    large = stage.handle(frame(0, wh=(96, 96), source_wh=(960, 960)))
    assert large.image_wh == (960, 960)
    np.testing.assert_allclose(large.xy_px, small.xy_px * 10, rtol=1e-5)
    np.testing.assert_allclose(large.box_xyxy_px, small.box_xyxy_px * 10, rtol=1e-5)


def test_stills_share_nothing(tmp_path):
    c = config(tmp_path, stills=True)
    stage, lifter = detect.make(c), lift.make(c)
    seen = []
    for seq in range(3):
        people = lifter.handle(stage.handle(frame(seq)))
        seen += people.track.tolist()
        assert people.filled[0] == pytest.approx(0.25)
    assert seen == [0, 1, 2]


def test_a_cut_in_time_starts_new_people(both):
    stage = both[0]
    assert stage.handle(frame(0)).track.tolist() == [0]
    assert stage.handle(frame(1)).track.tolist() == [0]
    assert stage.handle(frame(100)).track.tolist() == [1]
    assert stage.handle(frame(50)).track.tolist() == [2]


def test_preview_only_on_request_and_never_larger(tmp_path):
    assert detect.make(config(tmp_path)).handle(frame(0)).preview is None
    stage = detect.make(config(tmp_path, preview_px=48))
    assert stage.handle(frame(0, wh=(96, 64))).preview.shape == (32, 48, 3)
    stage = detect.make(config(tmp_path, preview_px=500))
    assert stage.handle(frame(0)).preview.shape == (96, 96, 3)


def test_smoothing_rides_beside_the_raw_joints(tmp_path):
    c = config(tmp_path, smooth=True)
    stage, lifter = detect.make(c), lift.make(c)
    first = lifter.handle(stage.handle(frame(0)))
    second = lifter.handle(stage.handle(frame(1)))
    np.testing.assert_array_equal(first.xyz_smooth_m, first.xyz_m)
    assert not np.array_equal(second.xyz_smooth_m, second.xyz_m)


def test_joints_are_steadied_by_default(tmp_path, monkeypatch):
    noise = np.random.default_rng(0)
    told = {}
    for steady in (True, False):
        stage = detect.make(config(tmp_path, steady=steady))
        asis = stage.detector.detect

        def shaken(*args, asis=asis):
            xy, score = asis(*args)
            xy[:] = np.linspace(10, 80, 34).reshape(17, 2) + noise.normal(0, 0.5, xy.shape)
            return xy, np.full_like(score, 0.5)

        monkeypatch.setattr(stage.detector, "detect", shaken)
        xy = np.stack([stage.handle(frame(seq)).xy_px[0] for seq in range(30)])
        told[steady] = np.abs(np.diff(xy, n=2, axis=0)).mean()
    assert told[True] < 0.6 * told[False]


@pytest.mark.parametrize("wh", [(1, 1), (3, 1), (7681, 4321)])
def test_odd_sizes_do_not_break_it(both, wh):
    people = both[1].handle(both[0].handle(frame(0, wh=wh)))
    assert np.isfinite(people.xyz_m).all()


def test_two_runs_are_identical(tmp_path):
    def run():
        c = config(tmp_path, boxes=((8, 8, 24, 40), (24, 8, 40, 40)), scores=(0.9, 0.8))
        stage, lifter = detect.make(c), lift.make(c)
        return [lifter.handle(stage.handle(frame(seq))) for seq in range(12)]

    for a, b in zip(run(), run(), strict=True):
        for name in ("track", "box_xyxy_px", "xy_px", "score", "xyz_m", "root_m", "filled"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def test_facts_name_the_models(both):
    assert set(both[0].facts()["models"]) == {"finder", "detector"}
    facts = both[1].facts()["models"]["lifter"]
    assert facts["name"] == "lifter-tiny"
    assert len(facts["sha256"]) == 64
    assert "ONNX Runtime" in facts["backend"]
