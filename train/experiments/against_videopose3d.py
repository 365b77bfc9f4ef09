"""VideoPose3D's own code, our re-implementation and our shipped architecture on the same cameras, splits and epochs.

The public repository runs as it is, in a process of its own. It is not part of posestream: clone
github.com/facebookresearch/VideoPose3D (CC BY-NC 4.0) and give its folder. Its data/ folder gets our motion pack.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from engines.runtime import find_weights
from train.data.motion.mocap import Float, data_root
from train.data.motion.windows import Track
from train.experiments.tables import HERE, Ordering, Table, mean, write
from train.experiments.videopose3d_data import (
    Slot,
    detected_anew,
    filmed,
    others,
    ray_tracks,
    screen_tracks,
    write_2d,
    write_3d,
)
from train.experiments.videopose3d_runs import (
    INPUTS,
    METRICS,
    SEQUENCES,
    SHORT_FIRST,
    Budget,
    action_average,
    lift,
    parse,
    run_theirs,
    spread,
    theirs_in_ours,
    train_ours,
    train_shipped,
)
from train.measure.against_batch import from_file
from train.tasks.videopose import predict

NAMES = {
    "theirs": "VideoPose3D, its own code",
    "theirs_equal": "VideoPose3D, its own code, with the shipped one's batch and learning rate",
    "theirs_in_ours": "its weights in our network",
    "ours": "our re-implementation",
    "shipped": "our shipped architecture",
    "anew": "our shipped architecture, short sequences first, other detections each epoch",
    "as_long": "our shipped architecture, the same for as many minutes as VideoPose3D's own code",
    "recipe": "our shipped architecture, other bodies, limbs and detections each epoch as in its recipe",
    "weights": "the shipped lifter-tcn itself (all training clips, random cameras, half of them level, long training)",
}

RUNS = ["theirs", "theirs_equal", "ours", "shipped", "anew", "as_long", "recipe", "weights"]
USUAL = [who for who in RUNS if who != "as_long"]  # how long that takes is known only after "theirs" and "anew"
THEIRS = ("theirs", "theirs_equal")
RAYS = ("shipped", "anew", "as_long", "recipe", "weights")
MPJPE, FLIP = "MPJPE mm", "MPJPE mm, test-time flip"
Facts = dict[str, float | str]


@dataclass(frozen=True)
class Material:
    """The filmed clips of one kind of 2D joints."""

    train: list[Slot]
    val: list[Slot]

    @property
    def fingerprint(self) -> str:
        """Short hash of all joints: runs on other material must not share a table."""
        digest = hashlib.sha256()
        for slot in self.train + self.val:
            for view in slot.clip.views:
                digest.update(view.xy_px.tobytes() + view.score.tobytes() + view.xyz_m.tobytes())
        return digest.hexdigest()[:12]


def material(folder: Path, checkout: Path, budget: Budget, kind: str) -> Material:
    """Film both splits."""
    seeds = (None, None) if kind == "truth" else (100, 101)
    train = filmed(folder, checkout, "train", budget.fps, budget.every, budget.most_s, seeds[0])
    return Material(train, filmed(folder, checkout, "val", budget.fps, 1, budget.most_s, seeds[1]))


def one_run(who: str, kind: str, seed: int, args: argparse.Namespace, budget: Budget, out: Path) -> None:
    """Do one run and write its result; "theirs" also writes "theirs_in_ours"."""
    filmed_clips = material(args.data, args.videopose3d, budget, kind)
    began = time.monotonic()
    tracks = ray_tracks if who in RAYS else screen_tracks
    train, val = tracks(filmed_clips.train), tracks(filmed_clips.val)
    work = out / f"{kind}-{who}-{seed}"
    work.mkdir(parents=True, exist_ok=True)
    facts: Facts = {"train frames": sum(len(t.xy) for t in train), "val frames": sum(len(t.xy) for t in val)}
    facts["material"] = filmed_clips.fingerprint
    if who in THEIRS:
        if who == "theirs_equal":
            budget = replace(budget, batch=budget.batch_shipped, lr=budget.lr_shipped)
        every = filmed_clips.train + filmed_clips.val
        write_3d(args.videopose3d / "data" / "data_3d_h36m.npz", every)
        write_2d(args.videopose3d / "data" / f"data_2d_h36m_{INPUTS[kind]}.npz", every)
        plain, flip = run_theirs(args.videopose3d, budget, kind, work)
        found = {**parse(plain), FLIP: parse(flip)[MPJPE]}
        model: nn.Module = theirs_in_ours(work / f"epoch_{budget.epochs}.bin", budget.channels)
        if who == "theirs":
            save(out, "theirs_in_ours", kind, seed, errors(lambda t, f: predict(model, t, f), val), facts)
    elif who == "ours":
        model = train_ours(budget, train, seed, work)
        found = errors(lambda t, f: predict(model, t, f), val)
    elif who == "weights":
        model = from_file(find_weights("lifter-tcn"))
        found = errors(lambda t, f: lift(model, t, budget.fps, f), val)
    else:

        def tracks_of_epoch(epoch: int) -> list[Track]:
            if who == "shipped" or epoch == 0:
                return train
            people = others(filmed_clips.train, 1000 + epoch) if who == "recipe" else filmed_clips.train
            return ray_tracks(people if kind == "truth" else detected_anew(people, 1000 + epoch))

        lengths = SHORT_FIRST if who in ("anew", "as_long") else SEQUENCES
        if who == "as_long":
            budget = replace(budget, epochs=budget.epochs_as_long)
            lengths = spread(lengths, budget.epochs)
        model = train_shipped(budget, tracks_of_epoch, seed, work, lengths)
        found = errors(lambda t, f: lift(model, t, budget.fps, f), val)
    facts |= {"minutes": (time.monotonic() - began) / 60, "parameters": sum(p.numel() for p in model.parameters())}
    save(out, who, kind, seed, found, facts)


def errors(lifted: Callable[[Track, bool], Float], val: list[Track]) -> dict[str, float]:
    """Return the errors of a lifter without test-time flip, and its MPJPE with."""
    plain = action_average([lifted(t, False) for t in val], val)
    return {**plain, FLIP: action_average([lifted(t, True) for t in val], val)[MPJPE]}


def save(out: Path, who: str, kind: str, seed: int, found: dict[str, float], facts: Facts) -> None:
    """Write one run's result."""
    print(who, kind, seed, {k: round(v, 2) for k, v in found.items()}, flush=True)
    (out / f"{kind}-{who}-{seed}.json").write_text(json.dumps({**found, **facts}, indent=1))


