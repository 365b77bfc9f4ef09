"""The tables of the experiments: layout, numbers, README."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from train.experiments.tables import BEGIN, END, Ordering, Table, main, mean, read, section, shown, write

TABLE = Table(
    "Frames seen",
    "Toy figures.",
    "python -m train.experiments.toy",
    ["MPJPE mm", "parameters"],
    [{"name": "one", "MPJPE mm": [61.0, 63.0], "parameters": 1200}, {"name": "many", "MPJPE mm": 40.0}],
    [Ordering("more is better", True), Ordering("much more is worse", False, "too few clips")],
)


def test_a_results_file_comes_back_as_written(tmp_path: Path) -> None:
    write(tmp_path / "toy.json", TABLE)
    assert read(tmp_path / "toy.json") == TABLE


def test_other_files_are_refused_by_name(tmp_path: Path) -> None:
    for content in ("not json", "[]", json.dumps({"title": "no rows"})):
        (tmp_path / "bad.json").write_text(content)
        with pytest.raises(ValueError, match=r"bad\.json"):
            read(tmp_path / "bad.json")


def test_cells_without_a_column_are_noticed() -> None:
    with pytest.raises(ValueError, match="MPJVE"):
        Table("t", "", "", ["MPJPE"], [{"name": "a", "MPJVE": 1.0}])


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ([61.0, 63.0], "62.0 ± 1.4"),
        ([0.5], "0.500"),
        (2.345, "2.35"),
        (1200, "1200"),
        (None, "–"),
        ([], "–"),
        ("x", "x"),
    ],
)
def test_cells_as_text(cell: object, text: str) -> None:
    assert shown(cell) == text


def test_mean_of_seeds() -> None:
    assert mean([1.0, 3.0]) == 2


def test_section_says_what_holds_and_what_does_not() -> None:
    text = section(TABLE, "toy")
    assert "| one | 62.0 ± 1.4 | 1200 |" in text
    assert "* holds: more is better" in text
    assert "* **does not hold**: much more is worse (too few clips)" in text


def test_readme_is_rebuilt_between_its_marks_again_and_again(tmp_path: Path) -> None:
    readme, results = tmp_path / "README.md", tmp_path / "results"
    readme.write_text(f"before\n{BEGIN}\nstale\n{END}\nafter\n")
    write(results / "toy.json", TABLE)
    args = ["--readme", str(readme), "--results", str(results)]
    assert main(args) == 0
    first = readme.read_text()
    assert main(args) == 0
    assert readme.read_text() == first
    assert first.startswith("before\n")
    assert first.endswith("after\n")
    assert "stale" not in first
    assert "![toy](results/toy.png)" in first
    assert (results / "toy.png").stat().st_size > 1000


def test_readme_without_marks_is_refused(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("nothing")
    with pytest.raises(ValueError, match="marks"):
        main(["--readme", str(tmp_path / "README.md"), "--results", str(tmp_path)])
