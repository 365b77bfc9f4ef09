"""Learning to lift from views alone: what each part of the thesis' chapter 3 is worth (table 3.1, figure 3.6).

Width, depth and steps are small; every run of a seed begins from the same weights, and runs with the same footage and
extrinsics share their pre-training. All are measured with the room's 4 cameras on people never trained on.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from train.data.motion.mocap import data_root
from train.data.motion.rigs import room_rig
from train.data.motion.room import room_clips
from train.experiments.tables import HERE, Ordering, Table, mean, write
from train.loop.fit import Batch, fit
from train.losses3d import distance
from train.methods.footage import Footage, footage
from train.methods.geometry import TwoBranch
from train.methods.two_views import estimated_standing, known_standing, standing_error
from train.tasks.geometry import DROPS, FPS, GeometryConfig, rig, scores, train_geometry

MOST_VIEWS = 12
UNCLIPPED = 1e9
SCATTER_MM = 1.0  # known and estimated extrinsics that agree to 0.00 degrees end 0.7 mm apart: less means nothing
COLUMNS = {"MPJPE mm": "mpjpe_mm", "P-MPJPE mm": "p_mpjpe_mm", "N-MPJPE mm": "n_mpjpe_mm"}
Rows = dict[str, dict[str, list[float]]]


@dataclass(frozen=True)
class Case:
    """One row of the table; see GeometryConfig and `posestream train geometry`."""

    detector: bool = False
    views: int = 4
    estimated: bool = False
    pretrained: bool = True
    supervised: bool = False
    transform_weight: float = 1.0
    weights: str = "source"
    grad_clip: float = 1.0


CASES = {
    "supervised": Case(supervised=True),
    "re-projection alone": Case(transform_weight=0),
    "transform re-projection": Case(),
    "no pre-training": Case(pretrained=False),
    "no pre-training, no clipping": Case(pretrained=False, grad_clip=UNCLIPPED),
    "estimated extrinsics": Case(estimated=True),
    "2 views": Case(views=2),
    "8 views": Case(views=8),
    "12 views": Case(views=12),
    "gradients not clipped": Case(grad_clip=UNCLIPPED),
    "detector-like 2D, supervised": Case(detector=True, supervised=True),
    "detector-like 2D, no confidences": Case(detector=True, weights="none"),
    "detector-like 2D, confidences as in 3.5": Case(detector=True),
    "detector-like 2D, confidences of both views": Case(detector=True, weights="both"),
    "detector-like 2D, both views', estimated extrinsics": Case(detector=True, weights="both", estimated=True),
}


@dataclass(frozen=True)
class Budget:
    """What every run gets: width and blocks of both branches, pairs of views in a batch, steps of the two stages."""

    width: int = 128
    blocks: int = 2
    pairs: int = 96
    steps: int = 1800
    pretrain_steps: int = 1200


@dataclass(frozen=True)
class Room:
    """The footage, filmed when it is first asked for."""

    folder: Path

    @cache  # noqa: B019 - one room for the life of the program
    def train(self, detector: bool, views: int) -> Footage:
        """Return the training footage of `views` cameras: the room's first, then evenly chosen virtual ones."""
        if views > 4:
            every = (MOST_VIEWS - 4) // (views - 4)
            whole = footage(room_clips(self.folder, "train", rig(MOST_VIEWS), FPS, 0 if detector else None))
            return whole.views([*range(4), *range(4, MOST_VIEWS, every)])
        return footage(room_clips(self.folder, "train", room_rig(), FPS, 0 if detector else None)).views(range(views))

    @cache  # noqa: B019
    def val(self, detector: bool) -> Footage:
        """Return the footage to measure on, always of the room's 4 cameras."""
        return footage(room_clips(self.folder, "val", room_rig(), FPS, 1 if detector else None))


def run(case: Case, room: Room, seed: int, budget: Budget, out: Path) -> dict[str, float]:
    """Train and measure one case in the folder `out`; its neighbours keep the pre-trained weights."""
    torch.manual_seed(seed)
    model = TwoBranch(budget.width, budget.blocks, dropout=0)
    shots, extra = room.train(case.detector, case.views), {}
    steps = budget.pretrain_steps if case.pretrained else 0
    config = GeometryConfig(
        out, budget.steps, steps, budget.pairs, transform_weight=case.transform_weight,
        weights=case.weights, grad_clip=case.grad_clip, seed=seed,
    )  # fmt: skip
    if case.supervised:
        model = fit(config.stage("main", budget.steps, DROPS), model, labelled_batches(shots, budget, seed), supervised)
        return scores(model, room.val(case.detector))
    standing = known = known_standing(shots.cameras)
    if case.estimated:
        standing = estimated_standing(shots, seed)
        extra = dict(zip(("extrinsics_degrees", "extrinsics_m"), standing_error(standing, known), strict=True))
    kept = out.parent / f"pretrained-{case.detector:d}-{case.views}-{case.estimated:d}-{seed}"
    if steps and kept.exists() and not (out / "pretrain").exists():
        shutil.copytree(kept, out / "pretrain")
    model = train_geometry(config, model, shots, standing)
    if steps and not kept.exists():
        shutil.copytree(out / "pretrain", kept)
    return {**scores(model, room.val(case.detector)), **extra}


def labelled_batches(shots: Footage, budget: Budget, seed: int) -> Iterator[Batch]:
    """Yield batches with the truth for ever, as many views of people as the pairs have."""
    rng = np.random.default_rng(seed)
    while True:
        view = torch.from_numpy(rng.integers(len(shots.screen), size=2 * budget.pairs))
        frame = torch.from_numpy(rng.integers(len(shots.begin), size=2 * budget.pairs))
        xyz_m = shots.xyz_m[view, frame]
        yield {"screen": shots.screen[view, frame], "pose_m": xyz_m - xyz_m[:, :1]}


