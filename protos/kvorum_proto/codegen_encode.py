"""Writes the Python source of a message class's encoder.

The encoder is one function without loops over metadata: for every field, in the order in which
betterproto2 writes them, a load, a test for the default and an append. What it makes is byte for
byte what `bytes(message)` makes. For PutRequest:

    def encode_PutRequest(m):
        out = []
        add = out.append
        v = m.key
        if v:
            add(openings_1[len(v)])
            add(v)
        v = m.lease
        if v:
            add(b'\\x18' + varint(v))
        v = m.prev_kv
        if v:
            add(b' \\x01')
        ...
        v = m._unknown_fields
        if v:
            add(v)
        return join(out)
"""

from __future__ import annotations

import struct

from betterproto2 import Message

from . import wire
from .codegen import FIXED_FORMATS, ZIGZAG, Field, Names, fields_of

GLOBALS = {"join": b"".join, "varint": wire.varint}
"""What every encoder finds among its globals."""

_PACK = {kind: struct.Struct(form).pack for kind, form in FIXED_FORMATS.items()}


def encoder_source(cls: type[Message], name: str, names: Names) -> str:
    """The source of `def {name}(m)`, which returns the bytes of `m`, a message of class `cls`.

    Raises ValueError when the class has a field that the codec does not know.
    """
    lines = [f"def {name}(m):", "    out = []", "    add = out.append"]
    for field in fields_of(cls):
        lines.append(f"    v = m.{field.name}")
        lines.append("    if v is not None:" if field.presence else "    if v:")
        lines += ["        " + line for line in _write(field, names)]
    lines += ["    v = m._unknown_fields", "    if v:", "        add(v)", "    return join(out)"]
    return "\n".join(lines) + "\n"


def _write(field: Field, names: Names) -> list[str]:
    """Statements that append the field's value `v`, which is there, to `out`."""
    if field.kind == "map":
        # An entry is a message of its own, written in full even where key or value are defaults.
        key, value = fields_of(field.cls)
        entry = [*_write(key, names), "v = w", *_write(value, names)]
        return [
            "whole = add",
            "for v, w in v.items():",
            "    entry = []",
            "    add = entry.append",
            *("    " + line for line in entry),
            "    v = join(entry)",
            "    add = whole",
            *("    " + line for line in _delimited(field.number, names)),
        ]
    if field.packable:
        packed = f"v = join([{_value(field, 'v', names)} for v in v])"
        return [packed, *_delimited(field.number, names)]
    if field.repeated:
        return ["for v in v:", *("    " + line for line in _write_one(field, names))]
    return _write_one(field, names)


def _write_one(field: Field, names: Names) -> list[str]:
    if field.kind == "bytes":
        return _delimited(field.number, names)
    if field.kind in ("string", "message"):
        return [f"v = {_value(field, 'v', names)}", *_delimited(field.number, names)]
    tag = wire.tag(field.number, field.wire_type)
    if field.kind == "bool" and not field.presence:
        return [f"add({tag + wire.uvarint(1)!r})"]
    return [f"add({tag!r} + {_value(field, 'v', names)})"]


def _value(field: Field, v: str, names: Names) -> str:
    """An expression for the bytes of one value, without its tag."""
    if field.kind == "string":
        return f"{v}.encode()"
    if field.kind == "message":
        return f"{names.encoder(field.cls)}({v})"
    if field.kind in FIXED_FORMATS:
        return f"{names.constant(f'pack_{field.kind}', _PACK[field.kind])}({v})"
    if field.kind in ZIGZAG:
        return f"varint({v} << 1 if {v} >= 0 else ~({v} << 1))"
    return f"varint({v})"


def _delimited(number: int, names: Names) -> list[str]:
    """Statements that append `v`, bytes by now, with tag and length in front."""
    openings = names.constant(f"openings_{number}", wire.openings(number))
    return [f"add({openings}[len(v)])", "add(v)"]
