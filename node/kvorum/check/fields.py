"""Codecs of single fields: JSON values to ours and back, with the path to whatever is wrong."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any, cast

from kvorum.check import records as r

Reader = Callable[[Any], Any]
Writer = Callable[[Any], Any]
Codec = tuple[Reader, Writer]


class Wrong(Exception):
    """A field's value is wrong; the path to it is put together on the way out."""

    def __init__(self, problem: str, path: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.path = path

    def below(self, name: str) -> Wrong:
        """The same, seen from one level above."""
        join = "" if not self.path or self.path.startswith("[") else "."
        return Wrong(self.problem, f"{name}{join}{self.path}")


def _same(value: Any) -> Any:
    return value


def _read_int(value: Any) -> int:
    if type(value) is not int:
        raise Wrong(f"must be a whole number, not {_kind(value)}")
    return value


def _read_flag(value: Any) -> bool:
    if type(value) is not bool:
        raise Wrong(f"must be true or false, not {_kind(value)}")
    return value


def _read_text(value: Any) -> str:
    if type(value) is not str:
        raise Wrong(f"must be a string, not {_kind(value)}")
    return value


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a flag", int: "a number"}
    return "null" if value is None else names.get(type(value), "a fraction")


def _read_bytes(value: Any) -> bytes:
    if type(value) is str:
        try:
            return value.encode()
        except UnicodeEncodeError as error:
            raise Wrong("half a surrogate pair is no text") from error
    if type(value) is dict and list(value) == ["base64"] and type(value["base64"]) is str:
        try:
            return base64.b64decode(value["base64"], validate=True)
        except (binascii.Error, ValueError) as error:
            raise Wrong("is not base64", "base64") from error
    raise Wrong(f'must be a string or {{"base64": "..."}}, not {_kind(value)}')


def _write_bytes(value: bytes) -> Any:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


def _read_kv(value: Any) -> r.Kv:
    if type(value) is not list or not 1 <= len(value) <= 6:
        raise Wrong("must be a list of key, value, create, mod, version, lease")
    parts: list[Any] = []
    for at, part in enumerate(value):
        try:
            parts.append(_read_bytes(part) if at < 2 else _read_int(part))
        except Wrong as wrong:
            raise wrong.below(f"[{at}]") from None
    return r.Kv(*parts)


def _write_kv(kv: r.Kv) -> list[Any]:
    parts: list[Any] = [_write_bytes(kv.key), _write_bytes(kv.value), *kv[2:]]
    while len(parts) > 1 and not parts[-1]:
        parts.pop()
    return parts


def many(codec: Codec) -> Codec:
    """A list of what one codec reads and writes."""
    read, write = codec

    def read_all(value: Any) -> tuple[Any, ...]:
        if type(value) is not list:
            raise Wrong(f"must be a list, not {_kind(value)}")
        found = []
        for at, part in enumerate(value):
            try:
                found.append(read(part))
            except Wrong as wrong:
                raise wrong.below(f"[{at}]") from None
        return tuple(found)

    return read_all, lambda value: [write(part) for part in value]


def _object(make: Any, codecs: dict[str, Codec]) -> Codec:
    """An object whose fields are a named tuple's, in the tuple's order."""
    defaults: dict[str, Any] = make._field_defaults
    needed = [name for name in codecs if name not in defaults]
    writers = [(name, codec[1], defaults.get(name, _same)) for name, codec in codecs.items()]

    def read(value: Any) -> Any:
        if type(value) is not dict:
            raise Wrong(f"must be an object, not {_kind(value)}")
        fields = {}
        for name, part in value.items():
            codec = codecs.get(name)
            if codec is None:
                raise Wrong("no such field", name)
            try:
                fields[name] = codec[0](part)
            except Wrong as wrong:
                raise wrong.below(name) from None
        for name in needed:
            if name not in fields:
                raise Wrong("is missing", name)
        return make(**fields)

    def write(value: Any) -> dict[str, Any]:
        out = {}
        for (name, writer, default), part in zip(writers, value, strict=True):
            if part != default or type(part) is not type(default):
                out[name] = writer(part)
        return out

    return read, write


class Kinds:
    """One of several objects, under its kind's name. Filled after it is made, because transactions
    hold requests, and their answers answers."""

    def __init__(self) -> None:
        self._readers: dict[str, Reader] = {}
        self._writers: dict[type, tuple[str, Writer]] = {}
        self.codec: Codec = (self.read, self.write)

    def add(self, name: str, made: Any, /, **codecs: Codec) -> None:
        """A kind: its name, its tuple, and a codec for each of the tuple's fields."""
        read, write = shape(made, **codecs)
        self._readers[name] = read
        self._writers[made] = (name, write)

    def read(self, value: Any) -> Any:
        """The value of an object of one kind."""
        if type(value) is not dict or len(value) != 1:
            raise Wrong("must be an object with one kind as its only field")
        ((name, inner),) = value.items()
        reader = self._readers.get(name)
        if reader is None:
            raise Wrong(f"no such kind; there are {', '.join(self._readers)}", name)
        try:
            return reader(inner)
        except Wrong as wrong:
            raise wrong.below(name) from None

    def write(self, value: Any) -> dict[str, Any]:
        """The object of a value."""
        name, writer = self._writers[type(value)]
        return {name: writer(value)}


INT: Codec = (_read_int, _same)
FLAG: Codec = (_read_flag, _same)
TEXT: Codec = (_read_text, _same)
BYTES: Codec = (_read_bytes, _write_bytes)
KV: Codec = (_read_kv, _write_kv)


def choice(*words: str) -> Codec:
    """One of a few words."""

    def read(value: Any) -> str:
        if value not in words:
            raise Wrong(f"must be one of {', '.join(words)}")
        return cast("str", value)

    return read, _same


def shape(made: Any, /, **codecs: Codec) -> Codec:
    """A named tuple as an object, with a codec for each of its fields, in their order."""
    assert tuple(codecs) == made._fields, made
    return _object(made, codecs)
