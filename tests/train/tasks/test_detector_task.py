"""The recipe end to end on a tiny set: train, stop, go on, export, run; and the shipped weights on real pictures."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from engines.runtime import find_weights, open_engine
from tests.train.data.test_people2d import dotted
from train.data.motion.mocap import data_root
from train.data.people.mixes2d import WEIGHTS, DataChoice, mixer_maker
from train.data.people.people2d import save_shard
from train.loop.fit import steps_done
from train.models.compact import CompactDetector
from train.models.family import FAMILY
from train.recipe2d import checkpoint_facts
from train.tasks import blend
from train.tasks import detector as recipe


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two stages of two steps each from random weights without LSPET, and the exported file."""
    folder = tmp_path_factory.mktemp("recipe")
    (folder / "labels").mkdir()
    save_shard(folder / "labels" / "clip_train_dots.npz", dotted(count=4))
    torch.manual_seed(0)
    torch.save({"model": CompactDetector().state_dict()}, folder / "start.pt")
    common = ["--labels", str(folder / "labels"), "--no-lspet", "--batch", "2", "--threads", "1", "--steps", "2"]
    common += ["--data", str(folder)]  # no backgrounds there
    start = ["--out", str(folder), "--start", str(folder / "start.pt")]
    recipe.main([*start, "--export", str(folder / "d.onnx"), *common])
    return folder


def test_training_moves_the_new_layers_and_leaves_the_frozen_ones(trained):
    before = torch.load(trained / "start.pt", weights_only=True)["model"]
    after = torch.load(trained / "stage1" / "checkpoint.pt", weights_only=True)["averaged"]
    assert not torch.equal(before["tell.weight"], after["tell.weight"])
    assert not torch.equal(before["encoder.block12.project.weight"], after["encoder.block12.project.weight"])
    assert torch.equal(before["encoder.block02.project.weight"], after["encoder.block02.project.weight"])
    assert not after["tce.offset.weight"].any(), "single frames must not teach the offset field"
    later = torch.load(trained / "stage2" / "checkpoint.pt", weights_only=True)["model"]
    assert torch.equal(after["encoder.block12.project.weight"], later["encoder.block12.project.weight"])
    assert not torch.equal(after["tce.gates.weight"], later["tce.gates.weight"])
    assert later["tce.offset.weight"].any()


def test_exported_detector_keeps_its_memory_per_person(trained):
    engine = open_engine(trained / "d.onnx", "ort")
    crops = np.random.default_rng(0).integers(0, 256, (2, 256, 192, 3), np.uint8)
    first = engine.run({"crops": crops}, ["a", "b"])
    assert first["xy"].shape == (2, 17, 2)
    assert ((first["xy"] >= 0) & (first["xy"] <= (192, 256))).all()
    assert ((first["score"] >= 0) & (first["score"] <= 1)).all()
    engine.run({"crops": crops}, ["a", "b"])
    again = engine.run({"crops": crops[::-1].copy()}, ["b", "a"], reset={"b", "a"})
    np.testing.assert_allclose(again["xy"], first["xy"][::-1], atol=1e-2)
    one = engine.run({"crops": crops[1:]}, ["new"])
    np.testing.assert_allclose(one["xy"][0], first["xy"][1], atol=1e-2)
    spec = engine.spec
    assert (spec.name, spec.skeleton, spec.settings["input_wh"]) == ("detector-mnv2-tce64", "h36m17", [192, 256])
    assert spec.provenance["data"] == ["development clips labelled by MoveNet"]
    assert (spec.provenance["steps"], spec.provenance["before"]["frames"]) == (2, 1)
    assert (trained / "d.onnx").stat().st_size < 14e6


def test_a_later_export_tells_what_the_training_saw_and_not_what_its_options_say(trained):
    assert steps_done(trained / "stage2") == 2
    config, facts = checkpoint_facts(trained / "stage2" / "checkpoint.pt")
    assert config == FAMILY["mnv2-tce64"]
    assert facts["data"] == ["development clips labelled by MoveNet"], "no LSPET, though --no-lspet is not given now"
    assert checkpoint_facts(trained / "start.pt")[1] == {"unknown": "no provenance.json lay beside start.pt"}


