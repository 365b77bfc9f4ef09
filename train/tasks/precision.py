"""Make fp16 and int8 files of the shipped models, and say what the smaller numbers cost.

    python -m train.tasks.precision                        every shipped model
    python -m train.tasks.precision detector-mnv2-tce64    one of them

Writes NAME-fp16.onnx, NAME-int8-ort.onnx (for ONNX Runtime) and NAME-int8-trt.onnx (for TensorRT) into the cache
folder, where `--detector NAME-int8-ort` and `posestream build NAME --precision int8` find them. int8 is calibrated on
the first half of a clip and compared on the second.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx

from engines.errors import EngineError
from engines.measure.latency import measure
from engines.measure.parity import SURE, Frames, walk
from engines.ort import OrtEngine
from engines.plans.cache import cache_dir, write_atomically
from engines.runtime import WEIGHTS_DIR, Engine, find_weights
from engines.spec import EngineSpec
from train.data.motion.mocap import data_root
from train.data.people.clips import read_frames
from train.deliver.precision import INT8_FORMS, note_source, read_spec, to_fp16, to_int8
from train.deliver.recording import record_inputs, save_recording

MODELS = tuple(path.stem for path in sorted(WEIGHTS_DIR.glob("*.onnx")))
FRAMES = 120
_SCALES = {"xy": ("px", 1.0), "boxes_xyxy": ("px", 1.0), "xyz_m": ("mm", 1000.0), "root_m": ("mm", 1000.0)}


def default_clip() -> Path:
    """Return the clip that is calibrated on unless another is named."""
    return data_root() / "clips" / "pose_1.mp4"


def cost(reference: Engine, candidate: Engine, frames: Frames) -> dict[str, dict[str, float | str]]:
    """Return, per output, median, 95th percentile and maximum of the absolute difference.

    Joints and boxes that the reference is not sure of are left out; positions of joints are in pixels of the crop.
    """
    spec = reference.spec
    want, have = walk(reference, frames), walk(candidate, frames)
    found: dict[str, dict[str, float | str]] = {}
    for tensor in spec.outputs:
        unit, scale = _SCALES.get(tensor.name, ("", 1.0))
        gaps = []
        for w, h in zip(want, have, strict=True):
            gap = np.abs(w[tensor.name].astype(np.float64) - h[tensor.name]) * scale
            scores = w.get("score", w.get("scores"))
            least = SURE if spec.kind == "detector" else float(spec.settings.get("score_threshold", 0.0))
            gaps.append(gap[scores >= least].ravel() if scores is not None else gap.ravel())
        every = np.concatenate(gaps)
        p50, p95, most = np.percentile(every, [50, 95, 100]).round(4).tolist() if every.size else [float("nan")] * 3
        found[tensor.name] = {"unit": unit, "p50": p50, "p95": p95, "max": most}
    return found


def convert(name: str, frames: Frames, out_dir: Path, forms: list[str], threads: int) -> dict[str, Any]:
    """Write one model's files and compare each with fp32; return the figures by form."""
    path = find_weights(name)
    model = onnx.load(path)
    reference = OrtEngine(path, threads)
    frames, middle = _fit(frames, reference.spec), len(frames) // 2
    figures: dict[str, Any] = {"fp32": {"ms": measure(reference, frames[middle:], 100).p50_ms}}
    for form in forms:
        made = to_fp16(model) if form == "fp16" else to_int8(model, frames[:middle], form.removeprefix("int8-"))
        note_source(made, reference.sha256)
        target = out_dir / f"{path.stem}-{form}.onnx"
        out_dir.mkdir(parents=True, exist_ok=True)
        write_atomically(target, made.SerializeToString())
        engine = OrtEngine(target, threads)
        figures[form] = {
            "mb": round(target.stat().st_size / 1e6, 2),
            "ms": measure(engine, frames[middle:], 100).p50_ms,
            "difference": cost(reference, engine, frames[middle:]),
        }
        sys.stdout.write(_lines(read_spec(model).name, form, figures))
        sys.stdout.flush()
        engine.close()
    reference.close()
    return figures


def _fit(frames: Frames, spec: EngineSpec) -> Frames:
    """Bring recorded crops to a model's own crop size."""
    for tensor in spec.inputs if spec.kind == "detector" else ():
        height, width = (int(n) for n in tensor.shape[1:3])
        if frames[0][tensor.name].shape[1:3] != (height, width):
            return [{tensor.name: np.stack([cv2.resize(c, (width, height)) for c in f[tensor.name]])} for f in frames]
    return frames


def _lines(name: str, form: str, figures: dict[str, Any]) -> str:
    f = figures[form]
    lines = [f"{name} {form}: {f['mb']} MB, {f['ms']:.2f} ms (fp32 {figures['fp32']['ms']:.2f}) in ONNX Runtime"]
    for output, d in f["difference"].items():
        lines.append(f"  {output:12} p50 {d['p50']:.4g}  p95 {d['p95']:.4g}  max {d['max']:.4g} {d['unit']}")
    return "\n".join(lines) + "\n"


def main(argv: list[str] | None = None) -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m train.tasks.precision", description=__doc__.splitlines()[0])
    parser.add_argument(
        "models", nargs="*", default=list(MODELS), metavar="MODEL", help="names or paths of fp32 models"
    )
    parser.add_argument(
        "--clip", type=Path, default=default_clip(), help="with one person in it (default: %(default)s)"
    )
    parser.add_argument("--fps", type=float, default=30.0, help="of the clip (default: %(default)s)")
    forms = ["fp16", *(f"int8-{form}" for form in INT8_FORMS)]
    parser.add_argument("--forms", nargs="+", choices=forms, default=forms, help="which files to make (default: all)")
    parser.add_argument("--out", type=Path, default=cache_dir() / "models", help="folder (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="of the timing (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument("--save-recording", type=Path, help="also write the short recording that engines are proven on")
    parser.add_argument("--credit", default="", help="stored in the recording: where the pictures come from")
    options = parser.parse_args(argv)
    try:
        recorded = record_inputs(read_frames(options.clip)[:FRAMES], options.fps)
        if options.save_recording:
            save_recording(options.save_recording, recorded, 24, options.credit)
        figures = {}
        for name in options.models:
            kind = read_spec(onnx.load(find_weights(name))).kind
            figures[name] = convert(name, recorded[kind], options.out, options.forms, options.threads)
    except (EngineError, FileNotFoundError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