def supervised(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
    """MPJPE of the lifting branch."""
    return {"position": distance(model(batch["screen"]), batch["pose_m"]).mean()}


def run_path(out: Path, name: str, seed: int) -> Path:
    """Return where a run's result lies."""
    return out / f"{''.join(c if c.isalnum() else '-' for c in name)}-{seed}.json"


def table(out: Path, budget: Budget, seeds: list[int]) -> Table:
    """Gather the runs that are there."""
    rows: Rows = {}
    notes: dict[str, str] = {}
    for name in CASES:
        runs = [json.loads(p.read_text()) for p in (run_path(out, name, s) for s in seeds) if p.exists()]
        if runs:
            rows[name] = {c: [r[k] for r in runs] for c, k in COLUMNS.items()}
            if "extrinsics_degrees" in runs[0]:
                off = [f"{r['extrinsics_degrees']:.2f}° and {r['extrinsics_m'] * 1000:.0f} mm" for r in runs]
                notes[name] = f"extrinsics off by {', '.join(off)}"
    listed = [
        {"name": name, **{c: v if all(map(math.isfinite, v)) else "diverged" for c, v in row.items()}}
        for name, row in rows.items()
    ]
    for row in listed:
        row["remark"] = notes.get(row["name"], "")
    note = (
        f"Single-frame networks of {budget.blocks} residual blocks of {budget.width}, {budget.pretrain_steps} steps of "
        f"pre-training and {budget.steps} of training on {budget.pairs} pairs of views, at {FPS:.0f} frames/s of the "
        "training clips (true 2D joints and the 4 cameras of the room unless the name says so, further views are "
        "virtual); no 3D truth but in the supervised rows. Measured on the val subjects seen by the room's cameras. "
        "Gradient norms are clipped at 1 unless the name says otherwise. One pose of the val subjects (left is blue, "
        "right red):\n\n![truth, re-projection alone, transform re-projection](results/self_supervised_side_view.png)"
    )
    command = "python -m train.experiments.self_supervised --out runs/self_supervised"
    return Table("Lifting learned from views alone", note, command, [*COLUMNS, "remark"], listed, claims(rows))


def claims(rows: Rows, column: str = "MPJPE mm") -> list[Ordering]:
    """Check the thesis' claims as far as their rows are there."""
    ours, noisy = "transform re-projection", "detector-like 2D, "
    checks = [
        ("re-projection alone is far worse (more than twice the error)", "re-projection alone", ours, 2.0),
        ("without pre-training it does not converge (more than twice the error)", "no pre-training", ours, 2.0),
        ("nor without gradient clipping", "no pre-training, no clipping", ours, 2.0),
        ("4 views teach more than 2", "2 views", ours, 1.0),
        ("12 views teach more than 4 (thesis: 2.0 mm)", ours, "12 views", 1.0),
        ("supervised training is better", ours, "supervised", 1.0),
        ("confidences help", noisy + "no confidences", noisy + "confidences as in 3.5", 1.0),
        (
            "confidences of both views help more",
            noisy + "confidences as in 3.5",
            noisy + "confidences of both views",
            1.0,
        ),
    ]
    out = [_claim(text, rows[a][column], rows[b][column], f) for text, a, b, f in checks if a in rows and b in rows]
    if {ours, "estimated extrinsics"} <= set(rows):
        known, found = mean(rows[ours][column]), mean(rows["estimated extrinsics"][column])
        text = "estimated extrinsics are as good as known ones (within 5 %)"
        out.append(Ordering(text, found <= 1.05 * known, f"{found:.1f} against {known:.1f} mm"))
    return out


def _claim(text: str, worse: list[float], better: list[float], factor: float) -> Ordering:
    wins = sum(a > factor * b for a, b in zip(worse, better, strict=False))
    why = f"MPJPE {mean(worse):.1f} against {mean(better):.1f} mm; in {wins} of {min(len(worse), len(better))} seeds"
    apart = mean(worse) > mean(better) + SCATTER_MM
    if not apart and abs(mean(worse) - mean(better)) < SCATTER_MM:
        why += f"; less than the {SCATTER_MM:.0f} mm by which equal trainings differ"
    return Ordering(text, apart and mean(worse) > factor * mean(better), why)


def main(argv: list[str] | None = None) -> int:
    """Run what is missing and write the table."""
    p = argparse.ArgumentParser(prog="python -m train.experiments.self_supervised", description=__doc__)
    p.add_argument("--out", type=Path, required=True)
    p.add_argument("--data", type=Path, default=data_root() / "mocap", help="folder of motion.npz")
    p.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    p.add_argument("--cases", nargs="*", choices=list(CASES), default=list(CASES))
    p.add_argument("--result", type=Path, default=HERE / "results" / "self_supervised.json")
    for name, value in vars(Budget()).items():
        p.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value, help="see Budget")
    args = p.parse_args(argv)
    budget = Budget(**{name: getattr(args, name) for name in vars(Budget())})
    torch.set_num_threads(1)
    room = Room(args.data)
    for seed in args.seeds:
        for name in args.cases:
            path = run_path(args.out, name, seed)
            if not path.exists():
                found = run(CASES[name], room, seed, budget, path.with_suffix(""))
                print(name, seed, {k: round(v, 2) for k, v in found.items()}, flush=True)
                path.write_text(json.dumps(found, indent=1))
                write(args.result, table(args.out, budget, args.seeds))
    write(args.result, table(args.out, budget, args.seeds))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
