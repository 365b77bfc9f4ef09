"""What a run says of its origin, also after it was resumed with other options."""

from __future__ import annotations

from pathlib import Path

from train.loop.provenance import read_provenance, write_provenance


def test_a_resumed_run_keeps_its_origin_and_adds_what_changed(tmp_path: Path) -> None:
    write_provenance(tmp_path, {"data": ["other"]}, 0)
    write_provenance(tmp_path, {"data": ["a"], "lr": 1}, 0)
    assert read_provenance(tmp_path) == {"data": ["a"], "lr": 1}, "nothing had been learnt from the other data"
    write_provenance(tmp_path, {"data": ["a"], "lr": 1}, 10)
    assert "resumed" not in read_provenance(tmp_path), "on the same terms"
    write_provenance(tmp_path, {"data": ["b"], "lr": 1}, 10)
    write_provenance(tmp_path, {"data": ["b"], "lr": 1}, 10)
    write_provenance(tmp_path, {"data": ["a"], "lr": 2}, 20)
    resumed = [{"at_step": 10, "data": ["b"]}, {"at_step": 20, "lr": 2}]
    assert read_provenance(tmp_path / "best.pt") == {"data": ["a"], "lr": 1, "resumed": resumed}


def test_a_run_older_than_its_record_says_so(tmp_path: Path) -> None:
    write_provenance(tmp_path, {"lr": 1}, 10)
    assert read_provenance(tmp_path) == {"lr": 1, "unknown": "how the first 10 steps were made"}
