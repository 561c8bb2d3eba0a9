"""Protobuf's wire format, read without a schema."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from kvorum_tui.model.decoders.form import NotThis

VARINT, I64, LEN, I32 = 0, 1, 2, 5
NUMBER_MAX = 2**29 - 1
DEEP_MAX = 12
LINES_MAX = 20_000


@dataclass(frozen=True, slots=True)
class Field:
    """One field: an int for the numbers, bytes for what has a length."""

    number: int
    wire: int
    value: int | bytes


def varint(data: bytes, at: int) -> tuple[int, int]:
    """A varint and where it ends."""
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise NotThis("a number breaks off")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at
        shift += 7


def fields(data: bytes) -> list[Field]:
    """Every field of a message, in order. Raises ValueError when the bytes are no message."""
    out: list[Field] = []
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        number, wire = tag >> 3, tag & 7
        if not 0 < number <= NUMBER_MAX:
            raise NotThis(f"field number {number}")
        value: int | bytes
        if wire == VARINT:
            value, at = varint(data, at)
        elif wire == LEN:
            size, at = varint(data, at)
            if size > len(data) - at:
                raise NotThis("a field is longer than the message")
            value, at = data[at : at + size], at + size
        elif wire in (I64, I32):
            size = 8 if wire == I64 else 4
            if size > len(data) - at:
                raise NotThis("a field is longer than the message")
            value, at = int.from_bytes(data[at : at + size], "little"), at + size
        else:
            raise NotThis(f"wire type {wire}")
        out.append(Field(number, wire, value))
    return out


def put_varint(value: int) -> bytes:
    """A varint; negative numbers as their 64 bits."""
    value &= 0xFFFF_FFFF_FFFF_FFFF
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def put(number: int, wire: int, value: int | bytes) -> bytes:
    """One field."""
    tag = put_varint(number << 3 | wire)
    if isinstance(value, bytes):
        return tag + put_varint(len(value)) + value
    if wire == VARINT:
        return tag + put_varint(value)
    return tag + value.to_bytes(8 if wire == I64 else 4, "little")


def readable(data: bytes) -> str | None:
    """The text in a field, when it is printable text."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return text if all(c.isprintable() or c in "\n\t\r" for c in text) else None


def likely(data: bytes) -> bool:
    """Whether bytes are a message rather than by chance: every field number is small."""
    try:
        found = fields(data)
    except ValueError:
        return False
    return bool(found) and all(field.number < 2_000 for field in found)


def telling(data: bytes) -> bool:
    """Whether bytes of which nothing is known are a message: with a text or message inside, and
    field numbers as people choose them. Numbers alone would be anything.
    """
    found = fields(data)
    return all(field.number < 100 for field in found) and any(
        isinstance(field.value, bytes)
        and len(field.value) > 1
        and (readable(field.value) is not None or likely(field.value))
        for field in found
    )


def quoted(text: str) -> str:
    """A text field on one line."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def lines(data: bytes, names: dict[int, object] | None = None, depth: int = 0) -> list[str]:
    """Fields as lines, messages indented. ``names`` gives names to field numbers: a name, or
    (name, names of the fields inside). Raises ValueError when the bytes are no message.
    """
    out: list[str] = []
    blank = "  " * depth
    for field in fields(data):
        if len(out) > LINES_MAX:
            out.append(f"{blank}… more fields are not shown")
            break
        known = (names or {}).get(field.number)
        name, inside = known if isinstance(known, tuple) else (known, None)
        head = f"{blank}{name or field.number}"
        value = field.value
        if isinstance(value, int):
            out.append(f"{head}: {number_text(field.wire, value)}")
            continue
        text = readable(value)
        if inside is None and (text is not None or depth >= DEEP_MAX or not likely(value)):
            shown = quoted(text) if text is not None else f"{len(value)} bytes {value[:32].hex()}"
            out.append(f"{head}: {shown}{'…' if text is None and len(value) > 32 else ''}")
            continue
        try:
            below = lines(value, inside, depth + 1)
        except ValueError:
            out.append(f"{head}: {len(value)} bytes {value[:32].hex()}")
            continue
        if value:
            out += [f"{head} {{", *below, f"{blank}}}"]
        else:
            out.append(f"{head} {{}}")
    return out


def number_text(wire: int, value: int) -> str:
    """A number; of fixed width also as the float that it may be."""
    if wire == VARINT:
        return f"{value} (or {value - 2**64})" if value >= 2**63 else str(value)
    if wire == I64:
        return f"{value:#018x} (as float {struct.unpack('<d', value.to_bytes(8, 'little'))[0]:g})"
    return f"{value:#010x} (as float {struct.unpack('<f', value.to_bytes(4, 'little'))[0]:g})"
