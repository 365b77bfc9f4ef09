from __future__ import annotations

import numpy as np

from pipeline.inference.smooth import OneEuro


def run(values, dt_s=1 / 30):
    euro = OneEuro()
    poses = np.tile(np.asarray(values, np.float32)[:, None, None, None], (1, 1, 17, 3))
    return np.array([euro.smooth(pose, i * dt_s, [0])[0, 0, 0] for i, pose in enumerate(poses)])


def test_trembling_at_rest_is_damped():
    noise = np.random.default_rng(0).normal(0, 0.01, 300)
    assert run(noise)[50:].std() < 0.5 * noise[50:].std()


def test_fast_motion_hardly_lags():
    ramp = np.arange(60) / 30 * 2.0  # 2 m/s
    assert abs(run(ramp) - ramp)[30:].max() < 0.05


def test_lag_depends_on_time_not_on_frames():
    step = np.r_[np.zeros(5), np.ones(60) * 0.02]
    slow, fast = run(step, 1 / 15), run(np.repeat(step, 4), 1 / 60)
    assert abs(slow[20] - fast[4 * 20 + 3]) < 0.002


def test_gap_and_new_track_start_afresh():
    euro = OneEuro()
    here, there = np.zeros((1, 17, 3), np.float32), np.ones((1, 17, 3), np.float32)
    euro.smooth(here, 0.0, [0])
    assert (euro.smooth(there, 2.0, [0]) == 1).all()
    assert (euro.smooth(here, 2.03, [1]) == 0).all()
    assert euro.smooth(here[:0], 2.1, []).shape == (0, 17, 3)
