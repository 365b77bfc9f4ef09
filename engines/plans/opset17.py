"""The opset-17 copy of an .onnx file, for TensorRT 8.6, whose parser knows no later one.

Our exporter writes opset 18, of which our models use two things: Split says its number of outputs, and Resize that
it stretches and does not smooth, which was always so. Without them, and with the older numbers at the head of the
file, the graph means the same. Done on the bytes, so that a machine that only runs engines needs no onnx package;
the weights are copied as they are.
"""

from __future__ import annotations

from engines.modelfile import fields

_IR_VERSION, _OPSETS, _GRAPH = 1, 8, 7  # of ModelProto, onnx.proto
_NODE = 1  # of GraphProto
_OP_TYPE, _ATTRIBUTE = 4, 5  # of NodeProto
_NAME, _INTEGER, _TEXT = 1, 3, 4  # of AttributeProto
_DOMAIN, _VERSION = 1, 2  # of OperatorSetIdProto
IR_VERSION, OPSET = 8, 17


def to_opset17(content: bytes) -> bytes:
    """Return a model at opset 17; as it is if it is no later one.

    Raises:
        ValueError: If the bytes are not a ModelProto.
    """
    if _opset(content) <= OPSET:
        return content
    out = bytearray()
    for number, value in fields(memoryview(content)):
        if number == _IR_VERSION:
            out += _number(number, IR_VERSION)
        elif number == _OPSETS and isinstance(value, memoryview) and not _domain(value):
            out += _message(number, _number(_VERSION, OPSET))
        elif number == _GRAPH and isinstance(value, memoryview):
            out += _message(number, _graph(value))
        else:
            out += _as_it_is(number, value)
    return bytes(out)


def _opset(content: bytes) -> int:
    found = (v for n, v in fields(memoryview(content)) if n == _OPSETS and isinstance(v, memoryview) and not _domain(v))
    return max((int(v) for entry in found for n, v in fields(entry) if n == _VERSION and isinstance(v, int)), default=0)


def _domain(opset: memoryview) -> bytes:
    return next((bytes(v) for n, v in fields(opset) if n == _DOMAIN and isinstance(v, memoryview)), b"")


def _graph(graph: memoryview) -> bytes:
    out = bytearray()
    for number, value in fields(graph):
        is_node = number == _NODE and isinstance(value, memoryview)
        out += _message(number, _node(value)) if is_node else _as_it_is(number, value)  # type: ignore[arg-type]
    return bytes(out)


def _node(node: memoryview) -> bytes:
    parts = list(fields(node))
    kind = next((bytes(v) for n, v in parts if n == _OP_TYPE and isinstance(v, memoryview)), b"")
    if kind not in (b"Split", b"Resize"):
        return bytes(node)
    return b"".join(_as_it_is(n, v) for n, v in parts if not (n == _ATTRIBUTE and _is_new(v)))


def _is_new(attribute: memoryview | int) -> bool:
    """Say whether an attribute came with opset 18 and says what was so before; any other is left for the parser."""
    if isinstance(attribute, int):
        return False
    held = {n: v if isinstance(v, int) else bytes(v) for n, v in fields(attribute)}
    name = held.get(_NAME)
    return (
        name == b"num_outputs"
        or (name == b"keep_aspect_ratio_policy" and held.get(_TEXT) == b"stretch")
        or (name == b"antialias" and held.get(_INTEGER, 0) == 0)
    )


def _as_it_is(number: int, value: memoryview | int) -> bytes:
    return _number(number, value) if isinstance(value, int) else _message(number, bytes(value))


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _message(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])
