"""Any form of motion becomes what the recipe trains on; the contact sheet draws it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline import cli
from train.data.motion.mocap import sample_takes
from train.data.motion.motion_files import load_any, read_capture, subject_of
from train.errors import DataError
from train.tasks import look_motion

BVH_JOINTS = (
    "Hips 0 95 0 ( Spine 0 25 0 ( Neck 0 29 0 ( Head 0 9 2 ( HeadTop_End 0 18 0 ) ) "
    "LeftArm 18 -3 0 ( LeftForeArm 28 0 0 ( LeftHand 26 0 0 ) ) "
    "RightArm -18 -3 0 ( RightForeArm -28 0 0 ( RightHand -26 0 0 ) ) ) LeftUpLeg 9 -5 0 ( "
    "LeftLeg 0 -42 0 ( LeftFoot 0 -42 0 ) ) RightUpLeg -9 -5 0 ( RightLeg 0 -42 0 ( RightFoot 0 -42 0 ) ) )"
)


def write_bvh(path: Path, frames: int = 5, fps: float = 60) -> Path:
    """A figure with spread arms that rises a centimetre a frame; only the root moves."""
    path.parent.mkdir(parents=True, exist_ok=True)
    words, lines, at = BVH_JOINTS.split(), ["HIERARCHY"], 0
    while at < len(words):
        if words[at] == ")":
            lines.append("}")
            at += 1
            continue
        name, offset, leaf = words[at], words[at + 1 : at + 4], words[at + 4 : at + 5] != ["("]
        channels = "CHANNELS 3 Xposition Yposition Zposition" if name == "Hips" else "CHANNELS 0"
        lines += ["ROOT Hips" if name == "Hips" else f"JOINT {name}", "{", f"OFFSET {' '.join(offset)}", channels]
        lines += ["End Site", "{", "OFFSET 0 1 0", "}", "}"] if leaf else []
        at += 4 if leaf else 5
    rows = [f"0 {95 + t} 0" for t in range(frames)]
    path.write_text("\n".join([*lines, "MOTION", f"Frames: {frames}", f"Frame Time: {1 / fps:.6f}", *rows]))
    return path


def write_videopose(path: Path) -> Path:
    rng = np.random.default_rng(0)
    motion = {s: {"Walking": rng.normal(0, 1, (30, 17, 3)).astype(np.float32)} for s in ("S1", "S9")}
    np.savez(path, positions_3d=motion)
    return path


def test_bvh_folders_split_by_subject(tmp_path: Path) -> None:
    for number in range(1, 11):
        write_bvh(tmp_path / f"{number:02d}" / f"{number:02d}_01.bvh", 5)
    write_bvh(tmp_path / "02" / "02_02.bvh", 20, fps=30)
    train, val = load_any(tmp_path), load_any(tmp_path, "val")
    assert len(train.fps) == 9  # all but 01 and 09
    assert len(val.fps) == 2
    assert train.xyz_m.shape == (8 * 5 + 20, 17, 3)
    np.testing.assert_array_equal(np.diff(train.clip_start)[:3], [5, 20, 5])
    np.testing.assert_allclose(train.fps[:3], [60, 30, 60], rtol=1e-4)
    assert train.weight.sum() == pytest.approx(1)
    assert train.weight[1] / train.weight[0] == pytest.approx(8, rel=1e-3)
    np.testing.assert_allclose(train.xyz_m[4, 0] - train.xyz_m[0, 0], [0, 0, 0.04], atol=1e-6)
    take = sample_takes(train, np.random.default_rng(0), 6, 9)  # what the recipe does with it
    assert take.xyz_m.shape == (6, 9, 17, 3)
    assert np.isfinite(take.xyz_m).all()


def test_one_file_is_training_material(tmp_path: Path) -> None:
    path = write_bvh(tmp_path / "dance.bvh")
    assert len(read_capture(path).xyz_m) == 5
    assert subject_of(path) == tmp_path.name
    assert subject_of(Path("a/113_25.bvh")) == "113"
    train, val = load_any(path), load_any(path, "val")
    np.testing.assert_array_equal(np.concatenate([train.xyz_m, val.xyz_m]), read_capture(path).xyz_m)
    assert len(val.xyz_m) == 2
    longer = write_bvh(tmp_path / "long.bvh", 80)
    assert (len(load_any(longer).xyz_m), len(load_any(longer, "val").xyz_m)) == (70, 10)
    with pytest.raises(DataError, match="short: 3 frames are too few"):
        load_any(write_bvh(tmp_path / "short.bvh", 3))


def test_of_one_persons_files_every_eighth_is_held_out(tmp_path: Path) -> None:
    for number, name in enumerate(("walk", "run", "dance")):
        write_bvh(tmp_path / f"{name}.bvh", 10 * (number + 1))
    assert np.diff(load_any(tmp_path).clip_start).tolist() == [20, 10]  # run, walk
    assert np.diff(load_any(tmp_path, "val").clip_start).tolist() == [30]
    for number in range(6):
        write_bvh(tmp_path / f"z{number}.bvh", 10)
    assert len(load_any(tmp_path, "val").fps) == 2


def test_the_command_tells_in_one_line_what_data_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_bvh(tmp_path / "short.bvh", 3)
    command = ["train", "lifter", "--model", "tcn", "--out", str(tmp_path / "run"), "--data"]
    for data, says in ((tmp_path / "nowhere", "nowhere does not exist"), (tmp_path, "short: 3 frames are too few")):
        assert cli.main([*command, str(data)]) == 2
        told = capsys.readouterr().err
        assert says in told
        assert told.startswith("posestream: ")
        assert told.count("\n") == 1
        assert "bug" not in told


def test_videopose_and_the_motion_pack(tmp_path: Path) -> None:
    path = write_videopose(tmp_path / "data_3d_h36m.npz")
    train, val = load_any(path), load_any(path, "val")
    assert (len(train.xyz_m), len(val.xyz_m), train.fps[0]) == (30, 30, 50)
    assert not np.array_equal(train.xyz_m, val.xyz_m)
    np.savez(
        tmp_path / "motion.npz",
        root_m=np.ones((9, 3), np.float32),
        joints_mm10=np.zeros((9, 21, 3), np.int16),
        clip_start=np.array([0, 9]),
        fps=np.array([60], np.float32),
        split=np.array(["train"]),
        rig=np.array(["asf"]),
    )
    for pack in (tmp_path, tmp_path / "motion.npz"):
        assert load_any(pack).xyz_m.shape == (9, 17, 3)


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere does not exist"):
        load_any(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("hello")
    for path in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(DataError, match=r"no motion\.npz, VideoPose3D file"):
            load_any(path)
    (tmp_path / "01_01.amc").write_text(":DEGREES\n")
    with pytest.raises(DataError, match=r"01_01\.amc: 0 \.asf files beside it"):
        load_any(tmp_path)
    with pytest.raises(DataError, match="split must be"):
        load_any(tmp_path, "test")


def test_the_contact_sheet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(write_bvh(tmp_path / "a" / "walk.bvh")), str(write_videopose(tmp_path / "data_3d_h36m.npz"))]
    assert look_motion.main([*files, "--out", str(tmp_path / "sheet.png")]) == 0
    image = cv2.imread(str(tmp_path / "sheet.png"))
    assert image.shape == (2 * look_motion.TILE_PX, 5 * look_motion.TILE_PX, 3)
    blue, green, red = (image[..., c].astype(int) for c in range(3))
    for tile in np.split(np.arange(image.shape[1]), 5):  # both sides' colours in every tile of the first row
        rows = np.ix_(np.arange(look_motion.TILE_PX), tile)
        assert ((blue - red)[rows] > 100).any()
        assert ((red - blue)[rows] > 100).any()
    assert green.max() > 0
    assert "walk: 5 frames, 60/s, subject a" in capsys.readouterr().out
    assert look_motion.main([str(tmp_path / "none.bvh")]) == 1
    assert capsys.readouterr().err == f"look_motion: {tmp_path / 'none.bvh'} does not exist\n"
