"""A lifter that looks ahead in the real stage: every frame comes out once, with the answer that was meant for it."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest
import torch

from engines.geometry import default_focal_px, pixels_to_rays
from engines.lifter import Lifter
from engines.runtime import open_engine
from engines.tracks import Tracks, lift_tracks
from pipeline.inference.lift import LiftStage
from pipeline.messages import EndOfStream, People2D, People3D, Stamp
from train.experiments import look_ahead
from train.models.tcn import CausalTcn
from train.tasks.lifter import export

AHEAD, FPS, WH = 2, 30.0, (640, 480)


@pytest.fixture(scope="module")
def model() -> CausalTcn:
    torch.manual_seed(0)
    model = CausalTcn(width=16, look_ahead=AHEAD)
    torch.nn.init.normal_(model.head.weight, std=0.1)
    return model.eval()


@pytest.fixture(scope="module")
def file(model: CausalTcn, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ahead") / "lifter-ahead.onnx"
    export(model, "lifter-ahead", path, {})
    return path


def people(seq: int, tracks: list[int], time_s: float | None = None) -> People2D:
    rng = np.random.default_rng(seq)
    count = len(tracks)
    return People2D(
        stamp=Stamp("test", seq, 0, seq / FPS if time_s is None else time_s),
        image_wh=WH,
        track=np.array(tracks, np.int32),
        box_xyxy_px=np.zeros((count, 4), np.float32),
        xy_px=rng.uniform(100, 400, (count, 17, 2)).astype(np.float32),
        score=np.ones((count, 17), np.float32),
        fresh=np.zeros(count, np.bool_),
    )


def lifted(file: Path, frames: list[People2D], reason: str = "end") -> list[People3D]:
    stage = LiftStage(lifter=Lifter(open_engine(file)), smoother=None, focal_px=None)
    out = [stage.handle(f) for f in frames]
    assert out[:AHEAD] == [[]] * AHEAD
    return [p for given in out for p in given] + stage.finish(EndOfStream(last_seq=len(frames) - 1, reason=reason))


def as_tracks(frames: list[People2D]) -> Tracks:
    return Tracks(
        xy_px=np.concatenate([f.xy_px for f in frames]), score=np.ones((len(frames), 17)),
        pts_s=np.array([f.stamp.pts_s for f in frames]), clip=np.zeros(len(frames), np.int64),
        size_wh=np.array([WH]), focal_px=np.array([default_focal_px(WH)]),
    )  # fmt: skip


def test_every_frame_gets_the_answer_meant_for_it(file: Path, model: CausalTcn) -> None:
    frames = [people(t, [7]) for t in range(9)]
    out = lifted(file, frames)
    assert [p.stamp.seq for p in out] == list(range(9))
    rays = np.stack([pixels_to_rays(f.xy_px, WH, default_focal_px(WH))[0] for f in frames])
    dt_s = np.full(9, 1 / FPS, np.float32)
    dt_s[0] = 0
    with torch.no_grad():
        want = model.sequence(torch.from_numpy(rays)[None], torch.ones(1, 9, 17), torch.from_numpy(dt_s)[None])[0][0]
    for t in range(9 - AHEAD):
        np.testing.assert_allclose(out[t].xyz_m[0], want[t + AHEAD], atol=1e-5)
        np.testing.assert_array_equal(out[t].xy_px, frames[t].xy_px)


STALLED = [0.0, 1 / 30, 2 / 30, 3 / 30, 0.8, 0.8 + 1 / 30, 0.8 + 2 / 30, 3.0, 4.0]


@pytest.mark.parametrize(
    "times_s", [[t / FPS for t in range(9)], STALLED, [t * 0.3 for t in range(6)]], ids=["steady", "stalled", "slow"]
)
def test_a_live_run_says_what_tracks_of_a_file_get(file: Path, times_s: list[float]) -> None:
    frames = [people(t, [7], time_s) for t, time_s in enumerate(times_s)]
    xyz_m, root_m = lift_tracks(Lifter(open_engine(file)), as_tracks(frames))
    live = lifted(file, frames)
    assert [(p.stamp.seq, len(p.track)) for p in live] == [(t, 1) for t in range(len(frames))]
    np.testing.assert_allclose(np.concatenate([p.xyz_m for p in live]), xyz_m, atol=1e-6)
    np.testing.assert_allclose(np.concatenate([p.root_m for p in live]), root_m, atol=1e-6)


def test_who_restarts_while_a_frame_waits_is_not_answered_for_in_it(file: Path) -> None:
    times_s, tracks = [0.0, 0.3, 0.6, 0.7, 0.8], [[1], [], [1], [1], [1]]
    out = lifted(file, [people(t, who, time_s) for t, (who, time_s) in enumerate(zip(tracks, times_s, strict=True))])
    assert [p.track.tolist() for p in out] == [[], *tracks[1:]]


def test_people_come_and_go(file: Path) -> None:
    tracks = [[1], [1], [1, 2], [2], [2], [], [], [2], [2]]
    out = lifted(file, [people(t, who) for t, who in enumerate(tracks)])
    assert [p.track.tolist() for p in out] == tracks, "somebody who has left is answered for while remembered"
    assert all(np.isfinite(p.xyz_m).all() for p in out)


def test_a_stopped_run_answers_for_its_last_frames(file: Path) -> None:
    frames = [people(t, [1]) for t in range(6)]
    stopped, ended = lifted(file, frames, reason="stopped"), lifted(file, frames)
    assert [p.stamp.seq for p in stopped] == list(range(6))
    np.testing.assert_array_equal(stopped[-1].xyz_m, ended[-1].xyz_m)


def test_table_says_what_the_future_gains() -> None:
    figures = dict.fromkeys(look_ahead.COLUMNS[2:], 50.0)
    better = figures | {"MPJPE mm, truth": 45.0}
    args = argparse.Namespace(steps=10)
    table = look_ahead.table({0: [figures], 2: [better]}, args)
    assert table.rows[1]["delay ms at 30 fps"] == pytest.approx(66.7, abs=0.1)
    assert [o.holds for o in table.orderings] == [True, False]
