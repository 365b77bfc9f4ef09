"""The imitated detector: errors and scores as measured, that last, exchange sides and sit in the body."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from engines.skeletons import H36M17
from tests.train.walker import walkers, walking
from train.data.motion import lost2d, noise2d
from train.data.motion.cameras import shoot
from train.data.motion.mocap import Motion, sample_takes
from train.data.motion.noise2d import biased, detector_like

WRIST = H36M17.index("left_wrist")


@pytest.fixture
def motion() -> Motion:
    return walkers()


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
