"""The process table: what runs, what it reads and where it writes. This list is the architecture diagram.

decode --frames--> detect --people--> lift --PUB view----> viewer
                                       | '---PUB publish-> other programs, on request
                                       '-----record------> recorder, on request

The supervisor starts them all at once and holds a lifeline to each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from pipeline.config import LinkConfig, RunConfig, StageConfig

RECORDER_STOP_S = 120.0  # it may have an hour of results to write out


def build(run: RunConfig, endpoint: Callable[[str], str], log_path: Path | None = None) -> tuple[StageConfig, ...]:
    """Return the rows of a run.

    Args:
        run: The run.
        endpoint: Gives the private endpoint of a link by name.
        log_path: Where the processes log.
    """
    out = run.output
    frames, people = LinkConfig(endpoint("frames"), run.policy), LinkConfig(endpoint("people"), run.policy)
    view = LinkConfig(endpoint("view"), publish=True)
    # Results wait for a recorder that is slow or being restarted, pictures cost too much for that.
    record = LinkConfig(endpoint("record"), depth=2 if out.save_video else 500, preview=out.save_video is not None)
    writes = [view] if out.view else []
    if out.publish:
        writes.append(LinkConfig(out.publish, depth=100, publish=True, preview=False))
    if out.save or out.save_video:
        writes.append(record)
    rows = [
        StageConfig("decode", "pipeline.sources.decode:make", run, writes=(frames,)),
        StageConfig("detect", "pipeline.inference.detect:make", run, reads=frames, writes=(people,)),
        StageConfig("lift", "pipeline.inference.lift:make", run, reads=people, writes=tuple(writes), told=True),
    ]
    if out.save or out.save_video:
        rows.append(
            StageConfig(
                "record", "pipeline.results.recorder:make", run, reads=record, told=True, stop_s=RECORDER_STOP_S
            )
        )
    if out.view:
        rows.append(
            StageConfig("view", "viewer.app:run_viewer", run, subscribe=view.endpoint, own_loop=True, essential=False)
        )
    return tuple(replace(row, log_path=log_path) for row in rows)
