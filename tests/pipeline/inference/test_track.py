from __future__ import annotations

import numpy as np
import pytest

from pipeline.inference.track import TrackConfig, Tracker

WH = (1280, 720)


def person(x, y, height=300.0):
    """Joints of somebody standing at (x, y) = top centre."""
    rng = np.random.default_rng(3)
    return (np.array([x, y]) + rng.uniform([-0.15, 0.05], [0.15, 0.95], (17, 2)) * height).astype(np.float32)


def box(x, y, height=300.0):
    return np.array([[x - 0.2 * height, y, x + 0.2 * height, y + height]], np.float32)


def see(tracker, people, time_s, score=0.9):
    xy = np.stack(people) if people else np.zeros((0, 17, 2), np.float32)
    return tracker.observe(xy, np.full((len(people), 17), score, np.float32), WH, time_s)


def test_a_walker_keeps_the_id_and_the_crop_follows():
    tracker = Tracker()
    tracker.propose(box(200, 200), 0.0)
    for frame in range(60):
        x = 200 + frame * 12
        assert see(tracker, [person(x, 200)], frame / 30).tolist() == [True]
        if frame % 10 == 9:
            tracker.propose(box(x, 200), frame / 30)
    assert [t.id for t in tracker.tracks] == [0]
    centre = (tracker.tracks[0].box_xyxy_px[:2] + tracker.tracks[0].box_xyxy_px[2:]) / 2
    assert abs(centre[0] - x) < 40


def test_two_people_two_ids_and_a_third_when_there_is_room():
    tracker = Tracker(TrackConfig(max_people=2))
    tracker.propose(np.concatenate([box(200, 200), box(600, 200), box(1000, 200)]), 0.0)
    assert [t.id for t in tracker.tracks] == [0, 1]
    see(tracker, [person(200, 200), person(600, 200)], 0.0)
    for frame in range(1, 40):  # the second one leaves
        see(tracker, [person(200, 200), person(600, 200)], frame / 30, score=0.9 if frame < 2 else 0.0)
        if len(tracker.tracks) < 2:
            break
        tracker.tracks[0].last_good_s = frame / 30
    tracker.propose(np.concatenate([box(200, 200), box(1000, 200)]), 2.0)
    assert [t.id for t in tracker.tracks] == [0, 2]


def test_weak_joints_are_not_reported_and_end_the_track():
    tracker = Tracker()
    tracker.propose(box(200, 200), 0.0)
    see(tracker, [person(200, 200)], 0.0)
    assert see(tracker, [person(200, 200)], 0.1, score=0.05).tolist() == [False]
    assert tracker.doubtful
    assert len(tracker.tracks) == 1
    see(tracker, [person(200, 200)], 0.9, score=0.05)
    assert tracker.tracks == []


def test_finder_misses_end_a_ghost_with_strong_joints():
    tracker = Tracker()
    tracker.propose(box(200, 200), 0.0)
    for i in range(3):
        see(tracker, [person(200, 200)], i / 3)
        tracker.propose(np.zeros((0, 4), np.float32), i / 3)
    assert tracker.tracks == []


UNSURE = np.array([False])


def test_an_unsure_box_confirms_a_track():
    tracker = Tracker()
    tracker.propose(box(200, 200), 0.0)
    for i in range(1, 6):
        see(tracker, [person(200, 200)], i / 3)
        tracker.propose(box(200, 200), i / 3, UNSURE)
    assert [t.id for t in tracker.tracks] == [0]


def test_who_is_found_unsurely_has_to_convince_by_the_joints():
    """0.45 is enough for somebody found surely, not for an unsure box; that one goes at once."""
    tracker = Tracker()
    tracker.propose(box(200, 200), 0.0, UNSURE)
    assert see(tracker, [person(200, 200)], 0.0, score=0.45).tolist() == [False]
    assert tracker.tracks == []
    tracker.propose(box(200, 200), 0.1, UNSURE)
    assert see(tracker, [person(200, 200)], 0.1, score=0.55).tolist() == [True]
    assert [t.id for t in tracker.tracks] == [0]
    tracker.propose(box(200, 200), 0.2)  # now the finder is sure
    assert see(tracker, [person(200, 200)], 0.2, score=0.45).tolist() == [True]


def test_a_room_with_a_coat_costs_no_ids():
    tracker = Tracker()
    for i in range(50):
        tracker.propose(box(800, 200), i / 30, UNSURE)
        assert see(tracker, [person(800, 200)], i / 30, score=0.2).tolist() == [False]
    tracker.propose(np.concatenate([box(200, 200), box(800, 200)]), 2.0, np.array([True, False]))
    assert see(tracker, [person(200, 200), person(800, 200)], 2.0, score=0.4).tolist() == [True, False]
    assert [t.id for t in tracker.tracks] == [0]
    tracker.propose(np.concatenate([box(200, 200), box(800, 200)]), 2.1)
    assert [t.id for t in tracker.tracks] == [0, 1]


def test_two_tracks_on_one_person_become_one():
    tracker = Tracker()
    tracker.propose(np.concatenate([box(200, 200), box(420, 200)]), 0.0)
    report = see(tracker, [person(200, 200), person(205, 203)], 0.0)
    assert report.tolist() == [True, False]
    assert [t.id for t in tracker.tracks] == [0]


def test_second_box_on_a_tracked_person_starts_nobody():
    tracker = Tracker()
    tracker.propose(box(200, 200), 0.0)
    see(tracker, [person(200, 200)], 0.0)
    tracker.propose(np.concatenate([box(200, 200), box(210, 205, 290)]), 0.1)
    assert len(tracker.tracks) == 1


def test_walking_out_of_the_picture_ends_the_track():
    tracker = Tracker()
    tracker.propose(box(1200, 200), 0.0)
    for frame in range(60):
        if tracker.tracks:
            see(tracker, [person(1200 + frame * 15, 200)], frame / 30)
    assert tracker.tracks == []


@pytest.mark.parametrize("score", [np.nan, 0.0])
def test_broken_joints_move_no_box(score):
    tracker = Tracker()
    tracker.propose(box(200, 200), 0.0)
    before = tracker.tracks[0].box_xyxy_px.copy()
    see(tracker, [np.full((17, 2), np.nan, np.float32)], 0.0, score)
    np.testing.assert_array_equal(tracker.tracks[0].box_xyxy_px, before)


def test_joints_in_one_spot_are_no_person():
    tracker = Tracker()
    tracker.propose(box(200, 200), 0.0)
    assert see(tracker, [np.full((17, 2), 300, np.float32)], 0.0).tolist() == [False]


def test_ids_are_never_used_twice():
    tracker = Tracker()
    seen = set()
    for i in range(5):
        tracker.propose(box(100 + 200 * i, 100), float(i))
        seen.update(t.id for t in tracker.tracks)
        tracker.clear()
    assert seen == {0, 1, 2, 3, 4}
