"""The filter of the 2D joints: steadier, never behind the body, and afresh when it has to be."""

import numpy as np
import pytest

from engines.joint_filter import JointFilter
from engines.skeletons import H36M17

BODY = np.random.default_rng(0).uniform(0, 1, (17, 2)) * (120, 300) + (200, 100)  # a person of 300 px


def filtered(xy, score, fps=30.0, keys=None, steadier=None):
    """Return (T, 17, 2) of one person's (T, 17, 2)."""
    steadier = steadier or JointFilter()
    frames = enumerate(zip(xy, score, strict=True))
    return np.stack([steadier.steady(p[None], s[None], t / fps, keys or [1])[0] for t, (p, s) in frames])


def shake(xy, truth):
    """Mean second difference of the error in pixels."""
    return float(np.linalg.norm(np.diff(xy - truth, n=2, axis=0), axis=-1).mean())


def walking(frames=90, fps=30.0):
    """Return (T, 17, 2) of somebody who crosses the picture at 400 px/s, nears, and swings two joints."""
    t = np.arange(frames)[:, None, None] / fps
    swing = np.zeros((17, 2))
    swing[[3, 16]] = (30, 8)
    body = BODY * (1 + 0.15 * t) + np.array([400.0, 0.0]) * t
    return body + swing * np.sin(2 * np.pi * t)


@pytest.mark.parametrize("fps", [15.0, 30.0, 60.0])
def test_shiver_falls_by_half_and_nobody_is_left_behind(fps):
    truth, rng = walking(fps=fps), np.random.default_rng(1)
    score = np.full((90, 17), 0.5)
    found = truth + rng.normal(0, 3, truth.shape)
    out = filtered(found, score, fps)
    assert shake(out, truth) < (0.65 if fps < 30 else 0.5) * shake(found, truth)
    away, raw = (np.linalg.norm(xy - truth, axis=-1)[20:].mean() for xy in (out, found))
    assert away < 1.05 * raw, "a filter that lags pays for its calm here"


def test_a_body_that_only_shifts_turns_and_grows_is_followed_exactly():
    turn = np.exp(1j * np.linspace(0, 1, 40))[:, None] * np.linspace(1, 1.5, 40)[:, None]
    plane = (BODY[:, 0] + 1j * BODY[:, 1])[None] * turn + 500
    found = np.stack([plane.real, plane.imag], -1)
    np.testing.assert_allclose(filtered(found, np.full((40, 17), 0.3)), found, atol=0.05)


def test_a_leap_of_one_frame_is_held_back_and_a_lasting_one_followed():
    truth, score = np.repeat(BODY[None], 60, 0), np.full((60, 17), 0.5)
    found = truth.copy()
    found[20, 5] += 80
    out = filtered(found, score)
    assert np.linalg.norm(out[20:, 5] - truth[20:, 5], axis=-1).max() < 0.25 * np.hypot(80, 80)
    found[20:, 5] = truth[20:, 5] + 80
    assert np.linalg.norm(filtered(found, score)[-1, 5] - found[-1, 5]) < 12


def test_sure_joints_are_believed():
    found = np.repeat(BODY[None], 2, 0)
    found[1, 5] += 6
    moved = [filtered(found, np.full((2, 17), s))[1, 5, 0] - BODY[5, 0] for s in (1.0, 0.3)]
    assert moved[0] > 2.5 > 2 > moved[1]


def test_people_are_kept_apart_and_forgotten():
    steadier, near = JointFilter(), BODY.astype(np.float32)
    score = np.full((2, 17), 0.4, np.float32)
    two = np.stack([near, near + 300])
    np.testing.assert_array_equal(steadier.steady(two, score, 0.0, [1, 2]), two)
    jumped = two + np.random.default_rng(2).normal(0, 20, two.shape).astype(np.float32)
    out = steadier.steady(jumped, score, 0.03, [1, 2], reset=[2])
    assert np.abs(out[0] - jumped[0]).max() > 5
    np.testing.assert_allclose(out[1], jumped[1], atol=1e-3)
    assert steadier.steady(two[:0], score[:0], 0.06, []).shape == (0, 17, 2)
    np.testing.assert_allclose(steadier.steady(two, score, 0.1, [1, 2]), two, atol=1e-3)
    np.testing.assert_allclose(steadier.steady(jumped, score, 1.0, [1, 2]), jumped, atol=1e-3)  # 0.9 s later


def test_all_scores_zero_and_all_joints_in_one_place_do_no_harm():
    same = np.full((5, 17, 2), 50.0)
    np.testing.assert_allclose(filtered(same, np.zeros((5, 17))), same, atol=1e-3)


def test_legs_found_exchanged_for_two_frames_stay_where_they_are():
    truth, score = walking(60), np.full((60, 17), 0.8)
    found = truth.copy()
    for t in (30, 31):
        found[t] = truth[t, [H36M17.mirror[j] if "knee" in n or "ankle" in n or "hip" in n else j
                             for j, n in enumerate(H36M17.joints)]]  # fmt: skip
    away = np.linalg.norm(filtered(found, score) - truth, axis=-1)
    assert np.linalg.norm(found - truth, axis=-1)[30:32].max() > 40
    assert away[30:].max() < 15


def test_a_detector_that_insists_on_the_other_side_is_believed_at_once_and_wholly():
    truth, score = np.repeat(BODY[None], 40, 0), np.full((40, 17), 0.8)
    found = truth.copy()
    found[10:] = truth[10:, list(H36M17.mirror)]
    away = np.linalg.norm(filtered(found, score) - found, axis=-1)
    between = (away > 10).any(1)
    assert between[10:14].all(), "not for a frame or two"
    assert not between[14:].any()
