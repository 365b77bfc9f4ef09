"""BVH motion capture (Biovision hierarchy): parsed and put through forward kinematics.

A joint's rotation channels are multiplied in the order in which the file lists them. Position channels take the place
of the joint's offset: exporters that give every joint six channels, and roots with an offset, repeat the offset there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from train.data.motion.rig_motion import AXES, Double, RigMotion, euler, numbers

POSITIONS = tuple(f"{axis}position" for axis in AXES)
ROTATIONS = tuple(f"{axis}rotation" for axis in AXES)


@dataclass
class _Joint:
    name: str
    parent: int
    offset: list[float] = field(default_factory=list)
    channels: list[str] = field(default_factory=list)


@dataclass
class _Words:
    """The lines of a file as lists of words, read one after the other."""

    path: Path
    lines: list[list[str]]
    at: int = 0

    @property
    def where(self) -> str:
        """File and number of the line read last."""
        return f"{self.path}, line {self.at}"

    def next(self) -> list[str]:
        """Return the words of the next line that is not empty.

        Raises:
            ValueError: At the end of the file.
        """
        while self.at < len(self.lines):
            self.at += 1
            if self.lines[self.at - 1]:
                return self.lines[self.at - 1]
        raise ValueError(f"{self.path}: the file ends too early")

    def expect(self, *start: str) -> list[str]:
        """Return the words behind a line's fixed beginning.

        Raises:
            ValueError: If the line does not begin so.
        """
        words = self.next()
        if [w.upper() for w in words[: len(start)]] != [s.upper() for s in start]:
            raise ValueError(f"{self.where}: expected {' '.join(start)!r}, found {' '.join(words)[:80]!r}")
        return words[len(start) :]


def read_bvh(path: Path) -> RigMotion:
    """Read a BVH file.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is not BVH, or damaged; the message names the file, the line and what is wrong.
    """
    lines = [line.split() for line in path.read_text(encoding="utf-8-sig", errors="replace").splitlines()]
    words = _Words(path, lines)
    words.expect("HIERARCHY")
    joints = _hierarchy(words)
    count, seconds = _header(words)
    width = sum(len(j.channels) for j in joints)
    rows = [row for row in lines[words.at :] if row]
    if len(rows) < count:
        raise ValueError(f"{path}: {count} frames are announced, {len(rows)} are there")
    values = np.empty((count, width))
    for t, row in enumerate(rows[:count]):
        if len(row) != width:
            raise ValueError(f"{path}, frame {t}: {len(row)} values, but the hierarchy has {width} channels")
        values[t] = numbers(row, f"{path}, frame {t}")
    return _kinematics(path, joints, values, 1 / seconds)


def _header(words: _Words) -> tuple[int, float]:
    """Return the number of frames and the seconds from one to the next."""
    if words.next()[0].upper() != "MOTION":
        raise ValueError(f"{words.where}: expected 'MOTION'")
    (count,) = numbers(words.expect("Frames:")[:1] or [""], words.where)
    (seconds,) = numbers(words.expect("Frame", "Time:")[:1] or [""], words.where)
    if count < 1 or count != int(count) or seconds <= 0:
        raise ValueError(f"{words.where}: {count:g} frames of {seconds:g} s cannot be")
    return int(count), seconds


def _hierarchy(words: _Words) -> list[_Joint]:
    """Read the joints up to the brace that closes the root, parents before children."""
    joints = [_Joint(" ".join(words.expect("ROOT")) or "root", -1)]
    words.expect("{")
    open_joints = [0]
    while open_joints:
        row = words.next()
        kind, joint = row[0].upper(), joints[open_joints[-1]]
        if kind == "OFFSET":
            joint.offset = numbers(row[1:], words.where)
        elif kind == "CHANNELS":
            joint.channels = _channels(row, words.where)
        elif kind in ("JOINT", "END"):
            name = f"{joint.name}_end" if kind == "END" else " ".join(row[1:])
            joints.append(_Joint(name, open_joints[-1]))
            words.expect("{")
            open_joints.append(len(joints) - 1)
        elif kind == "}":
            if len(joint.offset) != 3:
                raise ValueError(f"{words.where}: joint {joint.name!r} has no OFFSET of three numbers")
            open_joints.pop()
        else:
            raise ValueError(f"{words.where}: unknown entry {row[0]!r} in the hierarchy")
    return joints


def _channels(row: list[str], where: str) -> list[str]:
    known = {name.upper(): name for name in POSITIONS + ROTATIONS}
    unknown = [name for name in row[2:] if name.upper() not in known]
    if unknown or len(row) < 2 or row[1] != str(len(row) - 2):
        raise ValueError(f"{where}: bad list of channels {' '.join(row)!r}")
    return [known[name.upper()] for name in row[2:]]


def _kinematics(path: Path, joints: list[_Joint], values: Double, fps: float) -> RigMotion:
    xyz = np.zeros((len(values), len(joints), 3))
    turns = np.broadcast_to(np.eye(3), (*xyz.shape, 3)).copy()
    rest, column = np.zeros((len(joints), 3)), 0
    for number, joint in enumerate(joints):
        given = values[:, column : column + len(joint.channels)]
        column += len(joint.channels)
        local = np.repeat(np.array([joint.offset]), len(values), 0)
        for c, name in enumerate(joint.channels):
            if name in POSITIONS:
                local[:, POSITIONS.index(name)] = given[:, c]
        spun = [c for c, name in enumerate(joint.channels) if name in ROTATIONS]
        turn = euler("".join(joint.channels[c][0] for c in spun), given[:, spun])
        if joint.parent < 0:
            xyz[:, number], turns[:, number], rest[number] = local, turn, joint.offset
            continue
        above = turns[:, joint.parent]
        xyz[:, number] = xyz[:, joint.parent] + np.einsum("tij,tj->ti", above, local)
        turns[:, number] = above @ turn
        rest[number] = rest[joint.parent] + joint.offset
    return RigMotion(path, tuple(j.name for j in joints), tuple(j.parent for j in joints), xyz, turns, rest, fps)
