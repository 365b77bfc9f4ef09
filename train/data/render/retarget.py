"""Mocap joints -> bone rotations of the body, and the body's own joints in every pose.

The direction of each limb is taken from the mocap; the roll about it from the bending plane of knee or elbow (and,
for straight limbs, from feet, hips and the untwisted arm). Trunk and head turn as rigid frames, spread over the spine.
World axes are those of the body: y up, metres; the mocap's (x, y, z up) becomes (x, z, -y).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from train.data.render.body import BODY_VERTICES, Body
from train.data.render.meshes import Floats
from train.data.render.rotations import Array, blend, frame, smoothstep, swing, turn, unit

# Joint numbers of the motion pack (the first 17 are H36M17).
PELVIS, SPINE, THORAX, NOSE, HEAD_TOP = 0, 7, 8, 9, 10
LEG = {"R": (1, 2, 3, 17), "L": (4, 5, 6, 18)}
ARM = {"L": (11, 12, 13), "R": (14, 15, 16)}
# Where people stand straight, these lines of the pack lean forward by so much (means over its walking clips).
LEAN_DEG = {"pelvis": -5.0, "chest": 1.0, "head": 4.0}
THORAX_ABOVE_SHOULDERS = 0.7  # share of the way from the middle of the shoulder joints to the first neck bone
HEAD_TOP_SHARE = 0.75  # of the way from thorax to crown (engines.skeletons.CROWN_TO_HEAD_TOP)


def to_body_axes(xyz_m: npt.NDArray[np.floating]) -> Array:
    """Turn the motion pack's axes (z up) into the body's (y up)."""
    return np.stack([xyz_m[..., 0], xyz_m[..., 2], -xyz_m[..., 1]], -1).astype(np.float64)


@dataclass(frozen=True, slots=True)
class Rest:
    """A shaped body's rest pose.

    Attributes:
        head: (163, 3) bone heads, metres.
        joints: (19, 3) H36M17 joints and the right and left toe tip.
        nose, crown: (3,) points that move with the head bone.
        soles: (S, 3) lowest points of the feet; sole_bone (S,) the bone each moves with.
    """

    head: Array
    joints: Array
    nose: Array
    crown: Array
    soles: Array
    sole_bone: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Posed:
    """Bones in T poses, world axes.

    Attributes:
        rotation: (T, 163, 3, 3) world rotation of each bone.
        head_m: (T, 163, 3) position of each bone's head.
    """

    rotation: Array
    head_m: Array

    def offset(self, rest: Rest, shift_m: Array, t: int) -> tuple[Floats, Floats]:
        """Rotation (163, 3, 3) and offset (163, 3) of frame t, moved by shift_m, for `meshes.skin`."""
        turned = np.einsum("bij,bj->bi", self.rotation[t], rest.head)
        return self.rotation[t].astype(np.float32), (self.head_m[t] - turned + shift_m).astype(np.float32)


def rest_of(body: Body, vertices_m: Floats) -> Rest:
    """Find the joints of a shaped rest mesh."""
    head, tail = (a.astype(np.float64) for a in body.joints(vertices_m))
    skin_m = vertices_m[:BODY_VERTICES].astype(np.float64)
    above = skin_m[:, 1] > head[body.bone["head"], 1] - 0.02
    face = np.where(above & (np.abs(skin_m[:, 0]) < 0.006) & (skin_m[:, 1] < head[body.bone["eye.L"], 1]))[0]
    nose = skin_m[face[skin_m[face, 2].argmax()]]
    crown = np.array([0.0, skin_m[:, 1].max(), head[body.bone["head"], 2]])
    low = np.where(skin_m[:, 1] < 0.012)[0]
    dominant = body.skin_bone[low, body.skin_weight[low].argmax(1)]
    heads = Posed(np.broadcast_to(np.eye(3), (1, len(head), 3, 3)), head[None])
    empty = np.zeros((0, 3))
    rest = Rest(head, np.zeros((19, 3)), nose, crown, empty, np.zeros(0, np.int64))
    toes = np.stack([tail[body.bone[f"toe1-2.{side}"]] for side in "RL"])
    joints = np.concatenate([joints_of(body, rest, heads)[0], toes])
    return Rest(head, joints, nose, crown, skin_m[low], dominant.astype(np.int64))


def _attached(rest: Rest, posed: Posed, bone: int, point: Array) -> Array:
    """(T, 3) positions of a rest point that moves with one bone."""
    return posed.head_m[:, bone] + (posed.rotation[:, bone] @ (point - rest.head[bone])[:, None])[..., 0]


def joints_of(body: Body, rest: Rest, posed: Posed) -> Array:
    """H36M17 joints (T, 17, 3) of the posed body: hips, knees ... as bone heads; nose is the tip of the drawn nose."""
    at = {name: posed.head_m[:, i] for name, i in body.bone.items()}
    shoulders = (at["upperarm01.L"] + at["upperarm01.R"]) / 2
    thorax = shoulders + THORAX_ABOVE_SHOULDERS * (at["neck01"] - shoulders)
    pelvis = (at["upperleg01.L"] + at["upperleg01.R"]) / 2
    curve = at["spine02"] + (at["spine01"] - at["spine02"]) / 3
    spine = (curve + (pelvis + thorax) / 2) / 2
    skull = body.bone["head"]
    crown = _attached(rest, posed, skull, rest.crown)
    chain = ("upperleg01", "lowerleg01", "foot"), ("upperarm01", "lowerarm01", "wrist")
    right_leg, left_leg = ([at[f"{b}.{s}"] for b in chain[0]] for s in "RL")
    right_arm, left_arm = ([at[f"{b}.{s}"] for b in chain[1]] for s in "RL")
    top = thorax + HEAD_TOP_SHARE * (crown - thorax)
    nose = _attached(rest, posed, skull, rest.nose)
    return np.stack([pelvis, *right_leg, *left_leg, spine, thorax, nose, top, *left_arm, *right_arm], 1)


def soles_of(rest: Rest, posed: Posed) -> Array:
    """(T, S, 3) lowest points of the posed feet."""
    local = rest.soles - rest.head[rest.sole_bone]
    return posed.head_m[:, rest.sole_bone] + np.einsum("tsij,sj->tsi", posed.rotation[:, rest.sole_bone], local)


@dataclass(frozen=True, slots=True)
class FlatFoot:
    """Per foot (R, L): how far the line from ankle to toe tip points down (radians) when the sole is on the floor."""

    down: tuple[float, float]


def flat_feet(xyz: Array) -> FlatFoot:
    """Measure a clip (T, 21, 3) in body axes: the median over the frames with the lowest ankles."""
    down = []
    for ankle, toe in ((3, 17), (6, 18)):
        low = xyz[:, ankle, 1] <= np.percentile(xyz[:, ankle, 1], 25)
        step = unit(xyz[low, toe] - xyz[low, ankle])
        down.append(float(np.median(np.arcsin(np.clip(-step[:, 1], -1, 1)))))
    return FlatFoot((down[0], down[1]))


def _knee_axis(x: Array, hip: int, knee: int, ankle: int, toe: int) -> Array:
    """(T, 3) axis about which the knee bends, pointing to the person's left."""
    thigh, shin = unit(x[:, knee] - x[:, hip]), unit(x[:, ankle] - x[:, knee])
    left = unit(x[:, 4] - x[:, 1])
    guess = unit(unit(np.cross(unit(x[:, toe] - x[:, ankle]), shin)) + left)
    bend = np.cross(thigh, shin)
    agrees = (unit(bend) * guess).sum(-1)
    share = smoothstep(np.linalg.norm(bend, axis=-1), 0.15, 0.5) * smoothstep(agrees, 0.0, 0.5)
    return unit(guess + share[:, None] * (unit(bend) - guess))


