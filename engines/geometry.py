"""Where things are: pixel <-> ray coordinates, boxes, crops and their inverse.

Pixel origin: top-left corner of the top-left pixel, so a picture W pixels wide spans 0..W and the
centre of its first pixel is at 0.5. Camera axes: x right, y down, z forward.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float32]

HALVE_BEYOND = 2.5
"""Picture pixels per crop pixel beyond which a crop is cut from a halved picture: a bilinear sample skips pixels."""

DEFAULT_FOCAL_SHARE = 0.9
"""Assumed focal length as a share of the picture's longer side (58 degrees of view): between webcams and phones."""


def default_focal_px(image_wh: tuple[int, int]) -> float:
    """Return the focal length assumed for a picture of unknown camera, in pixels."""
    return DEFAULT_FOCAL_SHARE * max(image_wh)


def pixels_to_rays(xy_px: Float, image_wh: tuple[int, int], focal_px: float) -> Float:
    """Map pixels to ray coordinates (X/Z, Y/Z), principal point in the middle of the picture.

    Args:
        xy_px: (..., 2) pixels.
        image_wh: Width and height in pixels.
        focal_px: Focal length in pixels.
    """
    return ((xy_px - np.asarray(image_wh, np.float32) / 2) / np.float32(focal_px)).astype(np.float32)


def rays_to_pixels(xy: Float, image_wh: tuple[int, int], focal_px: float) -> Float:
    """Inverse of `pixels_to_rays`."""
    return (xy * np.float32(focal_px) + np.asarray(image_wh, np.float32) / 2).astype(np.float32)


def crop_boxes(boxes_xyxy_px: Float, crop_wh: tuple[int, int], scale: float) -> Float:
    """Grow person boxes to crop boxes: enlarged about their centre, then widened or heightened to the crop's shape.

    Args:
        boxes_xyxy_px: (P, 4) person boxes.
        crop_wh: Width and height of the crop that the detector takes.
        scale: Enlargement, e.g. 1.25.

    Returns:
        (P, 4) boxes with the crop's aspect ratio; they may reach outside the picture.
    """
    centre = (boxes_xyxy_px[:, :2] + boxes_xyxy_px[:, 2:]) / 2
    size = np.maximum((boxes_xyxy_px[:, 2:] - boxes_xyxy_px[:, :2]) * scale, 1.0)
    aspect = crop_wh[0] / crop_wh[1]
    width = np.maximum(size[:, 0], size[:, 1] * aspect)
    half = np.stack([width, width / aspect], 1) / 2
    return np.concatenate([centre - half, centre + half], 1).astype(np.float32)


def crop_to_pixels(xy_crop: Float, boxes_xyxy_px: Float, crop_wh: tuple[int, int]) -> Float:
    """Map crop coordinates back to the picture.

    Args:
        xy_crop: (P, J, 2) in pixels of the crop.
        boxes_xyxy_px: (P, 4) the crop boxes, as cut.
        crop_wh: Crop size in pixels.
    """
    scale = (boxes_xyxy_px[:, 2:] - boxes_xyxy_px[:, :2]) / np.asarray(crop_wh, np.float32)
    return (xy_crop * scale[:, None] + boxes_xyxy_px[:, None, :2]).astype(np.float32)


def pixels_to_crop(xy_px: Float, boxes_xyxy_px: Float, crop_wh: tuple[int, int]) -> Float:
    """Inverse of `crop_to_pixels`: (P, J, 2) picture pixels to crop pixels."""
    scale = (boxes_xyxy_px[:, 2:] - boxes_xyxy_px[:, :2]) / np.asarray(crop_wh, np.float32)
    return ((xy_px - boxes_xyxy_px[:, None, :2]) / scale[:, None]).astype(np.float32)


def box_iou(a: Float, b: Float) -> Float:
    """Return the (A, B) intersection over union of (A, 4) and (B, 4) xyxy boxes."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    inter = np.prod(np.maximum(high - low, 0), axis=2)
    area_a = np.prod(np.maximum(a[:, 2:] - a[:, :2], 0), axis=1)
    area_b = np.prod(np.maximum(b[:, 2:] - b[:, :2], 0), axis=1)
    union = area_a[:, None] + area_b[None] - inter
    return (inter / np.maximum(union, 1e-9)).astype(np.float32)


def cut_crops(image: npt.NDArray[np.uint8], boxes_xyxy_px: Float, crop_wh: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Cut boxes out of a picture and resize them; what lies outside the picture is black.

    Args:
        image: (H, W, 3) uint8.
        boxes_xyxy_px: (P, 4), any finite boxes of positive size.
        crop_wh: Size of each crop in pixels.

    Returns:
        (P, crop height, crop width, 3) uint8.
    """
    import cv2  # late: engines imports only numpy at import time

    crops = np.zeros((len(boxes_xyxy_px), crop_wh[1], crop_wh[0], 3), np.uint8)
    for crop, box in zip(crops, np.asarray(boxes_xyxy_px, np.float64), strict=True):
        source, offset, shrink = _halved(image, box, crop_wh)
        if source.size == 0:
            continue
        scale = (box[2:] - box[:2]) / crop_wh / shrink
        start = (box[:2] - offset) / shrink + scale / 2 - 0.5  # centre of the crop's first pixel, in pixel indices
        matrix = np.array([[scale[0], 0, start[0]], [0, scale[1], start[1]]])
        cv2.warpAffine(source, matrix, crop_wh, dst=crop, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return crops


def _halved(
    image: npt.NDArray[np.uint8], box: npt.NDArray[np.float64], crop_wh: tuple[int, int]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float64], int]:
    """Halve the part of a picture under a box until a bilinear warp, which skips pixels beyond 2:1, can do the rest.

    Returns:
        The (maybe shrunk) part; the pixel where it starts in the picture; by how much it was shrunk.
    """
    import cv2

    ratio = (box[2] - box[0]) / crop_wh[0]
    if ratio <= HALVE_BEYOND:
        return image, np.zeros(2), 1
    first = np.maximum(np.floor(box[:2]) - 8, 0).astype(int)
    last = np.maximum(np.ceil(box[2:]) + 8, 0).astype(int)
    part, shrink = image[first[1] : last[1], first[0] : last[0]], 1
    while ratio / shrink > HALVE_BEYOND and min(part.shape[:2]) > 1:
        half = (part.shape[1] // 2, part.shape[0] // 2)
        part = cv2.resize(part[: half[1] * 2, : half[0] * 2], half, interpolation=cv2.INTER_AREA)
        shrink *= 2
    return part, first.astype(np.float64), shrink
