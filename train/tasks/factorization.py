"""Recipe of the consistent factorization network (thesis chapter 4): a 3D lifter learned from pairs of 2D views alone.

First the dictionary by non-rigid structure from motion, then the network with the dictionary at a smaller rate. A
stopped run goes on from its last checkpoint.
"""

from __future__ import annotations

import argparse
import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from engines.measure.metrics3d import n_mpjpe_mm, p_mpjpe_mm, procrustes
from train.data.motion.mocap import data_root
from train.data.motion.rigs import room_rig, virtual_rig
from train.data.motion.room import room_clips
from train.loop.config import parse
from train.loop.fit import Batch, FitConfig, fit
from train.methods.dictionary import FreeShapes, HierarchicalDictionary, Threshold
from train.methods.factorization import (
    Consistency,
    FactorizationConfig,
    FactorizationNet,
    factorization_losses,
    pair_batches,
)
from train.methods.footage import Footage, footage
from train.methods.nrsfm import Nrsfm, nrsfm_losses
from train.methods.orthographic import normalised_pose
from train.methods.viewpoint import faces_forward, mirrored_depth

FIRST_STAGE, SECOND_STAGE = "dictionary", "network"
EXAMPLES = """examples:
  posestream train factorization --out runs/factorization
  posestream train factorization --out runs/small --width 256 --blocks 2 --steps 2000
  posestream train factorization --out runs/f --config factorization.toml     lines like: consistency = "none" """


@dataclass(frozen=True)
class Recipe:
    """Everything that a run is made of; each is an option of the command and a key of its config file.

    Attributes:
        levels: Sizes of the dictionary's levels, the lowest first; () = no dictionary, poses regressed directly.
        threshold: Of the dictionary's encoder, "relu" (the chapter's) or "block".
        hidden: Of the dictionary's encoder, see Nrsfm.
        dictionary_steps: Of the first stage; 0 = the dictionary starts at random.
        dictionary_rate: The dictionary's learning rate in the second stage as a share of the network's; 0 = fixed.
        consistency, weight: See FactorizationConfig.
        width, blocks, dropout: Of the network's body.
        steps, batch, lr: Of the second stage; a batch is that many moments, two views of each.
        start: Share of each stage's steps in which the viewpoint's start is in force (see train.methods.viewpoint).
        seed: Of weights and draws.
        tensorboard: Also log for TensorBoard.
    """

    levels: tuple[int, ...] = (125, 10)
    threshold: Threshold = "block"
    hidden: int = 128
    dictionary_steps: int = 3000
    dictionary_rate: float = 0.1
    consistency: Consistency = "views"
    weight: float = 1.0
    width: int = 1024
    blocks: int = 4
    dropout: float = 0.25
    steps: int = 12000
    batch: int = 512
    lr: float = 1e-3
    start: float = 0.4
    seed: int = 0
    tensorboard: bool = False


Score = Callable[[nn.Module], dict[str, float]]


def learn_dictionary(recipe: Recipe, xy: Tensor, out: Path, evaluate: Score | None = None) -> Nrsfm:
    """Run the first stage on normalised 2D poses (V, N, 17, 2); return the averaged encoder-decoder."""
    torch.manual_seed(recipe.seed)
    model = Nrsfm(HierarchicalDictionary(recipe.levels), recipe.threshold, recipe.hidden)
    config = _fit_config(recipe, out, recipe.dictionary_steps)
    learned = fit(config, model, _batches(recipe, xy, config), nrsfm_losses, evaluate)
    return cast(Nrsfm, learned)


def learn_factorization(
    recipe: Recipe, xy: Tensor, out: Path, dictionary: HierarchicalDictionary | None, evaluate: Score | None = None
) -> FactorizationNet:
    """Run the second stage; `dictionary` is the first one's and stays as it is, a copy is fine-tuned."""
    torch.manual_seed(recipe.seed)
    model = network(recipe, dictionary)
    shapes = list(model.shapes.parameters())
    for weight in shapes:
        weight.requires_grad_(recipe.dictionary_rate > 0)
    own = [weight for name, weight in model.named_parameters() if not name.startswith("shapes.")]
    groups: list[dict[str, Any]] = [{"params": own}]
    if shapes and recipe.dictionary_rate > 0:
        groups.append({"params": shapes, "lr_scale": recipe.dictionary_rate})
    losses = partial(factorization_losses, FactorizationConfig(recipe.consistency, recipe.weight))
    config = _fit_config(recipe, out, recipe.steps)
    learned = fit(config, model, _batches(recipe, xy, config), losses, evaluate, groups)
    return cast(FactorizationNet, learned)


def network(recipe: Recipe, dictionary: HierarchicalDictionary | None) -> FactorizationNet:
    """Return the network of a recipe: with a copy of a learned dictionary, a random one, or none."""
    shapes: FreeShapes | HierarchicalDictionary = FreeShapes()
    if recipe.levels:
        shapes = HierarchicalDictionary(recipe.levels) if dictionary is None else copy.deepcopy(dictionary)
    return FactorizationNet(shapes, recipe.width, recipe.blocks, recipe.dropout)


def _batches(recipe: Recipe, xy: Tensor, config: FitConfig) -> Iterator[Batch]:
    """Return batches that go on where a stopped run's checkpoint is."""
    checkpoint = config.out_dir / "checkpoint.pt"
    done = int(torch.load(checkpoint, weights_only=True)["step"]) if checkpoint.exists() else 0
    return pair_batches(xy, recipe.batch, recipe.seed, round(recipe.start * config.steps), done=done)


