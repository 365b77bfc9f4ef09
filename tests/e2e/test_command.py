"""The real command with the shipped models on a short clip."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from engines.geometry import default_focal_px
from engines.runtime import WEIGHTS_DIR
from pipeline.config import SourceConfig
from pipeline.results.record import Results, load_results
from tests.e2e.conftest import ROOT, Run

Start = Callable[..., Run]
ARRAYS = ("frame", "pts_s", "track", "xy_px", "score", "xyz_m", "root_m")
FRAMES = 45

pytestmark = pytest.mark.skipif(len(list(WEIGHTS_DIR.glob("*.onnx"))) < 3, reason="the shipped models are not here")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first frames of a clip with a person in it."""
    from pipeline.overlay.writer import VideoWriter
    from pipeline.sources.video import open_source

    data = Path(os.environ.get("POSESTREAM_DATA", ROOT.parent / "shared" / "data"))
    known = [path for path in (ROOT / "pipeline" / "demo.mp4", data / "clips" / "pose_1.mp4") if path.is_file()]
    if not known:
        pytest.skip("neither the demo clip nor the development clips are here")
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    source = open_source(SourceConfig("file", str(known[0])), every=True)
    with VideoWriter(path, source.fps) as writer:
        for picture, _ in zip(source.pictures(), range(FRAMES), strict=False):
            writer.write(picture.image, picture.pts_s)
    source.close()
    return path


@pytest.fixture(scope="module")
def first(clip: Path) -> list[Results]:
    """Results of the first replay, for the tests after it."""
    return []


def command(start: Start, *words: object) -> Run:
    return start("-m", "pipeline.cli", *map(str, words))


def test_a_replay_finds_the_person_and_is_resumed(start: Start, corner: Path, clip: Path, first: list[Results]) -> None:
    words = ("replay", clip, "--save", corner / "o.npz", "--save-video", corner / "o.mp4", "--json", corner / "s.json")
    run = command(start, *words)
    assert run.end() == 0, run.err
    assert f"{FRAMES} frames from" in run.out
    results = load_results(corner / "o.npz")
    first.append(results)
    assert results.frames == FRAMES
    assert len(np.unique(results.frame)) > 0.9 * FRAMES, "the person is found"
    assert np.isfinite(results.xyz_m).all()
    assert np.allclose(results.xyz_m[:, 0], 0, atol=1e-5), "the pelvis is the origin"
    assert set(results.info["models"]) == {"finder", "detector", "lifter"}
    assert (corner / "o.mp4").stat().st_size > 10_000
    assert (corner / "s.json").is_file()
    run.assert_nothing_left()
    again = command(start, *words)
    assert again.end() == 0
    assert "done already" in again.err
    assert again.out == ""


def test_two_replays_are_identical(start: Start, corner: Path, clip: Path, first: list[Results]) -> None:
    if not first:
        pytest.skip("needs the replay before")
    run = command(start, "replay", clip, "--save", corner / "o.npz")
    assert run.end() == 0, run.err
    results = load_results(corner / "o.npz")
    for name in ARRAYS:
        assert np.array_equal(getattr(results, name), getattr(first[0], name), equal_nan=name in ("pts_s", "root_m"))


def test_the_2d_tracks_of_a_replay_give_its_skeletons(start: Start, corner: Path, first: list[Results]) -> None:
    if not first:
        pytest.skip("needs the replay before")
    replay, size_wh = first[0], first[0].size_wh
    rows = np.flatnonzero(replay.track == replay.track[0])
    clip, focal_px = np.zeros(len(rows), np.int64), np.array([default_focal_px(tuple(size_wh.tolist()))])
    arrays = {name: getattr(replay, name)[rows] for name in ("xy_px", "score", "pts_s")}
    np.savez(corner / "tracks.npz", **arrays, clip=clip, size_wh=size_wh[None], focal_px=focal_px)
    run = command(start, "eval", "lifter", corner / "tracks.npz", "--save", corner / "o.npz")
    assert run.end() == 0, run.err
    lifted = load_results(corner / "o.npz")
    np.testing.assert_allclose(lifted.xyz_m, replay.xyz_m[rows], atol=1e-5)
    np.testing.assert_allclose(lifted.root_m, replay.root_m[rows], rtol=1e-5)


def test_a_live_run_gives_the_same_skeletons_for_the_frames_it_kept(
    start: Start, corner: Path, clip: Path, first: list[Results]
) -> None:
    if not first:
        pytest.skip("needs the replay before")
    run = command(start, clip, "--no-view", "--save", corner / "o.npz", "--json")
    assert run.end() == 0, run.err
    frames = run.summary["frames"]
    assert frames["processed"] + frames["dropped"] == frames["decoded"] == FRAMES
    live, replay = load_results(corner / "o.npz"), first[0]
    rows = {int(f): i for i, f in enumerate(replay.frame) if replay.track[i] == replay.track[0]}
    shared = [(i, rows[int(f)]) for i, f in enumerate(live.frame) if int(f) in rows]
    if len(shared) < 5:
        pytest.skip("this machine is too busy: hardly a frame was kept")
    a, b = (np.array(side) for side in zip(*shared, strict=True))
    height_px = np.ptp(replay.xy_px[..., 1], axis=1).mean()
    apart = np.linalg.norm(live.xy_px[a] - replay.xy_px[b], axis=-1)
    assert np.median(apart) < 0.03 * height_px, "dropped frames cost the memory a little, not the pose"


def test_a_wrong_input_is_one_line_and_exit_code_2(start: Start, corner: Path) -> None:
    (corner / "junk.mp4").write_bytes(os.urandom(3000))
    run = command(start, "replay", "junk.mp4", "--save", corner / "o.npz")
    assert run.end() == 2
    assert "junk.mp4" in run.err
    assert run.err.count("\n") == 1
    assert not (corner / "o.npz").exists()
    run.assert_nothing_left()


def test_an_output_that_is_the_input_is_refused(start: Start, corner: Path, clip: Path) -> None:
    own = corner / "clip.mp4"
    own.write_bytes(clip.read_bytes())
    for words in (["replay", own, "--save-video", own], ["replay", own, "--save", own], [own, "--save-video", own]):
        run = command(start, *words)
        assert run.end() == 2
        assert "is the input: it would be overwritten" in run.err
    assert own.read_bytes() == clip.read_bytes()


def test_a_folder_of_pictures_may_hold_other_things_and_is_done_once(start: Start, corner: Path) -> None:
    folder = corner / "pictures"
    (folder / "more").mkdir(parents=True)
    (folder / "notes.txt").write_text("no picture")
    cv2.imwrite(str(folder / "a.png"), np.full((48, 64, 3), 90, np.uint8))
    words = ("replay", folder, "--stills", "--save", folder / "results.npz")
    assert command(start, *words).end() == 0
    again = command(start, *words)
    assert again.end() == 0
    assert "done already" in again.err