def table(out: Path, budget: Budget) -> Table:
    """Gather the runs that are there.

    Raises:
        ValueError: If runs on the same kind of 2D joints had other clips: the code that films them has changed.
    """
    rows, orderings = [], []
    frames = {"train frames": 0.0, "val frames": 0.0}
    for kind in INPUTS:
        mine: dict[str, list[float]] = {}
        every = [json.loads(p.read_text()) for p in sorted(out.glob(f"{kind}-*.json"))]
        if len({r["material"] for r in every}) > 1:
            raise ValueError(f"{out}: the runs with 2D {kind} had different clips; delete the older ones")
        for who, name in NAMES.items():
            runs = [json.loads(p.read_text()) for p in sorted(out.glob(f"{kind}-{who}-*.json"))]
            if not runs:
                continue
            frames = {k: runs[0][k] for k in frames}
            row = {m: [r[m] for r in runs] for m in (*METRICS, FLIP)}
            mine[who] = row[MPJPE]
            size = {"parameters": runs[0].get("parameters"), "minutes": runs[0].get("minutes")}
            share = mean(row[MPJPE]) / mean(mine["theirs"]) if "theirs" in mine else None
            rows.append({"name": f"{name}, 2D {kind}", **row, "of its MPJPE": share, **size})
        orderings += claims(kind, mine)
    which = "all training clips" if budget.every == 1 else f"every {budget.every}th training clip"
    note = (
        f"Causal 243 frames, {budget.channels} channels, {budget.epochs} epochs (each frame and its mirror image), "
        f"batch {budget.batch}, learning rate from {budget.lr:g} down by the paper's whole factor (the shipped one: "
        f"its own losses, batch {budget.batch_shipped}, {budget.lr_shipped:g}). "
        f"{frames['train frames']:.0f} training and {frames['val frames']:.0f} val frames (views x frames at "
        f"{budget.fps:g} fps; {which}, all val clips, at most {budget.most_s:g} s each), "
        "people of val never trained on, cameras of Human3.6M. Averages over actions as that code does. "
        "2D: the truth, or an imitated detector's; lost joints keep their last place for VideoPose3D and ours, "
        "the shipped one gets the scores. Minutes of one core, tests included; not kept of early runs."
    )
    if any(out.glob("*-as_long-*.json")):
        note += f" The run for as many minutes has {budget.epochs_as_long} epochs."
    columns = [*METRICS, FLIP, "of its MPJPE", "parameters", "minutes"]
    flags = "".join(
        f" --{name.replace('_', '-')} {value}"
        for name, value in vars(budget).items()
        if value != getattr(Budget(), name)
    )
    command = f"python -m train.experiments.against_videopose3d --videopose3d ../VideoPose3D --out runs/against{flags}"
    title = f"Against VideoPose3D's own code: {which}, {budget.channels} channels"
    return Table(title, note, command, columns, rows, orderings)


