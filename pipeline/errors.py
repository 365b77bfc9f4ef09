"""Errors of the pipeline room. Each knows the exit code of a run that ends with it.

PipelineError           a run cannot go on; the message says what and where, `hint` what to do about it
├── UsageError          the command line asks for something impossible (exit 2)
├── SourceError         the input is missing, not a video, unreachable, or went away (exit 2)
├── OutputError         a result cannot be written or an endpoint not be opened (exit 1; 2 if it never could)
├── WireError           bytes from a socket or a journal are not a message of this version (exit 1)
└── StageFailed         a stage raised, died or fell silent (exit 1)
"""

from __future__ import annotations


class PipelineError(Exception):
    """A run cannot go on."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "", exit_code: int | None = None) -> None:
        """Say what happened.

        Args:
            message: One line: what, where, with the offending value.
            hint: One line: what to do about it; "" if nothing is known to help.
            exit_code: Exit code of the command, if it differs from the class's own.
        """
        super().__init__(message)
        self.hint = hint
        if exit_code is not None:
            self.exit_code = exit_code


class UsageError(PipelineError):
    """The command line asks for something impossible."""

    exit_code = 2


class SourceError(PipelineError):
    """The input cannot be opened or read."""

    exit_code = 2


class OutputError(PipelineError):
    """A result cannot be written, or an endpoint cannot be opened."""


class WireError(PipelineError):
    """Bytes are not a posestream message of this wire version."""


class StageFailed(PipelineError):
    """A stage raised, died or fell silent."""
