"""Thesis tables 4.1 and 4.2 on our motion data: what the dictionary, its levels and the consistency loss are worth.

Every network learns from the 2D joints of the room's cameras alone. A seed's dictionaries are learned once and shared
by the rows. Each run leaves a JSON in --out and is not done again; the table is written after each.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

from train.experiments.tables import HERE, Ordering, Table, mean, write
from train.methods.dictionary import HierarchicalDictionary
from train.methods.factorization import FactorizationNet
from train.methods.footage import Footage
from train.methods.nrsfm import Nrsfm
from train.methods.orthographic import normalised_pose
from train.tasks.factorization import (
    Recipe,
    Score,
    filmed,
    learn_dictionary,
    learn_factorization,
    network,
    scorer,
)

EVERY = {"train": 4, "val": 12}  # of 30 frames a second
VIRTUAL = 8
TWO_LEVELS, FOUR_LEVELS, ONE_LEVEL = (125, 10), (125, 64, 32, 10), (10,)
BASE = Recipe(
    levels=TWO_LEVELS,
    dictionary_steps=800,
    dictionary_rate=0.3,
    width=128,
    blocks=2,
    dropout=0.0,
    steps=1200,
    batch=64,
    lr=3e-3,
)


@dataclass(frozen=True)
class Row:
    """A line of the table: a recipe, which cameras it learns from, and whether it stops at the first stage."""

    recipe: Recipe
    virtual: int = 0
    first_stage_only: bool = False


ROWS = {
    "baseline: no dictionary, re-projection only": Row(replace(BASE, levels=(), consistency="none")),
    "baseline + hierarchical dictionary": Row(replace(BASE, consistency="none")),
    "**ours: + consistency** (levels 125, 10; fine-tuned)": Row(BASE),
    "ours, dictionary fixed": Row(replace(BASE, dictionary_rate=0.0)),
    "ours, dictionary not learned beforehand": Row(replace(BASE, dictionary_steps=0, dictionary_rate=1.0)),
    "ours, no dictionary": Row(replace(BASE, levels=())),
    "ours, 4 levels (125, 64, 32, 10)": Row(replace(BASE, levels=FOUR_LEVELS)),
    "ours, 1 level (10): Ours-SD": Row(replace(BASE, levels=ONE_LEVEL, dictionary_steps=0, dictionary_rate=1.0)),
    "ours, own pose turned in place of a second view": Row(replace(BASE, consistency="turned")),
    "ours, 12 views: Ours+DA": Row(BASE, virtual=VIRTUAL),
    "ours, no start of the viewpoint": Row(replace(BASE, start=0.0)),
    "encoder-decoder of the dictionary by itself": Row(BASE, first_stage_only=True),
    "ours, dictionary's encoder as printed": Row(replace(BASE, threshold="relu", hidden=0)),
}
BASELINE, HD, OURS, FIXED, RAW, FREE, FOUR, SINGLE, TURNED, VIEWS12, COLD, ALONE, PRINTED = ROWS
P, N, EITHER, SPREAD, SEEN = (
    "P-MPJPE mm",
    "MPJPE mm, scale restored",
    "P-MPJPE mm, better of both mirror images",
    "canonical poses apart, %",
    "2D error, %",
)
KEYS = {P: "p_mpjpe_mm", N: "n_mpjpe_mm", EITHER: "either_p_mpjpe_mm", SPREAD: "spread", SEEN: "reprojection"}
CLAIMS = (  # better, worse, where it comes from
    (HD, BASELINE, "a dictionary learned from 2D beforehand helps without the consistency loss (table 4.1)"),
    (OURS, HD, "the consistency loss helps most (table 4.1)"),
    (OURS, BASELINE, "both together are better than the baseline (table 4.1)"),
    (OURS, SINGLE, "a hierarchical dictionary is better than one level (table 4.2)"),
    (FOUR, SINGLE, "so are four levels"),
    (OURS, FIXED, "fine-tuning the dictionary helps (section 4.6)"),
    (OURS, RAW, "learning the dictionary beforehand helps (section 4.6)"),
    (OURS, FREE, "with the consistency loss, a dictionary is better than none"),
    (VIEWS12, OURS, "eight more views help (table 4.3)"),
    (OURS, TURNED, "a real second view is better than the own pose turned"),
    (OURS, ALONE, "the network is better than the dictionary's encoder (end of section 4.5)"),
    (OURS, PRINTED, "block thresholds and a hidden layer in the dictionary's encoder help (ours)"),
    (OURS, COLD, "within these few steps the start of the viewpoint is needed (ours)"),
)


def run(name: str, seed: int, out: Path) -> dict[str, float]:
    """Train one row with one seed and score it on the val subjects."""
    row = ROWS[name]
    recipe = replace(row.recipe, seed=seed)
    xy = views(row.virtual)
    kind = f"{len(recipe.levels)}-{row.virtual}-{recipe.threshold}{'' if recipe.start else '-cold'}"
    learned = learned_dictionary(recipe, xy, out / f"dictionary-{kind}-{seed}")
    if row.first_stage_only and learned is not None:
        return judge()(learned)
    folder = out / f"network-{list(ROWS).index(name)}-{seed}"
    model = learn_factorization(recipe, xy, folder, learned.dictionary if learned else None)
    torch.save(model.state_dict(), out / f"{folder.name}.pt")
    shutil.rmtree(folder)
    return judge()(model)


def learned_dictionary(recipe: Recipe, xy: Tensor, folder: Path) -> Nrsfm | None:
    """Return the first stage of a recipe, learned now or by an earlier row of the seed; None if it has none."""
    return learn_dictionary(recipe, xy, folder) if recipe.levels and recipe.dictionary_steps else None


@cache
def views(virtual: int) -> Tensor:
    """Return the (V, N, 17, 2) normalised 2D poses that a network learns from."""
    return normalised_pose(filmed("train", EVERY["train"], virtual).screen)[0]


@cache
def val_shots() -> Footage:
    """Return the val subjects as the four fixed cameras see them."""
    return filmed("val", EVERY["val"])


@cache
def judge() -> Score:
    """Return the scorer of the val subjects."""
    return scorer(val_shots())


def trained(name: str, seed: int, out: Path) -> nn.Module:
    """Load the network of a row that has been run."""
    recipe = ROWS[name].recipe
    model: FactorizationNet = network(recipe, HierarchicalDictionary(recipe.levels) if recipe.levels else None)
    model.load_state_dict(torch.load(out / f"network-{list(ROWS).index(name)}-{seed}.pt", weights_only=True))
    return model.eval()


def table(out: Path) -> Table:
    """Collect the results in --out."""
    rows = []
    for number, name in enumerate(ROWS):
        files = sorted(out.glob(f"result-{number}-*.json"))
        scores = [json.loads(path.read_text()) for path in files]
        if scores:
            percent = {SPREAD: 100, SEEN: 100}
            rows.append({"name": name, **{c: [s[k] * percent.get(c, 1) for s in scores] for c, k in KEYS.items()}})
    found = {row["name"]: row for row in rows}
    claims = [claim for claim in CLAIMS if claim[0] in found and claim[1] in found]
    return Table(TITLE, NOTE, COMMAND, list(KEYS), rows, [ordering(found, *claim) for claim in claims])


def ordering(found: dict[str, dict[str, list[float]]], better: str, worse: str, claim: str) -> Ordering:
    """Return whether a row's P-MPJPE is lower in the mean and in most seeds, with the figures and reasons."""
    one, two = found[better][P], found[worse][P]
    wins = [a < b for a, b in zip(one, two, strict=False)]
    holds = mean(one) < mean(two) and 2 * sum(wins) > len(wins)
    why = [text for pair, text in WHY.items() if pair == (better, worse)]
    figures = f"{mean(one):.1f} against {mean(two):.1f} mm, lower in {sum(wins)} of {len(wins)} seeds"
    return Ordering(claim, holds, "; ".join([figures, *why]))


