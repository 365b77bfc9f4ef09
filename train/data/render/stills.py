"""Pictures for training detectors: cut round one person (stills) or whole with any number of people (crowds)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from train.data.render.motions import Moment, facing, moment
from train.data.render.retarget import Posed
from train.data.render.scenes import Person, Setting, Shot, Studio, drawn_box, place, visible_joints, visible_share
from train.data.render.sensor import jpeg, random_sensor
from train.data.render.surfaces import Camera, Object3D, look

Array = npt.NDArray[np.float64]
Row = dict[str, npt.NDArray[np.generic]]
FULL_WH = (1280, 960)
CLIP_FRAMES = 12


@dataclass(frozen=True, slots=True)
class StillConfig:
    """What stills look like.

    Attributes:
        side_px: They are square.
        company: Share with other people.
        occluded: Share with something in front.
        half_body: Share cut at hips or knees.
        moving: Share with true motion blur (three times as slow).
    """

    side_px: int = 320
    company: float = 0.3
    occluded: float = 0.3
    half_body: float = 0.16
    moving: float = 0.06


def _viewpoint(rng: np.random.Generator, turn: float, distance_m: float, aim_m: Array) -> tuple[Array, Array]:
    """Eye and target of a hand-held or mounted camera: 0.5 to 2.3 m high, more often from the front."""
    side = turn + (rng.normal(0, 0.9) if rng.random() < 0.6 else rng.uniform(-np.pi, np.pi))
    height = float(np.clip(rng.normal(1.4, 0.45), 0.5, 2.3))
    eye = aim_m * [1, 0, 1] + np.array([np.sin(side) * distance_m, height, np.cos(side) * distance_m])
    return eye, aim_m + rng.normal(0, 0.15, 3) * distance_m * 0.4


def _camera(rng: np.random.Generator, joints: Array) -> tuple[Array, Camera]:
    """A camera that sees someone (17, 3) from 1.5 to 7 m; returns its eye too."""
    distance = float(np.exp(rng.uniform(np.log(1.5), np.log(7.0))))
    eye, target = _viewpoint(rng, facing(joints), distance, joints.mean(0))
    focal = FULL_WH[0] * float(np.exp(rng.uniform(np.log(0.6), np.log(1.6))))
    return eye, look(eye, target, float(rng.normal(0, 0.04)), focal, FULL_WH)


def _others(studio: Studio, rng: np.random.Generator, eye: Array, frames: int) -> list[Person]:
    """One to three people beside, behind or (one time in five) in front of the one at the origin."""
    out: list[Person] = []
    taken = [np.zeros(3)]
    for _ in range(int(rng.integers(1, 4))):
        away = np.arctan2(eye[0], eye[2])
        front = rng.random() < 0.2
        bearing = away + (rng.normal(0, 0.5) if front else np.pi + rng.normal(0, 1.0))
        at = rng.uniform(0.45, 0.9 if front else 3.0) * np.array([np.sin(bearing), 0, np.cos(bearing)])
        if min(np.linalg.norm(at - t) for t in taken) < 0.4 or np.linalg.norm((at - eye) * [1, 0, 1]) < 0.9:
            continue
        taken.append(at)
        out.append(place(studio.figure(rng), moment(studio.motions, rng, frames), at, rng, 2 + len(out)))
    return out


def _window(rng: np.random.Generator, xy: Array, half_body: bool) -> tuple[float, float, float]:
    """Left, top and side of the square to cut, in pixels of the full picture."""
    if half_body:
        upper = xy[[0, 1, 4, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]]
        xy = (
            xy[[*range(17)] if rng.random() < 0.15 else [0, 1, 2, 4, 5, *range(7, 17)]] if rng.random() < 0.3 else upper
        )
    low, high = xy.min(0), xy.max(0)
    reach = float((high - low).max())
    side = reach * (rng.uniform(1.05, 1.35) if half_body else rng.uniform(1.3, 1.9))
    middle = (low + high) / 2 + rng.normal(0, 0.05, 2) * side
    return float(middle[0] - side / 2), float(middle[1] - side / 2), side


def still(studio: Studio, rng: np.random.Generator, config: StillConfig) -> tuple[Shot, Row]:
    """Draw one picture round one person; returns it with its row of the shard."""
    frames = 3 if rng.random() < config.moving else 1
    what = moment(studio.motions, rng, frames, float(rng.uniform(0.008, 0.025)))
    main = place(studio.figure(rng), what, np.zeros(3), rng, 1)
    joints = main.joints_m[frames // 2]
    eye, full = _camera(rng, joints)
    left, top, side = _window(rng, full.project(joints), rng.random() < config.half_body)
    scale = config.side_px / max(side, 40.0)
    camera = full.cropped(left, top, scale, (config.side_px, config.side_px))
    shot = studio.shoot(*_around(studio, rng, config, main, what, eye, camera), camera, rng)
    return shot, _row(shot, main)


def _around(
    studio: Studio,
    rng: np.random.Generator,
    config: StillConfig,
    main: Person,
    what: Moment,
    eye: Array,
    camera: Camera,
) -> tuple[list[Person], list[Object3D], Setting]:
    """Everything else in the picture: other people, a seat, things in front, the setting."""
    frames = len(main.joints_m)
    joints = main.joints_m[frames // 2]
    people = [main, *(_others(studio, rng, eye, frames) if rng.random() < config.company else [])]
    extra = [studio.seat(rng, main)] if what.seated and rng.random() < 0.8 else []
    if rng.random() < config.occluded:
        extra += [
            studio.occluder(rng, camera, joints[int(rng.integers(17))], n) for n in range(int(rng.integers(1, 3)))
        ]
    bearing = float(np.arctan2(eye[0] - joints[0, 0], eye[2] - joints[0, 2]))
    return people, extra, studio.setting(rng, bearing)


def _row(shot: Shot, main: Person) -> Row:
    middle = len(main.joints_m) // 2
    return {
        "jpeg": jpeg(shot.image, shot.quality),
        "xy_px": shot.camera.project(main.joints_m[middle]).astype(np.float32),
        "visible": visible_joints(shot, main),
        "box_xyxy_px": drawn_box(shot.camera, main.drawn(middle)),
    }


def frozen(person: Person, t: int) -> Person:
    """The person in frame t alone."""
    posed = Posed(person.posed.rotation[t : t + 1], person.posed.head_m[t : t + 1])
    rows = slice(t, t + 1)
    return replace(
        person, posed=posed, shift_m=person.shift_m[rows], joints_m=person.joints_m[rows], toes_m=person.toes_m[rows]
    )


def clip(
    studio: Studio, rng: np.random.Generator, config: StillConfig, frames: int = CLIP_FRAMES, fps: float = 30.0
) -> list[Row]:
    """Draw consecutive pictures round one moving person, camera and light unchanged; one row each."""
    what = moment(studio.motions, rng, frames, 1 / fps)
    main = place(studio.figure(rng), what, np.zeros(3), rng, 1)
    eye, full = _camera(rng, main.joints_m[frames // 2])
    reach = full.project(main.joints_m[[0, frames // 2, -1]].reshape(-1, 3)).reshape(3, 17, 2)
    left, top, side = _window(rng, np.concatenate(reach) if rng.random() > config.half_body else reach[1], False)
    camera = full.cropped(left, top, config.side_px / max(side, 40.0), (config.side_px, config.side_px))
    people, extra, setting = _around(studio, rng, config, main, what, eye, camera)
    sensor = replace(random_sensor(rng), shake_px=(0.0, 0.0))
    rows = []
    for t in range(frames):
        now = [frozen(p, t) for p in people]
        rows.append(_row(studio.shoot(now, extra, setting, camera, rng, sensor), now[0]))
    return rows


def usable(row: Row) -> bool:
    """Whether a still shows enough of its person to learn from: six joints in view."""
    return int(np.sum(row["visible"])) >= 6


def crowd(studio: Studio, rng: np.random.Generator, empty: float = 0.3) -> tuple[Shot, Row]:
    """Draw a whole picture with nobody (a share of `empty`) or one to five people at 1 to 12 m."""
    size = ((640, 360), (640, 360), (640, 360), (480, 360), (360, 640))[int(rng.integers(5))]
    count = 0 if rng.random() < empty else 1 + int(rng.choice(5, p=[0.4, 0.25, 0.15, 0.12, 0.08]))
    height = float(np.clip(rng.normal(1.5, 0.5), 0.5, 2.6))
    focal = max(size) * float(np.exp(rng.uniform(np.log(0.55), np.log(1.4))))
    reach = float(np.exp(rng.uniform(np.log(1.5), np.log(11.0))))
    eye = np.array([0.0, height, reach])
    camera = look(eye, np.array([0, rng.normal(1.0, 0.15), 0]), float(rng.normal(0, 0.03)), focal, size)
    people: list[Person] = []
    for n in range(count):
        depth = reach * (1.0 if n == 0 else float(rng.uniform(0.5, 1.8)))
        across = depth * (size[0] / 2 / focal) * float(rng.uniform(-1.0, 1.0))
        at = np.array([across, 0, reach - depth])
        if depth < 0.9 or any(np.linalg.norm((at - p.shift_m[0]) * [1, 0, 1]) < 0.45 for p in people):
            continue
        what = moment(studio.motions, rng)
        people.append(place(studio.figure(rng), what, at, rng, 1 + n))
    extra = []
    if rng.random() < 0.25:
        anywhere = rng.normal([0, 1, 0], 0.8)
        target = people[0].joints_m[0, int(rng.integers(17))] if people else anywhere
        extra = [studio.occluder(rng, camera, target, n) for n in range(int(rng.integers(1, 3)))]
    shot = studio.shoot(people, extra, studio.setting(rng, 0.0), camera, rng)
    boxes, shares = _boxes(shot)
    return shot, {"jpeg": jpeg(shot.image, shot.quality), "box_xyxy_px": boxes, "box_visible": shares}


def _boxes(shot: Shot) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Boxes (B, 4) of what can be seen of each person, and the share (B,) of each that can be seen."""
    boxes, shares = [], []
    for person in shot.people:
        rows, columns = np.nonzero(shot.picture.ids == person.object_id)
        share = visible_share(shot, person)
        if len(rows) < 12 or share < 0.05:
            continue
        boxes.append([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        shares.append(share)
    return np.asarray(boxes, np.float32).reshape(-1, 4), np.asarray(shares, np.float32)
