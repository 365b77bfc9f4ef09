from __future__ import annotations

import contextlib
import struct

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from engines.errors import TensorShapeError
from pipeline.errors import WireError
from pipeline.messages import EndOfStream, Frame, Message, People2D, People3D, StageStatus, Stamp
from pipeline.processes.wire import WIRE_VERSION, pack, topic, unpack

INT = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(max_size=20)
FLOATS = st.floats(width=32)
PLAIN = st.recursive(
    st.none() | st.booleans() | INT | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
STAMPS = st.builds(
    Stamp, TEXT, INT, INT, st.none() | st.floats(allow_nan=False), st.dictionaries(TEXT, INT, max_size=3)
)
SIZES = st.tuples(st.integers(1, 10_000), st.integers(1, 10_000))
IMAGES = hnp.arrays(np.uint8, st.tuples(st.integers(1, 5), st.integers(1, 5), st.just(3)))


def floats(*shape: int) -> st.SearchStrategy:
    return hnp.arrays(np.float32, shape, elements=FLOATS)


@st.composite
def people(draw: st.DrawFn, cls: type) -> Message:
    p = draw(st.integers(0, 3))
    common = {
        "stamp": draw(STAMPS),
        "image_wh": draw(SIZES),
        "track": draw(hnp.arrays(np.int32, p)),
        "box_xyxy_px": draw(floats(p, 4)),
        "xy_px": draw(floats(p, 17, 2)),
        "score": draw(floats(p, 17)),
        "dropped": draw(INT),
        "preview": draw(st.none() | IMAGES),
    }
    if cls is People2D:
        return People2D(**common, fresh=draw(hnp.arrays(bool, p)))
    smooth = draw(st.none() | floats(p, 17, 3))
    deep = {"xyz_m": draw(floats(p, 17, 3)), "root_m": draw(floats(p, 3)), "filled": draw(floats(p))}
    return People3D(**common, **deep, xyz_smooth_m=smooth, skeleton=draw(TEXT))


STATUSES = st.builds(
    StageStatus,
    stage=TEXT, state=st.sampled_from(("starting", "running", "finished", "failed")), frames_in=INT, frames_out=INT,
    dropped=INT, p50_ms=st.floats(allow_nan=False), p95_ms=st.floats(allow_nan=False), note=TEXT, error=TEXT,
    traceback=TEXT, facts=st.dictionaries(TEXT, PLAIN, max_size=3),
)  # fmt: skip
MESSAGES = st.one_of(
    st.builds(Frame, stamp=STAMPS, image=IMAGES, source_wh=SIZES),
    people(People2D),
    people(People3D),
    STATUSES,
    st.builds(EndOfStream, last_seq=INT, reason=TEXT),
)


def same(a: Message, b: Message) -> bool:
    if type(a) is not type(b):
        return False
    for name in a.__slots__:
        x, y = getattr(a, name), getattr(b, name)
        if isinstance(x, np.ndarray):
            if x.dtype != y.dtype or not np.array_equal(x, y, equal_nan=x.dtype.kind == "f"):
                return False
        elif x != y:
            return False
    return True


@given(MESSAGES)
@settings(max_examples=150, deadline=None)
def test_every_message_comes_back_as_it_was(message: Message) -> None:
    assert same(unpack(pack(message)), message)


@given(MESSAGES, st.data())
@settings(max_examples=150, deadline=None)
def test_a_damaged_message_is_refused_or_still_a_message(message: Message, data: st.DataObject) -> None:
    wire = bytearray(pack(message))
    for _ in range(data.draw(st.integers(1, 4))):
        wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(wire)))
    for damaged in (bytes(wire), bytes(wire[:cut]), bytes(wire) + b"\0"):
        with contextlib.suppress(WireError):
            assert isinstance(unpack(damaged), Message)


@given(st.binary(max_size=200), st.integers(0, 7), PLAIN, PLAIN)
@settings(max_examples=200, deadline=None)
def test_garbage_raises_nothing_but_wire_error(body: bytes, kind: int, fields: object, arrays: object) -> None:
    header = msgpack.packb({"fields": fields, "arrays": arrays})
    prefix = struct.pack("<2sBBI", b"PS", kind, WIRE_VERSION, len(header))
    for wire in (body, prefix + body, prefix + header + body):
        with pytest.raises(WireError):
            unpack(wire)


