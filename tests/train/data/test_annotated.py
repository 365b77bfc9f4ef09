"""Readers of published 2D sets, on tiny files of their layouts: joints where they belong, splits, sequences."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from engines.skeletons import COCO17, H36M17, LSP14
from train.data.people import coco, jhmdb, lsp, mpii, penn
from train.data.people.annotated import STILL_READERS, VIDEO_READERS
from train.data.people.people2d import HIDDEN, draw

savemat = pytest.importorskip("scipy.io", reason="needs scipy (posestream[train])").savemat


def picture(path: Path, wh: tuple[int, int] = (120, 160)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((wh[1], wh[0], 3), 90, np.uint8))


def struct(**fields: object) -> np.ndarray:
    """A MATLAB struct."""
    out = np.zeros((1, 1), [(name, object) for name in fields])
    for name, value in fields.items():
        out[name][0, 0] = value
    return out


def structs(rows: list[np.ndarray]) -> np.ndarray:
    """A MATLAB struct array of structs with the same fields."""
    return np.concatenate(rows, 1)


def at(stills, row: int, joint: str) -> list[float]:
    return stills.xy_px[row, H36M17.index(joint)].tolist()


def weight(stills, row: int, joint: str) -> float:
    return float(stills.weight[row, H36M17.index(joint)])


def test_coco_knows_hidden_from_unlabelled_and_leaves_crowds_out(tmp_path):
    picture(tmp_path / "val2017" / "000000000007.jpg")
    points = np.stack([np.arange(17) * 5 + 10, np.arange(17) * 7 + 20, np.full(17, 2)], 1)
    points[COCO17.index("left_wrist"), 2] = 1
    points[COCO17.index("left_ankle")] = 0
    person = {"image_id": 7, "keypoints": points.ravel().tolist(), "num_keypoints": 16, "bbox": [8, 18, 90, 120]}
    annotations = [person, {**person, "iscrowd": 1}, {**person, "num_keypoints": 0}]
    annotations += [{**person, "keypoints": (points * (np.arange(17) < 3)[:, None]).ravel().tolist()}]
    content = {"images": [{"id": 7, "file_name": "000000000007.jpg"}], "annotations": annotations}
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "person_keypoints_val2017.json").write_text(json.dumps(content))
    stills = coco.load(tmp_path, "val")
    assert len(stills) == 1
    knee = points[COCO17.index("left_knee")]
    assert at(stills, 0, "left_knee") == pytest.approx([knee[0] + 0.5, knee[1] + 0.5])
    assert [weight(stills, 0, j) for j in ("nose", "left_wrist", "left_ankle")] == pytest.approx([1, HIDDEN, 0])
    assert stills.box_xyxy_px[0].tolist() == [8, 18, 98, 138]
    assert stills.picture(0).shape == (160, 120, 3)
    assert draw(np.random.default_rng(0), stills, 0, 2, None)["crops"].shape == (2, 256, 192, 3)


def mpii_person(flag: object = 1) -> np.ndarray:
    points = [struct(x=10.0 + 5 * i, y=20.0 + 6 * i, id=i, is_visible=flag) for i in range(16)]
    return struct(scale=1.0, objpos=struct(x=50, y=50), annopoints=struct(point=structs(points)))


def test_mpii_as_published(tmp_path):
    bare = struct(scale=1.0, objpos=struct(x=1, y=1), annopoints=np.zeros((0, 0)))
    rects = [structs([mpii_person("1"), bare]), mpii_person(0), mpii_person(np.zeros((0, 0)))]
    names = ["015601864.jpg", "000000002.jpg", "000000003.jpg"]
    images = [struct(image=struct(name=n), annorect=r) for n, r in zip(names, rects, strict=True)]
    release = struct(annolist=structs(images), img_train=np.array([[1, 1, 0]]))
    savemat(tmp_path / "mpii_human_pose_v1_u12_1.mat", {"RELEASE": release})
    rows = list(mpii.published(tmp_path))
    assert [row.path.name for row in rows] == names[:2], "no test pictures, nobody without joints"
    by_name = {name: 10.0 + 5 * i - 0.5 for i, name in enumerate(mpii.JOINTS)}
    for joint in ("right_ankle", "pelvis", "left_wrist"):
        assert rows[0].xy_px[H36M17.index(joint), 0] == pytest.approx(by_name[joint])
    assert rows[0].xy_px[H36M17.index("thorax"), 0] == pytest.approx(by_name["neck"])
    crown, neck = by_name["head_top"], by_name["neck"]
    assert rows[0].xy_px[H36M17.index("head_top"), 0] == pytest.approx(neck + 0.75 * (crown - neck))
    assert rows[0].weight[H36M17.index("nose")] == 0
    assert rows[1].weight[H36M17.index("left_knee")] == pytest.approx(HIDDEN)
    assert sum(len(mpii.load(tmp_path, split)) for split in ("train", "val") if _has(tmp_path, split)) == 2


def _has(folder: Path, split: str) -> bool:
    try:
        return len(mpii.load(folder, split)) > 0
    except ValueError:
        return False


def test_mpii_as_the_extract(tmp_path):
    joints = [[10.0 + i, 20.0 + 2 * i] for i in range(16)]
    joints[0] = [-1.0, -1.0]
    seen = [0, 0, *[1] * 14]
    person = {"image": "a.jpg", "joints": joints, "joints_vis": seen, "center": [5, 5], "scale": 1.0}
    (tmp_path / "annot").mkdir()
    (tmp_path / "annot" / "valid.json").write_text(json.dumps([person]))
    stills = mpii.load(tmp_path, "val")
    assert [weight(stills, 0, j) for j in ("right_ankle", "right_knee", "pelvis")] == pytest.approx([0, HIDDEN, 1])
    assert at(stills, 0, "left_wrist") == pytest.approx([24.5, 49.5])
    with pytest.raises(FileNotFoundError):
        mpii.load(tmp_path, "train")


def test_lsp_flags_hidden_joints_and_lspet_labelled_ones(tmp_path):
    rng = np.random.default_rng(0)
    joints = rng.uniform(20, 90, (3, 14, 1002))
    joints[2] = 0
    joints[2, LSP14.index("left_knee")] = 1
    savemat(tmp_path / "joints.mat", {"joints": joints})
    train, val = lsp.load(tmp_path, "train"), lsp.load(tmp_path, "val")
    assert (len(train), len(val)) == (1000, 2)
    assert val.jpeg.paths[0].name == "im1001.jpg"
    hip = joints[:2, LSP14.index("left_hip"), 1000] - 0.5
    assert at(val, 0, "left_hip") == pytest.approx(hip.tolist(), abs=1e-4)
    assert [weight(val, 0, j) for j in ("left_hip", "left_knee")] == pytest.approx([1, HIDDEN])
    savemat(tmp_path / "joints.mat", {"joints": 1 - joints[:, :, :30].transpose(1, 0, 2) % 1})
    assert len(lsp.load(tmp_path, "train")) + len(lsp.load(tmp_path, "val")) == 30
    savemat(tmp_path / "joints.mat", {"joints": joints[:, :13]})
    with pytest.raises(ValueError, match="14"):
        lsp.load(tmp_path, "train")


def test_penn_action_is_read_clip_by_clip(tmp_path):
    for name, training in (("0001", 1), ("0002", -1)):
        x, y = np.tile(np.arange(13) * 6 + 15.0, (4, 1)), np.tile(np.arange(13) * 8 + 20.0, (4, 1))
        x += np.arange(4)[:, None]
        x[0, 3], y[0, 3] = 1, 1  # not labelled
        visible = np.ones((4, 13))
        visible[1, 4] = 0
        boxes = np.tile([5.0, 6.0, 110.0, 150.0], (4, 1))
        content = {"x": x, "y": y, "visibility": visible, "bbox": boxes, "nframes": 4, "train": training}
        (tmp_path / "labels").mkdir(exist_ok=True)
        savemat(tmp_path / "labels" / f"{name}.mat", content)
        for t in (1, 2, 4):  # the third picture is missing
            picture(tmp_path / "frames" / name / f"{t:06d}.jpg")
    train, val = penn.load(tmp_path, "train"), penn.load(tmp_path, "val")
    assert (len(train), len(val)) == (3, 3)
    assert train.following.tolist() == [1, -1, -1]
    assert at(train, 1, "left_shoulder") == pytest.approx([15 + 6 + 1 - 0.5, 27.5])
    assert [weight(train, r, "left_elbow") for r in (0, 1)] == pytest.approx([0, 1])
    assert weight(train, 1, "right_elbow") == pytest.approx(HIDDEN)
    assert weight(train, 1, "head_top") == weight(train, 1, "nose") == 0
    assert train.box_xyxy_px[0].tolist() == [5, 6, 110, 150]
    sample = draw(np.random.default_rng(1), train, 0, 2, None)
    assert sample["crops"].shape[0] == 2
    with pytest.raises(FileNotFoundError, match="Penn"):
        penn.load(tmp_path / "frames", "train")


def test_sub_jhmdb_has_splits_and_boxes_from_masks(tmp_path):
    lines = []
    for name, side, frames in (("one", 1, 3), ("two", 2, 2)):
        points = np.stack(np.meshgrid(np.arange(15) * 6.0 + 20, np.arange(frames) * 2.0, indexing="ij"))
        points[1] += 30 + np.arange(15)[:, None]
        folder = tmp_path / "joint_positions" / "wave" / name
        folder.mkdir(parents=True)
        savemat(folder / "joint_positions.mat", {"pos_img": points})
        for t in range(frames):
            picture(tmp_path / "Rename_Images" / "wave" / name / f"{t + 1:05d}.png")
        lines.append(f"{name}.avi {side}")
    masks = np.zeros((160, 120, 3), np.uint8)
    masks[10:100, 20:60, :2] = 3
    folder = tmp_path / "puppet_mask" / "wave" / "one"
    folder.mkdir(parents=True)
    savemat(folder / "puppet_mask.mat", {"part_mask": masks})
    (tmp_path / "sub_splits").mkdir()
    (tmp_path / "sub_splits" / "wave_test_split1.txt").write_text("\n".join(lines) + "\n")
    train, val = jhmdb.load(tmp_path, "train"), jhmdb.load(tmp_path, "val")
    assert train.following.tolist() == [1, 2, -1]
    assert len(val) == 2
    assert train.box_xyxy_px[0].tolist() == [20, 10, 60, 100]
    assert train.box_xyxy_px[2].tolist() != train.box_xyxy_px[0].tolist(), "no mask there: the joints' box"
    wrist = jhmdb.JOINTS.index("left_wrist")
    assert at(train, 1, "left_wrist") == pytest.approx([20 + 6 * wrist - 0.5, 30 + wrist + 2 - 0.5])
    assert at(train, 1, "thorax") == pytest.approx([19.5, 31.5])
    assert weight(train, 0, "nose") == 0.5
    with pytest.raises(FileNotFoundError, match="split3"):
        jhmdb.load(tmp_path, "train", 3)


def test_every_reader_can_be_named_in_the_recipe(tmp_path):
    for reader in (STILL_READERS | VIDEO_READERS).values():
        with pytest.raises(FileNotFoundError):
            reader.load(tmp_path, "train")
