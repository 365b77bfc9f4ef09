"""A picture of the dictionary experiment: val poses in 2D, and from the side in truth and as lifted."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engines.skeletons import H36M17
from train.experiments.dictionary import BASELINE, HD, OURS, trained, val_shots
from train.experiments.tables import HERE
from train.methods.orthographic import normalised_pose
from train.tasks.factorization import upright_pose

Pose = npt.NDArray[np.float32]
COLOURS = {"left": "#c2571a", "right": "#1f6fb4", "middle": "#444444"}
SHOWN = {"ours: both": OURS, "dictionary only": HD, "neither": BASELINE}


def scaled(pose: Pose, truth: Pose) -> Pose:
    """Return poses (C, 17, D) in metres, each at the scale that fits the truth's first D axes best."""
    target = truth[..., : pose.shape[-1]]
    return pose * ((pose * target).sum((-1, -2), keepdims=True) / (pose * pose).sum((-1, -2), keepdims=True))


def draw(rows: dict[str, Pose], path: Path) -> None:
    """Draw the first row (C, 17, 2) as it is, the others (C, 17, 3) from the side: the camera is on the left."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    count = len(next(iter(rows.values())))
    figure, axes = plt.subplots(len(rows), count, figsize=(1.2 * count, 1.3 * len(rows)), layout="constrained")
    for at, (name, poses) in enumerate(rows.items()):
        for cell, pose in zip(axes[at], poses, strict=True):
            flat = pose if at == 0 else pose[:, [2, 1]]
            for parent, joint in H36M17.bones:
                cell.plot(*flat[[parent, joint]].T, color=COLOURS[H36M17.side(joint)], linewidth=1.8)
            cell.set(xlim=(-0.95, 0.95), ylim=(1.05, -0.95), aspect="equal", xticks=[], yticks=[])
            cell.spines[:].set_color("#dddddd")
        axes[at][0].set_ylabel(name, fontsize=8)
    figure.savefig(path, dpi=90, metadata={"Software": None})
    plt.close(figure)


def main(argv: Sequence[str] | None = None) -> int:
    """Draw poses of the val subjects, evenly spaced over moments and views, from networks that have been trained."""
    p = argparse.ArgumentParser(prog="python -m train.experiments.dictionary_picture", description=__doc__)
    p.add_argument("--out", type=Path, required=True, help="folder of the runs of train.experiments.dictionary")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--count", type=int, default=9)
    p.add_argument("--picture", type=Path, default=HERE / "results" / "dictionary_poses.png")
    args = p.parse_args(argv)
    shots = val_shots()
    xy = normalised_pose(shots.screen)[0].flatten(0, 1)
    every = np.linspace(0, len(xy) - 1, args.count + 2, dtype=int)[1:-1]
    truth = (shots.xyz_m - shots.xyz_m[..., :1, :]).flatten(0, 1).numpy()[every]
    rows = {"2D joints": scaled(xy[every].numpy(), truth), "truth, side view": truth}
    for name, row in SHOWN.items():
        rows[name] = scaled(upright_pose(trained(row, args.seed, args.out), xy)[every].numpy(), truth)
    draw(rows, args.picture)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
