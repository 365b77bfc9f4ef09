"""How much of the past and of the future helps: single frame, 27, 81 and 243 frames, causal and full, LSTM and BLSTM.

VideoPose3D's tables 1, 2 and 5, and table 7 of Katircioglu et al., on the clips of the room rig with true 2D joints.
Every model is trained on the same number of targets, in the strided form. With `--chunk 32` neighbouring targets are
trained together in the dilated form: cheaper, but the paper's appendix A.5 warns of it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from engines.measure.metrics3d import mpjpe_mm, mpjve_mm_per_frame, p_mpjpe_mm
from engines.skeletons import H36M17
from train.data.motion.mocap import Float, data_root
from train.data.motion.rigs import room_rig
from train.data.motion.room import room_clips
from train.data.motion.windows import Track, Windows
from train.experiments.tables import HERE, Ordering, Table, mean, write
from train.loop.epochs import EpochConfig, fit_epochs
from train.loop.fit import Batch
from train.models.refiner import BlstmRefiner, LstmRefiner
from train.models.videopose import KERNELS, VideoPose
from train.models.videopose_stream import centred
from train.tasks.videopose import pose_loss, predict, tracks_of, train_networks

MODELS: dict[str, tuple[int, bool] | str] = {
    "single frame": (1, True),
    "causal 27": (27, True),
    "causal 81": (81, True),
    "causal 243": (243, True),
    "full 27": (27, False),
    "full 81": (81, False),
    "full 243": (243, False),
    "LSTM refiner": "lstm",
    "BLSTM refiner": "blstm",
}
COLUMNS = ("MPJPE mm", "P-MPJPE mm", "N-MPJPE mm", "MPJVE mm/frame", "bone SD mm")
STRETCH = 32  # neighbouring targets of a refiner
WHOLE_DECAY = 0.95**80  # of the learning rate over all epochs, as in the paper
PARENTS, CHILDREN = (list(ends) for ends in zip(*H36M17.bones, strict=True))


@dataclass(frozen=True)
class Budget:
    """What every model gets.

    Attributes:
        channels: Width of the convolutions; the LSTM has as many cells, the BLSTM half of it each way.
        epochs: Of the schedules.
        targets: Frames per epoch, drawn at random.
        batch: Targets in a batch.
        chunk: Neighbouring targets.
        lr: First learning rate.
    """

    channels: int = 96
    epochs: int = 10
    targets: int = 12800
    batch: int = 128
    chunk: int = 1
    lr: float = 4e-3

    def config(self, seed: int, out: Path) -> EpochConfig:
        """Return the schedule of one run."""
        return EpochConfig(out, self.epochs, self.lr, float(WHOLE_DECAY ** (1 / self.epochs)), seed=seed, bf16=True)


def train_model(name: str, tracks: Sequence[Track], budget: Budget, seed: int, out: Path) -> nn.Module:
    """Train one model; a refiner gets the single-frame model of the same seed, which must have been trained."""
    torch.manual_seed(seed)
    kind = MODELS[name]
    if isinstance(kind, str):
        return _train_refiner(kind, tracks, budget, seed, out)
    networks = nn.ModuleDict({"pose": VideoPose(KERNELS[kind[0]], kind[1], budget.channels)})
    folder = out / f"{name.replace(' ', '-')}-{seed}"
    train_networks(budget.config(seed, folder), networks, tracks, budget.batch, budget.chunk, budget.targets)
    return networks["pose"]


def _train_refiner(kind: str, tracks: Sequence[Track], budget: Budget, seed: int, out: Path) -> nn.Module:
    single = VideoPose(KERNELS[1], True, budget.channels)
    saved = torch.load(out / f"single-frame-{seed}" / "checkpoint.pt", weights_only=True)["model"]
    single.load_state_dict({k.removeprefix("pose."): v for k, v in saved.items()})
    single.requires_grad_(False).eval()
    half = budget.channels // 2
    refiner = LstmRefiner(budget.channels) if kind == "lstm" else BlstmRefiner(half)
    # the causal one learns from stretches with as many frames of run-up, the other from its window
    reach = STRETCH + 1 if kind == "lstm" else refiner.receptive_field
    source = Windows(tracks, reach, refiner.look_ahead)

    def epoch_batches(epoch: int) -> Iterator[Batch]:
        rng = np.random.default_rng([seed, epoch])
        return source.epoch(rng, max(1, budget.batch // STRETCH), STRETCH, budget.targets)

    def losses(model: nn.Module, batch: Batch) -> dict[str, torch.Tensor]:
        with torch.no_grad():
            found = centred(single(batch["xy"]))
        before = source.before
        return {"pose": pose_loss(model(found)[:, before : before + STRETCH], batch)}

    fit_epochs(budget.config(seed, out / f"{kind}-{seed}"), refiner, epoch_batches, losses)
    return nn.Sequential(single, _Centred(), refiner)


class _Centred(nn.Module):
    def forward(self, pose: torch.Tensor) -> torch.Tensor:
        return centred(pose)


def n_mpjpe_mm(pose_m: Float, truth_m: Float) -> float:
    """MPJPE after the best scale of each frame (protocol 3); the pelvis stays at the origin."""
    scale = (pose_m * truth_m).sum((-2, -1)) / np.maximum((pose_m * pose_m).sum((-2, -1)), 1e-9)
    return mpjpe_mm(scale[:, None, None] * pose_m, truth_m)


def bone_sd_mm(pose_m: Float) -> float:
    """Standard deviation of each bone's length over one clip (T, 17, 3), mean over the bones."""
    length = np.linalg.norm(pose_m[:, CHILDREN] - pose_m[:, PARENTS], axis=-1)
    return float(length.std(0).mean() * 1000)


