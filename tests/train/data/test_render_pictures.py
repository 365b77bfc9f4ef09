"""Rendered pictures agree with their truth. Needs EGL and the development data."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from engines.skeletons import H36M17
from train.data.render import props
from train.data.render.lights import light_from
from train.data.render.motions import Moment
from train.data.render.scenes import (
    FIRST_OCCLUDER,
    Person,
    Setting,
    Shot,
    Studio,
    drawn_box,
    place,
    visible_joints,
    visible_share,
)
from train.data.render.shards import pictures
from train.data.render.stills import StillConfig, clip, crowd, still
from train.data.render.surfaces import look
from train.errors import RendererUnavailable
from train.tasks import render

DATA = Path(os.environ.get("POSESTREAM_DATA", "../shared/data"))
pytestmark = pytest.mark.skipif(
    not all((DATA / p).exists() for p in ("body/body.npz", "mocap/motion.npz", "backgrounds/hdri")),
    reason=f"no body, mocap and background packs in {DATA} (set POSESTREAM_DATA)",
)


@pytest.fixture(scope="module")
def studio() -> Studio:
    try:
        return Studio(DATA, "val")
    except RendererUnavailable as error:
        pytest.skip(str(error))


@pytest.fixture
def walker(studio: Studio) -> Person:
    clip = studio.motions.named("cmu/07_01")
    what = Moment(clip.xyz_m[60:61] - clip.xyz_m[60, 0] * [1, 0, 1], clip.flat, 0.0, False)
    return place(studio.figure(np.random.default_rng(0)), what, np.zeros(3), np.random.default_rng(0), 1)


def _shot(studio: Studio, people: list[Person], extra: list, side: float = 0.0) -> Shot:
    light = light_from(np.ones((64, 128, 3), np.float32), "even", 0.0, 0)
    eye = np.array([3.5 * np.sin(side), 1.2, 3.5 * np.cos(side)])
    camera = look(eye, np.array([0, 0.95, 0]), 0.0, 300.0, (240, 240))
    return studio.shoot(people, extra, Setting([], light, None, 1.0), camera, np.random.default_rng(0))


@pytest.mark.parametrize("side", [0.0, 1.5, 3.0, 4.5])
def test_joints_lie_inside_the_drawn_person(studio: Studio, walker: Person, side: float) -> None:
    shot = _shot(studio, [walker], [], side)
    xy = shot.camera.project(walker.joints_m[0])
    mask = shot.picture.ids == 1
    assert 0.03 < mask.mean() < 0.3
    inside = [mask[int(y) - 1 : int(y) + 2, int(x) - 1 : int(x) + 2].any() for x, y in xy]
    assert all(inside), [H36M17.joints[j] for j, ok in enumerate(inside) if not ok]
    rows, columns = np.nonzero(mask)
    box = drawn_box(shot.camera, walker.drawn(0))
    np.testing.assert_allclose(box, [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], atol=2.5)
    assert visible_joints(shot, walker).all()
    assert visible_share(shot, walker) > 0.97


def test_the_nose_joint_is_the_drawn_nose(studio: Studio, walker: Person) -> None:
    """From the side, the nose is the foremost point of the head."""
    person = walker
    joints = person.joints_m[0]
    ahead = np.cross(joints[4] - joints[1], [0.0, 1, 0])
    ahead /= np.linalg.norm(ahead)
    item = person.drawn(0)
    skin = item.marks[:, 0] == 0
    head = item.position_m[skin & (item.rest_m[:, 1] > item.rest_m[skin, 1].max() - 0.2)]
    assert abs(((head - joints[9]) @ ahead).max()) < 0.012


def test_feet_touch_the_floor(walker: Person) -> None:
    item = walker.drawn(0)
    assert abs(item.position_m[:, 1].min()) < 0.02


def test_an_occluder_hides_joints_but_the_own_body_does_not(studio: Studio, walker: Person) -> None:
    shot = _shot(studio, [walker], [])
    grey = props.plain_material(np.full(3, 0.4, np.float32), np.full(3, 0.4, np.float32), 0, 1.0)
    wall = props.box(np.array([3.0, 0.75, 0.1]), 0.0, np.array([0, 0, 1.2]), grey, FIRST_OCCLUDER)
    hidden = _shot(studio, [walker], [wall])
    before, after = visible_joints(shot, walker), visible_joints(hidden, walker)
    assert before.all()
    ankles, head = [3, 6], [9, 10]
    assert not after[ankles].any()
    assert after[head].all()
    assert visible_share(hidden, walker) < 0.85
    behind = props.box(np.array([3.0, 2.5, 0.1]), 0.0, np.array([0, 0, -1.5]), grey, FIRST_OCCLUDER)
    assert visible_joints(_shot(studio, [walker], [behind]), walker).all()


def test_stills_repeat_with_their_seed(studio: Studio) -> None:
    rows = []
    for _ in range(2):
        fresh = Studio.__new__(Studio)
        for name, value in vars(studio).items():
            setattr(fresh, name, value)
        fresh._pool = [studio._pool[0]]
        rows.append(still(fresh, np.random.default_rng(5), StillConfig(side_px=160, moving=0.0))[1])
    for key in rows[0]:
        np.testing.assert_array_equal(rows[0][key], rows[1][key])


def test_an_empty_crowd_has_no_boxes_and_a_full_one_has_them_inside(studio: Studio) -> None:
    rng = np.random.default_rng(2)
    assert crowd(studio, rng, empty=1.0)[1]["box_xyxy_px"].shape == (0, 4)
    for _ in range(4):
        shot, row = crowd(studio, rng, empty=0.0)
        boxes = row["box_xyxy_px"]
        w, h = shot.camera.size_wh
        assert (boxes >= 0).all()
        assert (boxes <= [w, h, w, h]).all()
        assert (boxes[:, 2:] > boxes[:, :2]).all()
        assert ((row["box_visible"] > 0) & (row["box_visible"] <= 1)).all()


def test_a_clip_moves_smoothly_under_one_camera(studio: Studio) -> None:
    rows = clip(studio, np.random.default_rng(3), StillConfig(side_px=160, company=0, occluded=0), 4)
    xy = np.stack([row["xy_px"] for row in rows])
    steps = np.linalg.norm(np.diff(xy, axis=0), axis=-1)
    assert 0 < steps.max() < 16
    assert np.abs(np.diff(xy, 2, axis=0)).max() < 8


def test_the_command_writes_a_shard_and_keeps_it(
    tmp_path: Path, studio: Studio, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ["stills", "--out", str(tmp_path), "--data", str(DATA), "--count", "2", "--per-shard", "2", "--split", "val"]
    assert render.main(args) == 0
    shard = dict(np.load(tmp_path / "0000.npz"))
    assert shard["xy_px"].shape == (2, 17, 2)
    assert shard["visible"].dtype == bool
    assert shard["box_xyxy_px"].shape == (2, 4)
    assert [im.shape for im in pictures(shard)] == [(320, 320, 3)] * 2
    stamp = (tmp_path / "0000.npz").stat().st_mtime_ns
    assert render.main(args) == 0
    assert (tmp_path / "0000.npz").stat().st_mtime_ns == stamp
    assert "kept" in capsys.readouterr().out
