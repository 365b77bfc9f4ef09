"""VideoPose3D one frame at a time: rings of past activations, batch norm folded, what is exported.

The symmetric model runs with its look-ahead as delay: what comes out belongs to the frame `look_ahead` steps ago.
At the start every ring is filled with its first entry, which equals padding the input with its first frame; the
first `look_ahead` outputs then belong to copies of that frame. To flush the last ones, repeat the last frame.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from engines.spec import PEOPLE, EngineSpec, StateSpec
from train.deliver.export import export_model
from train.models.lifter_io import lifter_spec
from train.models.videopose import JOINTS, VideoPose

NEAREST_M = 0.1
HELD_WEIGHT = 1e-3  # of a joint that is held from earlier, beside the scores of those that are seen


class TapStep(nn.Module):
    """One folded convolution on the taps of a ring."""

    def __init__(self, weight: Tensor, bias: Tensor, taps: int, dilation: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight.clone()), nn.Parameter(bias.clone())
        self.taps, self.dilation = taps, dilation

    def forward(self, ring: Tensor) -> Tensor:
        """Map a ring (P, reach + 1, width_in), newest last, to (P, width)."""
        taps = torch.cat([ring[:, i * self.dilation] for i in range(self.taps)], -1)
        return functional.relu(functional.linear(taps, self.weight, self.bias))


class NetworkStep(nn.Module):
    """The step of one VideoPose network, in eval mode."""

    def __init__(self, model: VideoPose) -> None:
        super().__init__()
        wide = [model.expand, *(b.wide for b in model.blocks)]
        self.wide = nn.ModuleList(TapStep(*layer.folded(), layer.taps, layer.dilation) for layer in wide)
        self.mix = nn.ModuleList(TapStep(*b.mix.folded(), 1, 1) for b in model.blocks)
        self.head = nn.Linear(model.channels, model.joints_out * 3)
        self.head.load_state_dict(model.head.state_dict())
        self.residual_at = [b.at * b.wide.dilation for b in model.blocks]
        self.rings = [(layer.reach, layer.width_in) for layer in wide]

    def states(self, prefix: str) -> tuple[StateSpec, ...]:
        """Return one ring of past inputs per layer that has more than one tap."""
        return tuple(
            StateSpec(f"{prefix}{i}", f"{prefix}{i}_out", (PEOPLE, reach, width), "float32")
            for i, (reach, width) in enumerate(self.rings)
            if reach
        )

    def forward(self, xy: Tensor, keep: Tensor, past: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Step.

        Args:
            xy: (P, 17, 2).
            keep: (P, 1, 1); where it is 0 the past is read as if it had always been now.
            past: Rings as in `states`.

        Returns:
            (P, joints_out, 3) metres and the new rings.
        """
        x, past, news = xy.flatten(-2), list(past), []
        for i, layer in enumerate(self.wide):
            now = x.unsqueeze(1)
            if self.rings[i][0]:
                ring = torch.cat([torch.where(keep > 0.5, past.pop(0), now), now], 1)
                news.append(ring[:, 1:])
            else:
                ring = now
            inner = layer(ring)
            x = inner if i == 0 else ring[:, self.residual_at[i - 1]] + self.mix[i - 1](inner.unsqueeze(1))
        return self.head(x).unflatten(-1, (-1, 3)), news