def measure(model: nn.Module, tracks: Sequence[Track]) -> dict[str, float]:
    """Return all metrics; those within clips are weighed by the clips' frames."""
    poses = [p - p[:, :1] for p in (predict(model, t) for t in tracks)]
    truth = [t.pose_m for t in tracks]
    every, should = np.concatenate(poses), np.concatenate(truth)
    long = [(p, t) for p, t in zip(poses, truth, strict=True) if len(p) > 1]
    weights = [len(p) for p, _ in long]
    return {
        "MPJPE mm": mpjpe_mm(every, should),
        "P-MPJPE mm": p_mpjpe_mm(every, should),
        "N-MPJPE mm": n_mpjpe_mm(every, should),
        "MPJVE mm/frame": float(np.average([mpjve_mm_per_frame(p, t) for p, t in long], weights=weights)),
        "bone SD mm": float(np.average([bone_sd_mm(p) for p, _ in long], weights=weights)),
    }


def table(out: Path, budget: Budget) -> Table:
    """Gather the runs that are there."""
    rows: dict[str, dict[str, list[float]]] = {}
    for name in MODELS:
        runs = [json.loads(p.read_text()) for p in sorted(out.glob(f"{name.replace(' ', '-')}-*.json"))]
        if runs:
            rows[name] = {c: [r[c] for r in runs] for c in COLUMNS}
    chunks = f" in chunks of {budget.chunk} neighbouring frames" if budget.chunk > 1 else ""
    note = (
        f"{budget.channels} channels, {budget.epochs} epochs of {budget.targets} targets, batches of {budget.batch}"
        f"{chunks}, bfloat16, first learning rate {budget.lr:g}; 30 frames/s, 4 cameras, true 2D joints as rays, "
        "people of val never trained on; no flip at test time. A small budget (the paper: 1024 channels, 80 epochs of "
        "1.5 million, 0.001), so look at the order, not at the level. Refiners read their seed's single-frame model."
    )
    command = "python -m train.experiments.orderings --out runs/orderings"
    command += f" --chunk {budget.chunk}" if budget.chunk > 1 else ""
    listed = [{"name": name, **row} for name, row in rows.items()]
    return Table(
        "More frames, past and future" + (", trained on chunks" if budget.chunk > 1 else ""),
        note,
        command,
        list(COLUMNS),
        listed,
        claims(rows),
    )


def claims(rows: dict[str, dict[str, list[float]]]) -> list[Ordering]:
    """Check the papers' orderings as far as their rows are there: first name worse than the second."""
    out = []
    pairs = [("single frame", "causal 27"), ("causal 27", "causal 81"), ("causal 81", "causal 243")]
    pairs += [("causal 27", "full 27"), ("causal 243", "full 243"), ("full 27", "full 243")]
    pairs += [("single frame", "LSTM refiner"), ("LSTM refiner", "BLSTM refiner"), ("LSTM refiner", "full 243")]
    for column in ("MPJPE mm", "MPJVE mm/frame"):
        for worse, better in pairs:
            if worse in rows and better in rows:
                out.append(_claim(column, worse, better, rows))
    if {"single frame", "full 243"} <= set(rows):
        less = 1 - mean(rows["full 243"]["MPJVE mm/frame"]) / mean(rows["single frame"]["MPJVE mm/frame"])
        text = "full 243 has about 76 % less velocity error than a single frame (paper, table 2)"
        out.append(Ordering(text, less > 0.6, f"{100 * less:.0f} % less"))
    return out


def _claim(column: str, worse: str, better: str, rows: dict[str, dict[str, list[float]]]) -> Ordering:
    a, b = rows[worse][column], rows[better][column]
    wins = sum(y < x for x, y in zip(a, b, strict=False))
    why = f"{mean(a):.2f} > {mean(b):.2f}" if mean(a) > mean(b) else f"{mean(a):.2f} against {mean(b):.2f}"
    return Ordering(
        f"{column}: {worse} > {better}", mean(a) > mean(b), f"{why}; in {wins} of {min(len(a), len(b))} seeds"
    )


def main(argv: list[str] | None = None) -> int:
    """Run what is missing and write the table."""
    p = argparse.ArgumentParser(prog="python -m train.experiments.orderings", description=__doc__)
    p.add_argument("--out", type=Path, required=True)
    p.add_argument("--data", type=Path, default=data_root() / "mocap", help="folder of motion.npz")
    p.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    p.add_argument("--models", nargs="*", choices=list(MODELS), default=list(MODELS))
    p.add_argument("--result", type=Path, default=HERE / "results" / "orderings.json")
    for name, value in vars(Budget()).items():
        p.add_argument(f"--{name}", type=type(value), default=value, help="see Budget")
    args = p.parse_args(argv)
    budget = Budget(**{name: getattr(args, name) for name in vars(Budget())})
    torch.set_num_threads(1)
    train, val = (tracks_of(room_clips(args.data, split, room_rig())) for split in ("train", "val"))
    args.out.mkdir(parents=True, exist_ok=True)
    for seed in args.seeds:
        for name in args.models:
            path = args.out / f"{name.replace(' ', '-')}-{seed}.json"
            if path.exists():
                continue
            found = measure(train_model(name, train, budget, seed, args.out), val)
            print(name, seed, {k: round(v, 2) for k, v in found.items()}, flush=True)
            path.write_text(json.dumps(found, indent=1))
            write(args.result, table(args.out, budget))
    write(args.result, table(args.out, budget))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
