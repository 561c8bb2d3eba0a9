"""Messages as JSON values, in etcd's forms (contract page "wire", section 4).

Out: proto names, 64-bit numbers as strings, bytes in base64, enums by name, defaults left out.
In: proto names or lower camel case, numbers or strings, either alphabet of base64 with or without
padding, enums by name or number, null for unset; unknown names are passed over. What a message
class needs is worked out once and remembered.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any, TypeVar, cast

from betterproto2 import Enum, Message
from kvorum_proto.codec import MAX_DEPTH
from kvorum_proto.codegen import Field, fields_of
from kvorum_proto.jsonnames import json_names, proto_names

M = TypeVar("M", bound=Message)
Document = dict[str, Any]

_BOUNDS = {
    "int32": (-(1 << 31), (1 << 31) - 1),
    "uint32": (0, (1 << 32) - 1),
    "int64": (-(1 << 63), (1 << 63) - 1),
    "uint64": (0, (1 << 64) - 1),
}
_AS_TEXT = frozenset({"int64", "uint64"})
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,9})?")
# No 64-bit number needs more, however it is written with reason.
_NUMBER_CHARS_MAX = 64
_DIGITS_MAX = 20
_STANDARD = re.compile(r"[A-Za-z0-9+/]*={0,2}")
_URL_SAFE = re.compile(r"[A-Za-z0-9_-]*={0,2}")


class FormError(ValueError):
    """A JSON value that is no form of the message; the text says what and, mostly, where."""


# --- out ------------------------------------------------------------------------------------------


def to_json(message: Message) -> Document:
    """The message as a JSON object. Members of a oneof are there even when they are zero."""
    document: Document = {}
    for name, key, is_kept, write in _writers(type(message)):
        value = getattr(message, name)
        if value is not None and (is_kept or value):
            document[key] = write(value)
    return document


@cache
def _writers(cls: type[Message]) -> tuple[tuple[str, str, bool, Callable[[Any], Any]], ...]:
    names = proto_names(cls)
    return tuple(
        (
            field.name,
            names[field.name],
            not field.repeated and (field.presence or field.kind == "message"),
            _each(_writer(field)) if field.repeated else _writer(field),
        )
        for field in fields_of(cls)
    )


def _each(write: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda values: [write(value) for value in values]


def _writer(field: Field) -> Callable[[Any], Any]:
    if field.kind == "message":
        return to_json
    if field.kind == "bytes":
        return _base64
    if field.kind == "enum":
        return _enum_out
    if field.kind in _AS_TEXT:
        return str
    if field.kind in ("string", "bool", "int32", "uint32"):
        return lambda value: value
    raise TypeError(f"{field.name}: {field.kind} has no form in etcd's JSON")


def _base64(value: bytes) -> str:
    return binascii.b2a_base64(value, newline=False).decode()


def _enum_out(value: Enum) -> str | int:
    return value.name or int(value)


# --- in -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Reader:
    """How one field is read."""

    name: str
    group: str | None
    repeated: bool
    # Message class of the field; None for all other kinds.
    message: type[Message] | None
    scalar: Callable[[Any], Any]


def from_json(cls: type[M], value: Any, depth: int = MAX_DEPTH) -> M:
    """The message of class ``cls`` that a parsed JSON value is. Raises FormError."""
    if not isinstance(value, dict):
        raise FormError(f"a JSON object is expected, not {_kind(value)}")
    if not depth:
        raise FormError("messages are nested too deep")
    readers = _readers(cls)
    fields: dict[str, Any] = {}
    groups: set[str] = set()
    for key, content in value.items():
        reader = readers.get(key)
        if reader is None or content is None:
            continue
        if reader.name in fields:
            raise FormError(f"{key}: the field is given twice")
        if reader.group is not None:
            if reader.group in groups:
                raise FormError(f"{key}: another member of {reader.group} is given already")
            groups.add(reader.group)
        try:
            fields[reader.name] = _read(reader, content, depth - 1)
        except FormError as error:
            raise FormError(f"{key}: {error}") from None
    return cls(**fields)


def _read(reader: _Reader, content: Any, depth: int) -> Any:
    if not reader.repeated:
        return _one(reader, content, depth)
    if not isinstance(content, list):
        raise FormError(f"an array is expected, not {_kind(content)}")
    return [_one(reader, each, depth) for each in content]


def _one(reader: _Reader, content: Any, depth: int) -> Any:
    if reader.message is not None:
        return from_json(reader.message, content, depth)
    return reader.scalar(content)


@cache
def _readers(cls: type[Message]) -> dict[str, _Reader]:
    by_name = {field.name: _reader(field) for field in fields_of(cls)}
    return {key: by_name[name] for key, name in json_names(cls).items()}


def _reader(field: Field) -> _Reader:
    message: type[Message] | None = None
    scalar: Callable[[Any], Any] = _string
    if field.kind == "message":
        message = cast("type[Message]", field.cls)
    elif field.kind == "enum":
        scalar = _enum_of(cast("type[Enum]", field.cls))
    elif field.kind in _BOUNDS:
        scalar = _integer_in(*_BOUNDS[field.kind])
    elif field.kind != "string":
        scalar = {"bytes": _bytes, "bool": _boolean}[field.kind]
    return _Reader(field.name, field.group, field.repeated, message, scalar)


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "a boolean"
    names = {dict: "an object", list: "an array", str: "a string", type(None): "null"}
    return names.get(type(value), "a number")


def _string(value: Any) -> str:
    if type(value) is not str:
        raise FormError(f"a string is expected, not {_kind(value)}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise FormError("half of a surrogate pair is no text") from None
    return value


def _boolean(value: Any) -> bool:
    if type(value) is not bool:
        raise FormError(f"a boolean is expected, not {_kind(value)}")
    return value


def _integer_in(low: int, high: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        number = _integer(value)
        if not low <= number <= high:
            raise FormError(f"{number} is out of range")
        return number

    return read


def _integer(value: Any) -> int:
    if type(value) is int:
        return value
    if type(value) is str:
        if len(value) > _NUMBER_CHARS_MAX or not _NUMBER.fullmatch(value):
            raise FormError("the string is no number")
        value = Decimal(value)
    if type(value) is not Decimal:
        raise FormError(f"a number is expected, not {_kind(value)}")
    # Looked at before it is made: an exponent writes numbers that fill the memory.
    if value and value.adjusted() >= _DIGITS_MAX:
        raise FormError("the number is out of range")
    if value != value.to_integral_value():
        raise FormError("the number is not whole")
    return int(value)


def _enum_of(cls: type[Enum]) -> Callable[[Any], Enum]:
    within = _integer_in(*_BOUNDS["int32"])

    def read(value: Any) -> Enum:
        if type(value) is str:
            try:
                return cls[value]
            except KeyError:
                raise FormError(f"unknown value {value[:64]!r} for enum {cls.__name__}") from None
        return cls(within(value))

    return read


def _bytes(value: Any) -> bytes:
    if type(value) is not str:
        raise FormError(f"bytes are expected as a string in base64, not {_kind(value)}")
    # Go's decoder, which etcd uses, passes over line breaks.
    text = value.replace("\n", "").replace("\r", "")
    url_safe = "-" in text or "_" in text
    if not (_URL_SAFE if url_safe else _STANDARD).fullmatch(text):
        raise FormError(f"illegal base64 data at input byte {_illegal_at(text)}")
    if "=" in text and len(text) % 4:
        raise FormError(f"illegal base64 data at input byte {len(text)}")
    text += "=" * (-len(text) % 4)
    try:
        return base64.b64decode(text, b"-_" if url_safe else None)
    except binascii.Error:
        raise FormError(f"illegal base64 data at input byte {len(text)}") from None


def _illegal_at(text: str) -> int:
    alphabet = _URL_SAFE if "-" in text or "_" in text else _STANDARD
    found = alphabet.match(text)
    return found.end() if found else 0
