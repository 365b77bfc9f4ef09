"""What follows a lifter's raw outputs in time: a learned predict-correct filter, and bones of steady length.

The filter is a Kalman filter whose gains and predictions a network gives (compare One Euro, Casiez et al., CHI 2012,
where a formula does): each joint moves on by a predicted step and is then drawn to the pose found in this frame, far
where the frame is sure and little where it is not. It takes the shiver out of the pose without a fixed lag.

The bones: the network says in every frame how long it takes the body's bones to be (left and right alike); a mean of
that over the person's history gives the lengths, and only the directions of the bones are taken from the filtered
pose. The mean is a slow one: the first frame counts for a second of them, and no later frame pulls as if it were more
than 8 mm off (Huber, "Robust Estimation of a Location Parameter", 1964). Over the first 19 s a bone then moves by less
than 8 / (1 + t) mm/s, later by 0.4; its standard deviation over the first 10 s is below 5 mm whatever the network says;
and a skeleton neither breathes nor stretches.
A plain mean was 0.1 to 0.3 mm (true 2D joints) and 0.5 to 0.6 mm (detected ones) better in MPJPE on the val people, by
how they were filmed, and let a limb wander by up to 16 mm in a third of the clips: what it learned after the first
frame was no nearer the true lengths. The 8 mm and the second were chosen on those people.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from engines.skeletons import H36M17
from engines.spec import PEOPLE, StateSpec

JOINTS = 17
OTHERS = JOINTS - 1
# mean bone lengths of the motion pack in metres, by the bone's far joint, pelvis left out
TYPICAL_BONE_M = (
    0.095, 0.407, 0.425, 0.095, 0.407, 0.425, 0.273, 0.268, 0.115, 0.115, 0.191, 0.291, 0.280, 0.191, 0.291, 0.280,
)  # fmt: skip
SETTLE_OUTPUTS = OTHERS * 3 + 3 + OTHERS + 1 + OTHERS  # steps of joints and root, gains of both, bone lengths
STEP_M = 0.1  # one unit of a predicted step, metres per 1/30 s
ROOT_STEP_M = 0.2
FIRST_COUNTS_S = 1.0  # how many seconds of frames a person's first one counts for in the mean of their bones
MEMORY_S = 20.0  # that this mean counts at most
FRAME_COUNTS_S = 0.1  # that one frame counts at most, however long nobody was seen before it
PULL_M = 0.008  # a frame pulls as if it were no further off than this
# a bone is its far joint less its near one; a joint is the sum of the bones from the pelvis to it
FROM_PARENT = np.eye(OTHERS, dtype=np.float32)
ALONG_CHAIN = np.zeros((JOINTS, OTHERS), np.float32)
for _parent, _joint in H36M17.bones:
    ALONG_CHAIN[_joint] = ALONG_CHAIN[_parent]
    ALONG_CHAIN[_joint, _joint - 1] = 1
    if _parent > 0:
        FROM_PARENT[_joint - 1, _parent - 1] = -1
MIRROR = [H36M17.mirror[j] - 1 for j in range(1, JOINTS)]


@dataclass(frozen=True)
class Advice:
    """What the network says about one frame beside its pose; leading shape (...,).

    Attributes:
        step_m: (..., 17, 3) predicted movement since the last frame: the 16 joints about the pelvis, then the root.
        gain: (..., 17, 1) 0..1, how far each is drawn to this frame's finding; 1 on a person's first frame.
        bone_m: (..., 16) bone lengths.
    """

    step_m: Tensor
    gain: Tensor
    bone_m: Tensor


def read_advice(output: Tensor, dt_s: Tensor) -> Advice:
    """Read (..., SETTLE_OUTPUTS) network outputs; dt_s (...,) seconds since the last frame, 0 on the first."""
    moves, gains = OTHERS * 3 + 3, OTHERS + 1
    frames = (dt_s * 30).clamp(min=0.0, max=6.0).unsqueeze(-1).unsqueeze(-1)
    unit = torch.tensor([STEP_M] * OTHERS + [ROOT_STEP_M], dtype=output.dtype, device=output.device).unsqueeze(-1)
    step_m = output[..., :moves].unflatten(-1, (JOINTS, 3)) * unit * frames
    gain = torch.sigmoid(output[..., moves : moves + gains] + 1.5).unsqueeze(-1)
    first = (dt_s <= 0).to(output.dtype).unsqueeze(-1).unsqueeze(-1)
    log_ratio = 0.5 * torch.tanh(output[..., moves + gains :])
    log_ratio = (log_ratio + log_ratio[..., MIRROR]) / 2
    typical = torch.tensor(TYPICAL_BONE_M, dtype=output.dtype, device=output.device)
    return Advice(step_m, gain + first * (1 - gain), typical * torch.exp(log_ratio))


def settle_states() -> tuple[StateSpec, ...]:
    """Return the states of the step: the last filtered joints with the root, bone lengths, and seconds they count."""
    return (
        StateSpec("placed", "placed_out", (PEOPLE, JOINTS, 3), "float32"),
        StateSpec("bone_m", "bone_m_out", (PEOPLE, OTHERS), "float32"),
        StateSpec("bone_s", "bone_s_out", (PEOPLE, 1), "float32"),
    )


def settle_step(
    found: Tensor, advice: Advice, dt_s: Tensor, keep: Tensor, placed: Tensor, bone_m: Tensor, bone_s: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Settle one frame.

    Args:
        found: (P, 17, 3) metres, camera axes: the 16 joints about the pelvis found in this frame, then the root.
        advice: Of this frame.
        dt_s: (P,) seconds since the person's last frame.
        keep: (P,) 0 where the states are to be forgotten.
        placed: State (P, 17, 3), the last filtered joints and root.
        bone_m: State (P, 16), the mean of the bone lengths.
        bone_s: State (P, 1), how many seconds that mean counts.

    Returns:
        xyz_m (P, 17, 3), root_m (P, 3) and the new states.
    """
    kept = keep.reshape(-1, 1) > 0.5
    gain = torch.where(kept.unsqueeze(-1), advice.gain, torch.ones_like(advice.gain))
    placed = torch.where(kept.unsqueeze(-1), placed, found)
    placed = gain * found + (1 - gain) * (placed + advice.step_m)
    bone_m = torch.where(kept, bone_m, advice.bone_m)
    bone_s = torch.where(kept, bone_s, torch.full_like(bone_s, FIRST_COUNTS_S))
    bone_m, bone_s = _mean_bones(bone_m, bone_s, advice.bone_m, dt_s.reshape(-1, 1) * kept)
    return with_bones(placed[:, :OTHERS], bone_m), placed[:, OTHERS], placed, bone_m, bone_s


