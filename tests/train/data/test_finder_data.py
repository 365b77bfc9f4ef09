"""Scenes, sources and maps that the finder learns from."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from engines.finder import letterbox
from train.data.people import boxes as sources
from train.data.people.boxes_augment import (
    NONE,
    Scene,
    around,
    empty_part,
    hidden,
    letterboxed,
    mirrored,
    pasted,
    trimmed,
    zoomed,
)
from train.data.people.boxes_clips import PEOPLE, differing, interpolate, read_clip
from train.data.people.boxes_lspet import held_out, joint_box, settle

SIZE = (384, 224)


def marked_scene(box, size_wh=(640, 480)) -> Scene:
    """A grey picture whose only bright pixels are exactly the box."""
    image = np.full((size_wh[1], size_wh[0], 3), 60, np.uint8)
    x1, y1, x2, y2 = box
    image[y1:y2, x1:x2] = 250
    return Scene(image, np.array([box], np.float32), NONE)


def bright_box(image):
    """Extent of the bright pixels, None without any."""
    rows, columns = np.nonzero((image.min(2) > 170).any(1))[0], np.nonzero((image.min(2) > 170).any(0))[0]
    return None if not len(rows) else np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])


@pytest.mark.parametrize("seed", range(30))
def test_boxes_follow_the_pixels(seed):
    rng = np.random.default_rng(seed)
    x, y = rng.integers(20, 300, 2)
    scene = marked_scene((x, y, x + int(rng.integers(40, 300)), y + int(rng.integers(60, 160))))
    canvas = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    views = [
        zoomed(scene, canvas, rng),
        mirrored(scene),
        letterboxed(scene, SIZE),
        around(scene, rng),
        zoomed(mirrored(around(scene, rng)), canvas, rng),
    ]
    for view in views:
        if len(view.boxes):
            np.testing.assert_allclose(view.boxes[0], bright_box(view.image), atol=3)


def test_letterboxed_as_the_runtime_does_it():
    scene = marked_scene((100, 50, 300, 470))
    canvas, scale, offset = letterbox(scene.image, SIZE, 114)
    ours = letterboxed(scene, SIZE)
    np.testing.assert_allclose(ours.boxes[0], scene.boxes[0] * scale + np.tile(offset, 2), atol=0.8)
    assert np.abs(ours.image.astype(int) - canvas).mean() < 2


def test_too_little_of_a_person_is_ignored_not_empty():
    boxes = np.array([[-80, 0, 20, 100], [-20, 0, 80, 100], [200, 0, 300, 100]], np.float32)
    inside, ignore = trimmed(boxes, NONE, (0, 0, 150, 100))
    np.testing.assert_array_equal(inside, [[0, 0, 80, 100]])
    np.testing.assert_array_equal(ignore, [[0, 0, 20, 100]])


def test_people_under_a_patch():
    people = np.array([[0, 0, 40, 100], [100, 0, 140, 100], [200, 0, 240, 100], [300, 0, 340, 100]], np.float32)
    scene = Scene(np.zeros((100, 400, 3), np.uint8), people, NONE)
    assert hidden(scene, (-1, -1, 41, 101))[0].tolist() == people[1:].tolist()
    boxes, ignore = hidden(scene, (90, 40, 150, 110))
    assert boxes.tolist() == people[[0, 2, 3]].tolist()
    assert ignore.tolist() == [people[1].tolist()]
    boxes, _ = hidden(scene, (190, 70, 250, 110))
    assert boxes[2].tolist() == [200, 0, 240, 70], "the desk in front of the legs ends the visible box"


def test_pasting_adds_the_person_where_it_is_drawn():
    rng = np.random.default_rng(4)
    patch = around(marked_scene((200, 100, 400, 300)), rng)
    seen = 0
    for _ in range(20):
        out = pasted(Scene(np.zeros((224, 384, 3), np.uint8), NONE, NONE), patch, rng)
        if len(out.boxes) and bright_box(out.image) is not None and (out.boxes[0, 2:] - out.boxes[0, :2]).min() > 60:
            inner = out.image[tuple(slice(int(out.boxes[0, i] + 12), int(out.boxes[0, i + 2] - 12)) for i in (1, 0))]
            assert inner.mean() > 200
            seen += 1
    assert seen > 3


def test_empty_parts_touch_nobody():
    rng = np.random.default_rng(0)
    scene = marked_scene((250, 100, 400, 300))
    parts = [empty_part(scene, rng) for _ in range(30)]
    assert any(part is not None for part in parts)
    assert all(bright_box(part.image) is None for part in parts if part is not None)


def test_maps_of_two_people_and_a_region():
    boxes = np.array([[0, 0, 300, 200], [160, 80, 200, 180]], np.float32)
    maps = sources.centre_maps(boxes, np.array([[320, 0, 384, 64]], np.float32), SIZE)
    peaks = np.argwhere(maps["centre"][0] == 1)
    assert sorted(peaks.tolist()) == [[12, 18], [16, 22]]
    np.testing.assert_array_equal(maps["box"][:, 16, 22], boxes[1])
    np.testing.assert_array_equal(maps["box"][:, 12, 18], boxes[0])
    assert maps["counted"][0, :8, 40:].sum() == 0
    assert maps["counted"][0].sum() == 28 * 48 - 64
    assert maps["weight"][0, 27, 47] == 0


def test_tracks_are_interpolated_and_end():
    track = ((10, 0, 0, 10, 20), (20, 100, 0, 110, 40))
    assert interpolate(track, 9) is None
    assert interpolate(track, 15) == (50, 0, 60, 30)
    assert interpolate(track, 21) is None


def test_difference_to_the_room_boxes_the_person():
    room = np.full((240, 320, 3), 90, np.uint8)
    frame = room.copy()
    frame[60:220, 100:160] = 200
    frame[10:18, 300:308] = 200
    large, small = differing(frame, room)
    np.testing.assert_allclose(large, [[100, 60, 160, 220]], atol=3)
    np.testing.assert_allclose(small, [[300, 10, 308, 18]], atol=3)


def test_reading_a_clip_with_boxes_set_by_hand(tmp_path: Path):
    name = "pose_1.mp4"
    writer = cv2.VideoWriter(str(tmp_path / name), cv2.VideoWriter.fourcc(*"mp4v"), 30, (576, 576))
    for k in range(12):
        writer.write(np.full((576, 576, 3), 10 * k, np.uint8))
    writer.release()
    clip = read_clip(tmp_path / name)
    assert len(clip.jpegs) == len(clip.boxes) == 12
    assert clip.held_out_from == 8
    np.testing.assert_array_equal(clip.boxes[0][0], PEOPLE[name][0][0][1:])


def test_joint_box_and_detector_agreement():
    joints = np.full((14, 2), np.nan, np.float32)
    visible = np.zeros(14, bool)
    joints[[0, 13, 6]], visible[[0, 13, 6]] = [[101, 301], [101, 101], [51, 201]], True
    box = joint_box(joints, visible, (400, 400))
    assert box[0] < 50
    assert box[1] < 100
    assert box[3] > 300
    seen = np.array([[30, 90, 130, 320, 0.8], [300, 0, 390, 200, 0.6]], np.float32)
    settled, others = settle(box, 3, seen)
    np.testing.assert_allclose(settled, [30, 90, 130, 320], atol=12)
    np.testing.assert_array_equal(others, [[300, 0, 390, 200]])
    assert settle(box, 3, seen[1:]) is None, "three joints that nobody confirms make no box"
    assert settle(box, 14, seen[1:]) is not None


def test_a_tenth_is_held_out():
    assert 0.07 < np.mean([held_out(f"im{k:05d}.jpg") for k in range(2000)]) < 0.13


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    jpegs = [cv2.imencode(".jpg", np.full((90, 160, 3), v, np.uint8))[1].ravel() for v in (50, 200)]
    start = np.cumsum([0, *map(len, jpegs)])
    boxes = np.array([[10, 10, 50, 80], [60, 10, 90, 80], [0, 0, 20, 20]], np.float32)
    for kind in ("scenes", "stills"):
        (tmp_path / kind).mkdir()
    arrays = {"jpeg": np.concatenate(jpegs), "jpeg_start": start}
    crowd = {"box_xyxy_px": boxes, "box_visible": np.array([1, 0.1, 0.9]), "box_start": np.array([0, 2, 3])}
    np.savez(tmp_path / "scenes" / "0.npz", **arrays, **crowd)
    np.savez(tmp_path / "stills" / "0.npz", **arrays, box_xyxy_px=np.array([[-5, 10, 50, 80]] * 2, np.float32))
    return tmp_path


def test_shards(shards: Path):
    rng = np.random.default_rng(0)
    assert not sources.ShardSource(shards / "absent").ready()
    drawn = [sources.ShardSource(shards / "scenes").draw(rng) for _ in range(12)]
    dark = next(scene for scene in drawn if scene.image.mean() < 100)
    assert (len(dark.boxes), len(dark.ignore)) == (1, 1), "hardly visible people are neither found nor forbidden"
    still = sources.ShardSource(shards / "stills").draw(rng)
    np.testing.assert_array_equal(still.boxes, [[0, 10, 50, 80]])
    counted = np.zeros((90, 160), bool)
    for x1, y1, x2, y2 in still.ignore.astype(int):
        counted[y1:y2, x1:x2] = True
    assert not counted[10:80, 0:50].any()
    assert counted.sum() == 90 * 160 - 70 * 50


def test_batches_mix_all_sources(shards: Path):
    class Plain:
        def draw(self, rng):
            return Scene(np.full((120, 200, 3), 90, np.uint8), NONE, NONE)

    source = sources.ShardSource(shards / "scenes")
    data = sources.BoxBatches([(source, 1.0)], [(source, 1.0)], [(Plain(), 1.0)], SIZE, 16, seed=3)
    batch = next(iter(data))
    assert batch["image"].shape == (16, 3, 224, 384)
    assert batch["centre"].shape == (16, 1, 28, 48)
    people = (batch["centre"] == 1).flatten(1).sum(1)
    assert (people > 0).any()
    assert (people == 0).any()
    again = next(iter(sources.BoxBatches([(source, 1.0)], [(source, 1.0)], [(Plain(), 1.0)], SIZE, 16, seed=3)))
    assert again["image"].shape == batch["image"].shape
