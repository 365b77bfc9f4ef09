"""The training loop every recipe uses: schedule, mixed precision, EMA, checkpoints, resume, log, progress.

A recipe hands in a model, an endless iterator of batches and a function from (model, batch) to named
losses; `fit` does the rest and can be killed at any moment: it goes on from the last checkpoint.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from train.loop.averaging import follow
from train.loop.machine import fast_bf16, keep_freed_memory
from train.loop.runlog import TRAIN, VAL, RunLog

Batch = dict[str, torch.Tensor]
Losses = Callable[[nn.Module, Batch], dict[str, torch.Tensor]]
Evaluate = Callable[[nn.Module], dict[str, float]]


@dataclass(frozen=True)
class FitConfig:
    """How to train.

    Attributes:
        out_dir: Where checkpoint.pt, log.csv and best.pt go.
        steps: Optimiser steps in all.
        drops: Shares of the steps at which the learning rate falls to a tenth; None: it falls to 1 % along a cosine.
        lr: Peak learning rate. Parameter groups may scale it with an `lr_scale` key.
        warmup_steps: Steps of linear warm-up.
        weight_decay: AdamW's.
        grad_clip: Largest gradient norm.
        ema: Decay of the averaged weights that are evaluated and exported; 0 = off.
        bf16: Autocast to bfloat16; by default where the processor or the GPU computes in it.
        log_every, eval_every: In steps; a checkpoint is written at each log line that is 60 s after the last.
        seed: Seeds torch; recipes seed their data from it too.
        tensorboard: Also log for TensorBoard, if it is installed.
    """

    out_dir: Path
    steps: int
    drops: tuple[float, ...] | None = None
    lr: float = 1e-3
    warmup_steps: int = 200
    weight_decay: float = 1e-4
    grad_clip: float = 1.0
    ema: float = 0.999
    bf16: bool = field(default_factory=fast_bf16)
    log_every: int = 20
    eval_every: int = 1000
    seed: int = 0
    tensorboard: bool = False


class Fitter:
    """Holds what a checkpoint holds: model, averaged model, optimiser, step, best score."""

    def __init__(self, config: FitConfig, model: nn.Module, groups: list[dict[str, Any]] | None = None) -> None:
        self.config, self.model = config, model
        self.averaged = copy.deepcopy(model).eval()
        params = groups or [{"params": [p for p in model.parameters() if p.requires_grad]}]
        self.optimiser = torch.optim.AdamW(params, lr=config.lr, weight_decay=config.weight_decay)
        self.step, self.best, self.saved_at = 0, math.inf, time.monotonic()
        config.out_dir.mkdir(parents=True, exist_ok=True)

    def resume(self) -> bool:
        """Load checkpoint.pt if there is one; return whether there was."""
        path = self.config.out_dir / "checkpoint.pt"
        if not path.exists():
            return False
        saved = torch.load(path, weights_only=True)
        self.model.load_state_dict(saved["model"])
        self.averaged.load_state_dict(saved["averaged"])
        self.optimiser.load_state_dict(saved["optimiser"])
        self.step, self.best = saved["step"], saved["best"]
        return True

    def save(self) -> None:
        """Write checkpoint.pt through a temporary file, so that a kill never leaves half of one."""
        path = self.config.out_dir / "checkpoint.pt"
        state = {
            "model": self.model.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "best": self.best,
        }
        torch.save(state, path.with_suffix(".tmp"))
        path.with_suffix(".tmp").replace(path)
        self.saved_at = time.monotonic()

    def save_best(self) -> None:
        """Write the averaged model as best.pt, as safely."""
        partial = self.config.out_dir / "best.tmp"
        torch.save({"model": self.averaged.state_dict(), "config": str(asdict(self.config))}, partial)
        partial.replace(self.config.out_dir / "best.pt")

    def learning_rate(self) -> float:
        """Return this step's base learning rate: linear warm-up, then a cosine down to 1 %, or the given drops."""
        c = self.config
        warm, progress = min(1.0, (self.step + 1) / max(1, c.warmup_steps)), min(1.0, self.step / c.steps)
        if c.drops is not None:
            return c.lr * warm * 0.1 ** sum(progress >= drop for drop in c.drops)
        return c.lr * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))

    def train_step(self, batch: Batch, losses: Losses) -> dict[str, float]:
        """Do one optimiser step; return the loss values, `loss` being their sum."""
        c = self.config
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate() * group.get("lr_scale", 1.0)
        with torch.autocast("cpu" if not torch.cuda.is_available() else "cuda", torch.bfloat16, enabled=c.bf16):
            parts = losses(self.model, batch)
        total = torch.stack(list(parts.values())).sum()
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), c.grad_clip)
        self.optimiser.step()
        follow(self.averaged, self.model, c.ema, self.step)
        self.step += 1
        return {"loss": float(total.detach()), **{k: float(v.detach()) for k, v in parts.items()}}


