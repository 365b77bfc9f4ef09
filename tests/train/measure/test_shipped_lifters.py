"""The shipped lifter files: they stream as their networks compute, say where they come from, and lift well enough."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from engines.lifter import Lifter
from engines.measure.bones3d import bone_length_sd_mm
from engines.measure.score3d import score
from engines.runtime import Engine, find_weights, open_engine
from engines.tracks import lift_tracks
from train.data.motion.mocap import data_root
from train.measure.against_batch import from_file, streaming_gap
from train.measure.evaluate3d import load_stage

NAMES = ("lifter-tcn", "lifter-lstm")


@pytest.fixture(scope="module", params=NAMES)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    engine = open_engine(request.param, "ort", threads=1)
    yield engine
    engine.close()


def test_file_streams_like_its_network(engine: Engine) -> None:
    assert streaming_gap(engine, from_file(find_weights(engine.spec.name))) <= 1e-5


def test_file_says_where_it_comes_from(engine: Engine) -> None:
    credit = " ".join(engine.spec.provenance["data"])
    assert "mocap.cs.cmu.edu" in credit
    assert "ReActIdle" in credit
    assert engine.spec.provenance["val_30_fps"]["truth2d_mpjpe_mm"] < 80


def test_unseen_joints_change_nothing_in_the_file(engine: Engine) -> None:
    rng = np.random.default_rng(0)
    score = np.ones((2, 17), np.float32)
    score[:, [3, 13]] = 0
    xy = np.repeat(rng.normal(0, 0.2, (1, 17, 2)), 2, 0).astype(np.float32)
    xy[1, [3, 13]] = np.nan
    out = engine.run({"xy": xy, "score": score, "dt_s": np.zeros(2, np.float32)}, ["a", "b"], ["a", "b"])
    np.testing.assert_array_equal(out["xyz_m"][0], out["xyz_m"][1])
    assert (out["xyz_m"][:, 0] == 0).all()
    assert (out["root_m"][:, 2] > 0).all()


def test_no_bone_wanders_even_where_the_joints_are_nonsense(engine: Engine) -> None:
    rng, frames = np.random.default_rng(0), 120
    joints = rng.normal(0, 0.2, (frames, 17, 2)).astype(np.float32)
    out = [
        engine.run(
            {"xy": joints[t : t + 1], "score": np.ones((1, 17), np.float32), "dt_s": np.float32([t > 0]) / 30},
            ["a"], ["a"] if t == 0 else [],
        )["xyz_m"][0]
        for t in range(frames)
    ]  # fmt: skip
    assert 0 < bone_length_sd_mm(np.stack(out)).max() < 5


@pytest.mark.skipif(not (data_root() / "mocap" / "motion.npz").exists(), reason="the motion pack is not here")
def test_file_lifts_subjects_it_never_saw(engine: Engine) -> None:
    tracks, truth = load_stage(data_root() / "mocap", seed=11).film(30, "truth", 1.0)
    found = score(*lift_tracks(Lifter(engine), tracks), truth, tracks)
    assert found["mpjpe_mm"] < 85
    assert found["p_mpjpe_mm"] < 70
    assert found["root_error_share"] < 0.12