def build(fields: object, arrays: list, body: bytes = b"", kind: int = 1) -> bytes:
    header = msgpack.packb({"fields": fields, "arrays": arrays})
    return struct.pack("<2sBBI", b"PS", kind, WIRE_VERSION, len(header)) + header + body


FRAME_FIELDS = {"stamp": ["x", 1, 2, None, {}], "source_wh": [4, 4]}


@pytest.mark.parametrize(
    "shape", [[2**62, 2**62, 3], [2**40, 0, 3], [1, 1, 3, 1], [1, 3], [-1, -1, 3], [1.0, 1, 3], ["1", 1, 3], 3]
)
def test_a_shape_that_lies_is_refused_before_anything_is_read(shape: object) -> None:
    with pytest.raises(WireError):
        unpack(build(FRAME_FIELDS, [["image", "uint8", shape]], bytes(3)))


@pytest.mark.parametrize(
    "arrays",
    [
        [],
        [["image", "float32", [1, 1, 3]]],
        [["image", "object", [1, 1, 3]]],
        [["other", "uint8", [1, 1, 3]]],
        [["image", "uint8", [1, 1, 1]], ["image", "uint8", [1, 1, 2]]],
    ],
)
def test_arrays_out_of_place_are_refused(arrays: list) -> None:
    with pytest.raises(WireError):
        unpack(build(FRAME_FIELDS, arrays, bytes(3)))


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"stamp": ["x", 1, 2, None, {}]},
        {**FRAME_FIELDS, "more": 1},
        {**FRAME_FIELDS, "source_wh": [4]},
        {**FRAME_FIELDS, "source_wh": [0, 4]},
        {**FRAME_FIELDS, "source_wh": [4.5, 4]},
        {**FRAME_FIELDS, "stamp": ["x", 1, 2, None]},
        {**FRAME_FIELDS, "stamp": ["x", "1", 2, None, {}]},
        {**FRAME_FIELDS, "stamp": ["x", 1, 2, None, {"decode": "now"}]},
        [],
        None,
    ],
)
def test_fields_out_of_place_are_refused(fields: object) -> None:
    with pytest.raises(WireError):
        unpack(build(fields, [["image", "uint8", [1, 1, 3]]], bytes(3)))


def test_bytes_after_the_last_array_are_refused() -> None:
    with pytest.raises(WireError, match="2 bytes follow the last array"):
        unpack(build(FRAME_FIELDS, [["image", "uint8", [1, 1, 3]]], bytes(5)))


def test_a_handmade_frame_is_read() -> None:
    frame = unpack(build(FRAME_FIELDS, [["image", "uint8", [1, 1, 3]]], bytes([7, 8, 9])))
    assert isinstance(frame, Frame)
    assert frame.image.tolist() == [[[7, 8, 9]]]
    assert frame.source_wh == (4, 4)


def test_another_wire_version_is_named_with_ours() -> None:
    wire = bytearray(pack(EndOfStream(last_seq=1, reason="end")))
    wire[3] = 42
    with pytest.raises(WireError, match=rf"version 42.*version {WIRE_VERSION}"):
        unpack(bytes(wire))


def test_a_header_longer_than_the_message_is_refused() -> None:
    wire = bytearray(pack(EndOfStream(last_seq=1, reason="end")))
    wire[4:8] = (2**31).to_bytes(4, "little")
    with pytest.raises(WireError, match="claims a header"):
        unpack(bytes(wire))


def test_the_topic_is_the_beginning_of_every_message_of_its_kind() -> None:
    wire = pack(EndOfStream(last_seq=1, reason="end"))
    assert wire.startswith(topic(EndOfStream))
    assert not wire.startswith(topic(StageStatus))


def test_constructors_name_what_is_wrong_with_an_array() -> None:
    with pytest.raises(TensorShapeError, match=r"image must be \(H, W, 3\).*\(4, 4\) uint8"):
        Frame(stamp=Stamp("x", 0, 0), image=np.zeros((4, 4), np.uint8), source_wh=(4, 4))
    rows = {"track": np.zeros(2, np.int32), "box_xyxy_px": np.zeros((2, 4), np.float32)}
    with pytest.raises(TensorShapeError, match=r"xy_px must be \(2, 17, 2\) float32, got \(2, 17, 2\) float64"):
        People2D(
            stamp=Stamp("x", 0, 0), image_wh=(4, 4), **rows, xy_px=np.zeros((2, 17, 2)),
            score=np.zeros((2, 17), np.float32), fresh=np.zeros(2, bool),
        )  # fmt: skip
