from __future__ import annotations

import numpy as np
import pytest

from engines.skeletons import H36M17
from tests.viewer.people import people
from viewer.scene import ANKLE_HEIGHT_M, Scene

HEAD, PELVIS = H36M17.index("head_top"), 0


def feed(scene: Scene, heights_m: list[float], start_s: float = 0.0) -> list[float]:
    """Play roots of these heights (camera y is down) at 30 fps; return the heights of the lowest joint."""
    lows = []
    for i, height in enumerate(heights_m):
        scene.update(people([(0, -height, 4)], seq=i), start_s + i / 30)
        lows.append(float(scene.figures[0].points_m[:, 1].min()))
    return lows


@pytest.mark.parametrize("root_y", [-1.5, 0.0, 0.7])
def test_feet_stand_on_the_grid_whatever_the_camera_height(root_y: float):
    scene = Scene()
    scene.update(people([(0.3, root_y, 4)]), 0.0)
    points = scene.figures[0].points_m
    assert points[:, 1].min() == pytest.approx(ANKLE_HEIGHT_M, abs=1e-5)
    assert points[HEAD, 1] > points[PELVIS, 1] + 0.6  # upright although the camera's y points down
    assert points[PELVIS, [0, 2]] == pytest.approx([0.3, -4.0])


def test_a_jump_leaves_the_floor_and_a_lower_floor_is_found():
    scene = Scene()
    lows = feed(scene, [0.0] * 30 + [0.1, 0.25, 0.35, 0.4, 0.4, 0.35, 0.25, 0.1] + [0.0] * 20)
    assert max(lows) > ANKLE_HEIGHT_M + 0.3
    assert lows[-1] == pytest.approx(ANKLE_HEIGHT_M, abs=0.02)
    drifted = feed(scene, [0.4] * 60, start_s=2.0)  # for good: the estimate of the distance changed
    assert drifted[-1] == pytest.approx(ANKLE_HEIGHT_M, abs=0.03)


def test_uncertain_distance_is_shown_steadily():
    scene, placed = Scene(), []
    rng = np.random.default_rng(0)
    for i in range(90):
        far = 4 * (1 + 0.1 * rng.standard_normal())
        scene.update(people([(0.25 * far, 0.1 * far, far)], seq=i), i / 30)
        placed.append(scene.figures[0].points_m[PELVIS])
    path = np.stack(placed)[30:]
    assert path[:, 2].std() < 0.15  # 0.4 m came in
    assert path[:, 0] / -path[:, 2] == pytest.approx(0.25, abs=1e-4)  # and the direction is as seen


def test_people_stand_where_the_roots_say_or_side_by_side_in_picture_order():
    scene = Scene()
    scene.update(people([(1, 0, 4), (-1, 0, 5)]), 0.0)
    assert scene.placed
    assert [f.points_m[0, 0] for f in scene.figures] == pytest.approx([1, -1])
    assert [f.points_m[0, 2] for f in scene.figures] == pytest.approx([-4, -5])
    scene.clear()
    scene.update(people([(1, 0, 4), (-1, 0, 5)], known_root=False), 0.0)
    assert not scene.placed
    first, second = (f.points_m[0, 0] for f in scene.figures)
    assert first - second > 1.0  # the one at the right of the picture stands at the right
    assert second == pytest.approx(-first)


def test_a_root_that_gets_lost_keeps_its_place():
    scene = Scene()
    scene.update(people([(1, 0, 4)]), 0.0)
    scene.update(people([(1, 0, 4)], known_root=False), 1 / 30)
    assert scene.placed
    assert scene.figures[0].points_m[0, 0] == pytest.approx(1)


def test_trails_grow_and_a_jump_back_in_time_forgets_them():
    scene = Scene()
    feed(scene, [0.0] * 60)
    trail = scene.figures[0].trails[0]
    assert trail.shape[1] == 3
    assert 30 <= len(trail) <= 40  # 1.2 s at 30 fps
    scene.update(people(), 0.5)
    assert len(scene.figures[0].trails[0]) == 1


def test_nobody_and_many():
    scene = Scene()
    scene.update(people([]), 0.0)
    assert scene.figures == ()
    scene.update(people([(x, 0, 6) for x in range(-5, 5)]), 0.1)
    assert len(scene.figures) == 10
    assert scene.radius_m > 4.5
    assert scene.centre_m[0] == pytest.approx(-0.5, abs=0.01)


def test_the_view_stands_still_for_small_moves_and_follows_large_ones():
    scene = Scene()
    for i in range(30):
        scene.update(people([(0.1 * np.sin(i), 0, 4)]), i / 30)
    still = scene.centre_m.copy()
    for i in range(30, 60):
        scene.update(people([(0.1 * np.sin(i), 0, 4)]), i / 30)
    assert np.array_equal(scene.centre_m, still)
    for i in range(60, 240):
        scene.update(people([(2.0, 0, 4)]), i / 30)
    assert scene.centre_m[0] == pytest.approx(2.0, abs=0.2)
