"""The generated part of the lifters' model card."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engines.marked import replace_part
from train.tasks.lifter_card import COLUMNS, PART, main

TEXT = f"# Cards\n\n<!-- {PART}: begin -->\nold\n<!-- {PART}: end -->\n\nafter\n"


def report() -> dict:
    row = {key: 1.25 for key, _ in COLUMNS.values()} | {"fps": 30, "joints_2d": "truth", "missing": 0.1}
    row |= {"per_limb_worst_sd_mm": {"left thigh": 2.0, "right thigh": 4.31}, "unsteady_clips": 3}
    gap = {f"first_{n}_{kind}": 60.0 for n in (1, 10) for kind in ("mm", "without_gap_mm")}
    return {
        "model": {"name": "lifter-toy"},
        "clips": 57,
        "seconds": 4.0,
        "by_rate": [row],
        "by_missing": [row],
        "by_dropped": [{"dropped": 3, "joints_2d": "truth", **gap}],
        "step_ms": [{"threads": 1, "people": 1, "p50": 0.7, "p95": 0.9}],
    }


def test_figures_take_the_place_of_the_old_ones(tmp_path: Path) -> None:
    readme, figures = tmp_path / "README.md", tmp_path / "report.json"
    readme.write_text(TEXT)
    figures.write_text(json.dumps([report()]))
    for _ in range(2):  # twice is as good as once
        assert main([str(figures), "--readme", str(readme)]) == 0
    text = readme.read_text()
    assert text.startswith("# Cards\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert text.count("| lifter-toy | 30 | truth | 1.2 |") == 1
    assert text.count(" | 4.3 | 3 |") == 2
    assert "| lifter-toy | 3 | truth | 60.0 (60.0) | 60.0 (60.0) |" in text


def test_a_text_without_marks_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text("nothing")
    with pytest.raises(ValueError, match="begin"):
        replace_part(path, PART, "new")
    assert path.read_text() == "nothing"
