"""Motion, cameras, losses and metrics, on a synthetic stick figure; the real pack where it is."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from engines.measure import metrics3d
from engines.skeletons import H36M17
from tests.train.walker import walkers, walking
from train import losses3d
from train.data.motion.cameras import looking, shoot
from train.data.motion.filmed import make_batch
from train.data.motion.mocap import (
    Motion,
    data_root,
    even_takes,
    load_motion,
    mirrored,
    rebuilt,
    resample,
    sample_takes,
)
from train.loop.provenance import read_provenance
from train.tasks import lifter


@pytest.fixture
def motion() -> Motion:
    return walkers()


def write_pack(folder: Path) -> None:
    xyz_m = np.concatenate([walking(150), walking(90), walking(150)])
    np.savez(
        folder / "motion.npz",
        root_m=xyz_m[:, 0],
        joints_mm10=np.pad(np.rint((xyz_m - xyz_m[:, :1]) * 1e4), ((0, 0), (0, 4), (0, 0))).astype(np.int16),
        clip_start=np.array([0, 150, 240, 390]),
        fps=np.array([60, 24, 60], np.float32),
        split=np.array(["train", "train", "val"]),
        rig=np.array(["asf", "reactidle", "asf"]),
    )


def test_load_weighs_the_standing_clips_down_and_keeps_splits_apart(tmp_path: Path) -> None:
    write_pack(tmp_path)
    train, val = load_motion(tmp_path, "train"), load_motion(tmp_path, "val")
    np.testing.assert_allclose(train.weight, [0.88, 0.12])
    assert len(train.xyz_m) == 240
    assert len(val.xyz_m) == 150
    assert val.weight.sum() == 1
    np.testing.assert_allclose(val.xyz_m, walking(150), atol=2e-4)
    with pytest.raises(ValueError, match="no clip"):
        load_motion(tmp_path, "test")


def test_resample_interpolates_and_turns_back_at_the_end(motion: Motion) -> None:
    at = resample(motion, np.array([0]), np.array([[0.5 / 60, 119 / 60, 120 / 60]]))
    np.testing.assert_allclose(at[0, 0], (motion.xyz_m[0] + motion.xyz_m[1]) / 2, atol=1e-6)
    np.testing.assert_allclose(at[0, 1], motion.xyz_m[119], atol=1e-5)
    np.testing.assert_allclose(at[0, 2], motion.xyz_m[118], atol=1e-5)
    take = even_takes(motion, 10, 30, range(2))
    np.testing.assert_allclose(take.xyz_m[0], motion.xyz_m[0:20:2], atol=1e-5)
    assert take.dt_s[0, 0] == 0
    assert take.dt_s[0, 1] == np.float32(1 / 30)


def test_takes_have_real_times_and_steady_bones(motion: Motion) -> None:
    take = sample_takes(motion, np.random.default_rng(0), 40, 50)
    assert (take.dt_s[:, 0] == 0).all()
    assert (take.dt_s[:, 1:] > 0.005).all()
    assert take.dt_s.max() <= 0.301
    lengths = losses3d.bone_lengths(torch.from_numpy(take.xyz_m))
    fixed = [i for i, (_, joint) in enumerate(H36M17.bones) if joint not in (13, 16)]
    assert float(lengths[..., fixed].std(1).max()) < 1e-3  # the swinging forearm is not rigid here, on either side
    assert float(lengths[:, 0, 1].std()) > 0.01, "bodies differ"


def test_mirror_exchanges_sides_and_rebuilding_scales_one_group() -> None:
    body = walking(3)[None]
    twice = mirrored(mirrored(body))
    np.testing.assert_array_equal(twice, body)
    assert mirrored(body)[0, 1, 16, 1] == body[0, 1, 13, 1], "the swinging arm is now the right one"
    groups = np.ones((1, 8), np.float32)
    np.testing.assert_allclose(rebuilt(body, groups), body, atol=1e-6)
    groups[0, 7] = 2  # forearms
    longer = rebuilt(body, groups)
    forearm, was = (x[..., 13, :] - x[..., 12, :] for x in (longer, body))
    np.testing.assert_allclose(forearm, 2 * was, atol=1e-6)
    np.testing.assert_allclose(longer[..., :12, :], body[..., :12, :], atol=1e-6)


def test_camera_axes_look_ahead_with_y_down() -> None:
    axes = looking(np.array([[[0.0, 2.0, 0.0]]]), np.zeros(1))[0, 0]
    np.testing.assert_allclose(axes, [[1, 0, 0], [0, 0, -1], [0, 1, 0]], atol=1e-9)
    rolled = looking(np.array([[[0.3, 2.0, -0.5]]]), np.array([0.1]))[0, 0]
    np.testing.assert_allclose(rolled @ rolled.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(rolled) > 0.999


def test_shots_keep_the_body_and_do_not_mirror_it(motion: Motion) -> None:
    take = sample_takes(motion, np.random.default_rng(1), 60, 20)
    shot = shoot(take, np.random.default_rng(2))
    lengths = [losses3d.bone_lengths(torch.from_numpy(x)) for x in (take.xyz_m, shot.xyz_m)]
    torch.testing.assert_close(lengths[0], lengths[1], atol=1e-4, rtol=0)
    assert (shot.xyz_m[..., 2] > 0.39).all()
    np.testing.assert_allclose(
        shot.picture, shot.focal[:, None, None, None] * shot.xyz_m[..., :2] / shot.xyz_m[..., 2:], atol=1e-5
    )
    assert (shot.xyz_m[..., 10, 1] < shot.xyz_m[..., 0, 1]).all(), "y points down: the head is above the pelvis"

    def handed(x: np.ndarray) -> np.ndarray:  # > 0 or < 0 by orientation: right x up . face
        right, up, face = x[..., 1, :] - x[..., 4, :], x[..., 8, :] - x[..., 0, :], x[..., 9, :] - x[..., 10, :]
        return np.sign((np.cross(right, up) * face).sum(-1))

    np.testing.assert_array_equal(handed(take.xyz_m), handed(shot.xyz_m))
    wrong = shot.assumed / shot.focal - 1
    assert 0.3 < (wrong == 0).mean() < 0.7
    assert np.abs(wrong).max() <= 0.25
    inside = (np.abs(shot.picture) < shot.half_wh[:, None, None]).all(-1).mean()
    assert inside > 0.6


def test_tripods_stand_level_at_a_distance_and_leave_the_other_cameras_alone(motion: Motion) -> None:
    take = sample_takes(motion, np.random.default_rng(1), 40, 5)
    usual, none, all_ = (shoot(take, np.random.default_rng(2), share) for share in (0, 1e-9, 1))
    np.testing.assert_array_equal(usual.xyz_m, none.xyz_m)

    def roll_deg(xyz_m: np.ndarray) -> np.ndarray:
        out = []
        for world, seen in zip(take.xyz_m[:, 0], xyz_m[:, 0], strict=True):
            turn = np.linalg.lstsq(world - world[0], seen - seen[0], rcond=None)[0]  # seen = world @ turn
            out.append(np.degrees(np.arctan2(turn[2, 0], -turn[2, 1])))  # the world's up in the picture
        return np.abs(out)

    assert roll_deg(all_.xyz_m).max() < 3 < np.median(roll_deg(usual.xyz_m))
    assert 2 < all_.xyz_m[:, :, 0, 2].min() < all_.xyz_m[:, :, 0, 2].max() < 9
    assert (np.abs(all_.picture) < all_.half_wh[:, None, None]).all(-1).mean() > 0.95


def test_batch_is_consistent(motion: Motion) -> None:
    take = sample_takes(motion, np.random.default_rng(4), 30, 20)
    batch = make_batch(take, np.random.default_rng(5), clean_share=1.0)
    xyz = batch["pose_m"] + batch["root_m"][:, :, None]
    ratio = batch["xy"] / (xyz[..., :2] / xyz[..., 2:])  # the focal error, one number per sequence
    assert np.nanstd(ratio, axis=(1, 2, 3)).max() < 0.02
    assert (batch["score"] == 1).all()
    assert (batch["pose_m"][..., 0, :] == 0).all()


def test_metrics_and_losses_know_their_zero_and_their_unit() -> None:
    rng = np.random.default_rng(0)
    truth = walking(20)[None] - walking(20)[None, :, :1]
    off = truth + np.array([0.03, 0, 0.04])
    assert metrics3d.mpjpe_mm(off, truth) == pytest.approx(50, rel=1e-4)
    assert metrics3d.mpjve_mm_per_frame(off, truth) == pytest.approx(0, abs=1e-3)
    angle = rng.uniform(0, 1)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    assert metrics3d.p_mpjpe_mm(1.3 * truth @ turn + 0.2, truth) == pytest.approx(0, abs=1e-3)
    assert metrics3d.p_mpjpe_mm(truth * [-1, 1, 1], truth) > 10, "a mirror image is no match"
    a, b = torch.from_numpy(truth).float(), torch.from_numpy(off).float()
    for loss in (losses3d.position_loss, losses3d.bone_loss):
        assert float(loss(a, a)) < 2e-2
    shaking = a + torch.arange(20).remainder(2).mul(0.01)[None, :, None, None] * torch.tensor([0, 0, 1.0])
    for fps, loss_m in ((30, 0.01), (60, 0.02)):
        found = losses3d.velocity_loss(shaking, a, torch.full((1, 20), 1 / fps))
        assert float(found) == pytest.approx(loss_m, rel=1e-2)
        found = losses3d.acceleration_loss(shaking, a, torch.full((1, 20), 1 / fps))
        assert float(found) == pytest.approx(2 * loss_m * fps / 30, rel=1e-2)
    drifting = a + torch.arange(20)[None, :, None, None] * 0.01
    assert float(losses3d.acceleration_loss(drifting, a, torch.full((1, 20), 1 / 30))) < 1e-4
    assert float(losses3d.position_loss(b, a)) == pytest.approx(0.05, rel=1e-2)
    root = torch.tensor([[[0.0, 0.0, 4.0]]])
    assert float(losses3d.root_loss(root * 1.1, root, torch.ones(1, 1))) == pytest.approx(0.1, rel=1e-2)


def test_recipe_trains_resumes_and_exports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pack(tmp_path)
    monkeypatch.setattr(lifter, "MODELS", {"tcn": partial(lifter.CausalTcn, width=24)})
    monkeypatch.setattr(lifter, "LENGTHS", (2, 4, 8, 12, 16))
    common = ["--model", "tcn", "--data", str(tmp_path), "--out", str(tmp_path / "run"), "--frames", "64"]
    assert lifter.main([*common, "--steps", "20", "--eval-every", "10"]) == 0
    assert lifter.main([*common, "--steps", "30", "--eval-every", "10", "--export", str(tmp_path / "x.onnx")]) == 0
    rows = (tmp_path / "run" / "val.csv").read_text().splitlines()
    assert [r.split(",")[0] for r in rows] == ["step", "10", "20", "30"]
    scores = [float(r.split(",")[-1]) for r in rows[1:]]
    assert scores[-1] < scores[0], "it learns"
    origin = read_provenance(tmp_path / "run")
    assert "--steps 20 " in origin["recipe"], "resuming does not change where a model comes from"
    assert [set(entry) for entry in origin["resumed"]] == [{"at_step", "recipe"}]
    assert "--steps 30 " in origin["resumed"][0]["recipe"]
    again = lifter.CausalTcn(width=24)
    lifter.begin_from(again, tmp_path / "x.onnx")
    trained = torch.load(tmp_path / "run" / "best.pt", weights_only=True)["model"]
    torch.testing.assert_close(again.taps[2].linear.weight, trained["taps.2.linear.weight"])


@pytest.mark.skipif(not (data_root() / "mocap" / "motion.npz").exists(), reason="the motion pack is not here")
def test_real_pack_is_as_described() -> None:
    train, val = (load_motion(data_root() / "mocap", split) for split in ("train", "val"))
    assert len(train.fps) == 248
    assert len(val.fps) == 57
    thigh = losses3d.bone_lengths(torch.from_numpy(train.xyz_m[::100]))[:, 1]
    assert 0.38 < float(thigh.mean()) < 0.44
