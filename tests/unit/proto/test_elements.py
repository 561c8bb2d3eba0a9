"""Requests of too many fields are refused before they are decoded; what is tested is how much is
looked at, and that nothing is built.
"""

from __future__ import annotations

from typing import Any

import pytest
from grpclib.exceptions import GRPCError
from kvorum_proto import codec as module
from kvorum_proto import etcdserverpb as pb
from kvorum_proto.codec import MAX_FIELDS, ServerCodec, encode
from kvorum_proto.elements import count_fields, widest_list
from kvorum_proto.wire import uvarint

TOO_MANY = (3, "etcdserver: too many operations in txn request")
LISTS, NESTED = (0x0A, 0x12, 0x1A), (0x22,)


def nested(levels: int) -> bytes:
    """Transactions within one another."""
    inner = b""
    for _ in range(levels):
        op = b"\x22" + uvarint(len(inner)) + inner
        inner = b"\x12" + uvarint(len(op)) + op
    return inner


def put_op(number: int, size: int = 1) -> pb.RequestOp:
    return pb.RequestOp(request_put=pb.PutRequest(key=b"%d" % number, value=bytes(size)))


@pytest.fixture
def undecoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is decoded fails the test."""

    def never(*arguments: Any, **options: Any) -> Any:
        raise AssertionError("it was decoded")

    monkeypatch.setattr(module, "decode", never)


def refusal(cls: type[Any], data: bytes) -> tuple[int, str]:
    with pytest.raises(GRPCError) as caught:
        ServerCodec().decode(data, cls)
    return caught.value.status.value, caught.value.message or ""


def test_fields_of_all_levels_are_counted() -> None:
    message = pb.TxnRequest(success=[put_op(1), put_op(2)], compare=[pb.Compare(key=b"a")])
    # Three elements; an operation's put with key and value; a compare's key.
    assert count_fields(pb.TxnRequest, encode(message), 100, 10) == 3 + 2 * 3 + 1
    filters = pb.WatchCreateRequest(key=b"k", filters=[pb.FilterType(1)] * 5)
    assert count_fields(pb.WatchCreateRequest, encode(filters), 100, 10) == 2 + 5


@pytest.mark.parametrize("field", [b"\x12\x00", b"\x08\x01", b"\xfa\x07\x00", b"\xfd\x07abcd"])
def test_counting_stops_where_there_is_too_much(field: bytes) -> None:
    assert count_fields(pb.TxnRequest, field * 1_000_000, 1000, 10) == 1001


@pytest.mark.parametrize("data", [b"\x12", b"\x12\x05a", b"\xff" * 20, b"\x0b" * 9, bytes(7)])
def test_bytes_that_are_no_message_are_counted_as_far_as_they_are_one(data: bytes) -> None:
    assert count_fields(pb.TxnRequest, data, 1000, 10) <= len(data)


@pytest.mark.usefixtures("undecoded")
def test_a_transaction_of_a_million_operations_is_never_decoded() -> None:
    assert refusal(pb.TxnRequest, b"\x12\x00" * 1_000_000) == TOO_MANY
    assert refusal(pb.TxnRequest, nested(20_000)) == TOO_MANY
    wide = pb.TxnRequest(success=[put_op(number, 600) for number in range(129)])
    assert refusal(pb.TxnRequest, encode(wide)) == TOO_MANY


@pytest.mark.usefixtures("undecoded")
@pytest.mark.parametrize("field", [b"\x0a\x00", b"\xfa\x07\x00", b"\x18\x01"])
def test_other_requests_of_too_many_fields_are_never_decoded(field: bytes) -> None:
    expected = (13, f"grpc: error unmarshalling request: more than {MAX_FIELDS} fields")
    assert refusal(pb.PutRequest, field * 600_000) == expected


def test_the_widest_list_is_found_without_going_on() -> None:
    many = encode(pb.TxnRequest(success=[put_op(number) for number in range(200)]))
    assert widest_list(many, LISTS, NESTED, 128) == (True, 129)
    assert widest_list(many, LISTS, NESTED, 200) == (False, 200)
    inner = pb.TxnRequest(failure=[put_op(1), put_op(2)])
    outer = encode(
        pb.TxnRequest(success=[*[put_op(n) for n in range(126)], pb.RequestOp(request_txn=inner)])
    )
    # A transaction within another has what the other leaves: 128 - 127.
    assert widest_list(outer, LISTS, NESTED, 128)[0]
    assert not widest_list(outer, LISTS, NESTED, 129)[0]


def test_what_may_be_asked_is_decoded() -> None:
    large = pb.TxnRequest(success=[put_op(number, 10_000) for number in range(128)])
    assert ServerCodec().decode(encode(large), pb.TxnRequest) == large
    value = pb.PutRequest(key=b"k", value=bytes(1_500_000))
    assert ServerCodec().decode(encode(value), pb.PutRequest) == value
    deep = ServerCodec().decode(nested(128), pb.TxnRequest)
    assert encode(deep) == nested(128)
    assert refusal(pb.TxnRequest, nested(200)) == TOO_MANY


def test_etcds_words_for_what_cannot_be_decoded() -> None:
    undecodable = "grpc: error unmarshalling request: "
    assert refusal(pb.PutRequest, b"\x0a\x05ab") == (13, undecodable + "unexpected EOF")
    assert refusal(pb.TxnRequest, b"\x12\x05\x12") == (13, undecodable + "unexpected EOF")
    assert refusal(pb.PutRequest, b"\xff" * 11) == (13, undecodable + "proto: integer overflow")
