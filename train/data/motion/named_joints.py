"""From a rig's joint names to H36M17 in metres, z up, standing on the floor."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engines.skeletons import H36M17
from train.data.motion.rig_motion import Double, RigMotion
from train.data.render.rotations import unit

# metres per unit of the files that are about: metres, centimetres, millimetres, inches, CMU's inches / 0.45
UNITS_M = (1.0, 0.01, 0.001, 0.0254, 0.0254 / 0.45)
LEG_M, LEG_RANGE_M = 0.83, (0.6, 1.05)  # hip to ankle along the bones
HEAD_TOP_SHARE = 0.355  # thorax to head_top, as a share of pelvis to thorax: 19 of 53.5 cm
NOSE_M = 0.115  # from the nose to thorax and to head_top
FLOOR_M = 0.01  # where the lowest point of a clip's feet comes to lie (2nd percentile)

# names without case, spaces and marks, {l} or {left} for the side. The first rig is taken whose names a file has all.
# "head" is any end of the head; "head_top" one that lies where Human3.6M's does; "midback" the end of the bone whose
# middle is the spine joint
RIGS: dict[str, dict[str, str]] = {
    "CMU ASF": {
        "hip": "{l}hipjoint", "knee": "{l}femur", "ankle": "{l}tibia", "shoulder": "{l}clavicle",
        "elbow": "{l}humerus", "wrist": "{l}wrist", "thorax": "lowerneck", "head_top": "head", "midback": "upperback",
    },
    "CMU BVH": {
        "hip": "{left}upleg", "knee": "{left}leg", "ankle": "{left}foot", "shoulder": "{left}arm",
        "elbow": "{left}forearm", "wrist": "{left}hand", "thorax": "neck1", "head_top": "headend", "midback": "spine1",
    },
    "Mixamo": {
        "hip": "{left}upleg", "knee": "{left}leg", "ankle": "{left}foot", "shoulder": "{left}arm",
        "elbow": "{left}forearm", "wrist": "{left}hand", "thorax": "neck", "head": "headtopend",
    },
    "MotionBuilder": {
        "hip": "{left}upleg", "knee": "{left}leg", "ankle": "{left}foot", "shoulder": "{left}arm",
        "elbow": "{left}forearm", "wrist": "{left}hand", "thorax": "neck", "head": "headend",
    },
    "Daz": {
        "hip": "{l}thigh", "knee": "{l}shin", "ankle": "{l}foot", "shoulder": "{l}shldr",
        "elbow": "{l}forearm", "wrist": "{l}hand", "thorax": "neck", "head": "headend",
    },
    "Biovision": {
        "hip": "{left}hip", "knee": "{left}knee", "ankle": "{left}ankle", "shoulder": "{left}shoulder",
        "elbow": "{left}elbow", "wrist": "{left}wrist", "thorax": "neck", "head": "headend",
    },
}  # fmt: skip


@dataclass(frozen=True)
class MotionClip:
    """A recording of one person.

    Attributes:
        name: Its name, unique in its data set.
        subject: Who moves; splits go by it.
        action: What is done, "" if unknown.
        fps: Frames per second.
        xyz_m: (T, 17, 3) float32 H36M17 joints in world axes, z up, the floor at 0.
    """

    name: str
    subject: str
    action: str
    fps: float
    xyz_m: npt.NDArray[np.float32]


def to_clip(
    motion: RigMotion, name: str, subject: str, action: str = "", unit_m: float | None = None, up: str = "auto"
) -> MotionClip:
    """Express a rig's motion as H36M17.

    Limb joints are the rig's. pelvis is the middle of the hips; spine lies half way along the rig's spine; head_top
    lies on the line from the neck's base to the head's end, where Human3.6M has it; nose is put in front of the two
    where the head's rotation says. For CMU's own files this is what the motion pack holds.

    Args:
        motion: What `read_bvh` or `read_amc` gave.
        name: Name of the clip.
        subject: Whose motion it is.
        action: What is done.
        unit_m: Metres per unit of the file; None to guess it from the length of the legs.
        up: Axis of the file that points up: "x", "y", "z", or "auto": the one along which the body stretches.

    Raises:
        ValueError: If the joint names belong to no known rig, or the unit cannot be guessed.
    """
    rows = rig_rows(motion)
    scale = unit_m if unit_m is not None else _unit(motion, rows)
    hips = [rows["right_hip"], rows["left_hip"]]
    upright = upright_axes(motion.xyz[:, rows["thorax"]] - motion.xyz[:, hips].mean(1), up, str(motion.source))
    xyz_m = motion.xyz @ upright.T * scale
    rest_m = motion.rest @ upright.T * scale
    forward = np.cross(rest_m[rows["thorax"]] - rest_m[hips].mean(0), rest_m[hips[0]] - rest_m[hips[1]])
    head = rows.get("head", rows.get("head_top", -1))
    face = upright @ motion.turns[:, head] @ upright.T @ unit(forward)
    out = np.zeros((len(xyz_m), 17, 3))
    for joint, row in rows.items():
        if joint in H36M17.joints:
            out[:, H36M17.index(joint)] = xyz_m[:, row]
    out[:, H36M17.index("pelvis")] = xyz_m[:, hips].mean(1)
    out[:, H36M17.index("spine")] = _spine(motion, xyz_m, rows, rest_m)
    thorax, head_top = xyz_m[:, rows["thorax"]], xyz_m[:, head]
    if "head_top" not in rows:
        trunk = np.linalg.norm(rest_m[rows["thorax"]] - rest_m[hips].mean(0))
        head_top = thorax + HEAD_TOP_SHARE * trunk * unit(head_top - thorax)
    out[:, H36M17.index("head_top")] = head_top
    out[:, H36M17.index("nose")] = nose(thorax, head_top, face)
    out[..., 2] += FLOOR_M - np.percentile(xyz_m[..., 2].min(1), 2)
    return MotionClip(name, subject, action, motion.fps, out.astype(np.float32))


def rig_rows(motion: RigMotion) -> dict[str, int]:
    """Return the rows of the joints: H36M17's limbs, "thorax", "head" or "head_top", perhaps "midback".

    Raises:
        ValueError: If the names belong to no known rig.
    """
    plain = [re.sub(r"[^a-z0-9]", "", re.sub(r"^mixamorig\d*", "", n.lower().split(":")[-1])) for n in motion.names]
    for rig in RIGS.values():
        rows = _match(rig, plain)
        if rows is not None:
            return rows
    shown = ", ".join(motion.names[:40])
    raise ValueError(f"{motion.source}: joint names of no known rig ({', '.join(RIGS)}): {shown}")


def upright_axes(along: Double, up: str = "auto", source: str = "") -> Double:
    """Return the rotation (3, 3) that makes an axis of a file the world's z; of y-up files, z becomes the world's y.

    Args:
        along: (T, 3) a direction in the body that mostly points up.
        up: "x", "y" or "z"; "auto" for the axis (either way round) nearest to the mean of `along`.
        source: The file, for the message.

    Raises:
        ValueError: If `up` is none of them.
    """
    if up not in ("auto", "x", "y", "z"):
        raise ValueError(f"{source}: up must be x, y, z or auto, not {up!r}")
    mean = along.mean(0)
    axis = int(np.abs(mean).argmax()) if up == "auto" else "xyz".index(up)
    sign = -1.0 if up == "auto" and mean[axis] < 0 else 1.0
    z = sign * np.eye(3)[axis]
    x = np.eye(3)[1] if axis == 0 else np.eye(3)[0] * (-sign if axis == 1 else 1)
    return np.stack([x, np.cross(z, x), z])


def nose(thorax: Double, head_top: Double, face: Double) -> Double:
    """Return the nose (T, 3): as far from thorax as from head_top, on the side of the face; metres."""
    middle, line = (thorax + head_top) / 2, head_top - thorax
    half = np.linalg.norm(line, axis=-1, keepdims=True) / 2
    along = unit(line)
    ahead = unit(face - (face * along).sum(-1, keepdims=True) * along)
    return middle + ahead * np.sqrt(np.maximum(NOSE_M**2 - half**2, 0))


def _match(rig: dict[str, str], names: list[str]) -> dict[str, int] | None:
    """Return the rows of a rig's joints, None if some are not there."""
    wanted: dict[str, str] = {}
    for joint, pattern in rig.items():
        sides = ("left", "right") if "{" in pattern else ("",)
        for side in sides:
            wanted[f"{side}_{joint}".strip("_")] = pattern.format(l=side[:1], left=side)
    if any(name not in names for name in wanted.values()):
        return None
    return {joint: names.index(name) for joint, name in wanted.items()}


