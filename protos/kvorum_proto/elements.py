"""How many fields a message's bytes hold, found without building anything.

A byte of a message can cost a thousand times as much once it is an object: two bytes make an
operation of a transaction. What a server takes is bounded in bytes; here it is bounded in fields,
repeated and unknown ones too, before the decoder is let loose on it. Bytes that are no message are
counted as far as they are one: what is wrong with them is the decoder's to say.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from betterproto2 import Message

from . import wire
from .codegen import fields_of

_PACKED = 1
_Shape = dict[int, "type[Message] | int"]


@cache
def _shape(cls: type[Message]) -> _Shape:
    """By tag: the class of a message field, or that a list comes packed."""
    shape: _Shape = {}
    for field in fields_of(cls):
        tag = field.number << 3 | wire.DELIMITED
        if field.kind in ("message", "map"):
            shape[tag] = field.cls
        elif field.packable:
            shape[tag] = _PACKED
    return shape


class _Counter:
    """Counts until there are more than ``most``."""

    def __init__(self, data: bytes, most: int) -> None:
        self._data = data
        self._most = most
        self.count = 0

    def number(self, at: int, end: int) -> tuple[int, int]:
        """A varint and what follows it; past the end when it is none."""
        value = shift = 0
        while at < end and shift < 70:
            byte = self._data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, at
            shift += 7
        return 0, end + 1

    def walk(self, cls: type[Message] | None, at: int, end: int, depth: int) -> None:
        """Count what lies between two places; of messages in it too, so many levels deep."""
        data, shape = self._data, _shape(cls) if cls is not None else {}
        while at < end and self.count <= self._most:
            self.count += 1
            tag = data[at]
            at += 1
            if tag > 0x7F:
                tag, at = self.number(at - 1, end)
            kind = tag & 7
            if kind == wire.DELIMITED:
                size, at = self.number(at, end)
                stop = at + size
                if stop > end:
                    return
                inner = shape.get(tag)
                if inner == _PACKED:
                    self.count += size
                elif isinstance(inner, type) and depth:
                    self.walk(inner, at, stop, depth - 1)
                at = stop
            elif kind == wire.VARINT:
                _, at = self.number(at, end)
            elif kind == wire.FIXED64:
                at += 8
            elif kind == wire.FIXED32:
                at += 4
            # The start and the end of a group are fields without content.


def count_fields(cls: type[Message], data: bytes, most: int, depth: int) -> int:
    """Fields of the message on all its levels, each element of a packed list for each of its bytes;
    any number above ``most`` when there are more. ``depth`` levels of messages are looked into.
    """
    counter = _Counter(data, most)
    counter.walk(cls, 0, len(data), depth)
    return counter.count


def widest_list(
    data: bytes, tags: tuple[int, ...], nested: tuple[int, ...], most: int
) -> tuple[bool, int]:
    """Whether a message, or one nested in it, has a list of more elements than it may.

    Args:
        data: the message.
        tags: of its lists (of messages).
        nested: tags that lead from an element to a message of the same kind.
        most: how many elements a list may have; one nested may have fewer by the length of its
            parent's longest list.

    Returns the verdict, and how many elements were looked at to find it. Every field is gone past,
    so that :func:`count_fields` comes first.
    """
    counter = _Counter(data, 0)
    looked = 0
    waiting = [(0, len(data), most)]
    while waiting:
        at, end, allowed = waiting.pop()
        lists = dict.fromkeys(tags, 0)
        inside: list[tuple[int, int]] = []
        for tag, start, stop in _delimited(counter, at, end):
            if tag in lists:
                looked += 1
                lists[tag] += 1
                if lists[tag] > allowed:
                    return True, looked
                inside += _nested(counter, start, stop, nested)
        rest = allowed - max(lists.values())
        waiting += [(first, last, rest) for first, last in inside]
    return False, looked


def _nested(counter: _Counter, at: int, end: int, tags: tuple[int, ...]) -> list[tuple[int, int]]:
    """Where an element has nested messages."""
    return [(start, stop) for tag, start, stop in _delimited(counter, at, end) if tag in tags]


def _delimited(counter: _Counter, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """The fields with a length that lie between two places: tag, beginning, end."""
    while at < end:
        tag, at = counter.number(at, end)
        kind = tag & 7
        if kind == wire.DELIMITED:
            size, at = counter.number(at, end)
            if at + size > end:
                return
            yield tag, at, at + size
            at += size
        elif kind == wire.VARINT:
            _, at = counter.number(at, end)
        else:
            at += 8 if kind == wire.FIXED64 else 4 if kind == wire.FIXED32 else 0
