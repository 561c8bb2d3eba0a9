"""Frames and event bytes against google.protobuf, and what is refused as a frame."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given, settings
from hypothesis import strategies as st
from kvorum.machine.events import DELETE, PUT, Event
from kvorum.machine.record import (
    Record,
    RecordError,
    key_of,
    make_frame,
    parse,
    parse_checked,
    tombstone_frames,
    varint,
    without_value,
)

FIELD = descriptor_pb2.FieldDescriptorProto
REVISION = st.integers(1, 2**63 - 1)
KEY = st.binary(min_size=1, max_size=300)
RECORDS = st.builds(
    Record,
    KEY,
    st.binary(max_size=300),
    REVISION,
    REVISION,
    REVISION,
    st.integers(-(2**63), 2**63 - 1),
)


def _messages() -> dict[str, Any]:
    """mvccpb's two messages and the lists they are sent in, described by hand."""
    file = descriptor_pb2.FileDescriptorProto(name="machine_test.proto", syntax="proto3")
    layouts: dict[str, list[tuple[str, int, int, str]]] = {
        "KeyValue": [
            ("key", 1, FIELD.TYPE_BYTES, ""),
            ("create_revision", 2, FIELD.TYPE_INT64, ""),
            ("mod_revision", 3, FIELD.TYPE_INT64, ""),
            ("version", 4, FIELD.TYPE_INT64, ""),
            ("value", 5, FIELD.TYPE_BYTES, ""),
            ("lease", 6, FIELD.TYPE_INT64, ""),
        ],
        "Event": [
            ("type", 1, FIELD.TYPE_INT32, ""),
            ("kv", 2, FIELD.TYPE_MESSAGE, ".KeyValue"),
            ("prev_kv", 3, FIELD.TYPE_MESSAGE, ".KeyValue"),
        ],
        "Kvs": [("kvs", 2, FIELD.TYPE_MESSAGE, ".KeyValue")],
        "Events": [("events", 11, FIELD.TYPE_MESSAGE, ".Event")],
    }
    for name, fields in layouts.items():
        message = file.message_type.add(name=name)
        for field, number, kind, type_name in fields:
            repeated = field in ("kvs", "events")
            label = FIELD.LABEL_REPEATED if repeated else FIELD.LABEL_OPTIONAL
            described = message.field.add(name=field, number=number, type=kind, label=label)
            if type_name:
                described.type_name = type_name
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(name)) for name in layouts
    }


PB = _messages()


def reference(record: Record) -> Any:
    """The record as google.protobuf's message."""
    return PB["KeyValue"](**record._asdict())


@given(RECORDS)
@settings(max_examples=300, deadline=None)
def test_frame_is_what_protobuf_writes(record: Record) -> None:
    expected = PB["Kvs"](kvs=[reference(record)])
    frame = record.frame
    assert frame == expected.SerializeToString(deterministic=True)
    assert record.wire == reference(record).SerializeToString(deterministic=True)
    assert parse(frame) == parse_checked(frame) == record
    assert key_of(frame) == record.key
    assert without_value(frame) == record._replace(value=b"").frame


@given(RECORDS, RECORDS, REVISION)
@settings(max_examples=200, deadline=None)
def test_event_bytes_are_what_protobuf_writes(new: Record, old: Record, revision: int) -> None:
    gone = Record(new.key, mod_revision=revision)
    assert tombstone_frames([new.key], revision) == [gone.frame]
    cases = [
        (PUT, new, None),
        (PUT, new, old),
        (DELETE, gone, old),
    ]
    for kind, record, prev in cases:
        event = Event.of(revision, 0, kind, record, prev)
        bare = PB["Event"](type=kind, kv=reference(record))
        full = PB["Event"](type=kind, kv=reference(record))
        if prev is not None:
            full.prev_kv.CopyFrom(reference(prev))
        assert event.wire == bare.SerializeToString(deterministic=True)
        assert event.wire_with_prev == full.SerializeToString(deterministic=True)
        assert event.framed == PB["Events"](events=[bare]).SerializeToString(deterministic=True)
        assert event.framed_with_prev == PB["Events"](events=[full]).SerializeToString(
            deterministic=True
        )
        assert (event.record, event.prev, event.key) == (record, prev, record.key)


