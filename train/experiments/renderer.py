"""What rendered people are worth: the compact detector's first stage on real pictures, on rendered ones, and on both.

Same start (MoveNet's weights, or --base), same steps, same batch. Judged on real pictures that no run saw: held-out
LSPET, and the free COCO people as a whole.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from itertools import islice

import numpy as np
import torch

from engines.geometry import crop_boxes, crop_to_pixels, cut_crops
from train.data.people.mixes2d import DataChoice
from train.experiments.detector_runs import Budget, Figures, add_options, begin, choice_of, once, over_seeds
from train.experiments.tables import HERE, Ordering, Table, mean, write
from train.measure.evaluate2d import Float, Person, coco_people, lspet_people, measure
from train.models.detector import Detector, DetectorConfig
from train.models.streaming import CROP_SCALE
from train.recipe2d import STAGES, train_stage

KINDS = ("real only", "rendered only", "both")
AS_RECORDED = {"lr": 8e-4, "encoder_scale": 0.25, "shares": (0.55, 0.15, 0.22, 0.08), "calm": 1.0, "cut": 0.0}
"""The first stage of when the table was made; the recipe has learnt since."""
FIGURES = ("limbs pck@0.2 torso", "limbs pck@0.1 torso", "limbs pck@0.2 box", "left/right exchanged")


def data_of(kind: str, whole: DataChoice) -> DataChoice:
    """Return the part of the data that a kind of run sees."""
    if kind == "real only":
        return replace(whole, rendered=None)
    return whole if kind == "both" else replace(whole, labels=None, lspet=False, sets=())


@torch.no_grad()
def predict_with_model(people: list[Person], model: Detector) -> tuple[Float, Float]:
    """Run a network on the same crops that the runtime cuts: xy (N, 17, 2) in picture pixels, score (N, 17)."""
    wh, device, found = model.config.input_wh, next(model.parameters()).device, []
    for person in people:
        box = crop_boxes(person.box[None], wh, CROP_SCALE)
        joints = model(torch.from_numpy(cut_crops(person.image, box, wh))[None].to(device))
        score = torch.sigmoid(joints.score_logit).float().cpu().numpy()
        found.append((crop_to_pixels(joints.xy.float().cpu().numpy(), box, wh)[0], score[0]))
    return np.stack([f[0] for f in found]), np.stack([f[1] for f in found])


def judge(model: Detector, people: dict[str, list[Person]]) -> Figures:
    """Return the figures on each set of people."""
    out = {}
    for name, crowd in people.items():
        figures = measure(crowd, {"model": predict_with_model(crowd, model)})["model"]
        out |= {f"{key}, {name}": figures[key] for key in FIGURES}
    return out


def table_of(rows: list[dict[str, object]], args: argparse.Namespace) -> Table:
    """Put the rows into a table, with the claim that both are better than either."""
    value = {(row["name"], column): mean(cell) for row in rows for column, cell in row.items() if column != "name"}
    columns, claims = [c for c in rows[0] if c != "name"], []
    for column in columns:
        if column.startswith("limbs pck@0.2 torso") and all((kind, column) in value for kind in KINDS):
            real, rendered, both = (value[kind, column] for kind in KINDS)
            why = f"{real:.3f}, {rendered:.3f}, {both:.3f}"
            claims.append(Ordering(f"both over either alone: {column}", both > max(real, rendered), why))
    note = f"{args.steps} steps of {args.batch} pictures each, all begun alike; stage 1 of the recipe."
    return Table("Renderer", note, "python -m train.experiments.renderer --out DIR", columns, rows, claims)


def main(argv: list[str] | None = None) -> None:
    """Run all three and write the results."""
    parser = argparse.ArgumentParser("train.experiments.renderer", description=__doc__.splitlines()[0])
    add_options(parser, steps=800, batch=32)
    parser.add_argument("--people", type=int, help="at most so many of each set to judge by")
    args = parser.parse_args(argv)
    if args.rendered is None:
        parser.error("give --rendered, the folder of rendered shards")
    torch.set_num_threads(args.threads)
    sources = {} if args.no_lspet else {"LSPET": lspet_people(args.data / "images" / "lspet")}
    sources["free COCO"] = coco_people(args.data / "coco_free")
    people = {name: list(islice(source, args.people)) for name, source in sources.items()}
    budget, rows = Budget(args.steps, args.batch), list[dict[str, object]]()
    for kind in KINDS:
        runs = [_run(kind, args, budget, people, seed) for seed in args.seeds]
        rows.append({"name": kind, **over_seeds(runs)})
        write(args.result or HERE / "results" / "renderer.json", table_of(rows, args))


def _run(kind: str, args: argparse.Namespace, budget: Budget, people: dict[str, list[Person]], seed: int) -> Figures:
    out = args.out / f"{kind.replace(' ', '_')}_{seed}"

    def make() -> Figures:
        model = begin(DetectorConfig(), args.base, args.data, seed).to(args.device)
        stage = replace(STAGES[1], steps=budget.steps, batch=budget.batch, **AS_RECORDED)
        return judge(train_stage(model, stage, data_of(kind, choice_of(args)), out, seed).eval(), people)

    return once(out / "figures.json", make)


if __name__ == "__main__":
    main()