def _leaning(degrees: float) -> Array:
    angle = np.radians(degrees)
    return np.array([0.0, np.cos(angle), np.sin(angle)])


class Retargeter:
    """Poses one shaped body like mocap clips."""

    def __init__(self, body: Body, vertices_m: Floats) -> None:
        self.body, self.rest = body, rest_of(body, vertices_m)

    def pose(self, xyz: Array, flat: FlatFoot, pronation: tuple[float, float] = (0.0, 0.0), curl: float = 0.3) -> Posed:
        """Pose the body like mocap frames; the pelvis is put at the origin.

        Args:
            xyz: (T, 21, 3) joints of the motion pack in body axes (any origin).
            flat: Of the whole clip.
            pronation: Extra roll of the right and left forearm, radians, positive turns the palm down.
            curl: How far each finger joint bends, radians.
        """
        world: dict[str, Array] = {}
        self._trunk(world, xyz)
        for k, side in enumerate("RL"):
            self._leg(world, xyz, side, flat.down[k])
            self._arm(world, xyz, side, pronation[k], curl)
        posed = self._chain(world, len(xyz))
        pelvis = joints_of(self.body, self.rest, posed)[:, PELVIS]
        return Posed(posed.rotation, posed.head_m - pelvis[:, None])

    def _chain(self, world: dict[str, Array], frames: int) -> Posed:
        """Forward kinematics; a bone without its own rotation keeps its parent's."""
        bones = len(self.body.bone_names)
        rotation, head = np.zeros((frames, bones, 3, 3)), np.zeros((frames, bones, 3))
        for i, name in enumerate(self.body.bone_names):
            p = int(self.body.parent[i])
            if p < 0:
                rotation[:, i], head[:, i] = world["root"], self.rest.head[i]
                continue
            rotation[:, i] = world[name] if name in world else rotation[:, p]
            head[:, i] = head[:, p] + rotation[:, p] @ (self.rest.head[i] - self.rest.head[p])
        return Posed(rotation, head)

    def _trunk(self, world: dict[str, Array], x: Array) -> None:
        left = np.array([1.0, 0, 0])
        hips, shoulders = x[:, 4] - x[:, 1], x[:, 11] - x[:, 14]
        pelvis = frame(hips, x[:, SPINE] - x[:, PELVIS]) @ frame(left, _leaning(LEAN_DEG["pelvis"])).T
        chest = frame(shoulders, x[:, THORAX] - x[:, SPINE]) @ frame(left, _leaning(LEAN_DEG["chest"])).T
        up = x[:, HEAD_TOP] - x[:, THORAX]
        face = x[:, NOSE] - (x[:, THORAX] + x[:, HEAD_TOP]) / 2
        skull = frame(up, face) @ frame(_leaning(LEAN_DEG["head"]), np.array([0.0, 0, 1])).T
        world |= {"root": pelvis, "pelvis.L": pelvis, "pelvis.R": pelvis, "head": skull}
        for bone, share in (("spine05", 0.2), ("spine04", 0.45), ("spine03", 0.7), ("spine02", 0.9), ("spine01", 1.0)):
            world[bone] = blend(pelvis, chest, share)
        for bone, share in (("neck01", 0.2), ("neck02", 0.45), ("neck03", 0.7)):
            world[bone] = blend(chest, skull, share)

    def _leg(self, world: dict[str, Array], x: Array, side: str, down: float) -> None:
        hip, knee, ankle, toe = LEG[side]
        r = self.rest.joints[None]
        axis, rest_axis = _knee_axis(x, *LEG[side]), _knee_axis(r, *LEG[side])
        thigh, shin, foot = x[:, knee] - x[:, hip], x[:, ankle] - x[:, knee], x[:, toe] - x[:, ankle]
        full = frame(thigh, axis) @ np.swapaxes(frame(r[:, knee] - r[:, hip], rest_axis), -1, -2)
        turned = world["root"] @ unit(r[0, knee] - r[0, hip])
        untwisted = swing(turned, thigh) @ world["root"]
        world[f"upperleg01.{side}"], world[f"upperleg02.{side}"] = blend(untwisted, full, 0.5), full
        lower = frame(shin, axis) @ np.swapaxes(frame(r[:, ankle] - r[:, knee], rest_axis), -1, -2)
        world[f"lowerleg01.{side}"] = world[f"lowerleg02.{side}"] = lower
        step = unit(r[0, toe] - r[0, ankle])
        rest_down = float(np.arcsin(-step[1]))
        level = frame(foot, axis) @ np.swapaxes(frame(step, rest_axis[0]), -1, -2)
        world[f"foot.{side}"] = turn(frame(foot, axis)[..., 0], rest_down - down) @ level

    def _arm(self, world: dict[str, Array], x: Array, side: str, pronation: float, curl: float) -> None:
        shoulder, elbow, wrist = ARM[side]
        r, chest = self.rest.joints, world["spine01"]
        upper, fore = unit(x[:, elbow] - x[:, shoulder]), unit(x[:, wrist] - x[:, elbow])
        rest_upper, rest_fore = unit(r[elbow] - r[shoulder]), unit(r[wrist] - r[elbow])
        reach = np.einsum("tji,tj->ti", chest, x[:, shoulder] - x[:, THORAX])
        collar = chest @ swing(np.broadcast_to(reach.mean(0), reach.shape), reach, 0.8)
        world[f"clavicle.{side}"] = world[f"shoulder01.{side}"] = collar
        rest_axis = unit(np.cross(rest_fore, rest_upper))
        untwisted = swing(collar @ rest_upper, upper) @ collar
        guess, bend = untwisted @ rest_axis, np.cross(fore, upper)
        share = smoothstep(np.linalg.norm(bend, axis=-1), 0.15, 0.55)[:, None]
        share = share * smoothstep((unit(bend) * guess).sum(-1), -0.6, 0.2)[:, None]
        axis = guess + share * (unit(bend) - guess)
        full = frame(upper, axis) @ frame(rest_upper, rest_axis).T
        world[f"upperarm01.{side}"], world[f"upperarm02.{side}"] = blend(untwisted, full, 0.5), full
        lower = frame(fore, axis) @ frame(rest_fore, rest_axis).T
        sign = -1.0 if side == "L" else 1.0
        world[f"lowerarm01.{side}"] = turn(fore, sign * 0.4 * pronation) @ lower
        hand = turn(fore, sign * pronation) @ lower
        world[f"lowerarm02.{side}"] = world[f"wrist.{side}"] = hand
        self._fingers(world, hand, side, curl)

    def _fingers(self, world: dict[str, Array], hand: Array, side: str, curl: float) -> None:
        """Bend the fingers towards the palm, each joint a little more."""
        wrist, index, little = (
            self.rest.head[self.body.bone[f"{b}.{side}"]] for b in ("wrist", "finger2-1", "finger5-1")
        )
        palm = np.cross(index - wrist, little - wrist) * (1 if side == "R" else -1)
        hinge = np.cross(index - wrist, palm)
        for finger in range(2, 6):
            for joint in range(1, 4):
                bend = curl * joint * (0.8 + 0.1 * finger)
                world[f"finger{finger}-{joint}.{side}"] = hand @ turn(hinge, bend)