def _fit_config(recipe: Recipe, out: Path, steps: int) -> FitConfig:
    """Return Adam without weight decay; no bfloat16, whose rotations are too coarse."""
    return FitConfig(
        out,
        steps,
        lr=recipe.lr,
        warmup_steps=min(100, steps),
        weight_decay=0,
        ema=0.99,
        bf16=False,
        log_every=100,
        eval_every=max(1, steps // 4),
        seed=recipe.seed,
        tensorboard=recipe.tensorboard,
    )


def filmed(split: str, every: int, virtual: int = 0, detector: bool = False) -> Footage:
    """Return single frames of the motion pack in the room: four fixed cameras and `virtual` more (section 4.7.2)."""
    rig = (*room_rig(), *virtual_rig(np.random.default_rng(0), virtual)) if virtual else room_rig()
    return footage(room_clips(data_root() / "mocap", split, rig, detector_seed=0 if detector else None), every)


def upright_pose(model: nn.Module, xy: Tensor) -> Tensor:
    """Lift normalised 2D poses (B, 17, 2) to (B, 17, 3) about the pelvis, camera axes, of unknown scale.

    The one bit that orthographic views cannot tell, the world or its mirror image, is set for all poses at once so
    that noses point forward.
    """
    model.eval()
    with torch.no_grad():
        pose = model(xy).pose
    pose = pose - pose[:, :1]
    return mirrored_depth(pose) if faces_forward(pose).mean() < 0 else pose


def scorer(shots: Footage) -> Score:
    """Return a function that scores a model on footage: millimetres, every view of every frame.

    n_mpjpe_mm is the chapter's MPJPE (scale restored), p_mpjpe_mm its P-MPJPE. `spread` is how far the views' canonical
    poses are from their mean, as a share of the size of a pose; `forward` the share of poses whose nose is in front;
    either_p_mpjpe_mm takes for each pose the better of it and its mirror image in depth.
    """
    xy = normalised_pose(shots.screen)[0].flatten(0, 1)
    truth = (shots.xyz_m - shots.xyz_m[..., :1, :]).flatten(0, 1).numpy()
    views = len(shots.cameras)

    def score(model: nn.Module) -> dict[str, float]:
        pose = upright_pose(model, xy)
        with torch.no_grad():
            found = model(xy)
        shape = found.canonical.unflatten(0, (views, -1))
        apart = (shape - shape.mean(0)).norm(dim=-1).mean() / (shape - shape[:, :, :1]).norm(dim=-1).mean()
        p_mpjpe = p_mpjpe_mm(pose.numpy(), truth)
        aligned = [procrustes(p.numpy(), truth) for p in (pose, mirrored_depth(pose))]
        either = np.minimum(*(np.linalg.norm(p - truth, axis=-1).mean(-1) for p in aligned))
        return {
            "score": p_mpjpe,
            "p_mpjpe_mm": p_mpjpe,
            "n_mpjpe_mm": n_mpjpe_mm(pose.numpy(), truth),
            "either_p_mpjpe_mm": float(either.mean() * 1000),
            "reprojection": float((found.projection - xy).norm(dim=-1).mean()),
            "spread": float(apart),
            "forward": float((faces_forward(pose) > 0).float().mean()),
        }

    return score


def parser() -> argparse.ArgumentParser:
    """Return the recipe's options."""
    p = argparse.ArgumentParser(
        prog="posestream train factorization",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--out", type=Path, required=True, help="checkpoints and logs; a stopped run goes on from here")
    p.add_argument("--every", type=int, default=3, help="use each so-many-th frame of 30 a second")
    p.add_argument("--virtual", type=int, default=0, help="cameras more than the room's four; the thesis has 8")
    p.add_argument("--detector", action="store_true", help="2D joints as a detector gives them, not the true ones")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--levels", type=int, nargs="*", help="of the dictionary, the lowest first; none: no dictionary")
    choices = {"threshold": ("relu", "block"), "consistency": ("none", "views", "turned")}
    for field in fields(Recipe):
        if field.name not in ("levels", "tensorboard"):
            flag, kind = f"--{field.name.replace('_', '-')}", type(field.default)
            p.add_argument(flag, type=kind, choices=choices.get(field.name), help=f"default {field.default}")
    p.set_defaults(**{field.name: field.default for field in fields(Recipe)})
    return p


def recipe_of(args: argparse.Namespace) -> Recipe:
    """Return the recipe among the options."""
    chosen = {field.name: getattr(args, field.name) for field in fields(Recipe)}
    return Recipe(**{**chosen, "levels": tuple(args.levels)})


def main(argv: list[str] | None = None) -> int:
    """Train both stages and print the scores on the val subjects."""
    args = parse(parser(), argv)
    recipe = recipe_of(args)
    torch.set_num_threads(args.threads)
    shots = filmed("train", args.every, args.virtual, args.detector)
    score = scorer(filmed("val", 3 * args.every, 0, args.detector))
    xy = normalised_pose(shots.screen)[0]
    dictionary = None
    if recipe.levels and recipe.dictionary_steps:
        dictionary = learn_dictionary(recipe, xy, args.out / FIRST_STAGE, score).dictionary
    model = learn_factorization(recipe, xy, args.out / SECOND_STAGE, dictionary, score)
    scores = {name: round(value, 4) for name, value in score(model).items()}
    (args.out / "scores.json").write_text(json.dumps(scores, indent=1) + "\n")
    print(scores, flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
