"""Detector: a picture and person boxes -> 2D joints with scores, with memory from frame to frame."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence

import numpy as np
import numpy.typing as npt

from engines.errors import EngineError
from engines.geometry import Float, crop_boxes, crop_to_pixels, cut_crops
from engines.runtime import Engine, require_kind


class Detector:
    """Runs a temporal 2D detector; one memory row per person."""

    def __init__(self, engine: Engine) -> None:
        """Wrap a loaded model.

        Raises:
            EngineError: If it is not a detector.
        """
        require_kind(engine, "detector", "frame_detector")
        self.engine = engine
        settings = engine.spec.settings
        self._frame = engine.spec.inputs[0] if engine.spec.kind == "frame_detector" else None
        self.crop_wh: tuple[int, int] = (int(settings["input_wh"][0]), int(settings["input_wh"][1]))
        self.crop_scale = float(settings["crop_scale"])

    def detect(
        self,
        image: npt.NDArray[np.uint8],
        boxes_xyxy_px: Float,
        keys: Sequence[Hashable],
        reset: Collection[Hashable] = (),
    ) -> tuple[Float, Float]:
        """Find the joints of each boxed person.

        Args:
            image: (H, W, 3) uint8 RGB.
            boxes_xyxy_px: (P, 4) person boxes (tight; the crop's margin is added here).
            keys: P track ids; a key's memory is carried from the last call.
            reset: Keys whose memory is forgotten.

        Returns:
            (P, 17, 2) joints in picture pixels; (P, 17) scores 0..1.

        Raises:
            EngineError: If the model takes whole frames, of another size or layout than this one.
        """
        if len(keys) == 0:
            return np.zeros((0, 17, 2), np.float32), np.zeros((0, 17), np.float32)
        crops = crop_boxes(np.asarray(boxes_xyxy_px, np.float32), self.crop_wh, self.crop_scale)
        if self._frame is None:
            inputs = {"crops": cut_crops(image, crops, self.crop_wh)}
        else:
            self._check_frame(image)
            inputs = {"frame": image, "boxes_xyxy": crops}
        out = self.engine.run(inputs, keys, reset)
        return crop_to_pixels(out["xy"].astype(np.float32), crops, self.crop_wh), out["score"].astype(np.float32)

    def _check_frame(self, image: npt.NDArray[np.uint8]) -> None:
        assert self._frame is not None
        if image.shape != self._frame.shape:
            have, want = (f"{' x '.join(map(str, shape))}" for shape in (image.shape, self._frame.shape))
            raise EngineError(
                f"{self.engine.spec.name} takes frames of {want}, this one is {have}: "
                "python -m train.tasks.on_device makes one for other frames"
            )
