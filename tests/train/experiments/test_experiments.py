"""The tables of the experiments: layout, numbers, README."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.train.loop.test_epochs import pair_tracks
from train.experiments.against_videopose3d import FLIP, save
from train.experiments.against_videopose3d import table as against_table
from train.experiments.orderings import CHILDREN, COLUMNS, PARENTS, bone_sd_mm, claims, n_mpjpe_mm
from train.experiments.tables import Ordering, Table, main, mean, read, section, shown, write
from train.experiments.videopose3d_runs import METRICS, Budget, action_average, parse, spread, theirs_in_ours
from train.models.videopose import KERNELS, VideoPose

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
    readme.write_text("before\n<!-- tables: begin -->\nstale\n<!-- tables: end -->\nafter\n")
    write(results / "toy.json", TABLE)
    write(results / "toy_more.json", replace(TABLE, title="More", note="See toy_more_shown.png."))
    (results / "toy_more_shown.png").write_bytes(b"the note shows it already")
    (results / "toy_poses.png").write_bytes(b"a picture of its own")
    args = ["--readme", str(readme), "--results", str(results)]
    assert main(args) == 0
    first = readme.read_text()
    assert main(args) == 0
    assert readme.read_text() == first
    assert first.startswith("before\n")
    assert first.endswith("after\n")
    assert "stale" not in first
    shown_there = [line for line in first.splitlines() if line.startswith("![")]
    assert shown_there == [
        "![toy](results/toy.png)",
        "![toy](results/toy_poses.png)",
        "![toy_more](results/toy_more.png)",
    ]
    assert (results / "toy.png").stat().st_size > 1000


def test_readme_without_marks_is_refused(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("nothing")
    with pytest.raises(ValueError, match="tables: begin"):
        main(["--readme", str(tmp_path / "README.md"), "--results", str(tmp_path)])


def test_errors_are_averaged_by_action_like_videopose3d() -> None:
    tracks = pair_tracks([10, 10, 30])  # walk, dance, walk
    poses = [t.pose_m + np.float32([0.01 * (n + 1), 0, 0]) for n, t in enumerate(tracks)]
    found = action_average(poses, tracks)
    assert found["MPJPE mm"] == pytest.approx(((10 * 10 + 30 * 30) / 40 + 20) / 2, rel=1e-4)
    assert found["P-MPJPE mm"] == pytest.approx(0, abs=1e-2)
    assert found["MPJVE mm/frame"] == pytest.approx(0, abs=1e-2)


def test_what_videopose3d_prints_is_read() -> None:
    said = "".join(
        f"----{a}----\nProtocol #1 Error (MPJPE): {x} mm\nProtocol #2 Error (P-MPJPE): 1.5 mm\n"
        f"Protocol #3 Error (N-MPJPE): 9 mm\nVelocity Error (MPJVE): 2 mm\n"
        for a, x in (("Walk", "10.25"), ("Sit", "20.75"))
    )
    assert parse(said) == {"MPJPE mm": 15.5, "P-MPJPE mm": 1.5, "MPJVE mm/frame": 2}
    with pytest.raises(RuntimeError, match="Protocol #1"):
        parse("Traceback")


def test_weights_of_videopose3d_load_into_ours(tmp_path: Path) -> None:
    """A stand-in with its names and layouts, computed with PyTorch's convolutions."""
    torch.manual_seed(0)
    model, saved = VideoPose(KERNELS[243], True, 8).eval(), {}
    for at, conv, norm in [("expand", "expand_conv", "expand_bn")] + [
        (f"blocks.{i}.{part}", f"layers_conv.{2 * i + k}", f"layers_bn.{2 * i + k}")
        for i in range(4)
        for k, part in enumerate(("wide", "mix"))
    ]:
        layer = model.get_submodule(at)
        saved[f"{conv}.weight"] = layer.linear.weight.unflatten(1, (layer.taps, -1)).transpose(1, 2).contiguous()
        saved |= {f"{norm}.{k}": v for k, v in layer.norm.state_dict().items()}
    saved |= {"shrink.weight": model.head.weight[..., None], "shrink.bias": model.head.bias}
    torch.save({"model_pos": saved}, tmp_path / "epoch_1.bin")
    again = theirs_in_ours(tmp_path / "epoch_1.bin", 8)
    for name, weight in model.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], weight)
    x = torch.randn(1, 34, 9)
    convolved = torch.nn.functional.conv1d(x, saved["expand_conv.weight"])
    expected = torch.relu(model.expand.norm(convolved))
    torch.testing.assert_close(model.expand.dilated(x.transpose(1, 2)).transpose(1, 2), expected, atol=1e-5, rtol=1e-5)


