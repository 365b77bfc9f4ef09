"""Messages as bytes. pipeline/README.md writes the format down for other languages.

One message is one ZeroMQ part: an 8-byte prefix (magic, kind, wire version, header length), a msgpack
header (plain fields and the table of arrays), then the arrays one after another, little endian, without
padding. Every length is checked before anything is read; nothing is ever unpickled. The kind stands
before the version so that a subscription prefix selects a kind of any version, and a reader of another
version learns about the mismatch instead of hearing nothing.
"""

from __future__ import annotations

import math
import struct
from dataclasses import fields
from typing import Any

import msgpack
import numpy as np
import numpy.typing as npt

from engines.errors import TensorShapeError
from pipeline.errors import WireError
from pipeline.messages import (
    FRAME_ARRAYS,
    PEOPLE_2D_ARRAYS,
    PEOPLE_3D_ARRAYS,
    STATES,
    ArrayTable,
    EndOfStream,
    Frame,
    Message,
    People2D,
    People3D,
    StageStatus,
    Stamp,
)

MAGIC = b"PS"
WIRE_VERSION = 1
_PREFIX = struct.Struct("<2sBBI")  # magic, kind, wire version, header length
_MAX_HEADER = 1 << 20

_KINDS: dict[int, tuple[type[Any], ArrayTable]] = {
    1: (Frame, FRAME_ARRAYS),
    2: (People2D, PEOPLE_2D_ARRAYS),
    3: (People3D, PEOPLE_3D_ARRAYS),
    4: (StageStatus, {}),
    5: (EndOfStream, {}),
}
_KIND_OF = {cls: kind for kind, (cls, _) in _KINDS.items()}
_PLAIN_TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("stage", "state", "note", "error", "traceback", "reason", "skeleton"), (str,)),
    **dict.fromkeys(("frames_in", "frames_out", "dropped", "last_seq"), (int,)),
    **dict.fromkeys(("p50_ms", "p95_ms"), (int, float)),
    **dict.fromkeys(("image_wh", "source_wh"), (list,)),
    "facts": (dict,),
    "stamp": (list,),
}
_UNREADABLE = (
    TensorShapeError, ValueError, TypeError, KeyError, AttributeError, OverflowError, msgpack.UnpackException,
)  # fmt: skip
_STAMP_TYPES: tuple[tuple[type, ...], ...] = ((str,), (int,), (int,), (int, float, type(None)), (dict,))


def topic(kind: type[Any]) -> bytes:
    """Return the first three bytes of every message of this class: what a SUB socket subscribes to."""
    return MAGIC + bytes([_KIND_OF[kind]])


def pack(message: Message) -> bytes:
    """Return the message as wire bytes."""
    cls = type(message)
    table = _KINDS[_KIND_OF[cls]][1]
    plain: dict[str, Any] = {}
    arrays: list[npt.NDArray[Any]] = []
    columns: list[tuple[str, str, tuple[int, ...]]] = []
    for spec in fields(cls):
        value = getattr(message, spec.name)
        if spec.name not in table:
            plain[spec.name] = _plain_stamp(value) if isinstance(value, Stamp) else value
        elif value is not None:
            dtype = table[spec.name][0]
            arrays.append(np.ascontiguousarray(value, np.dtype(dtype).newbyteorder("<")))
            columns.append((spec.name, dtype, value.shape))
    header = msgpack.packb({"fields": plain, "arrays": columns})
    prefix = _PREFIX.pack(MAGIC, _KIND_OF[cls], WIRE_VERSION, len(header))
    # An array without elements has no byte view; it has no bytes either.
    return b"".join([prefix, header, *(a.data.cast("B") for a in arrays if a.size)])


