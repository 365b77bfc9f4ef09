"""What a few frames of look-ahead cost and gain: the shipped lifter trained on a little, with 0 to 3 frames of future.

Every one begins from the same weights and gets the same steps, so that what differs is the future it sees.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engines.measure.metrics3d import mpjpe_mm, mpjve_mm_per_frame, p_mpjpe_mm
from engines.runtime import Engine, find_weights, open_engine
from train.data.motion.filmed import make_batch
from train.data.motion.mocap import Float, data_root, even_takes, load_motion
from train.experiments.tables import HERE, Ordering, Table, mean, write
from train.tasks.lifter import main as train_lifter

FRAMES = (0, 1, 2, 3)
FPS, SECONDS = 30, 4
KINDS = {"truth": 1.0, "detector-like": 0.0}
METRICS = {"MPJPE mm": mpjpe_mm, "P-MPJPE mm": p_mpjpe_mm, "MPJVE mm/frame": mpjve_mm_per_frame}
COLUMNS = ("delay ms at 30 fps", "delay ms at 60 fps", *(f"{metric}, {kind}" for kind in KINDS for metric in METRICS))
EXAMPLES = """examples:
  python -m train.experiments.look_ahead --out runs/ahead
  python -m train.experiments.look_ahead --out runs/ahead --steps 2000 --seeds 0 1 2"""


def stream(engine: Engine, case: dict[str, Float]) -> Float:
    """Run an engine over B sequences at once, each from a fresh start; return xyz_m (B, T, 17, 3) as answered."""
    keys, poses = list(range(len(case["xy"]))), []
    for t in range(case["xy"].shape[1]):
        inputs = {name: np.ascontiguousarray(case[name][:, t]) for name in ("xy", "score", "dt_s")}
        poses.append(engine.run(inputs, keys, keys if t == 0 else ())["xyz_m"])
    return np.stack(poses, 1)


def measure(path: Path, frames: int, folder: Path) -> dict[str, float]:
    """Return the errors of one exported lifter on the val subjects, each answer against the frame it is for."""
    motion, engine, found = load_motion(folder, "val"), open_engine(path, "ort", threads=1), {}
    take = even_takes(motion, SECONDS * FPS, FPS, range(len(motion.fps)))
    for kind, clean in KINDS.items():
        case = make_batch(take, np.random.default_rng(23), clean)
        pose = stream(engine, case)[:, frames:]
        truth: Float = case["pose_m"][:, : pose.shape[1]]
        found |= {f"{name}, {kind}": metric(pose, truth) for name, metric in METRICS.items()}
    engine.close()
    return found


def run(frames: int, seed: int, args: argparse.Namespace) -> dict[str, float]:
    """Train, export and measure one; what is there already is read."""
    out = args.out / f"ahead{frames}-{seed}"
    result = out / "result.json"
    if not result.exists():
        words = ["--model", "tcn", "--out", out, "--steps", args.steps, "--lr", args.lr, "--look-ahead", frames]
        words += ["--init", find_weights(args.init), "--seed", seed, "--eval-every", args.steps]
        words += ["--data", args.data, "--export", out / "lifter.onnx"]
        train_lifter([str(word) for word in words])
        result.write_text(json.dumps(measure(out / "lifter.onnx", frames, args.data)))
    found: dict[str, float] = json.loads(result.read_text())
    return found


def table(runs: dict[int, list[dict[str, float]]], args: argparse.Namespace) -> Table:
    """Return the experiment's table of what has been run."""
    rows: list[dict[str, Any]] = []
    for frames, found in runs.items():
        name = f"{frames} frames" if frames else "causal"
        row: dict[str, Any] = {"name": name, COLUMNS[0]: 1000 * frames / 30, COLUMNS[1]: 1000 * frames / 60}
        rows.append(row | {column: [f[column] for f in found] for column in COLUMNS[2:]})
    orderings = []
    for kind in KINDS:
        first, last = (mean(rows[i][f"MPJPE mm, {kind}"]) for i in (0, -1))
        claim = f"more future, less error ({kind})"
        orderings.append(Ordering(claim, last < first, f"{first:.1f} mm causal, {last:.1f} mm with {max(runs)} frames"))
    note = (
        f"Each trained {args.steps} steps from the same causal weights; val subjects, {SECONDS} s of each clip at "
        f"{FPS} frames a second, random cameras, streamed by the exported file. The delay is what an answer waits."
    )
    command = f"python -m train.experiments.look_ahead --out runs/ahead --steps {args.steps}"
    return Table("Look-ahead: a few frames of future", note, command, list(COLUMNS), rows, orderings)


def main(argv: Sequence[str] | None = None) -> int:
    """Run what has not been run, write the table after each."""
    p = argparse.ArgumentParser(
        prog="python -m train.experiments.look_ahead",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--out", type=Path, required=True, help="checkpoints; what is there already is not done again")
    p.add_argument("--data", type=Path, default=data_root() / "mocap", help="folder of motion.npz")
    p.add_argument("--init", default="lifter-tcn", help="shipped name or .onnx file to begin from")
    p.add_argument("--steps", type=int, default=700)
    p.add_argument("--lr", type=float, default=5e-4)
    p.add_argument("--seeds", type=int, nargs="+", default=[0])
    p.add_argument("--results", type=Path, default=HERE / "results" / "look_ahead.json")
    args = p.parse_args(argv)
    runs: dict[int, list[dict[str, float]]] = {}
    for seed in args.seeds:
        for frames in FRAMES:
            runs.setdefault(frames, []).append(run(frames, seed, args))
            print(frames, seed, {k: round(v, 1) for k, v in runs[frames][-1].items()}, flush=True)
            if len(runs) > 1:
                write(args.results, table(runs, args))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
