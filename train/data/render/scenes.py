"""Random scenes: people on a floor under a real sky or in a made-up room, with things around them; exact truth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from train.data.render import props
from train.data.render.body import Body
from train.data.render.figures import Figure, balls
from train.data.render.lights import Light, light_from, read_map
from train.data.render.meshes import Floats
from train.data.render.motions import Moment, Motions, facing
from train.data.render.raster import Renderer
from train.data.render.retarget import Posed, soles_of
from train.data.render.sensor import Sensor, expose, random_sensor
from train.data.render.surfaces import Camera, Object3D, Picture
from train.data.render.textures import patterns, photographs
from train.data.render.wardrobe import Wardrobe

PHOTOS = 40
FIRST_OCCLUDER = 200
Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Person:
    """Someone placed in a scene.

    Attributes:
        figure: Who.
        posed: T poses, pelvis at the origin.
        shift_m: (T, 3) where the pelvis is.
        joints_m: (T, 17, 3) world.
        toes_m: (T, 2, 3) world, right and left.
        object_id: In the identity map.
    """

    figure: Figure
    posed: Posed
    shift_m: Array
    joints_m: Array
    toes_m: Array
    object_id: int

    def drawn(self, t: int, camera: Camera | None = None) -> Object3D:
        """Surface in frame t; with less detail where a pixel of the camera is larger than it."""
        away = 0.0 if camera is None else float(camera.to_camera(self.joints_m[t, 0])[2])
        small = camera is not None and away / camera.focal_px > 0.005
        return self.figure.posed(self.posed, self.shift_m[t], t, self.object_id, small)


def place(figure: Figure, what: Moment, at: Array, rng: np.random.Generator, object_id: int) -> Person:
    """Pose a figure like a moment and put its lowest foot on the floor (or as high above it as in the mocap)."""
    roll = (float(rng.uniform(-0.6, 0.8)), float(rng.uniform(-0.6, 0.8)))
    posed = figure.retargeter.pose(what.xyz_m, what.flat, roll, float(rng.uniform(0.05, 0.45)))
    rest, middle = figure.retargeter.rest, len(what.xyz_m) // 2
    low = soles_of(rest, posed)[middle, :, 1].min()
    drift = what.xyz_m[:, 0] - what.xyz_m[middle, 0]
    shift = np.asarray(at) + np.array([0, what.clear_m - low, 0]) + drift
    body = figure.retargeter.body
    toes = posed.head_m[:, [body.bone[f"toe1-2.{s}"] for s in "RL"]]
    return Person(figure, posed, shift, figure.joints(posed, shift[:, None]), toes + shift[:, None], object_id)


@dataclass(frozen=True, slots=True)
class Setting:
    """Where people stand: floor, walls, light and what is behind."""

    objects: list[Object3D]
    light: Light
    backdrop: npt.NDArray[np.uint8] | None
    widen: float


@dataclass(frozen=True, slots=True)
class Shot:
    """A drawn scene with its truth, before anything is cut to a data set's format.

    Attributes:
        image: (H, W, 3) uint8 RGB, after the sensor.
        quality: JPEG quality to store it with.
        people: Who was in it, the first being the main person.
        camera: What it was taken with.
        picture: The identity and depth maps of the middle frame.
    """

    image: npt.NDArray[np.uint8]
    quality: int
    people: list[Person]
    camera: Camera
    picture: Picture


class Studio:
    """Everything needed to draw random scenes, loaded once."""

    def __init__(self, data: Path, split: str = "train", seed: int = 0, shadow_tile: int = 256) -> None:
        """Load body, mocap, skies and photographs.

        Args:
            data: The folder with body/, mocap/ and backgrounds/.
            split: Mocap split to take poses from.
            seed: Of the photographs picked as textures and the figures in the pool.
            shadow_tile: Pixels along a shadow map.

        Raises:
            RendererUnavailable: If there is no EGL here.
            FileNotFoundError: If data is missing.
        """
        rng = np.random.default_rng(seed)
        layer_maps, self.layers = patterns()
        self._clutter = sorted((data / "backgrounds/clutter").glob("*.jpg"))
        self.renderer = Renderer(layer_maps, photographs(data / "backgrounds/clutter", PHOTOS, rng), shadow_tile)
        self.body = Body(data / "body")
        self.wardrobe = Wardrobe(self.body, self.layers, PHOTOS)
        self.motions = Motions(data / "mocap/motion.npz", split)
        self.skies = {p.stem: read_map(p) for p in sorted((data / "backgrounds/hdri").glob("*.hdr"))}
        if not self.skies:
            raise FileNotFoundError(f"no .hdr files in {data / 'backgrounds/hdri'}")
        self._pool = [self.wardrobe.dress(rng) for _ in range(4)]

    def figure(self, rng: np.random.Generator) -> Figure:
        """Someone new three times in ten, else a known body and cut in new colours (quicker)."""
        if rng.random() < 0.3:
            self._pool[int(rng.integers(len(self._pool)))] = self.wardrobe.dress(rng)
            if len(self._pool) < 24:
                self._pool.append(self.wardrobe.dress(rng))
        return self.wardrobe.recolour(self._pool[int(rng.integers(len(self._pool)))], rng)

    def light(self, rng: np.random.Generator) -> Light:
        """A random sky, randomly turned."""
        name = str(rng.choice(list(self.skies)))
        return light_from(self.skies[name], name, float(rng.random()), int(rng.integers(1, 4)))

    def photograph(self, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
        """Part of a random photograph, sometimes out of focus, as a backdrop."""
        import cv2

        image = cv2.imread(str(self._clutter[int(rng.integers(len(self._clutter)))]))[..., ::-1]
        h, w = image.shape[:2]
        side = int(min(h, w) * rng.uniform(0.4, 1))
        top, left = int(rng.integers(h - side + 1)), int(rng.integers(w - side + 1))
        cut = np.ascontiguousarray(image[top : top + side, left : left + side][:, :: int(rng.choice([-1, 1]))])
        return cv2.GaussianBlur(cut, (0, 0), rng.uniform(0.5, 6)) if rng.random() < 0.5 else cut

    def setting(self, rng: np.random.Generator, camera_side: float) -> Setting:
        """Sky with shadows on its ground, a room, or a photograph; with things standing about behind the people.

        Args:
            rng: Source of chance.
            camera_side: Compass direction from the people to the camera, radians.
        """
        light, kind = self.light(rng), rng.random()
        backdrop, widen, objects = None, float(rng.uniform(1.0, 2.5)), []
        if kind < 0.42:
            plain = props.plain_material(np.ones(3, np.float32), np.ones(3, np.float32), 0, 1.0)
            objects = [props.floor(4.0, plain, True)]
        elif kind < 0.78:
            objects = props.room(rng, self.layers, PHOTOS, camera_side, float(rng.uniform(1.0, 6.0)))
        else:
            backdrop = self.photograph(rng)
        if rng.random() < 0.65:
            for _ in range(int(rng.integers(1, 6))):
                away = camera_side + np.pi + rng.normal(0, 0.7)
                at = rng.uniform(0.9, 4.5) * np.array([np.sin(away), 0, np.cos(away)])
                objects.append(props.random_prop(rng, at, rng.uniform(0.2, 2.2), self.layers, PHOTOS, 0))
        return Setting(objects, light, backdrop, widen)

    def occluder(self, rng: np.random.Generator, camera: Camera, target: Array, number: int) -> Object3D:
        """Something between the camera and (about) a point of a person."""
        share = rng.uniform(0.35, 0.8)
        at = camera.eye_m + share * (target - camera.eye_m) + rng.normal(0, 0.22, 3) * [1, 0, 1] * share
        top = max(at[1] + rng.normal(0, 0.1), 0.15)
        return props.random_prop(rng, at * [1, 0, 1], top, self.layers, PHOTOS, FIRST_OCCLUDER + number)

    def seat(self, rng: np.random.Generator, person: Person) -> Object3D:
        """A box under someone who sits."""
        joints = person.joints_m[len(person.joints_m) // 2]
        top = joints[0, 1] - 0.11
        material = props.random_material(rng, self.layers, PHOTOS)
        size = np.array([rng.uniform(0.35, 1.2), max(top, 0.1), rng.uniform(0.3, 0.55)])
        turn = facing(joints)
        at = joints[0] * [1, 0, 1] - 0.02 * np.array([np.sin(turn), 0, np.cos(turn)])
        return props.box(size, turn, at, material, FIRST_OCCLUDER + 50)

    def draw(
        self, people: list[Person], extra: list[Object3D], setting: Setting, camera: Camera, supersample: float = 1.25
    ) -> Picture:
        """Draw; several frames are averaged (motion blur), the identity and depth maps are the middle one's."""
        frames = max((len(p.shift_m) for p in people), default=1)
        pictures = []
        nearest = sorted(people, key=lambda p: float(np.linalg.norm(p.shift_m[0] - camera.eye_m)))[:3]
        for t in range(frames):
            near = [balls(p.joints_m[t], p.toes_m[t]) for p in nearest]
            spheres: Floats = np.concatenate(near) if near else np.zeros((0, 4), np.float32)
            objects = setting.objects + extra + [p.drawn(t, camera) for p in people]
            pictures.append(
                self.renderer.render(
                    objects, camera, setting.light, spheres, setting.backdrop, supersample, widen=setting.widen
                )
            )
        return replace(pictures[frames // 2], rgb=np.mean([p.rgb for p in pictures], 0))

    def shoot(
        self,
        people: list[Person],
        extra: list[Object3D],
        setting: Setting,
        camera: Camera,
        rng: np.random.Generator,
        sensor: Sensor | None = None,
    ) -> Shot:
        """Draw and put the picture through a sensor, a random one if none is given."""
        picture, sensor = self.draw(people, extra, setting, camera), sensor or random_sensor(rng)
        return Shot(expose(picture.rgb, sensor, rng), sensor.quality, people, camera, picture)


def visible_joints(shot: Shot, person: Person) -> npt.NDArray[np.bool_]:
    """Which joints (17,) are in the picture and not behind an occluder or another person; a body never hides itself."""
    joints = person.joints_m[len(person.joints_m) // 2]
    xy, z = shot.camera.project(joints), shot.camera.to_camera(joints)[:, 2]
    w, h = shot.camera.size_wh
    inside = (xy >= 0).all(1) & (xy[:, 0] < w) & (xy[:, 1] < h) & (z > 0)
    column, row = (np.clip(np.nan_to_num(xy[:, k]), 0, n - 1).astype(int) for k, n in ((0, w), (1, h)))
    front, near = shot.picture.ids[row, column], shot.picture.depth_m[row, column]
    return inside & ~((front != person.object_id) & (front > 0) & (near < z))


def drawn_box(camera: Camera, item: Object3D) -> npt.NDArray[np.float32]:
    """Box (x1, y1, x2, y2) of a whole surface, hidden or not, cut to the picture."""
    ahead = item.position_m[camera.to_camera(item.position_m)[:, 2] > 0.05]
    xy = camera.project(ahead)
    w, h = camera.size_wh
    low, high = np.clip(xy.min(0), 0, [w, h]), np.clip(xy.max(0), 0, [w, h])
    return np.array([*low, *high], np.float32)


def visible_share(shot: Shot, person: Person) -> float:
    """Share of a person's surface that neither others nor the picture's edge hide, by 600 probes."""
    item = person.drawn(len(person.shift_m) // 2)
    at = item.position_m[person.figure.probes]
    xy, z = shot.camera.project(at), shot.camera.to_camera(at)[:, 2]
    w, h = shot.camera.size_wh
    inside = (xy >= 0).all(1) & (xy[:, 0] < w) & (xy[:, 1] < h) & (z > 0)
    column, row = (np.clip(np.nan_to_num(xy[:, k]), 0, n - 1).astype(int) for k, n in ((0, w), (1, h)))
    front = shot.picture.ids[row, column]
    return float((inside & ((front == person.object_id) | (front == 0))).mean())
