"""LSPET: its split, labels in doubt, and pictures in which a detector or a third network reads other sides."""

from __future__ import annotations

import zipfile
from dataclasses import replace

import cv2
import numpy as np
import pytest

from engines.skeletons import H36M17, LSP14
from train.data.people.lspet import HARD, HARD_SHARE, file_names, is_held_out, load_lspet
from train.data.people.mixes2d import DataChoice
from train.measure.evaluate2d import CONFIRMED, measure, set_people
from train.measure.metrics2d import side_opinion
from train.tasks import hard2d

MIRROR = list(H36M17.mirror)


def write_npz(path, arrays):
    """np.savez cannot write an array named "file", which LSPET's labels have."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, array)


@pytest.fixture
def lspet(tmp_path):
    """Forty pictures in LSPET's layout; the second training picture is of the swapped kind."""
    (tmp_path / "images").mkdir()
    files = np.array([f"im{i:05d}.jpg" for i in range(1, 41)])
    for f in files:
        cv2.imwrite(str(tmp_path / "images" / f), np.full((90, 80, 3), 99, np.uint8))
    joints = np.random.default_rng(0).uniform(10, 70, (40, 14, 2)).astype(np.float32)
    visible = np.ones((40, 14), bool)
    joints[:, LSP14.index("left_wrist")] = np.nan
    visible[:, LSP14.index("left_wrist")] = False
    labels = {"file": files, "joints_px": joints, "visible": visible}
    write_npz(tmp_path / "labels.npz", labels)
    verdict = np.array(["agree"] * 40, dtype="<U20")
    verdict[files == file_names(tmp_path, False)[1]] = "both_swapped"
    write_npz(tmp_path / "movenet_check.npz", {"file": files, "verdict": verdict})
    return tmp_path


def test_lspet_is_split_by_the_hash_of_the_name_and_mapped(lspet):
    train, held_out = load_lspet(lspet, held_out=False), load_lspet(lspet, held_out=True)
    assert len(train) + len(held_out) == 40
    assert len(held_out) == sum(is_held_out(f"im{i:05d}.jpg") for i in range(1, 41)) > 0
    assert not set(file_names(lspet, True)) & set(file_names(lspet, False))
    row = int(file_names(lspet, False)[0][2:7]) - 1
    joints = np.load(lspet / "labels.npz")["joints_px"][row]
    knee = train.xy_px[0, H36M17.index("right_knee")]
    np.testing.assert_allclose(knee, joints[LSP14.index("right_knee")] - 0.5, atol=1e-4)  # from 1-based pixel middles
    assert train.weight[0, H36M17.index("left_wrist")] == 0
    assert train.weight[0, H36M17.index("nose")] == 0
    assert train.weight[0, H36M17.index("pelvis")] == 1


def test_lspet_labels_in_doubt_count_less_and_noses_come_from_the_teacher(lspet, tmp_path):
    names = file_names(lspet, False)
    found = {"picture": np.array(names[2:3]), "xy_px": np.float32([[11, 12]]), "score": np.float32([0.7])}
    np.savez(tmp_path / "noses.npz", **found)
    stills = load_lspet(lspet, held_out=False, noses=tmp_path / "noses.npz")
    assert stills.share[1] < 0.5 * np.delete(stills.share, 1).min()
    nose = H36M17.index("nose")
    assert stills.xy_px[2, nose].tolist() == [11, 12]
    assert stills.weight[:4, nose].tolist() == pytest.approx([0, 0, 0.7, 0])


def test_pictures_that_a_detector_gets_wrong_way_round_are_shown_more_often(lspet, tmp_path):
    names = file_names(lspet, False)
    np.savez(tmp_path / HARD, picture=np.array(names[1:3]))  # the label of [1] is itself in doubt
    usual = load_lspet(lspet, held_out=False)
    more = load_lspet(lspet, held_out=False, hard=tmp_path / HARD)
    assert more.share[2] == pytest.approx(HARD_SHARE * usual.share[2])
    np.testing.assert_allclose(np.delete(more.share, 2), np.delete(usual.share, 2))


def test_a_label_in_doubt_is_believed_if_the_detector_says_the_same(lspet, tmp_path):
    np.savez(tmp_path / HARD, picture=np.array(file_names(lspet, False)[2:3]))
    usual, believed = (load_lspet(lspet, held_out=False, hard=hard) for hard in (None, tmp_path / HARD))
    assert believed.share[1] == pytest.approx(5 * usual.share[1])
    assert believed.weight[1].max() == 1
    knee = H36M17.index("left_knee")
    assert usual.weight[1, knee] == 0.5 * believed.weight[1, knee] > 0


