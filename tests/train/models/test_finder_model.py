"""The finder network, its losses, the exported file, and how found boxes are counted."""

from pathlib import Path

import numpy as np
import torch

from train.data.people.boxes import centre_maps
from train.data.people.boxes_augment import NONE, Scene
from train.losses_boxes import box_loss, centre_loss
from train.measure.evaluate_boxes import Judged, figures, ghosts, matched, recall_at_rate
from train.measure.report_boxes import write_sheets
from train.models.finder import FROZEN, INPUT_WH, PEOPLE_MAX, Finder, FinderGraph, decode_boxes
from train.tasks import finder as recipe


class Told(torch.nn.Module):
    """In place of the network: maps that say exactly one box per given person."""

    def __init__(self, boxes, scores) -> None:
        super().__init__()
        maps = centre_maps(np.array(boxes, np.float32), NONE, INPUT_WH)
        logits = torch.full((1, 1, 28, 48), -6.0)
        for box, score in zip(boxes, scores, strict=True):
            x, y = int((box[0] + box[2]) / 16), int((box[1] + box[3]) / 16)
            logits[0, 0, y, x] = float(np.log(score / (1 - score)))
            logits[0, 0, y, x + 1] = logits[0, 0, y, x] - 0.5  # a weaker neighbour: not another person
        centres = decode_boxes(torch.full((1, 4, 28, 48), -30.0))  # zero-size boxes: the cells' middles
        target = torch.from_numpy(maps["box"])[None]
        sign = torch.tensor([-1.0, -1, 1, 1])[None, :, None, None]
        middle = torch.cat([(centres[:, :2] + centres[:, 2:]) / 2] * 2, 1)
        self.register_buffer("logits", logits)
        self.register_buffer("sides", ((target - middle) * sign / 8).clamp(min=0.02).log())

    def forward(self, x):
        return self.logits + 0 * x.mean(), self.sides


def test_graph_picks_peaks_best_first():
    boxes = [(40, 40, 120, 200), (200, 20, 360, 220)]
    found, scores = FinderGraph(Told(boxes, (0.6, 0.9)))(torch.zeros(224, 384, 3, dtype=torch.uint8))
    assert found.shape == (PEOPLE_MAX, 4)
    np.testing.assert_allclose(scores[:2], [0.9, 0.6], atol=1e-5)
    np.testing.assert_allclose(found[:2], [boxes[1], boxes[0]], atol=0.1)
    assert scores[2] < 0.01, "the neighbours of a peak are no people"


def test_losses_prefer_the_truth():
    maps = {
        k: torch.from_numpy(v)[None]
        for k, v in centre_maps(np.array([[40, 40, 160, 200]], np.float32), NONE, INPUT_WH).items()
    }
    right, wrong = torch.full((1, 1, 28, 48), -5.0), torch.full((1, 1, 28, 48), -5.0)
    right[0, 0, 15, 12], wrong[0, 0, 3, 40] = 4.0, 4.0
    assert centre_loss(right, maps["centre"], maps["counted"]) < 0.2 * centre_loss(
        wrong, maps["centre"], maps["counted"]
    )
    unsure = maps["counted"].clone()
    unsure[..., 3, 40] = 0
    assert centre_loss(wrong, maps["centre"], unsure) < centre_loss(wrong, maps["centre"], maps["counted"]) - 1
    exact = maps["box"].clone()
    assert box_loss(exact, maps["box"], maps["weight"]) < 1e-4
    assert box_loss(exact + 20, maps["box"], maps["weight"]) > 0.1
    nobody = centre_maps(NONE, NONE, INPUT_WH)
    empty = {k: torch.from_numpy(v)[None] for k, v in nobody.items()}
    assert torch.isfinite(centre_loss(right, empty["centre"], empty["counted"]))
    assert box_loss(exact, empty["box"], empty["weight"]) == 0


