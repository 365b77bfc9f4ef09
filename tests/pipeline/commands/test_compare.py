"""posestream compare: a row of panels per frame, from real results files and a real clip."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.cli import main
from pipeline.overlay.draw3d import BACKGROUND
from pipeline.overlay.writer import VideoWriter
from pipeline.results.record import Results, save_results
from pipeline.sources.file import FileSource

DEMO = Path(__file__).parents[3] / "pipeline" / "demo.mp4"
FRAMES = 6


def results(path: Path, lean_m: float, frames: int = FRAMES) -> Path:
    """A person whose head leans forward by `lean_m`; nobody in the first frame."""
    rows = frames - 1
    rng = np.random.default_rng(0)
    pose = np.repeat(rng.normal(0, 0.3, (1, 17, 3)), rows, 0).astype(np.float32)
    pose[:, 0] = 0
    pose[:, 10] = (0, -0.7, -lean_m)
    save_results(
        path,
        Results(
            frame=np.arange(1, frames, dtype=np.int32),
            pts_s=np.arange(1, frames) / 30,
            track=np.ones(rows, np.int32),
            xy_px=rng.uniform(300, 500, (rows, 17, 2)).astype(np.float32),
            score=np.ones((rows, 17), np.float32),
            xyz_m=pose,
            root_m=np.full((rows, 3), 4, np.float32),
            size_wh=np.array([1280, 720], np.int32),
            fps=30.0,
            skeleton="h36m17",
            frames=frames,
        ),
    )
    return path


def test_video_and_sheet_show_both_results(tmp_path: Path) -> None:
    a, b = results(tmp_path / "a.npz", 0.0), results(tmp_path / "b.npz", 0.6, frames=FRAMES - 2)
    out, sheet = tmp_path / "both.mp4", tmp_path / "both.png"
    assert main(["compare", str(a), str(b), "--video", str(DEMO), "--save", str(out), "--sheet", str(sheet)]) == 0
    pictures = [p.image for p in FileSource(str(out), max_side_px=4096).pictures()]
    assert len(pictures) == FRAMES
    height, width = pictures[0].shape[:2]
    panels = np.array_split(pictures[2][:, width - 1200 :], 4, axis=1)
    assert height == 480
    empty = np.abs(pictures[0][:, width - 1200 :].astype(int) - BACKGROUND).max()
    assert empty < 20, "nobody in the first frame"
    side = np.abs(panels[0].astype(int) - panels[2]).max()
    assert side > 100, "a lean is seen from the side"
    ended = np.array_split(pictures[-1][:, width - 1200 :], 4, axis=1)[2]
    assert np.abs(ended.astype(int) - BACKGROUND).max() < 20, "the shorter file has ended"
    assert cv2.imread(str(sheet)).shape[1] == 1920


def test_nothing_to_write_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(results(tmp_path / "a.npz", 0.0))]) == 2
    assert "--save" in capsys.readouterr().err


def test_inputs_and_what_is_there_are_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, clip = results(tmp_path / "a.npz", 0.0), tmp_path / "clip.mp4"
    shutil.copy(DEMO, clip)
    (tmp_path / "link.png").symlink_to(clip)
    (tmp_path / "there.mp4").write_bytes(b"something dear")
    before = {path: path.read_bytes() for path in (a, clip, tmp_path / "there.mp4")}
    for words, says in (
        (("--save", clip), "is the input"),
        (("--save", clip, "--force"), "is the input"),
        (("--save", a, "--force"), "is the input"),
        (("--sheet", tmp_path / "link.png", "--force"), "is the input"),
        (("--save", tmp_path / "there.mp4"), "is there already (--force replaces it)"),
        (("--sheet", tmp_path / "o.xyz"), "not a kind of picture"),
    ):
        assert main(["compare", str(a), "--video", str(clip), *map(str, words)]) == 2
        assert says in capsys.readouterr().err
    assert {path: path.read_bytes() for path in before} == before
    assert main(["compare", str(a), "--save", str(tmp_path / "there.mp4"), "--force"]) == 0
    assert (tmp_path / "there.mp4").read_bytes() != b"something dear"


def test_a_film_that_ends_early_leaves_blank_pictures(tmp_path: Path) -> None:
    short = VideoWriter(tmp_path / "short.mp4", 30)
    for _ in range(3):
        short.write(np.full((240, 320, 3), 200, np.uint8))
    short.close()
    a, out, sheet = results(tmp_path / "a.npz", 0.0), tmp_path / "o.mp4", tmp_path / "o.png"
    words = ("--video", tmp_path / "short.mp4", "--save", out, "--sheet", sheet)
    assert main(["compare", str(a), *map(str, words)]) == 0
    pictures = [p.image for p in FileSource(str(out), max_side_px=4096).pictures()]
    assert [p.shape for p in pictures] == [(480, 640 + 600, 3)] * FRAMES
    assert np.median(pictures[0][:, :640]) > 180
    assert np.median(pictures[-1][:, :640]) < 50
    moved = np.abs(pictures[1][:, 640:].astype(int) - pictures[-1][:, 640:])
    assert moved.mean() < 2, "the same pose in the same place"