def test_options_make_the_network_and_the_loss_its_reader():
    def config(*words):
        return recipe.config_of(recipe.parser().parse_args(list(words)))

    assert config() == FAMILY["mnv2-tce64"]
    memory = config("--model", "r18-tce128", "--aggregation", "sum", "--windowed", "--temporal-stride", "3").memory
    assert (memory.aggregation, memory.windowed, memory.stride) == ("sum", True, 3)
    assert not config("--model", "r50-tce512", "--no-bidirectional").memory.bidirectional
    assert config("--model", "r18-tce128", "--loss", "regression").head == "regression"
    assert config("--loss", "integral").window == float("inf")


def test_options_choose_the_data(tmp_path):
    (tmp_path / "backgrounds").mkdir()
    words = ["--data", str(tmp_path), "--labels", "l", "--no-lspet", "--set", "coco", "c"]
    choice = recipe.choice_of(recipe.parser().parse_args(words))
    assert choice == DataChoice(tmp_path, Path("l"), None, False, (("coco", Path("c")),))
    assert choice.note()[:2] == ["development clips labelled by MoveNet", "backgrounds (CC0, MIT)"]


def test_data_are_drawn_anew_when_a_run_is_resumed(tmp_path):
    save_shard(tmp_path / "clip_train_dots.npz", dotted(count=4))
    choice = DataChoice(tmp_path, labels=tmp_path, lspet=False)
    first, later = (mixer_maker(choice, (0, 1, 0, 0), 1, seed)(0).draw()["xy"] for seed in (0, 7919 * 20))
    assert not np.array_equal(first, later)


def test_nothing_to_train_on_is_said_plainly(trained, tmp_path):
    with pytest.raises(SystemExit, match="nothing to train on"):
        recipe.main(["--stage", "1", "--out", str(tmp_path), "--start", str(trained / "start.pt"), "--no-lspet"])


def test_the_recipe_wants_a_folder_or_an_export(capsys):
    with pytest.raises(SystemExit):
        recipe.main([])
    assert "--out" in capsys.readouterr().err


@pytest.mark.shared
def test_shipped_detector_beats_its_starting_point_on_held_out_lspet():
    data = data_root()
    if not (data / "images" / "lspet" / "labels.npz").exists():
        pytest.skip(f"no LSPET under {data}; set POSESTREAM_DATA")
    torch.set_num_threads(1)
    from engines.detector import Detector as Runner
    from train.data.people.teacher import Teacher
    from train.measure.evaluate2d import lspet_people, measure, predict

    people = list(islice(lspet_people(data / "images" / "lspet"), 60))
    engine = open_engine(find_weights(recipe.NAME), "ort")
    figures = measure(people, predict(people, Runner(engine), Teacher(data / WEIGHTS)))
    assert figures["posestream"]["limbs pck@0.2 torso"] > figures["movenet"]["limbs pck@0.2 torso"]


def test_weights_are_put_between_two_trainings(trained, tmp_path, capsys):
    """A fifth of the way, and the file that comes of it starts another training and says where it is from."""
    first, second = trained / "start.pt", trained / "stage2" / "checkpoint.pt"
    blend.main([str(first), str(second), "--share", "0.2", "--out", str(tmp_path)])
    made, before, after = (torch.load(p, weights_only=True)["model"] for p in (tmp_path / "best.pt", first, second))
    moved = [k for k in after if after[k].is_floating_point() and not torch.equal(after[k], before[k])]
    assert moved
    for name in moved:
        torch.testing.assert_close(made[name], 0.8 * before[name] + 0.2 * after[name])
    config, facts = checkpoint_facts(tmp_path / "best.pt")
    assert config == FAMILY["mnv2-tce64"]
    assert (facts["recipe"], facts["share"], facts["data"]) == (
        "train.tasks.blend", 0.2, ["development clips labelled by MoveNet"],
    )  # fmt: skip
    other = tmp_path / "other.pt"
    torch.save({"model": {k: w.repeat(2) for k, w in before.items() if w.ndim == 1}}, other)
    with pytest.raises(SystemExit, match="other networks"):
        blend.main([str(other), str(second), "--out", str(tmp_path)])
