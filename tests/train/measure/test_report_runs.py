"""The page of training runs: everything in one file, nothing from outside, wrong folders told in one line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import matplotlib.image
import pytest

from engines.skeletons import H36M17
from train.loop.runlog import RunLog
from train.measure.report_runs import figures, load_runs
from train.tasks.report import main


def run(folder: Path, start: float) -> Path:
    log = RunLog(folder)
    for step in range(100, 4100, 100):
        log.add("log.csv", {"step": step, "loss": start + 100 / step, "bones": 0.1, "seconds_per_step": 0.2})
        if step % 1000 == 0:
            log.add("val.csv", {"step": step, "val_score": start + abs(step - 3000) / 1000, "val_mpjpe_mm": 60})
    return folder


def measured(folder: Path) -> None:
    joints = dict.fromkeys(H36M17.joints, 50.0)
    report = {
        "model": {"name": "lifter-x"},
        "by_rate": [{"joints_2d": "truth", "fps": f, "mpjpe_mm": 50, "per_joint_mm": joints} for f in (15, 30)],
        "by_missing": [{"joints_2d": "truth", "missing": 0.1, "mpjpe_mm": 60}],
        "by_dropped": [{"joints_2d": "truth", "dropped": 3, "first_5_mm": 70}],
    }
    (folder / "errors.json").write_text(json.dumps([report]))
    (folder / "other.json").write_text('{"not": "ours"}')
    (folder / "torn.json").write_text('{"not')


def test_the_page_holds_everything(tmp_path: Path) -> None:
    a, b = run(tmp_path / "a" / "tcn", 3), run(tmp_path / "b" / "tcn", 5)
    measured(b)
    assert main([str(a), str(b), "--out", str(tmp_path / "out" / "r.html")]) == 0
    text = (tmp_path / "out" / "r.html").read_text()
    assert re.findall(r"<h2>(\w+)</h2>", text) == ["Losses", "Validation", "Errors"]
    assert text.count("data:image/png;base64,") == 3
    assert "http" not in re.sub(r"base64,[^\"]*", "", text), "nothing from the network"
    assert "a/tcn" in text
    row = re.search(r"<td>b/tcn</td>(.*?)</tr>", text)
    assert row is not None
    assert row[1] == "<td>4000</td><td>0.2</td><td>5.025</td><td>5</td><td>3000</td>"


def test_runs_lie_side_by_side_in_each_panel(tmp_path: Path) -> None:
    runs = load_runs([run(tmp_path / "x", 3), run(tmp_path / "y", 5)])
    (title, losses), (_, validation) = figures(runs)
    assert title == "Losses"
    assert [axis.get_title() for axis in losses.axes] == ["loss", "bones"]
    assert [axis.get_title() for axis in validation.axes] == ["score", "mpjpe mm"]
    lines = validation.axes[0].get_lines()
    assert [line.get_label() for line in lines] == ["x", "y"]
    assert list(lines[1].get_ydata()) == [7, 6, 5, 6]


def test_a_picture_on_request(tmp_path: Path) -> None:
    assert main([str(run(tmp_path / "x", 3)), "--out", str(tmp_path / "r.png")]) == 0
    image = matplotlib.image.imread(tmp_path / "r.png")
    assert image.shape[0] > 400
    assert image.std() > 0.05


def test_what_is_no_run_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert main([str(tmp_path / "empty"), "--out", str(tmp_path / "r.html")]) == 2
    assert "is not the folder of a training run: it has neither log.csv nor val.csv" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([str(tmp_path), "--out", "r.pdf"])
    assert "--out ends in .html or .png, not .pdf" in capsys.readouterr().err
