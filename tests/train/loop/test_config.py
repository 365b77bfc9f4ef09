"""Options from a file, overridden by flags; curves in CSV that survive new columns and repeated steps."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pytest
import torch

from train.errors import DataError
from train.loop.config import fraction, parse
from train.loop.fit import FitConfig, fit
from train.loop.runlog import RunLog, read_curves


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser("recipe")
    p.add_argument("--out", type=Path, required=True)
    p.add_argument("--model", choices=["tcn", "lstm"], default="tcn")
    p.add_argument("--lr", type=float, default=1e-3)
    p.add_argument("--tripods", type=fraction, default=0.5)
    p.add_argument("--eval-every", type=int, default=500)
    p.add_argument("--seeds", type=int, nargs="*", default=[0])
    p.add_argument("--no-lspet", dest="lspet", action="store_false")
    p.add_argument("--set", nargs=2, action="append", default=[])
    p.add_argument("--windowed", action=argparse.BooleanOptionalAction)
    return p


def written(folder: Path, text: str) -> list[str]:
    (folder / "run.toml").write_text(text)
    return ["--config", str(folder / "run.toml")]


def test_the_file_sets_what_flags_do_not(tmp_path: Path) -> None:
    words = written(tmp_path, 'out = "runs/a"\nlr = -1e-2\neval_every = 7\nseeds = [1, 2]\nno-lspet = true\n')
    args = parse(parser(), words)
    assert (args.out, args.lr, args.eval_every, args.seeds, args.lspet) == (Path("runs/a"), -0.01, 7, [1, 2], False)
    assert args.model == "tcn"
    assert not args.tensorboard
    sets = parse(parser(), written(tmp_path, 'out = "x"\nset = [["a", "b"], ["c", "d"]]\nwindowed = false'))
    assert (sets.set, sets.windowed, args.set, args.windowed) == ([["a", "b"], ["c", "d"]], False, [], None)
    words = written(tmp_path, 'out = "runs/a"\nlr = -1e-2\neval_every = 7\nseeds = [1, 2]\nno-lspet = true\n')
    args = parse(parser(), ["--lr", "0.5", "--seeds", "9", *words, "--model", "lstm"])
    assert (args.lr, args.seeds, args.model, args.eval_every) == (0.5, [9], "lstm", 7)
    assert parse(parser(), ["--out", "x"]).lr == 1e-3


def test_flags_replace_a_list_of_the_file(tmp_path: Path) -> None:
    words = written(tmp_path, 'out = "x"\nset = [["a", "b"], ["c", "d"]]\n')
    assert parse(parser(), [*words, "--set", "e", "f", "--set", "g", "h"]).set == [["e", "f"], ["g", "h"]]


def test_options_are_written_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, path = written(tmp_path, "lr = 3")
    with pytest.raises(SystemExit):
        parse(parser(), ["--out", "x", "--conf", path])
    assert "unrecognized arguments: --conf" in capsys.readouterr().err


def test_data_that_is_not_there_is_told_if_it_was_given(tmp_path: Path) -> None:
    def with_data() -> argparse.ArgumentParser:
        p = parser()
        p.add_argument("--data", type=Path, default=tmp_path / "default")
        return p

    assert parse(with_data(), ["--out", "x"]).data == tmp_path / "default"
    with pytest.raises(DataError, match="nowhere does not exist"):
        parse(with_data(), ["--out", "x", "--data", str(tmp_path / "nowhere")])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("lerning = 3\nlr = 1", "no option 'lerning'"),
        ("eval_evry = 3", "no option 'eval_evry'; did you mean 'eval-every'?"),
        ("lr = [1, 2]", "lr takes one value, not [1, 2]"),
        ("seeds = 3", "seeds takes a list, not 3"),
        ("set = 3", "set takes a list, not 3"),
        ("no-lspet = 3", "no-lspet is true or false, not 3"),
        ("[stage]\nlr = 3", "no option 'stage'"),
        ('model = "gru"', "invalid choice: 'gru'"),
        ("lr = ", "is not TOML"),
        ("tripods = 1.5", "1.5 is not a share: 0 to 1"),
        ('tripods = "many"', "many is not a share"),
        ("tripods = nan", "nan is not a share"),
    ],
)
def test_a_wrong_file_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, says: str) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(parser(), ["--out", "x", *written(tmp_path, text)])
    assert caught.value.code == 2
    assert says in capsys.readouterr().err


def test_a_file_that_is_not_there_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(parser(), ["--out", "x", "--config", "nosuch.toml"])
    assert "cannot read nosuch.toml" in capsys.readouterr().err


def test_curves_take_new_columns_and_the_last_word_on_a_step(tmp_path: Path) -> None:
    log = RunLog(tmp_path)
    log.add("log.csv", {"step": 10, "loss": 3})
    log.add("log.csv", {"step": 20, "loss": 2})
    log = RunLog(tmp_path)  # resumed at step 10, with one more loss
    log.add("log.csv", {"step": 20, "loss": 1.5, "bones": 0.1})
    log.add("log.csv", {"step": 30, "loss": 1})
    with (tmp_path / "log.csv").open("a") as file:
        file.write("40,")  # torn by a kill
    curves = read_curves(tmp_path / "log.csv")
    assert curves["step"] == [10, 20, 30, 40]
    assert curves["loss"][:3] == [3, 1.5, 1]
    assert curves["bones"][1] == 0.1
    assert curves["bones"][0] != curves["bones"][0], "unknown"


def test_curves_survive_a_kill_in_the_middle_of_a_line(tmp_path: Path) -> None:
    log, path = RunLog(tmp_path), tmp_path / "log.csv"
    log.add("log.csv", {"step": 10, "loss": 3})
    with path.open("a") as file:
        file.write("20,1.")
    log.add("log.csv", {"step": 30, "loss": 1})
    with path.open("a") as file:
        file.write("40,1,50,1\n")  # joined by an older version
    log.add("log.csv", {"step": 60, "loss": 0.5, "bones": 0.1})
    curves = read_curves(path)
    assert curves["step"] == [10, 20, 30, 40, 60]
    assert curves["loss"] == [3, 1, 1, 1, 0.5]
    assert curves["bones"][-1] == 0.1


def train(folder: Path, tensorboard: bool) -> None:
    config = FitConfig(folder, 4, log_every=2, eval_every=2, bf16=False, tensorboard=tensorboard)
    batches = iter([{"x": torch.ones(2, 1)}] * 9)
    fit(
        config,
        torch.nn.Linear(1, 1),
        batches,
        lambda m, b: {"square": m(b["x"]).square().mean()},
        lambda m: {"score": 1},
    )


def test_training_writes_both_curves(tmp_path: Path) -> None:
    train(tmp_path, tensorboard=False)
    assert set(read_curves(tmp_path / "log.csv")) == {"step", "loss", "square", "seconds_per_step"}
    assert read_curves(tmp_path / "val.csv") == {"step": [2, 4], "val_score": [1, 1]}
    assert not (tmp_path / "tensorboard").exists()


def test_without_tensorboard_a_line_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    train(tmp_path, tensorboard=True)
    assert "no TensorBoard log, only CSV: pip install tensorboard" in capsys.readouterr().out
    assert (tmp_path / "log.csv").exists()


def test_tensorboard_gets_the_curves(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(tmp_path, tensorboard=True)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert set(events.Tags()["scalars"]) == {"log/loss", "log/square", "log/seconds_per_step", "val/val_score"}
    assert [e.step for e in events.Scalars("log/loss")] == [2, 4]