def test_bone_sd_and_scale_free_error() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(0, 0.3, (1, 17, 3)).repeat(50, 0)
    truth -= truth[:, :1]
    assert bone_sd_mm(truth) == pytest.approx(0, abs=1e-6)
    assert n_mpjpe_mm(truth * 1.3, truth) == pytest.approx(0, abs=1e-6)
    breathing = truth * (1 + 0.1 * np.sin(np.arange(50))[:, None, None])
    length = np.linalg.norm(truth[0, CHILDREN] - truth[0, PARENTS], axis=-1).mean() * 1000
    assert bone_sd_mm(breathing) == pytest.approx(length * np.std(0.1 * np.sin(np.arange(50))), rel=1e-4)


def test_claims_say_which_seeds_agree() -> None:
    rows = {"single frame": {c: [60.0, 50.0] for c in COLUMNS}, "causal 27": {c: [55.0, 52.0] for c in COLUMNS}}
    first = claims(rows)[0]
    assert first.claim == "MPJPE mm: single frame > causal 27"
    assert first.holds
    assert first.why == "55.00 > 53.50; in 1 of 2 seeds"


def test_a_longer_run_keeps_the_order_of_lengths_and_says_how_long_it_was(tmp_path: Path) -> None:
    assert spread((4, 16, 32), 6) == (4, 4, 16, 16, 32, 32)
    assert spread((4, 16, 32), 4) == (4, 4, 16, 32)
    facts = {"train frames": 10, "val frames": 5, "material": "a", "parameters": 7}
    for who, mpjpe, minutes in (("theirs", 50.0, 26.0), ("as_long", 45.0, 27.0)):
        save(tmp_path, who, "truth", 0, dict.fromkeys((*METRICS, FLIP), mpjpe), {**facts, "minutes": minutes})
    made = against_table(tmp_path, Budget(epochs_as_long=11))
    assert [row["minutes"] for row in made.rows] == [26.0, 27.0]
    assert [(o.holds, o.why) for o in made.orderings] == [(True, "-10.0 %")]
    assert "11 epochs" in made.note


def test_against_videopose3d_refuses_to_mix_materials(tmp_path: Path) -> None:
    facts = {"train frames": 10, "val frames": 5, "material": "a", "minutes": 1.0, "parameters": 7}
    for who, mpjpe in (("theirs", 50.0), ("ours", 50.5), ("shipped", 45.0)):
        save(tmp_path, who, "truth", 0, dict.fromkeys((*METRICS, FLIP), mpjpe), facts)
    made = against_table(tmp_path, Budget())
    assert [o.holds for o in made.orderings] == [True, True]
    assert made.rows[1]["of its MPJPE"] == pytest.approx(1.01)
    save(tmp_path, "shipped", "truth", 0, dict.fromkeys((*METRICS, FLIP), 47.0), facts)
    assert [o.holds for o in against_table(tmp_path, Budget()).orderings] == [True, False]
    save(tmp_path, "theirs_equal", "truth", 0, dict.fromkeys((*METRICS, FLIP), 52.0), facts)
    last = against_table(tmp_path, Budget()).orderings[-1]
    assert (last.holds, last.why) == (True, "-9.6 %")
    save(tmp_path, "shipped", "truth", 1, dict.fromkeys((*METRICS, FLIP), 45.0), {**facts, "material": "b"})
    with pytest.raises(ValueError, match="different clips"):
        against_table(tmp_path, Budget())
