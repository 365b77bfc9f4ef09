"""The compact detector: MobileNetV2, and all of MoveNet's feature path for a decoder.

The network finds 13 of the 17 joints before any training. The pyramid and the memory work at stride 16; what they
have to say is added into MoveNet's path through a convolution that starts at zero.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from engines.skeletons import COCO17, H36M17
from train.models.detector import Detector, DetectorConfig, Look
from train.models.mobilenet import CHANNELS, FeaturePath, MobileNetV2, Separable, double, load_movenet, normalise
from train.models.reader import JOINTS, Joints

MERGED = 32.0  # about the deviation of MoveNet's map at stride 16: brings it to the scale of the other maps and back
NO_COUNTERPART = {
    "pelvis": ("left_hip", "right_hip"),
    "thorax": ("left_shoulder", "right_shoulder"),
    "spine": ("left_hip", "right_hip", "left_shoulder", "right_shoulder"),
    "head_top": ("nose",),
}
"""H36M joints that MoveNet lacks, and the COCO joints whose heatmaps they start from."""


class CompactDetector(Detector):
    """MobileNetV2 with MoveNet's path."""

    def __init__(self, config: DetectorConfig | None = None) -> None:
        config = config or DetectorConfig()
        if config.encoder != "mnv2" or config.head != "heatmap":
            raise ValueError(f"a compact detector has MobileNetV2 and heatmaps, not {config.encoder}, {config.head}")
        super().__init__(config, MobileNetV2(), CHANNELS["s16_96"] + 64, 16)
        self.path = FeaturePath()
        width, height = config.input_wh
        self.skip_shapes = tuple(
            (channels, height // stride, width // stride)
            for channels, stride in ((64, 16), (CHANNELS["s8"], 8), (CHANNELS["s4"], 4))
        )
        self.tell = nn.Conv2d(self.enhanced, 64, 1)
        self.lateral8 = nn.Conv2d(CHANNELS["s8"], self.enhanced, 1)
        self.coarse = Separable(self.enhanced, 96, 2 * JOINTS)  # stride 8: heatmaps, and evidence for the score
        self.fine = Separable(24, 96, JOINTS)  # stride 4: MoveNet's heatmap head
        for layer in (self.tell, self.coarse.out):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def look(self, crops: Tensor) -> Look:
        """See `Detector.look`; the skips are the merged map at stride 16 and the features at strides 8 and 4."""
        features = self.encoder(normalise(crops).permute(0, 3, 1, 2))
        merged = self.path.merge16(features)
        x = self.scales(torch.cat([features["s16_96"] / 8, merged / MERGED], 1))
        return Look((merged, features["s8"], features["s4"]), x)

    def answer(self, skips: tuple[Tensor, ...], enhanced: Tensor) -> Joints:
        """Decode: what the memory tells goes into MoveNet's path, and as a coarse map beside it."""
        merged, s8, s4 = skips
        fused = self.path.descend(merged + self.tell(enhanced) * MERGED, {"s8": s8, "s4": s4})
        coarse = double(self.coarse(double(enhanced) + self.lateral8(s8)))
        logits = self.fine(fused) + coarse[:, :JOINTS]
        return Joints(logits, *self.reader(logits, coarse[:, JOINTS:]))

    def load_pretrained(self, path: Path | str) -> CompactDetector:
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
