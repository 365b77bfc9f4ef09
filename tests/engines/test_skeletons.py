from __future__ import annotations

import numpy as np
import pytest

from engines.skeletons import COCO17, H36M17, LSP14, SKELETONS, to_h36m17


@pytest.mark.parametrize("skeleton", SKELETONS.values())
def test_mirror_swaps_sides_and_is_its_own_inverse(skeleton):
    mirror = list(skeleton.mirror)
    assert [mirror[i] for i in mirror] == list(range(len(skeleton)))
    for i, j in enumerate(mirror):
        assert {skeleton.side(i), skeleton.side(j)} in ({"left", "right"}, {"middle"})


def test_every_joint_hangs_on_the_pelvis():
    for joint in range(17):
        steps = 0
        while H36M17.parents[joint] >= 0:
            joint, steps = H36M17.parents[joint], steps + 1
            assert steps < 17
        assert joint == 0


def test_lsp_maps_by_name_and_derives_the_middle():
    xy = np.arange(28, dtype=np.float32).reshape(14, 2)
    out, score = to_h36m17(xy, np.ones(14, np.float32), LSP14)
    at, lsp = H36M17.index, LSP14.index
    np.testing.assert_allclose(out[at("right_ankle")], xy[lsp("right_ankle")])
    np.testing.assert_allclose(out[at("pelvis")], (xy[lsp("right_hip")] + xy[lsp("left_hip")]) / 2)
    np.testing.assert_allclose(out[at("thorax")], xy[lsp("neck")])
    assert score[at("nose")] == 0
    assert (np.delete(score, at("nose")) == 1).all()


def test_missing_sources_make_missing_joints():
    score = np.ones(17, np.float32)
    score[COCO17.index("left_hip")] = 0
    xy = np.full((17, 2), np.nan, np.float32)
    xy[score > 0] = 5
    out, mapped = to_h36m17(xy, score, COCO17)
    for joint in ("pelvis", "spine", "left_hip"):
        assert mapped[H36M17.index(joint)] == 0
    assert mapped[H36M17.index("thorax")] == 1
    assert np.isfinite(out).all()


def test_unknown_mapping_is_refused():
    with pytest.raises(ValueError, match="no mapping"):
        to_h36m17(np.zeros((17, 2), np.float32), np.zeros(17, np.float32), H36M17)
