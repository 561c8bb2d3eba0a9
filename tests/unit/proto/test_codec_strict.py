"""What is no message is refused with DecodeError, nothing else, where google.protobuf refuses."""

from __future__ import annotations

from random import Random

import pytest
from google.protobuf.message import DecodeError as TwinError
from kvorum_proto import wire
from kvorum_proto.codec import DecodeError, decode, encode
from kvorum_proto.codegen import fields_of
from unit.proto.samples import CLASSES, TWINS, AllKinds, random_message

GARBAGE = 20_000
KINDS = "kinds.AllKinds"
BOUNDARY_BYTES = [0, 1, 2, 3, 4, 7, 8, 10, 16, 18, 26, 0x7F, 0x80, 0xFF]


def _same_judgement(name: str, data: bytes) -> bool:
    """Whether both accept; asserts that they agree in that, and on the content.

    One quirk of google.protobuf is left out: a class without fields takes a zero byte for the end.
    """
    try:
        twin = TWINS[name].FromString(data)
    except TwinError:
        with pytest.raises(DecodeError):
            decode(CLASSES[name], data)
        return False
    try:
        message = decode(CLASSES[name], data)
    except DecodeError as error:
        assert "number 0" in str(error), (name, data)
        return False
    again = encode(message)
    theirs = twin.SerializeToString(deterministic=True)
    if again == theirs:
        return True
    # Google's keeps needless bytes in the tag of an unknown field.
    ours = decode(CLASSES[name], theirs)
    # Maps may be sorted otherwise; a float that is no number may come back as another such one.
    kinds = name == KINDS and (ours == message or "nan" in repr(message))
    assert kinds or encode(ours) == again
    return True


@pytest.mark.parametrize("name", CLASSES)
def test_truncations_are_judged_as_by_google_protobuf(name: str) -> None:
    rng, verdicts = Random(name), set()
    some = [encode(random_message(rng, CLASSES[name]))[:300] for _ in range(40)]
    for data in sorted(set(some), key=len)[-3:]:
        verdicts |= {_same_judgement(name, data[:cut]) for cut in range(len(data))}
    assert verdicts == ({True, False} if fields_of(CLASSES[name]) else set())


@pytest.mark.parametrize("name", CLASSES)
def test_spoiled_messages_are_judged_as_by_google_protobuf(name: str) -> None:
    rng = Random(name)
    for _ in range(60):
        data = bytearray(encode(random_message(rng, CLASSES[name]))[:300] or b"\0")
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(data))
            if rng.random() < 0.6:
                data[at] = rng.choice(BOUNDARY_BYTES)
            else:
                data.insert(at, rng.choice(BOUNDARY_BYTES))
        _same_judgement(name, bytes(data))


def test_garbage_raises_nothing_but_decode_errors() -> None:
    rng, names = Random(2024), list(CLASSES)
    for _ in range(GARBAGE):
        some = rng.choice([BOUNDARY_BYTES, range(256)])
        data = bytes(rng.choice(some) for _ in range(rng.randrange(40)))
        _same_judgement(rng.choice(names), data)


