"""What the detector's experiments share: networks begun from a base, runs done once, sequences to judge by."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from train.data.motion.mocap import data_root
from train.data.people.lspet import load_lspet
from train.data.people.mixes2d import WEIGHTS, DataChoice
from train.data.people.people2d import StillSet, load_shard
from train.measure.sequences2d import Sequences, make_sequences
from train.models.compact import CompactDetector
from train.models.detector import Detector, DetectorConfig
from train.models.family import build_detector
from train.tasks.detector import read_start

Figures = dict[str, float]


@dataclass(frozen=True)
class Budget:
    """What every run of an experiment gets.

    Attributes:
        steps: Optimiser steps.
        batch: Sequences per step.
        sequences: Held-out sequences of each kind to judge by.
        frames: Length of those.
        hidden: The frames of their occlusion.
    """

    steps: int
    batch: int
    sequences: int = 100
    frames: int = 32
    hidden: range = range(12, 22)


def once(path: Path, make: Callable[[], Figures]) -> Figures:
    """Return the figures in a file; without it, make them and write it."""
    if not path.exists():
        figures = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".tmp")
        partial.write_text(json.dumps(figures, indent=1))
        partial.replace(path)
    return json.loads(path.read_text())


def begin(config: DetectorConfig, base: Path | None, data: Path, seed: int) -> Detector:
    """Return a network with the weights of a base where they fit, the rest random; MoveNet's without a base.

    Args:
        config: Sizes; its kind of memory may differ from the base's.
        base: A checkpoint, or an exported .onnx file.
        data: The data folder, for MoveNet's weights.
        seed: Of the random weights.
    """
    torch.manual_seed(seed)
    model = build_detector(config)
    if base is None:
        return model.load_pretrained(data / WEIGHTS) if isinstance(model, CompactDetector) else model
    own, (_, _, state) = model.state_dict(), read_start(base)
    model.load_state_dict({**own, **{k: v for k, v in state.items() if k in own and own[k].shape == v.shape}})
    return model


def add_options(parser: argparse.ArgumentParser, steps: int, batch: int) -> None:
    """Add the options of a detector experiment to a parser."""
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs; what is there is not done again")
    parser.add_argument("--result", type=Path, help="the results file (default: beside this module)")
    parser.add_argument("--data", type=Path, default=data_root(), help="data folder (default: %(default)s)")
    parser.add_argument("--labels", type=Path, help="folder written by train.tasks.label2d")
    parser.add_argument("--rendered", type=Path, help="folder of rendered shards to train on")
    parser.add_argument("--rendered-val", type=Path, help="folder of rendered clips to judge by (--split val)")
    parser.add_argument("--no-lspet", action="store_true")
    parser.add_argument("--base", type=Path, help="best.pt or .onnx that every run begins with (default: MoveNet)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--steps", type=int, default=steps, help="(default: %(default)s)")
    parser.add_argument("--batch", type=int, default=batch, help="sequences per step (default: %(default)s)")
    parser.add_argument("--sequences", type=int, default=100, help="to judge by, of each kind (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")


def choice_of(args: argparse.Namespace) -> DataChoice:
    """Return what the options say about data."""
    return DataChoice(args.data, args.labels, args.rendered, not args.no_lspet)


def held_out(args: argparse.Namespace) -> dict[str, StillSet]:
    """Read what is judged by: "stills" = held-out LSPET, "clips" = held-out rendered clips."""
    sets = {} if args.no_lspet else {"stills": load_lspet(args.data / "images" / "lspet", held_out=True)}
    shards = sorted(args.rendered_val.glob("*.npz")) if args.rendered_val else []
    return sets | ({"clips": load_shard(shards[0])} if shards else {})


def sequences_of(sets: dict[str, StillSet], budget: Budget, crop_wh: tuple[int, int]) -> dict[str, Sequences]:
    """Make the held-out sequences of each kind."""
    return {
        kind: make_sequences(stills, budget.sequences, crop_wh, budget.frames, budget.hidden)
        for kind, stills in sets.items()
    }


def over_seeds(rows: list[Figures]) -> dict[str, list[float]]:
    """Put the figures of several seeds together, NaN left out."""
    return {key: [row[key] for row in rows if np.isfinite(row[key])] for key in rows[0]}
