"""Make a detector that takes whole frames and cuts its crops on the device, and say how far off its crops are.

    python -m train.tasks.on_device detector-mnv2-tce64 --frame 1920x1080

writes detector-mnv2-tce64-1920x1080.onnx into the cache folder; `--detector detector-mnv2-tce64-1920x1080` runs it,
`posestream build detector-mnv2-tce64-1920x1080` makes its engine. A file fits one size of frames.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import onnx

from engines.errors import EngineError
from engines.geometry import cut_crops
from engines.measure.parity import SURE, Frames, recorded_frames, walk
from engines.modelfile import read_model
from engines.ort import OrtEngine
from engines.plans.cache import cache_dir, write_atomically
from engines.runtime import find_weights
from train.deliver.on_device import LAYOUTS, YCBCR, with_frame


def difference(detector: OrtEngine, framed: OrtEngine, people: int = 2, frames: int = 6) -> tuple[float, float]:
    """Return the median and the largest distance in crop pixels between joints of host crops and of the device's.

    Both engines follow the recording, with their own memory; joints that the detector is not sure of are left out.
    """
    whole = recorded_frames(framed.spec, people)[:frames]
    if framed.spec.settings["frame_layout"] != "rgb":
        return float("nan"), float("nan")  # the host cuts from RGB: another picture
    crop_wh = tuple(int(n) for n in framed.spec.settings["input_wh"])
    cut: Frames = [{"crops": cut_crops(f["frame"], f["boxes_xyxy"], (crop_wh[0], crop_wh[1]))} for f in whole]
    gaps = [
        np.linalg.norm(a["xy"] - b["xy"], axis=-1)[a["score"] >= SURE]
        for a, b in zip(walk(detector, cut), walk(framed, whole), strict=True)
    ]
    every = np.concatenate(gaps)
    return float(np.median(every)), float(every.max())


def make(name: str, frame_wh: tuple[int, int], layout: str, matrix: str, out_dir: Path) -> Path:
    """Write the file; return its path.

    Raises:
        EngineError: If there is no such detector, or frames of that size have no such layout.
    """
    path = find_weights(name)
    model = read_model(path)
    framed = with_frame(onnx.load(path), model.sha256, frame_wh, layout, matrix)
    suffix = f"{frame_wh[0]}x{frame_wh[1]}" + ("" if layout == "rgb" else f"-{layout}")
    out_dir.mkdir(parents=True, exist_ok=True)
    target = out_dir / f"{path.stem}-{suffix}.onnx"
    write_atomically(target, framed.SerializeToString())
    return target


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdigit() and height.isdigit() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write e.g. 1920x1080")
    return int(width), int(height)


def main(argv: list[str] | None = None) -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m train.tasks.on_device", description=__doc__.splitlines()[0])
    parser.add_argument("detector", metavar="MODEL", help="name or path of a detector, of any precision")
    parser.add_argument("--frame", type=_size, default=(1920, 1080), metavar="WxH", help="of the source (1920x1080)")
    parser.add_argument("--layout", choices=LAYOUTS, default="rgb", help="nv12: as a decoder on the GPU gives them")
    parser.add_argument("--matrix", choices=tuple(YCBCR), default="bt709", help="colours of nv12 (bt709)")
    parser.add_argument("--out", type=Path, default=cache_dir() / "models", help="folder (default: %(default)s)")
    options = parser.parse_args(argv)
    try:
        target = make(options.detector, options.frame, options.layout, options.matrix, options.out)
        detector, framed = OrtEngine(find_weights(options.detector)), OrtEngine(target)
        middle, most = difference(detector, framed)
    except EngineError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write(f"{target.name}: {target.stat().st_size / 1e6:.1f} MB")
    sys.stdout.write(f"; joints within {most:.2f} px of the crop (median {middle:.3f}) of crops cut on the host\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
