"""Reading what an .onnx file says about itself without ONNX Runtime or the onnx package.

A machine that only runs TensorRT engines needs the bytes, their hash and the metadata. The protobuf wire
format is simple enough to walk: only the top-level fields are looked at, the graph is skipped by its length.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engines.errors import EngineError
from engines.spec import METADATA_KEY, EngineSpec

_GRAPH, _METADATA = 7, 14  # field numbers of ModelProto, onnx.proto
_FIXED = {1: 8, 5: 4}  # bytes of the two fixed-width wire types
_VARINT, _BYTES = 0, 2


@dataclass(frozen=True)
class ModelFile:
    """An .onnx file in memory: path, bytes, SHA-256 as hex, and the spec from its metadata."""

    path: Path
    content: bytes
    sha256: str
    spec: EngineSpec


def read_model(path: Path) -> ModelFile:
    """Read a posestream model.

    Raises:
        EngineError: If the file cannot be read, is not ONNX, or is not a posestream model.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise EngineError(f"cannot read model {path}: {error.strerror}") from error
    try:
        metadata = onnx_metadata(content)
    except ValueError as error:
        raise EngineError(f"cannot load model {path}: damaged or not an ONNX file ({error})") from error
    if METADATA_KEY not in metadata:
        raise EngineError(f"{path} is an ONNX file but not a posestream model: it has no {METADATA_KEY!r} metadata")
    spec = EngineSpec.from_json(metadata[METADATA_KEY], str(path))
    return ModelFile(path, content, hashlib.sha256(content).hexdigest(), spec)


def onnx_metadata(content: bytes) -> dict[str, str]:
    """Return the metadata_props of a serialised ONNX ModelProto.

    Raises:
        ValueError: If the bytes are not a whole ModelProto with a graph.
    """
    metadata: dict[str, str] = {}
    has_graph = False
    view = memoryview(content)
    for number, value in fields(view):
        has_graph = has_graph or number == _GRAPH
        if number == _METADATA and isinstance(value, memoryview):
            pair = {key: bytes(text).decode() for key, text in fields(value) if isinstance(text, memoryview)}
            metadata[pair.get(1, "")] = pair.get(2, "")
    if not has_graph:
        raise ValueError("it holds no graph")
    return metadata


def fields(view: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """Yield (field number, value) of one protobuf message; the value of a fixed-width field is its bytes.

    Raises:
        ValueError: If it is cut off or no message.
    """
    at = 0
    while at < len(view):
        tag, at = _varint(view, at)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, at = _varint(view, at)
            yield number, value
            continue
        if wire == _BYTES:
            length, at = _varint(view, at)
        elif wire in _FIXED:
            length = _FIXED[wire]
        else:
            raise ValueError(f"wire type {wire} at byte {at}")
        if number == 0 or at + length > len(view):
            raise ValueError(f"cut off at byte {len(view)}" if number else f"field 0 at byte {at}")
        yield number, view[at : at + length]
        at += length


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    """Return the number at a position, and the position after it."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(view):
            raise ValueError(f"cut off at byte {len(view)}")
        byte, at = view[at], at + 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError(f"number too long at byte {at}")
