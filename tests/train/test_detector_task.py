"""The recipe end to end on a tiny set: train, stop, go on, export, run; and the shipped weights on real pictures."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
import torch

from engines.runtime import find_weights, open_engine
from tests.train.test_people2d import dotted
from train.data.people2d import save_shard
from train.models.detector import Detector
from train.tasks import detector as recipe


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two stages of two steps each from random weights without LSPET, and the exported file."""
    folder = tmp_path_factory.mktemp("recipe")
    (folder / "labels").mkdir()
    save_shard(folder / "labels" / "clip_train_dots.npz", dotted(count=4))
    torch.manual_seed(0)
    torch.save({"model": Detector().state_dict()}, folder / "start.pt")
    common = ["--labels", str(folder / "labels"), "--no-lspet", "--batch", "2", "--threads", "1", "--steps", "2"]
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
    assert "LSPET" not in spec.provenance["data"]
    assert (trained / "d.onnx").stat().st_size < 14e6


def test_nothing_to_train_on_is_said_plainly(trained, tmp_path):
    with pytest.raises(SystemExit, match="nothing to train on"):
        recipe.main(["--stage", "1", "--out", str(tmp_path), "--start", str(trained / "start.pt"), "--no-lspet"])


def test_the_recipe_wants_a_folder_or_an_export(capsys):
    with pytest.raises(SystemExit):
        recipe.main([])
    assert "--out" in capsys.readouterr().err


@pytest.mark.shared
def test_shipped_detector_beats_its_starting_point_on_held_out_lspet():
    data = recipe.default_data()
    if not (data / "images" / "lspet" / "labels.npz").exists():
        pytest.skip(f"no LSPET under {data}; set POSESTREAM_DATA")
    torch.set_num_threads(1)
    from engines.detector import Detector as Runner
    from train.data.teacher import Teacher
    from train.evaluate2d import lspet_people, measure, predict

    people = list(islice(lspet_people(data / "images" / "lspet"), 60))
    engine = open_engine(find_weights(recipe.NAME), "ort")
    figures = measure(people, predict(people, Runner(engine), Teacher(data / recipe.WEIGHTS)))
    assert figures["posestream"]["limbs pck@0.2 torso"] > figures["movenet"]["limbs pck@0.2 torso"]
