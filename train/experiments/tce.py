"""Does the memory earn its place: single frame against the kinds of TCE, with and without erasing; window and stride.

Tables 2.3 and 2.5 and figure 2.9 of Li, "Deep Learning based Human Pose Estimation" (thesis, UTS 2020), with the
compact detector. Every run begins with the same trained base, keeps its encoder, and trains the memory and the decoder
for as many steps on the same sequences; it is judged on held-out ones with truth, ten of whose frames are covered.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from train.experiments.detector_runs import (
    Budget,
    Figures,
    add_options,
    begin,
    choice_of,
    held_out,
    once,
    over_seeds,
    sequences_of,
)
from train.experiments.tables import HERE, Ordering, Table, mean, write
from train.measure.sequences2d import Follow, Sequences, filtered, follow_with_model, measure_sequences
from train.models.detector import Detector, DetectorConfig
from train.models.memory import MemoryConfig
from train.recipe2d import STAGES, train_stage

ERASE = 0.5  # chance of random erasing, section 2.8.2
SHORT, LONG = 8, 13  # frames of a training sequence; windows of both sides need more


@dataclass(frozen=True)
class Variant:
    """One run.

    Attributes:
        memory: Its kind and form.
        erase: Chance of random erasing.
        frames: Length of a training sequence.
        judged_as: Changes of the memory's form for judging, by the name of the table's row; {} = as it was trained.
        filtered: Whether to judge it also with the pipeline's filter of the joints behind it.
    """

    memory: MemoryConfig
    erase: float = ERASE
    frames: int = SHORT
    judged_as: tuple[tuple[str, tuple[tuple[str, object], ...]], ...] = (("", ()),)
    filtered: bool = False


FILTERED = ", joints filtered"
EQUAL = 0.005  # PCK that differs by less counts as equal
WINDOW = MemoryConfig(windowed=True)
KINDS = {
    "single frame": MemoryConfig(aggregation="none"),
    "TCE-sum": replace(WINDOW, aggregation="sum"),
    "TCE-ConvLSTM": WINDOW,
    "TCE-ConvLSTM, both ways": replace(WINDOW, bidirectional=True),
    "multi-scale TCE-ConvLSTM": replace(WINDOW, multi_scale=True),
    "multi-scale TCE-ConvLSTM, both ways": replace(WINDOW, multi_scale=True, bidirectional=True),
}


def variants() -> dict[str, Variant]:
    """Tables 2.3 and 2.5: every kind, with and without erasing."""
    out = {}
    for name, memory in KINDS.items():
        frames = LONG if memory.bidirectional else SHORT
        out[name] = Variant(memory, frames=frames)
        out[f"{name}, no erasing"] = Variant(memory, 0.0, frames)
    return out


def forms() -> dict[str, Variant]:
    """Trained over windows or with a carried state, and run in both forms."""
    both = ((", run over windows", (("windowed", True),)), (", run carried", (("windowed", False),)))
    return {
        "trained over windows": Variant(WINDOW, judged_as=both),
        "trained carried": Variant(MemoryConfig(), judged_as=both),
    }


def neighbours() -> dict[str, Variant]:
    """Figure 2.9 a: N = 0, 2, 4, 6, 8, looking back, and both ways."""
    out = {}
    for count in (0, 2, 4, 6, 8):
        out[f"N = {count}"] = Variant(replace(WINDOW, neighbours=count), frames=count + 2)
        two = replace(WINDOW, neighbours=count, bidirectional=True)
        out[f"N = {count}, both ways"] = Variant(two, frames=2 * count + 1)
    return out


def strides() -> dict[str, Variant]:
    """Figure 2.9 b: a stride of 1, 2, 3, 5 frames, N = 2 on both sides; trained with it, and trained with 1."""
    two, steps = replace(WINDOW, neighbours=2, bidirectional=True), (1, 2, 3, 5)
    tested = tuple((f", run with stride {s}", (("stride", s),)) for s in steps)
    out = {"trained with stride 1": Variant(two, frames=9, judged_as=tested)}
    for s in steps[1:]:
        out[f"trained and run with stride {s}"] = Variant(replace(two, stride=s), frames=4 * s + 1)
    return out


def with_filter() -> dict[str, Variant]:
    """Single frames, the sum and the ConvLSTM, as they are and with `engines.joint_filter` behind them."""
    return {name: Variant(KINDS[name], filtered=True) for name in ("single frame", "TCE-sum", "TCE-ConvLSTM")}


PARTS = {"variants": variants, "filter": with_filter, "forms": forms, "neighbours": neighbours, "strides": strides}


def judge(model: Detector, variant: Variant, sequences: dict[str, Sequences]) -> Figures:
    """Return all figures of a trained model, by row suffix, kind of sequence and name."""
    figures = {}
    for suffix, changes in variant.judged_as:
        follow = follow_with_model(model.in_form(**dict(changes)).eval())
        for kind, held in sequences.items():
            found = follow(held.crops)
            ways: dict[str, Follow] = {suffix: lambda _, found=found: found}
            if variant.filtered:
                ways[suffix + FILTERED] = filtered(ways[suffix])
            for row, way in ways.items():
                for name, value in measure_sequences(held, way).items():
                    figures[f"{row}|{name}, {kind}"] = value
    return figures


def rows_of(name: str, runs: list[Figures]) -> list[dict[str, object]]:
    """Return the table's rows of one variant: one for each form it was judged in."""
    rows: dict[str, dict[str, object]] = {}
    for key, values in over_seeds(runs).items():
        suffix, _, column = key.partition("|")
        rows.setdefault(suffix, {"name": name + suffix})[column] = values
    return list(rows.values())


