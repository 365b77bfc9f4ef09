"""Training as the papers state it: epochs, AMSGrad, a learning rate that falls by a factor each epoch.

`fit.py` is the loop of the shipped models; this one is for the papers' own recipes, in which the epoch is the unit of
the schedules. It can be killed at any moment: the next run goes on from the last finished epoch.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from train.loop.averaging import follow
from train.loop.fit import Batch, Evaluate, Losses
from train.loop.machine import keep_freed_memory
from train.loop.runlog import TRAIN, VAL, RunLog

Epoch = Callable[[int], Iterator[Batch]]


@dataclass(frozen=True)
class EpochConfig:
    """How to train.

    Attributes:
        out_dir: Where checkpoint.pt, log.csv and val.csv go; None keeps nothing.
        epochs: Number of epochs.
        lr: First learning rate.
        lr_decay: Its factor per epoch.
        grad_clip: Largest gradient norm; None = no limit, as in the papers.
        seed: Seeds torch (weights are drawn by the caller, dropout here).
        bf16: Autocast to bfloat16.
        ema: Decay of averaged weights, which then are what is scored and returned; 0 = none, as in the papers.
        tensorboard: Log for TensorBoard too.
    """

    out_dir: Path | None
    epochs: int
    lr: float = 1e-3
    lr_decay: float = 0.95
    grad_clip: float | None = None
    seed: int = 0
    bf16: bool = False
    ema: float = 0.0
    tensorboard: bool = False


def fit_epochs(
    config: EpochConfig,
    model: nn.Module,
    epoch_batches: Epoch,
    losses: Losses,
    before_epoch: Callable[[nn.Module, int], None] | None = None,
    evaluate: Evaluate | None = None,
) -> nn.Module:
    """Train in place and return the model in eval mode; with `ema`, its averaged copy.

    Args:
        config: See EpochConfig.
        model: The network, or several in an nn.ModuleDict.
        epoch_batches: Maps an epoch's number to its batches; seed them from it, so that a resumed run sees the same.
        losses: Maps (model, batch) to named scalar losses that are summed.
        before_epoch: Called with model and epoch before each, for schedules of the model's own (batch norm).
        evaluate: Scores the model (in eval mode) after each epoch, for the log.
    """
    keep_freed_memory()
    optimiser = torch.optim.Adam((p for p in model.parameters() if p.requires_grad), lr=config.lr, amsgrad=True)
    best = copy.deepcopy(model).eval() if config.ema else model
    for epoch in range(_resume(config, model, best, optimiser), config.epochs):
        torch.manual_seed(config.seed * 1000 + epoch)
        began, model = time.monotonic(), model.train()
        if before_epoch:
            before_epoch(model, epoch)
        for group in optimiser.param_groups:
            group["lr"] = config.lr * config.lr_decay**epoch
        row = {"step": epoch + 1, **_train(config, model, best, optimiser, epoch_batches(epoch), losses)}
        row["seconds_per_step"] = time.monotonic() - began
        scores = {f"val_{k}": v for k, v in evaluate(best.eval()).items()} if evaluate else {}
        _finish(config, model, best, optimiser, row, scores)
    return best.eval()


def _train(
    config: EpochConfig,
    model: nn.Module,
    best: nn.Module,
    optimiser: torch.optim.Optimizer,
    batches: Iterator[Batch],
    losses: Losses,
) -> dict[str, float]:
    """Run one epoch; return the mean losses."""
    sums: dict[str, Tensor] = {}
    count = 0
    for batch in batches:
        with torch.autocast("cpu" if not torch.cuda.is_available() else "cuda", torch.bfloat16, enabled=config.bf16):
            parts = losses(model, batch)
        optimiser.zero_grad(set_to_none=True)
        torch.stack(list(parts.values())).sum().backward()
        if config.grad_clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), config.grad_clip)
        optimiser.step()
        if best is not model:
            follow(best, model, config.ema, int(next(iter(optimiser.state.values()))["step"]) - 1)
        for name, value in parts.items():
            sums[name] = sums.get(name, torch.zeros(())) + value.detach()
        count += 1
    return {name: float(value) / count for name, value in sums.items()}


def _resume(config: EpochConfig, model: nn.Module, best: nn.Module, optimiser: torch.optim.Optimizer) -> int:
    """Load checkpoint.pt if there is one; return the number of finished epochs."""
    if config.out_dir is None or not (config.out_dir / "checkpoint.pt").exists():
        return 0
    saved = torch.load(config.out_dir / "checkpoint.pt", weights_only=True)
    model.load_state_dict(saved["model"])
    if best is not model:
        best.load_state_dict(saved["averaged"])
    optimiser.load_state_dict(saved["optimiser"])
    print(f"resumed {config.out_dir} after epoch {saved['epoch']}", flush=True)
    return int(saved["epoch"])


def _finish(
    config: EpochConfig,
    model: nn.Module,
    best: nn.Module,
    optimiser: torch.optim.Optimizer,
    row: dict[str, float],
    scores: dict[str, float],
) -> None:
    """Print and log an epoch (a "step" of the log) and write the checkpoint through a temporary file."""
    text = "  ".join(f"{k} {v:.4g}" for k, v in {**row, **scores}.items() if k != "step")
    left = (config.epochs - row["step"]) * row["seconds_per_step"] / 60
    print(f"epoch {int(row['step'])}/{config.epochs}  {text}  eta {left:.0f} min", flush=True)
    if config.out_dir is None:
        return
    log = RunLog(config.out_dir, config.tensorboard)
    log.add(TRAIN, row)
    if scores:
        log.add(VAL, {"step": row["step"], **scores})
    log.close()
    saved = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "epoch": int(row["step"])}
    if best is not model:
        saved["averaged"] = best.state_dict()
    torch.save(saved, config.out_dir / "checkpoint.tmp")
    (config.out_dir / "checkpoint.tmp").replace(config.out_dir / "checkpoint.pt")
