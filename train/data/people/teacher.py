"""MoveNet as a teacher: joints for pictures that nobody labelled, kept where several views of them agree.

MoveNet SinglePose Lightning v4 ((c) Google, Apache-2.0) in float, from the weight file that the detector
starts from. It wants a square picture with the person upright and in the middle, 192 x 192.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from engines.skeletons import COCO17
from train.models.mobilenet import FeaturePath, MobileNetV2, Separable, load_movenet, normalise

Float = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]

SIDE = 192
HEADS = {"centre": 1, "heatmap": 17, "offset": 34, "regress": 34}
SOFTEN = 1.8  # cells; how sharply MoveNet prefers what is near
VIEWS = ((1.25, 0.0, False), (1.25, 0.0, True), (1.5, 8.0, False), (1.1, -8.0, True))
"""(box enlargement, turn in degrees, mirrored) of each look at the same person."""


class MoveNet(MobileNetV2):
    """The whole network; attribute names are those of the weight file."""

    def __init__(self) -> None:
        super().__init__()
        self.fpn = FeaturePath()
        for name, channels in HEADS.items():
            self.add_module(name, Separable(24, 96, channels))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Map (B, 3, 192, 192) normalised pictures to the four heads' maps (B, C, 48, 48), before any sigmoid."""
        fused = self.fpn(super().forward(x))
        return {name: self.get_submodule(name)(fused) for name in HEADS}


def _near(height: int, width: int, y: Tensor, x: Tensor) -> Tensor:
    """Return (..., height * width) weights that fall with the distance from (y, x), given in cells."""
    rows = torch.arange(height)[:, None] - y[..., None, None]
    columns = torch.arange(width) - x[..., None, None]
    return (1 / (torch.hypot(rows, columns) + SOFTEN)).flatten(-2)


def decode(maps: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Read MoveNet's maps as it does itself.

    The person is the cell with the best centre score, near the middle preferred. Its regressed vectors say
    where each joint should be; the joint is the cell with the best heatmap, near that place preferred, plus
    that cell's offset.

    Returns:
        xy (B, 17, 2) as parts of the picture's width and height, and scores (B, 17), in COCO17 order.
    """
    heat = maps["heatmap"].sigmoid().flatten(2)
    batch, joints, height, width = maps["heatmap"].shape
    middle = torch.tensor([height / 2, width / 2])
    centre = maps["centre"].sigmoid().flatten(1) * _near(height, width, middle[0], middle[1])
    person = centre.argmax(1)  # (B,)
    vectors = maps["regress"].flatten(2)[torch.arange(batch), :, person].view(batch, joints, 2)
    want_y, want_x = (person // width)[:, None] + vectors[..., 0], (person % width)[:, None] + vectors[..., 1]
    cell = (heat * _near(height, width, want_y, want_x)).argmax(2, keepdim=True)  # (B, 17, 1)
    offset = maps["offset"].view(batch, joints, 2, -1).gather(3, cell[:, :, None].expand(-1, -1, 2, -1))[..., 0]
    x, y = (cell[..., 0] % width + offset[..., 1]) / width, (cell[..., 0] // width + offset[..., 0]) / height
    return torch.stack([x, y], -1), heat.gather(2, cell)[..., 0]


def view_matrix(box_xyxy_px: Float, enlarge: float, degrees: float, mirror: bool) -> npt.NDArray[np.float64]:
    """Return the (2, 3) map from picture pixels to the pixels of a square view with the box's middle in its middle."""
    centre = (box_xyxy_px[:2] + box_xyxy_px[2:]) / 2
    scale = SIDE / max(float((box_xyxy_px[2:] - box_xyxy_px[:2]).max()) * enlarge, 1.0)
    angle = np.deg2rad(degrees)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    if mirror:
        turn[0] *= -1
    return np.concatenate([turn, (SIDE / 2 - turn @ centre)[:, None]], 1)


def cut_view(image: Image, matrix: npt.NDArray[np.float64], size_wh: tuple[int, int], border: int = 0) -> Image:
    """Warp a picture by a map between corner-origin pixels; the outside is black or as the cv2 border says.

    Args:
        image: (H, W, 3) uint8.
        matrix: (2, 3) affine, or (3, 3) with perspective.
        size_wh: Of the view.
        border: What cv2 puts beyond the picture's edges.
    """
    import cv2

    whole = matrix if len(matrix) == 3 else np.concatenate([matrix, [[0, 0, 1]]])
    middle = np.linalg.inv(whole) @ (size_wh[0] / 2, size_wh[1] / 2, 1)  # of the view, in the picture
    shrink = float(np.sqrt(abs(np.linalg.det(whole)) / abs(whole[2] @ middle / middle[2]) ** 3))  # there
    while shrink < 0.55 and min(image.shape[:2]) > 8:  # bilinear skips pixels when it shrinks a lot: halve first
        half = (image.shape[1] // 2, image.shape[0] // 2)
        ratio = np.array([image.shape[1] / half[0], image.shape[0] / half[1]])
        image = cv2.resize(image, half, interpolation=cv2.INTER_AREA)
        whole = whole @ np.diag([*ratio, 1.0])
        shrink *= float(ratio.mean())
    half_pixel = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])  # cv2 counts from the middle of the first pixel
    indices = np.linalg.inv(half_pixel) @ whole @ half_pixel
    if len(matrix) == 2:
        return cv2.warpAffine(image, indices[:2], size_wh, flags=cv2.INTER_LINEAR, borderMode=border)
    return cv2.warpPerspective(image, indices, size_wh, flags=cv2.INTER_LINEAR, borderMode=border)


