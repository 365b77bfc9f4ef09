"""Options that the live run and the replay share, and what they become."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

from engines.errors import EngineError
from engines.runtime import BACKENDS, find_weights
from pipeline.config import DEFAULT_ENDPOINT, ModelConfig, OutputConfig, PoseConfig, SourceConfig
from pipeline.errors import OutputError, UsageError

VIEW_PREVIEW_PX = 1280  # as large as the viewer's panel gets on ordinary screens
VIDEO_PREVIEW_PX = 1920


def add_shared(parser: argparse.ArgumentParser) -> None:
    """Add the options of models, poses and reports."""
    models, pose = ModelConfig(), PoseConfig()
    group = parser.add_argument_group("models")
    group.add_argument("--lifter", default=models.lifter, metavar="tcn|lstm|FILE", help="3D lifter")
    group.add_argument("--detector", default=models.detector, metavar="FILE", help="2D detector, an .onnx file")
    group.add_argument("--finder", default=models.finder, metavar="FILE", help="person finder, an .onnx file")
    group.add_argument("--backend", choices=BACKENDS, default=models.backend, help="what runs them")
    group.add_argument("--threads", type=positive, default=models.threads, help="CPU threads per model")
    group = parser.add_argument_group("people")
    group.add_argument("--max-people", type=positive, default=pose.max_people, metavar="N", help="most people at once")
    group.add_argument("--focal", type=positive_float, metavar="PX", help="focal length of the camera in pixels")
    group.add_argument("--smooth", action="store_true", help="give smoothed 3D joints beside the raw ones")
    group.add_argument("--no-steady", action="store_true", help="leave the 2D joints as the detector found them")
    group = parser.add_argument_group("reports")
    group.add_argument("--json", nargs="?", const="-", metavar="FILE", help="summary as JSON, into FILE or printed")
    group.add_argument("--debug", action="store_true", help="show tracebacks and what the stages' libraries say")


def positive(text: str) -> int:
    """Read a whole number from 1 up."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 1 up")
    return value


def positive_float(text: str) -> float:
    """Read a number above 0."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return value


def models_of(args: argparse.Namespace) -> ModelConfig:
    """Return the models that the options choose.

    Raises:
        UsageError: If there is no such model.
    """
    chosen = ModelConfig(args.finder, args.detector, lifter_of(args.lifter), args.backend, args.threads)
    for model in (chosen.finder, chosen.detector):
        _require_weights(model)
    return chosen


def lifter_of(choice: str) -> str:
    """Return the lifter that "tcn", "lstm" or a file's name stands for.

    Raises:
        UsageError: If there is no such model.
    """
    model = f"lifter-{choice}" if choice in ("tcn", "lstm") else choice
    _require_weights(model)
    return model


def _require_weights(model: str) -> None:
    try:
        find_weights(model)
    except EngineError as error:
        raise UsageError(str(error)) from error


def decoded_as_asked(source: SourceConfig, args: argparse.Namespace) -> SourceConfig:
    """Return the source with the decoder that was asked for.

    Raises:
        UsageError: If it is no video file.
    """
    if args.nvdec and source.kind != "file":
        raise UsageError("--nvdec is for video files", "leave it out for cameras, streams and pictures")
    return replace(source, nvdec=args.nvdec)


def pose_of(args: argparse.Namespace) -> PoseConfig:
    """Return the pose settings that the options choose."""
    return PoseConfig(focal_px=args.focal, max_people=args.max_people, smooth=args.smooth, steady=not args.no_steady)


def output_of(
    view: bool = False, save: Path | None = None, save_video: Path | None = None, publish: str | None = None
) -> OutputConfig:
    """Return the outputs, after a look whether they can be written.

    Raises:
        OutputError: If a file cannot be written.
        UsageError: If the endpoint is not one of this machine alone.
    """
    for path in (save, save_video):
        if path is not None:
            check_writable(path)
    if publish is not None and not publish.startswith(("tcp://127.0.0.1:", "tcp://localhost:", "ipc://")):
        raise UsageError(
            f"cannot publish on {publish}: skeletons are published to programs of this machine only",
            f"an endpoint is {DEFAULT_ENDPOINT} or ipc:///path",
        )
    preview_px = VIDEO_PREVIEW_PX if save_video else VIEW_PREVIEW_PX if view else 0
    return OutputConfig(view, save, save_video, publish, preview_px)


def check_writable(path: Path) -> None:
    """Make the folder of an output and see that the file can be written.

    Raises:
        OutputError: If not.
    """
    try:
        if path.is_dir():
            raise IsADirectoryError(None, "it is a folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise PermissionError(None, "no permission to write there")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}", "choose another place", exit_code=2) from error
