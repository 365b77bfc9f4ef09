"""The 2D joint detector: MobileNetV2, dilated pyramid, TCE memory, and heatmaps for 17 joints.

MoveNet's whole feature path is kept (see train/models/mobilenet.py), so the network finds 13 of the 17
joints before any training. The pyramid and the memory work at stride 16; what they have to say is
added into MoveNet's path through a convolution that starts at zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from engines.skeletons import COCO17, H36M17
from train.models.mobilenet import CHANNELS, FeaturePath, MobileNetV2, Separable, double, load_movenet, normalise
from train.models.pyramid import DilatedPyramid
from train.models.tce import State, TceCell

JOINTS = len(H36M17)
STRIDE = 4  # of the heatmaps
MERGED = 32.0  # about the deviation of MoveNet's map at stride 16: brings it to the scale of the other maps and back
NO_COUNTERPART = {
    "pelvis": ("left_hip", "right_hip"),
    "thorax": ("left_shoulder", "right_shoulder"),
    "spine": ("left_hip", "right_hip", "left_shoulder", "right_shoulder"),
    "head_top": ("nose",),
}
"""H36M joints that MoveNet lacks, and the COCO joints whose heatmaps they start from."""


@dataclass(frozen=True)
class DetectorConfig:
    """Sizes of the network.

    Attributes:
        input_wh: Crop width and height in pixels, multiples of 32.
        channels: Of pyramid and memory.
        sharpness: Factor on the heatmaps for the first guess of the peak.
        window: Radius (standard deviation) in heatmap cells around the first guess that the position is taken from.
    """

    input_wh: tuple[int, int] = (192, 256)
    channels: int = 64
    sharpness: float = 6.0
    window: float = 2.5


class Joints(NamedTuple):
    """What the network says of B crops: logits (B, 17, H/4, W/4), xy (B, 17, 2) in crop pixels, score_logit (B, 17)."""

    logits: Tensor
    xy: Tensor
    score_logit: Tensor


class PeakReader(nn.Module):
    """Heatmaps to positions and scores: a soft-argmax that looks only around the peak.

    A plain soft-argmax is drawn to the middle of the crop by the far-off background. So the first guess
    takes sharpened maps, and the position is the mean of the map times a Gaussian window around that guess.
    """

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__()
        self.config = config
        width, height = config.input_wh[0] // STRIDE, config.input_wh[1] // STRIDE
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
        guess = torch.softmax(flat * self.config.sharpness, -1) @ self.places  # (B, 17, 3)
        shrink = -0.5 / self.config.window**2
        near_x = torch.exp((self.x - guess[:, :, None, 0:1]) ** 2 * shrink)
        near_y = torch.exp((self.y - guess[:, :, None, 1:2]) ** 2 * shrink)
        local = torch.softmax(flat, -1) * (near_y * near_x).flatten(2)
        sums = local @ self.places  # x, y, 1
        mass = sums[..., 2] + 1e-6
        said = (local * evidence.float().flatten(2)).sum(-1) / mass
        return sums[..., :2] / mass[..., None] * STRIDE, said + self.certainty(torch.log(mass))


class Detector(nn.Module):
    """Crops of one person each, frame by frame, to heatmaps, positions and scores."""

    def __init__(self, config: DetectorConfig | None = None) -> None:
        super().__init__()
        self.config = config or DetectorConfig()
        channels, (width, height) = self.config.channels, self.config.input_wh
        self.encoder = MobileNetV2()
        self.path = FeaturePath()
        grid_hw = (height // 16, width // 16)
        self.pyramid = DilatedPyramid(CHANNELS["s16_96"] + 64, channels, grid_hw)
        self.tce = TceCell(channels, grid_hw)
        self.tell = nn.Conv2d(channels, 64, 1)
        self.lateral8 = nn.Conv2d(CHANNELS["s8"], channels, 1)
        self.coarse = Separable(channels, 96, 2 * JOINTS)  # stride 8: heatmaps, and evidence for the score
        self.fine = Separable(24, 96, JOINTS)  # stride 4: MoveNet's heatmap head
        for layer in (self.tell, self.coarse.out):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.reader = PeakReader(self.config)

    def fresh_state(self, people: int) -> State:
        """Return a state of zeros for that many people."""
        width, height = self.config.input_wh
        shape = (people, self.config.channels, height // 16, width // 16)
        return torch.zeros(shape), torch.zeros(shape)

    def look(self, crops: Tensor) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Do what needs no memory: crops (B, H, W, 3) uint8 to features, their merge at stride 16, and the pyramid."""
        features = self.encoder(normalise(crops).permute(0, 3, 1, 2))
        merged = self.path.merge16(features)
        return features, merged, self.pyramid(torch.cat([features["s16_96"] / 8, merged / MERGED], 1))

    def answer(self, features: dict[str, Tensor], merged: Tensor, enhanced: Tensor) -> Joints:
        """Decode: what the memory tells goes into MoveNet's path, and as a coarse map beside it."""
        fused = self.path.descend(merged + self.tell(enhanced) * MERGED, features)
        coarse = double(self.coarse(double(enhanced) + self.lateral8(features["s8"])))
        logits = self.fine(fused) + coarse[:, :JOINTS]
        return Joints(logits, *self.reader(logits, coarse[:, JOINTS:]))

    def forward(self, crops: Tensor, rehearsals: int = 0) -> Joints:
        """Follow people through short sequences, for training.

        Args:
            crops: (B, T, H, W, 3) uint8 RGB.
            rehearsals: How often the memory first runs to the end of the sequence and back, without gradient. 0 = it
                starts fresh; more = it is in the state that a long video leaves it in.

        Returns:
            Joints of the B * T crops, sequence by sequence.
        """
        batch, frames = crops.shape[:2]
        features, merged, seen = self.look(crops.flatten(0, 1))
        seen = seen.unflatten(0, (batch, frames))
        keep = torch.zeros(batch, device=crops.device)
        state = tuple(s.to(crops.device) for s in self.fresh_state(batch))
        with torch.no_grad():
            for t in [*range(frames), *range(frames - 2, 0, -1)] * rehearsals:
                _, state = self.tce(seen[:, t], keep, state)
                keep = torch.ones_like(keep)
        enhanced = []
        for t in range(frames):
            out, state = self.tce(seen[:, t], keep, state)
            enhanced.append(out)
            keep = torch.ones_like(keep)
        return self.answer(features, merged, torch.stack(enhanced, 1).flatten(0, 1))

    def load_pretrained(self, path: Path | str) -> Detector:
        """Start from MoveNet's weights: encoder, feature path and, for 13 joints, its heatmap head.

        Raises:
            KeyError: If the file is not MoveNet's.
        """
        parts = nn.Module()
        parts.fpn, parts.heatmap = self.path, Separable(24, 96, len(COCO17))
        load_movenet(self.encoder, path)
        load_movenet(parts, path)
        self.fine.depthwise.load_state_dict(parts.heatmap.depthwise.state_dict())
        self.fine.pointwise.load_state_dict(parts.heatmap.pointwise.state_dict())
        with torch.no_grad():
            for row, name in enumerate(H36M17.joints):
                sources = [COCO17.index(n) for n in NO_COUNTERPART.get(name, (name,))]
                self.fine.out.weight[row] = parts.heatmap.out.weight[sources].mean(0)
                self.fine.out.bias[row] = parts.heatmap.out.bias[sources].mean(0)
        return self


class DetectorStep(nn.Module):
    """One frame, with the state going in and out: the graph that is exported."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, crops: Tensor, keep: Tensor, hidden: Tensor, memory: Tensor) -> tuple[Tensor, ...]:
        """Do one frame.

        Args:
            crops: (people, H, W, 3) uint8 RGB.
            keep: (people,) float32; 0 = ignore the state.
            hidden: (people, C, H/16, W/16) float32 of the frame before.
            memory: Likewise.

        Returns:
            xy (people, 17, 2) in crop pixels, score (people, 17), new hidden, new memory.
        """
        features, merged, seen = self.detector.look(crops)
        enhanced, (hidden, memory) = self.detector.tce(seen, keep, (hidden, memory))
        joints = self.detector.answer(features, merged, enhanced)
        return joints.xy, torch.sigmoid(joints.score_logit), hidden, memory
