"""Poses for rendering: everyday moments of the motion pack, mixed upper and lower bodies, people sitting."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from train.data.render.retarget import ARM, LEG, FlatFoot, flat_feet, to_body_axes
from train.data.render.rotations import Array, frame, smoothstep, swing, turn, unit

# Share of the pictures by what an action's name contains; the first match counts.
SHARES = (
    ("playground", 0.02), ("uneven", 0.03), ("walk", 0.3), ("navigate", 0.02), ("idle", 0.2), ("salsa", 0.1),
    ("dance", 0.06), ("karate", 0.06), ("basketball", 0.05), ("soccer", 0.04), ("run", 0.03), ("cartwheel", 0.01),
    ("", 0.08),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Clip:
    """One piece of mocap.

    Attributes:
        name, action, rig: As in the pack.
        xyz_m: (T, 21, 3) float64, body axes (y up), world.
        fps: Frames per second.
        flat: Foot angles on flat floor.
        clear_m: (T,) height of the lowest foot above where it usually stands.
    """

    name: str
    action: str
    rig: str
    xyz_m: Array
    fps: float
    flat: FlatFoot
    clear_m: Array


def _clearance(xyz: Array) -> Array:
    feet = xyz[:, [3, 17, 6, 18], 1]
    return np.maximum((feet - np.percentile(feet, 5, axis=0)).min(1), 0.0)


class Motions:
    """The motion pack, read once; clips by name or drawn by `SHARES`."""

    def __init__(self, path: Path, split: str = "train") -> None:
        """Read the pack.

        Args:
            path: motion.npz.
            split: "train" or "val".

        Raises:
            FileNotFoundError: If there is no such file.
        """
        pack = np.load(path)
        self._root, self._joints, self._start = pack["root_m"], pack["joints_mm10"], pack["clip_start"]
        self._facts = [[str(v) for v in pack[key]] for key in ("clip_name", "action", "rig")]
        self._fps = pack["fps"]
        self.clips = [i for i, s in enumerate(pack["split"]) if str(s) == split]
        lengths = np.diff(self._start) / self._fps
        kinds = [next(k for k, (word, _) in enumerate(SHARES) if word in self._facts[1][i].lower()) for i in self.clips]
        total = np.bincount(kinds, lengths[self.clips], len(SHARES))
        weight = np.array([SHARES[k][1] * lengths[i] / total[k] for i, k in zip(self.clips, kinds, strict=True)])
        self._weight = weight / weight.sum()
        self._cache: dict[int, Clip] = {}

    def clip(self, index: int) -> Clip:
        """Return the clip with this number in the pack."""
        if index not in self._cache:
            a, b = self._start[index], self._start[index + 1]
            xyz = to_body_axes(self._root[a:b, None] + self._joints[a:b] * np.float32(1e-4))
            name, action, rig = (rows[index] for rows in self._facts)
            self._cache[index] = Clip(name, action, rig, xyz, float(self._fps[index]), flat_feet(xyz), _clearance(xyz))
        return self._cache[index]

    def named(self, name: str) -> Clip:
        """Return a clip of either split by its name.

        Raises:
            ValueError: If the pack has no such clip.
        """
        if name not in self._facts[0]:
            raise ValueError(f"no clip {name!r} in the motion pack")
        return self.clip(self._facts[0].index(name))

    def draw(self, rng: np.random.Generator) -> Clip:
        """Pick a clip of the split."""
        return self.clip(int(rng.choice(self.clips, p=self._weight)))


@dataclass(frozen=True, slots=True)
class Moment:
    """A few frames to be posed together.

    Attributes:
        xyz_m: (T, 21, 3) body axes, the pelvis of the middle frame over the origin.
        flat: Foot angles on flat floor.
        clear_m: Height of the lowest foot in the middle frame.
        seated: Sits; something to sit on should be put below.
    """

    xyz_m: Array
    flat: FlatFoot
    clear_m: float
    seated: bool


def swap_arms(xyz: Array, other: Array) -> Array:
    """Give the first pose (T, 21, 3) the arms of the second, carried over with the chest."""
    out = xyz.copy()
    chests = [frame(x[:, 11] - x[:, 14], x[:, 8] - x[:, 7]) for x in (xyz, other)]
    carry = chests[0] @ np.swapaxes(chests[1], -1, -2)
    for shoulder, elbow, wrist in ARM.values():
        tip = 19 if shoulder == 14 else 20
        for a, b in ((shoulder, elbow), (elbow, wrist), (wrist, tip)):
            out[:, b] = out[:, a] + np.einsum("tij,tj->ti", carry, other[:, b] - other[:, a])
    return out


def sit_down(xyz: Array, rng: np.random.Generator) -> Array:
    """Bend the legs of a standing pose (T, 21, 3) as on a chair; the lengths stay."""
    out = xyz.copy()
    left = unit((xyz[:, 4] - xyz[:, 1]) * [1, 0, 1])
    ahead = np.cross(left, np.array([0.0, 1, 0]))
    for side, sign in (("R", -1), ("L", 1)):
        hip, knee, ankle, toe = LEG[side]
        spread, drop, swingback = rng.uniform(-0.05, 0.35), rng.uniform(-0.1, 0.25), rng.uniform(-0.35, 0.5)
        thigh = unit(ahead + sign * spread * left - drop * np.array([0, 1, 0]))
        shin = unit(np.array([0.0, -1, 0]) + swingback * -ahead + sign * rng.uniform(-0.1, 0.1) * left)
        foot = unit(ahead + sign * rng.uniform(0, 0.4) * left - 0.18 * np.array([0, 1, 0]))
        for a, b, d in ((hip, knee, thigh), (knee, ankle, shin), (ankle, toe, foot)):
            out[:, b] = out[:, a] + d * np.linalg.norm(xyz[:, b] - xyz[:, a], axis=-1, keepdims=True)
    return out


def wave_arm(xyz: Array, rng: np.random.Generator) -> Array:
    """Turn one arm (T, 21, 3) to a random direction with a random bend: gestures the clips lack."""
    out = xyz.copy()
    side = "RL"[int(rng.integers(2))]
    shoulder, elbow, wrist = ARM[side]
    tip = 19 if side == "R" else 20
    chest = frame(xyz[:, 8] - xyz[:, 7], xyz[:, 11] - xyz[:, 14])  # its columns: left, up, ahead
    out_of_side = -1.0 if side == "R" else 1.0
    aim = unit(np.array([out_of_side * rng.uniform(-0.2, 1.0), rng.uniform(-1, 1), rng.uniform(-0.2, 1.0)]))
    fore = swing(np.array([0.0, -1, 0]), aim) @ turn(np.array([0.0, 1, 0]), rng.uniform(-0.6, 0.6))
    bent = fore @ turn(np.array([1.0, 0, 0]), -rng.uniform(0, 2.3)) @ np.array([0.0, -1, 0])
    for a, b, d in ((shoulder, elbow, aim), (elbow, wrist, bent), (wrist, tip, bent)):
        out[:, b] = out[:, a] + chest @ d * np.linalg.norm(xyz[:, b] - xyz[:, a], axis=-1, keepdims=True)
    return out


def greet(xyz: Array, fps: float, start_s: float, stop_s: float, side: str = "R") -> Array:
    """Let someone (T, 21, 3) wave a hand between two times, easing in and out of the mocap's arm."""
    out = xyz.copy()
    shoulder, elbow, wrist = ARM[side]
    tip, outward = (19, -1.0) if side == "R" else (20, 1.0)
    now = np.arange(len(xyz)) / fps
    share = smoothstep(now, start_s, start_s + 0.7) * (1 - smoothstep(now, stop_s - 0.8, stop_s))
    chest = frame(xyz[:, 8] - xyz[:, 7], xyz[:, 11] - xyz[:, 14])  # its columns: left, up, ahead
    sway = 0.4 * np.sin(2 * np.pi * 1.7 * (now - start_s)) + 0.3
    upper = np.broadcast_to(unit(np.array([0.9 * outward, -0.25, 0.25])), (len(xyz), 3))
    fore = unit(np.stack([outward * np.sin(sway), np.cos(sway), np.full(len(xyz), 0.25)], -1))
    for a, b, aim in ((shoulder, elbow, upper), (elbow, wrist, fore), (wrist, tip, fore)):
        own = xyz[:, b] - xyz[:, a]
        target = np.einsum("tij,tj->ti", chest, aim)
        axis = np.cross(unit(own), target)
        angle = np.arctan2(np.linalg.norm(axis, axis=-1), (unit(own) * target).sum(-1))
        out[:, b] = out[:, a] + np.einsum("tij,tj->ti", turn(axis, angle * share), own)
    return out


