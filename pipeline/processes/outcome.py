"""How a run went."""

from __future__ import annotations

from dataclasses import dataclass, field

from pipeline.messages import StageStatus


@dataclass(frozen=True, slots=True)
class Failure:
    """What ended a run.

    Attributes:
        stage: Name of the stage that failed first.
        cause: What happened, in one line.
        hint: What to do about it, in one line; "" if unknown.
        traceback: The stage's traceback; "" if it died without one.
        exit_code: Exit code of the command.
    """

    stage: str
    cause: str
    hint: str = ""
    traceback: str = ""
    exit_code: int = 1


@dataclass(slots=True)
class Outcome:
    """How a run went.

    Attributes:
        exit_code: 0, the failure's, or 128 + signal.
        failure: What ended the run, if it failed.
        statuses: Every stage's last status of each attempt, oldest first.
        started_ns, go_ns: Monotonic times at which the run and its source began.
    """

    exit_code: int = 0
    failure: Failure | None = None
    statuses: dict[str, list[StageStatus]] = field(default_factory=dict)
    started_ns: int = 0
    go_ns: int = 0
