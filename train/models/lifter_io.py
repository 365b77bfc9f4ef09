"""What every lifter has around its memory: joints -> features before it, features -> metres after it.

All of it works frame by frame on any leading shape (...,), in a graph of plain arithmetic, so that the
shipped file takes the detector's joints as they are. The person is looked at through a virtual camera
turned towards them: the network then sees the same picture wherever in the image the person stands, and
the pose it finds is turned back into the real camera's axes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from engines.skeletons import H36M17
from engines.spec import PEOPLE, EngineSpec, StateSpec, TensorSpec
from train.models.look_ahead import pack_seen, unpack_seen, wait_sequence, wait_step, waiting_states
from train.models.settle import SETTLE_OUTPUTS, read_advice, settle_sequence, settle_states, settle_step

JOINTS = 17
FEATURES = JOINTS * 3 + 7
OUTPUTS = (JOINTS - 1) * 4 + 3
PELVIS = H36M17.index("pelvis")
SURE = 0.3  # a joint of this score or more counts in full
TYPICAL_LOG_DEPTH = -0.9  # log of the mean distance, in metres, of a person's joints from their centre
FRAME_RATE_HZ = (15, 60)
MAX_GAP_S = 0.5


@dataclass(frozen=True)
class View:
    """The virtual camera of each frame, and where the person is in it.

    Attributes:
        right, down, forward: (..., 3) its axes, expressed in the real camera's axes.
        scale: (..., 1) mean distance of the visible joints from their centre, in its ray coordinates.
        middle: (..., 1, 2) that centre, in units of `scale`; nearly 0.
        unit: (..., 17, 2) joints from the centre, in units of `scale`, shrunk by the gate.
        gate: (..., 17, 1) 0 where a joint is missing .. 1 where it is sure.
    """

    right: Tensor
    down: Tensor
    forward: Tensor
    scale: Tensor
    middle: Tensor
    unit: Tensor
    gate: Tensor


def observe(xy: Tensor, score: Tensor, dt_s: Tensor) -> tuple[Tensor, View]:
    """Turn joints into network features.

    Args:
        xy: (..., 17, 2) ray coordinates (X/Z, Y/Z); anything, even NaN, where the score is 0.
        score: (..., 17) confidence 0..1.
        dt_s: (...,) seconds since this person's previous frame, 0 on the first.

    Returns:
        (..., FEATURES) features and the view needed to read the outputs.
    """
    seen = (score > 0).unsqueeze(-1)
    xy = torch.where(seen, xy, torch.zeros_like(xy))
    weight = (score * score).unsqueeze(-1)
    total = weight.sum(-2) + 1e-6  # (..., 1)
    centre = (weight * xy).sum(-2) / total
    right, down, forward = _turned_to(centre)
    local = _project(xy, right, down, forward)
    middle = (weight * local).sum(-2, keepdim=True) / total.unsqueeze(-2)
    local = local - middle
    distance = torch.sqrt((local * local).sum(-1) + 1e-12)  # (..., 17)
    scale = (weight.squeeze(-1) * distance).sum(-1, keepdim=True) / total
    scale = scale.clamp(min=1e-3)  # nobody seen: a far dot
    unit = (local / scale.unsqueeze(-1)).clamp(-6.0, 6.0)
    gate = (score * (1 / SURE)).clamp(max=1.0).unsqueeze(-1)
    unit = torch.where(seen, unit * gate, torch.zeros_like(unit))
    started = (dt_s > 0).to(xy.dtype)
    log_dt = torch.log(dt_s.clamp(min=1e-3, max=1.0) * 30) * started
    features = torch.cat(
        [
            unit.flatten(-2),
            score,
            centre,
            (middle / scale.unsqueeze(-1)).squeeze(-2),
            torch.log(scale) + 2,
            log_dt.unsqueeze(-1),
            started.unsqueeze(-1),
        ],
        -1,
    )
    return features, View(right, down, forward, scale, middle / scale.unsqueeze(-1), unit, gate)


def to_metres(output: Tensor, view: View) -> tuple[Tensor, Tensor]:
    """Read the network's outputs.

    The depth is exp(output) over the apparent size, bounded to a factor of e^3 either way; the pelvis lies
    on its predicted ray. Across the line of sight a joint starts from where it was seen, as far as the
    network trusts it: that much need not be learned, and only the depth and the errors are.

    Args:
        output: (..., OUTPUTS) pose in virtual-camera axes in metres (x, y on top of what was seen), pelvis ray
            offset in units of `view.scale`, log depth, trust in each joint before the sigmoid.
        view: From `observe`.

    Returns:
        xyz_m (..., 17, 3) pelvis-relative and root_m (..., 3), both in the real camera's axes.
    """
    others = JOINTS - 1
    pose = output[..., : others * 3].unflatten(-1, (others, 3))
    offset, log_depth = output[..., others * 3 : others * 3 + 2], output[..., others * 3 + 2 : others * 3 + 3]
    trust = torch.sigmoid(output[..., others * 3 + 3 :] + 1).unsqueeze(-1)
    pelvis = view.unit[..., PELVIS : PELVIS + 1, :] + offset.unsqueeze(-2)
    metres = torch.exp(3 * torch.tanh(log_depth / 3) + TYPICAL_LOG_DEPTH)  # of one unit at the pelvis' depth
    seen = trust * (view.unit - view.gate * pelvis)[..., 1:, :] * metres.unsqueeze(-1)
    pose = _turn_back(torch.cat([pose[..., :2] + seen, pose[..., 2:]], -1), view, one_more=True)
    xyz_m = torch.cat([torch.zeros_like(pose[..., :1, :]), pose], -2)
    across = (view.middle + pelvis).squeeze(-2) * metres
    root_m = _turn_back(torch.cat([across, metres / view.scale], -1), view, one_more=False)
    return xyz_m, root_m


def _turned_to(centre: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the axes, each (..., 3), of a camera turned (first about y, then about x) to a ray (..., 2)."""
    x, y = centre[..., :1], centre[..., 1:]
    level = torch.sqrt(x * x + 1)
    cos_yaw, sin_yaw = 1 / level, x / level
    whole = torch.sqrt(x * x + y * y + 1)
    cos_pitch, sin_pitch = level / whole, y / whole
    right = torch.cat([cos_yaw, torch.zeros_like(x), -sin_yaw], -1)
    down = torch.cat([-sin_pitch * sin_yaw, cos_pitch, -sin_pitch * cos_yaw], -1)
    forward = torch.cat([cos_pitch * sin_yaw, sin_pitch, cos_pitch * cos_yaw], -1)
    return right, down, forward


