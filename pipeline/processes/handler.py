"""What a stage module provides: `make(config: StageConfig)` returns a Handler, or a Source if it reads nothing."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from pipeline.errors import UsageError
from pipeline.messages import Frame, Message

Given = Iterable[Message] | Message | None


class Handler(Protocol):
    """A stage that reads.

    Optional: `finish(end: EndOfStream)` completes its files and gives what it still owes, as `handle` does (a run that
    is stopped does not send it on); `told(status: StageStatus)` hears of other stages, in
    rows with `told`; `close()`; `note`, one line for people.
    """

    def handle(self, message: Any) -> Given:
        """Take one message, give none, one or several."""

    def facts(self) -> dict[str, Any]:
        """Return plain data about what runs: models, backend."""


class Source(Protocol):
    """A stage that has no input.

    Optional: `close()`; `note`, one line for people, as it stands now; `last_seq`, index of the last frame that it
    read, if it may have left that one out.
    """

    def messages(self) -> Iterator[Frame | None]:
        """Yield frames, and None at least twice a second while there is none: the loop must come round."""

    def facts(self) -> dict[str, Any]:
        """Return plain data about the source: size, fps, frames."""


def load(target: str) -> Callable[..., Any]:
    """Import what a dotted name such as "pipeline.inference.lift:make" names.

    Raises:
        UsageError: If the module has no such function.
    """
    module, _, name = target.partition(":")
    try:
        return getattr(importlib.import_module(module), name)  # type: ignore[no-any-return]
    except AttributeError as error:
        raise UsageError(f"{module} has no function {name!r}") from error
