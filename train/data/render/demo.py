"""The package's demo clip: one person in a sunlit room, with exact truth beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt

from train.data.render.body import Body
from train.data.render.figures import BOTTOM_SLOT, HAIR_SLOT, SHOE_SLOT, TOP_SLOT, Figure, Sliders, balls
from train.data.render.interior import Interior, furnish
from train.data.render.meshes import Floats
from train.data.render.motions import Motions, greet
from train.data.render.raster import Renderer
from train.data.render.rotations import turn
from train.data.render.sensor import CLEAN, expose
from train.data.render.surfaces import Camera, Object3D, look
from train.data.render.takes import Take, centred, resample, take
from train.data.render.textures import patterns
from train.data.render.wardrobe import Wardrobe

CREDIT = (
    "Motion: mocap.cs.cmu.edu, clip {clip}; the database was created with funding from NSF EIA-0196217. "
    "Body, clothes and hair: MakeHuman community, CC0. View through the windows and pictures: Poly Haven, CC0."
)


@dataclass(frozen=True, slots=True)
class DemoConfig:
    """The clip.

    Attributes:
        clip: Mocap clip's name.
        start_s, length_s: Part of it.
        turn_deg, middle_m: The path is turned about the vertical and its middle put at this floor point (x, z).
        wave_s: When the person waves, seconds of the demo.
        fps: Frame rate.
        size_wh: Picture size.
        focal_px: Of the camera.
        eye_m, target_m: Where the camera is and looks.
        supersample: Samples along each side of a pixel.
        limit_bytes: Largest file; quality is lowered until it fits.
        seed: Of person, colours and noise.
    """

    clip: str = "cmu/27_01"
    start_s: float = 0.1
    length_s: float = 8.3
    turn_deg: float = 33.0
    middle_m: tuple[float, float] = (-0.15, -0.6)
    wave_s: tuple[float, float] = (0.8, 3.2)
    fps: int = 30
    size_wh: tuple[int, int] = (1280, 720)
    focal_px: float = 1200.0
    eye_m: tuple[float, float, float] = (-1.6, 1.35, -5.6)
    target_m: tuple[float, float, float] = (0.25, 0.95, 0.0)
    supersample: float = 2.0
    limit_bytes: int = 1_850_000
    seed: int = 4


def performer(wardrobe: Wardrobe, seed: int) -> Figure:
    """The person of the clip: an adult in a shirt, jeans and trainers."""
    rng = np.random.default_rng(seed)
    sliders = Sliders(1.0, 0.5, 0.6, 0.42, 0.51, (0.25, 0.3, 0.45))
    figure = wardrobe.dress(rng, sliders, "male_casualsuit02", "short01")
    m = figure.material
    a, b, cloth, shine = m.colour_a.copy(), m.colour_b.copy(), m.cloth.copy(), m.shine.copy()
    layer = wardrobe.layers
    a[HAIR_SLOT], b[HAIR_SLOT], shine[HAIR_SLOT] = (0.035, 0.02, 0.012), (0.09, 0.055, 0.033), (0.4, 20)
    for slot, first, second, row, gloss in (
        (TOP_SLOT, (0.5, 0.13, 0.07), (0.42, 0.1, 0.055), (layer["heather"], 4.0, 0.03, -1), 0.15),
        (BOTTOM_SLOT, (0.045, 0.075, 0.16), (0.08, 0.12, 0.22), (layer["washed"], 3.0, 0.025, -1), 0.1),
        (SHOE_SLOT, (0.6, 0.6, 0.58), (0.5, 0.5, 0.5), (layer["plain"], 4.0, 0.002, -1), 0.4),
    ):
        a[slot], b[slot], cloth[slot], shine[slot] = first, second, row, (gloss, 12)
    return replace(figure, material=replace(m, colour_a=a, colour_b=b, cloth=cloth, shine=shine))


@dataclass(frozen=True, slots=True)
class Demo:
    """Everything needed to draw the clip's frames."""

    config: DemoConfig
    renderer: Renderer
    interior: Interior
    performed: Take
    camera: Camera
    empty: Floats

    def frame(self, t: int) -> npt.NDArray[np.uint8]:
        """Draw frame t: (H, W, 3) uint8 RGB; only what the person or their shadow touches is drawn anew."""
        person, c = self.performed.person, self.config
        drawn = person.drawn(t)
        x1, y1, x2, y2 = touched(drawn, self.interior, self.camera)
        spheres = np.concatenate([balls(person.joints_m[t], person.toes_m[t]), self.interior.balls])
        window = self.camera.cropped(x1, y1, 1.0, (x2 - x1, y2 - y1))
        rgb = self.empty.copy()
        rgb[y1:y2, x1:x2] = _draw(self.renderer, [*self.interior.objects, drawn], window, self.interior, spheres, c)
        grain = replace(CLEAN, gain=(1.16, 1.15, 1.14), shot=0.0025, read=0.001)
        return expose(rgb, grain, np.random.default_rng([c.seed, t]))

    def truth(self) -> dict[str, npt.NDArray[np.generic]]:
        """Arrays of demo_truth.npz: pixels, pelvis-relative camera axes, root in camera space."""
        xyz = self.camera.to_camera(self.performed.person.joints_m)
        return {
            "frame": np.arange(len(xyz), dtype=np.int32),
            "xy_px": self.camera.project(self.performed.person.joints_m).astype(np.float32),
            "xyz_m": (xyz - xyz[:, :1]).astype(np.float32),
            "root_m": xyz[:, 0].astype(np.float32),
            "focal_px": np.asarray(self.camera.focal_px, np.float32),
            "size_wh": np.asarray(self.camera.size_wh, np.int32),
            "fps": np.asarray(self.performed.fps, np.float32),
            "skeleton": np.asarray("h36m17"),
            "credit": np.asarray(CREDIT.format(clip=self.performed.clip)),
        }


