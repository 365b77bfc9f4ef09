"""The thesis' chapter 3: every equation against numbers worked out by hand, and what the losses teach."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from train.data.motion.rigs import Camera, room_rig
from train.data.motion.room import RoomClip, seen
from train.methods.footage import Footage, footage
from train.methods.geometry import (
    Side,
    TwoBranch,
    change_of_view,
    pretrain_loss,
    reprojection_loss,
    rho,
    tau,
    transform_reprojection_loss,
)
from train.methods.two_views import estimated_standing, known_standing, pair_batches, sides, standing_error
from train.tasks import geometry as task

RIG = room_rig()


def clip(rig: tuple[Camera, ...], frames: int = 160, seed: int = 0, subject: str = "a") -> RoomClip:
    """Somebody who turns round and waves, four seconds at a time."""
    rng = np.random.default_rng(seed)
    body = rng.normal(0, [0.25, 0.25, 0.45], (1, 17, 3))
    wave = 0.2 * np.sin(np.arange(frames)[:, None, None] / 7 + rng.uniform(0, 6, (1, 17, 3)))
    body = body + wave - (body + wave)[:, :1]
    angle = rng.uniform(0, 2 * np.pi, frames)
    turn = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], -1).reshape(-1, 2, 2)
    body[..., :2] = np.einsum("tij,tkj->tki", turn, body[..., :2])
    body += rng.uniform([-0.8, -0.8, 0.9], [0.8, 0.8, 1.1], (frames, 1, 3))
    world_m = body.astype(np.float32)
    return RoomClip("a", subject, "wave", 30.0, world_m, tuple(seen(c, world_m) for c in rig))


@pytest.fixture(scope="module")
def shots() -> Footage:
    return footage([clip(RIG)])


def hand_made() -> tuple[Tensor, Tensor, Side, Side]:
    """One joint set seen by two cameras of unit focal length, the second 4 m to the right, turned 90 degrees left."""
    lens = torch.tensor([[1.0, 1, 0, 0, 0, 0, 0, 0, 0]])
    rotation = torch.tensor([[[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]]])  # camera 2 looks along -x of camera 1
    position = torch.tensor([[4.0, 0, 4]])
    one = torch.tensor([0.5, -1.0, 4.0]).expand(1, 17, 3)
    two = torch.tensor([0.0, -1.0, 3.5]).expand(1, 17, 3)
    score = torch.ones(1, 17)
    first = Side(one[..., :2] / 4.0, score, lens, rotation, position)
    back = -(rotation @ position.unsqueeze(-1)).squeeze(-1)
    second = Side(two[..., :2] / 3.5, score, lens, rotation.transpose(1, 2), back)
    return one, two, first, second


def test_tau_and_rho_are_equations_3_3_and_3_1() -> None:
    one, two, first, second = hand_made()
    torch.testing.assert_close(tau(one, first), two)
    torch.testing.assert_close(tau(two, second), one)
    torch.testing.assert_close(rho(one, first)[0, 0], torch.tensor([0.125, -0.25]))
    lens = torch.tensor([[2.0, 3, 0.1, 0.2, 0, 0, 0, 0, 0]])
    torch.testing.assert_close(rho(one, replace(first, lens=lens))[0, 0], torch.tensor([0.35, -0.55]))


def test_change_of_view_is_equation_3_4_for_every_pair_of_the_room() -> None:
    world = torch.randn(5, 3, dtype=torch.double)
    standing = known_standing(RIG)
    for a, first in enumerate(RIG):
        for b, second in enumerate(RIG):
            if a != b:
                here = torch.from_numpy(first.to_camera(world.numpy())).float()
                there = (here - standing.position_m[a, b]) @ standing.rotation[a, b].T
                np.testing.assert_allclose(there, second.to_camera(world.numpy()), atol=1e-5)
    turn = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    rotation, position = change_of_view(turn, torch.tensor([1.0, 0, 0]), torch.eye(3), torch.tensor([1.0, 2, 0]))
    torch.testing.assert_close(rotation, turn.T)
    torch.testing.assert_close(position, torch.tensor([-2.0, 0, 0]))


def test_losses_are_nothing_at_the_truth_and_the_numbers_of_the_equations_elsewhere() -> None:
    one, two, first, second = hand_made()
    for loss in (reprojection_loss, transform_reprojection_loss, pretrain_loss):
        assert loss(one, two, first, second) < 1e-10
    near = one * torch.tensor([1.0, 1.0, 0.5])  # half the depth: 1 m left of where camera 2 expects... seen 2 m aside
    # 3.2: view 1 sees (0.25, -0.5) instead of (0.125, -0.25)
    each = 0.125**2 + 0.25**2
    torch.testing.assert_close(reprojection_loss(near, two, first, second), torch.tensor(17 * each))
    # 3.5: from camera 2 the point lies at (-2, -1, 3.5) instead of (0, -1, 3.5)
    torch.testing.assert_close(transform_reprojection_loss(near, two, first, second), torch.tensor(17 * (2 / 3.5) ** 2))
    # 3.6: 2 m apart, seen from either camera
    torch.testing.assert_close(pretrain_loss(near, two, first, second), torch.tensor(17 * 2 * 4.0))


def test_confidences_weigh_the_view_that_the_pose_came_from_or_both() -> None:
    one, two, first, second = hand_made()
    near = one * torch.tensor([1.0, 1.0, 0.5])
    doubt = replace(first, score=torch.full((1, 17), 0.25))
    whole = 17 * (2 / 3.5) ** 2
    torch.testing.assert_close(transform_reprojection_loss(near, two, doubt, second), torch.tensor(0.25 * whole))
    other = replace(second, score=torch.full((1, 17), 0.5))
    torch.testing.assert_close(transform_reprojection_loss(near, two, doubt, other), torch.tensor(0.25 * whole))
    both = transform_reprojection_loss(near, two, doubt, other, target_scores=True)
    torch.testing.assert_close(both, torch.tensor(0.125 * whole))
    lost = second.score.clone()
    lost[:, 3:] = 0  # what was not seen is no target, whatever its coordinates say
    blind = replace(second, score=lost, screen=torch.where(lost.unsqueeze(-1) > 0, second.screen, torch.nan))
    torch.testing.assert_close(transform_reprojection_loss(near, two, first, blind), torch.tensor(3 * (2 / 3.5) ** 2))


def test_each_loss_moves_the_branches_it_should(shots: Footage) -> None:
    torch.manual_seed(0)
    model = TwoBranch(width=16, blocks=1, dropout=0)
    assert torch.equal(model(shots.screen[0])[:, 0], torch.zeros(160, 3))
    assert model(shots.screen[0]).shape == (160, 17, 3)
    first, second = sides(next(pair_batches(shots, known_standing(RIG), 32, 0)))
    for loss in (reprojection_loss, transform_reprojection_loss, pretrain_loss):
        model.zero_grad()
        loss(*model.both(first, second), first, second).backward()
        for branch in (model.lifting, model.root):
            assert branch.first[0].weight.grad.abs().max() > 0
            assert torch.isfinite(branch.last.weight.grad).all()


def test_pairs_are_two_views_of_one_moment(shots: Footage) -> None:
    standing = known_standing(RIG)
    first, second = sides(next(pair_batches(shots, standing, 64, 1)))
    assert ((first.lens - second.lens).abs().amax(1) > 0).all()
    row = {tuple(s.flatten().tolist()): (v, n) for v, view in enumerate(shots.screen) for n, s in enumerate(view)}
    for i in range(64):
        (a, n), (b, m) = (row[tuple(side.screen[i].flatten().tolist())] for side in (first, second))
        assert n == m
        assert torch.equal(first.lens[i], shots.lens[a])
        assert torch.equal(second.lens[i], shots.lens[b])
        torch.testing.assert_close(
            tau(shots.xyz_m[a, n][None], _only(first, i))[0], shots.xyz_m[b, n], atol=1e-5, rtol=0
        )
        torch.testing.assert_close(
            tau(shots.xyz_m[b, n][None], _only(second, i))[0], shots.xyz_m[a, n], atol=1e-5, rtol=0
        )
    doubtful = replace(shots, score=torch.full_like(shots.score, 0.4))
    assert sides(next(pair_batches(doubtful, standing, 4, 0)))[0].score.max() < 0.5
    assert sides(next(pair_batches(doubtful, standing, 4, 0, scores=False)))[0].score.min() == 1
    with pytest.raises(ValueError, match="two cameras"):
        next(pair_batches(shots.views([0]), known_standing(RIG[:1]), 4, 0))


def _only(side: Side, row: int) -> Side:
    return Side(*(getattr(side, name)[row : row + 1] for name in Side.__dataclass_fields__))


def test_extrinsics_from_the_joints_serve_as_well_as_known_ones(shots: Footage) -> None:
    noisy = replace(
        shots, screen=shots.screen + 0.002 * torch.randn(shots.screen.shape, generator=torch.manual_seed(0))
    )
    found, known = estimated_standing(noisy), known_standing(RIG)
    angle, off_m = standing_error(found, known)
    assert 0.001 < angle < 0.8
    assert 0 < off_m < 0.08
    assert max(standing_error(known, known)) < 1e-4
    for a in range(4):
        for b in range(4):
            torch.testing.assert_close(found.rotation[a, b], found.rotation[b, a].T)


def test_two_views_teach_what_one_cannot(shots: Footage, tmp_path: Path) -> None:
    """The other view gives the depth, one's own does not."""
    errors = {}
    for name, weight in (("alone", 0.0), ("transform", 1.0)):
        torch.manual_seed(0)
        config = task.GeometryConfig(tmp_path / name, 120, 100, 32, lr=3e-3, transform_weight=weight)
        model = task.train_geometry(config, TwoBranch(48, 1, 0), shots, known_standing(RIG))
        errors[name] = task.scores(model, shots)["mpjpe_mm"]
    assert errors["transform"] < 0.5 * errors["alone"]


