"""Where two cameras stand to each other, found from the 2D joints that both saw (thesis section 3.4.2).

RANSAC fundamental matrix -> essential matrix -> SVD -> the one of four poses that puts the joints in front of both
cameras; then the pose is polished on the inliers, because an essential matrix rounded off from a fundamental one
wastes what the known intrinsics tell. The distance of the cameras cannot be seen: it is given, or 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from train.data.motion.rigs import Camera

Array = npt.NDArray[np.float64]
MIN_POINTS = 16
POLISH_STEPS = 12
FRONT_SHARE = 0.75  # of the inliers, before both cameras, for a pose to be believed


class ExtrinsicsError(ValueError):
    """The joints do not tell where the cameras stand."""


@dataclass(frozen=True, slots=True)
class RelativePose:
    """Camera 2 as camera 1 sees it, in the thesis's form: `point_2 = rotation @ (point_1 - position)` (eq. 3.3).

    Attributes:
        rotation: (3, 3) R_1to2.
        position_m: (3,) t_1to2, camera 2's centre in camera 1's axes; of the given length.
        inlier: (N,) bool, the correspondences that agree with it.
    """

    rotation: Array
    position_m: Array
    inlier: npt.NDArray[np.bool_]

    def reversed(self) -> RelativePose:
        """Return camera 1 as camera 2 sees it: R_2to1 = R_1to2^T, t_2to1 = -R_1to2 t_1to2."""
        return RelativePose(self.rotation.T, -self.rotation @ self.position_m, self.inlier)


def relative_pose(
    xy1_px: Array,
    xy2_px: Array,
    cameras: tuple[Camera, Camera],
    baseline_m: float = 1.0,
    threshold_px: float = 3.0,
    seed: int = 0,
) -> RelativePose:
    """Find the pose of camera 2 from corresponding pixels; only the intrinsics of `cameras` are read.

    Args:
        xy1_px: (N, 2) joints of any frames in view 1; rows with a NaN in either view are left out.
        xy2_px: (N, 2) the same joints at the same moments in view 2.
        cameras: The two views' intrinsics and distortion.
        baseline_m: Distance of the camera centres, metres; 1 gives a result up to scale.
        threshold_px: How far a joint of an inlier may lie from its epipolar line.
        seed: Of RANSAC.

    Raises:
        ExtrinsicsError: If there are fewer than 16 usable joints, or no pose explains them.
    """
    usable = np.isfinite(xy1_px).all(-1) & np.isfinite(xy2_px).all(-1)
    if usable.sum() < MIN_POINTS:
        raise ExtrinsicsError(f"{int(usable.sum())} joints seen by both cameras, need {MIN_POINTS}")
    rays = [_rays(np.asarray(xy, np.float64)[usable], c) for xy, c in zip((xy1_px, xy2_px), cameras, strict=True)]
    fundamental, inlier = _fundamental(rays, cameras, threshold_px, seed)
    essential = _intrinsics(cameras[1]).T @ fundamental @ _intrinsics(cameras[0])
    kept = [r[inlier] for r in rays]
    rotation, direction = _in_front(essential, *kept)
    focal = float(np.mean([c.focal_px for c in cameras]))
    rotation, direction = _polished(rotation, direction, *rays, threshold_px / focal)
    error_px = np.abs(_sampson(rotation, direction, *rays)) * focal
    whole = np.zeros(len(usable), np.bool_)
    whole[usable] = error_px < threshold_px
    return RelativePose(rotation, -rotation.T @ direction * baseline_m, whole)


def _intrinsics(camera: Camera) -> Array:
    (fx, fy), (cx, cy) = camera.focal_px, camera.centre_px
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], np.float64)


def _rays(xy_px: Array, camera: Camera) -> Array:
    """Return undistorted ray coordinates (N, 2)."""
    lens = np.array([*camera.radial[:2], *camera.tangential, camera.radial[2]], np.float64)
    return cv2.undistortPoints(xy_px[:, None], _intrinsics(camera), lens)[:, 0]


def _fundamental(
    rays: list[Array], cameras: tuple[Camera, Camera], threshold_px: float, seed: int
) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Return F of `x2^T F x1 = 0` on undistorted pixels, and the inliers."""
    pixels = [_pixels(r, c) for r, c in zip(rays, cameras, strict=True)]
    cv2.setRNGSeed(seed)
    found, mask = cv2.findFundamentalMat(*pixels, cv2.FM_RANSAC, threshold_px, 0.9999, 4000)
    if found is None or found.shape != (3, 3) or mask.sum() < MIN_POINTS:
        raise ExtrinsicsError("no fundamental matrix agrees with the joints")
    inlier = mask.ravel().astype(np.bool_)
    return _eight_points(*(p[inlier] for p in pixels)), inlier


