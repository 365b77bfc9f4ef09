"""Motion, cameras, imitated detections, losses and metrics, on a synthetic stick figure; the real pack where it is."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from engines import metrics3d
from engines.skeletons import H36M17
from train import losses3d
from train.data import lost2d, noise2d
from train.data.cameras import looking, shoot
from train.data.filmed import make_batch
from train.data.mocap import Motion, data_root, even_takes, load_motion, mirrored, rebuilt, resample, sample_takes
from train.data.noise2d import biased, detector_like
from train.tasks import lifter

WRIST = H36M17.index("left_wrist")
STANDING = np.array(
    [
        [0, 0, 0.95], [0.1, 0, 0.95], [0.1, 0, 0.5], [0.1, 0, 0.08], [-0.1, 0, 0.95], [-0.1, 0, 0.5], [-0.1, 0, 0.08],
        [0, 0, 1.2], [0, 0, 1.48], [0, 0.07, 1.58], [0, 0, 1.67],
        [-0.18, 0, 1.45], [-0.18, 0, 1.15], [-0.18, 0.05, 0.88], [0.18, 0, 1.45], [0.18, 0, 1.15], [0.18, 0.05, 0.88],
    ],
    np.float32,
)  # fmt: skip


def walking(frames: int) -> np.ndarray:
    """A figure (frames, 17, 3) that walks along y and swings its left arm."""
    xyz_m = np.repeat(STANDING[None], frames, 0)
    t = np.arange(frames, dtype=np.float32)
    xyz_m[..., 1] += t[:, None] * 0.02
    xyz_m[:, 13, 1] += 0.2 * np.sin(t / 8)
    return xyz_m


@pytest.fixture
def motion() -> Motion:
    return Motion(
        np.concatenate([walking(120), walking(60)]),
        np.array([0, 120, 180]),
        np.array([60, 24], np.float32),
        np.array([0.9, 0.1]),
    )


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


def detected(motion: Motion, people: int, length: int, level: tuple[float, float] | None = None) -> tuple:
    """Errors (B, T, 17, 2) in statures, scores, who is out of the picture, and the detections, of a random batch."""
    rng = np.random.default_rng(3)
    take = sample_takes(motion, rng, people, length)
    shot = shoot(take, rng)
    size = shot.focal[:, None] * take.stature_m[:, None] / shot.xyz_m[:, :, 0, 2]
    seen = biased(shot.xyz_m, rng) if level is None else shot.xyz_m
    seen = shot.focal[:, None, None, None] * seen[..., :2] / seen[..., 2:]
    xy, score = detector_like(seen, size, take.dt_s, shot.half_wh, rng, level)
    outside = (np.abs(shot.picture) > shot.half_wh[:, None, None]).any(-1)
    return (xy - shot.picture) / size[..., None, None], score, outside, xy


def test_detections_err_as_measured_and_scores_tell(motion: Motion) -> None:
    error, score, outside, xy = detected(motion, 1500, 2)
    assert np.isfinite(xy).all()
    assert score.min() == 0
    assert score.max() <= 1
    far, seen = np.linalg.norm(error, axis=-1), (score > 0) & ~outside
    assert np.quantile(far[seen], 0.5) == pytest.approx(0.02, rel=0.2)
    assert np.quantile(far[seen], 0.75) == pytest.approx(0.036, rel=0.2)
    assert np.quantile(far[seen], 0.95) == pytest.approx(0.17, rel=0.25)
    assert np.quantile(score[seen], 0.5) == pytest.approx(0.9, abs=0.06)
    for low, high, hit, middle in ((0.3, 0.5, 0.53, 0.06), (0.7, 0.85, 0.85, 0.025), (0.95, 1, 0.98, 0.015)):
        rows = seen & (score >= low) & (score < high)  # right: within 0.2 torso lengths
        assert (far[rows] < 0.067).mean() == pytest.approx(hit, abs=0.08), f"score {low}..{high}"
        assert np.median(far[rows]) == pytest.approx(middle, rel=0.25), f"score {low}..{high}"
    assert np.median(score[..., WRIST][seen[..., WRIST]]) < np.median(score[..., 8][seen[..., 8]]) - 0.03
    silent = (score == 0).mean((1, 2)) > 0
    assert 0.2 < silent.mean() < 0.6, "some detectors say nothing of what they do not see, most guess"
    assert score[outside & (score > 0)].max() > 0.3
    assert np.median(score[outside & (score > 0)]) == pytest.approx(0.1, abs=0.05)


def test_errors_last_and_follow_the_motion(motion: Motion) -> None:
    error, score, outside, _ = detected(motion, 300, 60)
    fine = (score > 0.5) & ~outside & (np.linalg.norm(error, axis=-1) < 0.08)
    kept = []
    for lag in (1, 5, 30):
        rows = fine[:, lag:] & fine[:, :-lag]
        before, after = error[:, :-lag][rows], error[:, lag:][rows]
        kept.append(float((before * after).sum() / (before**2 + after**2).sum() * 2))
    assert kept[0] == pytest.approx(0.94, abs=0.03), "hardly anything is new from frame to frame"
    assert kept[0] > kept[1] + 0.02
    assert kept[1] > kept[2] + 0.1
    step = np.linalg.norm(error[:, 1:] - error[:, :-1], axis=-1)
    both = fine[:, 1:] & fine[:, :-1]
    swinging = np.median(step[..., [13, 16]][both[..., [13, 16]]])
    assert swinging > 1.1 * np.median(step[..., [12, 15]][both[..., [12, 15]]]), "a moving joint's error changes more"


def test_drifting_noise_is_the_recursion() -> None:
    stay = np.random.default_rng(0).uniform(0.5, 1, (3, 37, 17)).astype(np.float32)
    fast = noise2d._drifting(np.random.default_rng(5), stay, 2)
    new = np.random.default_rng(5).standard_normal((3, 37, 17, 2), np.float32)
    slow = new[:, 0]
    for t in range(1, 37):
        slow = stay[:, t, :, None] * slow + np.sqrt(1 - stay[:, t, :, None] ** 2) * new[:, t]
        np.testing.assert_allclose(fast[:, t], slow, atol=1e-5)


def test_spans_cover_their_share_and_last() -> None:
    on = lost2d.spans(np.random.default_rng(1), (400, 300, 2), np.array([0.1, 0.3]), np.array([4.0, 20.0]))
    np.testing.assert_allclose(on.mean((0, 1)), [0.1, 0.3], rtol=0.12)
    begins = (on[:, 1:] & ~on[:, :-1]).sum((0, 1))
    np.testing.assert_allclose(on[:, 1:].sum((0, 1)) / begins, [4, 20], rtol=0.15)
    assert not lost2d.spans(np.random.default_rng(1), (5, 50), np.zeros(5), 3.0).any()


def test_level_sets_the_error(motion: Motion) -> None:
    middles = []
    for level in ((0.002, 0.003), (0.03, 0.04)):
        error, score, outside, _ = detected(motion, 200, 2, level)
        middles.append(np.median(np.linalg.norm(error, axis=-1)[(score > 0) & ~outside]))
    assert middles[0] < 0.007
    assert middles[1] > 0.03


def test_swaps_exchange_whole_sides(motion: Motion, monkeypatch: pytest.MonkeyPatch) -> None:
    truth = np.random.default_rng(0).normal(0, 1, (40, 30, 17, 2)).astype(np.float32)
    xy = truth.copy()
    monkeypatch.setattr(noise2d, "FITTED", dataclasses.replace(noise2d.FITTED, swaps=(0.0, 0.15)))
    noise2d._swap_sides(xy, np.random.default_rng(1))
    moved = (xy != truth).any(-1)
    arms = [11, 12, 13, 14, 15, 16]
    assert 0.05 < moved[..., arms].mean() < 0.25
    np.testing.assert_array_equal(moved[..., arms].any(-1), moved[..., arms].all(-1))
    assert not np.delete(moved, arms, 2).any()
    rows = moved[..., 11]
    np.testing.assert_array_equal(
        xy[rows], np.where(moved[rows][..., None], truth[rows][:, H36M17.mirror, :], truth[rows])
    )


def test_bias_is_fixed_in_the_body_and_the_nose_is_ahead() -> None:
    body = np.repeat(walking(3)[None], 400, 0)
    offset = biased(body, np.random.default_rng(0)) - body
    np.testing.assert_allclose(offset, np.repeat(offset[:, :1], 3, 1), atol=1e-5)
    assert 0.005 < offset.std(0).mean() < 0.03
    face = body[..., 9, :] - (body[..., 8, :] + body[..., 10, :]) / 2
    assert (offset[..., 9, :] * face).sum(-1).mean() > 0.02 * np.linalg.norm(face, axis=-1).mean()
    turned = body[..., [1, 0, 2]] * np.array([-1, 1, 1], np.float32)  # a quarter turn about the vertical
    again = biased(turned, np.random.default_rng(0)) - turned
    np.testing.assert_allclose(again, offset[..., [1, 0, 2]] * np.array([-1, 1, 1], np.float32), atol=1e-5)


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
