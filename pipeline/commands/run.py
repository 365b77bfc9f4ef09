"""`posestream SOURCE`: the live run. A file plays in real time, the newest frame wins, dead stages are restarted."""

from __future__ import annotations

import argparse
import importlib
import re
from collections.abc import Sequence
from pathlib import Path

from pipeline.commands import demo
from pipeline.commands.launch import launch
from pipeline.commands.options import add_shared, decoded_as_asked, models_of, output_of, pose_of, positive_float
from pipeline.commands.terminal import Terminal
from pipeline.config import DEFAULT_ENDPOINT, Policy, RunConfig, SourceConfig
from pipeline.errors import PipelineError, UsageError


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    parser = _parser()
    args = parser.parse_args(argv)
    terminal = Terminal(quiet_stdout=args.json == "-")
    source = decoded_as_asked(_source(args), args)
    models, pose = models_of(args), pose_of(args)
    output = output_of(_view(args, terminal), args.save, args.save_video, args.publish)
    run = RunConfig(source, models, pose, output, Policy.LATEST, debug=args.debug)
    if args.demo:
        return demo.run_demo(run, terminal, args.json)
    return launch(run, terminal, json_to=args.json).exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("posestream", description="Live: any source -> people -> 3D skeletons -> viewer.")
    parser.add_argument("source", nargs="?", metavar="SOURCE", help="video file, folder of pictures, or URL")
    parser.add_argument("--camera", metavar="N", help="camera by number or device")
    parser.add_argument("--camera-size", type=size, metavar="WxH", help="size to ask of the camera")
    parser.add_argument("--camera-fps", type=positive_float, metavar="FPS", help="frame rate to ask of the camera")
    parser.add_argument("--demo", action="store_true", help="the clip that comes with posestream")
    parser.add_argument("--loop", action="store_true", help="begin a file again at its end")
    parser.add_argument("--no-view", action="store_true", help="open no viewer")
    parser.add_argument("--save", type=Path, metavar="OUT.npz", help="results file")
    parser.add_argument("--save-video", type=Path, metavar="OUT.mp4", help="skeleton over the frames, 3D beside it")
    parser.add_argument(
        "--publish", nargs="?", const=DEFAULT_ENDPOINT, metavar="ENDPOINT",
        help=f"let other programs listen ({DEFAULT_ENDPOINT})",
    )  # fmt: skip
    parser.add_argument("--nvdec", action="store_true", help="decode a video file on the graphics card")
    add_shared(parser)
    return parser


def size(text: str) -> tuple[int, int]:
    """Read a size such as 1280x720."""
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if match is None or int(match[1]) < 1 or int(match[2]) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a size such as 1280x720")
    return int(match[1]), int(match[2])


def _source(args: argparse.Namespace) -> SourceConfig:
    given = [what for what in (args.source, args.camera, args.demo or None) if what is not None]
    if len(given) != 1:
        raise UsageError(
            f"one source, please: {'none' if not given else len(given)} given",
            "a file, a URL, --camera 0 or --demo; posestream --help shows examples",
        )
    if args.camera is not None:
        return SourceConfig("camera", args.camera, camera_wh=args.camera_size, camera_fps=args.camera_fps)
    return demo.source() if args.demo else source_of(args.source, real_time=True, loop=args.loop)


def source_of(target: str, real_time: bool = False, loop: bool = False, stills: bool = False) -> SourceConfig:
    """Return what a path or URL names.

    Raises:
        UsageError: If it is a path and there is nothing.
    """
    if "://" in target and not target.startswith("file://"):
        return SourceConfig("stream", target)
    if re.fullmatch(r"/dev/video\d+", target):
        return SourceConfig("camera", target)
    path = Path(target.removeprefix("file://")).expanduser()
    if not path.exists():
        hint = f"a camera is named --camera {target}" if target.isdecimal() else "check the path"
        raise UsageError(f"{target} does not exist", hint)
    return SourceConfig("images" if path.is_dir() else "file", str(path), real_time, loop, stills)


def _view(args: argparse.Namespace, terminal: Terminal) -> bool:
    """Return whether to open the viewer, and say so if it is wanted but impossible."""
    if args.no_view:
        return False
    display = importlib.import_module("viewer.display")  # by name: this room may not import that one; brings no Qt
    try:
        display.check_qt()
        display.check_screen()
    except PipelineError as error:
        terminal.say(f"no viewer: {error} ({error.hint}); going on without it, --no-view leaves out this line")
        return False
    return True
