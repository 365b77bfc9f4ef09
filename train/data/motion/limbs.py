"""Other people's limbs: arms and legs of one motion carried over to another, so that a network sees more poses.

A pose augmentation in the spirit of evolutionary crossover (Li et al., CVPR 2020, "Cascaded deep monocular 3D human
pose estimation with evolutionary training data"): limbs move with the trunk they now hang from.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float32]

# (joints of the limbs, where each hangs from, the two joints whose line is the trunk's right, lower and upper trunk)
ARMS = ((11, 12, 13, 14, 15, 16), (8, 11, 12, 8, 14, 15), (14, 11), (7, 8))
LEGS = ((2, 3, 5, 6), (1, 2, 4, 5), (1, 4), (0, 7))
SHARES = (0.25, 0.15)  # of the people who get other arms, other legs


def exchanged(xyz_m: Float, other_m: Float, rng: np.random.Generator) -> Float:
    """Give some people the arms, or the legs below the hips, of others.

    Args:
        xyz_m: (B, T, 17, 3) joints in world axes.
        other_m: (B, T, 17, 3) whose limbs they may get.
        rng: Draws who gets what.

    Returns:
        (B, T, 17, 3); bone lengths come with the limbs.
    """
    out = xyz_m.copy()
    for (joints, parents, across, along), share in zip((ARMS, LEGS), SHARES, strict=True):
        rows = np.flatnonzero(rng.random(len(xyz_m)) < share)
        turn = np.swapaxes(_trunk(other_m[rows], across, along), -1, -2) @ _trunk(xyz_m[rows], across, along)
        for joint, parent in zip(joints, parents, strict=True):
            bone = other_m[rows, :, joint] - other_m[rows, :, parent]
            out[rows, :, joint] = out[rows, :, parent] + np.einsum("bti,btij->btj", bone, turn)
    return out


def _trunk(xyz_m: Float, across: tuple[int, int], along: tuple[int, int]) -> Float:
    """Return the trunk's axes right, up, ahead as the rows of (B, T, 3, 3)."""
    right = _unit(xyz_m[..., across[0], :] - xyz_m[..., across[1], :])
    up = xyz_m[..., along[1], :] - xyz_m[..., along[0], :]
    ahead = _unit(np.cross(up, right))
    return np.stack([right, np.cross(right, ahead), ahead], -2)


def _unit(v: Float) -> Float:
    return v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-6)
