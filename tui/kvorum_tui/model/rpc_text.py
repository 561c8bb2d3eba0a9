"""Requests and answers as people read them: in a few words for a row, in lines for the detail.
Long values are cut and say so; passwords and tokens are not there to be shown.
"""

from __future__ import annotations

import dataclasses
from enum import Enum
from typing import Any, cast

from betterproto2 import Message
from kvorum_proto import etcdserverpb as pb
from kvorum_proto.codec import DecodeError, decode
from kvorum_proto.services import METHODS

from kvorum_tui.model import words
from kvorum_tui.model.decode import printable
from kvorum_tui.model.mask import hidden, masked

BYTES_SHOWN = 160
ITEMS_SHOWN = 12
LINES_MAX = 400
SECRETS = frozenset({"password", "hashed_password", "token"})
IDS = frozenset({"id", "lease", "member_id", "cluster_id", "target_id", "leader"})


def message_of(path: str, payload: bytes | None, *, reply: bool = False) -> Message | None:
    """The message on the wire; None where it was not kept or the method is not known."""
    called = METHODS.get(path)
    if called is None or payload is None:
        return None
    try:
        return decode(called.response if reply else called.request, payload)
    except DecodeError:
        return None


def in_few_words(path: str, payload: bytes | None) -> str:
    """A request for a row: its key, id or name."""
    if payload is None:
        return "(too long to keep)"
    message = message_of(path, payload)
    if isinstance(message, pb.TxnRequest):
        return _txn(message)
    if isinstance(message, pb.WatchRequest):
        create = message.create_request
        return "" if create is None else range_words(create.key, create.range_end)
    if isinstance(message, pb.AlarmRequest):
        return message.action.name or ""
    if isinstance(message, pb.CompactionRequest):
        return f"{message.revision:,}{' physical' if message.physical else ''}"
    if message is None:
        return ""
    return _named(message)


def _named(message: Any) -> str:
    """The first of a message's fields that says what it is about."""
    names = {each.name for each in dataclasses.fields(message)}
    if "key" in names:
        text = range_words(message.key, getattr(message, "range_end", b""))
        role = getattr(message, "role", "")
        return f"{role} {text}".strip()
    for name in ("user", "name", "role", "sql"):
        if getattr(message, name, ""):
            more = getattr(message, "role", "") if name == "user" else ""
            return f"{getattr(message, name)} {more}".strip()
    for name in ("id", "target_id", "member_id"):
        if getattr(message, name, 0):
            return f"{getattr(message, name) % (1 << 64):x}"
    for name in ("ttl", "revision"):
        if getattr(message, name, 0):
            return f"{name} {getattr(message, name):,}"
    return ""


def range_words(key: bytes, end: bytes) -> str:
    """A key or range in a few words: ``/a``, ``/a*``, ``all keys``, ``/a … /c``."""
    if not end:
        return printable(key)
    if end == b"\0":
        return "all keys" if key in (b"\0", b"") else f"{printable(key)} …"
    if is_prefix(key, end):
        return printable(key) + "*"
    return f"{printable(key)} … {printable(end)}"


def is_prefix(key: bytes, end: bytes) -> bool:
    """Whether the range holds exactly the keys that begin with ``key``."""
    stem = key.rstrip(b"\xff")
    return bool(stem) and end == stem[:-1] + bytes((stem[-1] + 1,))


def _txn(message: pb.TxnRequest) -> str:
    counts = (len(message.compare), len(message.success), len(message.failure))
    first = next((op for op in (*message.success, *message.failure)), None)
    about = ""
    if first is not None:
        inner = first.request_put or first.request_range or first.request_delete_range
        if inner is not None:
            kind = "put" if first.request_put else "get" if first.request_range else "del"
            about = f": {kind} {range_words(inner.key, getattr(inner, 'range_end', b''))}"
    return f"if {counts[0]} then {counts[1]} else {counts[2]}{about}"


def answer_words(path: str, payload: bytes | None, size: int) -> str:
    """An answer in a few words: how many of what, and the revision."""
    message: Any = message_of(path, payload, reply=True)
    if message is None:
        return words.size(size) + ("" if payload is not None else ", too long to keep")
    parts = []
    for field in dataclasses.fields(message):
        value = getattr(message, field.name)
        if field.name == "header" or field.name in SECRETS or not value:
            continue
        if isinstance(value, list):
            parts.append(f"{len(value):,} {field.name}")
        elif isinstance(value, (bool, int, str)) and not isinstance(value, Enum):
            parts.append(_scalar(field.name, value))
    header = getattr(message, "header", None)
    if header is not None and header.revision:
        parts.append(f"revision {header.revision:,}")
    return ", ".join(parts) or "empty"


def _scalar(name: str, value: bool | int | str) -> str:
    if value is True:
        return name
    if isinstance(value, str):
        return f"{name} {cut(value.encode(errors='replace'), 40)}"
    return f"{name} {value % (1 << 64):x}" if name in IDS else f"{name} {value:,}"


def lines_of(message: Message | None) -> list[tuple[str, str]]:
    """A message as (name, value) lines, nested names with dots; bounded, and says where it ends."""
    lines: list[tuple[str, str]] = []
    if message is not None:
        _walk(message, "", lines)
    if len(lines) > LINES_MAX:
        return [*lines[:LINES_MAX], ("…", "more is not shown")]
    return lines


def _walk(message: Message, above: str, lines: list[tuple[str, str]]) -> None:
    for field in dataclasses.fields(cast(Any, message)):
        if len(lines) > LINES_MAX:
            return
        value = getattr(message, field.name)
        name = above + field.name
        if field.name in SECRETS:
            lines.append((name, "(never kept)"))
        elif isinstance(value, list):
            for number, each in enumerate(value[:ITEMS_SHOWN]):
                _put(f"{name}[{number}]", field.name, each, lines)
            if len(value) > ITEMS_SHOWN:
                lines.append((name, f"… {len(value):,} in all"))
        elif value is not None and value not in (0, "", b"", False):
            _put(name, field.name, value, lines)


def _put(name: str, field: str, value: Any, lines: list[tuple[str, str]]) -> None:
    if isinstance(value, Message):
        before = len(lines)
        _walk(value, name + ".", lines)
        if len(lines) == before:
            lines.append((name, "(empty)"))
    else:
        lines.append((name, _value(field, value)))


def _value(field: str, value: Any) -> str:
    if isinstance(value, bytes):
        if hidden() and field == "value":
            return masked(len(value))
        return cut(value, BYTES_SHOWN)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, int):
        return f"{value % (1 << 64):x}" if field in IDS else f"{value:,}"
    return cut(str(value).encode(errors="replace"), BYTES_SHOWN)


def cut(data: bytes, limit: int) -> str:
    """Bytes as one line of bounded length that says how long they are when it is cut."""
    if len(data) <= limit:
        return printable(data)
    return f"{printable(data[:limit])}… ({words.size(len(data))})"
