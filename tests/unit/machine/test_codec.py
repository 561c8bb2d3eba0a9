"""Commands as bytes: everything comes back, and nothing but that is accepted."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kvorum import limits
from kvorum.machine import commands as c
from kvorum.machine.commands import CommandError, Envelope, decode, encode

INT64 = st.integers(-(2**63), 2**63 - 1)
UINT64 = st.integers(0, 2**64 - 1)
INT32 = st.integers(-(2**31), 2**31 - 1)
BLOB = st.binary(max_size=20)
TEXT = st.text(max_size=8)
TEXTS = st.lists(TEXT, max_size=3).map(tuple)

PUTS = st.builds(c.Put, BLOB, BLOB, INT64, st.booleans(), st.booleans(), st.booleans())
DELETES = st.builds(c.DeleteRange, BLOB, BLOB, st.booleans())
RANGES = st.builds(
    c.Range,
    BLOB,
    BLOB,
    INT64,
    INT64,
    INT32,
    INT32,
    st.booleans(),
    st.booleans(),
    st.booleans(),
    INT64,
    INT64,
    INT64,
    INT64,
)
COMPARES = st.builds(c.Compare, BLOB, INT32, INT32, INT64 | BLOB, BLOB)


def txns(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[c.Txn]:
    """Transactions of the given operations."""
    branch = st.lists(PUTS | DELETES | RANGES | inner, max_size=3).map(tuple)
    return st.builds(c.Txn, st.lists(COMPARES, max_size=2).map(tuple), branch, branch)


TXNS = st.recursive(txns(st.nothing()), txns, max_leaves=6)
COMMANDS = st.one_of(
    PUTS,
    DELETES,
    TXNS,
    st.builds(c.Compact, INT64, st.booleans()),
    st.builds(c.LeaseGrant, INT64, INT64),
    st.builds(c.LeaseRevoke, INT64),
    st.builds(c.LeaseExpire, st.lists(INT64, max_size=4).map(tuple), UINT64),
    st.builds(c.LeaseCheckpoint, st.lists(st.tuples(INT64, INT64), max_size=4).map(tuple)),
    st.builds(c.MemberPublish, UINT64, TEXT, TEXTS),
    st.builds(c.MemberAdd, UINT64, TEXTS, st.booleans(), st.integers(0, 2**32 - 1)),
    st.builds(c.MemberRemove, UINT64),
    st.builds(c.MemberUpdate, UINT64, TEXTS),
    st.builds(c.MemberPromote, UINT64),
    st.builds(c.AlarmSet, INT64, UINT64, INT64),
    st.builds(c.ClusterVersionSet, TEXT),
    st.just(c.Noop()),
)
ENVELOPES = st.builds(Envelope, UINT64, UINT64, UINT64, TEXT, INT64, COMMANDS)


@given(ENVELOPES)
@settings(max_examples=400, deadline=None)
def test_round_trip(envelope: Envelope) -> None:
    data = encode(envelope)
    back = decode(data)
    assert back == envelope
    assert type(back.command) is type(envelope.command)
    assert encode(back) == data


@given(ENVELOPES, st.data())
@settings(max_examples=300, deadline=None)
def test_every_truncation_is_refused_or_a_shorter_value(
    envelope: Envelope, draw: st.DataObject
) -> None:
    data = encode(envelope)
    cut = draw.draw(st.integers(0, len(data) - 1))
    try:
        back = decode(data[:cut])
    except CommandError:
        return
    # Only a lone Put has no length of its own at the end: what is left is a Put all the same.
    assert isinstance(back.command, c.Put)
    assert encode(back) == data[:cut]


@given(st.binary(max_size=80))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_refused_or_canonical(data: bytes) -> None:
    for candidate in (data, b"\x01" + data):
        try:
            back = decode(candidate)
        except CommandError:
            continue
        assert encode(back) == candidate


def test_flipped_bits_never_escape_as_another_error() -> None:
    random = Random(5)
    txn = c.Txn((c.Compare(b"a", 3, 0, b"x"),), (c.Put(b"a", b"b"), c.Range(b"c")), ())
    samples = (
        txn,
        c.LeaseExpire((1, 2), 3),
        c.MemberAdd(4, ("http://a:1",), True),
        c.AlarmSet(1, 2, 1),
        c.DeleteRange(b"a", b"b", True),
    )
    refused = 0
    for command in samples:
        data = encode(Envelope(1, 2, 3, "user", 4, command))
        for _ in range(400):
            broken = bytearray(data)
            broken[random.randrange(len(data))] ^= 1 << random.randrange(8)
            try:
                assert encode(decode(bytes(broken))) == bytes(broken)
            except CommandError:
                refused += 1
    assert refused > 100


def nested(depth: int) -> c.Txn:
    """A transaction within a transaction within ..."""
    txn = c.Txn()
    for _ in range(depth):
        txn = c.Txn((), (txn,), ())
    return txn


@pytest.mark.parametrize(
    ("command", "text"),
    [
        (c.Range(b"a"), "not a command"),
        (c.Txn((), (None,), ()), "NoneType in a transaction"),
        (c.Txn((), (c.Compact(1),), ()), "Compact in a transaction"),
        (c.Put(b"a", b"", 2**63), "cannot encode Put"),
        (c.LeaseRevoke(2**63), "cannot encode LeaseRevoke"),
        (c.ClusterVersionSet("\ud800"), "cannot encode ClusterVersionSet"),
        ("a string", "not a command"),
    ],
)
def test_what_has_no_bytes(command: Any, text: str) -> None:
    with pytest.raises(CommandError, match=text):
        encode(Envelope(0, 0, 0, "", 0, command))


def test_other_formats_and_kinds_are_named() -> None:
    data = encode(Envelope(1, 2, 3, "", 0, c.Noop()))
    with pytest.raises(CommandError, match="entry format 2 is unknown"):
        decode(b"\x02" + data[1:])
    with pytest.raises(CommandError, match="command kind 3 is unknown"):
        decode(b"\x01\x03" + data[2:])
    with pytest.raises(CommandError, match="command kind 99 is unknown"):
        decode(b"\x01\x63" + data[2:])
    with pytest.raises(CommandError, match="1 bytes after the command"):
        decode(data + b"x")
    with pytest.raises(CommandError, match="an identity of nobody"):
        decode(b"\x01\x91" + data[2:] + b"\0" * 12)
    with pytest.raises(CommandError, match="malformed entry of 3 bytes"):
        decode(data[:3])


def test_nesting_has_a_floor() -> None:
    deep = nested(limits.MAX_TXN_DEPTH)
    assert decode(encode(Envelope(0, 0, 0, "", 0, deep))).command == deep
    with pytest.raises(CommandError, match="nested deeper"):
        decode(encode(Envelope(0, 0, 0, "", 0, nested(limits.MAX_TXN_DEPTH + 1))))


def test_a_huge_count_costs_nothing() -> None:
    head = encode(Envelope(0, 0, 0, "", 0, c.LeaseExpire((), 0)))[:-4]
    with pytest.raises(CommandError, match="is beyond the end"):
        decode(head + b"\xff\xff\xff\xff")