def _project(xy: Tensor, right: Tensor, down: Tensor, forward: Tensor) -> Tensor:
    """Return rays (..., 17, 2) as seen by a turned camera."""

    def along(axis: Tensor) -> Tensor:
        axis = axis.unsqueeze(-2)
        return xy[..., :1] * axis[..., :1] + xy[..., 1:] * axis[..., 1:2] + axis[..., 2:]

    depth = along(forward).clamp(min=0.1)
    return torch.cat([along(right) / depth, along(down) / depth], -1)


def _turn_back(xyz: Tensor, view: View, one_more: bool) -> Tensor:
    """Express (..., 3) or, with one more axis, (..., J, 3) virtual-camera points in the real camera's axes."""
    axes = [a.unsqueeze(-2) if one_more else a for a in (view.right, view.down, view.forward)]
    return xyz[..., :1] * axes[0] + xyz[..., 1:2] * axes[1] + xyz[..., 2:] * axes[2]


def lifter_spec(
    name: str,
    states: tuple[StateSpec, ...],
    receptive_field: int,
    provenance: dict[str, object],
    look_ahead: int = 0,
) -> EngineSpec:
    """Return the metadata of a lifter with these states, whose answers lag by `look_ahead` frames."""
    return EngineSpec(
        kind="lifter",
        name=name,
        precision="fp32",
        inputs=(
            TensorSpec("xy", (PEOPLE, JOINTS, 2), "float32", "ray coordinates (X/Z, Y/Z), y down"),
            TensorSpec("score", (PEOPLE, JOINTS), "float32", "confidence 0..1; 0 = missing, its xy is not read"),
            TensorSpec("dt_s", (PEOPLE,), "float32", "seconds since this person's previous frame; 0 on the first"),
        ),
        outputs=(
            TensorSpec("xyz_m", (PEOPLE, JOINTS, 3), "float32", "pelvis-relative metres, camera axes"),
            TensorSpec("root_m", (PEOPLE, 3), "float32", "pelvis in camera space, metres"),
        ),
        states=states,
        keep="keep",
        skeleton=H36M17.name,
        settings={
            "receptive_field": receptive_field,
            "frame_rate_hz": list(FRAME_RATE_HZ),
            "max_gap_s": MAX_GAP_S,
            **({"look_ahead_frames": look_ahead} if look_ahead else {}),
        },
        provenance=provenance,
    )