def _varint(value: int, padding: int) -> bytes:
    """A varint with needless bytes behind, or one that is too large."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    if padding:
        out[-1] |= 0x80
        out += b"\x80" * (padding - 1) + b"\0"
    return bytes(out)


@pytest.mark.parametrize("field", [each.name for each in fields_of(AllKinds)])
def test_clumsy_numbers_are_judged_as_by_google_protobuf(field: str) -> None:
    """Tags, lengths and values with needless bytes or too many, under every wire type."""
    number = next(each.number for each in fields_of(AllKinds) if each.name == field)
    values = (0, 1, 300, 1 << 31, (1 << 32) - 1, 1 << 63, (1 << 64) - 1, (1 << 70) - 1)
    for wire_type in range(8):
        for padding in ((0, 0), (1, 0), (3, 0), (4, 0), (5, 0), (0, 1), (0, 4), (0, 5), (0, 9)):
            for value in values:
                head = _varint(number << 3 | wire_type, padding[0]) + _varint(value, padding[1])
                for tail in (b"", b"\0", b"12345678"):
                    _same_judgement(KINDS, head + tail)


@pytest.mark.parametrize("number", [0, 1, 15, 16, 270, 1 << 28, (1 << 29) - 1, 1 << 29, 1 << 40])
def test_field_numbers_are_judged_as_by_google_protobuf(number: int) -> None:
    for wire_type in range(8):
        for tail in (b"", b"\0", b"\x01a", b"12345678"):
            _same_judgement("mvccpb.KeyValue", _varint(number << 3 | wire_type, 0) + tail)


def _nested(levels: int, number: int) -> bytes:
    data = b""
    for _ in range(levels):
        data = wire.field_bytes(number, data)
    return data


def test_depth_is_bounded_as_in_google_protobuf() -> None:
    child = next(each.number for each in fields_of(AllKinds) if each.name == "child")
    for levels in (99, 100, 101, 102, 5000):
        groups = wire.tag(99, 3) * levels + wire.tag(99, 4) * levels
        assert _same_judgement(KINDS, groups) == (levels <= 100)
        assert _same_judgement(KINDS, _nested(levels, child)) == (levels <= 100)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x02\x00", id="field number 0"),
        pytest.param(b"\x0e", id="wire type 6"),
        pytest.param(b"\x0f", id="wire type 7"),
        pytest.param(b"\x0c", id="a group ends that never began"),
        pytest.param(b"\x0b", id="a group never ends"),
        pytest.param(b"\x0b\x14", id="another group ends"),
        pytest.param(b"\x0a\x02a", id="bytes cut off"),
        pytest.param(b"\x10", id="varint missing"),
        pytest.param(b"\x10\xff", id="varint cut off"),
        pytest.param(b"\x10" + b"\xff" * 10 + b"\x01", id="varint of eleven bytes"),
        pytest.param(b"\x0a" + b"\xff" * 9 + b"\x01", id="length beyond everything"),
        pytest.param(b"\xff\xff\xff\xff\xff\x01", id="tag of six bytes"),
    ],
)
def test_what_is_no_key_value(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode(CLASSES["mvccpb.KeyValue"], data)


def test_text_must_be_utf8() -> None:
    assert decode(CLASSES["v3lockpb.LockRequest"], b"\x0a\x02\xc3\x28").name == b"\xc3\x28"
    for bad in (b"\xc3\x28", b"\xff", b"\xed\xa0\x80", b"\xc0\x80"):
        with pytest.raises(DecodeError, match="UTF-8"):
            decode(CLASSES["etcdserverpb.AuthUserGetRequest"], wire.field_bytes(1, bad))
    with pytest.raises(ValueError, match="surrogates"):
        encode(CLASSES["etcdserverpb.AuthUserGetRequest"](name="\ud800"))


HOSTILE = {
    "unknown fields": ("mvccpb.KeyValue", b"\xa0\x06\x01"),
    "unknown groups": ("mvccpb.KeyValue", b"\xa3\x06\xa4\x06"),
    "the header again": ("etcdserverpb.PutResponse", b"\x0a\x02\x08\x01"),
    "the header again, unknown": ("etcdserverpb.PutResponse", b"\x0a\x03\xa0\x06\x01"),
    "a oneof to and fro": ("etcdserverpb.RequestOp", b"\x0a\x00\x12\x00"),
    "a oneof merged": ("etcdserverpb.RequestOp", b"\x22\x04\x0a\x02\x08\x01"),
    "fields backwards": ("etcdserverpb.RangeRequest", b"\x68\x01\x0a\x00"),
    "clumsy tags": ("etcdserverpb.RangeRequest", b"\x8a\x80\x80\x80\x00\x00"),
}


@pytest.mark.parametrize("shape", HOSTILE)
def test_no_shape_costs_more_than_its_size(shape: str) -> None:
    """A step that copied what came before would make these take minutes."""
    name, piece = HOSTILE[shape]
    assert _same_judgement(name, piece * (500_000 // len(piece)))


def test_merges_inside_merges_are_looked_at_once() -> None:
    """Looking twice at each level would take 2**45 steps."""
    data = b"\x22\x00\x22\x00"
    for _ in range(45):
        data = wire.field_bytes(4, wire.field_bytes(2, data)) + b"\x22\x00"
    assert _same_judgement("etcdserverpb.RequestOp", data)
