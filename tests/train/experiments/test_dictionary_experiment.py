"""The experiment of the thesis's tables 4.1 and 4.2 on a toy room: all rows, stopped and gone on, its orderings."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from train.experiments import dictionary
from train.experiments.dictionary import OURS, RAW, P, main, ordering
from train.experiments.dictionary_picture import main as draw
from train.experiments.tables import read
from train.methods.dictionary import HierarchicalDictionary
from train.methods.factorization import FactorizationNet
from train.methods.footage import Footage


def test_an_ordering_holds_only_in_the_mean_and_in_most_seeds() -> None:
    def rows(better: list[float]) -> dict[str, dict[str, list[float]]]:
        return {OURS: {P: better}, RAW: {P: [70.0, 70.0, 70.0]}}

    assert ordering(rows([60.0, 69.0, 71.0]), OURS, RAW, "c").holds
    assert not ordering(rows([50.0, 71.0, 71.0]), OURS, RAW, "c").holds  # lower in the mean, by one lucky seed
    assert not ordering(rows([69.0, 69.0, 80.0]), OURS, RAW, "c").holds
    assert "lower in 1 of 3 seeds" in ordering(rows([50.0, 71.0, 71.0]), OURS, RAW, "c").why


def test_every_row_runs_once_and_the_picture_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = {"steps": 2, "batch": 4, "width": 8, "blocks": 1}
    rows = {
        name: replace(row, recipe=replace(row.recipe, dictionary_steps=min(2, row.recipe.dictionary_steps), **small))
        for name, row in dictionary.ROWS.items()
    }
    monkeypatch.setattr(dictionary, "ROWS", rows)
    monkeypatch.setattr(dictionary, "filmed", lambda *_: _footage())
    for cached in (dictionary.views, dictionary.val_shots, dictionary.judge):
        cached.cache_clear()
    words = ["--out", str(tmp_path), "--result", str(tmp_path / "table.json"), "--seeds", "0"]
    assert main(words) == 0
    table = read(tmp_path / "table.json")
    assert [row["name"] for row in table.rows] == list(rows)
    assert len(table.orderings) == len(dictionary.CLAIMS)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("result-*")}
    (tmp_path / "result-3-0.json").unlink()
    assert main(words) == 0
    after = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("result-*")}
    assert {name for name in after if after[name] != before[name]} == {"result-3-0.json"}
    assert draw(["--out", str(tmp_path), "--picture", str(tmp_path / "p.png"), "--count", "3"]) == 0
    assert (tmp_path / "p.png").stat().st_size > 1000
    for cached in (dictionary.views, dictionary.val_shots, dictionary.judge):
        cached.cache_clear()


def test_network_gives_factors_of_any_width() -> None:
    net = FactorizationNet(HierarchicalDictionary((20, 6)), width=24, blocks=2)
    factors = net(torch.randn(3, 17, 2))
    assert factors.pose.shape == (3, 17, 3)
    assert factors.code.shape == (3, 6)
    assert torch.allclose(torch.linalg.det(factors.rotation), torch.ones(3), atol=1e-5)
    assert torch.allclose(factors.canonical, net.shapes.decode(factors.code))


def _footage() -> Footage:
    xyz_m = torch.randn(2, 20, 17, 3, generator=torch.Generator().manual_seed(0))
    frames = np.zeros(20, np.int64)
    cameras = (None, None)
    parts = (xyz_m[..., :2], torch.ones(2, 20, 17), xyz_m + 4, torch.zeros(2, 9), frames, frames + 20)
    return Footage(*parts, np.full(20, "one"), cameras)  # type: ignore[arg-type]
