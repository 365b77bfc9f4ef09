"""2D poses seen by a camera without perspective, and the rotations of such cameras (thesis section 4.3).

Points are rows, as in the chapter: a pose Y (P, 3) is turned as Y R and projected as Y M, with M the first two columns
of R. Axes are a camera's: x right, y down, z forward. Unit of length: the mean distance of the joints from the pelvis
in the picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from engines.skeletons import H36M17

SMALL = 1e-3  # radians squared, below which series are more exact than sin and cos in float32
PELVIS = H36M17.index("pelvis")


@dataclass(frozen=True)
class Factors:
    """What a 2D pose is factorised into.

    Attributes:
        canonical: (B, P, 3) the pose Y^ as no camera turned it.
        rotation: (B, 3, 3) R.
        code: (B, K) phi_n, the coefficients that the dictionary makes `canonical` of.
    """

    canonical: Tensor
    rotation: Tensor
    code: Tensor

    @property
    def pose(self) -> Tensor:
        """Y = Y^ R (equation 4.1): (B, P, 3) in camera axes."""
        return self.canonical @ self.rotation

    @property
    def projection(self) -> Tensor:
        """Y^ M with M = R [I_2 0]^T (section 4.4.1): (B, P, 2)."""
        return self.canonical @ self.rotation[..., :2]


def rotation_matrix(omega: Tensor) -> Tensor:
    """Return R = expm [omega]_x (section 4.3) by Rodrigues' formula; value and gradient are finite at 0 too.

    Args:
        omega: (..., 3) exponential coordinates: axis times angle in radians.

    Returns:
        (..., 3, 3) I + a [omega]_x + b [omega]_x^2 with a = sin t / t, b = (1 - cos t) / t^2, t = |omega|.
    """
    t2 = (omega * omega).sum(-1)
    small = t2 < SMALL
    safe = torch.where(small, torch.ones_like(t2), t2)  # keeps sqrt and the divisions off 0 in the gradient too
    t = safe.sqrt()
    a = torch.where(small, 1 - t2 / 6 + t2 * t2 / 120, t.sin() / t)
    b = torch.where(small, 0.5 - t2 / 24 + t2 * t2 / 720, (1 - t.cos()) / safe)
    hat = hat_matrix(omega)
    identity = torch.eye(3, dtype=omega.dtype, device=omega.device)
    return identity + a[..., None, None] * hat + b[..., None, None] * (hat @ hat)


def hat_matrix(omega: Tensor) -> Tensor:
    """Return [omega]_x (..., 3, 3), the matrix of the cross product with omega (..., 3)."""
    x, y, z = omega.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))


def normalised_pose(xy: Tensor) -> tuple[Tensor, Tensor]:
    """Put the pelvis at the origin and make the mean distance of the joints from it 1 (section 4.7.2).

    Args:
        xy: (..., P, 2) joints in any unit.

    Returns:
        (..., P, 2) and the (..., 1, 1) length that was divided by.
    """
    centred = xy - xy[..., PELVIS : PELVIS + 1, :]
    size = centred.norm(dim=-1).mean(-1).clamp(min=1e-6)[..., None, None]
    return centred / size, size


def reprojection_loss(factors: Factors, xy: Tensor) -> Tensor:
    """Batch mean of ||Y^ M - X||_2 (a view's term of equations 4.3 and 4.7); X is (B, P, 2)."""
    return frobenius(factors.projection - xy)


def frobenius(gap: Tensor) -> Tensor:
    """Return the batch mean of the norms of matrices (B, M, N), with a gradient at 0."""
    return ((gap * gap).sum((-1, -2)) + 1e-10).sqrt().mean()
