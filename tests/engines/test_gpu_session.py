"""The command for a GPU session: its steps exist, it survives failures, and says what it did not do."""

from __future__ import annotations

import importlib.util
import json
import sys

import pytest

from engines.measure import gpu_session
from engines.measure.gpu_session import Step, main, steps

SAY = (sys.executable, "-c")


@pytest.fixture
def played(monkeypatch, tmp_path):
    """Steps of a second each, instead of the real ones."""
    monkeypatch.setenv("POSESTREAM_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "out"
    cold = "import os; open(os.environ['POSESTREAM_CACHE'] + '.txt', 'w').write('x')"
    counted = f"open({str(tmp_path / 'count')!r}, 'a').write('x'); print('hello')"
    table = f"open({str(out / 'bench_cpu.json')!r}, 'w').write('{{\"rows\": [1]}}')"
    monkeypatch.setattr(
        gpu_session,
        "steps",
        lambda _: [
            Step("counts", (*SAY, counted), (*SAY, counted)),
            Step("fails", (*SAY, "import sys; print('why'); sys.exit(3)"), (*SAY, "print('well')")),
            Step("needs one", (*SAY, "print('on a GPU')")),
            Step("hangs", (*SAY, "import time; print('so far', flush=True); time.sleep(60)"), limit_s=2),
            Step("cold", (*SAY, cold), (*SAY, cold), cold=True),
            Step("table", (*SAY, table), (*SAY, table)),
        ],
    )
    return out, tmp_path / "count"


def test_a_session_without_a_gpu_says_what_it_left_out(played):
    out, _ = played
    assert main(["--out", str(out), "--plan-only"]) == 0
    session = json.loads((out / "session.json").read_text())
    states = {s["name"]: s["state"] for s in session["steps"]}
    assert states == {
        "counts": "done", "fails": "done", "needs one": "needs a GPU", "hangs": "needs a GPU", "cold": "done",
        "table": "done",
    }  # fmt: skip
    assert session["steps"][0]["said"] == ["hello"]
    assert (out / "empty_cache.txt").exists()
    assert session["tables"] == {"bench_cpu": {"rows": [1]}}
    assert [f["name"] for f in session["found"]][:2] == ["GPU", "TensorRT"]


def test_a_failing_step_stops_nothing_and_is_the_only_one_done_again(played, capsys):
    out, count = played
    for _ in range(2):
        assert main(["--out", str(out)]) == 1
    session = {s["name"]: s for s in json.loads((out / "session.json").read_text())["steps"]}
    assert (session["fails"]["state"], session["fails"]["code"], session["fails"]["said"]) == ("failed", 3, ["why"])
    assert (session["hangs"]["state"], session["hangs"]["said"]) == ("given up after 2 s", ["so far"])
    assert count.read_text() == "x", "a step whose result was there was done again"
    assert capsys.readouterr().out.count("failed") == 2
    assert main(["--out", str(out), "--only", "counts", "--again"]) == 0
    assert count.read_text() == "xx"


def test_every_step_is_a_command_that_exists(tmp_path):
    real = steps(tmp_path)
    assert len({s.name for s in real}) == len(real)
    for step in real:
        for words in filter(None, (step.command, step.instead)):
            assert words[1] == "-m"
            assert importlib.util.find_spec(words[2]) is not None, words[2]
    assert {s.name for s in real if not s.instead} >= {"start on the GPU, nothing built", "start on the GPU, built"}
