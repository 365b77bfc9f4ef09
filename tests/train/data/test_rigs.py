"""Cameras: the lens against OpenCV's, the axes, and people inside the pictures."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from train.data.motion.rigs import Camera, room_rig, virtual_rig

PERSON_M = np.array([[x, y, z] for x in (-0.4, 0.4) for y in (-0.4, 0.4) for z in (0.0, 0.9, 1.8)])


def rigs() -> list[Camera]:
    return [*room_rig(), *virtual_rig(np.random.default_rng(5), 12)]


def test_the_lens_is_opencvs() -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform([-0.42, -0.42, 1], [0.42, 0.42, 1], (200, 3)) * rng.uniform(2, 8, (200, 1))
    for camera in room_rig():
        matrix = np.diag([*camera.focal_px, 1.0])
        matrix[:2, 2] = camera.centre_px
        k1, k2, k3 = camera.radial
        lens = np.array([k1, k2, *camera.tangential, k3])
        assert all(abs(value) > 1e-4 for value in lens)
        expected = cv2.projectPoints(points, np.zeros(3), np.zeros(3), matrix, lens)[0][:, 0]
        np.testing.assert_allclose(camera.project(points), expected, atol=1e-6)
        np.testing.assert_allclose(camera.project(points.reshape(4, 50, 3)).reshape(-1, 2), expected, atol=1e-6)


def test_without_distortion_it_is_a_pinhole() -> None:
    camera = Camera(np.eye(3), np.zeros(3), (640, 480), np.array([500, 510]), np.array([320, 240]))
    np.testing.assert_allclose(camera.project(np.array([0.2, -0.1, 2.0])), [370, 214.5])


def test_axes_are_right_handed_with_y_down_and_z_towards_the_person() -> None:
    for camera in rigs():
        np.testing.assert_allclose(camera.rotation @ camera.rotation.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(camera.rotation) == pytest.approx(1)
        middle, above = camera.to_camera(np.array([[0, 0, 0.95], [0, 0, 1.95]]))
        assert middle[2] == pytest.approx(np.linalg.norm(middle), rel=1e-3)
        assert above[1] < middle[1] - 0.9
        np.testing.assert_allclose(camera.to_world(camera.to_camera(PERSON_M)), PERSON_M, atol=1e-12)
        np.testing.assert_allclose(camera.to_camera(camera.position_m), 0, atol=1e-12)


def test_the_room_is_like_human36ms() -> None:
    for camera in room_rig():
        assert np.linalg.norm(camera.position_m[:2]) == pytest.approx(5.4, abs=0.5)
        assert camera.position_m[2] == pytest.approx(1.5, abs=0.15)
        assert camera.size_wh == (1000, 1000)
        np.testing.assert_allclose(camera.focal_px, 1147, atol=5)


def test_a_person_in_the_middle_is_in_every_picture() -> None:
    for camera in rigs():
        xy_px = camera.project(camera.to_camera(PERSON_M))
        assert (xy_px > 0).all()
        assert (xy_px < camera.size_wh).all()
        assert np.ptp(xy_px[:, 1]) > 250
    for camera in room_rig():
        for x, y in ((-1.5, 0), (1.5, 0), (0, -1.5), (0, 1.5)):
            xy_px = camera.project(camera.to_camera(PERSON_M + np.array([x, y, 0])))
            assert (xy_px > 0).all()
            assert (xy_px < camera.size_wh).all()


def test_virtual_views_go_round_the_person_and_follow_the_seed() -> None:
    for count in (1, 4, 12):
        cameras = virtual_rig(np.random.default_rng(3), count)
        again = virtual_rig(np.random.default_rng(3), count)
        other = virtual_rig(np.random.default_rng(4), count)
        places, places_again, others = (np.stack([c.position_m for c in rig]) for rig in (cameras, again, other))
        assert len(cameras) == count
        np.testing.assert_array_equal(places, places_again)
        assert np.abs(places - others).max() > 0.1
        turns = np.sort(np.degrees(np.arctan2(places[:, 1], places[:, 0])))
        gaps = np.diff(np.append(turns, turns[0] + 360))
        assert gaps.max() <= 1.7 * 360 / count + 1e-6
        assert gaps.min() >= min(0.3 * 360 / count, 360) - 1e-6
    with pytest.raises(ValueError, match="at least one"):
        virtual_rig(np.random.default_rng(0), 0)


def test_a_camera_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="not a rotation"):
        Camera(np.diag([1.0, 1.0, -1.0]), np.zeros(3), (10, 10), np.ones(2), np.zeros(2))
    with pytest.raises(ValueError, match=r"focal_px has shape \(1,\)"):
        Camera(np.eye(3), np.zeros(3), (10, 10), np.ones(1), np.zeros(2))
