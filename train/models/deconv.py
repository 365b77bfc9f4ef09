"""The paper's detector: ResNet, pyramid and memory at stride 32, three deconvolutions, heatmaps at stride 4.

Li, "Deep Learning based Human Pose Estimation" (thesis, UTS 2020), sections 2.4 and 2.7; the decoder is that of Xiao,
Wu and Wei, "Simple Baselines for Human Pose Estimation and Tracking", ECCV 2018. Beside the heatmaps stand as many maps
of evidence for the scores, which the thesis does not have.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from train.models.detector import Detector, DetectorConfig, Look
from train.models.reader import JOINTS, Joints
from train.models.resnet import ResNet


def deconvolutions(cin: int, width: int, layers: int = 3) -> nn.Sequential:
    """Return layers of 4x4 deconvolution, batch norm and ReLU, each doubling the map."""
    widths = (cin, *(width,) * layers)
    return nn.Sequential(
        *(
            layer
            for a, b in itertools.pairwise(widths)
            for layer in (nn.ConvTranspose2d(a, b, 4, 2, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU())
        )
    )


class Regression(nn.Module):
    """Joints straight from the features by a fully connected layer, as in table 2.4; scores likewise."""

    def __init__(self, channels: int, grid_hw: tuple[int, int], input_wh: tuple[int, int]) -> None:
        super().__init__()
        self.full = nn.Linear(channels * grid_hw[0] * grid_hw[1], 3 * JOINTS)
        nn.init.normal_(self.full.weight, std=1e-3)
        self.register_buffer("size", torch.tensor(input_wh, dtype=torch.float32), persistent=False)

    def forward(self, x: Tensor) -> Joints:
        """Map (B, C, h, w) to joints; (0, 0) of the layer is the middle of the crop, 1 its side."""
        out = self.full(x.flatten(1)).float().unflatten(1, (JOINTS, 3))
        return Joints(None, (out[..., :2] + 0.5) * self.size, out[..., 2])


class DeconvDetector(Detector):
    """ResNet with deconvolutions."""

    def __init__(self, config: DetectorConfig) -> None:
        if config.head not in ("heatmap", "regression"):
            raise ValueError(f"unknown head {config.head!r}; known: heatmap, regression")
        encoder = ResNet(config.encoder)
        super().__init__(config, encoder, encoder.channels, 32)
        if config.head == "regression":
            self.head: nn.Module = Regression(self.enhanced, self.grid_hw, config.input_wh)
        else:
            self.head = deconvolutions(self.enhanced, config.deconv)
            self.maps = nn.Conv2d(config.deconv, 2 * JOINTS, 1)

    def look(self, crops: Tensor) -> Look:
        """See `Detector.look`; nothing goes past the memory."""
        # numbers first: TensorRT does nothing to uint8 but casting it
        return Look((), self.scales(self.encoder(crops.float().permute(0, 3, 1, 2))))

    def answer(self, skips: tuple[Tensor, ...], enhanced: Tensor) -> Joints:
        """See `Detector.answer`."""
        if self.config.head == "regression":
            return self.head(enhanced)
        maps = self.maps(self.head(enhanced))
        logits, evidence = maps[:, :JOINTS], maps[:, JOINTS:]
        return Joints(logits, *self.reader(logits, evidence))
