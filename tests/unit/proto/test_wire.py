"""Bytes without messages: varints, tags, splicing."""

from __future__ import annotations

from random import Random

import betterproto2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kvorum_proto import wire
from kvorum_proto.codec import DecodeError, encode
from kvorum_proto.etcdserverpb import RangeResponse, ResponseHeader, WatchResponse
from kvorum_proto.mvccpb import Event, EventType, KeyValue

EDGES = sorted({edge for bits in range(65) for edge in ((1 << bits) - 1, (1 << bits) % (1 << 64))})


@pytest.mark.parametrize("value", EDGES)
def test_every_width_of_varint(value: int) -> None:
    data = wire.uvarint(value)
    assert data == wire.varint(value) == betterproto2.encode_varint(value)
    assert len(data) == max(1, -(-value.bit_length() // 7))
    assert wire.read_varint(b"x" + data + b"\xff", 1) == (value, 1 + len(data))


@given(st.integers(min_value=-(1 << 63), max_value=(1 << 64) - 1))
def test_varints_of_both_signs(value: int) -> None:
    data = wire.varint(value)
    assert data == betterproto2.encode_varint(value)
    assert wire.read_varint(data, 0) == (value % (1 << 64), len(data))


def test_remembered_varints_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "_MEMO_ENTRIES", 5)
    monkeypatch.setattr(wire, "_memo", {})
    for _ in range(2):
        for value in range(1 << 62, (1 << 62) + 12):
            assert wire.uvarint(value) == betterproto2.encode_varint(value)
            assert len(wire._memo) <= 5


@pytest.mark.parametrize("value", [-1, 1 << 64, 1 << 200])
def test_uvarint_knows_its_range(value: int) -> None:
    with pytest.raises(ValueError):
        wire.uvarint(value)


def test_varints_that_end_too_soon_or_never() -> None:
    for size in range(10):
        with pytest.raises(IndexError):
            wire.read_varint(b"\x80" * size, 0)
    with pytest.raises(DecodeError):
        wire.read_varint(b"\x80" * 10 + b"\0", 0)
    assert wire.read_varint(b"\xff" * 9 + b"\x7f", 0) == ((1 << 64) - 1, 10)


def test_tags() -> None:
    assert wire.tag(1, wire.VARINT) == b"\x08"
    assert wire.tag(16, wire.DELIMITED) == b"\x82\x01"
    assert wire.tag(wire.MAX_FIELD_NUMBER, wire.FIXED32) == b"\xfd\xff\xff\xff\x0f"
    for number, wire_type in ((0, 0), (-1, 0), (wire.MAX_FIELD_NUMBER + 1, 0), (1, 6), (1, -1)):
        with pytest.raises(ValueError):
            wire.tag(number, wire_type)


def test_openings_remember_only_short_lengths() -> None:
    heads = wire.Openings(3)
    for length in (0, 5, 127, 128, 16383, 16384, 1 << 20):
        assert heads[length] == heads[length] == b"\x1a" + wire.uvarint(length)
    assert sorted(heads) == [0, 5, 127, 128, 16383]


def test_fields() -> None:
    assert wire.field_varint(2, 0) == b""
    assert wire.field_varint(2, 300) == b"\x10\xac\x02"
    assert wire.field_varint(2, -1) == b"\x10" + b"\xff" * 9 + b"\x01"
    assert wire.field_bytes(2, b"") == b"\x12\x00"
    assert wire.field_bytes(2, b"x" * 200) == b"\x12\xc8\x01" + b"x" * 200


def _pairs(rng: Random) -> list[KeyValue]:
    revisions = (1, 200, 1 << 40)
    return [
        KeyValue(
            rng.randbytes(rng.randrange(9)), rng.choice(revisions), 7, 1, bytes(rng.randrange(300))
        )
        for _ in range(50)
    ]


def test_a_range_spliced_from_stored_pairs() -> None:
    pairs, header = _pairs(Random(1)), ResponseHeader(cluster_id=1 << 63, revision=9)
    stored = [encode(pair) for pair in pairs]
    spliced = (
        wire.field_bytes(1, encode(header))
        + wire.join_repeated(2, stored)
        + wire.field_varint(4, 50)
    )
    assert spliced == encode(RangeResponse(header=header, kvs=pairs, count=50))


def test_a_watch_answer_spliced_from_an_encoded_event() -> None:
    event = Event(type=EventType.DELETE, kv=KeyValue(key=b"k", mod_revision=5))
    header = ResponseHeader(revision=5)
    spliced = (
        wire.field_bytes(1, encode(header))
        + wire.field_varint(2, 3)
        + wire.join_repeated(11, [encode(event)])
    )
    assert spliced == encode(WatchResponse(header=header, watch_id=3, events=[event]))