def test_training_changes_all_but_the_frozen_blocks():
    model = Finder(channels=16)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    optimiser = torch.optim.SGD(recipe.parameter_groups(model), lr=0.1)
    maps = centre_maps(np.array([[10, 20, 60, 90]], np.float32), NONE, (96, 96))
    batch = {k: torch.from_numpy(v)[None] for k, v in maps.items()}
    batch["image"] = torch.randint(0, 256, (1, 3, 96, 96), dtype=torch.uint8)
    torch.stack(list(recipe.losses(model, batch).values())).sum().backward()
    optimiser.step()
    for name, value in model.state_dict().items():
        frozen = any(name.startswith(f"encoder.{block}.") for block in FROZEN)
        if frozen:
            assert torch.equal(value, before[name]), name
    assert not torch.equal(model.lateral32.weight, before["lateral32.weight"])
    assert not torch.equal(model.encoder.block13.project.weight, before["encoder.block13.project.weight"])


def test_recipe_without_research_data_says_so():
    args = recipe.parse(recipe.parser(), ["--out", "x", "--no-lspet"])
    assert not any("research data inside" in line for line in recipe.provenance(args)["data"])
    args = recipe.parse(recipe.parser(), ["--out", "x"])
    assert any("research data inside" in line for line in recipe.provenance(args)["data"])


def test_counting():
    people = np.array([[0, 0, 100, 200], [300, 0, 400, 200]], np.float32)
    scene = Scene(np.zeros((300, 600, 3), np.uint8), people, np.array([[450, 0, 600, 300]], np.float32))
    found = np.array([[5, 5, 100, 190], [0, 10, 95, 200], [460, 20, 500, 100], [200, 200, 290, 290]], np.float32)
    i, j = matched(found, people)
    assert (i.tolist(), j.tolist()) == ([0], [0]), "the second box on the same person is no second hit"
    assert ghosts(found, scene) == 1, "a double or somebody in an ignored region is no ghost"
    scores = np.array([0.9, 0.8, 0.7, 0.2], np.float32)
    empty = Scene(scene.image, NONE, NONE)
    row = figures([Judged(scene, found, scores), Judged(empty, found[3:], scores[3:])], 0.5)
    assert row["recall"] == 0.5
    assert row["ghosts_per_picture"] == 0
    assert row["ghost_share_empty"] == 0
    assert figures([Judged(empty, found[3:], scores[3:])], 0.1)["ghost_share_empty"] == 1


def test_sheets(tmp_path: Path):
    scene = Scene(np.full((90, 160, 3), 128, np.uint8), np.array([[10, 10, 40, 80]], np.float32), NONE)
    write_sheets(tmp_path, {"a b, c": [Judged(scene, scene.boxes, np.ones(1, np.float32))] * 7}, 0.5)
    assert (tmp_path / "a_b_c.png").stat().st_size > 500


def test_recall_where_ghosts_are_rare():
    """999 quiet pictures and one with a ghost of 0.6: one is allowed in 1000, none in 500."""
    picture, nowhere = np.zeros((360, 640, 3), np.uint8), np.zeros((0, 4), np.float32)
    box = np.array([[10, 10, 40, 50]], np.float32)  # 80 px tall in 1280x720
    tiny = np.array([[10, 10, 30, 35]], np.float32)
    empty = Scene(picture, nowhere, nowhere)
    quiet = [Judged(empty, box, np.array([0.1], np.float32))] * 999
    loud = [Judged(empty, box, np.array([0.6], np.float32))]
    people = [Judged(Scene(picture, box, nowhere), box, np.array([0.3], np.float32))]
    people += [Judged(Scene(picture, tiny, nowhere), tiny, np.array([0.9], np.float32))]
    rare = recall_at_rate({"people": people}, quiet + loud + people)
    assert 0.1 < rare["threshold"] < 0.3
    assert (rare["recall, people"], rare["people, people"]) == (1.0, 1)
    assert rare["empty"] == 1000
    fewer = recall_at_rate({"people": people}, quiet[:499] + loud)
    assert fewer["threshold"] > 0.6
    assert fewer["recall, people"] == 0.0
