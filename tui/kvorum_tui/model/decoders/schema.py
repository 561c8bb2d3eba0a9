"""Protobuf with a schema: a FileDescriptorSet (``protoc --include_imports --descriptor_set_out``)
read by itself, messages to JSON and back.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from kvorum_tui.model.decoders import wire
from kvorum_tui.model.decoders.form import Form, NotThis, Shown

DEEP_MAX = 64
_STRING, _MESSAGE, _BYTES, _ENUM, _GROUP, _BOOL = 9, 11, 12, 14, 10, 8
_SIGNED = {3, 5, 15, 16}  # int64, int32, sfixed32, sfixed64
_ZIGZAG = {17, 18}
_WIRES = {1: wire.I64, 2: wire.I32, 6: wire.I64, 7: wire.I32, 15: wire.I32, 16: wire.I64}
_REPEATED = 3


@dataclass(slots=True)
class FieldType:
    """A field of a message type: its name, number, type by descriptor.proto's numbers."""

    name: str
    number: int
    kind: int
    repeated: bool
    type_name: str = ""
    packed: bool | None = None

    @property
    def wire(self) -> int:
        """How it stands on the wire when it is not packed."""
        if self.kind in (_STRING, _MESSAGE, _BYTES):
            return wire.LEN
        return _WIRES.get(self.kind, wire.VARINT)


@dataclass(slots=True)
class MessageType:
    """A message type by its full name."""

    name: str
    fields: dict[int, FieldType] = field(default_factory=dict)
    is_map: bool = False
    proto3: bool = True


@dataclass(slots=True)
class Schema:
    """Every type of one or several descriptor sets, by full name without a leading point."""

    messages: dict[str, MessageType] = field(default_factory=dict)
    enums: dict[str, dict[int, str]] = field(default_factory=dict)

    def add(self, data: bytes) -> int:
        """Reads a FileDescriptorSet; returns how many message types it has. Raises ValueError."""
        before = len(self.messages)
        for file in _all(data, 1):
            package = _text(file, 2)
            proto3 = _text(file, 12) == "proto3"
            for message in _all(file, 4):
                self._message(message, package, proto3)
            for enum in _all(file, 5):
                self._enum(enum, package)
        if len(self.messages) == before:
            raise NotThis(
                "no message type in it: not a descriptor set (protoc makes one with "
                "--include_imports --descriptor_set_out=FILE)"
            )
        return len(self.messages) - before

    def _enum(self, data: bytes, scope: str) -> None:
        values = {_number(value, 2): _text(value, 1) for value in _all(data, 2)}
        self.enums[_joined(scope, _text(data, 1))] = values

    def _message(self, data: bytes, scope: str, proto3: bool) -> None:
        name = _joined(scope, _text(data, 1))
        options = b"".join(_all(data, 7))
        found = MessageType(name, is_map=bool(_number(options, 7)), proto3=proto3)
        for each in _all(data, 2):
            settings = b"".join(_all(each, 8))
            packed = next((f.value == 1 for f in wire.fields(settings) if f.number == 2), None)
            number = _number(each, 3)
            found.fields[number] = FieldType(
                _text(each, 1),
                number,
                _number(each, 5),
                _number(each, 4) == _REPEATED,
                _text(each, 6).lstrip("."),
                packed,
            )
        self.messages[name] = found
        for inner in _all(data, 3):
            self._message(inner, name, proto3)
        for enum in _all(data, 4):
            self._enum(enum, name)

    # --- decoding ---------------------------------------------------------------------------------

    def decode(self, name: str, data: bytes, depth: int = 0) -> dict[str, Any]:
        """A message as JSON's types; fields that the type does not know stand under ``?number``.
        Raises ValueError.
        """
        kind = self.messages.get(name)
        if kind is None:
            raise NotThis(f"the descriptor set has no type {name}")
        if depth > DEEP_MAX:
            raise NotThis("nested too deeply")
        out: dict[str, Any] = {}
        for found in wire.fields(data):
            known = kind.fields.get(found.number)
            if known is None:
                value = found.value if isinstance(found.value, int) else found.value.hex()
                out.setdefault(f"?{found.number}", []).append(value)
            elif known.repeated:
                self._repeated(known, found, out, depth)
            else:
                out[known.name] = self._value(known, found, depth)
        return out

    def _repeated(
        self, known: FieldType, found: wire.Field, out: dict[str, Any], depth: int
    ) -> None:
        entry = self.messages.get(known.type_name)
        if known.kind == _MESSAGE and entry is not None and entry.is_map:
            pair = self.decode(known.type_name, _bytes(found), depth + 1)
            out.setdefault(known.name, {})[_map_key(pair.get("key", ""))] = pair.get("value")
            return
        held = out.setdefault(known.name, [])
        if found.wire == wire.LEN and known.wire != wire.LEN:
            for number in _unpacked(_bytes(found), known.wire):
                held.append(self._value(known, wire.Field(known.number, known.wire, number), depth))
        else:
            held.append(self._value(known, found, depth))

    def _value(self, known: FieldType, found: wire.Field, depth: int) -> Any:
        if found.wire != known.wire:
            raise NotThis(f"{known.name} is of another type")
        value = found.value
        if isinstance(value, bytes):
            if known.kind == _STRING:
                return value.decode()
            if known.kind == _BYTES:
                return {"$bytes": value.hex()}
            return self.decode(known.type_name, value, depth + 1)
        if known.kind == _BOOL:
            return bool(value)
        if known.kind == _ENUM:
            return self.enums.get(known.type_name, {}).get(value, _signed(value, 64))
        if known.kind in (1, 2):
            return struct.unpack("<d" if known.kind == 1 else "<f", _little(value, known.kind))[0]
        if known.kind in _ZIGZAG:
            return value >> 1 ^ -(value & 1)
        if known.kind in _SIGNED:
            return _signed(value, 32 if known.kind == 15 else 64)
        return value

    # --- encoding ---------------------------------------------------------------------------------

    def encode(self, name: str, value: Any) -> bytes:
        """The reverse, fields in the order of the type. Raises ValueError."""
        kind = self.messages[name]
        if not isinstance(value, dict):
            raise NotThis(f"{name} is written as an object")
        known = {each.name: each for each in kind.fields.values()}
        wrong = next((key for key in value if key not in known), None)
        if wrong is not None:
            raise NotThis(f"{name} has no field {wrong}")
        out = b""
        for each in sorted(kind.fields.values(), key=lambda each: each.number):
            if each.name in value:
                out += self._encode_field(each, value[each.name], kind)
        return out

    def _encode_field(self, each: FieldType, value: Any, kind: MessageType) -> bytes:
        entry = self.messages.get(each.type_name)
        if each.repeated and entry is not None and entry.is_map:
            pairs = ({"key": _key_of(entry.fields[1], k), "value": v} for k, v in value.items())
            made = (self.encode(entry.name, pair) for pair in pairs)
            return b"".join(wire.put(each.number, wire.LEN, data) for data in made)
        if not each.repeated:
            return wire.put(each.number, each.wire, self._encoded(each, value))
        packed = each.packed if each.packed is not None else kind.proto3
        if packed and each.wire != wire.LEN and value:
            # A field's tag of number 0 is one byte: what follows it is the bare value.
            bare = (wire.put(0, each.wire, self._encoded(each, item))[1:] for item in value)
            return wire.put(each.number, wire.LEN, b"".join(bare))
        return b"".join(wire.put(each.number, each.wire, self._encoded(each, i)) for i in value)

    def _encoded(self, each: FieldType, value: Any) -> int | bytes:
        if each.kind == _STRING:
            return str(value).encode()
        if each.kind == _BYTES:
            return bytes.fromhex(value["$bytes"])
        if each.kind == _MESSAGE:
            return self.encode(each.type_name, value)
        if each.kind == _ENUM:
            names = {name: number for number, name in self.enums.get(each.type_name, {}).items()}
            if isinstance(value, str) and value not in names:
                raise NotThis(f"{each.name} has no value {value}: {', '.join(names)}")
            return int(names[value]) if isinstance(value, str) else int(value)
        if each.kind in (1, 2):
            packed = struct.pack("<d" if each.kind == 1 else "<f", float(value))
            return int.from_bytes(packed, "little")
        number = int(value)
        if each.kind in _ZIGZAG:
            return number << 1 if number >= 0 else ((-number) << 1) - 1
        return number % (1 << (32 if each.wire == wire.I32 else 64))


