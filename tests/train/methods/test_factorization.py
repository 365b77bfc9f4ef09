"""Consistent factorization: the losses on perfect and spoilt networks, the pairs, the start, the recipe."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from engines.skeletons import H36M17
from train.loop.config import parse
from train.methods.dictionary import FreeShapes
from train.methods.factorization import (
    FactorizationConfig,
    FactorizationNet,
    consistency_loss,
    factorization_losses,
    halves,
    pair_batches,
    turned_view,
)
from train.methods.footage import Footage
from train.methods.orthographic import Factors, normalised_pose, rotation_matrix
from train.methods.viewpoint import (
    body_directions,
    canonical_frame,
    faces_forward,
    full_lengths,
    mirrored_depth,
    viewpoint_loss,
)
from train.tasks.factorization import Recipe, learn_dictionary, learn_factorization, main, parser, recipe_of, scorer

TINY = Recipe(
    levels=(12, 4), hidden=8, dictionary_steps=4, width=16, blocks=1, dropout=0.0, steps=5, batch=8, start=0.5
)


class Oracle(nn.Module):
    """A perfect network for the poses it was made with: finds each one by its 2D joints."""

    def __init__(self, canonical: Tensor, rotation: Tensor) -> None:
        super().__init__()
        self.known = Factors(canonical, rotation, torch.zeros(len(canonical), 1))

    def forward(self, xy: Tensor) -> Factors:
        row = torch.cdist(xy.flatten(1), self.known.projection.flatten(1)).argmin(1)
        return Factors(self.known.canonical[row], self.known.rotation[row], self.known.code[row])


def test_consistency_loss_is_zero_for_a_perfect_network_and_only_for_it() -> None:
    canonical, rotation = _people(6)
    twice = canonical.repeat(2, 1, 1)
    losses = partial(factorization_losses, FactorizationConfig("views", 2.0))
    batch = {"xy": Factors(twice, rotation, rotation).projection}
    perfect = losses(Oracle(twice, rotation), batch)
    assert perfect["consistency"] < 1e-3
    assert perfect["reprojection"] < 1e-3
    # depth turned round in the second views: they re-project as well, but it is another body
    torn = torch.cat([canonical, mirrored_depth(canonical @ rotation[6:]) @ rotation[6:].transpose(1, 2)])
    spoilt = losses(Oracle(torn, rotation), batch)
    assert spoilt["reprojection"] < 1e-3
    gap = (torn[:6] - torn[6:]).flatten(1).norm(dim=1).mean()
    assert float(spoilt["consistency"]) == pytest.approx(2 * float(gap), rel=1e-3)
    assert gap > 0.1
    baseline = factorization_losses(FactorizationConfig("none"), Oracle(torn, rotation), batch)
    assert set(baseline) == {"reprojection"}


def test_reprojection_counts_both_views() -> None:
    canonical, rotation = _people(4)
    twice = canonical.repeat(2, 1, 1)
    xy = Factors(twice, rotation, rotation).projection
    off = xy.clone()
    off[5, 2, 0] += 1  # one joint of one second view by 1: the mean over four pairs is 1/4
    model = Oracle(twice, rotation)
    model.forward = lambda _: Factors(twice, rotation, rotation)  # type: ignore[method-assign]
    losses = factorization_losses(FactorizationConfig(), model, {"xy": off})
    assert float(losses["reprojection"]) == pytest.approx(0.25, abs=1e-3)


def test_a_pose_turned_by_the_network_itself_is_a_view_of_the_same_body() -> None:
    canonical, rotation = _people(5)
    factors = Factors(canonical, rotation[:5], rotation[:5, 0])
    torch.manual_seed(0)
    xy = turned_view(factors)
    assert torch.allclose(xy.norm(dim=-1).mean(-1), torch.ones(5), atol=1e-5)
    size = (xy[:, :, 1].norm(dim=1) / factors.pose[:, :, 1].norm(dim=1)).reshape(-1, 1)
    assert torch.allclose(xy[:, :, 1], factors.pose[:, :, 1] * size, atol=1e-4)  # heights stay, widths do not
    assert not torch.allclose(xy[:, :, 0], factors.pose[:, :, 0] * size, atol=1e-2)
    net = FactorizationNet(FreeShapes(), 16, 1, 0.0)
    losses = factorization_losses(FactorizationConfig("turned"), net, {"xy": factors.projection})
    losses["consistency"].backward()
    assert losses["consistency"] > 0


def test_pairs_are_two_views_of_one_moment() -> None:
    xy = torch.arange(3 * 50).reshape(3, 50, 1, 1).expand(3, 50, 17, 2).float()  # value: view * 50 + moment
    batch = next(pair_batches(xy, 64, seed=0))["xy"][:, 0, 0].long()
    one, two = batch.chunk(2)
    assert (one % 50 == two % 50).all()
    assert (one != two).all()
    assert set((one // 50).tolist()) == set((two // 50).tolist()) == {0, 1, 2}
    again = next(pair_batches(xy, 64, seed=0))["xy"][:, 0, 0].long()
    resumed = next(pair_batches(xy, 64, seed=0, done=7))["xy"][:, 0, 0].long()
    assert torch.equal(batch, again)
    assert not torch.equal(batch, resumed)
    with pytest.raises(ValueError, match="two views"):
        next(pair_batches(xy[:1], 4, seed=0))


def test_start_fades_out_and_goes_on_where_a_run_stopped() -> None:
    xy = normalised_pose(torch.randn(2, 9, 17, 2))[0]
    batches = pair_batches(xy, 4, seed=0, start_steps=4, start_weight=2.0)
    assert [float(next(batches)["start"]) for _ in range(6)] == pytest.approx([2, 1.5, 1, 0.5, 0, 0])
    assert float(next(pair_batches(xy, 4, 0, 4, 2.0, done=3))["start"]) == pytest.approx(0.5)
    net = FactorizationNet(FreeShapes(), 16, 1, 0.0)
    first = next(pair_batches(xy, 4, seed=0, start_steps=4))
    assert "viewpoint" in factorization_losses(FactorizationConfig(), net, first)
    assert "viewpoint" not in factorization_losses(FactorizationConfig(), net, {**first, "start": torch.tensor(0.0)})


def test_viewpoint_of_a_turned_body_is_read_from_its_2d_joints() -> None:
    canonical, _ = _people(1)
    angle = torch.linspace(-3, 3, 40)
    rotation = rotation_matrix(torch.stack([0 * angle, angle, 0 * angle], 1))
    xy = (canonical @ rotation)[..., :2]
    lengths = body_directions(canonical)[0].norm(dim=-1, keepdim=True)
    assert viewpoint_loss(rotation, xy, lengths) < 1e-3
    other_way = rotation_matrix(torch.stack([0 * angle, torch.pi - angle, 0 * angle], 1))  # what a flat body confuses
    assert viewpoint_loss(other_way, xy, lengths) > 0.3
    assert torch.allclose(full_lengths(xy), lengths, rtol=0.1)


def test_a_nose_in_front_tells_a_body_from_its_mirror_image() -> None:
    canonical, rotation = _people(3)
    assert (faces_forward(canonical @ rotation[:3]) > 0).all()
    assert (faces_forward(mirrored_depth(canonical @ rotation[:3])) < 0).all()
    facing = canonical[:1] @ rotation_matrix(torch.tensor([0.0, -torch.pi / 2, 0]))
    at = {name: H36M17.index(name) for name in H36M17.joints}
    assert facing[0, at["right_hip"], 0] < facing[0, at["left_hip"], 0]  # we see its right on our left
    assert facing[0, at["nose"], 2] < facing[0, at["thorax"], 2]  # and its nose nearer than its neck


def test_scores_restore_the_scale_and_one_mirror_image_for_all() -> None:
    shots, canonical, rotation = _footage(12)
    size = normalised_pose(shots.screen)[1].flatten(0, 1)
    for turn in (lambda pose: pose, mirrored_depth):
        pose = turn(canonical @ rotation)
        score = scorer(shots)(Oracle((pose / size) @ rotation.transpose(1, 2), rotation))
        assert score["n_mpjpe_mm"] < 0.1
        assert score["p_mpjpe_mm"] < 0.1
        assert score["forward"] == 1
    half = torch.where(
        torch.arange(24).reshape(-1, 1, 1) < 8, mirrored_depth(canonical @ rotation), canonical @ rotation
    )
    score = scorer(shots)(Oracle((half / size) @ rotation.transpose(1, 2), rotation))
    assert score["forward"] == pytest.approx(2 / 3)
    assert score["n_mpjpe_mm"] > 20  # the wrong third is not turned over behind our back
    assert score["either_p_mpjpe_mm"] < 0.1


def test_dictionary_is_fine_tuned_or_fixed_and_the_first_one_stays(tmp_path: Path) -> None:
    xy = _views()
    first = learn_dictionary(TINY, xy, tmp_path / "dictionary").dictionary
    before = {name: value.clone() for name, value in first.state_dict().items()}
    tuned = learn_factorization(TINY, xy, tmp_path / "tuned", first).shapes
    fixed = learn_factorization(_with(dictionary_rate=0.0), xy, tmp_path / "fixed", first).shapes
    assert all(torch.equal(before[name], value) for name, value in first.state_dict().items())
    assert all(torch.equal(before[name], value) for name, value in fixed.state_dict().items())
    assert not torch.equal(before["atoms"], tuned.state_dict()["atoms"])
    assert isinstance(learn_factorization(_with(levels=()), xy, tmp_path / "none", None).shapes, FreeShapes)


def test_a_finished_run_is_read_again_and_seeds_differ(tmp_path: Path) -> None:
    xy = _views()
    first = learn_factorization(TINY, xy, tmp_path / "run", None).state_dict()
    again = learn_factorization(TINY, xy, tmp_path / "run", None).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in again)
    assert (tmp_path / "run" / "log.csv").exists()
    fresh = [learn_factorization(_with(seed=s, steps=0), xy, tmp_path / str(s), None).state_dict() for s in (0, 1)]
    assert not torch.equal(*(weights["omega.0.weight"] for weights in fresh))


def test_a_network_that_learned_pairs_is_more_consistent_than_one_that_did_not(tmp_path: Path) -> None:
    xy = _views(200)
    pairs = next(pair_batches(xy, 100, seed=9))["xy"]
    gaps = {}
    for kind in ("none", "views"):
        recipe = _with(levels=(), consistency=kind, steps=120, batch=32, lr=3e-3, width=32)
        model = learn_factorization(recipe, xy, tmp_path / kind, None).eval()
        with torch.no_grad():
            gaps[kind] = float(consistency_loss(*halves(model(pairs))))
    assert gaps["views"] < 0.7 * gaps["none"]


def test_options_come_from_file_and_flags(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text('consistency = "none"\nlevels = [9, 3]\nsteps = 11\n')
    words = ["--out", str(tmp_path), "--config", str(config), "--steps", "12", "--dictionary-rate", "0"]
    expected = Recipe(levels=(9, 3), consistency="none", steps=12, dictionary_rate=0.0)
    assert recipe_of(parse(parser(), words)) == expected
    assert recipe_of(parse(parser(), ["--out", "x"])) == Recipe()
    assert recipe_of(parse(parser(), ["--out", "x", "--levels"])).levels == ()


def test_command_trains_both_stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("train.tasks.factorization.filmed", lambda *_: _footage(12)[0])
    config = tmp_path / "config.toml"
    config.write_text("levels = [12, 4]\ndictionary_steps = 3\nsteps = 4\nwidth = 16\nblocks = 1\nbatch = 8\n")
    out = tmp_path / "run"
    assert main(["--out", str(out), "--config", str(config)]) == 0
    assert {p.name for p in out.iterdir()} == {"dictionary", "network", "scores.json"}


def _with(**changes: object) -> Recipe:
    return Recipe(**{**TINY.__dict__, **changes})  # type: ignore[arg-type]


def _people(count: int) -> tuple[Tensor, Tensor]:
    """Return canonical bodies (N, 17, 3) that differ a little, and rotations (2N, 3, 3) of two views of each."""
    at = {name: H36M17.index(name) for name in H36M17.joints}
    body = torch.zeros(17, 3)
    for name, (right, up, ahead) in {
        "right_hip": (0.1, 0, 0), "left_hip": (-0.1, 0, 0), "right_shoulder": (0.17, 0.5, 0),
        "left_shoulder": (-0.17, 0.5, 0), "thorax": (0, 0.5, 0), "head_top": (0, 0.7, 0), "nose": (0, 0.6, 0.1),
        "right_knee": (0.1, -0.4, 0.05), "left_knee": (-0.1, -0.4, 0.05), "right_ankle": (0.1, -0.8, 0),
        "left_ankle": (-0.1, -0.8, 0), "right_wrist": (0.2, 0, 0.2), "left_wrist": (-0.2, 0, 0.2),
    }.items():  # fmt: skip
        body[at[name]] = torch.tensor([right, up, ahead]) @ canonical_frame()
    rng = torch.Generator().manual_seed(4)
    limbs = torch.zeros(17, 1)
    limbs[[at[f"{side}_{joint}"] for side in ("left", "right") for joint in ("knee", "ankle", "elbow", "wrist")]] = 0.05
    people = body + limbs * torch.randn(count, 17, 3, generator=rng)
    yaw = torch.rand(2 * count, generator=rng) * 6 - 3
    return people, rotation_matrix(torch.stack([0 * yaw, yaw, 0 * yaw], 1))


def _footage(count: int) -> tuple[Footage, Tensor, Tensor]:
    """Return two views without perspective, and the (2N, ...) canonical poses and rotations that they show."""
    canonical, rotation = _people(count)
    canonical = canonical.repeat(2, 1, 1)
    xyz_m = (canonical @ rotation).unflatten(0, (2, count))
    frames = np.zeros(count, np.int64)
    shots = Footage(
        xyz_m[..., :2] + 0.3,
        torch.ones(2, count, 17),
        xyz_m + 4,
        torch.zeros(2, 9),
        frames,
        frames + count,
        np.full(count, "one"),
        (None, None),  # type: ignore[arg-type]
    )
    return shots, canonical, rotation


def _views(count: int = 40) -> Tensor:
    return normalised_pose(_footage(count)[0].screen)[0]
