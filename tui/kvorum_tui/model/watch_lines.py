"""Watch events as JSON Lines, byte for byte: what is UTF-8 stands as text under ``key``,
``value``, ``prev_value``; what is not, as base64 under ``key_base64`` and so on.

::

    {"revision": 8, "type": "put", "key": "/a", "value": "2", "prev_value": "1",
     "create_revision": 7, "version": 2}
    {"revision": 9, "gap": "compacted: nothing is kept before revision 9"}

A row that merged several changes says so with ``merged`` and ``first_revision``.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from kvorum_tui.model.records import KeyEvent
from kvorum_tui.model.watch_buffer import Entry, Gap, Merged

_NUMBERS = ("create_revision", "version", "lease", "at_ms", "member", "prev_revision")


def event_line(entry: Entry) -> str:
    """One row as one line, without its end."""
    if isinstance(entry, Gap):
        return json.dumps({"revision": entry.revision, entry.kind: entry.text})
    event = entry.event if isinstance(entry, Merged) else entry
    fields: dict[str, Any] = {"revision": event.revision, "type": event.kind}
    _put(fields, "key", event.key)
    if event.kind == "put":
        _put(fields, "value", event.value)
    if event.prev_value is not None:
        _put(fields, "prev_value", event.prev_value)
    for name in _NUMBERS:
        if getattr(event, name):
            fields[name] = getattr(event, name)
    if event.user:
        fields["user"] = event.user
    if isinstance(entry, Merged):
        fields["merged"], fields["first_revision"] = entry.count, entry.first_revision
    return json.dumps(fields, ensure_ascii=False)


def read_event_line(line: str) -> Entry:
    """The row of a line. Raises ValueError when it is none."""
    fields = json.loads(line)
    if not isinstance(fields, dict) or not isinstance(fields.get("revision"), int):
        raise ValueError("no event: it has no revision")
    for kind in ("gap", "mark"):
        if kind in fields:
            return Gap(fields["revision"], str(fields[kind]), kind)
    key = _take(fields, "key")
    if fields.get("type") not in ("put", "delete") or key is None:
        raise ValueError("no event: it has no type or no key")
    event = KeyEvent(
        fields["type"],
        key,
        _take(fields, "value") or b"",
        fields["revision"],
        prev_value=_take(fields, "prev_value"),
        user=str(fields.get("user", "")),
        **{name: int(fields.get(name, 0)) for name in _NUMBERS},
    )
    if "merged" in fields:
        return Merged(event, int(fields["merged"]), int(fields["first_revision"]))
    return event


def _put(fields: dict[str, Any], name: str, data: bytes) -> None:
    try:
        fields[name] = data.decode()
    except UnicodeDecodeError:
        fields[f"{name}_base64"] = base64.b64encode(data).decode()


def _take(fields: dict[str, Any], name: str) -> bytes | None:
    if name in fields:
        return str(fields[name]).encode()
    encoded = fields.get(f"{name}_base64")
    return None if encoded is None else base64.b64decode(encoded, validate=True)
