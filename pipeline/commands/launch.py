"""One run from its configuration to its summary: run directory, process table, supervisor, report."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from pipeline.commands.summary import Summary, summarise
from pipeline.commands.terminal import Terminal
from pipeline.config import RunConfig
from pipeline.errors import OutputError, UsageError
from pipeline.processes import rundir, table
from pipeline.processes.outcome import Outcome
from pipeline.processes.supervisor import Supervisor


def launch(run: RunConfig, terminal: Terminal, json_to: str | None = None) -> Summary:
    """Run to the end and report.

    Args:
        run: The run.
        terminal: Takes lines and the summary.
        json_to: File for the summary as JSON; "-" for standard output; None for none.

    Raises:
        OutputError: If the JSON cannot be written.
        UsageError: If an output is the input.
    """
    spare_the_inputs((run.output.save, run.output.save_video), (Path(run.source.target),))
    summary, outcome, log = supervise(run, terminal)
    _explain(outcome, log, terminal)
    if summary.frames["processed"] or outcome.exit_code == 0:
        terminal.write(summary.text())
    if json_to is not None:
        write_json(summary.to_json(), json_to)
    return summary


def supervise(run: RunConfig, terminal: Terminal) -> tuple[Summary, Outcome, Path]:
    """Run to the end in silence; returns the summary, how it went, and the log's path."""
    cpu_start_s = time.process_time()
    log, directory = rundir.new_log(), rundir.RunDir()
    try:
        supervisor = Supervisor(table.build(run, directory.endpoint, log), terminal.say, terminal.watch)
        outcome = supervisor.run()
    finally:
        terminal.end()
        directory.close()
    return summarise(run, outcome, time.process_time() - cpu_start_s), outcome, log


def write_json(data: object, json_to: str) -> None:
    """Write plain data as JSON into a file, or to standard output for "-".

    Raises:
        OutputError: If it cannot be written.
    """
    text = json.dumps(data, indent=2) + "\n"
    if json_to == "-":
        sys.stdout.write(text)
        return
    try:
        Path(json_to).write_text(text)
    except OSError as error:
        raise OutputError(f"cannot write {json_to}: {error.strerror}", exit_code=2) from error


def spare_the_inputs(outputs: Iterable[Path | None], inputs: Iterable[Path | None]) -> None:
    """See that no output is an input, by another name or not; None is neither.

    Raises:
        UsageError: If one is.
    """
    sources = [path for path in inputs if path is not None and path.exists()]
    for path in outputs:
        if path is not None and path.exists() and any(path.samefile(source) for source in sources):
            raise UsageError(f"{path} is the input: it would be overwritten", "choose another output")


def _explain(outcome: Outcome, log: Path, terminal: Terminal) -> None:
    failure = outcome.failure
    if failure is None:
        return
    hint = f" ({failure.hint})" if failure.hint else ""
    logged = failure.exit_code != 2 and log.exists() and log.stat().st_size  # of a wrong input all is said
    where = f"; log: {log}" if logged else ""
    terminal.say(f"posestream: {failure.stage}: {failure.cause}{hint}{where}")