def claims(part: str, rows: list[dict[str, object]]) -> list[Ordering]:
    """Check the thesis's orderings, and that jitter is halved, where the rows are there."""
    value = {(row["name"], column): mean(cell) for row in rows for column, cell in row.items() if column != "name"}
    out = []

    def more(better: str, worse: str, column: str, factor: float = 1.0, said: str = "") -> None:
        a, b = value.get((better, column)), value.get((worse, column))
        if a is not None and b is not None:
            out.append(Ordering(said or f"{better} over {worse}: {column}", a > factor * b, f"{a:.3f} and {b:.3f}"))

    if part == "variants":
        names = list(KINDS)
        for kind in ("stills", "clips"):
            pck, jitter = f"pck@0.2 torso, {kind}", f"jitter torso, {kind}"
            for worse, better in ((0, 1), (1, 2), (2, 3), (3, 5)):
                more(names[better], names[worse], pck)
            more(names[2], f"{names[2]}, no erasing", pck)
            more(names[0], names[2], jitter, 2.0, f"{names[2]} halves the jitter of single frames, {kind}")
    if part == "filter":
        best = "TCE-ConvLSTM" + FILTERED
        for kind in ("stills", "clips"):
            pck, jitter = f"pck@0.2 torso, {kind}", f"jitter torso, {kind}"
            more("single frame", best, jitter, 2.0, f"{best}: less than half the jitter of single frames, {kind}")
            a, b = value.get((best, pck)), value.get(("single frame", pck))
            if a is not None and b is not None:
                claim = f"{best}: no less {pck} than single frames, within half a point"
                out.append(Ordering(claim, a > b - EQUAL, f"{a:.3f} and {b:.3f}"))
    return out


def main(argv: list[str] | None = None) -> None:
    """Run one part and write its results."""
    parser = argparse.ArgumentParser("train.experiments.tce", description=__doc__.splitlines()[0])
    add_options(parser, steps=330, batch=6)
    parser.add_argument("--part", choices=PARTS, default="variants", help="(default: %(default)s)")
    parser.add_argument("--only", nargs="+", help="names of variants")
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    budget, config = Budget(args.steps, args.batch, args.sequences), DetectorConfig()
    sequences = sequences_of(held_out(args), budget, config.input_wh)
    chosen = {k: v for k, v in PARTS[args.part]().items() if not args.only or k in args.only}
    rows: list[dict[str, object]] = []
    for name, variant in chosen.items():
        runs = [_run(name, variant, args, budget, sequences, seed) for seed in args.seeds]
        rows += rows_of(name, runs)
        columns = list(dict.fromkeys(c for row in rows for c in row if c != "name"))
        note = (
            f"{args.steps} steps of {args.batch} sequences on {'; '.join(choice_of(args).note())}; encoder fixed, "
            f"N = 6 unless said. {args.sequences} held-out sequences of each kind, {budget.frames} frames, "
            f"{len(budget.hidden)} of them covered. Jitter: second difference of the error. Recovery: frames until the "
            "error is as before."
        )
        table = Table(
            f"TCE: {args.part}", note, f"python -m train.experiments.tce --part {args.part} --out DIR", columns, rows,
            claims(args.part, rows),
        )  # fmt: skip
        write(args.result or HERE / "results" / f"tce_{args.part}.json", table)


def _run(
    name: str, variant: Variant, args: argparse.Namespace, budget: Budget, sequences: dict[str, Sequences], seed: int
) -> Figures:
    out: Path = args.out / args.part / f"{name.replace(' ', '_').replace(',', '')}_{seed}"

    def make() -> Figures:
        model = begin(replace(DetectorConfig(), memory=variant.memory), args.base, args.data, seed).to(args.device)
        stage = replace(
            STAGES[2], steps=budget.steps, batch=budget.batch, frames=variant.frames, erase=variant.erase, cut=0.0
        )  # the last weights count, not the best: no choosing on what is judged
        model = train_stage(model, stage, choice_of(args), out, seed)
        return judge(model, variant, sequences)

    return once(out / "figures.json", make)


if __name__ == "__main__":
    main()