def steps_done(out_dir: Path) -> int:
    """Return the steps of a run that is to be resumed, 0 of a new one: seed the data with it too.

    The batches are not rewound when training resumes; with the seed alone a resumed run would see its first ones again.
    """
    path = out_dir / "checkpoint.pt"
    return int(torch.load(path, weights_only=True)["step"]) if path.exists() else 0


def fit(
    config: FitConfig,
    model: nn.Module,
    batches: Iterator[Batch],
    losses: Losses,
    evaluate: Evaluate | None = None,
    groups: list[dict[str, Any]] | None = None,
) -> nn.Module:
    """Train and return the averaged model.

    Args:
        config: See FitConfig.
        model: The network; moved nowhere, so put it on its device before.
        batches: Endless iterator; it is not rewound when training resumes (see `steps_done`).
        losses: Maps (model, batch) to named scalar losses that are summed.
        evaluate: Scores the averaged model; `best.pt` keeps the one with the lowest "score".
        groups: Optimiser parameter groups, with an optional `lr_scale` each.
    """
    torch.manual_seed(config.seed)
    keep_freed_memory()
    fitter = Fitter(config, model, groups)
    if fitter.resume():
        print(f"resumed {config.out_dir} at step {fitter.step}", flush=True)
    log = RunLog(config.out_dir, config.tensorboard)
    if log.note:
        print(log.note, flush=True)
    model.train()
    sums: dict[str, float] = {}
    count, since = 0, time.monotonic()
    while fitter.step < config.steps:
        for name, value in fitter.train_step(next(batches), losses).items():
            sums[name] = sums.get(name, 0.0) + value
        count += 1
        if fitter.step % config.log_every == 0 or fitter.step == config.steps:
            row = {"step": fitter.step, **{k: v / count for k, v in sums.items()}}
            row["seconds_per_step"] = (time.monotonic() - since) / count
            log.add(TRAIN, row)
            _tell(config, row)
            sums, count, since = {}, 0, time.monotonic()
            if time.monotonic() - fitter.saved_at > 60:
                fitter.save()
        if evaluate and (fitter.step % config.eval_every == 0 or fitter.step == config.steps):
            _judge(fitter, evaluate, log)
            since = time.monotonic()
    fitter.save()
    log.close()
    return fitter.averaged


def _judge(fitter: Fitter, evaluate: Evaluate, log: RunLog) -> None:
    scores = evaluate(fitter.averaged)
    row = {"step": fitter.step, **{f"val_{k}": v for k, v in scores.items()}}
    log.add(VAL, row)
    _tell(fitter.config, row)
    if scores["score"] <= fitter.best:
        fitter.best = scores["score"]
        fitter.save_best()
        fitter.save()


def _tell(config: FitConfig, row: dict[str, float]) -> None:
    left = (config.steps - row["step"]) * row.get("seconds_per_step", 0)
    text = "  ".join(f"{k} {v:.4g}" for k, v in row.items() if k != "step")
    eta = f"  eta {left / 60:.0f} min" if left else ""
    print(f"step {int(row['step'])}/{config.steps}  {text}{eta}", flush=True)
