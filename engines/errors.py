"""Errors of the engines room.

EngineError             a model file or its runtime is unusable; the message says which file and what to do
├── NoEngineYet         GPU and TensorRT are there, the engine would have to be built
└── TensorShapeError    an array handed to an engine or a type has the wrong shape or dtype
"""

from __future__ import annotations


class EngineError(Exception):
    """A model or its runtime cannot be used: foreign file, corrupt file, missing backend."""


class NoEngineYet(EngineError):
    """GPU and TensorRT are there, but no engine that fits: it would have to be built."""


class TensorShapeError(EngineError):
    """An array has the wrong shape or dtype for where it was put."""
