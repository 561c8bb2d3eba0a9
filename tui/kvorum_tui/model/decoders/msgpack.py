"""MessagePack, read and written here: as JSON, with what JSON has no word for in braces."""

from __future__ import annotations

import json
import struct
from typing import Any, ClassVar

from kvorum_tui.model.decoders.form import Form, NotThis, Shown

DEEP_MAX = 64
ITEMS_MAX = 200_000


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0
        self.items = 0

    def take(self, size: int) -> bytes:
        if size > len(self.data) - self.at:
            raise NotThis("it breaks off")
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def value(self, depth: int = 0) -> Any:
        self.items += 1
        if depth > DEEP_MAX or self.items > ITEMS_MAX:
            raise NotThis("too much of it")
        tag = self.number(1)
        if tag < 0x80:
            return tag
        if tag >= 0xE0:
            return tag - 256
        if tag < 0x90:
            return self.map(tag & 15, depth)
        if tag < 0xA0:
            return [self.value(depth + 1) for _ in range(tag & 15)]
        if tag < 0xC0:
            return self.text(tag & 31)
        if tag in (0xC0, 0xC2, 0xC3):
            return {0xC0: None, 0xC2: False, 0xC3: True}[tag]
        if 0xC4 <= tag <= 0xC6:
            return {"$bytes": self.take(self.number(1 << tag - 0xC4)).hex()}
        if 0xC7 <= tag <= 0xC9:
            return self.extension(self.number(1 << tag - 0xC7))
        if tag == 0xCA:
            return struct.unpack(">f", self.take(4))[0]
        if tag == 0xCB:
            return struct.unpack(">d", self.take(8))[0]
        if 0xCC <= tag <= 0xCF:
            return self.number(1 << tag - 0xCC)
        if 0xD0 <= tag <= 0xD3:
            return int.from_bytes(self.take(1 << tag - 0xD0), "big", signed=True)
        if 0xD4 <= tag <= 0xD8:
            return self.extension(1 << tag - 0xD4)
        if 0xD9 <= tag <= 0xDB:
            return self.text(self.number(1 << tag - 0xD9))
        if tag in (0xDC, 0xDD):
            return [self.value(depth + 1) for _ in range(self.number(2 if tag == 0xDC else 4))]
        if tag in (0xDE, 0xDF):
            return self.map(self.number(2 if tag == 0xDE else 4), depth)
        raise NotThis(f"byte {tag:#x}")

    def text(self, size: int) -> str:
        return self.take(size).decode()

    def extension(self, size: int) -> Any:
        kind = int.from_bytes(self.take(1), "big", signed=True)
        return {"$ext": [kind, self.take(size).hex()]}

    def map(self, size: int, depth: int) -> Any:
        pairs = []
        for _ in range(size):
            key = self.value(depth + 1)
            pairs.append([key, self.value(depth + 1)])
        names = [key for key, _ in pairs]
        plain = all(isinstance(key, str) and not key.startswith("$") for key in names)
        if plain and len(set(names)) == len(names):
            return dict(pairs)
        return {"$map": pairs}


def unpack(data: bytes) -> Any:
    """The value in MessagePack bytes: JSON's types, and ``{"$bytes": hex}``, ``{"$ext": [kind,
    hex]}``, ``{"$map": [[key, value], ...]}``. Raises ValueError.
    """
    reader = _Reader(data)
    value = reader.value()
    if reader.at != len(data):
        raise NotThis("something follows it")
    return value


def _sized(tags: tuple[int, ...], size: int, small: int = -1, below: int = 0) -> bytes:
    """The head of something of this size: one byte, or a tag and 1, 2 or 4 bytes."""
    if size < below:
        return bytes([small | size])
    widths = (1, 2, 4)[-len(tags) :]
    for tag, width in zip(tags, widths, strict=True):
        if size < 1 << 8 * width:
            return bytes([tag]) + size.to_bytes(width, "big")
    raise NotThis("too large")


def pack(value: Any) -> bytes:
    """The reverse of :func:`unpack`, everything in its shortest form, floats in eight bytes."""
    if value is None or isinstance(value, bool):
        return b"\xc0" if value is None else b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        return _pack_int(value)
    if isinstance(value, float):
        return b"\xcb" + struct.pack(">d", value)
    if isinstance(value, str):
        data = value.encode()
        return _sized((0xD9, 0xDA, 0xDB), len(data), 0xA0, 32) + data
    if isinstance(value, list):
        return _sized((0xDC, 0xDD), len(value), 0x90, 16) + b"".join(map(pack, value))
    if not isinstance(value, dict):
        raise NotThis(f"MessagePack has no word for {value!r}")
    if list(value) == ["$bytes"]:
        data = bytes.fromhex(value["$bytes"])
        return _sized((0xC4, 0xC5, 0xC6), len(data)) + data
    if list(value) == ["$ext"]:
        kind, text = value["$ext"]
        data = bytes.fromhex(text)
        fixed = {1: 0xD4, 2: 0xD5, 4: 0xD6, 8: 0xD7, 16: 0xD8}.get(len(data))
        head = bytes([fixed]) if fixed else _sized((0xC7, 0xC8, 0xC9), len(data))
        return head + int(kind).to_bytes(1, "big", signed=True) + data
    pairs = value["$map"] if list(value) == ["$map"] else list(value.items())
    head = _sized((0xDE, 0xDF), len(pairs), 0x80, 16)
    return head + b"".join(pack(key) + pack(item) for key, item in pairs)


def _pack_int(value: int) -> bytes:
    if -32 <= value < 128:
        return value.to_bytes(1, "big", signed=value < 0)
    if value >= 0:
        for tag, width in ((0xCC, 1), (0xCD, 2), (0xCE, 4), (0xCF, 8)):
            if value < 1 << 8 * width:
                return bytes([tag]) + value.to_bytes(width, "big")
    else:
        for tag, width in ((0xD0, 1), (0xD1, 2), (0xD2, 4), (0xD3, 8)):
            if value >= -(1 << 8 * width - 1):
                return bytes([tag]) + value.to_bytes(width, "big", signed=True)
    raise NotThis(f"{value} does not fit into 64 bits")


class MsgPack(Form):
    """A map or an array; a lone number would be anything."""

    name: ClassVar[str] = "msgpack"
    about: ClassVar[str] = "MessagePack as JSON; $bytes, $ext and $map stand for what JSON lacks"

    def show(self, data: bytes) -> Shown:
        """As JSON."""
        if not data or not (0x80 <= data[0] <= 0x9F or 0xDC <= data[0] <= 0xDF):
            raise NotThis("neither a map nor an array")
        return Shown(json.dumps(unpack(data), indent=2, ensure_ascii=False), "json")

    def text_to_edit(self, data: bytes) -> str:
        """Only where what is not touched comes back byte for byte."""
        if pack(unpack(data)) != data:
            raise NotThis("whoever packed this chose longer forms than needed; it would change")
        return self.show(data).text

    def encode(self, text: str, like: bytes) -> bytes:
        """Packed again."""
        try:
            return pack(json.loads(text))
        except (TypeError, KeyError, struct.error) as error:
            raise NotThis(str(error)) from error
