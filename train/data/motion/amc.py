"""Acclaim motion capture: a skeleton (ASF) and motions of it (AMC), as the CMU database gives them.

Every bone is a joint here, lying at the bone's end; the root lies where the skeleton begins. A bone's rotation is
C M C^-1: C turns the bone's own axes into the skeleton's, M is the motion (Lander, "Working with Motion Capture File
Formats", 1998). Rotations that are named X, Y, Z in a file are applied in that order, so they multiply as Rz Ry Rx.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from train.data.motion.rig_motion import AXES, Double, RigMotion, euler, numbers

CMU_FPS = 120.0  # AMC files do not say


@dataclass
class Bone:
    """One bone of an ASF file.

    Attributes:
        offset: From its beginning to its end in the rest pose, in the file's unit.
        axis: Letters and degrees that turn the bone's axes into the skeleton's.
        dof: What an AMC file gives for it: "rx", "ry", "rz" (also "tx", "ty", "tz" for the root), in order.
        parent: Name of the bone that it hangs on.
    """

    offset: Double = field(default_factory=lambda: np.zeros(3))
    axis: tuple[str, Double] = field(default_factory=lambda: (AXES, np.zeros(3)))
    dof: tuple[str, ...] = ()
    parent: str = ""


@dataclass
class Skeleton:
    """An ASF file: bones by name, parents before children; "root" is the first."""

    path: Path
    bones: dict[str, Bone]
    degrees: bool = True


def read_asf(path: Path) -> Skeleton:
    """Read an ASF file.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is not ASF, or damaged; the message names the file and what is wrong.
    """
    sections: dict[str, list[tuple[str, list[str]]]] = {}
    name = ""
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        words = line.partition("#")[0].split()
        if words and words[0].startswith(":"):
            name = words[0].lower()
            sections[name] = []
        elif words and name:
            sections[name].append((f"{path}, line {number}", words))
    missing = [s for s in (":root", ":bonedata", ":hierarchy") if s not in sections]
    if missing:
        raise ValueError(f"{path}: not an ASF file, it has no {' '.join(missing)}")
    units = {words[0].lower(): words[1:] for _, words in sections.get(":units", []) if len(words) > 1}
    degrees = units.get("angle", ["deg"])[0].lower().startswith("deg")
    bones = {"root": _root(sections[":root"]), **_bones(sections[":bonedata"], degrees)}
    return Skeleton(path, _hung(path, bones, sections[":hierarchy"]), degrees)


def read_amc(path: Path, skeleton: Skeleton, fps: float = CMU_FPS) -> RigMotion:
    """Read an AMC file of a skeleton.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is not AMC, damaged, or of another skeleton; the message names the file and what is wrong.
    """
    frames: list[dict[str, list[float]]] = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words or words[0].startswith(":"):
            continue
        where = f"{path}, line {number}"
        if len(words) == 1 and words[0].isdigit():
            frames.append({})
            continue
        if not frames:
            raise ValueError(f"{where}: not an AMC file, there is no frame number before {words[0]!r}")
        bone = skeleton.bones.get(words[0])
        if bone is None or len(bone.dof) != len(words) - 1:
            said = f"has {len(bone.dof)} channels" if bone else "is unknown"
            raise ValueError(f"{where}: {len(words) - 1} values of {words[0]!r}, which {said} in {skeleton.path.name}")
        frames[-1][words[0]] = numbers(words[1:], where)
    if not frames:
        raise ValueError(f"{path}: no frames")
    return _kinematics(path, skeleton, frames, fps)


def _root(rows: list[tuple[str, list[str]]]) -> Bone:
    bone = Bone()
    for where, (key, *words) in rows:
        if key.lower() == "order":
            bone.dof = _dof(words, where)
        elif key.lower() == "axis":
            bone.axis = (_letters("".join(words), where), np.zeros(3))
        elif key.lower() in ("position", "orientation") and any(numbers(words, where)):
            raise ValueError(f"{where}: a root whose {key} is not zero is not supported")
    return bone


def _bones(rows: list[tuple[str, list[str]]], degrees: bool) -> dict[str, Bone]:
    bones: dict[str, Bone] = {}
    name, bone, direction, length = "", Bone(), np.zeros(3), 0.0
    for where, (key, *words) in rows:
        if key == "begin":
            name, bone, direction, length = "", Bone(), np.zeros(3), 0.0
        elif key == "name":
            name = " ".join(words)
        elif key == "direction":
            direction = _three(words, where)
        elif key == "length":
            (length,) = numbers(words, where)
        elif key == "axis":
            angles = _three(words[:3], where)
            bone.axis = (_letters("".join(words[3:]) or AXES, where), angles if degrees else np.degrees(angles))
        elif key == "dof":
            bone.dof = _dof(words, where)
        elif key == "end":
            if not name or not length or not direction.any():
                raise ValueError(f"{where}: bone {name!r} lacks a name, direction or length")
            bone.offset = direction * length
            bones[name] = bone
    return bones


def _hung(path: Path, bones: dict[str, Bone], rows: list[tuple[str, list[str]]]) -> dict[str, Bone]:
    """Return the bones of the hierarchy, parents first."""
    order = ["root"]
    for where, (parent, *children) in rows:
        if parent in ("begin", "end") and not children:
            continue
        unknown = [b for b in (parent, *children) if b not in bones]
        if unknown or parent not in order or any(c in order for c in children):
            raise ValueError(f"{where}: the hierarchy names {' '.join(unknown) or parent!r} wrongly")
        for child in children:
            bones[child].parent = parent
        order += children
    if len(order) == 1:
        raise ValueError(f"{path}: the hierarchy is empty")
    return {name: bones[name] for name in order}


def _kinematics(path: Path, skeleton: Skeleton, frames: list[dict[str, list[float]]], fps: float) -> RigMotion:
    names = list(skeleton.bones)
    xyz = np.zeros((len(frames), len(names), 3))
    turns = np.broadcast_to(np.eye(3), (*xyz.shape, 3)).copy()
    rest = np.zeros((len(names), 3))
    for number, (name, bone) in enumerate(skeleton.bones.items()):
        moved, turned = _motion(path, name, bone, frames, skeleton.degrees)
        if not bone.parent:
            xyz[:, number], turns[:, number] = moved, turned
            continue
        parent = names.index(bone.parent)
        turns[:, number] = turns[:, parent] @ turned
        xyz[:, number] = xyz[:, parent] + np.einsum("tij,j->ti", turns[:, number], bone.offset)
        rest[number] = rest[parent] + bone.offset
    parents = tuple(names.index(b.parent) if b.parent else -1 for b in skeleton.bones.values())
    return RigMotion(path, tuple(names), parents, xyz, turns, rest, fps)


def _motion(
    path: Path, name: str, bone: Bone, frames: list[dict[str, list[float]]], degrees: bool
) -> tuple[Double, Double]:
    """Return a bone's translations (T, 3) and its rotations (T, 3, 3) relative to its parent."""
    moved, angles = np.zeros((len(frames), 3)), np.zeros((len(frames), 3))
    if bone.dof:
        absent = next((t for t, frame in enumerate(frames, 1) if name not in frame), None)
        if absent:
            raise ValueError(f"{path}: frame {absent} has no values of {name!r}")
        values = np.array([frame[name] for frame in frames])
        for column, dof in enumerate(bone.dof):
            if dof[0] in "tr":
                (moved if dof[0] == "t" else angles)[:, "xyz".index(dof[1])] = values[:, column]
    letters, own = bone.axis
    backwards = letters[::-1]
    order = [AXES.index(letter) for letter in backwards]
    own_axes = euler(backwards, own[::-1])  # the angles of "axis" come in the order of its letters
    turned = euler(backwards, (angles if degrees else np.degrees(angles))[:, order])
    return moved, own_axes @ turned @ own_axes.T


def _three(words: list[str], where: str) -> Double:
    values = numbers(words, where)
    if len(values) != 3:
        raise ValueError(f"{where}: expected three numbers, found {len(values)}")
    return np.array(values)


def _letters(text: str, where: str) -> str:
    if sorted(text.upper()) != list(AXES):
        raise ValueError(f"{where}: {text!r} is no order of axes")
    return text.upper()


def _dof(words: list[str], where: str) -> tuple[str, ...]:
    known = {f"{kind}{axis}" for kind in "tr" for axis in "xyz"} | {"l"}
    if any(w.lower() not in known for w in words):
        raise ValueError(f"{where}: unknown channel in {' '.join(words)!r}")
    return tuple(w.lower() for w in words)
