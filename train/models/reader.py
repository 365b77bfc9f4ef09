"""Heatmaps to joints: positions, and scores that can be calibrated."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from engines.skeletons import H36M17

JOINTS = len(H36M17)
STRIDE = 4  # of the heatmaps


class Joints(NamedTuple):
    """What a network says of B crops.

    logits (B, 17, H/4, W/4), None from a network without heatmaps; xy (B, 17, 2) in crop pixels; score_logit (B, 17).
    """

    logits: Tensor | None
    xy: Tensor
    score_logit: Tensor


class PeakReader(nn.Module):
    """A soft-argmax that looks only around the peak, and how sure it is.

    A plain soft-argmax is drawn to the middle of the crop by the far-off background. So the first guess
    takes sharpened maps, and the position is the mean of the map times a Gaussian window around that guess.

    Args:
        input_wh: Crop width and height in pixels.
        sharpness: Factor on the heatmaps for the first guess of the peak.
        window: Radius (standard deviation) in cells around the first guess; infinite = a plain soft-argmax, as in
            Sun et al., "Integral Human Pose Regression", ECCV 2018.
    """

    def __init__(self, input_wh: tuple[int, int], sharpness: float, window: float) -> None:
        super().__init__()
        self.sharpness, self.window = sharpness, window
        width, height = input_wh[0] // STRIDE, input_wh[1] // STRIDE
        x, y = (torch.arange(width) + 0.5), (torch.arange(height) + 0.5)  # cell centres, in cells
        gy, gx = torch.meshgrid(y, x, indexing="ij")
        self.register_buffer("places", torch.stack([gx, gy, torch.ones_like(gx)], -1).reshape(-1, 3), persistent=False)
        self.register_buffer("x", x[None, None, None], persistent=False)
        self.register_buffer("y", y[None, None, :, None], persistent=False)
        self.certainty = nn.Linear(JOINTS, JOINTS)
        nn.init.zeros_(self.certainty.weight)
        nn.init.zeros_(self.certainty.bias)
        self.certainty.weight.data.fill_diagonal_(1.0)

    def forward(self, logits: Tensor, evidence: Tensor) -> tuple[Tensor, Tensor]:
        """Read (B, 17, h, w) heatmaps and (B, 17, h, w) evidence maps: xy (B, 17, 2) pixels, score logit (B, 17)."""
        flat = logits.float().flatten(2)
        guess = torch.softmax(flat * self.sharpness, -1) @ self.places  # (B, 17, 3)
        shrink = -0.5 / self.window**2
        near_x = torch.exp((self.x - guess[:, :, None, 0:1]) ** 2 * shrink)
        near_y = torch.exp((self.y - guess[:, :, None, 1:2]) ** 2 * shrink)
        local = torch.softmax(flat, -1) * (near_y * near_x).flatten(2)
        sums = local @ self.places  # x, y, 1
        mass = sums[..., 2] + 1e-6
        said = (local * evidence.float().flatten(2)).sum(-1) / mass
        return sums[..., :2] / mass[..., None] * STRIDE, said + self.certainty(torch.log(mass))


class Calibration(nn.Module):
    """Score logits to probabilities: a scale and a shift for each joint, then a monotone curve of straight pieces.

    Plain arithmetic, so that it goes into the exported graph. Fitted by `measure.calibrate`; without it a score is the
    sigmoid of its logit.

    Args:
        scale, shift: (17,) each: the temperature's inverse, and a bias.
        levels: (17, K) probability at K scores evenly spread over 0..1, rising.
    """

    def __init__(self, scale: Tensor, shift: Tensor, levels: Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", scale)
        self.register_buffer("shift", shift)
        self.register_buffer("floor", levels[:, 0])
        self.register_buffer("steps", levels.diff(dim=1))  # (17, K - 1)

    def forward(self, score_logit: Tensor) -> Tensor:
        """Map (B, 17) logits to (B, 17) probabilities."""
        score = torch.sigmoid(score_logit * self.scale + self.shift)
        pieces = self.steps.shape[1]
        starts = torch.arange(pieces, dtype=score.dtype, device=score.device)
        done = torch.clamp(score[..., None] * pieces - starts, 0, 1)  # (B, 17, K - 1): how much of each piece
        return self.floor + (done * self.steps).sum(-1)
