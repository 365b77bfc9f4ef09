"""Back-projection: losses by hand, halves that keep apart, and training that follows the unlabelled joints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from train.data.motion.rigs import room_rig
from train.data.motion.room import RoomClip, seen
from train.loop.epochs import EpochConfig
from train.losses3d import bone_lengths
from train.methods.footage import Footage, footage, windows
from train.methods.projection import project
from train.methods.semi import (
    SemiConfig,
    backprojection_loss,
    bone_term,
    labelled_frames,
    semi_epoch,
    semi_losses,
    trajectory_loss,
    two_networks,
)
from train.models.videopose import VideoPose
from train.tasks import semi as task

RIG = room_rig()[:2]


def clip(subject: str, frames: int, seed: int) -> RoomClip:
    rng = np.random.default_rng(seed)
    body = rng.normal([0, 0, 1], 0.35, (1, 17, 3))
    sway = 0.3 * np.sin(np.arange(frames) / 6)[:, None, None] * rng.normal(0, 0.5, (1, 17, 3))
    world_m = (body + sway).astype(np.float32)
    return RoomClip(f"{subject}/{seed}", subject, "sway", 30.0, world_m, tuple(seen(c, world_m) for c in RIG))


@pytest.fixture(scope="module")
def shots() -> Footage:
    return footage([clip("a", 40, 0), clip("a", 20, 1), clip("b", 60, 2), clip("c", 80, 3)])


def test_footage_holds_what_the_cameras_saw(shots: Footage) -> None:
    assert shots.screen.shape == (2, 200, 17, 2)
    torch.testing.assert_close(project(shots.xyz_m, shots.lens[:, None, None]), shots.screen, atol=1e-5, rtol=0)
    assert list(np.unique(shots.begin)) == [0, 40, 60, 120]
    assert shots.subject[39] == "a" and shots.subject[60] == "b"  # noqa: PT018
    assert len(footage([clip("a", 40, 0)], every=3).begin) == 14
    with pytest.raises(ValueError, match="different rigs"):
        footage([clip("a", 40, 0), RoomClip("x", "x", "", 30.0, np.zeros((1, 17, 3)), ())])


def test_windows_repeat_the_edge_frames_of_their_own_clip(shots: Footage) -> None:
    view, frame = np.array([0, 1, 1]), np.array([41, 39, 100])
    cut = windows(shots, view, frame, before=3, after=2)
    assert cut.shape == (3, 6, 17, 2)
    torch.testing.assert_close(cut[0], shots.screen[0, [40, 40, 40, 41, 42, 43]])
    torch.testing.assert_close(cut[1], shots.screen[1, [36, 37, 38, 39, 39, 39]])
    torch.testing.assert_close(cut[2], shots.screen[1, 97:103])


def test_backprojection_is_nothing_at_the_truth_and_the_distance_on_the_screen_elsewhere(shots: Footage) -> None:
    xyz_m = shots.xyz_m[0, :8].unsqueeze(1)
    root = xyz_m[:, :, :1]
    screen, score = shots.screen[0, :8].unsqueeze(1), torch.ones(8, 1, 17)
    lens = shots.lens[:1].expand(8, -1)
    assert backprojection_loss(xyz_m - root, root, lens, screen, score) < 2e-5
    off = screen + torch.tensor([0.03, 0.04])
    torch.testing.assert_close(
        backprojection_loss(xyz_m - root, root, lens, off, score), torch.tensor(0.05), atol=1e-5, rtol=0
    )
    half = score.clone()
    half[..., :8] = 0  # joints without a score do not count
    wrong = torch.where(half.unsqueeze(-1) > 0, off, off + 100)
    torch.testing.assert_close(
        backprojection_loss(xyz_m - root, root, lens, wrong, half), torch.tensor(0.05), atol=1e-5, rtol=0
    )


def test_bone_term_compares_mean_lengths_only(shots: Footage) -> None:
    pose = shots.xyz_m[0, :10].unsqueeze(1)
    turned = pose.flip(0)[..., [2, 0, 1]]
    assert bone_term(pose, turned) < 1e-6
    longer = bone_lengths(pose).mean((0, 1))
    torch.testing.assert_close(bone_term(pose, pose * 1.1), 0.1 * longer.mean(), atol=1e-5, rtol=0)
    torch.testing.assert_close(bone_term(pose, pose * 1.1, "l2"), (0.01 * longer**2).mean(), atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match="l3"):
        SemiConfig(bones="l3")


def test_trajectory_error_counts_less_far_away() -> None:
    truth = torch.tensor([[[0.0, 0.0, 2.0]], [[0.0, 0.0, 8.0]]])
    off = truth + torch.tensor([0.4, 0.0, 0.0])
    torch.testing.assert_close(trajectory_loss(off, truth), torch.tensor((0.2 + 0.05) / 2), atol=1e-5, rtol=0)


@pytest.mark.parametrize("share", [0.05, 0.1, 0.5])
def test_labels_go_subject_by_subject(shots: Footage, share: float) -> None:
    for seed in range(4):
        labelled = labelled_frames(shots, share, seed)
        assert share * 200 <= labelled.sum() <= share * 200 + 3  # each clip of the last subject rounds up
        parts = [labelled[shots.subject == s].mean() for s in "abc"]
        assert sum(0 < p < 1 for p in parts) <= 1
    assert len({tuple(labelled_frames(shots, share, s)) for s in range(8)}) > 1


def test_an_epoch_keeps_its_halves_apart_and_begins_without_the_unlabelled(shots: Footage) -> None:
    labelled = labelled_frames(shots, 0.3, 0)
    network = VideoPose((3, 3), causal=True, channels=8)
    config = SemiConfig(warmup=2, batches=3, half=16, mirror=False)
    assert all("free_xy" not in b for b in semi_epoch(shots, labelled, network, config, 0, 1))
    own = {tuple(s) for s in shots.screen[:, labelled].reshape(-1, 34).numpy().round(5)}
    for batch in semi_epoch(shots, labelled, network, config, 0, 2):
        last = {tuple(s) for s in batch["xy"][:, -1].reshape(-1, 34).numpy().round(5)}
        free = {tuple(s) for s in batch["free_target"].reshape(-1, 34).numpy().round(5)}
        assert last <= own and not free & own  # noqa: PT018
        torch.testing.assert_close(batch["free_target"], batch["free_xy"][:, -1:])
    plain = SemiConfig(projection=False, bones="none", warmup=0, batches=1, half=4)
    assert "free_xy" not in next(semi_epoch(shots, labelled, network, plain, 0, 5))
    with pytest.raises(ValueError, match="0 unlabelled"):
        next(semi_epoch(shots, np.ones(200, np.bool_), network, config, 0, 0))


def test_mirrored_halves_still_fit_their_lenses(shots: Footage) -> None:
    labelled = labelled_frames(shots, 0.5, 0)
    network = VideoPose((3, 3), causal=False, channels=8)
    batch = next(semi_epoch(shots, labelled, network, SemiConfig(warmup=0, half=64), 0, 0))
    middle = batch["xy"].shape[1] // 2
    world = batch["pose_m"] + batch["root_m"].unsqueeze(2)
    screens = project(world[:, 0], shots.lens[0])  # whose lens it is, the labelled half does not say
    assert ((screens - batch["xy"][:, middle]).abs().amax((1, 2)) < 0.05).all()
    # unlabelled: the true pose is not in the batch, so look at the lens alone
    seen_mirrored = (batch["free_lens"][:, 2:3] - shots.lens[:, 2]).abs().amin(1) > 1e-6
    assert 10 < seen_mirrored.sum() < 54


def test_both_networks_learn_from_the_unlabelled_half(shots: Footage) -> None:
    torch.manual_seed(0)
    networks = two_networks((3, 3), False, 16, dropout=0.0)
    labelled = labelled_frames(shots, 0.3, 0)
    config = SemiConfig(warmup=0, batches=1, half=16)
    batch = next(semi_epoch(shots, labelled, networks["pose"], config, 0, 0))
    batch["free_target"] = batch["free_target"] + 0.01
    losses = semi_losses(config, networks, batch)
    assert set(losses) == {"position", "trajectory", "projection", "bones"}
    for name, moved in (("projection", ("pose", "trajectory")), ("bones", ("pose",))):
        networks.zero_grad()
        losses[name].backward(retain_graph=True)
        for network in ("pose", "trajectory"):
            grad = networks[network].head.weight.grad
            assert (grad is not None and grad.abs().max() > 0) == (network in moved)


def test_unlabelled_joints_pull_the_projection_to_them(shots: Footage) -> None:
    labelled = labelled_frames(shots, 0.3, 1)

    def projection_error(config: SemiConfig) -> float:
        torch.manual_seed(0)
        networks = two_networks((3, 3), False, 32, dropout=0.0)
        fit = EpochConfig(None, epochs=6, lr=4e-3, lr_decay=0.7)
        task.train_semi(fit, networks, shots, labelled, config)
        probe = SemiConfig(warmup=0, batches=1, half=256, mirror=False)
        with torch.no_grad():
            batch = next(semi_epoch(shots, labelled, networks["pose"], probe, 9, 0))
            return float(semi_losses(probe, networks, batch)["projection"])

    with_it = projection_error(SemiConfig(warmup=1, batches=15, half=24))
    without = projection_error(SemiConfig(projection=False, bones="none", batches=15, half=24))
    assert with_it < 0.8 * without


def test_the_recipe_trains_resumes_and_measures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    xyz_m = np.concatenate([c.world_m for c in (clip("a", 40, 0), clip("b", 40, 1), clip("c", 30, 2))])
    xyz_m += rng.normal(0, 0.01, xyz_m.shape)
    np.savez(
        tmp_path / "motion.npz",
        root_m=xyz_m[:, 0].astype(np.float32),
        joints_mm10=np.pad(np.rint((xyz_m - xyz_m[:, :1]) * 1e4), ((0, 0), (0, 4), (0, 0))).astype(np.int16),
        clip_start=np.array([0, 40, 80, 110]),
        clip_name=np.array(["a", "b", "c"]),
        subject=np.array(["a", "b", "c"]),
        action=np.array(["x", "x", "x"]),
        fps=np.full(3, 30, np.float32),
        split=np.array(["train", "train", "val"]),
        rig=np.array(["asf"] * 3),
    )
    argv = ["--data", str(tmp_path), "--out", str(tmp_path / "run"), "--labels", "0.3", "--channels", "8"]
    argv += ["--batches", "2", "--half", "8", "--warmup", "1"]
    assert task.main([*argv, "--epochs", "2"]) == 0
    assert "24 of 80 frames have labels" in capsys.readouterr().out
    assert task.main([*argv, "--epochs", "3"]) == 0
    said = capsys.readouterr().out
    assert "resumed" in said and "epoch 3/3" in said and "epoch 2/3" not in said  # noqa: PT018
    assert "mpjpe_mm" in said
    assert (tmp_path / "run" / "log.csv").read_text().count("\n") >= 4