class PoseStream(nn.Module, ABC):
    """What the streams share: joints held while they are missing, the delayed picture, the root.

    Without a trajectory network the root is the place where the pose fits the rays best (`place`).

    Attributes:
        look_ahead: Frames that the output lags behind.
    """

    def __init__(self, receptive_field: int, look_ahead: int, trajectory: VideoPose | None = None) -> None:
        """Prepare.

        Raises:
            ValueError: If the trajectory network's output would belong to another frame than the pose network's.
        """
        super().__init__()
        if trajectory is not None and trajectory.look_ahead != look_ahead:
            raise ValueError(f"the trajectory looks {trajectory.look_ahead} frames ahead, the pose {look_ahead}")
        self.receptive_field, self.look_ahead = receptive_field, look_ahead
        self.trajectory = trajectory
        self.root_step = NetworkStep(trajectory) if trajectory is not None else None

    @abstractmethod
    def states(self) -> tuple[StateSpec, ...]:
        """Return the states of the step, in order."""

    @abstractmethod
    def sequence(self, xy: Tensor, score: Tensor, dt_s: Tensor) -> tuple[Tensor, Tensor]:
        """Lift (B, T, 17, 2), (B, T, 17), (B, T) to xyz_m (B, T, 17, 3) and root_m (B, T, 3), without delay."""

    def root_states(self) -> tuple[StateSpec, ...]:
        """Return what `hold` and `root` keep: the last joints and, for the delay, those before them."""
        held = StateSpec("held", "held_out", (PEOPLE, 1 + self.look_ahead, JOINTS * 3), "float32")
        return held, *(self.root_step.states("root") if self.root_step is not None else ())

    def hold(self, xy: Tensor, score: Tensor, keep: Tensor, held: Tensor) -> tuple[Tensor, Tensor]:
        """Give missing joints their last place; push the frame into the ring.

        Args:
            xy: (P, 17, 2), anything where the score is 0.
            score: (P, 17).
            keep: (P, 1, 1).
            held: (P, 1 + look_ahead, 51) joints and weights, newest last.

        Returns:
            (P, 17, 2) without gaps, and the new ring.
        """
        last = held[:, -1, : JOINTS * 2].unflatten(-1, (JOINTS, 2))
        full = filled(xy, score, torch.where(keep > 0.5, last, middle_of(xy, score)))
        now = torch.cat([full.flatten(-2), score + HELD_WEIGHT], -1).unsqueeze(1)
        return full, torch.cat([torch.where(keep > 0.5, held, now)[:, 1:], now], 1)

    def root(self, xy: Tensor, pose: Tensor, keep: Tensor, held: Tensor, past: list[Tensor]) -> list[Tensor]:
        """Return the root (P, 3) of the frame that the output belongs to, and the trajectory network's new rings."""
        if self.root_step is not None:
            found, news = self.root_step(xy, keep, past)
            return [found.squeeze(-2), *news]
        then = held[:, 0]
        return [place(then[:, : JOINTS * 2].unflatten(-1, (JOINTS, 2)), then[:, JOINTS * 2 :], pose)]

    def roots(self, xy: Tensor, score: Tensor, pose: Tensor) -> Tensor:
        """Return the roots (B, T, 3) of whole sequences; xy without gaps."""
        if self.trajectory is not None:
            return self.trajectory(xy).squeeze(-2)
        return place(xy, score + HELD_WEIGHT, pose)


class VideoPoseStream(PoseStream):
    """A pose network and, if there is one, a trajectory network as a lifter."""

    def __init__(self, pose: VideoPose, trajectory: VideoPose | None = None) -> None:
        super().__init__(pose.receptive_field, pose.look_ahead, trajectory)
        self.pose, self.pose_step = pose.eval(), NetworkStep(pose)

    def states(self) -> tuple[StateSpec, ...]:
        """Return the held joints and the rings of both networks."""
        return *self.root_states(), *self.pose_step.states("pose")

    def sequence(self, xy: Tensor, score: Tensor, dt_s: Tensor) -> tuple[Tensor, Tensor]:
        """See PoseStream."""
        xy = filled_sequence(xy, score)
        pose = centred(self.pose(xy))
        return pose, self.roots(xy, score, pose)

    def forward(self, xy: Tensor, score: Tensor, dt_s: Tensor, keep: Tensor, *past: Tensor) -> tuple[Tensor, ...]:
        """Lift one frame: P people, states as in `states`; return xyz_m, root_m and the new states."""
        keep = keep.reshape(-1, 1, 1)
        xy, held = self.hold(xy, score, keep, past[0])
        split = len(self.root_states())
        pose, rings = self.pose_step(xy, keep, list(past[split:]))
        pose = centred(pose)
        root, *root_rings = self.root(xy, pose, keep, held, list(past[1:split]))
        return pose, root, held, *root_rings, *rings


