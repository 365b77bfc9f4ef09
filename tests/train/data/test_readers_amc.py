"""ASF/AMC: forward kinematics against SciPy's rotations, CMU's joints, and damaged files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from engines.skeletons import H36M17
from train.data.motion.amc import read_amc, read_asf
from train.data.motion.named_joints import to_clip

# name, parent, direction, length (inches * 0.45), axis, dof
BONES = (
    ("lhipjoint", "root", (0.6, -0.7, 0.3), 2.4, (0, 0, 0), ""),
    ("lfemur", "lhipjoint", (0.34, -0.94, 0), 7.1, (0, 0, 20), "rx ry rz"),
    ("ltibia", "lfemur", (0.34, -0.94, 0), 7.4, (0, 0, 20), "rx"),
    ("rhipjoint", "root", (-0.6, -0.7, 0.3), 2.4, (0, 0, 0), ""),
    ("rfemur", "rhipjoint", (-0.34, -0.94, 0), 7.1, (0, 0, -20), "rx ry rz"),
    ("rtibia", "rfemur", (-0.34, -0.94, 0), 7.4, (0, 0, -20), "rx"),
    ("lowerback", "root", (0, 1, 0), 2.0, (10, 20, 30), "rx ry rz"),
    ("upperback", "lowerback", (0, 1, 0), 2.0, (0, 0, 0), "rx ry rz"),
    ("thorax", "upperback", (0, 1, 0), 2.0, (0, 0, 0), ""),
    ("lowerneck", "thorax", (0, 1, 0), 1.6, (0, 0, 0), ""),
    ("head", "lowerneck", (0, 0.98, 0.2), 3.3, (0, 0, 0), "rx ry rz"),
    ("lclavicle", "thorax", (0.9, 0.4, 0), 3.5, (0, 0, 0), ""),
    ("lhumerus", "lclavicle", (1, 0, 0), 5.0, (180, 30, 90), "rx ry rz"),
    ("lradius", "lhumerus", (1, 0, 0), 3.2, (180, 30, 90), "rx"),
    ("lwrist", "lradius", (1, 0, 0), 1.6, (180, 30, 90), "ry"),
    ("rclavicle", "thorax", (-0.9, 0.4, 0), 3.5, (0, 0, 0), ""),
    ("rhumerus", "rclavicle", (-1, 0, 0), 5.0, (180, -30, -90), "rx ry rz"),
    ("rradius", "rhumerus", (-1, 0, 0), 3.2, (180, -30, -90), "rx"),
    ("rwrist", "rradius", (-1, 0, 0), 1.6, (180, -30, -90), "ry"),
)
INCH = 0.0254 / 0.45


def write_asf(path: Path) -> Path:
    lines = ["# a comment", ":version 1.10", ":name test", ":units", "  mass 1.0", "  length 0.45", "  angle deg"]
    lines += [":root", "   order TX TY TZ RX RY RZ", "   axis XYZ", "   position 0 0 0", "   orientation 0 0 0"]
    lines += [":bonedata"]
    for number, (name, _, direction, length, axis, dof) in enumerate(BONES, 1):
        lines += ["  begin", f"     id {number}", f"     name {name}"]
        lines += [f"     direction {' '.join(map(str, direction))}", f"     length {length}"]
        lines += [f"     axis {' '.join(map(str, axis))}  XYZ"]
        if dof:
            limits = ["(-160.0 20.0)"] * len(dof.split())
            lines += [f"    dof {dof}", f"    limits {limits[0]}", *(f"           {x}" for x in limits[1:])]
        lines += ["  end"]
    lines += [":hierarchy", "  begin"]
    for parent in dict.fromkeys(bone[1] for bone in BONES):
        lines.append(f"    {parent} {' '.join(b[0] for b in BONES if b[1] == parent)}")
    path.write_text("\n".join([*lines, "  end"]) + "\n")
    return path


def write_amc(path: Path, frames: list[dict[str, tuple[float, ...]]]) -> Path:
    lines = ["#!OML:ASF x.asf", ":FULLY-SPECIFIED", ":DEGREES"]
    for number, frame in enumerate(frames, 1):
        lines.append(str(number))
        full = {"root": (0,) * 6} | {b[0]: (0,) * len(b[5].split()) for b in BONES if b[5]} | frame
        lines += [f"{name} {' '.join(f'{v:.6f}' for v in values)}" for name, values in full.items()]
    path.write_text("\n".join(lines) + "\n")
    return path


def reference(frame: dict[str, tuple[float, ...]]) -> dict[str, np.ndarray]:
    """Bone ends by SciPy: C M C^-1 with extrinsic x, y, z rotations."""
    root = frame.get("root", (0,) * 6)
    turns, ends = {"root": Rotation.from_euler("xyz", root[3:], degrees=True)}, {"root": np.array(root[:3])}
    for name, parent, direction, length, axis, dof in BONES:
        given = dict(zip(dof.split(), frame.get(name, ()), strict=name in frame))
        own = Rotation.from_euler("xyz", axis, degrees=True)
        turn = Rotation.from_euler("xyz", [given.get(f"r{a}", 0) for a in "xyz"], degrees=True)
        turns[name] = turns[parent] * own * turn * own.inv()
        ends[name] = ends[parent] + turns[name].apply(np.array(direction) * length)
    return ends


def test_bones_end_where_scipy_puts_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frames = [
        {b[0]: tuple(rng.uniform(-80, 80, len(b[5].split()))) for b in BONES if b[5]}
        | {"root": tuple(rng.normal(0, 30, 6))}
        for _ in range(4)
    ]
    motion = read_amc(write_amc(tmp_path / "a.amc", frames), read_asf(write_asf(tmp_path / "a.asf")))
    assert motion.xyz.shape == (4, 20, 3)
    assert motion.fps == 120
    for t, frame in enumerate(frames):
        for name, end in reference(frame).items():
            np.testing.assert_allclose(motion.xyz[t, motion.names.index(name)], end, atol=1e-4)


def test_cmu_joints_in_metres(tmp_path: Path) -> None:
    frames = [{"root": (0, 17, 0, 0, 0, 0), "lfemur": (-90, 0, 0)}] * 2
    motion = read_amc(write_amc(tmp_path / "a.amc", frames), read_asf(write_asf(tmp_path / "a.asf")), fps=60)
    clip = to_clip(motion, "01_01", "01")
    at = {name: clip.xyz_m[0, H36M17.index(name)] for name in H36M17.joints}
    assert clip.fps == 60
    right_leg = np.array([0.34, 0, -0.94])  # the right side is +x when one looks along +y
    np.testing.assert_allclose(at["right_knee"] - at["right_hip"], right_leg * 7.1 * INCH, atol=1e-5)
    assert at["left_knee"][1] - at["left_hip"][1] > 0.35  # lifted forward
    assert abs(at["left_knee"][2] - at["left_hip"][2]) < 0.06
    np.testing.assert_allclose(at["spine"] - at["pelvis"], [0, -0.9 * 0.8 * INCH, (3 + 2.4 * 0.7) * INCH], atol=1e-5)
    np.testing.assert_allclose(at["thorax"] - at["spine"], [0, 0, 4.6 * INCH], atol=1e-5)
    np.testing.assert_allclose(at["head_top"] - at["thorax"], [0, 0.2 * 3.3 * INCH, 0.98 * 3.3 * INCH], atol=1e-5)
    assert at["nose"][1] > at["head_top"][1]
    assert clip.xyz_m[..., 2].min() == pytest.approx(0.01, abs=1e-4)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (":hierarchy", ":hierachy", "it has no :hierarchy"),
        ("length 7.1", "length long", "expected numbers"),
        ("length 7.1", "length 0", "'lfemur' lacks"),
        ("axis 0 0 20  XYZ", "axis 0 0 20  XXZ", "no order of axes"),
        ("dof rx ry rz", "dof rx ry rw", "unknown channel"),
        ("    root lhipjoint", "    root lhipjoin", "the hierarchy names 'lhipjoin' wrongly"),
        ("direction 0.34 -0.94 0", "direction 0.34 -0.94", "expected three numbers, found 2"),
    ],
)
def test_a_damaged_skeleton_gives_one_clear_error(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = write_asf(tmp_path / "broken.asf")
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ValueError, match=r"broken\.asf") as caught:
        read_asf(path)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("lfemur 0.000000 0.000000 0.000000", "lfemur 0 0", "2 values of 'lfemur', which has 3 channels in a.asf"),
        ("lfemur 0.000000 0.000000 0.000000", "tail 0", "'tail', which is unknown in a.asf"),
        ("lfemur 0.000000 0.000000 0.000000", "lfemur 0 0 nan", "not finite"),
        ("lfemur 0.000000 0.000000 0.000000", "", "frame 1 has no values of 'lfemur'"),
        ("\n1\n", "\n", "there is no frame number before 'root'"),
    ],
)
def test_a_damaged_motion_gives_one_clear_error(tmp_path: Path, old: str, new: str, message: str) -> None:
    skeleton = read_asf(write_asf(tmp_path / "a.asf"))
    path = write_amc(tmp_path / "broken.amc", [{}])
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ValueError, match=r"broken\.amc") as caught:
        read_amc(path, skeleton)
    assert message in str(caught.value)
    path.write_text(":DEGREES\n")
    with pytest.raises(ValueError, match=r"broken\.amc: no frames"):
        read_amc(path, skeleton)