def settle_sequence(found: Tensor, advice: Advice, dt_s: Tensor) -> tuple[Tensor, Tensor]:
    """Settle whole sequences from no history: found (B, T, 17, 3), dt_s (B, T) as in `settle_step`.

    Returns:
        xyz_m (B, T, 17, 3) and root_m (B, T, 3).
    """
    drawn, kept = advice.gain * found, 1 - advice.gain
    pushed = kept * advice.step_m + drawn
    placed = [found[:, 0]]
    for now, share in zip(pushed.unbind(1)[1:], kept.unbind(1)[1:], strict=True):
        placed.append(torch.addcmul(now, share, placed[-1]))
    joints = torch.stack(placed, 1)
    bone_m, bone_s = [advice.bone_m[:, 0]], torch.full_like(dt_s[:, :1], FIRST_COUNTS_S)
    for said, passed in zip(advice.bone_m.unbind(1)[1:], dt_s.split(1, 1)[1:], strict=True):
        mean, bone_s = _mean_bones(bone_m[-1], bone_s, said, passed)
        bone_m.append(mean)
    return with_bones(joints[:, :, :OTHERS], torch.stack(bone_m, 1)), joints[:, :, OTHERS]


def _mean_bones(bone_m: Tensor, bone_s: Tensor, said: Tensor, dt_s: Tensor) -> tuple[Tensor, Tensor]:
    """Take one frame's bone lengths (P, 16) into their mean, which counts bone_s (P, 1) seconds; dt_s (P, 1)."""
    first = (dt_s <= 0) & (bone_s <= FIRST_COUNTS_S)  # with look-ahead the first frame is answered several times
    bone_m = torch.where(first, said, bone_m)
    counts = dt_s.clamp(min=0.0, max=FRAME_COUNTS_S)
    bone_s = (bone_s + counts).clamp(max=MEMORY_S)
    return bone_m + counts / bone_s * (said - bone_m).clamp(min=-PULL_M, max=PULL_M), bone_s


def with_bones(joints: Tensor, bone_m: Tensor) -> Tensor:
    """Give a skeleton these bone lengths, keeping the directions of its bones.

    Args:
        joints: (..., 16, 3) joints about the pelvis, without it.
        bone_m: (..., 16) lengths, by the bone's far joint.

    Returns:
        (..., 17, 3) joints about the pelvis.
    """
    bone = torch.matmul(_matrix(FROM_PARENT, joints), joints)
    length = torch.sqrt((bone * bone).sum(-1, keepdim=True) + 1e-8)
    return torch.matmul(_matrix(ALONG_CHAIN, joints), bone * (bone_m.unsqueeze(-1) / length))


def _matrix(rows: npt.NDArray[np.float32], like: Tensor) -> Tensor:
    return torch.from_numpy(rows).to(like)
