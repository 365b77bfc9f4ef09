"""What a process does about signals and faults: the supervisor's handlers, and a child's life around its stage."""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import signal
import socket
import sys
import traceback
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType

from engines.errors import EngineError
from pipeline.config import StageConfig
from pipeline.errors import OutputError, PipelineError, SourceError, UsageError
from pipeline.messages import StageStatus
from pipeline.processes.lifeline import Lifeline, Stopped
from pipeline.processes.rundir import remove_stale

ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def catch_signals(seen: list[int]) -> Iterator[socket.socket]:
    """For the supervisor: collect SIGINT, SIGTERM and SIGHUP in `seen`; the socket becomes readable with each."""

    def note(number: int, frame: FrameType | None) -> None:
        seen.append(number)

    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    old_wake = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    old = {number: signal.signal(number, note) for number in ENDING_SIGNALS}
    try:
        yield ours
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(old_wake)
        ours.close()
        theirs.close()


def stage_main(config: StageConfig, connection: Connection[bytes, bytes]) -> None:
    """Run a row of the process table: the target of every child process."""
    _settle(config)
    lifeline = Lifeline(connection)
    try:
        # Imported here, so that a fault in a stage's own imports is reported like any other.
        from pipeline.processes.handler import load
        from pipeline.processes.stage import run_stage

        if config.own_loop:
            load(config.target)(config, lifeline)
            lifeline.report(StageStatus(stage=config.name, state="finished"))
        else:
            run_stage(config, lifeline)
    except Stopped:
        return
    except Exception as error:
        logging.getLogger(config.name).exception("stage failed")
        with contextlib.suppress(Stopped):
            lifeline.report(_failure(config, error))
        sys.exit(1)
    finally:
        remove_stale()  # of a supervisor that was killed: nobody else would before the next start


def _failure(config: StageConfig, error: Exception) -> StageStatus:
    explained = isinstance(error, PipelineError | EngineError)
    facts = {
        "exit_code": getattr(error, "exit_code", 1),
        "hint": getattr(error, "hint", ""),
        # A missing input or a full disk would be the same after a restart.
        "permanent": isinstance(error, SourceError | OutputError | UsageError),
    }
    return StageStatus(
        stage=config.name,
        state="failed",
        error=str(error) if explained else f"{type(error).__name__}: {error}",
        traceback=traceback.format_exc(),
        facts=facts,
    )


def _settle(config: StageConfig) -> None:
    """Make the process a good child: the supervisor alone answers signals, errors go to the run's log."""
    for number in ENDING_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING_SIGNALS)  # they were blocked for as long as nobody ignored them
    if config.log_path is not None and not config.run.debug:
        log = os.open(config.log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(log, 2)  # native libraries write there too
        os.close(log)
    faulthandler.enable()
    logging.basicConfig(format=f"%(asctime)s {config.name}[%(process)d] %(levelname)s %(message)s", level=logging.INFO)
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text(f"ps-{config.name}")
