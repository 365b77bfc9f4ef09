from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines import geometry

boxes = st.tuples(st.floats(-200, 900), st.floats(-200, 900), st.floats(4, 800), st.floats(4, 800)).map(
    lambda b: np.array([[b[0], b[1], b[0] + b[2], b[1] + b[3]]], np.float32)
)


@given(boxes, st.floats(1, 2))
def test_crop_box_holds_the_person_and_has_the_crops_shape(box, scale):
    crop = geometry.crop_boxes(box, (192, 256), scale)
    size = crop[0, 2:] - crop[0, :2]
    assert size[0] / size[1] == pytest.approx(192 / 256, rel=1e-3)
    assert (crop[0, :2] <= box[0, :2] + 0.1).all()
    assert (crop[0, 2:] >= box[0, 2:] - 0.1).all()


@given(boxes)
def test_crop_coordinates_invert(box):
    xy = np.random.default_rng(0).uniform(-50, 900, (1, 17, 2)).astype(np.float32)
    there = geometry.pixels_to_crop(xy, box, (192, 256))
    np.testing.assert_allclose(geometry.crop_to_pixels(there, box, (192, 256)), xy, atol=2e-2)


@given(st.integers(1, 4000), st.integers(1, 4000), st.floats(10, 5000))
def test_rays_invert(width, height, focal):
    xy = np.random.default_rng(1).uniform(-100, 4000, (5, 2)).astype(np.float32)
    rays = geometry.pixels_to_rays(xy, (width, height), focal)
    np.testing.assert_allclose(geometry.rays_to_pixels(rays, (width, height), focal), xy, atol=0.05)


@pytest.mark.parametrize("size", [60, 150, 400, 1500])
def test_a_dot_lands_in_the_crop_where_the_geometry_says(size):
    """The pixels and the coordinates agree, for crops smaller, equal and much larger than the input."""
    image = np.zeros((1200, 1600, 3), np.uint8)
    x, y, radius = 700, 500, max(3, size // 20)
    image[y - radius : y + radius, x - radius : x + radius] = 255
    left, top = x - 0.3 * size, y - 0.4 * size
    box = geometry.crop_boxes(np.array([[left, top, left + size * 0.75, top + size]], np.float32), (192, 256), 1.0)
    crop = geometry.cut_crops(image, box, (192, 256))[0, :, :, 0].astype(float)
    rows, columns = np.mgrid[:256, :192] + 0.5
    centre = np.array([(columns * crop).sum(), (rows * crop).sum()]) / crop.sum()
    want = geometry.pixels_to_crop(np.array([[[x, y]]], np.float32), box, (192, 256))[0, 0]
    np.testing.assert_allclose(centre, want, atol=0.3)


def test_crop_outside_the_picture_is_black():
    image = np.full((50, 50, 3), 255, np.uint8)
    crops = geometry.cut_crops(
        image, np.array([[500, 500, 560, 580], [-9000, -9000, -2000, -100]], np.float32), (12, 16)
    )
    assert crops.max() == 0


def test_one_pixel_picture_can_be_cropped():
    crop = geometry.cut_crops(np.full((1, 1, 3), 9, np.uint8), np.array([[0, 0, 1, 1]], np.float32), (12, 16))
    assert crop.shape == (1, 16, 12, 3)


def test_iou():
    a = np.array([[0, 0, 10, 10]], np.float32)
    b = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30]], np.float32)
    np.testing.assert_allclose(geometry.box_iou(a, b), [[1, 1 / 3, 0]], atol=1e-6)
