"""How the 2D detector is trained: the network on stills, then its memory on short sequences with the encoder fixed.

Li, "Deep Learning based Human Pose Estimation" (thesis, UTS 2020), section 2.8.2. `train.tasks.detector` is the
command, `train.experiments` compares variants with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from train.data.people.augment2d import AugmentConfig
from train.data.people.lspet import load_lspet
from train.data.people.mixes2d import DataChoice, mixer_maker
from train.data.people.people2d import batches, draw
from train.loop.fit import Batch, FitConfig, fit, steps_done
from train.loop.provenance import read_provenance, write_provenance
from train.losses2d import detector_losses
from train.measure.metrics2d import pck
from train.models.detector import Detector, DetectorConfig
from train.models.memory import MemoryConfig

FROZEN = 6  # blocks of MobileNetV2 that are never trained: edges and textures, half of a step's cost


@dataclass(frozen=True)
class Stage:
    """What differs between the stages.

    Attributes:
        steps: Optimiser steps.
        frames: Length of a sequence.
        batch: Sequences per step.
        lr: Peak learning rate of new layers.
        encoder_scale: Of the encoder's rate; 0 = frozen.
        path_scale: Of the rate of MoveNet's feature path and heatmap head.
        shares: Of photographs, video, rendered people and nobody in a batch.
        calm: Factor on how unusual crops are: any angle, tilted, occluded, far too large or small. Half bodies are not
            unusual: a webcam sees them.
        erase: Chance of random erasing.
        cut: Chance that the picture ends on the person.
        liveliness: Of perspective and of light in sequences; see AugmentConfig.
    """

    steps: int
    frames: int
    batch: int
    lr: float
    encoder_scale: float
    path_scale: float
    shares: tuple[float, float, float, float]
    calm: float = 1.0
    erase: float = 0.3
    cut: float = 0.15
    liveliness: float = 0.5

    def augmented(self, was: AugmentConfig, crop_wh: tuple[int, int]) -> AugmentConfig:
        """Return how this stage augments a set, for a network that takes crops of that size."""
        chances = {key: getattr(was, key) * self.calm for key in ("any_angle", "occlude", "scale", "tilt")}
        extra = {"erase": self.erase, "cut": self.cut, "perspective": self.liveliness, "flicker": self.liveliness}
        return replace(was, crop_wh=crop_wh, **chances, **extra)


STAGES = {
    1: Stage(6500, 1, 64, 6e-4, 0.4, 0.5, (0.55, 0.13, 0.25, 0.07), calm=0.4),
    2: Stage(330, 5, 8, 8e-4, 0.0, 0.2, (0.46, 0.20, 0.26, 0.08), calm=0.6, liveliness=1.0),
}


def _rate(name: str, config: DetectorConfig, stage: Stage) -> float:
    """Return the share of the learning rate that a parameter gets; 0 = it is frozen."""
    if name.startswith("tce.") and ".offset." in f".{name}":
        return 0.0 if stage.frames == 1 else 0.3  # a single frame cannot teach it what moves
    if name.startswith("encoder.") and config.encoder == "mnv2":
        part = name.split(".")[1]
        early = part == "stem" or (part.startswith("block") and int(part[5:]) < FROZEN)
        return 0.0 if early else stage.encoder_scale
    if name.startswith("encoder."):
        return min(1.0, 4 * stage.encoder_scale)  # a ResNet begins with ImageNet's features or none, not with MoveNet's
    return stage.path_scale if name.startswith(("path.", "fine.")) else 1.0


def parameter_groups(model: Detector, stage: Stage) -> list[dict[str, Any]]:
    """Split the parameters by learning rate and freeze what is not trained."""
    scales: dict[float, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        scale = _rate(name, model.config, stage)
        parameter.requires_grad_(scale > 0)
        if scale > 0:
            scales.setdefault(scale, []).append(parameter)
    return [{"params": parameters, "lr_scale": scale} for scale, parameters in scales.items()]


def held_out_check(
    choice: DataChoice, crop_wh: tuple[int, int], count: int = 400
) -> Callable[[nn.Module], dict[str, float]] | None:
    """Return a function that scores a model on plain crops of held-out LSPET: 1 - PCK@0.2 of the torso.

    None without LSPET: then the last weights count.
    """
    if not choice.lspet:
        return None
    stills = load_lspet(choice.data / "images" / "lspet", held_out=True)
    still = AugmentConfig(crop_wh, upright=0, any_angle=0, tilt=0, scale=0, shift=0, half_body=0, occlude=0)
    plain = replace(stills, augment=still)
    samples = [draw(np.random.default_rng(i), plain, i, 1, None) for i in range(min(count, len(plain)))]
    stacked = {key: torch.from_numpy(np.stack([s[key] for s in samples])) for key in samples[0]}

    @torch.no_grad()
    def evaluate(model: nn.Module) -> dict[str, float]:
        device = next(model.parameters()).device
        parts = [model(crops.to(device)) for crops in stacked["crops"].split(40)]
        xy = torch.cat([p.xy for p in parts]).cpu().numpy()
        right = pck(xy, stacked["xy"][:, 0].numpy(), stacked["weight"][:, 0].numpy() > 0, 0.2, "torso")
        return {"score": 1 - right, "pck02_torso": right}

    return evaluate


def losses_of(kind: str) -> Callable[[nn.Module, Batch], dict[str, Tensor]]:
    """Return a function that runs the model on a batch and compares.

    Half of the sequences' batches begin in the middle of a video, with a carried state that is not fresh.

    Args:
        kind: See `train.losses2d.LOSSES`.
    """

    def losses(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        device = next(model.parameters()).device
        batch = {key: value.to(device) for key, value in batch.items()}
        middle = batch["crops"].shape[1] > 1 and bool(torch.rand(()) < 0.5)
        return detector_losses(model(batch["crops"], int(torch.randint(1, 4, ())) if middle else 0), batch, kind)

    return losses


def network_facts(config: DetectorConfig) -> dict[str, Any]:
    """Return a network's sizes as JSON, for the provenance; `network_from` reads them."""
    return asdict(config)


