"""The rasteriser: moderngl in a window-less EGL context; runs on a GPU or on Mesa's llvmpipe.

Pictures are linear RGB before exposure curve, noise and compression (`train.data.render.sensor`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from train.data.render import shaders
from train.data.render.lights import Light
from train.data.render.meshes import Floats
from train.data.render.surfaces import Camera, Object3D, Picture, shadow_clip
from train.data.render.textures import linear
from train.errors import RendererUnavailable

SHADOW_TILE = 512


class Renderer:
    """One GL context with pattern and photograph textures; draws many scenes."""

    def __init__(
        self, patterns: npt.NDArray[np.uint8], photos: npt.NDArray[np.uint8], shadow_tile: int = SHADOW_TILE
    ) -> None:
        """Open the context.

        Args:
            patterns: (L, S, S, 3) uint8 (mix, brightness, height), tiling.
            photos: (L, S, S, 3) uint8 sRGB.
            shadow_tile: Pixels along a shadow map.

        Raises:
            RendererUnavailable: If moderngl or EGL is missing.
        """
        try:
            import moderngl

            self.gl: Any = moderngl.create_context(standalone=True, backend="egl")
        except Exception as error:  # moderngl raises bare Exception; every cause has the same remedy
            raise RendererUnavailable(error) from error
        self._depth_test, self._cull = moderngl.DEPTH_TEST, moderngl.CULL_FACE
        self._bilinear = moderngl.LINEAR_MIPMAP_NEAREST
        self.gl.front_face = "cw"  # clip y points down
        program: Any = self.gl.program
        self._surface = program(vertex_shader=shaders.SURFACE_VERTEX, fragment_shader=shaders.SURFACE_FRAGMENT)
        self._back = program(vertex_shader=shaders.BACKDROP_VERTEX, fragment_shader=shaders.BACKDROP_FRAGMENT)
        self._caster = program(vertex_shader=shaders.SHADOW_VERTEX, fragment_shader=shaders.SHADOW_FRAGMENT)
        self._depth = program(vertex_shader=shaders.DEPTH_VERTEX, fragment_shader=shaders.DEPTH_FRAGMENT)
        self._patterns, self._photos = self._array(patterns), self._array(linear(photos))
        self._tile = shadow_tile
        atlas = (shadow_tile * shaders.ATLAS_COLUMNS, shadow_tile * shaders.ATLAS_ROWS)
        self._atlas = self.gl.depth_texture(atlas)
        self._atlas.compare_func, self._atlas.filter = "", (moderngl.NEAREST, moderngl.NEAREST)
        self._atlas_target = self.gl.framebuffer(depth_attachment=self._atlas)
        corners = np.array([[-1, -1], [3, -1], [-1, 3]], np.float32)
        self._corners = self.gl.vertex_array(self._back, [(self.gl.buffer(corners.tobytes()), "2f", "corner")])
        self._targets: dict[tuple[int, int], Any] = {}
        self._env: tuple[int, Any] = (0, None)

    @property
    def device(self) -> str:
        """Name of the GL renderer."""
        return str(self.gl.info["GL_RENDERER"])

    def _array(self, layers: npt.NDArray[np.uint8]) -> Any:
        count, height, width, _ = layers.shape
        texture = self.gl.texture_array((width, height, count), 3, np.ascontiguousarray(layers).tobytes(), alignment=1)
        texture.build_mipmaps()
        texture.filter = (self._bilinear, texture.filter[1])  # a third cheaper on a CPU than between mipmaps
        return texture

    def _target(self, size: tuple[int, int]) -> Any:
        if size not in self._targets:
            colour = self.gl.texture(size, 4, dtype="f2")
            depth = self.gl.texture(size, 1, dtype="f4")
            self._targets[size] = self.gl.framebuffer([colour, depth], self.gl.depth_renderbuffer(size))
        return self._targets[size]

    def _environment(self, light: Light) -> Any:
        if self._env[0] != id(light.radiance):
            if self._env[1] is not None:
                self._env[1].release()
            h, w, _ = light.radiance.shape
            texture = self.gl.texture(
                (w, h), 3, np.minimum(light.radiance, 6e4).astype(np.float16).tobytes(), dtype="f2", alignment=1
            )
            texture.build_mipmaps()
            texture.repeat_y = False
            self._env = (id(light.radiance), texture)
        return self._env[1]

    def render(
        self,
        objects: list[Object3D],
        camera: Camera,
        light: Light,
        spheres: Floats,
        backdrop: npt.NDArray[np.uint8] | None = None,
        supersample: float = 2.0,
        shadow_taps: int = 4,
        widen: float = 1.0,
    ) -> Picture:
        """Draw a scene.

        Args:
            objects: What to draw.
            camera: From where.
            light: Environment; also the backdrop where `backdrop` is None.
            spheres: (S, 4) centre and radius of the balls that keep skylight away (parts of bodies).
            backdrop: (h, w, 3) uint8 RGB photograph to show behind everything, stretched over the picture.
            supersample: Samples along each side of a pixel.
            shadow_taps: Samples of a shadow map per light.
            widen: Shows that many times more of the environment behind everything than the camera would see:
                the maps are coarse.
        """
        size = (round(camera.size_wh[0] * supersample), round(camera.size_wh[1] * supersample))
        drawn = [self._upload(o) for o in objects]
        clips = self._shadows(objects, drawn, light)
        textures = self._bind(light, backdrop)
        self._frame_uniforms(camera, light, backdrop is not None, supersample, widen)
        self._light_uniforms(light, clips, spheres, shadow_taps)
        target = self._target(size)
        target.use()
        target.clear()
        self.gl.enable(self._depth_test | self._cull)
        self.gl.depth_func = "<="
        target.color_mask = ((False,) * 4,) * 2
        for _, depth, _, _ in drawn:
            depth.render()
        target.color_mask = ((True,) * 4,) * 2
        for item, (surface, _, _, _) in zip(objects, drawn, strict=True):
            self._object_uniforms(item, min(len(spheres), shaders.MAX_SPHERES))
            surface.render()
        self.gl.disable(self._cull)
        self._corners.render()
        picture = self._read(target, size, camera.size_wh)
        for resource in [*textures, *(r for _, _, _, owned in drawn for r in owned)]:
            resource.release()
        return picture

    def _upload(self, item: Object3D) -> tuple[Any, Any, Any, list[Any]]:
        columns = (item.position_m, item.normal, item.rest_m, item.rest_normal, item.marks)
        data = np.ascontiguousarray(np.concatenate(columns, 1), np.float32)
        vertices = self.gl.buffer(data.tobytes())
        index = self.gl.buffer(np.ascontiguousarray(item.triangles, np.int32).tobytes())
        names = ("position", "normal", "rest", "rest_normal", "marks")
        surface = self.gl.vertex_array(self._surface, [(vertices, "3f 3f 3f 3f 4f", *names)], index)
        depth = self.gl.vertex_array(self._depth, [(vertices, "3f 36x 4f", "position", "marks")], index)
        coarse = index if item.caster is None else self.gl.buffer(np.ascontiguousarray(item.caster, np.int32).tobytes())
        shadow = self.gl.vertex_array(self._caster, [(vertices, "3f 52x", "position")], coarse)
        return (
            surface,
            depth,
            shadow,
            [surface, depth, shadow, vertices, index, *([] if item.caster is None else [coarse])],
        )

    def _shadows(self, objects: list[Object3D], drawn: list[tuple[Any, Any, Any, list[Any]]], light: Light) -> Floats:
        """Fill the atlas; returns the (K, 4, 4) world -> clip matrices."""
        casters = [o.position_m for o in objects if o.casts]
        clips = np.tile(np.eye(4), (shaders.MAX_LIGHTS, 1, 1))
        self._atlas_target.use()
        self._atlas_target.clear(depth=1.0)
        if not casters:
            return clips.astype(np.float32)
        low, high = np.min([c.min(0) for c in casters], 0), np.max([c.max(0) for c in casters], 0)
        centre, radius = (low + high) / 2, float(np.linalg.norm(high - low)) / 2 * 1.05 + 0.05
        self.gl.enable(self._depth_test)
        for k in range(len(light.towards)):
            clips[k] = shadow_clip(light.towards[k], centre, radius)
            column, row = k % shaders.ATLAS_COLUMNS, k // shaders.ATLAS_COLUMNS
            self._atlas_target.viewport = (column * self._tile, row * self._tile, self._tile, self._tile)
            self._caster["to_clip"].write(np.ascontiguousarray(clips[k].T, np.float32).tobytes())
            for item, (_, _, shadow, _) in zip(objects, drawn, strict=True):
                if item.casts:
                    shadow.render()
        return clips.astype(np.float32)

    def _bind(self, light: Light, backdrop: npt.NDArray[np.uint8] | None) -> list[Any]:
        photo = backdrop if backdrop is not None else np.zeros((1, 1, 3), np.uint8)
        texture = self.gl.texture((photo.shape[1], photo.shape[0]), 3, linear(photo).tobytes(), alignment=1)
        sources = (self._environment(light), texture, self._atlas, self._patterns, self._photos)
        for unit, source in enumerate(sources):
            source.use(unit)
        names = ("env_map", "photo_backdrop", "shadow_atlas", "patterns", "photos")
        for program in (self._surface, self._back):
            for unit, name in enumerate(names):
                if name in program:
                    program[name].value = unit
        return [texture]

    def _frame_uniforms(self, camera: Camera, light: Light, photo: bool, scale: float, widen: float) -> None:
        w, h = (round(n * scale) for n in camera.size_wh)
        values: dict[str, Any] = {
            "backdrop": int(photo),
            "size_px": (w, h),
            "centre_px": (camera.centre[0] * scale, camera.centre[1] * scale),
            "focal_px": (camera.focal_px * scale / widen, camera.focal_px * scale / widen),
            "eye": tuple(camera.eye_m),
            "camera_to_world": tuple(camera.axes.T.reshape(-1)),
            "env_turn": light.turn,
            "exposure": light.exposure,
        }
        for program in (self._surface, self._back):
            for name, value in values.items():
                if name in program:
                    program[name].value = value
        matrix = np.ascontiguousarray(camera.clip().T, np.float32).tobytes()
        self._surface["to_clip"].write(matrix)
        self._depth["to_clip"].write(matrix)

    def _light_uniforms(self, light: Light, clips: Floats, spheres: Floats, taps: int) -> None:
        s, lights = self._surface, shaders.MAX_LIGHTS
        count = len(light.towards)
        s["lights"].value, s["shadow_taps"].value = count, taps
        s["light_towards"].write(_padded(light.towards, lights))
        s["light_rgb"].write(_padded(light.rgb, lights))
        s["light_clip"].write(np.ascontiguousarray(clips.transpose(0, 2, 1)).tobytes())
        spread = np.clip(light.spread * 0.25, 0.004, 0.03).astype(np.float32)
        s["light_spread"].write(_padded(spread, lights))
        s["sky"].write(light.sky.astype(np.float32).tobytes())
        s["sphere"].write(_padded(spheres, shaders.MAX_SPHERES))

    def _object_uniforms(self, item: Object3D, spheres: int) -> None:
        s, m = self._surface, item.material
        for name, rows in (("colour_a", m.colour_a), ("colour_b", m.colour_b), ("cloth", m.cloth), ("shine", m.shine)):
            s[name].write(_padded(rows, shaders.SLOTS))
        s["mask_rgb"].write(m.mask_rgb.astype(np.float32).tobytes())
        s["spheres"].value = spheres if item.near_people else 0
        s["object_id"].value = item.object_id / 255.0
        s["catcher"].value = int(item.catcher)
        s["fade_m"].value = float(np.abs(item.rest_m[:, [0, 2]]).max()) if item.catcher else 1.0

    def _read(self, target: Any, size: tuple[int, int], wanted: tuple[int, int]) -> Picture:
        import cv2

        w, h = size
        half = np.frombuffer(target.read(components=4, attachment=0, dtype="f2"), np.float16).reshape(h, w, 4)
        depth = np.frombuffer(target.read(components=1, attachment=1, dtype="f4"), np.float32).reshape(h, w)
        rgba: Floats = np.minimum(half.astype(np.float32), 16.0)
        rgb = np.ascontiguousarray(rgba[..., :3])
        if size != wanted:
            rgb = cv2.resize(rgb, wanted, interpolation=cv2.INTER_AREA)
        rows = ((np.arange(wanted[1]) + 0.5) * h / wanted[1]).astype(int)[:, None]
        columns = ((np.arange(wanted[0]) + 0.5) * w / wanted[0]).astype(int)
        return Picture(rgb, np.rint(rgba[rows, columns, 3] * 255).astype(np.uint8), depth[rows, columns])


def _padded(rows: Floats, count: int) -> bytes:
    rows = np.asarray(rows, np.float32)[:count]
    out = np.zeros((count, *rows.shape[1:]), np.float32)
    out[: len(rows)] = rows
    return out.tobytes()
