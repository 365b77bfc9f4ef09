"""Matrices cut to a rank: the nearest map, which ones are worth it, and a thin lifter through file and back."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from engines.runtime import open_engine
from train.deliver.checkpoints import load
from train.measure.against_batch import from_file, streaming_gap
from train.models.low_rank import LowRank, take_ranks, thin
from train.models.tcn import CausalTcn
from train.tasks.lifter import begin_from, export
from train.tasks.low_rank import main


def test_a_map_of_that_rank_stays_what_it_was_and_others_come_nearest() -> None:
    torch.manual_seed(0)
    linear, x = nn.Linear(30, 20, bias=False), torch.randn(7, 30)
    with torch.no_grad():
        linear.weight.copy_(torch.randn(20, 4) @ torch.randn(4, 30))
    torch.testing.assert_close(LowRank.nearest(linear, 4)(x), linear(x), atol=1e-4, rtol=1e-4)
    size = torch.linalg.svdvals(linear.weight.detach())
    thinner = LowRank.nearest(linear, 2)
    left = linear.weight - thinner.up.weight @ thinner.down.weight
    assert left.norm().item() == pytest.approx(size[2:].norm().item(), rel=1e-4)


def test_only_maps_that_become_smaller_are_replaced() -> None:
    model = CausalTcn(width=64)
    before = sum(p.numel() for p in model.parameters())
    assert thin(model, 28) == [f"taps.{i}.linear" for i in range(5)]  # the mixes would not become smaller
    assert sum(p.numel() for p in model.parameters()) < 0.8 * before
    assert thin(model, 28) == [], "a thin map is not thinned again"


def lifter(rank: int | None = None) -> CausalTcn:
    """The shipped sizes with random weights, no two alike: equal ones would share a place in a file."""
    torch.manual_seed(0)
    model = CausalTcn()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.01 * torch.randn_like(weight))
    if rank:
        thin(model, rank)
    return model.eval()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("thin") / "lifter-tcn.onnx"
    export(lifter(32), "lifter-tcn", path, {"data": ["made up"], "val_30_fps": {}})
    return path


def test_a_thin_file_streams_like_its_network_and_training_can_go_on(file: Path) -> None:
    again = from_file(file)
    assert isinstance(again.get_submodule("taps.1.linear"), LowRank)
    assert streaming_gap(open_engine(file, "ort", 1), again) <= 1e-5
    assert isinstance(load("lifter-tcn", file, {}).module.get_submodule("taps.1.linear"), LowRank)
    begun = CausalTcn()
    begin_from(begun, file)
    torch.testing.assert_close(begun.state_dict(), again.state_dict())


def test_weights_of_another_rank_are_taken_in_place_of_thin_maps(file: Path) -> None:
    model = lifter(16)
    take_ranks(model, from_file(file).state_dict().items())
    model.load_state_dict(from_file(file).state_dict())


def test_the_command_keeps_credits_and_says_what_it_did(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSESTREAM_DATA", str(tmp_path))  # nothing to measure by
    wide = tmp_path / "lifter-tcn.onnx"
    export(lifter(), "lifter-tcn", wide, {"data": ["made up"], "val_30_fps": {"score": 1}})
    main([str(wide), "--rank", "8", "--out", str(tmp_path / "thin.onnx")])
    assert "million weights" in capsys.readouterr().out
    told = open_engine(tmp_path / "thin.onnx", "ort", 1).spec.provenance
    assert told["data"] == ["made up"]
    assert told["thinned"]["rank"] == 8
    assert "val_30_fps" not in told, "measured on the whole file"
    with pytest.raises(SystemExit):
        main([str(file), "--rank", "1000", "--out", str(tmp_path / "no.onnx")])
    assert "no matrix of lifter-tcn.onnx would become smaller" in capsys.readouterr().err