def moment(motions: Motions, rng: np.random.Generator, frames: int = 1, step_s: float = 0.02) -> Moment:
    """Draw a random moment: `frames` poses `step_s` apart."""
    clip = motions.draw(rng)
    step = max(1, round(step_s * clip.fps)) if frames > 1 else 1
    middle = int(rng.integers(len(clip.xyz_m)))
    rows = np.clip(middle + step * (np.arange(frames) - frames // 2), 0, len(clip.xyz_m) - 1)
    xyz = clip.xyz_m[rows].copy()
    calm = clip.rig == "reactidle"
    seated = calm and rng.random() < 0.25
    if seated:
        xyz = sit_down(xyz, rng)
    if rng.random() < (0.35 if calm else 0.12):
        other = motions.draw(rng)
        start = int(rng.integers(len(other.xyz_m)))
        xyz = swap_arms(xyz, other.xyz_m[np.minimum(start + step * np.arange(frames), len(other.xyz_m) - 1)])
    elif rng.random() < 0.15:
        xyz = wave_arm(xyz, rng)
    xyz -= xyz[frames // 2, 0] * np.array([1.0, 0, 1.0])
    return Moment(xyz, clip.flat, float(clip.clear_m[middle]), seated)


def facing(xyz: npt.NDArray[np.floating]) -> float:
    """Compass direction (radians, 0 along +z, growing towards +x) in which a pose (J, 3) looks."""
    left = xyz[4] - xyz[1]
    return float(np.arctan2(-left[2], left[0]))
