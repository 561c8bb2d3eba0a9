"""What the writers of encoders and decoders share: kinds of fields, names of globals."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, Protocol, cast

from betterproto2 import FieldMetadata, Message, ProtoClassMetadata

from . import wire

FIXED_FORMATS = {
    "double": "<d",
    "float": "<f",
    "fixed32": "<I",
    "fixed64": "<Q",
    "sfixed32": "<i",
    "sfixed64": "<q",
}
"""Kinds of a fixed width -> format of `struct`."""

ZIGZAG = ("sint32", "sint64")
VARINTS = ("int32", "int64", "uint32", "uint64", "enum", "bool", *ZIGZAG)
PACKABLE = (*VARINTS, *FIXED_FORMATS)


class Names(Protocol):
    """Where generated source gets its globals from. A name may be bound after the source."""

    def constant(self, hint: str, value: object) -> str:
        """A name under which the source finds `value`."""

    def encoder(self, cls: type[Message]) -> str:
        """A name under which the source finds the encoder of a message class."""

    def decoder(self, cls: type[Message]) -> str:
        """A name under which the source finds the decoder of a message class."""


@dataclass(frozen=True)
class Field:
    """One field of a message, as both writers need it."""

    name: str
    number: int
    kind: str
    repeated: bool
    group: str | None
    presence: bool
    """None means absent, all else is written, zero too (oneof members, optional fields)."""
    cls: type
    """Class of a message or enum; for a map, a message class with the fields `key` and `value`."""

    @property
    def wire_type(self) -> int:
        """The wire type of one value."""
        if self.kind in VARINTS:
            return wire.VARINT
        if self.kind in FIXED_FORMATS:
            return wire.FIXED64 if self.width == 8 else wire.FIXED32
        return wire.DELIMITED

    @property
    def width(self) -> int:
        """Bytes of one value of a fixed kind."""
        return struct.calcsize(FIXED_FORMATS[self.kind])

    @property
    def packable(self) -> bool:
        """Repeated, and written as one stretch of values without tags between them."""
        return self.repeated and self.kind in PACKABLE

    @property
    def tag(self) -> int:
        """The tag of one value, as a number."""
        return self.number << 3 | self.wire_type


def metadata(cls: type[Message]) -> ProtoClassMetadata:
    """betterproto2's own description of a message class, in order of declaration."""
    return cast(ProtoClassMetadata, cast(Any, cls)._betterproto)


def fields_of(cls: type[Message]) -> list[Field]:
    """The fields of a betterproto2 class in the order in which betterproto2 writes them.

    Raises ValueError for a field that the codec does not know: Python values that stand for
    google.protobuf's well-known types.
    """
    meta = metadata(cls)
    return [
        _field(cls, name, about, meta.cls_by_field[name])
        for name, about in meta.meta_by_field_name.items()
    ]


def _field(cls: type[Message], name: str, about: FieldMetadata, field_cls: type) -> Field:
    values = about.map_meta[1] if about.map_meta else about
    if values.unwrap is not None:
        raise ValueError(f"{cls.__name__}.{name} stands for a well-known type; the codec has none")
    return Field(
        name=name,
        number=about.number,
        kind=about.proto_type,
        repeated=bool(about.repeated),
        group=about.group,
        presence=about.group is not None or bool(about.optional),
        cls=field_cls,
    )


def indent(lines: list[str]) -> list[str]:
    """The lines, one level deeper."""
    return ["    " + line for line in lines]
