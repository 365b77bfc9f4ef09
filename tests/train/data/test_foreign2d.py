"""Joints of other programs: some shaken, some thinned, the rest as they were."""

from __future__ import annotations

import numpy as np
import pytest

from train.data.motion.foreign2d import SHAKE, SHAKEN_SHARE, THINNED, THINNED_SHARE, from_elsewhere


def test_some_sequences_shiver_and_some_lack_joints() -> None:
    people, rng = 2000, np.random.default_rng(0)
    xy, score = np.zeros((people, 8, 17, 2), np.float32), np.ones((people, 8, 17), np.float32)
    size = np.full((people, 8), 0.5, np.float32)
    moved, left = from_elsewhere(xy, score, size, rng)
    assert moved.dtype == left.dtype == np.float32
    level = moved.std((1, 2, 3)) / 0.5
    assert (level > 0).mean() == pytest.approx(SHAKEN_SHARE, abs=0.04)
    assert SHAKE[0] * 0.8 < level[level > 0].min() < level.max() < SHAKE[1] * 1.2
    gone = (left == 0).mean((1, 2))
    assert (gone > 0.02).mean() == pytest.approx(THINNED_SHARE * (1 - 0.02 / THINNED), abs=0.04)
    assert gone.max() < THINNED + 0.15
    assert set(np.unique(left)) == {0, 1}
    np.testing.assert_array_equal(xy, 0)