def _pixels(rays: Array, camera: Camera) -> Array:
    return rays * np.asarray(camera.focal_px) + np.asarray(camera.centre_px)


def _eight_points(x1: Array, x2: Array) -> Array:
    """Return the least-squares fundamental matrix of all points (Hartley's normalised eight-point algorithm)."""
    (a, to_a), (b, to_b) = _normalised(x1), _normalised(x2)
    rows = (b[:, :, None] * a[:, None, :]).reshape(-1, 9)
    u, s, vt = np.linalg.svd(np.linalg.svd(rows, full_matrices=False)[2][-1].reshape(3, 3))
    s[2] = 0
    return to_b.T @ (u * s @ vt) @ to_a


def _normalised(x: Array) -> tuple[Array, Array]:
    """Return homogeneous points about the origin with a mean distance of sqrt 2, and the matrix that does it."""
    mean = x.mean(0)
    scale = np.sqrt(2) / np.linalg.norm(x - mean, axis=1).mean()
    matrix = np.array([[scale, 0, -scale * mean[0]], [0, scale, -scale * mean[1]], [0, 0, 1]])
    return _homogeneous(x) @ matrix.T, matrix


def _homogeneous(x: Array) -> Array:
    return np.concatenate([x, np.ones((len(x), 1))], 1)


def _in_front(essential: Array, rays1: Array, rays2: Array) -> tuple[Array, Array]:
    """Decompose E and return the (R, t) of `x2 = R x1 + t` with most joints before both cameras (cheirality)."""
    u, _, vt = np.linalg.svd(essential)
    turn = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    best: tuple[float, Array, Array] | None = None
    for middle in (turn, turn.T):
        rotation = u @ middle @ vt
        rotation *= np.sign(np.linalg.det(rotation))
        for direction in (u[:, 2], -u[:, 2]):
            share = float((depths(rotation, direction, rays1, rays2) > 0).all(-1).mean())
            if best is None or share > best[0]:
                best = share, rotation, direction
    if best is None or best[0] < FRONT_SHARE:
        raise ExtrinsicsError("no pose of the second camera puts the joints in front of both")
    return best[1], best[2]


def depths(rotation: Array, direction: Array, rays1: Array, rays2: Array) -> Array:
    """Triangulate rays (N, 2) of two cameras, `x2 = R x1 + t`; return the (N, 2) depths in units of |t|."""
    ahead, target = _homogeneous(rays1) @ rotation.T, _homogeneous(rays2)
    # z2 target - z1 ahead = t, in least squares
    aa, bb, ab = (ahead * ahead).sum(1), (target * target).sum(1), (ahead * target).sum(1)
    at, bt = ahead @ direction, target @ direction
    whole = np.maximum(aa * bb - ab * ab, 1e-12)
    return np.stack([(ab * bt - bb * at) / whole, (aa * bt - ab * at) / whole], 1)


def _sampson(rotation: Array, direction: Array, rays1: Array, rays2: Array) -> Array:
    """Return the (N,) first-order distances from the epipolar constraint, in ray coordinates."""
    essential = _cross(direction) @ rotation
    x1, x2 = _homogeneous(rays1), _homogeneous(rays2)
    line2, line1 = x1 @ essential.T, x2 @ essential
    slope = (line2[:, :2] ** 2).sum(1) + (line1[:, :2] ** 2).sum(1)
    return (x2 * line2).sum(1) / np.sqrt(np.maximum(slope, 1e-18))


def _cross(v: Array) -> Array:
    return np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])


def _polished(rotation: Array, direction: Array, rays1: Array, rays2: Array, soft: float) -> tuple[Array, Array]:
    """Minimise the Sampson distances over the five parameters, by Gauss-Newton with Cauchy weights of width `soft`."""
    for _ in range(POLISH_STEPS):
        error = _sampson(rotation, direction, rays1, rays2)
        slope = np.stack(
            [(_sampson(*_moved(rotation, direction, step), rays1, rays2) - error) / 1e-6 for step in np.eye(5) * 1e-6],
            1,
        )
        weight = 1 / (1 + (error / soft) ** 2)
        step = np.linalg.solve(slope.T * weight @ slope + 1e-9 * np.eye(5), -slope.T @ (weight * error))
        rotation, direction = _moved(rotation, direction, step)
        if np.abs(step).max() < 1e-9:
            break
    return rotation, direction


def _moved(rotation: Array, direction: Array, step: Array) -> tuple[Array, Array]:
    """Turn R by step[:3] (axis times angle) and the unit direction by step[3:] on its sphere."""
    _, _, tangent = np.linalg.svd(direction[None])
    moved = direction + step[3:] @ tangent[1:]
    return cv2.Rodrigues(step[:3])[0] @ rotation, moved / np.linalg.norm(moved)