def network_from(facts: dict[str, Any]) -> DetectorConfig:
    """Return the sizes that `network_facts` wrote; without any, those of the first shipped detector."""
    network = dict(facts.get("network", {}))
    if network:
        network |= {"input_wh": tuple(network["input_wh"]), "memory": MemoryConfig(**network["memory"])}
    return DetectorConfig(**network)


def train_stage(
    model: Detector,
    stage: Stage,
    choice: DataChoice,
    out: Path,
    seed: int = 0,
    loss: str = "distribution",
    facts: dict[str, Any] | None = None,
    tensorboard: bool = False,
) -> Detector:
    """Train one stage, or go on with it; return the averaged model.

    Args:
        model: To begin with; on its device.
        stage: How.
        choice: On what.
        out: Folder of the run. `provenance.json` is written there.
        seed: Of data and order.
        loss: See `losses_of`.
        facts: More about where the weights come from, such as what they began as.
        tensorboard: See FitConfig.
    """
    config = model.config
    told = {
        "network": network_facts(config), "loss": loss, "steps": stage.steps, "frames": stage.frames,
        "batch": stage.batch, "calm": stage.calm, "cut": stage.cut, "shares": list(stage.shares), "data": choice.note(),
    }  # fmt: skip
    done = steps_done(out)
    write_provenance(out, {**(facts or {}), **told}, done)
    fitting = FitConfig(
        out,
        stage.steps,
        lr=stage.lr,
        warmup_steps=min(100, stage.steps // 8),
        ema=0.995,
        log_every=20,
        eval_every=250,
        seed=seed,
        tensorboard=tensorboard,
    )
    groups = parameter_groups(model, stage)
    make = mixer_maker(
        choice, stage.shares, stage.frames, seed + 7919 * done, lambda a: stage.augmented(a, config.input_wh)
    )
    data = batches(make, stage.batch)
    return fit(fitting, model, data, losses_of(loss), held_out_check(choice, config.input_wh), groups)


def checkpoint_facts(path: Path) -> tuple[DetectorConfig, dict[str, Any]]:
    """Return sizes and provenance of the run that a checkpoint belongs to."""
    facts = read_provenance(path)
    return network_from(facts), facts