TITLE = "Consistent factorization: dictionary and consistency loss (thesis tables 4.1 and 4.2)"
NOTE = f"""2D joints alone: single frames of the motion pack's train subjects, every {EVERY["train"]}th of 30 a second,
in the room's four cameras (perspective, which the method does not know of), true 2D joints. Val subjects, all four
views. Networks of {BASE.blocks} blocks of {BASE.width} channels, {BASE.steps} steps of {BASE.batch} pairs after
{BASE.dictionary_steps} steps for the dictionary (the thesis: 4 blocks of 1024, some hundred times as many pairs). All
rows but one begin with the viewpoint's start (`methods/viewpoint.py`), which is ours.

MPJPE is the thesis's: scale restored for each pose, about the pelvis. The mirror image that orthographic views cannot
tell from the truth is chosen once for all poses of a network, so that noses point forward; the third column chooses for
each pose by the truth, which shows how much of the error is depth taken the wrong way round. Canonical poses apart:
their distance from the mean over the four views, as a share of a pose's size. The thesis does not say how many levels
lie between its first (125) and last (10); its encoder "as printed" has ReLU thresholds and reads the rotation out with
one linear layer. The adversarial row of table 4.1 is not here: it needs 3D poses.

![2D joints, truth, ours and without consistency, from the side](results/dictionary_poses.png)"""
COMMAND = "python -m train.experiments.dictionary --out runs/dictionary"
WHY = {  # figures of seed 0; "best codes": codes and rotations fitted to the true 3D of every 12th val pose
    (HD, BASELINE): (
        "the viewpoint's start makes our baseline far better than the thesis's 144.6 mm: it keeps poses almost flat "
        "(wholly flat ones have 90.6 mm); the dictionary bends them in depth without evidence, see the picture; "
        "a longer first stage was not tried"
    ),
    (OURS, RAW): "the difference is within the spread: what so few steps of a first stage learn is soon made up for",
    (OURS, FIXED): "the best codes of a fixed dictionary leave 75 mm, of a fine-tuned one 50 mm",
    (OURS, FREE): (
        "the thesis has no such row; so few steps make ten codes a limit, their best leave 50 mm, while a second view "
        "of each moment holds free poses well enough"
    ),
    (OURS, SINGLE): (
        "even the best codes of ten linear atoms leave 99 mm, their 2D error is 14 %: they learn slowly, more steps "
        "were not tried"
    ),
    (FOUR, SINGLE): "the best codes leave 55 mm",
    (OURS, COLD): "seen with a rigid body: without it all rotations fold onto half a circle and stay there",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Do what is missing, seed by seed, and write the table."""
    p = argparse.ArgumentParser(prog="python -m train.experiments.dictionary", description=__doc__)
    p.add_argument("--out", type=Path, required=True, help="folder of the runs; what is there is not done again")
    p.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    p.add_argument("--result", type=Path, default=HERE / "results" / "dictionary.json")
    args = p.parse_args(argv)
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    for seed in args.seeds:
        for number, name in enumerate(ROWS):
            path = args.out / f"result-{number}-{seed}.json"
            if not path.exists():
                path.write_text(json.dumps(run(name, seed, args.out)))
                write(args.result, table(args.out))
                print(path.name, name, path.read_text(), flush=True)
    write(args.result, table(args.out))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