def claims(kind: str, mine: dict[str, list[float]]) -> list[Ordering]:
    """Check what issue 3 asks of one kind of 2D joints."""
    out = []
    if {"theirs", "ours"} <= set(mine):
        ratio = mean(mine["ours"]) / mean(mine["theirs"])
        out.append(Ordering(f"2D {kind}: our re-implementation is within 2 % of VideoPose3D's own MPJPE",
                            abs(ratio - 1) <= 0.02, f"{100 * (ratio - 1):+.1f} %"))  # fmt: skip
    for who, other in itertools.product(RAYS, THEIRS):
        if {other, who} <= set(mine):
            ratio = mean(mine[who]) / mean(mine[other])
            claim = f"2D {kind}: {NAMES[who]} is at least 8 % below {NAMES[other]}"
            out.append(Ordering(claim, ratio <= 0.92, f"{100 * (ratio - 1):+.1f} %"))
    return out


def main(argv: list[str] | None = None) -> int:
    """Run what is missing and write the table."""
    p = argparse.ArgumentParser(prog="python -m train.experiments.against_videopose3d", description=__doc__)
    p.add_argument("--videopose3d", type=Path, required=True, help="a checkout of facebookresearch/VideoPose3D")
    p.add_argument("--out", type=Path, required=True)
    p.add_argument("--data", type=Path, default=data_root() / "mocap", help="folder of motion.npz")
    p.add_argument("--inputs", nargs="*", choices=list(INPUTS), default=list(INPUTS))
    p.add_argument("--runs", nargs="*", choices=RUNS, default=USUAL)
    p.add_argument("--seeds", type=int, nargs="*", default=[0], help="of ours; VideoPose3D's own code has none")
    p.add_argument("--result", type=Path, default=HERE / "results" / "against_videopose3d.json")
    for name, value in vars(Budget()).items():
        p.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value, help="see Budget")
    args = p.parse_args(argv)
    budget = Budget(**{name: getattr(args, name) for name in vars(Budget())})
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    for kind in args.inputs:
        for who in args.runs:
            for seed in args.seeds:
                there = (args.out / f"{kind}-{who}-{seed}.json").exists()
                if not there:
                    one_run(who, kind, seed, args, budget, args.out)
                    write(args.result, table(args.out, budget))
    write(args.result, table(args.out, budget))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
