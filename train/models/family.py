"""The detector's sizes by name, and the one place that builds them."""

from __future__ import annotations

from train.models.compact import CompactDetector
from train.models.deconv import DeconvDetector
from train.models.detector import Detector, DetectorConfig
from train.models.memory import MemoryConfig

FAMILY = {
    "mnv2-tce64": DetectorConfig(),
    "mnv2-tce128": DetectorConfig(channels=128),
    "r18-tce128": DetectorConfig(encoder="resnet18", channels=128, deconv=128),
    "r50-tce512": DetectorConfig(
        input_wh=(256, 256),
        encoder="resnet50",
        channels=512,
        branch=512,
        memory=MemoryConfig(multi_scale=True, windowed=True, bidirectional=True),
    ),
}
"""`r50-tce512` is the paper's: Res50-MS-TCE-BC, N = 6. A detector's file name begins with `detector-` and its name."""


def build_detector(config: DetectorConfig) -> Detector:
    """Return the network with random weights.

    Raises:
        ValueError: If encoder and head do not go together.
        KeyError: If the encoder is unknown.
    """
    return CompactDetector(config) if config.encoder == "mnv2" else DeconvDetector(config)
