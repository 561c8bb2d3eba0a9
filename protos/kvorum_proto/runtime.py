"""What generated decoders call when something is out of the ordinary.

Long tags, fields the message class does not have, singular messages that come several times,
errors.
"""

from __future__ import annotations

from . import wire
from .wire import DecodeError

_SHORT_BYTES = 5
"""Tags and lengths have 32 bits, and however clumsily they are written, at most five bytes."""


def truncated() -> DecodeError:
    """The error for a message that ends inside a field."""
    return DecodeError("the message ends inside a field")


def too_deep() -> DecodeError:
    """The error for messages nested deeper than the codec follows."""
    return DecodeError("messages are nested too deep")


def again(more: list[tuple[int, int]] | None, start: int, stop: int) -> list[tuple[int, int]]:
    """Notes a further stretch of a singular message that came once more."""
    if more is None:
        return [(start, stop)]
    more.append((start, stop))
    return more


def long_tag(buf: bytes, pos: int, first: int) -> tuple[int, int]:
    """The rest of a tag whose first byte had its high bit set, and the position after it.

    Raises DecodeError when no field has such a tag, and IndexError where the data ends.
    """
    tag, stop = wire.long_varint(buf, pos, first)
    if stop - pos >= _SHORT_BYTES or tag >> 32:
        raise DecodeError("a field number is out of range")
    return tag, stop


def long_length(buf: bytes, pos: int, first: int) -> tuple[int, int]:
    """The rest of a length whose first byte had its high bit set, and the position after it.

    Raises DecodeError when it has too many bytes, and IndexError where the data ends.
    """
    length, stop = wire.long_varint(buf, pos, first)
    if stop - pos >= _SHORT_BYTES:
        raise DecodeError("a length is out of range")
    return length, stop


def skip(buf: bytes, pos: int, tag: int, depth: int, unknown: list[bytes]) -> int:
    """Keeps a field the message class does not have, with its tag; returns the position after.

    That may lie beyond the message's end when the field is cut off: the decoder looks at that.
    Raises DecodeError when the field is unbalanced or none at all, IndexError where the data ends.
    """
    start, stack, field_tag = pos, [], tag
    while True:
        wire_type = tag & 7
        if not tag >> 3:
            raise DecodeError("a field has number 0")
        if wire_type == wire.VARINT:
            _, pos = wire.read_varint(buf, pos)
        elif wire_type == wire.DELIMITED:
            length, pos = buf[pos], pos + 1
            if length > 0x7F:
                length, pos = long_length(buf, pos, length)
            pos += length
        elif wire_type == wire.FIXED64:
            pos += 8
        elif wire_type == wire.FIXED32:
            pos += 4
        elif wire_type == wire.GROUP_START:
            stack.append(tag >> 3)
            if len(stack) > depth:
                raise too_deep()
        elif wire_type != wire.GROUP_END or not stack or stack.pop() != tag >> 3:
            raise DecodeError(f"wire type {wire_type} has no place here")
        if not stack:
            unknown.append(wire.uvarint(field_tag) + buf[start:pos])
            return pos
        tag, pos = buf[pos], pos + 1
        if tag > 0x7F:
            tag, pos = long_tag(buf, pos, tag)


GLOBALS = {
    "again": again,
    "join": b"".join,
    "long_length": long_length,
    "long_tag": long_tag,
    "long_varint": wire.long_varint,
    "new": object.__new__,
    "skip": skip,
    "too_deep": too_deep,
    "truncated": truncated,
}
"""What every decoder finds among its globals."""
