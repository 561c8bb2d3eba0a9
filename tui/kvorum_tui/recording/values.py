"""Records as JSON and back. What a file holds is data of strangers: it makes values of the classes
asked for, and nothing else.
"""

from __future__ import annotations

import base64
import dataclasses
import functools
import json
import types
from collections.abc import Hashable
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


def to_json(value: object) -> str:
    """A record, or a list of records."""
    return json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":"))


def from_json(kind: type[T], text: str) -> T:
    """A record of a class. Unknown fields are left out, missing ones have their default. Raises
    ValueError when the text holds something else.
    """
    return _as(kind, json.loads(text))  # type: ignore[no-any-return]  # it is what kind says


def list_from_json(kind: type[T], text: str) -> list[T]:
    """Records of a class. Raises ValueError."""
    found = json.loads(text)
    if not isinstance(found, list):
        raise ValueError("no list")
    return [_as(kind, item) for item in found]


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    return value


@functools.cache
def _hints(kind: Hashable) -> dict[str, Any]:
    return get_type_hints(kind)


def _as(kind: Any, value: Any) -> Any:
    """A value of a type. Raises ValueError when it is none."""
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        choices = [choice for choice in get_args(kind) if choice is not type(None)]
        return None if value is None else _as(choices[0], value)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _record(kind, value)
    if origin is tuple:
        return _tuple(get_args(kind), value)
    if origin is dict:
        names, items = get_args(kind)
        if isinstance(value, dict):
            return {_as(names, _key(names, name)): _as(items, item) for name, item in value.items()}
    elif kind is bytes and isinstance(value, str):
        return base64.b64decode(value, validate=True)
    elif kind is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    elif kind is Any or (kind in (int, str, bool) and type(value) is kind):
        return value
    raise ValueError(f"{value!r:.60} is no {kind}")


def _key(kind: Any, name: str) -> Any:
    return int(name) if kind is int else name


def _record(kind: Any, value: Any) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"{value!r:.60} is no {kind.__name__}")
    hints = _hints(kind)
    known = {name: _as(hints[name], item) for name, item in value.items() if name in hints}
    try:
        return kind(**known)
    except TypeError as error:
        raise ValueError(f"no {kind.__name__}: {error}") from error


def _tuple(kinds: tuple[Any, ...], value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise ValueError(f"{value!r:.60} is no list")
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        return tuple(_as(kinds[0], item) for item in value)
    if len(kinds) != len(value):
        raise ValueError(f"{len(value)} values instead of {len(kinds)}")
    return tuple(_as(kind, item) for kind, item in zip(kinds, value, strict=True))
