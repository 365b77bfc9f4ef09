"""The papers' training loop: epochs over windows, resumed, and VideoPose3D trained by it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from engines.runtime import open_engine
from train.data.motion.windows import Track, Windows
from train.loop.epochs import EpochConfig, fit_epochs
from train.loop.runlog import read_curves
from train.models.videopose import VideoPose, windows
from train.tasks import videopose
from train.tasks.videopose import losses


def pair_tracks(lengths: list[int], seed: int = 0) -> list[Track]:
    rng = np.random.default_rng(seed)
    tracks = []
    for number, n in enumerate(lengths):
        xyz_m = (rng.normal(0, 0.3, (1, 17, 3)) + rng.normal(0, 0.01, (n, 17, 3)).cumsum(0)).astype(np.float32)
        xyz_m[..., 2] += 4
        xy = (xyz_m[..., :2] / xyz_m[..., 2:]).astype(np.float32)
        tracks.append(Track(xy, np.ones((n, 17), np.float32), xyz_m, ("walk", "dance")[number % 2]))
    return tracks


@pytest.mark.parametrize("chunk", [1, 4, 50])
@pytest.mark.parametrize(("receptive", "ahead"), [(1, 0), (9, 0), (9, 4)])
def test_an_epoch_covers_every_frame_once_with_what_its_window_sees(chunk: int, receptive: int, ahead: int) -> None:
    tracks = pair_tracks([7, 1, 23])
    source, found = Windows(tracks, receptive, ahead), []
    for batch in source.epoch(np.random.default_rng(0), 3, chunk, flip="none"):
        assert batch["xy"].shape[1] == receptive - 1 + chunk
        for xy, pose, root, counts in zip(
            *(batch[k].numpy() for k in ("xy", "pose_m", "root_m", "counts")), strict=True
        ):
            for i in np.flatnonzero(counts):
                found.append((xy[i : i + receptive], pose[i], root[i]))
    assert len(found) == source.frames == 31
    whole = {t.xyz_m[i, 0].tobytes(): (n, i) for n, t in enumerate(tracks) for i in range(len(t.xy))}
    seen = set()
    for window, pose, root in found:
        n, i = whole[root.tobytes()]
        seen.add((n, i))
        np.testing.assert_array_equal(window, windows(torch.from_numpy(tracks[n].xy), receptive, ahead)[i].numpy())
        np.testing.assert_array_equal(pose, tracks[n].pose_m[i])
    assert len(seen) == 31


def test_mirrored_targets_belong_to_mirrored_windows() -> None:
    source = Windows(pair_tracks([12]), 3, 0)
    batch = next(source.epoch(np.random.default_rng(0), 24, 1, flip="both"))
    assert len(batch["xy"]) == 24
    xyz = batch["pose_m"][:, 0] + batch["root_m"]
    torch.testing.assert_close(batch["xy"][:, -1], xyz[..., :2] / xyz[..., 2:], atol=1e-5, rtol=1e-5)
    sides = torch.sign(batch["root_m"][:, 0, 0]).tolist()
    assert sides.count(1.0) == sides.count(-1.0) == 12


def test_an_epoch_can_be_cut_to_a_number_of_targets() -> None:
    source = Windows(pair_tracks([40, 60]), 5, 2)
    count = sum(float(b["counts"].sum()) for b in source.epoch(np.random.default_rng(1), 2, 8, targets=30))
    assert 30 <= count < 38


@pytest.mark.parametrize("ema", [0.0, 0.99])
def test_epochs_resume_to_the_same_result(tmp_path: Path, ema: float) -> None:
    def run(out: Path, epochs_first: int) -> torch.Tensor:
        for epochs in {epochs_first, 3}:
            torch.manual_seed(0)
            networks = torch.nn.ModuleDict({"pose": VideoPose((3, 3), True, 8)})
            config = EpochConfig(out, epochs, lr=0.05, lr_decay=0.9, seed=4, ema=ema)
            source = Windows(tracks, 9, 0)
            trained = fit_epochs(config, networks, lambda e, s=source: s.epoch(np.random.default_rng(e), 8), losses)
        return trained["pose"].head.weight.detach()

    tracks = pair_tracks([30, 20])
    whole, halves = run(tmp_path / "a", 3), run(tmp_path / "b", 1)
    torch.testing.assert_close(whole, halves, rtol=0, atol=1e-7)
    assert read_curves(tmp_path / "b" / "log.csv")["step"] == [1, 2, 3]


def test_videopose_learns_and_its_task_exports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two tiny networks learn two clips; the file runs and knows its delay."""
    monkeypatch.setattr("train.tasks.videopose.room_clips", lambda *a: [])
    monkeypatch.setattr("train.tasks.videopose.tracks_of", lambda clips: pair_tracks([40, 30]))
    path = tmp_path / "vp.onnx"
    options = ["--frames", "27", "--full", "--channels", "16", "--epochs", "25", "--batch", "16", "--chunk", "4"]
    assert (
        videopose.main([*options, "--out", str(tmp_path / "run"), "--export", str(path), "--data", str(tmp_path)]) == 0
    )
    curves = read_curves(tmp_path / "run" / "log.csv")
    assert curves["pose"][-1] < 0.7 * curves["pose"][0]
    assert curves["trajectory"][-1] < 0.7 * curves["trajectory"][0]
    assert len(read_curves(tmp_path / "run" / "val.csv")["val_mpjpe_mm"]) == 25
    engine = open_engine(path)
    assert engine.spec.settings["look_ahead_frames"] == 13
    assert engine.spec.settings["receptive_field"] == 27
