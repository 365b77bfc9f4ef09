"""The fit of the imitated detector: people with known joints, seen by a detector whose errors are known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engines.skeletons import H36M17
from train.data.motion.cameras import shoot
from train.data.motion.mocap import Motion, sample_takes
from train.data.motion.noise2d import FITTED
from train.data.motion.observed2d import (
    HIDDEN,
    OUTSIDE,
    VISIBLE,
    Observed,
    apparent_stature,
    load_observed,
    save_observed,
)
from train.noise import fit as noise_fit
from train.noise import motion as noise_motion
from train.noise import table as noise_table
from train.noise.plot import plot_noise

BODY = np.array(
    [
        [0, 0, 0.95], [0.1, 0, 0.95], [0.1, 0, 0.5], [0.1, 0, 0.08], [-0.1, 0, 0.95], [-0.1, 0, 0.5], [-0.1, 0, 0.08],
        [0, 0, 1.2], [0, 0, 1.48], [0, 0.136, 1.61], [0, 0, 1.67],
        [-0.18, 0, 1.45], [-0.18, 0, 1.15], [-0.18, 0.05, 0.88], [0.18, 0, 1.45], [0.18, 0, 1.15], [0.18, 0.05, 0.88],
    ],
    np.float32,
)  # fmt: skip


def people(source: str, count: int, frames: int, fps: float, seed: int) -> list[Observed]:
    """People turned any way and swinging their arms, as a camera far away sees them; the detector is perfect."""
    rng = np.random.default_rng(seed)
    out = []
    for number in range(count):
        xyz = np.repeat(BODY[None], frames, 0)
        xyz[:, [13, 16], 1] += 0.3 * np.sin(np.arange(frames) / 4)[:, None]
        turn, tilt = rng.uniform(0, 2 * np.pi), rng.uniform(-0.2, 0.2)
        across = np.array([np.cos(turn), np.sin(turn), 0])
        down = np.array([np.sin(turn) * np.sin(tilt), -np.cos(turn) * np.sin(tilt), -np.cos(tilt)])
        truth = 160 + 120 * np.stack([xyz @ across, (xyz - 0.9) @ down], -1).astype(np.float32)
        state = np.full((frames, 17), VISIBLE, np.int8)
        size = np.full(frames, 120 * 1.65, np.float32)
        out.append(
            Observed(source, str(number), truth.copy(), np.ones((frames, 17), np.float32), truth, state, size, fps)
        )
    return out


@pytest.fixture(scope="module")
def material() -> list[Observed]:
    """Every kind of material, seen by the imitated detector itself; some joints covered or out of the picture."""
    stills = [o for name in ("rendered stills", "coco", "lspet") for o in people(name, 250, 1, 0.0, len(name))]
    seen = noise_table.imitate([*stills, *people("rendered clips", 60, 12, 30.0, 1), *people("demo", 6, 150, 30.0, 2)])
    for number, one in enumerate(seen):
        if one.source == "rendered stills":
            one.state[0, 3], one.state[0, 6] = HIDDEN, OUTSIDE
            one.score[0, 3], one.score[0, 6] = 0.5, number % 2 * 0.2
    return seen


def test_fit_finds_the_numbers_that_made_the_detections(material: list[Observed]) -> None:
    found = noise_motion.fit(material)
    np.testing.assert_allclose(found.score[1:-1], FITTED.score[1:-1], atol=0.05)
    np.testing.assert_allclose(found.core[1:-2], FITTED.core[1:-2], rtol=0.4)
    np.testing.assert_allclose(found.gross[1:5], FITTED.gross[1:5], atol=0.1)
    np.testing.assert_allclose(found.sure_parts, FITTED.sure_parts, atol=0.2)  # slow drift passes for the joint's own
    np.testing.assert_allclose(found.joint_sure, FITTED.joint_sure, atol=0.2)
    assert FITTED.still_s[0] < np.sqrt(np.prod(found.still_s)) < FITTED.still_s[1]
    assert FITTED.moved[0] < np.sqrt(np.prod(found.moved)) < FITTED.moved[1]
    assert found.hidden[2] == 0.5
    assert found.outside[0] == 0
    assert found.outside[-1] == pytest.approx(0.2)
    assert sum(found.gross_kinds) == pytest.approx(1, abs=0.02)


def test_a_table_of_the_imitation_agrees_with_that_of_its_model(material: list[Observed]) -> None:
    first, again = noise_table.table(material), noise_table.table(noise_table.imitate(material, seed=9))
    for name in ("all: error, 50% quantile, mm", "exact truth: a person's median error, 50% quantile, mm"):
        assert again[name] == pytest.approx(first[name], rel=0.15)
    name = "rendered clips, correlation over 5 frames"
    assert again[name] == pytest.approx(first[name], abs=0.08)
    still = [replace(o, xy_px=o.truth_px + 5) for o in material]
    rows = noise_table.table(still)
    assert rows["rendered clips, correlation over 1 frames"] == pytest.approx(1)
    assert rows["rendered clips, second difference, median, mm"] == pytest.approx(0, abs=0.01)
    assert rows["all: error, 50% quantile, mm"] == pytest.approx(5 * 2**0.5 / 198 * 1650, rel=1e-3)


def test_an_offset_in_the_body_is_found_and_whole_swaps_are_counted() -> None:
    plain = people("rendered clips", 40, 12, 30.0, 4)
    shifted = []
    for one in plain:
        axes = noise_motion.body_axes(one)  # statures
        ahead = axes[:, 2] * one.size_px[:, None] * 0.02 / 1.65
        xy = one.xy_px.copy()
        xy[:, 8] += ahead.astype(np.float32)
        shifted.append(replace(one, xy_px=xy))
    offset, spread = noise_motion.opinion(shifted)
    np.testing.assert_allclose(offset[8], [0, 0, 0.02], atol=0.003)
    np.testing.assert_allclose(np.delete(offset, 8, 0), 0, atol=0.003)
    assert spread.max() < 0.003
    legs = [1, 2, 3, 4, 5, 6]
    for one in plain[:10]:
        one.xy_px[:, legs] = one.truth_px[:, np.array(H36M17.mirror)[legs]]
    assert 0 < noise_motion.swap_rates(plain)[0] <= 0.25, "seen from the side, left and right lie on each other"
    assert noise_motion.swap_rates(plain)[1] == 0


def test_stature_is_known_from_the_bones_of_any_view(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    motion = Motion(np.repeat(BODY[None], 100, 0), np.array([0, 100]), np.array([30], np.float32), np.ones(1))
    take = sample_takes(motion, rng, 300, 1)
    shot = shoot(take, rng)
    true = (shot.focal * take.stature_m / shot.xyz_m[:, 0, 0, 2])[:, None]
    everything = np.ones((300, 1, 17), bool)
    assert np.median(apparent_stature(shot.picture, everything) / true) == pytest.approx(1, abs=0.06)
    few = everything.copy()
    few[..., 5:] = False
    assert np.isnan(apparent_stature(shot.picture, few)).all()
    save_observed(tmp_path / "seen.npz", people("demo", 2, 5, 25.0, 0))
    again = load_observed(tmp_path / "seen.npz")
    assert [len(o.score) for o in again] == [5, 5]
    assert again[1].fps == 25
    np.testing.assert_array_equal(again[1].truth_px, people("demo", 2, 5, 25.0, 0)[1].truth_px)


def test_plot_is_drawn(material: list[Observed], tmp_path: Path) -> None:
    plot_noise(tmp_path / "noise.png", material, noise_table.imitate(material))
    assert (tmp_path / "noise.png").stat().st_size > 20_000


def test_quantiles_are_weighted() -> None:
    assert noise_fit.quantile(np.array([3.0, 1.0, 2.0]), np.array([1.0, 1.0, 8.0]), [0.5])[0] == pytest.approx(2)
    assert noise_fit.quantile(np.array([1.0, 2.0]), np.array([1.0, 3.0]), [0.1])[0] == 1