class Teacher:
    """Finds COCO17 joints of one person in a box."""

    def __init__(self, weights: Path | str) -> None:
        """Load the float MoveNet (`movenet_lightning_f16.npz`)."""
        self.net: nn.Module = load_movenet(MoveNet(), weights, tame=False).eval()

    @torch.no_grad()
    def look(self, views: Image) -> tuple[Float, Float]:
        """Map (B, 192, 192, 3) uint8 RGB views to xy (B, 17, 2) in view pixels and scores (B, 17)."""
        xy, score = decode(self.net(normalise(torch.from_numpy(views).permute(0, 3, 1, 2))))
        return (xy * SIDE).numpy(), score.numpy()

    def joints(self, image: Image, box_xyxy_px: Float, enlarge: float = 1.25) -> tuple[Float, Float]:
        """Find one person's joints with a single look: xy (17, 2) in picture pixels, scores (17,)."""
        matrix = view_matrix(box_xyxy_px, enlarge, 0.0, False)
        xy, score = self.look(cut_view(image, matrix, (SIDE, SIDE))[None])
        return _undo(xy[0], matrix), score[0]

    def agreed(self, image: Image, box_xyxy_px: Float, upright_degrees: float = 0.0) -> tuple[Float, Float, Float]:
        """Look several times and compare.

        Args:
            image: (H, W, 3) uint8 RGB.
            box_xyxy_px: (4,) the person.
            upright_degrees: Turn of the picture that puts the person upright.

        Returns:
            xy (17, 2) in picture pixels, the median of the views; the mean score (17,); and the spread (17,): the
            median distance of the views from that, as part of the box's longer side.
        """
        matrices = [view_matrix(box_xyxy_px, e, upright_degrees + d, m) for e, d, m in VIEWS]
        xy, score = self.look(np.stack([cut_view(image, m, (SIDE, SIDE)) for m in matrices]))
        swap = list(COCO17.mirror)
        for i, (_, _, mirrored) in enumerate(VIEWS):
            if mirrored:
                xy[i], score[i] = xy[i][swap], score[i][swap]
        places = np.stack([_undo(p, m) for p, m in zip(xy, matrices, strict=True)])
        best = np.median(places, 0)
        spread = np.median(np.linalg.norm(places - best, axis=-1), 0) / (box_xyxy_px[2:] - box_xyxy_px[:2]).max()
        return best.astype(np.float32), score.mean(0), spread.astype(np.float32)


def _undo(xy: Float, matrix: npt.NDArray[np.float64]) -> Float:
    """Map view pixels back to picture pixels."""
    return ((xy - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T).astype(np.float32)
