"""The generated part of the detector's model card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from train.tasks.detector_card import PART, PERCENT, main

TEXT = f"# Cards\n\n<!-- {PART}: begin -->\nold\n<!-- {PART}: end -->\n\nafter\n"


def report(limbs: float) -> dict[str, Any]:
    """A report as `posestream eval detector --json` writes it, with fewer figures."""
    found = dict.fromkeys(PERCENT, 0.5) | {"limbs pck@0.2 torso": limbs, "nose pck@0.2 torso": 0.9}
    return {
        "model": "detector-toy",
        "free COCO": {
            "posestream": found,
            "movenet": found | {"limbs pck@0.2 torso": 0.728},
            "people": 33,
            "beside": {"movenet": {"limbs pck@0.2 torso": [limbs - 0.728, -0.05, 0.08]}},
        },
        "empty crops": {"crops": 400, "ghosts": 0.0125, "mean score": 0.04},
        "sequences from held-out LSPET": {
            "memory": {"jitter torso": 0.1},
            "fresh": {"jitter torso": 0.2},
            "filtered": {"jitter torso": 0.05},
        },
        "pose_1.mp4": {"shake memory": 0.0099, "shake fresh": 0.0107, "shake filtered": 0.006, "away memory": 0.014},
    }


def test_figures_take_the_place_of_the_old_ones(tmp_path: Path) -> None:
    readme, first, second = (tmp_path / name for name in ("README.md", "fp32.json", "int8.json"))
    readme.write_text(TEXT)
    first.write_text(json.dumps(report(0.741)))
    second.write_text(json.dumps(report(0.739)))
    more = report(0.741)
    more["coco val"] = more["free COCO"]  # measured of the first form only
    first.write_text(json.dumps(more))
    speed = tmp_path / "speed.json"
    speed.write_text(json.dumps({"detector-toy": {"fp32": {"ms": 11.5}, "int8": {"ms": 6.25}}}))
    for _ in range(2):  # twice is as good as once
        words = [str(first), "--form", "int8", str(second), "--speed", str(speed), "--readme", str(readme)]
        assert main(words) == 0
    text = readme.read_text()
    assert text.startswith("# Cards\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert text.count("| limbs PCK@0.2 torso | 74.1 | 72.8 | 74.1 | 72.8 |") == 1
    assert "|  | free COCO (33) | MoveNet | coco val (33) | MoveNet |" in text
    assert "| limbs PCK@0.2 torso | +1.3 (-5.0 to +8.0) | +1.3 (-5.0 to +8.0) |" in text
    assert "| sequences from held-out LSPET | jitter torso | 0.200 | 0.100 | 0.050 |" in text
    assert "| pose_1.mp4 | 10.7 | 9.9 | 6.0 | 14.0 |" in text
    assert "1.2% of 400 crops" in text
    assert "| fp32 | 74.1 | 50.0 | 11.5 |" in text
    assert "| int8 | 73.9 | 50.0 | 6.2 |" in text


def test_a_report_without_movenet_clips(tmp_path: Path) -> None:
    """--quick and --no-movenet leave parts out."""
    readme, path = tmp_path / "README.md", tmp_path / "quick.json"
    readme.write_text(TEXT)
    short = report(0.741)
    del short["free COCO"]["movenet"], short["pose_1.mp4"]
    path.write_text(json.dumps(short))
    main([str(path), "--readme", str(readme)])
    text = readme.read_text()
    assert "| limbs PCK@0.2 torso | 74.1 |\n" in text
    assert "clips" not in text
    assert "Precisions" not in text
