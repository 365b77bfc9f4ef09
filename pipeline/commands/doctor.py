"""`posestream doctor`: what this machine can run, what is missing, and the command that mends it."""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from engines.errors import EngineError
from engines.runtime import WEIGHTS_DIR, find_weights
from pipeline.commands.launch import write_json
from pipeline.config import ModelConfig
from pipeline.errors import PipelineError

NEEDED_PYTHON = ((3, 11), (3, 13))
LOW_MB = 500
# distribution, module, the extra that brings it ("" = posestream cannot run without)
PACKAGES = (
    ("numpy", "numpy", ""), ("onnxruntime", "onnxruntime", ""), ("av", "av", ""),
    ("opencv-python-headless", "cv2", ""), ("pyzmq", "zmq", ""), ("msgpack", "msgpack", ""), ("rich", "rich", ""),
    ("cv2-enumerate-cameras", "cv2_enumerate_cameras", ""),
    ("PySide6-Essentials", "PySide6.QtCore", "viewer"), ("pyqtgraph", "pyqtgraph", "viewer"),
    ("torch", "", "train"), ("onnx", "", "train"),
)  # fmt: skip
DECODERS = ("h264", "hevc", "vp9", "av1", "mjpeg")
MARKS = {"ok": "ok  ", "absent": " -  ", "bad": "BAD "}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at.

    Attributes:
        name: What.
        state: "ok", "absent" (an option this machine does not have) or "bad" (posestream cannot run like this).
        said: What was found.
        mend: The command or act that mends it; "" if there is nothing to mend.
        facts: The same as plain data.
    """

    name: str
    state: str
    said: str
    mend: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


def main(argv: Sequence[str]) -> int:
    """Run the command; returns 0 if posestream can run here on the CPU, else 1."""
    parser = argparse.ArgumentParser("posestream doctor", description="What this machine can run, and what is missing.")
    parser.add_argument("--json", nargs="?", const="-", metavar="FILE", help="as JSON, into FILE or printed")
    args = parser.parse_args(argv)
    checks = examine()
    if args.json != "-":
        sys.stdout.write(table(checks))
    if args.json is not None:
        write_json({"ok": works(checks), "checks": [asdict(check) for check in checks]}, args.json)
    return 0 if works(checks) else 1


def examine() -> list[Check]:
    """Look at everything, one after another."""
    looks: tuple[Callable[[], list[Check]], ...] = (
        look_at_python, look_at_packages, look_at_models, look_at_gpu, look_at_display, look_at_cameras,
        look_at_codecs, look_at_space,
    )  # fmt: skip
    return [check for look in looks for check in look()]


def works(checks: list[Check]) -> bool:
    """Return whether posestream can run on the CPU, with or without a viewer."""
    return all(check.state != "bad" for check in checks)


def table(checks: list[Check]) -> str:
    """Return the findings for people."""
    wide = max(len(check.name) for check in checks)
    lines = []
    for check in checks:
        lines.append(f"{MARKS[check.state]} {check.name:{wide}}  {check.said}")
        if check.mend:
            lines.append(f"{'':{wide + 7}}-> {check.mend}")
    verdict = "posestream can run here" if works(checks) else "posestream cannot run here: mend what is marked BAD"
    return "\n".join(lines) + f"\n\n{verdict}\n"


def look_at_python() -> list[Check]:
    """Python, operating system and processor cores."""
    low, high = NEEDED_PYTHON
    good = low <= sys.version_info[:2] <= high
    wants = f"{low[0]}.{low[1]} to {high[0]}.{high[1]}"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return [
        Check(
            "Python", "ok" if good else "bad", f"{platform.python_version()} on {platform.platform(terse=True)}",
            "" if good else f"install Python {wants}", {"version": platform.python_version()},
        ),
        Check("processor", "ok", f"{cores} cores ({platform.machine()})", facts={"cores": cores}),
    ]  # fmt: skip


def look_at_packages() -> list[Check]:
    """Versions; what the live path needs is really imported."""
    return [_package(*row) for row in PACKAGES]


def _package(name: str, module: str, extra: str) -> Check:
    install = f"pip install 'posestream[{extra}]'" if extra else f"pip install {name}"
    found = _version(name)
    trouble = ""
    try:
        if module:
            loaded = importlib.import_module(module)
            found = found or getattr(loaded, "__version__", "unknown version")
    except (ImportError, OSError) as error:  # OSError: a system library is missing
        trouble = "not installed" if found is None else f"{found} does not load: {error}"
    if not trouble and found is None:
        trouble = "not installed"
    if not trouble and name.startswith("PySide6") and found == "6.12.0" and sys.version_info < (3, 12):
        trouble, install = "6.12.0 aborts Python 3.11", "pip install 'PySide6-Essentials!=6.12.0'"
    if trouble:
        return Check(name, "absent" if extra else "bad", trouble, install, {"version": found})
    return Check(name, "ok", f"{found}", facts={"version": found})


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def look_at_models() -> list[Check]:
    """Load every shipped model as the CPU would; those of the default run must be there."""
    default = ModelConfig()
    wanted = {default.finder, default.detector, default.lifter}
    names = sorted(wanted | {path.stem for path in WEIGHTS_DIR.glob("*.onnx")})
    return [_model(name, "bad" if name in wanted else "absent") for name in names]


def _model(name: str, otherwise: str) -> Check:
    mend = "reinstall posestream: pip install --force-reinstall --no-deps posestream"
    try:
        from engines.ort import OrtEngine

        engine = OrtEngine(find_weights(name))
    except (EngineError, ImportError) as error:
        return Check(f"model {name}", otherwise, str(error), mend)
    spec = engine.spec
    size = "x".join(str(n) for n in spec.settings.get("input_wh", ()))
    window = spec.settings.get("receptive_field")
    about = ", ".join(filter(None, [spec.kind, spec.precision, size, f"{window} frames" if window else ""]))
    facts = {"kind": spec.kind, "precision": spec.precision, "sha256": engine.sha256, "settings": dict(spec.settings)}
    engine.close()
    return Check(f"model {name}", "ok", f"{spec.name}: {about}, sha256 {engine.sha256[:8]}", facts=facts)


def look_at_gpu() -> list[Check]:
    """Providers of ONNX Runtime, the graphics card, TensorRT, its engines: none of them needed."""
    checks = []
    try:
        providers = importlib.import_module("onnxruntime").get_available_providers()
        checks.append(Check("ONNX Runtime", "ok", ", ".join(providers), facts={"providers": providers}))
    except (ImportError, OSError):
        pass  # told above, among the packages
    from engines.measure.readiness import look

    checks += [Check(f.name, "ok" if f.there else "absent", f.said, f.mend, f.facts) for f in look()]
    return checks


def look_at_display() -> list[Check]:
    """Whether the viewer could open a window."""
    display = importlib.import_module("viewer.display")  # by name: this room may not import that one; brings no Qt
    try:
        display.check_qt()
        display.check_screen()
    except PipelineError as error:
        return [Check("viewer", "absent", f"{error}; --no-view and replay work", error.hint)]
    return [Check("viewer", "ok", "a window can be opened")]


def look_at_cameras() -> list[Check]:
    """Cameras by number and name."""
    from pipeline.sources.camera import list_cameras

    cameras = list_cameras()
    said = ", ".join(f"{index}: {name}" for index, name in sorted(cameras.items()))
    if not cameras:
        return [
            Check("cameras", "absent", "none found", "plug one in; in a container pass it on: --device /dev/video0")
        ]
    return [Check("cameras", "ok", said, facts={str(index): name for index, name in cameras.items()})]


def look_at_codecs() -> list[Check]:
    """What PyAV's FFmpeg can read and write."""
    try:
        av = importlib.import_module("av")
    except (ImportError, OSError):
        return []  # told above, among the packages
    missing = [name for name in DECODERS if name not in av.codecs_available]
    encoder = next((name for name in ("libx264", "mpeg4") if name in av.codecs_available), "")
    ffmpeg = ".".join(str(n) for n in av.library_versions["libavcodec"])
    said = f"libavcodec {ffmpeg}; reads {', '.join(name for name in DECODERS if name not in missing)}"
    said += f"; writes {encoder}" if encoder else "; cannot write video"
    mend = "pip install --force-reinstall av" if "h264" in missing or not encoder else ""
    return [Check("video codecs", "absent" if mend else "ok", said, mend, {"missing": missing, "encoder": encoder})]


def look_at_space() -> list[Check]:
    """The private folder of a run, and room for what is saved."""
    from pipeline.processes.rundir import RunDir

    try:
        directory = RunDir()
        directory.close()
        checks = [Check("run folder", "ok", str(directory.path.parent))]
    except OSError as error:
        checks = [
            Check("run folder", "bad", f"cannot be made: {error}", "set TMPDIR to a folder that you can write to")
        ]
    for name, path in (
        ("disk here", Path.cwd()),
        ("temporary", Path(tempfile.gettempdir())),
        ("/dev/shm", Path("/dev/shm")),
    ):
        if path.is_dir():
            free_mb = shutil.disk_usage(path).free // 2**20
            mend = "make room: recordings need it" if free_mb < LOW_MB else ""
            checks.append(Check(name, "ok", f"{free_mb / 1024:.1f} GB free ({path})", mend, {"free_mb": free_mb}))
    return checks
