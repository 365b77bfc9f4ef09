"""`posestream eval lifter FILE.npz` on the base install: the real command in a process without torch or onnx."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from engines.lifter import Lifter
from engines.runtime import open_engine
from engines.tracks import Tracks, lift_tracks
from pipeline.client import recorded
from pipeline.commands import compare, eval_lifter
from pipeline.errors import OutputError, SourceError
from pipeline.results.record import load_results
from pipeline.results.track_file import load_tracks

ROOT = Path(__file__).parents[3]
BASE = "import sys; sys.modules.update(torch=None, onnx=None, matplotlib=None); from pipeline.cli import main; "
LENGTHS = (30, 12, 45)


def tell(*words: object) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    script = f"{BASE}sys.exit(main({[str(w) for w in ('eval', 'lifter', *words)]!r}))"
    return subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=90)


def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    rows = sum(LENGTHS)
    return {
        "xy_px": rng.normal(400, 90, (rows, 17, 2)).astype(np.float32),
        "score": rng.uniform(-0.3, 1, (rows, 17)).clip(0).astype(np.float32),
        "pts_s": np.concatenate([np.arange(n) / 25 for n in LENGTHS]),
        "clip": np.repeat([2, 0, 1], LENGTHS),
        "size_wh": np.array([[1280, 720], [640, 480], [1000, 1002]]),
        "focal_px": np.array([1100.0, 500.0, 1145.0]),
    }


@pytest.fixture
def tracks(tmp_path: Path) -> Path:
    np.savez(tmp_path / "tracks.npz", **arrays())
    return tmp_path / "tracks.npz"


def test_every_row_is_lifted_in_order(tracks: Path, tmp_path: Path) -> None:
    told = tell(tracks, "--save", tmp_path / "o.npz", "--backend", "ort")
    assert (told.returncode, told.stdout) == (0, ""), told.stderr
    assert "87 rows in 3 clips" in told.stderr
    results, raw = load_results(tmp_path / "o.npz"), arrays()
    assert results.frame.tolist() == [row for n in LENGTHS for row in range(n)]
    np.testing.assert_array_equal(results.track, raw["clip"])
    np.testing.assert_array_equal(results.pts_s, raw["pts_s"])
    np.testing.assert_array_equal(results.xy_px, raw["xy_px"])
    assert (results.frames, results.size_wh.tolist(), results.skeleton) == (45, [1280, 720], "h36m17")
    assert results.fps == pytest.approx(25)
    assert results.info["models"]["lifter"]["name"] == "lifter-tcn"
    assert results.info["clips"]["focal_px"] == [1100, 500, 1145]
    engine = open_engine("lifter-tcn", "ort", 1)
    want, root_m = lift_tracks(Lifter(engine), Tracks(**raw))
    np.testing.assert_allclose(results.xyz_m, want, atol=1e-6)
    np.testing.assert_allclose(results.root_m, root_m, rtol=1e-5)


def test_results_are_replaced_only_on_request(tracks: Path, tmp_path: Path) -> None:
    out = tmp_path / "o.npz"
    out.write_bytes(b"something dear")
    told = tell(tracks, "--save", out, "--quiet")
    assert told.returncode == 2
    assert told.stderr == f"posestream: {out} is there already (--force replaces it)\n"
    assert out.read_bytes() == b"something dear"
    assert tell(tracks, "--save", out, "--quiet", "--force").stderr == ""
    first = load_results(out)
    again = tell(tracks, "--save", out)
    assert again.returncode == 0
    assert "done already" in again.stderr
    other = tell(tracks, "--save", out, "--model", "lstm")
    assert (other.returncode, "is there already" in other.stderr) == (2, True)
    assert tell(tracks, "--save", tracks, "--force").returncode == 2
    np.testing.assert_array_equal(load_results(out).xyz_m, first.xyz_m)
    assert set(np.load(tracks).files) == set(arrays())


def test_the_truth_in_the_file_gives_the_errors(tmp_path: Path) -> None:
    raw = arrays()
    engine = open_engine("lifter-tcn", "ort", 1)
    xyz_m, root_m = lift_tracks(Lifter(engine), Tracks(**raw))
    moved = xyz_m.copy()
    moved[:, 3] += [0.03, 0, 0.04]  # right ankle: 50 mm
    moved[:12, 5] = np.nan
    raw |= {"xyz_m": moved, "root_m": root_m * 1.1, "action": np.array(["walk", "sit", "walk"])}
    np.savez(tmp_path / "t.npz", **raw)
    told = tell(tmp_path / "t.npz", "--json", tmp_path / "e.json", "--backend", "ort")
    assert told.returncode == 0, told.stderr
    report = json.loads((tmp_path / "e.json").read_text())
    assert report["per_joint_mm"]["right_ankle"] == pytest.approx(50, abs=0.01)
    assert report["mpjpe_mm"] == pytest.approx(50 * 87 / (87 * 17 - 12), abs=0.01)
    assert report["pck_150mm"] == 1
    assert report["root_error_share"] > 0.08
    assert set(report["per_action"]) == {"walk", "sit"}
    assert (report["causal"], report["flip"], report["joints_2d"]) == (True, False, "as in the file")
    assert "87 rows, 3 clips" in told.stdout
    assert "causal, without flip" in told.stdout
    printed = tell(tmp_path / "t.npz", "--json", "--quiet", "--backend", "ort")
    assert json.loads(printed.stdout)["mpjpe_mm"] == report["mpjpe_mm"]


def test_no_rows_have_no_errors(tmp_path: Path) -> None:
    raw = arrays() | {"xyz_m": np.zeros((87, 17, 3)), "root_m": np.zeros((87, 3))}
    np.savez(tmp_path / "t.npz", **{k: v[:0] if len(v) == 87 else v for k, v in raw.items()})
    told = tell(tmp_path / "t.npz", "--json", tmp_path / "e.json", "--backend", "ort")
    assert told.returncode == 0, told.stderr
    report = json.loads((tmp_path / "e.json").read_text())
    assert report["rows"] == 0
    assert "mpjpe_mm" not in report


def test_what_else_is_in_the_file_is_nobodys_business(tmp_path: Path) -> None:
    extra = {"names": np.array(["a", None], object), "action": np.array([b"walk", b"sit", b"walk"])}
    np.savez(tmp_path / "t.npz", **arrays(), **extra)
    tracks, truth = load_tracks(tmp_path / "t.npz")
    assert (len(tracks), truth) == (87, None)
    np.savez(tmp_path / "t.npz", **arrays(), **extra, xyz_m=np.zeros((87, 17, 3)))
    _, truth = load_tracks(tmp_path / "t.npz")
    assert truth is not None
    assert truth.action is not None
    assert truth.action.tolist() == ["walk", "sit", "walk"]


def test_older_results_are_lifted_again(tracks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "o.npz"
    words = [str(tracks), "--save", str(out), "--quiet", "--backend", "ort"]
    assert eval_lifter.main(words) == 0
    assert eval_lifter.main(words) == 0
    monkeypatch.setattr(eval_lifter, "FORMAT", eval_lifter.FORMAT + 1)
    with pytest.raises(OutputError, match="is there already"):
        eval_lifter.main(words)
    for show in (lambda: next(recorded(out)), lambda: compare.main([str(out), "--sheet", str(tmp_path / "o.png")])):
        with pytest.raises(SourceError, match="results of 3 clips"):
            show()


@pytest.mark.parametrize("seconds", ["0", "nan", "-1", "inf"])
def test_clips_have_a_length(seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        eval_lifter.main(["--seconds", seconds])
    assert stop.value.code == 2
    assert "is not a number above 0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"focal_px": None}, "lacks the array focal_px: (C,) numbers (it has clip, pts_s, score, size_wh, xy_px)"),
        ({"score": np.ones((5, 17))}, "score must be (N, 17) = (87, 17) numbers, found (5, 17) float64"),
        ({"clip": np.tile([0, 1, 2], 29)}, "clip must keep a clip's rows together, clip 0 returns in row 3"),
        ({"xyz_m": np.ones((87, 16, 3))}, "xyz_m must be (87, 17, 3) numbers, found (87, 16, 3) float64"),
        ({"action": np.array(["walk"]), "xyz_m": np.ones((87, 17, 3))}, "action must be (3,) text, found (1,) <U4"),
    ],
)
def test_a_wrong_file_is_one_line_that_names_the_array(tmp_path: Path, change: dict, says: str) -> None:
    raw = {k: v for k, v in {**arrays(), **change}.items() if v is not None}
    np.savez(tmp_path / "t.npz", **raw)
    told = tell(tmp_path / "t.npz", "--save", tmp_path / "o.npz")
    assert told.returncode == 2
    assert says in told.stderr
    assert str(tmp_path / "t.npz") in told.stderr
    assert told.stderr.count("\n") == 1
    assert not (tmp_path / "o.npz").exists()


def test_what_is_no_file_of_tracks_is_one_line(tmp_path: Path, tracks: Path) -> None:
    np.save(tmp_path / "one.npy", np.ones(3))
    (tmp_path / "junk.npz").write_bytes(b"PK\x03\x04 junk")
    for words, says in (
        ((tmp_path / "none.npz", "--save", "o.npz"), "none.npz does not exist"),
        ((tmp_path / "one.npy", "--save", "o.npz"), "is a single array"),
        ((tmp_path / "junk.npz", "--save", "o.npz"), "junk.npz is not an .npz file"),
        ((tracks,), "does not hold the truth (xyz_m)"),
        ((tracks, "--save", tmp_path / "o.npz", "--model", "detector-mnv2-tce64"), "is a detector, not a lifter"),
        ((tracks, "--save", "o.npz", "--model", "no.onnx"), "no model file 'no.onnx'"),
        (("--save", "o.npz"), "--save is for the tracks of a file"),
        ((tracks, "--save", "o.npz", "--seconds", 2), "--seconds is for the motion pack"),
        (("--force",), "--force is for the tracks of a file"),
        (("--json", tmp_path), "it is a folder"),
        (("--against-batch",), "--against-batch needs torch"),
    ):
        told = tell(*words)
        assert told.returncode == 2
        assert says in told.stderr
        assert told.stderr.count("\n") == 1
