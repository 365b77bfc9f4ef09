"""Measure shipped lifters on subjects they never saw, streaming frame by frame as in live use.

Every clip of the val split is filmed by one random camera (fixed seed) at 15, 30 and 60 frames a second and lifted
from the true 2D joints and from what an imitated detector makes of them.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from engines.metrics3d import mpjpe_mm, mpjve_mm_per_frame, p_mpjpe_mm, root_error_share
from engines.runtime import Engine, find_weights, open_engine
from train.data.mocap import Float, Motion, data_root, even_takes, load_motion
from train.export import read_weights
from train.models.lifter_io import OUTPUTS, Lifter
from train.models.lstm import LstmLifter
from train.models.tcn import CausalTcn
from train.tasks.lifter import make_batch

RATES_HZ = (15, 30, 60)
CASES = {"truth": 1.0, "detector-like": 0.0}  # name: share of sequences with true 2D
COLUMNS = ("mpjpe_mm", "p_mpjpe_mm", "mpjve_mm_per_frame", "mpjve_mm_per_s", "still_mpjve_mm_per_s", "root_error_share")
EXAMPLES = """examples:
  python -m train.tasks.eval_lifter                                  both shipped lifters
  python -m train.tasks.eval_lifter runs/tcn.onnx --json report.json
  python -m train.tasks.eval_lifter lifter-tcn --seconds 2 --data ../shared/data/mocap"""


def stream(engine: Engine, case: dict[str, Float]) -> tuple[Float, Float]:
    """Run a lifter step by step over B sequences at once, each from a fresh start.

    Returns:
        xyz_m (B, T, 17, 3) and root_m (B, T, 3).
    """
    keys = list(range(len(case["xy"])))
    poses, roots = [], []
    for t in range(case["xy"].shape[1]):
        inputs = {name: np.ascontiguousarray(case[name][:, t]) for name in ("xy", "score", "dt_s")}
        out = engine.run(inputs, keys, keys if t == 0 else ())
        poses.append(out["xyz_m"])
        roots.append(out["root_m"])
    return np.stack(poses, 1), np.stack(roots, 1)


def measure(
    engine: Engine, motion: Motion, fps: int, clean_share: float, seconds: float, seed: int
) -> dict[str, float]:
    """Return the metrics of one lifter at one frame rate with one kind of 2D joints."""
    take = even_takes(motion, round(seconds * fps), fps, range(len(motion.fps)))
    case = make_batch(take, np.random.default_rng(seed), clean_share)
    pose, root = stream(engine, case)
    truth = case["pose_m"]
    still = np.repeat(truth[:, :1], truth.shape[1], 1)  # what a lifter that never moves would score
    jerk = mpjve_mm_per_frame(pose, truth)
    return {
        "mpjpe_mm": mpjpe_mm(pose, truth),
        "p_mpjpe_mm": p_mpjpe_mm(pose, truth),
        "mpjve_mm_per_frame": jerk,
        "mpjve_mm_per_s": jerk * fps,
        "still_mpjve_mm_per_s": mpjve_mm_per_frame(still, truth) * fps,
        "root_error_share": root_error_share(root, case["root_m"]),
    }


def from_file(path: Path) -> Lifter:
    """Rebuild the PyTorch network of a shipped lifter from the weights in its file."""
    weights = read_weights(path)
    settles = len(weights["head.weight"]) > OUTPUTS  # the first shipped files did not
    recurrent = any(name.startswith("lstm.") for name in weights)
    model: Lifter = LstmLifter(settles=settles) if recurrent else CausalTcn(settles=settles)
    model.load_state_dict(weights)
    return model.eval()


def streaming_gap(engine: Engine, model: Lifter, seed: int = 0) -> float:
    """Return the largest difference between the streaming file and the dense network, metres (root: share of depth).

    Six people come and go in one engine for 300 frames: sequences of random length, each begun with a reset, with
    lost joints and uneven times.
    """
    rng = np.random.default_rng(seed)
    people, length = 6, 300
    xy = rng.normal(0, 0.2, (people, 1, 17, 2)) + np.cumsum(rng.normal(0, 0.01, (people, length, 17, 2)), 1)
    score = rng.uniform(-0.2, 1, (people, length, 17)).clip(0)
    dt_s = rng.uniform(0.01, 0.1, (people, length))
    begins = rng.random((people, length)) < 0.01
    begins[:, 0] = True
    dt_s[begins] = 0
    case = {"xy": xy.astype(np.float32), "score": score.astype(np.float32), "dt_s": dt_s.astype(np.float32)}
    keys, worst, streamed = list(range(people)), 0.0, []
    for t in range(length):
        inputs = {name: np.ascontiguousarray(a[:, t]) for name, a in case.items()}
        out = engine.run(inputs, keys, np.flatnonzero(begins[:, t]).tolist())
        streamed.append((out["xyz_m"], out["root_m"]))
    pose, root = (np.stack(part, 1) for part in zip(*streamed, strict=True))
    for person in range(people):
        edges = [*np.flatnonzero(begins[person]), length]
        for a, b in itertools.pairwise(edges):
            with torch.no_grad():
                whole = model.sequence(*(torch.from_numpy(c[person : person + 1, a:b]) for c in case.values()))
            want_pose, want_root = (w[0].numpy() for w in whole)
            worst = max(worst, float(np.abs(pose[person, a:b] - want_pose).max()))
            worst = max(worst, float((np.abs(root[person, a:b] - want_root) / want_root[:, 2:]).max()))
    return worst


def step_ms(engine: Engine, people: int, steps: int = 300) -> dict[str, float]:
    """Return median and 95th percentile of one step's time in milliseconds."""
    rng = np.random.default_rng(0)
    shapes = {t.name: (people, *t.shape[1:]) for t in engine.spec.inputs}
    inputs = {name: rng.uniform(0, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}
    times = []
    for _ in range(steps):
        start = time.perf_counter()
        engine.run(inputs, range(people))
        times.append((time.perf_counter() - start) * 1000)
    return {"p50": float(np.median(times)), "p95": float(np.percentile(times, 95))}


def evaluate(path: Path, motion: Motion, seconds: float, seed: int) -> dict[str, Any]:
    """Return everything that is known about one lifter file."""
    engine = open_engine(path, "ort", threads=1)
    report: dict[str, Any] = {"name": engine.spec.name, "sha256": engine.sha256, "backend": engine.backend}
    report["streaming_minus_batch"] = streaming_gap(engine, from_file(path))
    report["step_ms_1_person"], report["step_ms_4_people"] = step_ms(engine, 1), step_ms(engine, 4)
    report["seconds_per_clip"], report["clips"], report["seed"] = seconds, len(motion.fps), seed
    report["rows"] = [
        {"fps": fps, "joints_2d": name, **measure(engine, motion, fps, share, seconds, seed)}
        for fps in RATES_HZ
        for name, share in CASES.items()
    ]
    engine.close()
    return report


def table(report: dict[str, Any]) -> str:
    """Return the report as text."""
    one, four = report["step_ms_1_person"], report["step_ms_4_people"]
    lines = [
        f"{report['name']} on {report['backend']}: step {one['p50']:.2f} ms (p95 {one['p95']:.2f}), four people "
        f"{four['p50']:.2f} ms; streaming minus batch {report['streaming_minus_batch']:.1e}",
        "fps  2D joints      " + "  ".join(COLUMNS),
    ]
    for row in report["rows"]:
        cells = "  ".join(f"{row[c]:{len(c)}.{3 if c == 'root_error_share' else 1}f}" for c in COLUMNS)
        lines.append(f"{row['fps']:3d}  {row['joints_2d']:13s}  {cells}")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Print a table per lifter and write JSON."""
    p = argparse.ArgumentParser(
        prog="python -m train.tasks.eval_lifter",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("models", nargs="*", default=["lifter-tcn", "lifter-lstm"], help="shipped names or .onnx files")
    p.add_argument("--data", type=Path, help="folder of motion.npz (default: $POSESTREAM_DATA/mocap)")
    p.add_argument("--seconds", type=float, default=6.0, help="of each clip")
    p.add_argument("--seed", type=int, default=11)
    p.add_argument("--json", type=Path, help="also write the figures here")
    args = p.parse_args(argv)
    motion = load_motion(args.data or data_root() / "mocap", "val")
    reports = []
    for model in args.models:
        reports.append(evaluate(find_weights(model), motion, args.seconds, args.seed))
        print(table(reports[-1]), flush=True)
    if args.json:
        args.json.write_text(json.dumps(reports, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
