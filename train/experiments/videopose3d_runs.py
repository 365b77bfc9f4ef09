"""The three contestants of `against_videopose3d.py`: how each is trained, and errors averaged as VideoPose3D does."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from engines.measure.metrics3d import mpjpe_mm, mpjve_mm_per_frame, p_mpjpe_mm
from train.data.motion.mocap import Float
from train.data.motion.windows import Track, Windows
from train.loop.epochs import EpochConfig, fit_epochs
from train.loop.fit import Batch
from train.models.videopose import KERNELS, MIRROR, VideoPose, flipped
from train.tasks.videopose import train_networks

INPUTS = {"truth": "gt", "detector": "posestream"}  # ours: VideoPose3D's name of the 2D joints
METRICS = {
    "MPJPE mm": "Protocol #1 Error (MPJPE)",
    "P-MPJPE mm": "Protocol #2 Error (P-MPJPE)",
    "MPJVE mm/frame": "Velocity Error (MPJVE)",
}
WHOLE_DECAY = 0.95**80  # of the learning rate over all epochs, as in the paper
SEQUENCES = (16, 64, 32, 120)  # frames of the shipped architecture's sequences, epoch by epoch
SHORT_FIRST = (4, 8, 16, 32, 8, 64, 16, 120)  # the same, as its recipe goes: from many people to long stretches


@dataclass(frozen=True)
class Budget:
    """What every run gets.

    Attributes:
        channels: Width of VideoPose3D and ours.
        epochs: Each frame and its mirror image once per epoch.
        batch: Targets in a batch.
        fps: Frame rate of the clips.
        every: Take every so-manyth training clip (of the val clips all).
        most_s: Longest piece of a clip.
        lr: First learning rate of VideoPose3D and ours.
        lr_shipped: Of the shipped architecture.
        batch_shipped: Frames in its batches.
        ema_shipped: Decay of its averaged weights, which its recipe has and VideoPose3D has not; 0 = none.
        epochs_as_long: Of the run that gets VideoPose3D's minutes instead of its epochs.
    """

    channels: int = 96
    epochs: int = 8
    batch: int = 256
    fps: float = 30.0
    every: int = 10
    most_s: float = 4.0
    lr: float = 4e-3
    lr_shipped: float = 2e-3
    batch_shipped: int = 32
    ema_shipped: float = 0.995
    epochs_as_long: int = 20

    @property
    def lr_decay(self) -> float:
        """Factor of the learning rate per epoch."""
        return float(WHOLE_DECAY ** (1 / self.epochs))


def action_average(poses: Sequence[Float], tracks: Sequence[Track]) -> dict[str, float]:
    """Average the errors of all 17 joints over the frames of an action, then over the actions, as VideoPose3D does."""
    actions: dict[str, list[tuple[Float, Float]]] = {}
    for pose, track in zip(poses, tracks, strict=True):
        actions.setdefault(track.action, []).append((pose, track.pose_m))
    measures = (mpjpe_mm, p_mpjpe_mm, mpjve_mm_per_frame)
    out = {}
    for name, measure in zip(METRICS, measures, strict=True):
        per_action = []
        for pairs in actions.values():
            weights = [len(p) for p, _ in pairs]
            per_action.append(np.average([measure(p, t) for p, t in pairs], weights=weights))
        out[name] = float(np.mean(per_action))
    return out


def parse(text: str) -> dict[str, float]:
    """Read the errors that VideoPose3D prints per action, and average them over the actions.

    Raises:
        RuntimeError: If there are none.
    """
    out = {}
    for name, printed in METRICS.items():
        found = [float(x) for x in re.findall(re.escape(printed) + r": ([0-9.eE+-]+) mm", text)]
        if not found:
            raise RuntimeError(f"VideoPose3D printed no {printed!r}; its last words: {text.strip()[-500:]}")
        out[name] = float(np.mean(found))
    return out


def run_theirs(checkout: Path, budget: Budget, kind: str, folder: Path) -> tuple[str, str]:
    """Train and test VideoPose3D's causal 243-frame model; return what it prints without and with test-time flip.

    Raises:
        RuntimeError: If it fails; the message holds its last words.
    """
    common = [sys.executable, "run.py", "-k", INPUTS[kind], "-arc", "3,3,3,3,3", "--causal", "-e", str(budget.epochs)]
    common += ["-ch", str(budget.channels), "-c", str(folder.resolve()), "-b", str(budget.batch)]
    common += ["-lr", str(budget.lr), "-lrd", str(budget.lr_decay), "--no-eval"]
    last = f"epoch_{budget.epochs}.bin"
    if not (folder / last).exists():
        _call([*common, "--checkpoint-frequency", str(budget.epochs)], checkout, folder / "train.txt")
    # resuming after the last epoch leaves only the test; its --evaluate fails on checkpoints without trajectory
    resumed = [*common, "--resume", last]
    plain = _call([*resumed, "--no-test-time-augmentation"], checkout, folder / "test.txt")
    return plain, _call(resumed, checkout, folder / "test-flip.txt")


def _call(command: list[str], checkout: Path, log: Path) -> str:
    # one thread, as ours: minutes can be compared; its checkpoints hold a numpy random state, which torch loads only
    # when told to
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}
    with log.open("w") as file:
        done = subprocess.run(command, cwd=checkout, env=environment, stdout=file, stderr=file, check=False)
    if done.returncode:
        raise RuntimeError(f"VideoPose3D stopped with {done.returncode}: {log.read_text().strip()[-500:]}")
    return log.read_text()


def theirs_in_ours(checkpoint: Path, channels: int) -> VideoPose:
    """Load the weights of VideoPose3D's checkpoint into our network."""
    saved = torch.load(checkpoint, weights_only=False)["model_pos"]  # written a moment ago by its own code
    model = VideoPose(KERNELS[243], True, channels)
    state = {}
    places = {"expand.": ("expand_conv", "expand_bn")}
    for i in range(len(model.blocks)):
        places[f"blocks.{i}.wide."] = (f"layers_conv.{2 * i}", f"layers_bn.{2 * i}")
        places[f"blocks.{i}.mix."] = (f"layers_conv.{2 * i + 1}", f"layers_bn.{2 * i + 1}")
    for ours, (conv, norm) in places.items():
        state[f"{ours}linear.weight"] = saved[f"{conv}.weight"].transpose(1, 2).flatten(1)
        for part in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
            state[f"{ours}norm.{part}"] = saved[f"{norm}.{part}"]
    state |= {"head.weight": saved["shrink.weight"][..., 0], "head.bias": saved["shrink.bias"]}
    model.load_state_dict(state)
    return model.eval()