def test_the_recipe_resumes_in_either_stage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    xyz_m = np.concatenate([clip(RIG, 60, s).world_m for s in range(2)])
    np.savez(
        tmp_path / "motion.npz",
        root_m=xyz_m[:, 0],
        joints_mm10=np.pad(np.rint((xyz_m - xyz_m[:, :1]) * 1e4), ((0, 0), (0, 4), (0, 0))).astype(np.int16),
        clip_start=np.array([0, 60, 120]),
        clip_name=np.array(["a", "b"]),
        subject=np.array(["a", "b"]),
        action=np.array(["x", "x"]),
        fps=np.full(2, 10, np.float32),
        split=np.array(["train", "val"]),
        rig=np.array(["asf"] * 2),
    )
    argv = ["--data", str(tmp_path), "--out", str(tmp_path / "run"), "--width", "8", "--blocks", "1", "--pairs", "4"]
    argv += ["--views", "5", "--extrinsics", "estimated", "--pretrain-steps", "5"]
    assert task.main([*argv, "--steps", "4"]) == 0
    assert "estimated extrinsics: 0.0" in capsys.readouterr().out
    assert task.main([*argv, "--steps", "6"]) == 0
    said = capsys.readouterr().out
    assert "pretrain at step 5" in said and "main at step 4" in said and "step 6/6" in said  # noqa: PT018
    assert (tmp_path / "run" / "main" / "val.csv").exists()
    with pytest.raises(ValueError, match="two views"):
        task.main([*argv, "--views", "1"])
