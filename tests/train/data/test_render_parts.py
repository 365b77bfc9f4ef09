"""The renderer's parts that need neither GL nor data: cameras, light, sensor, shards, the command's errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from train.data.render.lights import directions, harmonics, light_from
from train.data.render.sensor import CLEAN, expose, jpeg, random_sensor
from train.data.render.shards import pictures, write_shard
from train.data.render.surfaces import look
from train.data.render.textures import patterns
from train.tasks import render


def test_camera_puts_its_target_in_the_middle_and_up_is_up() -> None:
    camera = look(np.array([1.0, 1.5, 4.0]), np.array([0.0, 1.0, 0.0]), 0.0, 500.0, (640, 480))
    np.testing.assert_allclose(camera.project(np.array([0.0, 1, 0])), [320, 240])
    above = camera.project(np.array([0.0, 1.2, 0]))
    assert above[1] < 240
    np.testing.assert_allclose(np.linalg.det(camera.axes), 1.0)


def test_cropped_camera_sees_the_same_rays() -> None:
    camera = look(np.array([1.0, 1.5, 4.0]), np.array([0.0, 1.0, 0.0]), 0.1, 500.0, (640, 480))
    crop = camera.cropped(100.0, 50.0, 2.0, (320, 320))
    points = np.random.default_rng(0).normal(size=(9, 3))
    np.testing.assert_allclose(crop.project(points), (camera.project(points) - [100, 50]) * 2)


def test_clip_matrix_agrees_with_projection() -> None:
    camera = look(np.array([0.5, 1.2, 3.0]), np.array([0.0, 1.0, 0.0]), 0.2, 400.0, (320, 240)).cropped(
        10, 5, 1.5, (200, 160)
    )
    points = np.random.default_rng(1).normal([0, 1, 0], 0.4, (9, 3))
    clip = np.concatenate([points, np.ones((9, 1))], 1) @ camera.clip().T
    pixels = (clip[:, :2] / clip[:, 3:] + 1) / 2 * [200, 160]
    np.testing.assert_allclose(pixels, camera.project(points), atol=1e-6)


def test_an_even_sky_lights_every_side_the_same() -> None:
    direction, solid = directions(32, 64, 0.3)
    sky = harmonics(np.full((32, 64, 3), 2.0, np.float32), direction, solid)
    np.testing.assert_allclose(sky[0], 2.0, rtol=0.01)
    np.testing.assert_allclose(sky[1:], 0.0, atol=0.02)


def test_the_sun_is_found_where_it_is() -> None:
    radiance = np.full((128, 256, 3), 0.2, np.float32)
    radiance[30:33, 60:63] = 500.0
    light = light_from(radiance, "made up", 0.25, 1)
    direction, _ = directions(128, 256, 0.25)
    np.testing.assert_allclose(light.towards[0], direction[31, 61], atol=0.03)
    assert light.rgb[0].mean() > 3 * light.sky[0].mean()


def test_exposure_is_monotonic_and_noise_free_when_clean() -> None:
    ramp = np.tile(np.linspace(0, 3, 64, dtype=np.float32)[None, :, None], (4, 1, 3))
    image = expose(ramp, CLEAN, np.random.default_rng(0))
    assert image.dtype == np.uint8
    assert (np.diff(image[0, :, 0].astype(int)) >= 0).all()
    assert image.max() <= 255
    np.testing.assert_array_equal(image[0], image[3])


def test_random_sensors_keep_the_size() -> None:
    rng = np.random.default_rng(3)
    flat = np.full((61, 47, 3), 0.4, np.float32)
    for _ in range(40):
        assert expose(flat, random_sensor(rng), rng).shape == (61, 47, 3)


def test_patterns_tile() -> None:
    layers, names = patterns(size=64)
    assert len(layers) == len(names)
    for name in ("tiles", "plaster", "heather", "stripes_across"):
        image = layers[names[name]].astype(int)
        seam = np.abs(image[:, 0] - image[:, -1]).mean()
        inside = np.abs(np.diff(image, axis=1)).mean((0, 2)).max()
        assert seam <= inside + 3, name


def test_shard_round_trip(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = [np.full((24, 32, 3), v, np.uint8) for v in (10, 120, 230)]
    rows = [
        {
            "jpeg": jpeg(im, 90),
            "box_xyxy_px": rng.random((n, 4)).astype(np.float32),
            "box_visible": np.ones(n, np.float32),
        }
        for n, im in enumerate(images)
    ]
    path = tmp_path / "deep" / "0000.npz"
    write_shard(path, rows, ("box_xyxy_px", "box_visible"))
    shard = dict(np.load(path))
    assert [p.name for p in path.parent.iterdir()] == ["0000.npz"]  # nothing half-written left
    np.testing.assert_array_equal(shard["box_start"], [0, 0, 1, 3])
    np.testing.assert_array_equal(shard["box_xyxy_px"][1:3], rows[2]["box_xyxy_px"])
    for got, wanted in zip(pictures(shard), images, strict=True):
        assert np.abs(got.astype(int) - wanted).max() <= 3
    shard["jpeg"][:] = 0
    with pytest.raises(ValueError, match="not a readable JPEG"):
        pictures(shard)


def test_without_egl_the_command_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moderngl = pytest.importorskip("moderngl")
    (tmp_path / "backgrounds/clutter").mkdir(parents=True)
    import cv2

    cv2.imwrite(str(tmp_path / "backgrounds/clutter/a.jpg"), np.zeros((300, 300, 3), np.uint8))

    def refuse(**_: object) -> None:
        raise Exception("libEGL.so: cannot open shared object file")

    monkeypatch.setattr(moderngl, "create_context", refuse)
    code = render.main(["stills", "--out", str(tmp_path / "out"), "--data", str(tmp_path), "--count", "1"])
    assert code == 1
    error = capsys.readouterr().err
    assert "libEGL.so" in error
    assert "apt-get install libegl1" in error
    assert not (tmp_path / "out").exists()


def test_missing_data_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = render.main(["scenes", "--out", str(tmp_path / "out"), "--data", str(tmp_path), "--count", "1"])
    assert code == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_help_shows_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        render.main(["--help"])
    assert stop.value.code == 0
    assert "render stills --out" in capsys.readouterr().out


def test_rows_of_clips_know_the_next_picture() -> None:
    rows = render.linked([{"jpeg": np.zeros(1, np.uint8)} for _ in range(2 * render.stills.CLIP_FRAMES)])
    following = [int(row["following"]) for row in rows]
    assert following[:3] == [1, 2, 3]
    assert [n for n, f in enumerate(following) if f < 0] == [11, 23]
