"""Training pictures: packing, augmentation that moves joints with the picture, sequences."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from engines.skeletons import H36M17
from train.data.people.augment2d import AugmentConfig, Look, picture_edges
from train.data.people.motion2d import leaning, moved, wander
from train.data.people.nobody import load_nobody
from train.data.people.occluders import ERASED_AREA, Occluder, erased, something
from train.data.people.people2d import HIDDEN, RECALLED, Mixer, StillSet, batches, draw, follow, load_shard, save_shard

GEOMETRY = AugmentConfig(any_angle=0.3, occlude=0.0, half_body=0.0, glimpse=0.0)


def dotted(shown=0, count=1, wh=(160, 200), augment=GEOMETRY):
    """People whose joint `shown` is a bright dot on black; the other joints stand around it."""
    rng, jpeg, xy = np.random.default_rng(5), [], np.zeros((count, 17, 2), np.float32)
    for n in range(count):
        xy[n] = rng.uniform((50, 50), (110, 150), (17, 2))
        image = np.zeros((wh[1], wh[0], 3), np.uint8)
        cv2.circle(image, tuple(int(v) for v in xy[n, shown]), 4, (255, 255, 255), -1)
        jpeg.append(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])[1])
    return StillSet(
        "dots", jpeg, xy, np.ones((count, 17), np.float32), np.zeros((count, 17), bool),
        np.tile(np.float32([40, 40, 120, 160]), (count, 1)), np.ones(count, np.float32), np.full(count, -1), augment,
    )  # fmt: skip


def brightest(crop):
    grey = cv2.GaussianBlur(crop.mean(-1).astype(np.float32), (0, 0), 3)
    y, x = np.unravel_index(grey.argmax(), grey.shape)
    return np.array([x + 0.5, y + 0.5])


@pytest.mark.parametrize("joint", ["nose", "left_wrist"])
def test_joints_move_with_the_picture_mirrored_or_not(joint):
    j, stills, seen = H36M17.index(joint), dotted(H36M17.index(joint)), set()
    for seed in range(12):
        sample = draw(np.random.default_rng(seed), stills, 0, 3, None)
        mirror = list(H36M17.mirror)
        for t in range(3):
            at = brightest(sample["crops"][t])
            shown = np.clip(sample["xy"][t], 0, (192, 256))  # half a dot may stick out
            hits = [k for k in (j, mirror[j]) if np.linalg.norm(shown[k] - at) < 5]
            assert hits, f"seed {seed}, frame {t}: no {joint} at the dot"
            seen.add(hits[0])
    assert seen == {j, H36M17.mirror[j]}, "both mirrored and plain crops must occur"


def test_a_still_becomes_a_moving_sequence():
    sample = draw(np.random.default_rng(0), dotted(), 0, 4, None)
    assert sample["crops"].shape == (4, 256, 192, 3)
    assert sample["crops"].dtype == np.uint8
    assert (np.linalg.norm(np.diff(sample["xy"], axis=0), axis=-1).max(-1) > 0.05).all()


def test_where_the_picture_is_cut_its_joints_are_absent_and_the_crop_is_black():
    stills = dotted(augment=replace(GEOMETRY, cut=1.0))
    white = replace(stills, jpeg=[cv2.imencode(".jpg", np.full((200, 160, 3), 255, np.uint8))[1]])
    sides, cut, kept = set(), [], []
    for seed in range(40):
        edges = picture_edges(np.random.default_rng(seed), white.augment, white.box_xyxy_px, np.float32([[160, 200]]))
        sides |= set(np.flatnonzero(edges[0] != (0, 0, 160, 200)).tolist())
        sample = draw(np.random.default_rng(seed), white, 0, 1, None)
        absent, at = sample["inside"][0] == 0, np.floor(sample["xy"][0]).astype(int)
        assert (sample["weight"][0][absent] == 0).all()
        assert (sample["judged"] == 1).all(), "out of the picture is known, not unknown"
        for (x, y), gone in zip(at, absent, strict=True):
            if 0 <= x < 192 and 0 <= y < 256:
                (cut if gone else kept).append(sample["crops"][0, y, x].mean())
    assert sides == {0, 1, 2, 3}
    assert len(cut) > 20
    assert np.quantile(cut, 0.95) < 80 < np.quantile(kept, 0.05)


def test_a_cut_goes_with_the_person_where_the_frames_are_pieces_of_unequal_size():
    """Label files keep a piece of each frame around the person: another size, another corner each time."""
    stills = replace(dotted(count=3, augment=replace(GEOMETRY, cut=1.0)), following=np.array([1, 2, -1]))
    corners = np.float32([[0, 0], [30, 20], [10, 4]])
    pieces = [np.full((int(160 + y), int(120 + x), 3), 255, np.uint8) for x, y in corners]
    moved_on = replace(
        stills,
        jpeg=[cv2.imencode(".jpg", p)[1] for p in pieces],
        xy_px=np.repeat(stills.xy_px[:1], 3, 0) + corners[:, None],
        box_xyxy_px=stills.box_xyxy_px + np.tile(corners, 2),
    )
    sizes = np.float32([p.shape[1::-1] for p in pieces])
    for seed in range(30):
        rng = np.random.default_rng
        whole = draw(rng(seed), replace(moved_on, augment=replace(GEOMETRY, shift=0, scale=0, any_angle=0)), 0, 3, None)
        assert (whole["weight"] > 0).mean() > 0.95, "not cut: all of the person in every frame"
        assert (draw(rng(seed), moved_on, 0, 3, None)["weight"] > 0).any(-1).all(), "cut: some of them in every frame"
        edges = picture_edges(rng(seed), moved_on.augment, moved_on.box_xyxy_px, sizes)
        outside = ((moved_on.xy_px < edges[:, None, :2]) | (moved_on.xy_px > edges[:, None, 2:])).any(-1)
        assert (outside == outside[0]).all()


def test_a_short_clip_is_gone_through_to_and_fro():
    stills = replace(dotted(count=4), following=np.array([1, 2, -1, -1]))
    assert follow(stills, 0, 7) == [0, 1, 2, 1, 0, 1, 2]
    assert follow(stills, 0, 2) == [0, 1]
    assert follow(stills, 3, 3) == [3, 3, 3]


def test_a_glimpse_is_in_front_in_one_frame_only_and_its_joints_are_still_asked_for():
    stills = dotted(augment=replace(GEOMETRY, glimpse=1.0, drift=0.0))
    sample = draw(np.random.default_rng(3), stills, 0, 4, None)
    assert sample["weight"][0].tolist() == sample["inside"][0].tolist(), "nothing in front of the first frame"
    later = sample["weight"][1:]
    assert set(np.unique(later.round(3))) <= {0.0, np.float32(RECALLED).round(3), 1.0}
    assert (later == np.float32(RECALLED)).any()
    assert not (later[0] == later[1]).all() or not (later[1] == later[2]).all()


def test_what_leaves_the_crop_is_not_a_position_but_is_known_to_be_outside():
    stills = dotted(augment=replace(GEOMETRY, scale=0.0, shift=0.0, any_angle=0.0, tilt=0.0))
    stills.xy_px[0, 3] = (5000, 5000)
    sample = draw(np.random.default_rng(0), stills, 0, 1, None)
    out = [k for k in (3, H36M17.mirror[3]) if sample["inside"][0, k] == 0]
    assert len(out) == 1
    assert sample["weight"][0, out[0]] == 0
    assert sample["judged"][0, out[0]] == 1


def test_the_same_seed_draws_the_same():
    a, b = (draw(np.random.default_rng(7), dotted(), 0, 2, None) for _ in range(2))
    assert all(np.array_equal(a[k], b[k]) for k in a)


def test_occluder_hides_exactly_the_joints_behind_it():
    crop, shape, zero = np.zeros((256, 192, 3), np.uint8), np.ones((40, 50), bool), np.zeros(2)
    occluder = Occluder(np.full((40, 50, 3), 200, np.uint8), shape, np.array([20.0, 30.0]), zero, range(3, 4))
    points = np.float32([[25, 35], [19, 35], [69.5, 69.5], [71, 50]])
    assert not occluder.cover(crop, points, 2).any(), "not there yet"
    assert occluder.cover(crop, points, 3).tolist() == [True, False, True, False]
    assert (crop[30:70, 20:70] == 200).all()
    assert crop.sum() == 200 * 3 * 40 * 50


def test_occluders_and_erased_rectangles_have_the_sizes_they_should():
    things = [something(np.random.default_rng(i), (192, 256), None, 1.0) for i in range(20)]
    assert {bool(t.mask.all()) for t in things} == {True, False}, "rectangles and ellipses"
    gone = [erased(np.random.default_rng(i), (192, 256), np.array([10.0, 20.0, 30.0]), 6) for i in range(60)]
    areas = [e.mask.size / (192 * 256) for e in gone]
    assert ERASED_AREA[0] * 0.9 < min(areas) < 0.1 < 0.3 < max(areas) <= ERASED_AREA[1]
    assert (gone[0].patch == (10, 20, 30)).all()
    assert len({len([t for t in range(6) if t in e.frames]) for e in gone}) > 3, "for a while, not always for all"


def test_wandering_is_smooth_and_as_fast_in_long_clips_as_in_short_ones():
    curves = np.concatenate([wander(np.random.default_rng(i), 60, 0.03, 4) for i in range(50)], 1)
    steps = np.diff(curves, axis=0)
    assert (curves[0] == 0).all()
    assert 0.02 < steps.std() < 0.045
    assert np.diff(steps, axis=0).std() < 0.35 * steps.std(), "not a random walk"
    assert abs(curves).max() < 2


def test_perspective_moves_picture_and_joints_alike():
    stills = dotted(3, augment=replace(GEOMETRY, perspective=1.5, any_angle=0.0, drift=0.5))
    for seed in range(8):
        sample = draw(np.random.default_rng(seed), stills, 0, 2, None)
        for t in range(2):
            away = sample["xy"][t, [3, H36M17.mirror[3]]] - brightest(sample["crops"][t])
            assert np.linalg.norm(away, axis=-1).min() < 5, f"seed {seed}, frame {t}"
    maps = leaning(np.random.default_rng(1), 9, (192, 256), 1.0)
    middle = moved(np.tile(np.float32([[[96, 128]]]), (9, 1, 1)), maps)
    np.testing.assert_allclose(middle, np.broadcast_to(np.float32([96, 128]), middle.shape), atol=1e-3)
    corners = moved(np.tile(np.float32([[[0, 0], [192, 0], [192, 256], [0, 256]]]), (9, 1, 1)), maps)
    tops = np.linalg.norm(corners[:, 1] - corners[:, 0], axis=-1)
    bottoms = np.linalg.norm(corners[:, 2] - corners[:, 3], axis=-1)
    assert (abs(tops / bottoms - 1) > 0.01).all()
    assert np.diff(tops).std() > 0.01


def test_erasing_hides_joints_for_some_frames_and_light_changes_smoothly():
    stills = dotted(augment=replace(GEOMETRY, erase=1.0, glimpse=0.0, drift=0.0))
    weights = np.stack([draw(np.random.default_rng(i), stills, 0, 4, None)["weight"] for i in range(10)])
    assert (weights == np.float32(HIDDEN)).any()
    assert (weights.max(1) - weights.min(1) > 0.5).any(), "hidden in one frame and not in another"
    grey, look = np.full((8, 8, 3), 120, np.uint8), Look(np.random.default_rng(4), 40, flicker=1.0)
    look.noise = look.jpeg = 0
    light = np.array([look.apply(grey, t).mean() for t in range(40)])
    assert light.max() - light.min() > 8
    assert abs(np.diff(light)).max() < 0.5 * (light.max() - light.min())


def test_look_keeps_size_and_type_whatever_it_draws():
    crop = np.random.default_rng(0).integers(0, 256, (64, 48, 3), np.uint8)
    for seed in range(30):
        out = Look(np.random.default_rng(seed)).apply(crop)
        assert out.shape == crop.shape
        assert out.dtype == np.uint8


def test_shards_come_back_and_rendered_ones_know_hidden_from_absent(tmp_path):
    stills = dotted(count=3)
    save_shard(tmp_path / "a.npz", stills)
    back = load_shard(tmp_path / "a.npz")
    assert np.array_equal(back.picture(2), stills.picture(2))
    assert np.array_equal(back.xy_px, stills.xy_px)
    starts = np.cumsum([0, *(len(j) for j in stills.jpeg)])
    visible, xy = np.ones((3, 17), bool), stills.xy_px.copy()
    visible[0, 4], visible[0, 5], xy[0, 5] = False, False, (-20, 30)
    np.savez(tmp_path / "b.npz", jpeg=np.concatenate(stills.jpeg), jpeg_start=starts, xy_px=xy, visible=visible,
             box_xyxy_px=stills.box_xyxy_px)  # fmt: skip
    rendered = load_shard(tmp_path / "b.npz")
    assert rendered.weight[0, 3:6].tolist() == pytest.approx([1.0, HIDDEN, 0.0])
    assert rendered.absent[0, 3:6].tolist() == [False, False, True]


def test_batches_are_stacked_and_the_mixer_renewed():
    rounds = []

    def make(round_):
        rounds.append(round_)
        return Mixer([(dotted(count=2), 1.0)], 1, seed=round_)

    stream = batches(make, size=2, renew_every=2)
    batch = [next(stream) for _ in range(5)][-1]
    assert tuple(batch["crops"].shape) == (2, 1, 256, 192, 3)
    assert rounds[:2] == [0, 1]


def test_a_broken_picture_is_reported_to_the_trainer():
    stills = replace(dotted(), jpeg=[np.zeros(9, np.uint8)])
    with pytest.raises(cv2.error):
        next(batches(lambda _: Mixer([(stills, 1.0)], 1, 0), 1))


def test_where_nobody_is_every_score_has_to_be_low(tmp_path):
    for kind in ("clutter", "hdri"):
        (tmp_path / kind).mkdir()
    for i in range(6):  # every fifth is held out
        cv2.imwrite(str(tmp_path / "clutter" / f"{i}.jpg"), np.full((90, 120, 3), 40 * i, np.uint8))
        cv2.imwrite(str(tmp_path / "hdri" / f"{i}.hdr"), np.full((32, 64, 3), 0.5, np.float32))
    empty = load_nobody(tmp_path, 9)
    assert len(empty) == 9
    for row in range(9):
        sample = draw(np.random.default_rng(row), empty, row, 3, None)
        assert sample["crops"].shape == (3, 256, 192, 3)
        assert (sample["judged"].all(), sample["weight"].any(), sample["inside"].any()) == (True, False, False)
        assert (sample["tolerance"] > 0).all()
