"""The projection that the losses go through is the cameras' own, lens distortion included."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from train.data.motion.rigs import Camera, room_rig
from train.data.motion.room import normalised
from train.methods.projection import lens_px, lens_screen, mirrored_lens, project


def points(count: int = 200) -> np.ndarray:
    rng = np.random.default_rng(0)
    depth = rng.uniform(2, 8, count)
    return np.stack([rng.uniform(-0.4, 0.4, count) * depth, rng.uniform(-0.4, 0.4, count) * depth, depth], 1)


def test_equals_the_cameras_and_opencvs_projection() -> None:
    camera_m = points()
    for camera in room_rig():
        ours = project(torch.from_numpy(camera_m).float(), lens_px(camera)).numpy()
        np.testing.assert_allclose(ours, camera.project(camera_m), atol=2e-3)
        matrix = np.array(
            [[camera.focal_px[0], 0, camera.centre_px[0]], [0, camera.focal_px[1], camera.centre_px[1]], [0, 0, 1]]
        )
        lens = np.array([*camera.radial[:2], *camera.tangential, camera.radial[2]])
        theirs = cv2.projectPoints(camera_m, np.zeros(3), np.zeros(3), matrix, lens)[0][:, 0]
        np.testing.assert_allclose(ours, theirs, atol=2e-3)
        straight = camera_m[:, :2] / camera_m[:, 2:] * camera.focal_px + camera.centre_px
        assert np.abs(ours - straight).max() > 5  # the lens matters, or the test says nothing about it


def test_screen_lens_projects_to_videopose3ds_screen() -> None:
    camera = room_rig()[2]
    wide = Camera(camera.rotation, camera.position_m, (1000, 600), camera.focal_px, camera.centre_px, camera.radial)
    camera_m = points()
    screen = project(torch.from_numpy(camera_m).float(), lens_screen(wide)).numpy()
    np.testing.assert_allclose(screen, normalised(wide.project(camera_m), wide.size_wh), atol=1e-5)


def test_lenses_broadcast_over_a_batch_of_poses() -> None:
    rig = room_rig()
    poses = torch.from_numpy(points(4 * 17)).float().reshape(4, 17, 3)
    together = project(poses, torch.stack([lens_px(c) for c in rig])[:, None])
    for pose, camera, seen in zip(poses, rig, together, strict=True):
        torch.testing.assert_close(project(pose, lens_px(camera)), seen)


def test_mirrored_points_through_the_mirrored_lens_give_the_mirrored_picture() -> None:
    lens = lens_screen(room_rig()[0])
    camera_m = torch.from_numpy(points()).float()
    flip = torch.tensor([-1.0, 1.0, 1.0])
    torch.testing.assert_close(project(camera_m * flip, mirrored_lens(lens)), project(camera_m, lens) * flip[:2])
    assert (project(camera_m * flip, lens) - project(camera_m, lens) * flip[:2]).abs().max() > 0.01


def test_points_behind_or_beside_the_camera_cost_a_bounded_error_and_a_finite_gradient() -> None:
    lens = lens_screen(room_rig()[0])
    bad = torch.tensor([[1.0, -1.0, 0.0], [0.3, 0.2, -0.5], [50.0, 1.0, 0.2], [0.0, 0.0, 0.0]], requires_grad=True)
    free = project(bad, lens)
    limited = project(bad, lens, ray_limit=1.0)
    assert torch.isfinite(free).all()
    assert limited.abs().max() < 10
    (free.sum() + limited.sum()).backward()
    assert torch.isfinite(bad.grad).all()
    # inside the limit nothing changes
    good = torch.from_numpy(points()).float()
    torch.testing.assert_close(project(good, lens, ray_limit=1.0), project(good, lens))
