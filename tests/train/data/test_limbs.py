"""Arms and legs of one motion on another."""

from __future__ import annotations

import numpy as np
import pytest

from engines.skeletons import H36M17
from train.data.motion import limbs
from train.data.motion.limbs import Float, exchanged


def people(count: int, seed: int) -> Float:
    rng = np.random.default_rng(seed)
    xyz_m = np.zeros((count, 4, 17, 3), np.float32)
    for parent, child in H36M17.bones:
        xyz_m[:, :, child] = xyz_m[:, :, parent] + rng.normal(0, 0.3, (count, 4, 3))
    return xyz_m


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limbs, "SHARES", (1.0, 1.0))


@pytest.mark.usefixtures("always")
def test_ones_own_limbs_change_nothing() -> None:
    xyz_m = people(3, 0)
    np.testing.assert_allclose(exchanged(xyz_m, xyz_m, np.random.default_rng(0)), xyz_m, atol=1e-5)


@pytest.mark.usefixtures("always")
def test_limbs_turn_with_the_trunk_and_the_trunk_stays() -> None:
    ours, theirs = people(3, 0), people(3, 1)
    turn = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]], np.float32)
    mixed = exchanged(ours, theirs, np.random.default_rng(0))
    np.testing.assert_array_equal(mixed[:, :, [0, 1, 4, 7, 8, 9, 10]], ours[:, :, [0, 1, 4, 7, 8, 9, 10]])
    np.testing.assert_allclose(exchanged(ours, theirs @ turn.T, np.random.default_rng(0)), mixed, atol=1e-4)
    for parent, child in ((11, 12), (15, 16), (1, 2), (5, 6)):
        length = [np.linalg.norm(p[..., child, :] - p[..., parent, :], axis=-1) for p in (mixed, theirs, ours)]
        np.testing.assert_allclose(length[0], length[1], rtol=1e-4)
        assert np.abs(length[0] - length[2]).max() > 0.01


def test_only_a_share_of_the_people_is_changed() -> None:
    ours, theirs = people(400, 0), people(400, 1)
    mixed = exchanged(ours, theirs, np.random.default_rng(0))
    for joints, share in ((limbs.ARMS[0], limbs.SHARES[0]), (limbs.LEGS[0], limbs.SHARES[1])):
        changed = (mixed[:, :, list(joints)] != ours[:, :, list(joints)]).any((1, 2, 3)).mean()
        assert changed == pytest.approx(share, abs=0.08)
