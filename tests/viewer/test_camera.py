from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from viewer.camera import PITCH_RANGE, VIEWS, OrbitCamera

SIZE = (600.0, 400.0)


def settled(view: str) -> OrbitCamera:
    camera = OrbitCamera()
    camera.look(view)
    camera.settle()
    return camera


def test_the_target_is_in_the_middle_and_up_is_up():
    camera = settled("three-quarter")
    target = camera.target_m
    xy, depth = camera.project(np.stack([target, target + np.array([0, 0.5, 0], np.float32)]), SIZE)
    assert xy[0] == pytest.approx([300, 200], abs=0.01)
    assert depth[0] == pytest.approx(camera.distance, abs=1e-4)
    assert xy[1, 1] < 150


@pytest.mark.parametrize(
    ("view", "offset", "moves"),
    [
        ("front", [0.5, 0, 0], (1, 0)),  # the filming camera's right is right
        ("back", [0.5, 0, 0], (-1, 0)),
        ("side", [0, 0, 0.5], (1, 0)),  # seen from the left of the picture: what is nearer to the camera is right
        ("top", [0, 0, 0.5], (0, 1)),  # from above, towards the viewer is down
    ],
)
def test_named_views(view: str, offset: list[float], moves: tuple[int, int]):
    camera = settled(view)
    xy, _ = camera.project(np.stack([camera.target_m, camera.target_m + np.array(offset, np.float32)]), SIZE)
    gone = xy[1] - xy[0]
    assert np.sign(np.round(gone / 20)).tolist() == list(moves)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(-400, 400), st.floats(-400, 400)), max_size=20))
def test_no_drag_turns_the_world_over(drags: list[tuple[float, float]]):
    camera = OrbitCamera()
    for yaw, pitch in drags:
        camera.orbit(yaw, pitch)
    axes = camera.axes()
    assert PITCH_RANGE[0] <= camera.pitch <= PITCH_RANGE[1]
    assert axes[1, 1] > 0  # the picture's up never points down
    assert axes @ axes.T == pytest.approx(np.eye(3), abs=1e-5)
    assert axes[0, 1] == 0  # the horizon is level


def test_views_are_reached_by_the_shorter_way_and_the_glide_ends():
    camera = OrbitCamera()
    camera.orbit(179 - camera.yaw + 720, 0)
    camera.look("side")  # -90 is 91 degrees away one way, 269 the other
    assert abs(camera.goal_yaw - camera.yaw) <= 180
    steps = 0
    while camera.advance(0.02):
        steps += 1
        assert steps < 300
    assert (camera.yaw - VIEWS["side"][0] + 180) % 360 == pytest.approx(180, abs=0.1)


def test_zoom_and_fit():
    camera = settled("front")
    camera.fit(1.0, 2.2, SIZE)
    camera.settle()
    near = camera.distance
    head, _ = camera.project(np.array([[0, 2.0, 0], [0, 0, 0]], np.float32), SIZE)
    assert 0 < head[0, 1] < head[1, 1] < SIZE[1]  # a person fits from head to foot
    camera.magnify(1 / 2)
    camera.settle()
    assert camera.distance == pytest.approx(near * 2, rel=0.01)
    camera.reset()
    camera.settle()
    assert camera.distance == pytest.approx(near, rel=0.01)
    for _ in range(100):
        camera.magnify(2.0)
    camera.settle()
    assert camera.distance >= 0.9
