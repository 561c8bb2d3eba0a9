"""One version of one key, as etcd sends it.

The keyspace does not store objects with fields: it stores a *frame*, the bytes of one ``kvs`` entry
of a RangeResponse (tag 0x12, length, mvccpb.KeyValue). So a range of a thousand keys is one join, a
PutResponse's ``prev_kv`` and a watch event's ``kv`` are the same bytes (all three are field 2), and
a million keys cost 150 bytes each less than as tuples with a cached encoding and nothing at all in
the garbage collector (plain bytes are not its business; measured: 296 MB against 403-572 MB for
tuples, 71 ms against 219-286 ms a full collection for objects of a class).

:class:`Record` is the decoded form, made where somebody wants fields. Encoding is canonical: fields
in number order, zero values omitted, as protobuf's own writers do.
"""

from __future__ import annotations

from typing import NamedTuple

_SMALL = tuple(bytes((n,)) for n in range(128))
_SIGN = 1 << 63
_WRAP = 1 << 64


class RecordError(ValueError):
    """Bytes that are not one canonical frame."""


def varint(number: int) -> bytes:
    """Protobuf's variable-length form of an int64 (negative numbers take ten bytes)."""
    if 0 <= number < 0x80:
        return _SMALL[number]
    if 0 <= number < 0x4000:
        return bytes((number & 0x7F | 0x80, number >> 7))
    if 0 <= number < 0x200000:
        return bytes((number & 0x7F | 0x80, number >> 7 & 0x7F | 0x80, number >> 14))
    number &= _WRAP - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


class Record(NamedTuple):
    """A KeyValue. A deletion's record has only ``key`` and ``mod_revision``."""

    key: bytes
    value: bytes = b""
    create_revision: int = 0
    mod_revision: int = 0
    version: int = 0
    lease: int = 0

    @property
    def frame(self) -> bytes:
        """The bytes the keyspace keeps: a KeyValue as field 2 of a message."""
        return make_frame(*self)

    @property
    def wire(self) -> bytes:
        """The bytes of the mvccpb.KeyValue alone."""
        return wire_of(self.frame)


def make_frame(
    key: bytes, value: bytes, create_revision: int, mod_revision: int, version: int, lease: int
) -> bytes:
    """Encode one record. ``key`` must not be empty and ``mod_revision`` not zero."""
    mod = varint(mod_revision)
    parts = [b"\x0a", varint(len(key)), key]
    if create_revision:  # A deletion's record has none.
        create = mod if create_revision == mod_revision else varint(create_revision)
        parts += (b"\x10", create)
    parts += (b"\x18", mod)
    if version:
        parts += (b"\x20", varint(version))
    if value:
        parts += (b"\x2a", varint(len(value)), value)
    if lease:
        parts += (b"\x30", varint(lease))
    body = b"".join(parts)
    return b"".join((b"\x12", varint(len(body)), body))


def tombstone_frames(keys: list[bytes], mod_revision: int) -> list[bytes]:
    """The records of deletions, all in one revision: key and revision, nothing else."""
    tail = b"\x18" + varint(mod_revision)
    frames = []
    for key in keys:
        length = varint(len(key))
        size = varint(1 + len(length) + len(key) + len(tail))
        frames.append(b"".join((b"\x12", size, b"\x0a", length, key, tail)))
    return frames


def scan(frame: bytes) -> tuple[int, int, int, int, int, int, int, int]:
    """Where and what: key start and end, create, mod, version, value start and end, lease. Trusts
    the frame.
    """
    at = 2
    while frame[at - 1] > 0x7F:
        at += 1
    end = len(frame)
    key_start = key_end = create = mod = version = value_start = value_end = lease = 0
    while at < end:
        tag = frame[at]
        number = frame[at + 1]
        at += 2
        if number > 0x7F:
            number &= 0x7F
            shift = 7
            while True:
                byte = frame[at]
                at += 1
                number |= (byte & 0x7F) << shift
                if byte < 0x80:
                    break
                shift += 7
        if tag == 0x18:
            mod = number
        elif tag == 0x10:
            create = number
        elif tag == 0x20:
            version = number
        elif tag == 0x0A:
            key_start = at
            key_end = at = at + number
        elif tag == 0x2A:
            value_start = at
            value_end = at = at + number
        elif tag == 0x30:
            lease = number - _WRAP if number >= _SIGN else number
        else:
            raise RecordError(f"field tag {tag:#x} at byte {at}")
    return key_start, key_end, create, mod, version, value_start, value_end, lease


def parse(frame: bytes) -> Record:
    """The record in a frame of our own making."""
    key_start, key_end, create, mod, version, value_start, value_end, lease = scan(frame)
    return Record(
        frame[key_start:key_end], frame[value_start:value_end], create, mod, version, lease
    )


def parse_checked(frame: bytes) -> Record:
    """The record in a frame from outside; raises :class:`RecordError` unless it is exactly what we
    would write.
    """
    try:
        record = _parse_canonical(frame)
    except IndexError as error:
        raise RecordError(f"a frame of {len(frame)} bytes ends within a field") from error
    if record is None:
        raise RecordError(f"a frame of {len(frame)} bytes is not in canonical form")
    return record


def _parse_canonical(frame: bytes) -> Record | None:
    """The record, None for what :func:`make_frame` never makes: fields out of order or twice, zero
    values, numbers longer than they need be, lengths that do not fit. IndexError for a frame that
    is cut off.

    :func:`scan` with a look at each of these; a million records are read so at a start, and to
    write each anew and compare costs twice as much.
    """
    size = shift = last = 0
    at, end = 1, len(frame)
    while True:
        byte = frame[at]
        at += 1
        size |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
    if frame[0] != 0x12 or size != end - at or (shift and not byte):
        return None
    key = value = b""
    create = mod = version = lease = 0
    while at < end:
        tag = frame[at]
        number = frame[at + 1]
        at += 2
        if number > 0x7F:
            number &= 0x7F
            shift = 7
            while True:
                byte = frame[at]
                at += 1
                number |= (byte & 0x7F) << shift
                if byte < 0x80:
                    break
                shift += 7
            if not byte:
                return None
        if tag <= last or not number:
            return None
        last = tag
        if tag == 0x18:
            mod = number
        elif tag == 0x10:
            create = number
        elif tag == 0x20:
            version = number
        elif tag == 0x0A:
            key = frame[at : at + number]
            at += number
        elif tag == 0x2A:
            value = frame[at : at + number]
            at += number
        elif tag == 0x30:
            lease = number - _WRAP if number >= _SIGN else number
        else:
            return None
    if at != end or not key or not mod or create | mod | version >= _SIGN or lease >= _SIGN:
        return None
    return Record(key, value, create, mod, version, lease)


def wire_of(frame: bytes) -> bytes:
    """The KeyValue without tag and length."""
    at = 2
    while frame[at - 1] > 0x7F:
        at += 1
    return frame[at:]


def key_of(frame: bytes) -> bytes:
    """The key alone."""
    at = 2
    while frame[at - 1] > 0x7F:
        at += 1
    length = frame[at + 1]
    at += 2
    if length > 0x7F:
        length &= 0x7F
        shift = 7
        while True:
            byte = frame[at]
            at += 1
            length |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
    return frame[at : at + length]


def without_value(frame: bytes) -> bytes:
    """The frame that a ``keys_only`` range answers."""
    key_start, key_end, create, mod, version, value_start, _, lease = scan(frame)
    if not value_start:
        return frame
    return make_frame(frame[key_start:key_end], b"", create, mod, version, lease)