def train_ours(budget: Budget, tracks: Sequence[Track], seed: int, out: Path) -> VideoPose:
    """Train our causal 243-frame model in its strided form, as VideoPose3D's code trains its own."""
    torch.manual_seed(seed)
    networks = nn.ModuleDict({"pose": VideoPose(KERNELS[243], True, budget.channels)})
    config = EpochConfig(out, budget.epochs, budget.lr, budget.lr_decay, seed=seed)
    train_networks(config, networks, tracks, budget.batch, 1, flip="both")
    return networks["pose"]


def shipped_network(parameters: int) -> nn.Module:
    """Return the shipped architecture at the largest width that has no more parameters than given."""
    from train.tasks.lifter import MODELS

    make: Callable[..., nn.Module] = MODELS["tcn"]
    width = 16
    while sum(p.numel() for p in make(width=width + 4).parameters()) <= parameters:
        width += 4
    return make(width=width)


def spread(lengths: Sequence[int], epochs: int) -> tuple[int, ...]:
    """Return the lengths in the same order, each for as many of the epochs."""
    return tuple(lengths[epoch * len(lengths) // epochs] for epoch in range(epochs))


def train_shipped(
    budget: Budget,
    tracks_of_epoch: Callable[[int], Sequence[Track]],
    seed: int,
    out: Path,
    lengths: Sequence[int] = SEQUENCES,
) -> nn.Module:
    """Train the shipped architecture with its own losses, on whole sequences, for as many epochs and targets."""
    from train.tasks.lifter import losses

    torch.manual_seed(seed)
    model = shipped_network(sum(p.numel() for p in VideoPose(KERNELS[243], True, budget.channels).parameters()))

    def epoch_batches(epoch: int) -> Iterator[Batch]:
        source, length = Windows(tracks_of_epoch(epoch), 1, 0), lengths[epoch % len(lengths)]
        rng = np.random.default_rng([seed, epoch])
        for batch in source.epoch(rng, max(1, budget.batch_shipped // length), length, flip="both"):
            dt_s = torch.full(batch["score"].shape[:2], 1 / budget.fps)
            dt_s[:, 0] = 0
            yield {**batch, "dt_s": dt_s}

    config = EpochConfig(
        out, budget.epochs, budget.lr_shipped, budget.lr_decay, grad_clip=1.0, seed=seed, ema=budget.ema_shipped
    )
    return fit_epochs(config, model, epoch_batches, losses)


@torch.no_grad()
def lift(model: nn.Module, track: Track, fps: float, flip: bool = False) -> Float:
    """Return the poses (T, 17, 3) of one of our lifters, from no history; with flip the mean with the mirrored."""
    dt_s = torch.full((1, len(track.xy)), 1 / fps)
    dt_s[:, 0] = 0
    xy, score = (torch.from_numpy(a)[None] for a in (track.xy, track.score))
    pose: Tensor = model.sequence(xy, score, dt_s)[0]
    if flip:
        pose = (pose + flipped(model.sequence(flipped(xy), score[..., MIRROR], dt_s)[0])) / 2
    return pose[0].numpy()