@pytest.mark.parametrize("key_size", [1, 127, 128, 20_000])
@pytest.mark.parametrize("value_size", [0, 110, 127, 128, 20_000, 3_000_000])
def test_long_keys_and_values(key_size: int, value_size: int) -> None:
    record = Record(b"k" * key_size, b"v" * value_size, 300, 2**40, 129, 5)
    assert record.frame == PB["Kvs"](kvs=[reference(record)]).SerializeToString(deterministic=True)
    assert parse_checked(record.frame) == record
    assert key_of(record.frame) == record.key
    assert record.wire == reference(record).SerializeToString(deterministic=True)
    (gone,) = tombstone_frames([record.key], 2**40)
    assert parse_checked(gone) == Record(record.key, mod_revision=2**40)


def test_bytes_of_an_event_are_made_once() -> None:
    event = Event.of(3, 0, PUT, Record(b"a", b"1", 2, 3, 2), Record(b"a", b"0", 2, 2, 1))
    assert event.framed is event.framed
    assert event.framed_with_prev is event.framed_with_prev


def test_events_are_equal_by_content() -> None:
    one, two = (Event.of(2, 0, PUT, Record(b"a", b"1", 2, 2, 1)) for _ in "12")
    other = Event.of(2, 1, PUT, Record(b"a", b"1", 2, 2, 1))
    assert one == two and hash(one) == hash(two) and one != other and one != "event"
    assert one.is_create and not Event.of(2, 0, DELETE, Record(b"a", mod_revision=2)).is_create
    assert repr(one).startswith("Event(2.0 PUT Record(key=b'a'")


@pytest.mark.parametrize(
    "number", [0, 1, 127, 128, 2**14 - 1, 2**14, 2**21 - 1, 2**21, 2**63 - 1, -1, -(2**63)]
)
def test_varint(number: int) -> None:
    expected = PB["KeyValue"](lease=number).SerializeToString()
    assert (b"\x30" + varint(number) if number else b"") == expected


GOOD = make_frame(b"key", b"value", 2, 3, 2, 9)


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\x12",
        GOOD[:-1],
        GOOD + b"\0",
        b"\x13" + GOOD[1:],
        GOOD[:1] + bytes((GOOD[1] + 1,)) + GOOD[2:],
        b"\x12\x04\x0a\x00\x18\x02",
        b"\x12\x03\x0a\x01a",
        b"\x12\x06\x0a\x01a\x18\x82\x00",
        b"\x12\x05\x18\x02\x0a\x01a",
        b"\x12\x07\x0a\x01a\x18\x02\x3a\x00",
        b"\x12\x07\x0a\x01a\x18\x02\x3a\x01",
        b"\x12\x85\x00\x0a\x01a\x18\x02",
        b"\x12\x07\x0a\x01a\x18\x02\x18\x03",
        b"\x12\x07\x0a\x01a\x18\x02\x20\x00",
        make_frame(b"a", b"", 2, 2**63, 1, 0),
        make_frame(b"a", b"", 2, 3, 1, 2**62)[:-1] + b"\x81\x02",
    ],
)
def test_what_is_no_frame(frame: bytes) -> None:
    with pytest.raises(RecordError):
        parse_checked(frame)


def test_a_field_of_a_later_time_is_told_in_a_frame_of_our_own_too() -> None:
    with pytest.raises(RecordError, match="0x3a"):
        parse(b"\x12\x07\x0a\x01a\x18\x02\x3a\x01")


@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_a_changed_byte_is_another_record_or_none(at: int, change: int) -> None:
    broken = bytearray(GOOD)
    broken[at] ^= change
    try:
        record = parse_checked(bytes(broken))
    except RecordError:
        return
    assert record.frame == bytes(broken)
    assert record != parse(GOOD)
