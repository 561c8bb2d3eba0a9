"""The rules of protobuf that etcd's clients lean on, one by one, and the codec's own promises."""

from __future__ import annotations

import threading

import pytest
from kvorum_proto import codec, runtime
from kvorum_proto.codec import DecodeError, decode, encode
from kvorum_proto.codegen import fields_of
from kvorum_proto.etcdserverpb import (
    AlarmRequest,
    AlarmType,
    Compare,
    FilterType,
    PutRequest,
    PutResponse,
    RangeRequest,
    RequestOp,
    ResponseHeader,
    SortTarget,
    TxnRequest,
    WatchCreateRequest,
)
from kvorum_proto.kvorum.v1 import ClockFault, DigestReport, NodeStatistics
from kvorum_proto.mvccpb import Event, EventType, KeyValue
from kvorum_proto.wire import field_bytes, field_varint
from unit.proto.samples import AllKinds, Colour, twin_of


def test_a_negative_number_takes_ten_bytes() -> None:
    data = encode(PutRequest(lease=-1))
    assert data == b"\x18" + b"\xff" * 9 + b"\x01"
    assert decode(PutRequest, data).lease == -1


def test_numbers_wrap_into_their_field() -> None:
    wide = b"\xff" * 9 + b"\x01"
    assert decode(KeyValue, b"\x10" + wide).create_revision == -1
    assert decode(ResponseHeader, b"\x08" + wide).cluster_id == (1 << 64) - 1
    assert decode(ClockFault, b"\x08\x03\x10\x04") == ClockFault(rate_ppm=-2, jump_ms=2)


@pytest.mark.parametrize("value", [1 << 64, -(1 << 63) - 1])
def test_a_number_that_fits_no_field_is_a_value_error(value: int) -> None:
    with pytest.raises(ValueError, match="64 bits"):
        encode(PutRequest(lease=value))


def test_a_fixed_number_that_does_not_fit_is_a_value_error() -> None:
    assert len(encode(DigestReport(digest=(1 << 64) - 1))) == 9
    with pytest.raises(ValueError, match="DigestReport"):
        encode(DigestReport(digest=1 << 64))


def test_unknown_enum_numbers_survive() -> None:
    for number in (5, 77, -3, (1 << 31) - 1):
        request = RangeRequest(sort_target=SortTarget(number))
        back = decode(RangeRequest, encode(request))
        assert back.sort_target == number
        assert isinstance(back.sort_target, SortTarget)
        assert encode(back) == encode(request) == bytes(request)


def test_enum_members_are_the_members_themselves() -> None:
    assert decode(Event, b"\x08\x01").type is EventType.DELETE
    assert decode(Event, b"").type is EventType.PUT
    assert decode(AlarmRequest, b"\x18\x02").alarm is AlarmType.CORRUPT


def test_lists_come_packed_or_not() -> None:
    both = [FilterType.NODELETE, FilterType.NOPUT, FilterType.NODELETE]
    packed, loose = b"\x2a\x03\x01\x00\x01", b"\x28\x01\x28\x00\x28\x01"
    assert decode(WatchCreateRequest, packed).filters == both
    assert decode(WatchCreateRequest, loose).filters == both
    assert decode(WatchCreateRequest, loose + packed).filters == both * 2
    assert encode(WatchCreateRequest(filters=both)) == packed
    with pytest.raises(DecodeError):
        decode(WatchCreateRequest, b"\x2a\x02\x01\x80\x01")


def test_zero_in_a_oneof_is_written() -> None:
    assert encode(Compare(version=0)) == b"\x20\x00"
    assert encode(Compare(value=b"")) == b"\x3a\x00"
    assert encode(RequestOp(request_put=PutRequest())) == b"\x12\x00"
    assert decode(Compare, b"\x20\x00").version == 0
    assert decode(Compare, b"").version is None


def test_the_last_member_of_a_oneof_wins() -> None:
    assert decode(Compare, b"\x20\x05\x3a\x01a") == Compare(value=b"a")
    assert decode(Compare, b"\x3a\x01a\x20\x05") == Compare(version=5)
    put, get = field_bytes(2, b"\x0a\x01k"), field_bytes(1, b"\x0a\x01r")
    assert decode(RequestOp, put + get) == RequestOp(request_range=RangeRequest(key=b"r"))
    assert decode(RequestOp, get + put) == RequestOp(request_put=PutRequest(key=b"k"))
    assert decode(RequestOp, put + get + put) == RequestOp(request_put=PutRequest(key=b"k"))


def test_a_member_that_lost_must_be_a_message_all_the_same() -> None:
    with pytest.raises(DecodeError):
        decode(RequestOp, field_bytes(2, b"\x0a\x09k") + field_bytes(1, b""))


def test_a_singular_message_that_comes_again_is_merged() -> None:
    first, second = field_bytes(1, field_varint(3, 5)), field_bytes(1, field_varint(4, 2))
    assert decode(PutResponse, first + second).header == ResponseHeader(revision=5, raft_term=2)
    more = [field_bytes(1, field_varint(3, revision)) for revision in (6, 7, 8)]
    merged = decode(PutResponse, b"".join([first, second, *more])).header
    assert merged == ResponseHeader(revision=8, raft_term=2)
    deep = [
        field_bytes(4, field_bytes(2, field_bytes(2, key))) for key in (b"\x0a\x01a", b"\x0a\x01b")
    ]
    puts = [RequestOp(request_put=PutRequest(key=key)) for key in (b"a", b"b")]
    assert decode(RequestOp, b"".join(deep)) == RequestOp(request_txn=TxnRequest(success=puts))


