"""The detector's experiments at toy size: runs done once, rows and claims, what each kind of run is given."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import cv2
import numpy as np
import pytest
import torch

from tests.train.measure.test_evaluate2d import still_people
from train.data.people.mixes2d import DataChoice
from train.data.people.people2d import save_shard
from train.experiments import renderer, tce
from train.experiments.detector_runs import Budget, begin, once
from train.experiments.tables import read
from train.models.compact import CompactDetector
from train.models.detector import DetectorConfig
from train.models.memory import MemoryConfig


@pytest.fixture(scope="module")
def toys(tmp_path_factory):
    """Labels, rendered clips, one COCO person and a base."""
    folder = tmp_path_factory.mktemp("toys")
    for part in ("labels", "rendered", "val", "coco_free/images"):
        (folder / part).mkdir(parents=True)
    clip = replace(still_people(3), following=np.array([1, 2, -1]))
    save_shard(folder / "labels" / "clip_train_a.npz", clip)
    save_shard(folder / "rendered" / "b.npz", clip)
    save_shard(folder / "val" / "c.npz", clip)
    cv2.imwrite(str(folder / "coco_free" / "images" / "1.jpg"), np.full((120, 90, 3), 80, np.uint8))
    points = [[20 + 3 * i, 10 + 6 * i, 2] for i in range(17)]
    person = {"image_id": 1, "bbox": [15, 5, 60, 110], "keypoints": np.ravel(points).tolist()}
    index = {"images": [{"id": 1, "file_name": "1.jpg"}], "annotations": [person]}
    (folder / "coco_free" / "keypoints.json").write_text(json.dumps(index))
    torch.manual_seed(0)
    torch.save({"model": CompactDetector().state_dict()}, folder / "base.pt")
    return folder


@pytest.fixture
def small(monkeypatch):
    """Crops and sequences a test can afford."""
    for module in (tce, renderer):
        monkeypatch.setattr(module, "DetectorConfig", partial(DetectorConfig, input_wh=(64, 96)))
        monkeypatch.setattr(module, "Budget", partial(Budget, frames=9, hidden=range(3, 6)))


def options(toys, out, *more: str) -> list[str]:
    words = ["--out", str(out), "--data", str(toys), "--labels", str(toys / "labels"), "--no-lspet", "--steps", "1"]
    words += ["--base", str(toys / "base.pt"), "--rendered", str(toys / "rendered"), "--batch", "1", "--sequences", "1"]
    return [*words, "--rendered-val", str(toys / "val"), "--result", str(out / "r.json"), *more]


def test_parts_hold_the_papers_variants():
    kinds = tce.variants()
    assert set(kinds) == {n + e for n in tce.KINDS for e in ("", ", no erasing")}
    assert kinds["TCE-sum, no erasing"].erase == 0
    assert [v.memory.neighbours for v in tce.neighbours().values()] == [0, 0, 2, 2, 4, 4, 6, 6, 8, 8]
    two_ways = [v.frames for n, v in tce.neighbours().items() if "both" in n]
    assert two_ways == [1, 5, 9, 13, 17], "the middle frame sees whole windows"
    assert {v.memory.stride for v in tce.strides().values()} == {1, 2, 3, 5}
    assert len(tce.forms()["trained carried"].judged_as) == 2


def test_the_memory_experiment_runs_once_and_writes_its_table(toys, tmp_path, small):
    words = options(toys, tmp_path, "--part", "forms", "--only", "trained carried")
    tce.main(words)
    table = read(tmp_path / "r.json")
    assert [row["name"] for row in table.rows] == ["trained carried, run over windows", "trained carried, run carried"]
    assert {"pck@0.2 torso, clips", "jitter torso, clips", "recovery frames, clips"} <= set(table.columns)
    figures = tmp_path / "forms" / "trained_carried_0" / "figures.json"
    kept = figures.read_text().replace("0.", "0.5", 1)
    figures.write_text(kept)
    (tmp_path / "r.json").unlink()
    tce.main(words)
    assert figures.read_text() == kept, "what is there is not done again"
    assert (tmp_path / "r.json").exists()


def test_claims_compare_what_the_thesis_compares():
    rows = [{"name": n, "pck@0.2 torso, clips": [0.5 + i / 10]} for i, n in enumerate(tce.KINDS)]
    rows[0]["jitter torso, clips"], rows[2]["jitter torso, clips"] = [0.3], [0.2]
    claims = {c.claim: c.holds for c in tce.claims("variants", rows)}
    assert claims["TCE-ConvLSTM over TCE-sum: pck@0.2 torso, clips"]
    assert not claims["TCE-ConvLSTM halves the jitter of single frames, clips"]


def test_the_filter_is_judged_beside_its_raw_joints(toys, tmp_path, small):
    tce.main(options(toys, tmp_path, "--part", "filter", "--only", "single frame"))
    raw, steady = read(tmp_path / "r.json").rows
    assert (raw["name"], steady["name"]) == ("single frame", "single frame, joints filtered")
    assert steady["jitter torso, clips"] != raw["jitter torso, clips"]
    assert steady["score seen, clips"] == raw["score seen, clips"]


def test_claims_of_the_filter_need_calm_and_accuracy():
    pck, jitter = "pck@0.2 torso, stills", "jitter torso, stills"
    rows = [{"name": "single frame", pck: [0.5], jitter: [0.3]}]
    rows.append({"name": "TCE-ConvLSTM, joints filtered", pck: [0.498], jitter: [0.14]})
    assert all(c.holds for c in tce.claims("filter", rows))
    rows[1] |= {pck: [0.49], jitter: [0.16]}
    assert not any(c.holds for c in tce.claims("filter", rows))


def test_the_renderer_experiment_gives_each_kind_its_data(toys, tmp_path, small):
    whole = DataChoice(toys, toys / "labels", toys / "rendered", True)
    assert renderer.data_of("real only", whole).note()[-1].startswith("LSPET")
    assert renderer.data_of("rendered only", whole).note() == ["rendered people"]
    assert len(renderer.data_of("both", whole).note()) == 3
    renderer.main(options(toys, tmp_path, "--people", "1"))
    table = read(tmp_path / "r.json")
    assert [row["name"] for row in table.rows] == list(renderer.KINDS)
    assert "limbs pck@0.2 torso, free COCO" in table.columns
    assert len(table.orderings) == 1


def test_a_network_begins_with_what_fits_of_the_base(toys, tmp_path):
    base = torch.load(toys / "base.pt", weights_only=True)["model"]
    config = replace(DetectorConfig(), memory=MemoryConfig(multi_scale=True))
    model = begin(config, toys / "base.pt", toys, 0)
    own = model.state_dict()
    assert torch.equal(own["encoder.stem.weight"], base["encoder.stem.weight"])
    assert "tce.cells.0.gates.weight" in own
    assert once(tmp_path / "a.json", lambda: {"x": 1.0}) == once(tmp_path / "a.json", lambda: {"x": 2.0}) == {"x": 1.0}
