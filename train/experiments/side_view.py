"""The picture to the table of `self_supervised`: one pose as its camera sees it and from the side (figure 3.1)."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes

from engines.measure.metrics3d import mpjpe_mm
from engines.skeletons import H36M17
from train.data.motion.mocap import Float, data_root
from train.data.motion.rigs import room_rig
from train.data.motion.room import room_clips
from train.experiments.self_supervised import Budget, run_path
from train.experiments.tables import HERE
from train.methods.footage import Footage, footage
from train.methods.geometry import TwoBranch
from train.tasks.geometry import FPS

METHODS = ("re-projection alone", "transform re-projection")
COLOURS = {"left": "#1f77b4", "right": "#d62728", "middle": "#444444"}
AXES = {"as the camera sees it": (0, 1), "from the side": (2, 1)}  # camera axes drawn to the right and down


def lift(folder: Path, budget: Budget, shots: Footage) -> Float:
    """Return the poses (V, N, 17, 3) of a trained run, about the pelvis."""
    model = TwoBranch(budget.width, budget.blocks, dropout=0)
    model.load_state_dict(torch.load(folder / "main" / "checkpoint.pt", weights_only=True)["averaged"])
    with torch.no_grad():
        return model.eval()(shots.screen.flatten(0, 1)).unflatten(0, shots.screen.shape[:2]).numpy()


def typical_frame(poses: dict[str, Float], truth: Float) -> tuple[int, int]:
    """Return view and frame of a pose whose errors are near the median of both methods, arms and legs not together."""
    errors = [np.linalg.norm(p - truth, axis=-1).mean(-1) for p in poses.values()]
    unusual = sum(np.abs(np.log(e / np.median(e))) for e in errors)
    spread = np.linalg.norm(truth[..., [3, 13], :] - truth[..., [6, 16], :], axis=-1).sum(-1)
    unusual = np.where(spread > np.quantile(spread, 0.7), unusual, np.inf)
    view, frame = np.unravel_index(int(unusual.argmin()), unusual.shape)
    return int(view), int(frame)


def draw(axes: Axes, pose: Float, across: int, down: int) -> None:
    """Draw one skeleton (17, 3) about its pelvis in two of its axes, metres."""
    for parent, joint in H36M17.bones:
        line = pose[[parent, joint]]
        axes.plot(line[:, across], -line[:, down], color=COLOURS[H36M17.side(joint)], linewidth=2.5)
    axes.set_aspect("equal")
    axes.set_xlim(-0.9, 0.9)
    axes.set_ylim(-1.0, 0.85)
    axes.set_xticks([])
    axes.set_yticks([])


def picture(poses: dict[str, Float], truth: Float, path: Path) -> None:
    """Write truth and methods side by side, one row per direction of view.

    A pose whose scale is off by more than a half (one view cannot tell it) is drawn at its best scale, and so labelled.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    columns = {"truth": truth, **poses}
    figure, grid = plt.subplots(len(AXES), len(columns), figsize=(7.2, 5.2), layout="constrained")
    for axes, (name, pose) in zip(grid[0], columns.items(), strict=True):
        scale = float((pose * truth).sum() / (pose * pose).sum())
        shrunk = abs(np.log(scale)) > np.log(1.5)
        columns[name] = scale * pose if shrunk else pose
        told = f"\n{mpjpe_mm(pose, truth):.0f} mm" + (f", drawn at {scale:.2f} of its size" if shrunk else "")
        axes.set_title(name + (told if name != "truth" else "\n"), fontsize=9)
    for row, (direction, (across, down)) in zip(grid, AXES.items(), strict=True):
        row[0].set_ylabel(direction)
        for axes, pose in zip(row, columns.values(), strict=True):
            draw(axes, pose, across, down)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90, metadata={"Software": None})
    plt.close(figure)


def main(argv: list[str] | None = None) -> int:
    """Draw the picture from the runs of `self_supervised`."""
    p = argparse.ArgumentParser(prog="python -m train.experiments.side_view", description=__doc__)
    p.add_argument("--runs", type=Path, required=True, help="the folder of train.experiments.self_supervised --out")
    p.add_argument("--data", type=Path, help="folder of motion.npz (default: $POSESTREAM_DATA/mocap)")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--picture", type=Path, default=HERE / "results" / "self_supervised_side_view.png")
    args = p.parse_args(argv)
    torch.set_num_threads(1)
    shots = footage(room_clips(args.data or data_root() / "mocap", "val", room_rig(), FPS))
    truth = (shots.xyz_m - shots.xyz_m[:, :, :1]).numpy()
    budget = Budget()
    poses = {n: lift(run_path(args.runs, n, args.seed).with_suffix(""), budget, shots) for n in METHODS}
    at = typical_frame(poses, truth)
    picture({name: p[at] for name, p in poses.items()}, truth[at], args.picture)
    print(f"{args.picture}: view {at[0]}, frame {at[1]}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
