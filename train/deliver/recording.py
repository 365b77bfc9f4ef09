"""What the models really get to see: the inputs of finder, detector and lifter while they follow a clip.

Calibration for int8 and the comparison of engines need inputs with a true history, not noise: the recurrent
state is only where it is in life if the frames before were real ones.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engines.detector import Detector
from engines.finder import Finder
from engines.geometry import default_focal_px
from engines.lifter import Lifter
from engines.ort import OrtEngine
from engines.runtime import Arrays, Carried, Engine, find_weights

Inputs = list[dict[str, npt.NDArray[Any]]]
Image = npt.NDArray[np.uint8]


class TappedEngine:
    """An engine that remembers the inputs of every call with someone in it."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.spec, self.backend, self.sha256 = engine, engine.spec, engine.backend, engine.sha256
        self.inputs: Inputs = []

    def run(
        self, inputs: Arrays, keys: Sequence[Hashable] = (), reset: Collection[Hashable] = ()
    ) -> dict[str, npt.NDArray[np.generic]]:
        """Run one frame; see `engines.runtime.Engine.run`."""
        if keys or not self.spec.states:
            self.inputs.append({name: np.array(array) for name, array in inputs.items()})
        return self.engine.run(inputs, keys, reset)

    def carried(self) -> Carried:
        """Return the state of every key."""
        return self.engine.carried()

    def adopt(self, carried: Carried) -> None:
        """Go on from another engine's state."""
        self.engine.adopt(carried)

    def close(self) -> None:
        """Free the model."""
        self.engine.close()


def record_inputs(
    frames: Iterable[Image],
    fps: float,
    finder: str = "finder-mnv2",
    detector: str = "detector-mnv2-tce64",
    lifter: str = "lifter-tcn",
) -> dict[str, Inputs]:
    """Follow the surest person of a clip and return what each model was given, by kind.

    Args:
        frames: (H, W, 3) uint8 RGB, in order.
        fps: Of the clip.
        finder: Name or path of an fp32 model.
        detector: Likewise.
        lifter: Likewise.

    Returns:
        For "finder", "detector" and "lifter" the inputs of each call, one row (person) in each.
    """
    taps = [TappedEngine(OrtEngine(find_weights(m), 2)) for m in (finder, detector, lifter)]
    find, detect, lift = Finder(taps[0]), Detector(taps[1]), Lifter(taps[2])
    for number, image in enumerate(frames):
        boxes, _ = find.find(image)
        if not len(boxes):
            continue
        size_wh = (image.shape[1], image.shape[0])
        xy, score = detect.detect(image, boxes[:1], [0])
        lift.lift(xy, score, number / fps, size_wh, default_focal_px(size_wh), [0])
    for tap in taps:
        tap.close()
    return {tap.spec.kind: tap.inputs for tap in taps}


def save_recording(path: Path, recorded: dict[str, Inputs], frames: int, credit: str) -> None:
    """Write a short recording for `engines.measure.parity`.

    Args:
        path: Where to write (.npz).
        recorded: From `record_inputs`.
        frames: How many consecutive frames of detector and lifter to keep; of the finder four, spread out.
        credit: Where the pictures come from and their licence.
    """
    arrays: dict[str, npt.NDArray[Any]] = {"credit": np.array(credit)}
    for kind, calls in recorded.items():
        chosen = calls[:: max(1, len(calls) // 4)][:4] if kind == "finder" else calls[len(calls) // 3 :][:frames]
        for name in chosen[0]:
            stacked = np.stack([c[name] if kind == "finder" else c[name][0] for c in chosen])
            arrays[f"{kind}_{name}"] = _strip(stacked) if stacked.dtype == np.uint8 else stacked
    np.savez_compressed(path, **arrays)


def _strip(pictures: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Pack (T, H, W, 3) RGB as 8 bytes of T and one tall JPEG."""
    import cv2

    tall = cv2.cvtColor(pictures.reshape(-1, *pictures.shape[2:]), cv2.COLOR_RGB2BGR)
    _, jpeg = cv2.imencode(".jpg", tall, [cv2.IMWRITE_JPEG_QUALITY, 90])
    return np.concatenate([np.frombuffer(np.int64(len(pictures)).tobytes(), np.uint8), jpeg.ravel()])