def _unit(motion: RigMotion, rows: dict[str, int]) -> float:
    """Guess metres per unit: the known unit that makes the legs most nearly as long as legs are."""
    leg = 0.0
    for side in ("left", "right"):
        hip, knee, ankle = (motion.rest[rows[f"{side}_{joint}"]] for joint in ("hip", "knee", "ankle"))
        leg += (np.linalg.norm(hip - knee) + np.linalg.norm(knee - ankle)) / 2
    best = min(UNITS_M, key=lambda unit_m: abs(np.log(max(leg, 1e-9) * unit_m / LEG_M)))
    if not LEG_RANGE_M[0] <= leg * best <= LEG_RANGE_M[1]:
        raise ValueError(f"{motion.source}: legs of {leg:.4g} units fit no usual unit; give the metres per unit")
    return best


def _spine(motion: RigMotion, xyz_m: Double, rows: dict[str, int], rest_m: Double) -> Double:
    """Return the middle of the "midback" bone, else of the chain of joints from between the hips to the thorax."""
    if "midback" in rows:
        return xyz_m[:, [rows["midback"], motion.parents[rows["midback"]]]].mean(1)
    chain = [rows["thorax"]]
    while motion.parents[motion.parents[chain[0]]] >= 0:
        chain.insert(0, motion.parents[chain[0]])
    hips = [rows["right_hip"], rows["left_hip"]]
    points = np.concatenate([xyz_m[:, hips].mean(1)[:, None], xyz_m[:, chain]], 1)
    lengths = np.linalg.norm(np.diff(np.concatenate([rest_m[hips].mean(0)[None], rest_m[chain]]), axis=0), axis=-1)
    ends = np.cumsum(lengths)
    piece = int(np.searchsorted(ends, ends[-1] / 2))
    share = 1 - (ends[piece] - ends[-1] / 2) / lengths[piece]
    return points[:, piece] * (1 - share) + points[:, piece + 1] * share