def _draw(
    renderer: Renderer, objects: list[Object3D], camera: Camera, room: Interior, spheres: Floats, c: DemoConfig
) -> Floats:
    return renderer.render(objects, camera, room.light, spheres, None, c.supersample, 12).rgb


def touched(drawn: Object3D, room: Interior, camera: Camera) -> tuple[int, int, int, int]:
    """Box (x1, y1, x2, y2) in whole pixels of a surface and the shadows it throws on the floor, with a margin."""
    points = [drawn.position_m]
    for towards in room.light.towards:
        points.append(drawn.position_m - towards * (drawn.position_m[:, 1:2] / towards[1]))
    xy = camera.project(np.concatenate(points))
    low, high = xy.min(0) - 24, xy.max(0) + 24
    w, h = camera.size_wh
    return max(0, int(low[0])), max(0, int(low[1])), min(w, int(high[0])), min(h, int(high[1]))


def prepare(data: Path, config: DemoConfig) -> Demo:
    """Load what the clip needs, pose every frame and furnish the room.

    Raises:
        RendererUnavailable: If there is no EGL here.
        FileNotFoundError: If data is missing.
    """
    layer_maps, layers = patterns(size=512)
    interior, photos = furnish(data / "backgrounds/hdri", layers, config.seed)
    renderer = Renderer(layer_maps, photos, shadow_tile=1024)
    body = Body(data / "body")
    figure = performer(Wardrobe(body, layers, len(photos)), config.seed)
    clip = Motions(data / "mocap/motion.npz").named(config.clip)
    xyz = resample(clip.xyz_m, clip.fps, config.fps)
    first = round(config.start_s * config.fps)
    xyz = greet(xyz[first : first + round(config.length_s * config.fps)], config.fps, *config.wave_s)
    xyz = xyz @ turn(np.array([0.0, 1, 0]), np.radians(config.turn_deg)).T
    performed = centred(take(figure, clip, xyz, config.fps, curl=0.22), config.middle_m)
    camera = look(np.asarray(config.eye_m), np.asarray(config.target_m), 0.0, config.focal_px, config.size_wh)
    empty = _draw(renderer, interior.objects, camera, interior, interior.balls, config)
    return Demo(config, renderer, interior, performed, camera, empty)


def encode(path: Path, frames: list[npt.NDArray[np.uint8]], fps: int, crf: int) -> int:
    """Write H.264 in yuv420p; returns the file's size in bytes."""
    import av

    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        options = {"crf": str(crf), "preset": "slow", "tune": "film"}
        stream = container.add_stream("libx264", rate=Fraction(fps), options=options)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        container.mux(stream.encode())
    return path.stat().st_size


def make_demo(data: Path, out: Path, config: DemoConfig, progress: Callable[[int, int], None]) -> Path:
    """Draw demo.mp4 and demo_truth.npz into a folder.

    Args:
        data: The folder with body/, mocap/ and backgrounds/.
        out: Where to.
        config: The clip.
        progress: Called with (frames done, frames in all).

    Returns:
        Path of the clip.
    """
    demo = prepare(data, config)
    count = len(demo.performed.person.shift_m)
    frames = []
    for t in range(count):
        frames.append(demo.frame(t))
        progress(t + 1, count)
    out.mkdir(parents=True, exist_ok=True)
    path = out / "demo.mp4"
    for crf in range(18, 36):
        if encode(path, frames, config.fps, crf) <= config.limit_bytes:
            break
    np.savez_compressed(out / "demo_truth.npz", **demo.truth())
    return path
