"""The measuring of lifters: what is filmed is what is lifted, joints and frames go missing as told, tables say how."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from engines.geometry import pixels_to_rays
from engines.lifter import Lifter
from engines.measure.score3d import Truth, score
from engines.runtime import open_engine
from engines.tracks import Tracks, lift_tracks
from train.data.motion.filmed import make_batch
from train.data.motion.mocap import even_takes
from train.measure import evaluate3d
from train.measure.evaluate3d import kind_of, load_stage, lost_joints, with_frames_dropped
from train.measure.report3d import tables
from train.tasks import eval_lifter

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A motion pack of a figure that walks, three clips of it held out."""
    from tests.train.walker import walking

    folder = tmp_path_factory.mktemp("pack")
    xyz_m = np.concatenate([walking(150)] * 4)
    joints = np.pad(np.rint((xyz_m - xyz_m[:, :1]) * 1e4), ((0, 0), (0, 4), (0, 0)))
    np.savez(
        folder / "motion.npz", root_m=xyz_m[:, 0], joints_mm10=joints.astype(np.int16),
        clip_start=np.arange(5) * 150, fps=np.full(4, 60, np.float32), split=np.array(["train", "val", "val", "val"]),
        rig=np.array(["asf"] * 4), action=np.array(["walk", "slow walk/stride", "dance - pirouette", "Walk"]),
        subject=np.array(["a", "b", "b", "c"]),
    )  # fmt: skip
    return folder


def test_the_tracks_are_what_the_cameras_of_the_recipe_saw(pack: Path) -> None:
    stage = load_stage(pack, seed=3)
    tracks, truth = stage.film(30, "truth", 1.0)
    case = make_batch(even_takes(stage.motion, 30, 30, range(3)), np.random.default_rng(3), 1.0)
    assert (len(tracks), len(tracks.spans())) == (90, 3)
    rays = pixels_to_rays(tracks.xy_px, (2000, 2000), 2000.0)
    np.testing.assert_allclose(rays, case["xy"].reshape(-1, 17, 2), atol=1e-6)
    np.testing.assert_allclose(np.diff(tracks.pts_s)[:29], 1 / 30, atol=1e-6)
    assert truth.action is not None
    assert truth.action.tolist() == ["walk", "dance", "walk"]
    assert kind_of("walk, exaggerated stride") == "walk"


@pytest.mark.parametrize("share", [0.0, 0.1, 0.2])
def test_joints_are_lost_for_a_while_at_the_given_share(share: float) -> None:
    lost = lost_joints(np.random.default_rng(0), 20000, share)
    assert lost.mean() == pytest.approx(share, abs=0.005)
    if share:
        begins = (np.diff(lost.astype(int), axis=0) == 1).sum()
        assert lost.sum() / begins == pytest.approx(evaluate3d.LOST_FRAMES, rel=0.05)


def test_dropped_frames_leave_the_frames_before_them_alone(pack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lifted = []

    def remembered(lifter: Lifter, tracks: Tracks) -> tuple[np.ndarray, np.ndarray]:
        xyz_m, root_m = lift_tracks(lifter, tracks)
        lifted.append(np.stack([xyz_m[span][:known] for span in tracks.spans()]))
        return xyz_m, root_m

    monkeypatch.setattr(evaluate3d, "lift_tracks", remembered)
    engine = open_engine("lifter-tcn", "ort", 1)
    lifter = Lifter(engine)
    known = evaluate3d.BEFORE_DROP - lifter.look_ahead_frames
    tracks, truth = load_stage(pack, seed=3).film(30, "truth", 65 / 30)
    rows = with_frames_dropped(lifter, tracks, truth, "truth")
    assert [r["dropped"] for r in rows] == list(range(1, 11))
    for row in rows:
        assert row["first_1_mm"] != row["first_1_without_gap_mm"]
        assert row["first_10_mm"] < 3 * row["first_10_without_gap_mm"] + 50
    whole, *rest = lifted
    assert (whole.shape[:2], len(rest)) == ((3, known), 10)
    for before in rest:
        np.testing.assert_allclose(before, whole, atol=1e-6)
    engine.close()


def test_what_the_truth_does_not_say_is_a_gap_in_the_tables(pack: Path) -> None:
    tracks, truth = load_stage(pack, seed=3).film(30, "truth", 0.4)
    nose = truth.xyz_m.copy()
    nose[:, 9] = np.nan
    row = {"joints_2d": "detector", "fps": 30, **score(truth.xyz_m, truth.root_m, Truth(nose), tracks)}
    report = {
        "model": {"name": "lifter", "backend": "test"}, "look_ahead_frames": 0, "clips": 3, "seconds": 0.4,
        "by_rate": [row], "by_missing": [{**row, "missing": 0.0}], "by_dropped": [], "step_ms": [],
    }  # fmt: skip
    lines = tables(report).splitlines()
    assert [line.split() for line in lines if line.startswith("nose")] == [["nose", "nan"]]


def test_the_figures_are_kept_before_tables_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = []
    monkeypatch.setattr(eval_lifter, "load_stage", lambda folder, seed: None)
    monkeypatch.setattr(eval_lifter, "evaluate", lambda model, *rest: ({"name": model}, {}))
    with pytest.raises(KeyError):
        eval_lifter.measure_pack(["a"], print, print, kept.append)
    assert kept == [[{"name": "a"}]]


def tell(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipeline.cli", "eval", "lifter", *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110)


def test_the_command_prints_the_tables_and_writes_them(pack: Path, tmp_path: Path) -> None:
    words = ("--data", pack, "--seconds", 0.4, "--json", tmp_path / "r.json", "--plots", tmp_path / "plots", "--quiet")
    told = tell(*words, "--against-batch", "--backend", "ort")
    assert (told.returncode, told.stderr) == (0, "")
    tables = ("60 fps  detector-like", "20%  truth", "frames dropped", "action, truth, 30 fps", "left forearm")
    for text in ("causal, without flip", *tables, "step, 2 threads, 1 people", "streaming minus batch"):
        assert text in told.stdout
    (report,) = json.loads((tmp_path / "r.json").read_text())
    assert {(r["fps"], r["joints_2d"]) for r in report["by_rate"]} == {
        (fps, kind) for fps in (15, 25, 30, 50, 60) for kind in ("truth", "detector-like")
    }
    assert report["streaming_minus_batch"] < 1e-5
    assert set(report["by_rate"][0]["per_action"]) == {"walk", "dance"}
    assert (tmp_path / "plots" / "lifter-tcn.png").stat().st_size > 10_000


def test_a_missing_pack_is_one_line(tmp_path: Path) -> None:
    told = tell("--data", tmp_path)
    hint = "(--data FOLDER or POSESTREAM_DATA says where it is)"
    assert told.returncode == 2
    assert told.stderr == f"posestream: {tmp_path / 'motion.npz'} does not exist {hint}\n"


def test_real_detections_are_a_third_kind(pack: Path) -> None:
    stage = load_stage(pack, seed=3)
    report, shown = evaluate3d.evaluate("lifter-lstm", stage, 0.2, stage.film(30, "truth", 0.4), lambda line: None)
    (row,) = [r for r in report["by_rate"] if r["joints_2d"] == "detector"]
    assert row["fps"] == pytest.approx(30, abs=0.1)
    assert row["rows"] == 36
    assert set(shown) == {"truth", "detector-like", "detector"}
    assert "detector, 30 fps" in tables(report)
