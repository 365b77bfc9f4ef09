"""BVH: forward kinematics against SciPy's rotations, a known pose, names of common rigs, and damaged files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from engines.skeletons import H36M17
from train.data.motion.bvh import read_bvh
from train.data.motion.named_joints import to_clip

LEFT_ARM_UP_CM = (
    ("Hips", -1, (0, 95, 0)), ("Spine", 0, (0, 12, 0)), ("Spine1", 1, (0, 20, 0)), ("Spine2", 2, (0, 12, 0)),
    ("Neck", 3, (0, 10, 0)), ("Head", 4, (0, 8, 2)), ("HeadTop_End", 5, (0, 18, 0)),
    ("LeftShoulder", 3, (4, 6, 0)), ("LeftArm", 7, (14, 0, 0)), ("LeftForeArm", 8, (28, 0, 0)),
    ("LeftHand", 9, (26, 0, 0)),
    ("RightShoulder", 3, (-4, 6, 0)), ("RightArm", 11, (-14, 0, 0)), ("RightForeArm", 12, (-28, 0, 0)),
    ("RightHand", 13, (-26, 0, 0)),
    ("LeftUpLeg", 0, (9, -5, 0)), ("LeftLeg", 15, (0, -42, 0)), ("LeftFoot", 16, (0, -42, 0)),
    ("LeftToeBase", 17, (0, -6, 12)),
    ("RightUpLeg", 0, (-9, -5, 0)), ("RightLeg", 19, (0, -42, 0)), ("RightFoot", 20, (0, -42, 0)),
    ("RightToeBase", 21, (0, -6, 12)),
)  # fmt: skip


@dataclass
class Rig:
    names: list[str]
    parents: list[int]
    offsets: np.ndarray  # (J, 3)
    channels: list[list[str]]


def write(path: Path, rig: Rig, values: np.ndarray, fps: float = 50) -> Path:
    """Write a BVH file; joints without children get an end site 5 units on."""

    def joint(j: int, indent: str) -> list[str]:
        children = [c for c, p in enumerate(rig.parents) if p == j]
        inner = indent + "\t"
        offset = " ".join(f"{v:.9f}" for v in rig.offsets[j])
        lines = [f"{indent}{'JOINT' if rig.parents[j] >= 0 else 'ROOT'} {rig.names[j]}", indent + "{"]
        lines += [f"{inner}OFFSET {offset}", f"{inner}CHANNELS {len(rig.channels[j])} {' '.join(rig.channels[j])}"]
        for child in children:
            lines += joint(child, inner)
        if not children:
            lines += [f"{inner}End Site", inner + "{", f"{inner}\tOFFSET 0 5 0", inner + "}"]
        return [*lines, indent + "}"]

    order = depth_first(rig)
    starts = np.concatenate([[0], np.cumsum([len(c) for c in rig.channels])])
    columns = [c for j in order for c in range(starts[j], starts[j + 1])]
    rows = [" ".join(f"{v:.9f}" for v in row[columns]) for row in values]
    head = ["HIERARCHY", *joint(0, ""), "MOTION", f"Frames:\t{len(values)}", f"Frame Time:\t{1 / fps:.9f}"]
    path.write_text("\n".join([*head, *rows]) + "\n")
    return path


def depth_first(rig: Rig, j: int = 0) -> list[int]:
    return [j, *(d for c, p in enumerate(rig.parents) if p == j for d in depth_first(rig, c))]


def person(prefix: str = "", turns: dict[str, tuple[float, float, float]] | None = None) -> tuple[Rig, np.ndarray]:
    """A Mixamo-like figure, arms spread, y up, centimetres, facing +z; turns are degrees about z, x, y."""
    names, parents, offsets = (list(column) for column in zip(*LEFT_ARM_UP_CM, strict=True))
    spin = ["Zrotation", "Xrotation", "Yrotation"]
    channels = [["Xposition", "Yposition", "Zposition", *spin], *([spin] * (len(names) - 1))]
    values = np.zeros((3, 3 + 3 * len(names)))
    values[:, :3] = [0, 95, 0]
    for name, degrees in (turns or {}).items():
        at = 3 + 3 * names.index(name)
        values[:, at : at + 3] = degrees
    return Rig([prefix + n for n in names], parents, np.array(offsets, float), channels), values


@st.composite
def animated(draw: st.DrawFn) -> tuple[Rig, np.ndarray]:
    count = draw(st.integers(1, 7))
    parents = [-1, *(draw(st.integers(0, j)) for j in range(count - 1))]
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    channels = []
    for j in range(count):
        order = list(draw(st.permutations("XYZ")))[: draw(st.integers(1, 3))]
        moves = [f"{a}position" for a in "XYZ"] if j == 0 or draw(st.booleans()) else []
        channels.append(moves + [f"{a}rotation" for a in order])
    values = rng.uniform(-170, 170, (draw(st.integers(1, 4)), sum(len(c) for c in channels)))
    return Rig([f"j{j}" for j in range(count)], parents, rng.uniform(-30, 30, (count, 3)), channels), values


def positions(rig: Rig, values: np.ndarray) -> np.ndarray:
    """Joint positions by SciPy, one frame and joint at a time."""
    out = np.zeros((len(values), len(rig.names), 3))
    for t, row in enumerate(values):
        turns, at = [], 0
        for j, channels in enumerate(rig.channels):
            given = dict(zip(channels, row[at : at + len(channels)], strict=True))
            at += len(channels)
            spins = [c for c in channels if c.endswith("rotation")]
            turn = Rotation.from_euler("".join(c[0] for c in spins), [given[c] for c in spins], degrees=True)
            moved = [given.get(f"{a}position", rig.offsets[j][k]) for k, a in enumerate("XYZ")]
            if rig.parents[j] < 0:
                out[t, j] = moved
                turns.append(turn)
            else:
                above = turns[rig.parents[j]]
                out[t, j] = out[t, rig.parents[j]] + above.apply(moved)
                turns.append(above * turn)
    return out


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(animated())
def test_any_tree_and_order_of_channels_comes_back(tmp_path: Path, motion: tuple[Rig, np.ndarray]) -> None:
    rig, values = motion
    read = read_bvh(write(tmp_path / "a.bvh", rig, values, 40))
    rows = [read.names.index(name) for name in rig.names]
    np.testing.assert_allclose(read.xyz[:, rows], positions(rig, values), atol=1e-5)
    assert read.fps == pytest.approx(40)
    for row, parent in zip(rows, rig.parents, strict=True):
        assert read.parents[row] == (-1 if parent < 0 else rows[parent])
    ends = [n for n in read.names if n.endswith("_end")]
    assert len(ends) == sum(j not in rig.parents for j in range(len(rig.names)))


@pytest.mark.parametrize("prefix", ["", "mixamorig:", "mixamorig1:"])
def test_a_known_pose_in_metres_z_up_facing_forward(tmp_path: Path, prefix: str) -> None:
    rig, values = person(prefix, {"LeftArm": (90, 0, 0), "RightUpLeg": (0, -90, 0)})
    clip = to_clip(read_bvh(write(tmp_path / "a.bvh", rig, values)), "a", "s", "wave")
    at = {name: clip.xyz_m[0, H36M17.index(name)] for name in H36M17.joints}
    assert (clip.name, clip.subject, clip.action, round(clip.fps)) == ("a", "s", "wave", 50)
    assert clip.xyz_m.shape == (3, 17, 3)
    assert clip.xyz_m.dtype == np.float32
    np.testing.assert_allclose(at["left_wrist"] - at["left_shoulder"], [0, 0, 0.54], atol=1e-5)  # straight up
    np.testing.assert_allclose(at["right_wrist"] - at["right_shoulder"], [0.54, 0, 0], atol=1e-5)  # right is +x
    np.testing.assert_allclose(at["right_knee"] - at["right_hip"], [0, 0.42, 0], atol=1e-5)  # lifted forward
    np.testing.assert_allclose(at["left_ankle"] - at["left_hip"], [0, 0, -0.84], atol=1e-5)
    np.testing.assert_allclose(at["pelvis"], (at["left_hip"] + at["right_hip"]) / 2, atol=1e-6)
    np.testing.assert_allclose(at["spine"] - at["pelvis"], [0, 0, 0.295], atol=1e-5)
    assert at["nose"][1] > at["head_top"][1] + 0.03  # the face looks forward
    assert np.linalg.norm(at["head_top"] - at["thorax"]) == pytest.approx(0.355 * 0.59, abs=1e-4)
    assert np.linalg.norm(at["nose"] - at["thorax"]) == pytest.approx(0.115, abs=1e-4)
    assert at["left_ankle"][2] == pytest.approx(0.06 + 0.01, abs=0.06)  # toes on the floor


def test_the_nose_follows_the_head(tmp_path: Path) -> None:
    rig, values = person(turns={"Head": (0, 0, 90)})  # looks to its left
    clip = to_clip(read_bvh(write(tmp_path / "a.bvh", rig, values)), "a", "s")
    nose, top = clip.xyz_m[0, H36M17.index("nose")], clip.xyz_m[0, H36M17.index("head_top")]
    assert nose[0] < top[0] - 0.03


@pytest.mark.parametrize(("scale", "unit_m"), [(0.01, None), (1, None), (10, None), (1 / 2.54, None), (7, 0.01 / 7)])
def test_units_are_guessed_or_given(tmp_path: Path, scale: float, unit_m: float | None) -> None:
    rig, values = person()
    rig.offsets *= scale
    values[:, :3] *= scale
    motion = read_bvh(write(tmp_path / "a.bvh", rig, values))
    clip = to_clip(motion, "a", "s", unit_m=unit_m)
    legs = clip.xyz_m[0, H36M17.index("left_hip"), 2] - clip.xyz_m[0, H36M17.index("left_ankle"), 2]
    assert legs == pytest.approx(0.84, abs=1e-3)
    if unit_m:
        with pytest.raises(ValueError, match=r"a\.bvh.*give the metres per unit"):
            to_clip(motion, "a", "s")


def test_a_file_with_z_up(tmp_path: Path) -> None:
    rig, values = person()
    turn = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]])  # y up -> z up
    rig.offsets = rig.offsets @ turn.T
    values[:, :3] = values[:, :3] @ turn.T
    motion = read_bvh(write(tmp_path / "a.bvh", rig, values))
    for up in ("auto", "z"):
        clip = to_clip(motion, "a", "s", up=up)
        height = clip.xyz_m[0, H36M17.index("thorax"), 2] - clip.xyz_m[0, H36M17.index("left_ankle"), 2]
        assert height == pytest.approx(1.43, abs=1e-3)
    with pytest.raises(ValueError, match="up must be"):
        to_clip(motion, "a", "s", up="north")


def test_unknown_names_are_told(tmp_path: Path) -> None:
    rig, values = person("bone_")
    with pytest.raises(ValueError, match=r"a\.bvh: joint names of no known rig.*bone_Hips"):
        to_clip(read_bvh(write(tmp_path / "a.bvh", rig, values)), "a", "s")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("HIERARCHY", "HELLO", "line 1: expected 'HIERARCHY'"),
        ("OFFSET 9.000000000 -5.000000000 0.000000000", "OFFSET 9 x 0", "expected numbers"),
        ("OFFSET 9.000000000 -5.000000000 0.000000000", "", "'LeftUpLeg' has no OFFSET"),
        ("Zrotation Xrotation Yrotation", "Zrotation Xrotation Wrotation", "bad list of channels"),
        ("Frames:\t3", "Frames:\t9", "9 frames are announced, 3 are there"),
        ("Frames:\t3", "Frames:\tmany", "expected numbers"),
        ("Frame Time:\t0.020000000", "Frame Time:\t0", "cannot be"),
        ("0.000000000 95.000000000 0.000000000 0.000000000", "0 nan 0 0", "frame 0: a value is not finite"),
        (
            "0.000000000 95.000000000 0.000000000 0.000000000",
            "95 0 0",
            "frame 0: 71 values, but the hierarchy has 72 channels",
        ),
        ("MOTION", "", "expected 'MOTION'"),
    ],
)
def test_a_damaged_file_gives_one_clear_error(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = write(tmp_path / "broken.bvh", *person())
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ValueError, match=r"broken\.bvh") as caught:
        read_bvh(path)
    assert message in str(caught.value)
    path.write_text(text[: len(text) // 3])
    with pytest.raises(ValueError, match=r"broken\.bvh"):
        read_bvh(path)