def test_the_detector_is_asked_for_sides_on_training_pictures_only(lspet, tmp_path, capsys):
    data = tmp_path / "data"
    (data / "images").mkdir(parents=True)
    (data / "images" / "lspet").symlink_to(lspet)
    hard2d.main(["--data", str(data), "--out", str(tmp_path), "--threads", "1"])
    with np.load(tmp_path / HARD) as found:
        assert 0 < len(found["picture"]) < len(file_names(lspet, False)), "random labels: about half"
        assert set(found["picture"]) <= set(file_names(lspet, False))
        exchanged, train = len(found["picture"]), len(file_names(lspet, False))
    said = capsys.readouterr().out.replace("\r", "").split("\n")
    assert said[0].split() == ["all", str(exchanged), "of", str(train), "exchanged,", f"{exchanged / train:.1%}"]
    assert [line.split()[3] for line in said[1:3]] == [str(train - 1), "1"], "agree, both_swapped"
    hard2d.main(["--data", str(data), "--held-out", "--threads", "1"])
    assert f" of {len(file_names(lspet, True)):5} exchanged" in capsys.readouterr().out


def test_the_table_of_exchanges_needs_a_place_or_no_file(tmp_path, capsys):
    for words in ([], ["--out", str(tmp_path), "--held-out"]):
        with pytest.raises(SystemExit):
            hard2d.main(words)
        assert "give --out" in capsys.readouterr().err


def test_a_third_network_decides_over_labels_that_the_detector_reads_mirrored(lspet, tmp_path):
    names = file_names(lspet, False)  # the label of [1] is in doubt
    third = {names[1]: 1, names[2]: -1, names[3]: 1, names[4]: 0}
    np.savez(tmp_path / HARD, picture=np.array(list(third)), third=np.array(list(third.values()), np.int8))
    usual, judged = (load_lspet(lspet, held_out=False, hard=hard) for hard in (None, tmp_path / HARD))
    np.testing.assert_allclose(judged.share[[3, 4]] / usual.share[[3, 4]], [HARD_SHARE, HARD_SHARE])  # MoveNet agrees
    assert judged.share[1] == pytest.approx(5 * HARD_SHARE * usual.share[1]), "confirmed: no doubt is left"
    assert judged.share[2] == pytest.approx(usual.share[2])
    np.testing.assert_array_equal(judged.xy_px[2], usual.xy_px[2][MIRROR])
    np.testing.assert_array_equal(judged.weight[2], usual.weight[2][MIRROR])
    np.testing.assert_array_equal(np.delete(judged.xy_px, 2, 0), np.delete(usual.xy_px, 2, 0))


def test_where_the_third_network_says_nothing_only_movenet_makes_a_picture_hard(lspet, tmp_path):
    names = file_names(lspet, False)
    with np.load(lspet / "movenet_check.npz") as check:
        verdict = check["verdict"].copy()
        verdict[check["file"] == names[4]] = "unsure"
        files = check["file"]
    write_npz(lspet / "movenet_check.npz", {"file": files, "verdict": verdict})
    np.savez(tmp_path / HARD, picture=np.array(names[3:5]), third=np.array([1, 0], np.int8))
    usual, judged = (load_lspet(lspet, held_out=False, hard=hard) for hard in (None, tmp_path / HARD))
    assert judged.share[4] == pytest.approx(usual.share[4])
    assert any("MediaPipe" in note for note in DataChoice(lspet, labels=tmp_path).note())
    np.savez(tmp_path / HARD, picture=np.array(names[3:5]), third=np.zeros(2, np.int8))
    assert not any("MediaPipe" in note for note in DataChoice(lspet, labels=tmp_path).note())


def test_an_opinion_on_sides_needs_joints_that_lie_on_the_labels(lspet):
    people = list(set_people(replace(load_lspet(lspet, held_out=True))))
    truth, labelled = np.stack([p.xy for p in people[:4]]), np.stack([p.labelled for p in people[:4]])
    xy, score = truth.copy(), np.ones(truth.shape[:2], np.float32)
    xy[1], xy[2], score[3] = truth[1][MIRROR], truth[2] + 40, 0
    assert side_opinion(xy, score, truth, labelled).tolist() == [1, -1, 0, 0]
    assert not side_opinion(xy, score, truth, np.zeros_like(labelled)).any(), "nobody labelled on both sides"
    figures = measure(people[:4], {"posestream": (xy, score), "mediapipe": (xy, score)})
    assert figures["posestream"][CONFIRMED] == 0
    assert CONFIRMED not in figures["mediapipe"], "it would always agree with itself"
