"""Errors of the engines room.

EngineError             a model file or its runtime is unusable; the message says which file and what to do
├── WrongKind           a good model, but not one for this place: a detector as lifter (exit 2)
├── NoEngineYet         GPU and TensorRT are there, the engine would have to be built
└── TensorShapeError    an array handed to an engine or a type has the wrong shape or dtype
"""

from __future__ import annotations


class EngineError(Exception):
    """A model or its runtime cannot be used: foreign file, corrupt file, missing backend."""


class WrongKind(EngineError):
    """A model is of another kind than wanted: the choice is wrong, not the file."""

    exit_code = 2


class NoEngineYet(EngineError):
    """GPU and TensorRT are there, but no engine that fits: it would have to be built."""


class TensorShapeError(EngineError):
    """An array has the wrong shape or dtype for where it was put."""