class ProtoForm(Form):
    """Values of one message type."""

    about: ClassVar[str] = "protobuf by its descriptor"

    def __init__(self, schema: Schema, message: str) -> None:
        self.schema = schema
        self.message = message

    def show(self, data: bytes) -> Shown:
        """As JSON."""
        value = self.schema.decode(self.message, data)
        unknown = any(key.startswith("?") for key in value)
        note = "fields under ? are not in the type" if unknown else ""
        text = json.dumps(value, indent=2, ensure_ascii=False)
        return Shown(text, "json", (self.message,), note)

    def exact(self, data: bytes) -> bool:
        """Whether the bytes come back as they are; so it is of this type as far as one can tell."""
        try:
            return self.schema.encode(self.message, self.schema.decode(self.message, data)) == data
        except _WRONG:
            return False

    def text_to_edit(self, data: bytes) -> str:
        """Only where what is not touched comes back byte for byte."""
        if not self.exact(data):
            raise NotThis(f"{self.message} would not come back byte for byte")
        return self.show(data).text

    def encode(self, text: str, like: bytes) -> bytes:
        """Checked against the type."""
        try:
            return self.schema.encode(self.message, json.loads(text))
        except _WRONG as error:
            raise NotThis(str(error) or "not of this type") from error


_WRONG = (ValueError, TypeError, KeyError, AttributeError, struct.error, OverflowError)


def _all(data: bytes, number: int) -> list[bytes]:
    return [f.value for f in wire.fields(data) if f.number == number and isinstance(f.value, bytes)]


def _text(data: bytes, number: int) -> str:
    found = _all(data, number)
    return found[-1].decode() if found else ""


def _number(data: bytes, number: int) -> int:
    found = [f.value for f in wire.fields(data) if f.number == number and isinstance(f.value, int)]
    return found[-1] if found else 0


def _joined(scope: str, name: str) -> str:
    return f"{scope}.{name}" if scope else name


def _bytes(found: wire.Field) -> bytes:
    if not isinstance(found.value, bytes):
        raise NotThis("a field is of another type")
    return found.value


def _unpacked(data: bytes, kind: int) -> list[int]:
    out, at = [], 0
    size = {wire.I64: 8, wire.I32: 4}.get(kind, 0)
    while at < len(data):
        if size:
            out.append(int.from_bytes(data[at : at + size], "little"))
            at += size
        else:
            value, at = wire.varint(data, at)
            out.append(value)
    return out


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >= 1 << (bits - 1) else value


def _little(value: int, kind: int) -> bytes:
    return value.to_bytes(8 if kind == 1 else 4, "little")


def _map_key(key: Any) -> str:
    return key if isinstance(key, str) else json.dumps(key)


def _key_of(kind: FieldType, text: str) -> Any:
    made: Callable[[str], Any] = str if kind.kind == _STRING else json.loads
    return made(text)
