"""A run over the fake stages of tests/pipeline as a command of its own: `python fake_run.py live|replay`.

Everything else is the real thing: launch, supervisor, processes, links, recorder, signals, exit code. The
environment (FAKE_...) tells the stages what to do; FAKE_SAVE, FAKE_VIDEO and FAKE_PUBLISH ask for outputs,
FAKE_DISK is the most bytes that a file may have.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from pipeline.commands import launch
from pipeline.commands.terminal import Terminal
from pipeline.config import OutputConfig, Policy, RunConfig, SourceConfig, StageConfig
from pipeline.errors import PipelineError
from pipeline.processes import table

FAKES = "tests.pipeline.fake_stages"
_build = table.build


def build(run: RunConfig, endpoint: Callable[[str], str], log_path: Path | None = None) -> tuple[StageConfig, ...]:
    rows = _build(run, endpoint, log_path)
    names = {"decode", "detect", "lift", "view"}
    return tuple(replace(row, target=f"{FAKES}:make_{row.name}") if row.name in names else row for row in rows)


def path(name: str) -> Path | None:
    return Path(os.environ[name]) if name in os.environ else None


def main(argv: list[str]) -> int:
    table.build = build
    if "FAKE_DISK" in os.environ:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(os.environ["FAKE_DISK"]),) * 2)
    video = path("FAKE_VIDEO")
    output = OutputConfig(
        view="FAKE_VIEW" in os.environ,
        save=path("FAKE_SAVE"),
        save_video=video,
        publish=os.environ.get("FAKE_PUBLISH"),
        preview_px=64 if video else 0,
    )
    policy = Policy.EVERY if argv[0] == "replay" else Policy.LATEST
    run = RunConfig(SourceConfig("file", "fake"), output=output, policy=policy, debug="--debug" in argv)
    try:
        return launch.launch(run, Terminal(quiet_stdout=True), json_to="-").exit_code
    except PipelineError as error:
        sys.stderr.write(f"posestream: {error}\n")
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