class Lifter(nn.Module, ABC):
    """What the recipes and the exporter ask of a lifter, whatever its memory.

    `forward` is the step (one frame, explicit state, what is exported); `sequence` the same network over
    whole sequences that begin without history.
    """

    receptive_field: int
    settles: bool
    """Whether the pose is filtered and given steady bones (see train.models.settle)."""

    look_ahead: int
    """Frames by which the answers lag (see train.models.look_ahead)."""

    def __init__(self, settles: bool, look_ahead: int = 0) -> None:
        super().__init__()
        self.settles, self.look_ahead = settles, look_ahead
        self.outputs = OUTPUTS + (SETTLE_OUTPUTS if settles else 0)

    @abstractmethod
    def memory(self) -> tuple[StateSpec, ...]:
        """Return the states of the network itself, in order."""

    @abstractmethod
    def remember(self, features: Tensor) -> Tensor:
        """Map (B, T, FEATURES) to (B, T, self.outputs), causally, from no history."""

    @abstractmethod
    def recall(self, features: Tensor, keep: Tensor, memory: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Map one frame's (P, FEATURES) to (P, self.outputs) and the new states; keep (P,) 0 forgets."""

    def states(self) -> tuple[StateSpec, ...]:
        """Return the states of the step, in order."""
        return self.memory() + waiting_states(self.look_ahead) + (settle_states() if self.settles else ())

    def sequence(self, xy: Tensor, score: Tensor, dt_s: Tensor) -> tuple[Tensor, Tensor]:
        """Lift (B, T, 17, 2), (B, T, 17), (B, T) to xyz_m (B, T, 17, 3) and root_m (B, T, 3).

        With look-ahead row t answers for frame t - look_ahead, or for the first one.
        """
        features, view = observe(xy, score, dt_s)
        output = self.remember(features).float()  # the network may run in bfloat16, the geometry does not
        if self.look_ahead:
            xy, score, dt_s = unpack_seen(wait_sequence(pack_seen(xy, score, dt_s), self.look_ahead))
            view = observe(xy, score, dt_s)[1]
        xyz_m, root_m = to_metres(output[..., :OUTPUTS], view)
        if not self.settles:
            return xyz_m, root_m
        return settle_sequence(_joints_and_root(xyz_m, root_m), read_advice(output[..., OUTPUTS:], dt_s), dt_s)

    def forward(self, xy: Tensor, score: Tensor, dt_s: Tensor, keep: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """Lift one frame: P people, states as in `states`; return xyz_m, root_m and the new states."""
        features, view = observe(xy, score, dt_s)
        count = len(self.memory())
        output, new = self.recall(features, keep, states[:count])
        if self.look_ahead:
            seen, waiting = wait_step(pack_seen(xy, score, dt_s), keep, states[count])
            xy, score, dt_s = unpack_seen(seen)
            view, new, count = observe(xy, score, dt_s)[1], (*new, waiting), count + 1
        xyz_m, root_m = to_metres(output[..., :OUTPUTS], view)
        if not self.settles:
            return (xyz_m, root_m, *new)
        advice = read_advice(output[..., OUTPUTS:], dt_s)
        xyz_m, root_m, *settled = settle_step(_joints_and_root(xyz_m, root_m), advice, dt_s, keep, *states[count:])
        return (xyz_m, root_m, *new, *settled)


def _joints_and_root(xyz_m: Tensor, root_m: Tensor) -> Tensor:
    return torch.cat([xyz_m[..., 1:, :], root_m.unsqueeze(-2)], -2)
