"""The `posestream` command: a table of subcommands, each imported when it is used.

Importing this module imports no torch, Qt, TensorRT, ONNX Runtime, av, cv2 or zmq.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from engines.errors import EngineError
from pipeline.errors import PipelineError, UsageError


@dataclass(frozen=True, slots=True)
class Command:
    """A subcommand.

    Attributes:
        summary: One line for `posestream --help`.
        target: Dotted name of `main(argv) -> exit code or None`.
        parts: Instead of a target: the commands among which the next word chooses.
        needs: Module that must be installed.
        extra: Optional dependencies that bring it.
    """

    summary: str
    target: str = ""
    parts: Mapping[str, Command] = field(default_factory=dict)
    needs: str = ""
    extra: str = ""


def _in_train(target: str, needs: str = "torch") -> Command:
    return Command("", target, needs=needs, extra="train")


COMMANDS: dict[str, Command] = {
    "run": Command(
        "live: camera, stream or clip -> 3D skeletons (the word may be left out)", "pipeline.commands.run:main"
    ),
    "replay": Command(
        "offline: every frame, as fast as the machine goes; saves results", "pipeline.commands.replay:main"
    ),
    "view": Command("watch a live stream, or scrub through saved results", "viewer.app:main"),
    "compare": Command("results of several models side by side, as a video", "pipeline.commands.compare:main"),
    "build": Command("make TensorRT engines for this machine's GPU", "engines.plans.build:main"),
    "bench": Command("where the milliseconds go", "pipeline.bench.command:main"),
    "doctor": Command("what this machine can run, and what is missing", "pipeline.commands.doctor:main"),
    "train": Command(
        "train a model: finder, detector, lifter, and others with little or no 3D truth; report: curves of runs",
        parts={
            **{part: _in_train(f"train.tasks.{part}:main") for part in ("finder", "detector", "lifter", "videopose")},
            **{part: _in_train(f"train.tasks.{part}:main") for part in ("semi", "geometry", "factorization")},
            "report": _in_train("train.tasks.report:main", needs="matplotlib"),
        },
    ),
    "export": Command(
        "a checkpoint to .onnx, and with --engine straight to a TensorRT engine",
        "train.tasks.export:main",
        needs="torch",
        extra="train",
    ),
    "eval": Command(
        "measure a model: finder, detector or lifter",
        parts={
            "finder": _in_train("train.tasks.eval_finder:main"),
            "detector": _in_train("train.tasks.eval_detector:main"),
            "lifter": Command(
                "lift 2D tracks from a file, or measure on motion capture", "pipeline.commands.eval_lifter:main"
            ),
        },
    ),
}  # fmt: skip

EXAMPLES = """examples:
  posestream --camera 0                       a camera, in the viewer
  posestream rtsp://192.168.1.20/live         a stream (also http://, udp://, tcp://)
  posestream clip.mp4                         a video at its own speed
  posestream --demo                           the clip that comes with posestream
  posestream clip.mp4 --no-view --save out.npz --save-video out.mp4
  posestream --camera 0 --publish             other programs listen on tcp://127.0.0.1:5570
  posestream replay clip.mp4 --save out.npz   every frame, nothing dropped
  posestream replay a.mp4 b.mp4 --save results/
  posestream replay pictures/ --stills        unrelated pictures
  posestream view out.npz --video clip.mp4    scrub through results
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        0 well, 1 a stage failed, 2 wrong arguments or input, 130 and 143 after SIGINT and SIGTERM.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help"):
        (sys.stdout if words else sys.stderr).write(usage())
        return 0 if words else 2
    if words[0] == "--version":
        sys.stdout.write(f"posestream {_version()}\n")
        return 0
    try:
        return dispatch(_command_of(words), words)
    except (PipelineError, EngineError) as error:
        _complain(str(error), getattr(error, "hint", ""))
        return getattr(error, "exit_code", 1)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `posestream ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if "--debug" in words:
            traceback.print_exc()
        _complain(f"{type(error).__name__}: {error}", "this is a bug; --debug shows where")
        return 1


def _command_of(words: list[str]) -> str:
    """Take the command off the words; without one it is the live run.

    Raises:
        UsageError: If the first word is no source either, but nearly a command.
    """
    if words[0] in COMMANDS:
        return words.pop(0)
    near = difflib.get_close_matches(words[0], COMMANDS, 1)
    if near and words[0].isalpha() and not Path(words[0]).exists():
        raise UsageError(f"no command and no file is called {words[0]!r}", f"did you mean: posestream {near[0]}")
    return "run"


def dispatch(name: str, words: list[str]) -> int:
    """Import a subcommand and run it.

    Raises:
        PipelineError: If it is not there, lacks its dependencies, or fails.
    """
    command = COMMANDS[name]
    if command.parts:
        part = words.pop(0) if words else ""
        if part in ("-h", "--help"):
            sys.stdout.write(f"usage: posestream {name} {{{','.join(command.parts)}}} ...\n\n{command.summary}\n")
            return 0
        if part not in command.parts:
            raise PipelineError(f"{name} what? one of: {', '.join(command.parts)}", exit_code=2)
        name, command = f"{name} {part}", command.parts[part]
    if command.needs and importlib.util.find_spec(command.needs) is None:
        hint = f"pip install 'posestream[{command.extra}]'"
        raise PipelineError(f"{name} needs {command.needs}, which is not installed", hint, exit_code=2)
    module, _, function = command.target.partition(":")
    code = getattr(importlib.import_module(module), function)(words)
    return int(code or 0)


def usage() -> str:
    """Return the text of `posestream --help`."""
    rows = "".join(f"  {name:8} {command.summary}\n" for name, command in COMMANDS.items())
    return (
        "usage: posestream [SOURCE | --camera N | --demo] [options]\n"
        "       posestream COMMAND ...\n\n"
        "Any camera, stream or video into live 3D human skeletons.\n\n"
        f"commands:\n{rows}\n{EXAMPLES}\n"
        "posestream COMMAND --help tells more, posestream run --help about the live run.\n"
    )


def _version() -> str:
    try:
        return version("posestream")
    except PackageNotFoundError:
        return "(not installed)"


def _complain(text: str, hint: str) -> None:
    sys.stderr.write(f"posestream: {text}{f' ({hint})' if hint else ''}\n")


if __name__ == "__main__":
    sys.exit(main())
