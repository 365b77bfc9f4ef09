"""The fallback table of a GPU session, as far as a processor goes: the steps run, the file is written."""

from __future__ import annotations

import json

import pytest
import torch

from train.tasks.torch_floor import main, step_of


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU: the session measures for real")
def test_the_table_of_a_processor(tmp_path, capsys):
    target = tmp_path / "floor.json"
    assert main(["--models", "lifter-tcn", "--people", "1", "3", "--runs", "2", "--json", str(target)]) == 0
    document = json.loads(target.read_text())
    assert [(r["model"], r["people"], r["mode"]) for r in document["rows"]] == [
        ("lifter-tcn", 1, "plain"), ("lifter-tcn", 3, "plain"),
    ]  # fmt: skip
    assert (document["device"], document["troubles"]) == ("CPU", [])
    assert capsys.readouterr().out.count("lifter-tcn") == 2


@pytest.mark.parametrize(("name", "states"), [("", {"hidden_in", "memory_in"}), ("-window6", {"past_in"})])
def test_the_papers_detector_is_carried_or_over_a_window(name, states, monkeypatch):
    """At a tenth of its width, which is not what it is measured at."""
    from dataclasses import replace

    from train.models.family import FAMILY

    small = replace(FAMILY["r50-tce512"], channels=16, branch=16, deconv=16)
    monkeypatch.setitem(FAMILY, "r50-tce512", small)
    made = step_of(f"detector-r50-tce512{name}")
    assert {n for n in made.example_inputs if n.endswith("_in")} == states
    with torch.no_grad():
        xy = made.module(*made.example_inputs.values())[0]
    assert xy.shape == (2, 17, 2)