def test_merging_keeps_unknown_fields_of_all_pieces() -> None:
    pieces = [field_varint(100, 1), field_varint(101, 2)]
    data = b"".join(field_bytes(1, piece) for piece in pieces)
    assert encode(decode(PutResponse, data)) == field_bytes(1, b"".join(pieces))


def test_each_piece_of_a_merged_message_must_be_whole() -> None:
    with pytest.raises(DecodeError):
        decode(PutResponse, field_bytes(1, b"\x18") + field_bytes(1, b"\x05"))


def test_a_known_field_of_another_wire_type_is_unknown() -> None:
    data = b"\x08\x05" + b"\x0a\x01k"
    decoded = decode(PutRequest, data)
    assert decoded == PutRequest(key=b"k")
    assert encode(decoded) == b"\x0a\x01k\x08\x05"


def test_fields_in_any_order() -> None:
    message = NodeStatistics(
        cluster_id=1, name="n", leader=2, digest=9, faults_enabled=True, version="v"
    )
    data = encode(message)
    twin = twin_of(NodeStatistics).FromString(data)
    assert twin.faults_enabled
    backwards = b"".join(
        encode(NodeStatistics(**{name: getattr(message, name)})) for name in _set(message)
    )
    assert backwards != data
    assert decode(NodeStatistics, backwards) == message


def _set(message: NodeStatistics) -> list[str]:
    names = [field.name for field in fields_of(NodeStatistics) if getattr(message, field.name)]
    return names[::-1]


def test_maps_keep_the_last_value_and_fill_in_defaults() -> None:
    numbers = {field.name: field.number for field in fields_of(AllKinds)}
    entry = field_bytes(1, b"k") + field_varint(2, 7)
    later = field_bytes(1, b"k") + field_varint(2, 8)
    data = b"".join(field_bytes(numbers["by_int64"], each) for each in (entry, later, b""))
    assert decode(AllKinds, data).by_int64 == {"k": 8, "": 0}
    lonely = decode(AllKinds, field_bytes(numbers["by_message"], field_bytes(1, b"x")))
    assert lonely.by_message == {"x": AllKinds()}
    chosen = decode(AllKinds, field_bytes(numbers["by_enum"], field_varint(2, 1000)))
    assert chosen.by_enum == {"": Colour.VIOLET}


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_decodes_to_bytes(kind: type) -> None:
    decoded = decode(PutRequest, kind(b"\x0a\x01k\x12\x01v"))
    assert decoded == PutRequest(key=b"k", value=b"v")
    assert type(decoded.key) is type(decoded.value) is bytes


def test_bytes_fields_take_any_buffer() -> None:
    assert encode(PutRequest(key=bytearray(b"k"), value=memoryview(b"v"))) == b"\x0a\x01k\x12\x01v"


def test_a_decoded_message_is_a_whole_one() -> None:
    decoded = decode(PutResponse, b"\x0a\x00")
    assert decoded.prev_kv is None
    assert repr(decoded) == "PutResponse(header=ResponseHeader())"
    decoded.header.revision = 4
    assert bytes(decoded) == encode(decoded) == b"\x0a\x02\x18\x04"
    assert decode(TxnRequest, b"").compare is not decode(TxnRequest, b"").compare


def test_only_message_classes_have_a_codec() -> None:
    for wrong in (int, 5, None):
        with pytest.raises(TypeError, match="not a message class"):
            decode(wrong, b"")  # type: ignore[type-var]  # what is tested
    with pytest.raises(TypeError, match="not a message class"):
        encode(b"raw")  # type: ignore[arg-type]  # what is tested


def test_size_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "MAX_BYTES", 3)
    assert decode(PutRequest, b"\x0a\x01k").key == b"k"
    with pytest.raises(DecodeError, match="4 bytes"):
        decode(PutRequest, b"\x0a\x02kk")


def test_pieces_are_noted_without_copying_what_was_noted_before() -> None:
    first = runtime.again(None, 1, 2)
    assert runtime.again(first, 3, 4) is first == [(1, 2), (3, 4)]


def test_generated_names_keep_apart_what_only_looks_alike() -> None:
    compiler = codec._Compiler()
    first, second = (
        compiler.constant("zero", EventType.PUT),
        compiler.constant("zero", AlarmType.NONE),
    )
    assert first != second
    assert compiler.constant("zero", AlarmType.NONE) == second
    tags = [compiler.constant("known", frozenset({8, 18})) for _ in range(2)]
    assert tags[0] == tags[1] != compiler.constant("known", frozenset({8}))


def test_threads_may_compile_at_once() -> None:
    compiler = codec._Compiler()
    results: list[bytes] = []

    def work() -> None:
        for cls in (TxnRequest, PutRequest, RequestOp, RangeRequest):
            message = compiler.compile_decoder(cls)(b"", 0, 0, 10)
            results.append(compiler.compile_encoder(cls)(message))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [b""] * 32