def unpack(data: bytes | memoryview) -> Message:
    """Read wire bytes.

    Pictures are read-only views of `data`; other arrays are copies.

    Raises:
        WireError: If the bytes are not a message of this wire version.
    """
    data = memoryview(data).cast("B")
    if len(data) < _PREFIX.size:
        raise WireError(f"message of {len(data)} bytes is shorter than its {_PREFIX.size}-byte prefix")
    magic, kind, version, header_bytes = _PREFIX.unpack_from(data)
    if magic != MAGIC:
        raise WireError(f"not a posestream message: it starts with {bytes(data[:2])!r}, not {MAGIC!r}")
    if version != WIRE_VERSION:
        raise WireError(f"message has wire version {version}, this program speaks version {WIRE_VERSION}")
    if kind not in _KINDS:
        raise WireError(f"message has unknown kind {kind}; known: {', '.join(map(str, _KINDS))}")
    body = _PREFIX.size + header_bytes
    if header_bytes > _MAX_HEADER or body > len(data):
        raise WireError(f"message of {len(data)} bytes claims a header of {header_bytes} bytes")
    cls, table = _KINDS[kind]
    try:
        header = msgpack.unpackb(data[_PREFIX.size : body], raw=False, strict_map_key=False)
        values = {**_read_plain(header["fields"]), **_read_arrays(header["arrays"], data[body:], table)}
        return cls(**values)  # type: ignore[no-any-return]
    except _UNREADABLE as error:
        raise WireError(f"unreadable {cls.__name__} message: {error}") from error


def _plain_stamp(stamp: Stamp) -> list[Any]:
    return [stamp.source, stamp.seq, stamp.t_capture_ns, stamp.pts_s, stamp.t_stage_ns]


def _read_plain(raw: dict[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, raw_value in raw.items():
        value: Any = raw_value
        if not _holds(value, _PLAIN_TYPES[name]):
            raise ValueError(f"field {name} holds a {type(value).__name__}")
        if name == "stamp":
            value = _read_stamp(value)
        elif name in ("image_wh", "source_wh"):
            if len(value) != 2 or not all(isinstance(n, int) and n > 0 for n in value):
                raise ValueError(f"{name} is {value}, not a size in pixels")
            value = (value[0], value[1])
        elif name == "state" and value not in STATES:
            raise ValueError(f"unknown state {value!r}")
        values[name] = value
    return values


def _holds(value: Any, types: tuple[type, ...]) -> bool:
    return isinstance(value, types)


def _read_stamp(raw: list[Any]) -> Stamp:
    if len(raw) != len(_STAMP_TYPES) or not all(isinstance(v, t) for v, t in zip(raw, _STAMP_TYPES, strict=True)):
        raise ValueError("the stamp is not [source, seq, t_capture_ns, pts_s, t_stage_ns]")
    if not all(isinstance(k, str) and isinstance(v, int) for k, v in raw[4].items()):
        raise ValueError("the stamp's stage times are not integers by name")
    return Stamp(*raw)


def _read_arrays(columns: list[Any], body: memoryview, table: ArrayTable) -> dict[str, npt.NDArray[Any]]:
    arrays: dict[str, npt.NDArray[Any]] = {}
    start = 0
    for name, dtype, shape in columns:
        if name in arrays or table[name][0] != dtype:
            raise ValueError(f"array {name} of {dtype} is out of place")
        if not all(isinstance(n, int) and n >= 0 for n in shape):
            raise ValueError(f"array {name} has shape {shape}")
        kind = np.dtype(dtype).newbyteorder("<")
        count = math.prod(shape)
        if start + count * kind.itemsize > len(body):
            raise ValueError(f"array {name} {tuple(shape)} does not fit in the {len(body)} bytes after the header")
        array = np.frombuffer(body, kind, count, start).reshape(shape)
        if dtype == "bool":  # any byte may have come; only 0 and 1 are truth values
            array = array.view(np.uint8) != 0
        elif dtype != "uint8":  # the buffer is read-only, not aligned, perhaps of foreign byte order
            array = array.astype(dtype)
        arrays[name] = array
        start += count * kind.itemsize
    if start != len(body):
        raise ValueError(f"{len(body) - start} bytes follow the last array")
    return arrays
