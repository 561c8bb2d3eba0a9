"""Protobuf's wire format without messages: varints, tags, length-delimited fields.

For splicing bytes that are encoded already: a KeyValue kept as bytes beside its record becomes part
of a RangeResponse by a tag and a length in front, and an event encoded once is sent to every
watcher. Only the standard library is used; the codec stands on these functions too.

Source of the format: protobuf's encoding guide.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

VARINT, FIXED64, DELIMITED, GROUP_START, GROUP_END, FIXED32 = 0, 1, 2, 3, 4, 5
"""Wire types: the low three bits of a tag."""

MAX_FIELD_NUMBER = (1 << 29) - 1
"""The largest field number; a tag therefore always fits into 32 bits."""


class DecodeError(ValueError):
    """Bytes that are no message: cut off, not protobuf, or not UTF-8 where text belongs."""


_SMALL = tuple(bytes((value,)) for value in range(128))
_MEMO_ENTRIES = 4096
_memo: dict[int, bytes] = {}


def uvarint(value: int) -> bytes:
    """A number of 0 to 2**64 - 1 as a varint.

    Raises ValueError when it is out of that range.
    """
    if value < 0x80:
        if value < 0:
            raise ValueError(f"{value} is negative")
        return _SMALL[value]
    if value < 0x4000:
        return bytes((value & 0x7F | 0x80, value >> 7))
    if value < 0x200000:
        return bytes((value & 0x7F | 0x80, value >> 7 & 0x7F | 0x80, value >> 14))
    if value < 0x10000000:
        middle = (value >> 7 & 0x7F | 0x80, value >> 14 & 0x7F | 0x80)
        return bytes((value & 0x7F | 0x80, *middle, value >> 21))
    return _memo.get(value) or _wide_uvarint(value)


def _wide_uvarint(value: int) -> bytes:
    """The same for what takes five bytes and more.

    Member ids, cluster ids and lease ids are wide and come again and again, so the newest few
    thousand are remembered.
    """
    if value >= 1 << 64:
        raise ValueError(f"{value} does not fit into 64 bits")
    rest, out = value, bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    if len(_memo) >= _MEMO_ENTRIES:
        _memo.clear()
    encoded = _memo[value] = bytes(out)
    return encoded


def varint(value: int) -> bytes:
    """A number of -2**63 to 2**64 - 1 as a varint; a negative one takes ten bytes.

    This is how int32, int64, uint32, uint64, bool and enum values are written. Raises ValueError
    when the number is out of range.
    """
    if value >= 0:
        return uvarint(value)
    if value < -(1 << 63):
        raise ValueError(f"{value} does not fit into 64 bits")
    return uvarint(value + (1 << 64))


@cache
def tag(number: int, wire_type: int) -> bytes:
    """What stands in front of a field of this number and wire type.

    Raises ValueError when there can be no such field.
    """
    if not 0 < number <= MAX_FIELD_NUMBER or not 0 <= wire_type <= FIXED32:
        raise ValueError(f"no field has number {number} and wire type {wire_type}")
    return uvarint(number << 3 | wire_type)


class Openings(dict[int, bytes]):
    """Tag and length of a length-delimited field: `openings(number)[length]`, for every length.

    What was asked for is remembered as long as the length takes two bytes at most, so that the
    table stays below some 16,000 entries.
    """

    def __init__(self, number: int) -> None:
        self._tag = tag(number, DELIMITED)

    def __missing__(self, length: int) -> bytes:
        opening = self._tag + uvarint(length)
        if length < 0x4000:
            self[length] = opening
        return opening


@cache
def openings(number: int) -> Openings:
    """The openings of a field. Raises ValueError when there can be no such field."""
    return Openings(number)


def field_varint(number: int, value: int) -> bytes:
    """A varint field; nothing for zero, as proto3 leaves defaults out."""
    return tag(number, VARINT) + varint(value) if value else b""


def field_bytes(number: int, data: bytes) -> bytes:
    """A bytes, string or message field holding `data`, written even when it is empty."""
    return openings(number)[len(data)] + data


def join_repeated(number: int, items: Iterable[bytes]) -> bytes:
    """A repeated bytes, string or message field: every item under the same number."""
    heads = openings(number)
    return b"".join([part for item in items for part in (heads[len(item)], item)])


def long_varint(data: bytes, pos: int, first: int) -> tuple[int, int]:
    """The rest of a varint whose first byte, right before `pos`, was `first` with its high bit set.

    Returns the value, cut to 64 bits, and the position after it. Raises IndexError where the data
    ends and DecodeError after ten bytes. Each step takes the high bit of the byte before out again:
    that is the `- 1`. A loop would take twice the time, and every id is nine or ten bytes.
    """
    byte = data[pos]
    value = first + (byte - 1 << 7)
    if byte < 0x80:
        return value, pos + 1
    byte = data[pos + 1]
    value += byte - 1 << 14
    if byte < 0x80:
        return value, pos + 2
    byte = data[pos + 2]
    value += byte - 1 << 21
    if byte < 0x80:
        return value, pos + 3
    byte = data[pos + 3]
    value += byte - 1 << 28
    if byte < 0x80:
        return value, pos + 4
    byte = data[pos + 4]
    value += byte - 1 << 35
    if byte < 0x80:
        return value, pos + 5
    byte = data[pos + 5]
    value += byte - 1 << 42
    if byte < 0x80:
        return value, pos + 6
    byte = data[pos + 6]
    value += byte - 1 << 49
    if byte < 0x80:
        return value, pos + 7
    byte = data[pos + 7]
    value += byte - 1 << 56
    if byte < 0x80:
        return value, pos + 8
    byte = data[pos + 8]
    value += byte - 1 << 63
    if byte < 0x80:
        return value & 0xFFFFFFFFFFFFFFFF, pos + 9
    raise DecodeError("a varint has more than ten bytes")


def read_varint(data: bytes, pos: int) -> tuple[int, int]:
    """The varint at `pos`, as a number of 0 to 2**64 - 1, and the position after it.

    Raises IndexError where the data ends and DecodeError after ten bytes.
    """
    first = data[pos]
    return (first, pos + 1) if first < 0x80 else long_varint(data, pos + 1, first)
