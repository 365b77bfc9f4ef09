"""The finder's recipe and its evaluation end to end, on made-up clips and backgrounds."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from engines.finder import Finder as Runtime
from engines.runtime import open_engine
from train.data.people.boxes_clips import PEOPLE, ROOMS
from train.deliver.export import read_weights
from train.models.finder import PEOPLE_MAX
from train.models.mobilenet import MobileNetV2
from train.tasks import eval_finder, finder_card
from train.tasks import finder as recipe


def noise(rng: np.random.Generator, size_wh: tuple[int, int]) -> np.ndarray:
    coarse = rng.integers(0, 256, (9, 12, 3)).astype(np.uint8)
    return cv2.resize(coarse, size_wh, interpolation=cv2.INTER_CUBIC)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """A data folder with everything the recipe reads, tiny."""
    folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for sub in ("clips", "backgrounds/clutter", "backgrounds/hdri", "weights", "coco_free/images"):
        (folder / sub).mkdir(parents=True)
    for name in (*ROOMS, *PEOPLE):
        codec = "mp4v" if name.endswith("mp4") else "MJPG"
        writer = cv2.VideoWriter(str(folder / "clips" / name), cv2.VideoWriter.fourcc(*codec), 10, (576, 432))
        frame = noise(rng, (576, 432))
        for _ in range(6):
            writer.write(frame)
        writer.release()
    for k in range(6):
        cv2.imwrite(str(folder / "backgrounds" / "clutter" / f"{k}.jpg"), noise(rng, (320, 240)))
        light = noise(rng, (128, 64)).astype(np.float32) / 80
        cv2.imwrite(str(folder / "backgrounds" / "hdri" / f"{k}.hdr"), light)
    torch.manual_seed(0)
    encoder = MobileNetV2(top=False)
    for layer in encoder.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
    arrays = {key: value.numpy() for key, value in encoder.state_dict().items()}
    np.savez(folder / "weights" / "movenet_lightning_f16.npz", **arrays)
    cv2.imwrite(str(folder / "coco_free" / "images" / "1.jpg"), noise(rng, (320, 240)))
    person = {"image_id": 1, "bbox": [100, 50, 60, 150], "iscrowd": 0}
    table = {"images": [{"id": 1, "file_name": "1.jpg"}], "annotations": [person, person | {"bbox": [0, 0, 9, 20]}]}
    (folder / "coco_free" / "keypoints.json").write_text(json.dumps(table))
    return folder


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory) -> Path:
    """Two steps without LSPET, then two more after a restart, and the export."""
    out = tmp_path_factory.mktemp("run")
    common = [
        "--data",
        str(data),
        "--out",
        str(out),
        "--no-lspet",
        "--batch",
        "2",
        "--workers",
        "0",
        "--threshold",
        "0.3",
    ]
    stream = recipe.train(recipe.parse(recipe.parser(), [*common, "--steps", "2"]))
    assert stream.sides.out.weight.isfinite().all()
    recipe.main([*common, "--steps", "4"])
    return out


def test_restart_goes_on(run: Path):
    steps = [line.split(",")[0] for line in (run / "log.csv").read_text().splitlines()[1:]]
    assert steps == ["2", "4"]
    assert recipe.steps_done(run) == 4
    origin = recipe.read_provenance(run)
    assert (origin["steps"], origin["resumed"]) == (2, [{"at_step": 2, "steps": 4}])


def test_training_goes_on_from_an_exported_file(run: Path, data: Path, tmp_path: Path):
    """One step at no rate: the weights are those of the file."""
    file, common = run / "finder-mnv2.onnx", ["--data", str(data), "--no-lspet", "--batch", "2", "--workers", "0"]
    args = [*common, "--out", str(tmp_path), "--start", str(file), "--steps", "1", "--lr", "0"]
    went_on = recipe.train(recipe.parse(recipe.parser(), args)).state_dict()
    for name, weight in read_weights(file).items():
        assert torch.equal(went_on[name.removeprefix("net.")], weight), name
    assert recipe.read_provenance(tmp_path)["started_from"]["recipe"] == "train.tasks.finder"


def test_exported_file_runs_in_the_runtime(run: Path):
    engine = open_engine(run / "finder-mnv2.onnx")
    settings = engine.spec.settings
    assert (settings["letterbox"], settings["fill"], list(settings["input_wh"])) == ("centre", 114, [384, 224])
    assert not any("research data" in line for line in engine.spec.provenance["data"])
    picture = noise(np.random.default_rng(1), (384, 224))
    out = engine.run({"image": picture})
    assert out["boxes_xyxy"].shape == (PEOPLE_MAX, 4)
    assert (np.diff(out["scores"]) <= 0).all()
    assert (out["boxes_xyxy"] >= 0).all()
    assert (out["boxes_xyxy"] <= [384, 224, 384, 224]).all()
    assert Runtime(engine).score_threshold == pytest.approx(0.3)
    engine.close()


def test_evaluation(data: Path, run: Path, capsys):
    args = ["--model", str(run / "finder-mnv2.onnx"), "--data", str(data), "--empties", "12", "--sweep"]
    eval_finder.main([*args, "--json", str(run / "eval.json"), "--sheets", str(run / "sheets")])
    report = json.loads((run / "eval.json").read_text())
    assert report["groups"]["coco_free"]["people"] == 1, "a person 20 px tall is not asked for"
    assert report["groups"]["backgrounds, held out"]["empty"] == 12
    assert report["groups"]["parts of held-out frames"]["empty"] > 5
    assert report["groups"]["pose_1.mp4, held-out third"]["pictures"] == 2
    assert report["milliseconds"] > 0
    assert "pose_1.mp4, whole" in capsys.readouterr().out
    assert (run / "sheets" / "pose_1.mp4_whole.png").exists()
    card = run / "README.md"
    card.write_text(f"before\n<!-- {finder_card.PART}: begin -->\n<!-- {finder_card.PART}: end -->\nafter\n")
    finder_card.main([str(run / "eval.json"), "--readme", str(card)])
    text = card.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "| backgrounds, held out | 12 | 0 |" in text
    rare = report[eval_finder.RARE]
    assert f"recall at {rare['threshold']:.2f}" in text
    assert (
        rare["empty"] == 12 + report["groups"]["one-by-one-person-detection.mp4, whole"]["empty"] * 2 or rare["empty"]
    )