def centred(pose: Tensor) -> Tensor:
    """Return poses (..., 17, 3) with the pelvis at the origin."""
    return pose - pose[..., :1, :]


def middle_of(xy: Tensor, score: Tensor) -> Tensor:
    """Return the middle (..., 1, 2) of the joints that are seen; 0 if none is."""
    seen = (score > 0).unsqueeze(-1)
    total = torch.where(seen, xy, torch.zeros_like(xy)).sum(-2, keepdim=True)
    return total / seen.to(xy.dtype).sum(-2, keepdim=True).clamp(min=1)


def filled(xy: Tensor, score: Tensor, instead: Tensor) -> Tensor:
    """Return joints (..., 17, 2) with `instead` where the score is 0."""
    return torch.where((score > 0).unsqueeze(-1), xy, instead)


def filled_sequence(xy: Tensor, score: Tensor) -> Tensor:
    """Give missing joints of (B, T, 17, 2) their last place; before the first, the middle of the first frame's."""
    first = filled(xy[:, :1], score[:, :1], middle_of(xy[:, :1], score[:, :1]))
    seen = (score > 0).clone()
    seen[:, 0] = True
    frame = torch.arange(xy.shape[1]).view(1, -1, 1)
    last = torch.where(seen, frame, torch.zeros_like(frame)).cummax(1).values
    return torch.cat([first, xy[:, 1:]], 1).gather(1, last.unsqueeze(-1).expand_as(xy))


def place(xy: Tensor, weight: Tensor, pose: Tensor) -> Tensor:
    """Return where the pelvis must be for a pose to be seen along its rays, by linear least squares.

    Each joint asks for X + x = u (Z + z) and Y + y = v (Z + z); the errors are weighed in metres.

    Args:
        xy: (..., 17, 2) rays u, v.
        weight: (..., 17), not all 0.
        pose: (..., 17, 3) x, y, z with the pelvis at the origin, metres.

    Returns:
        (..., 3) X, Y, Z; Z at least 0.1.
    """
    weight = (weight / weight.sum(-1, keepdim=True)).unsqueeze(-1)
    offset = xy * pose[..., 2:] - pose[..., :2]  # X = u Z + offset
    ray, mean = (weight * xy).sum(-2), (weight * offset).sum(-2)
    spread = (weight * (xy - ray.unsqueeze(-2)) ** 2).sum((-2, -1))
    against = (weight * (xy - ray.unsqueeze(-2)) * (offset - mean.unsqueeze(-2))).sum((-2, -1))
    depth = (-against / spread.clamp(min=1e-6)).clamp(min=NEAREST_M).unsqueeze(-1)
    return torch.cat([ray * depth + mean, depth], -1)


def stream_spec(model: PoseStream, name: str, fps: float, provenance: dict[str, Any]) -> EngineSpec:
    """Return the metadata of a stream trained at one frame rate."""
    spec = lifter_spec(name, model.states(), model.receptive_field, provenance)
    extra = {"look_ahead_frames": model.look_ahead, "frame_rate_hz": [fps, fps]}
    return dataclasses.replace(spec, settings={**spec.settings, **extra})


def export_stream(model: PoseStream, name: str, path: Path, fps: float, provenance: dict[str, Any]) -> float:
    """Write a stream as .onnx; return the largest difference (metres, states) from PyTorch."""
    rng = torch.Generator().manual_seed(0)
    inputs = {
        "xy": torch.rand(3, JOINTS, 2, generator=rng) - 0.5,
        "score": torch.rand(3, JOINTS, generator=rng),
        "dt_s": torch.full((3,), 1 / fps),
        "keep": torch.tensor([1.0, 0.0, 1.0]),
    }
    inputs["score"][0, 5] = 0
    inputs |= {s.input: torch.rand(3, *s.shape[1:], generator=rng) for s in model.states()}
    spec = stream_spec(model, name, fps, provenance)
    return export_model(model, inputs, spec, path, dynamic_people=True, tolerance=1e-3)
