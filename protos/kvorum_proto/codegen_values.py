"""Writes the parts of a decoder that read one value: lengths, numbers, packed lists.

The statements work on the decoder's local variables: `buf`, `pos`, `end` (see `codegen_decode`).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache
from typing import cast

from betterproto2 import Enum

from .codegen import FIXED_FORMATS, ZIGZAG, Field, Names, indent

_UNPACK_ONE = {kind: struct.Struct(form).unpack_from for kind, form in FIXED_FORMATS.items()}
_UNPACK_ALL = {kind: struct.Struct(form).iter_unpack for kind, form in FIXED_FORMATS.items()}


def read_length() -> list[str]:
    """Statements that read a length and set `stop` to where the field ends."""
    return [
        "n = buf[pos]; pos += 1",
        "if n > 127:",
        "    v = buf[pos]",
        "    if v < 128: n += (v << 7) - 128; pos += 1",
        "    else: n, pos = long_length(buf, pos, n)",
        "stop = pos + n",
        "if stop > end: raise truncated()",
    ]


def read_packed(field: Field, names: Names) -> list[str]:
    """Statements that read a packed list and append its values to the field's list."""
    name, lines = f"f_{field.name}", read_length()
    if field.kind in FIXED_FORMATS:
        each = names.constant(f"unpack_all_{field.kind}", _UNPACK_ALL[field.kind])
        lines += [f"if n % {field.width}: raise truncated()"]
        return [*lines, f"{name} += [v for (v,) in {each}(buf[pos:stop])]", "pos = stop"]
    return [
        *lines,
        "while pos < stop:",
        *indent(read_number(field, "stop", "v", names)),
        f"    {name}.append(v)",
        "if pos != stop: raise truncated()",
    ]


def read_number(field: Field, end: str, target: str, names: Names) -> list[str]:
    """Statements that read one varint or fixed value into `target`."""
    if field.kind in FIXED_FORMATS:
        one = names.constant(f"unpack_{field.kind}", _UNPACK_ONE[field.kind])
        return [
            f"if pos + {field.width} > {end}: raise truncated()",
            f"({target},) = {one}(buf, pos); pos += {field.width}",
        ]
    raw = target if field.kind not in ("enum", "bool", *ZIGZAG) else "v"
    lines = [
        f"{raw} = buf[pos]; pos += 1",
        f"if {raw} > 127:",
        f"    {raw}, pos = long_varint(buf, pos, {raw})",
        *(f"    {line}" for line in _narrow(field.kind, raw)),
    ]
    if field.kind == "bool":
        lines.append(f"{target} = v != 0")
    elif field.kind in ZIGZAG:
        lines.append(f"{target} = v >> 1 ^ -(v & 1)")
    elif field.kind == "enum":
        get = names.constant(f"member_{field.cls.__name__}", _member_getter(field.cls))
        make = names.constant(f"cls_{field.cls.__name__}", field.cls)
        lines += [f"w = {get}(v)", f"{target} = {make}(v) if w is None else w"]
    return lines


@cache
def _member_getter(cls: type) -> Callable[[int], object]:
    """A function from a number to the member of an enum class, or to None."""
    return {int(member): member for member in cast(type[Enum], cls)}.get


def _narrow(kind: str, v: str) -> list[str]:
    """Statements that cut a number of 64 bits to the field's width and give it its sign."""
    if kind == "int64":
        return [f"if {v} > 0x7FFFFFFFFFFFFFFF: {v} -= 0x10000000000000000"]
    if kind in ("uint32", "sint32"):
        return [f"{v} &= 0xFFFFFFFF"]
    if kind in ("int32", "enum"):
        return [f"{v} = (({v} & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000"]
    return []
