"""Keys as JSON Lines, byte for byte.

One object a line. A key or value that is UTF-8 stands as text under ``key`` and ``value``, any
other as base64 under ``key_base64`` and ``value_base64``; both kinds may be mixed. The other
fields of a dump (``create_revision``, ``mod_revision``, ``version``, ``lease``) tell, and are
not loaded: a store gives its own. The first line of a dump says what it holds::

    {"kvorum_dump": 1, "revision": 42, "start_base64": "Lw==", "end_base64": "MA=="}
    {"key": "/app/a", "value": "1", "create_revision": 7, "mod_revision": 40, "version": 3}
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any

from kvorum.client.planning import Entry
from kvorum.client.types import KeyValue

_MARK = "kvorum_dump"
_FORMAT = 1


class LineError(ValueError):
    """A line that cannot be read; the text says why."""


@dataclass(frozen=True)
class Head:
    """What a dump holds: the keys of a range as of one revision."""

    revision: int
    start: bytes
    end: bytes


def head_line(head: Head) -> str:
    """A dump's first line."""
    return json.dumps(
        {
            _MARK: _FORMAT,
            "revision": head.revision,
            "start_base64": base64.b64encode(head.start).decode(),
            "end_base64": base64.b64encode(head.end).decode(),
        }
    )


def key_line(kv: KeyValue) -> str:
    """One key of a dump."""
    fields: dict[str, Any] = {}
    _put(fields, "key", kv.key)
    _put(fields, "value", kv.value)
    fields["create_revision"] = kv.create_revision
    fields["mod_revision"] = kv.mod_revision
    fields["version"] = kv.version
    if kv.lease:
        fields["lease"] = kv.lease
    return json.dumps(fields, ensure_ascii=False)


def _put(fields: dict[str, Any], name: str, data: bytes) -> None:
    try:
        fields[name] = data.decode()
    except UnicodeDecodeError:
        fields[f"{name}_base64"] = base64.b64encode(data).decode()


def read_line(line: bytes) -> Head | tuple[bytes, bytes] | None:
    """A line as a dump's head, as key and value, or as None when it is empty. Raises LineError."""
    found = read_entry(line)
    return (found.key, found.value) if isinstance(found, Entry) else found


def read_entry(line: bytes) -> Head | Entry | None:
    """The same with the lease that the key had."""
    if not line.strip():
        return None
    try:
        document = json.loads(line)
    except ValueError as error:
        raise LineError(f"no JSON: {error}") from None
    if not isinstance(document, dict):
        raise LineError("not a JSON object")
    if _MARK in document:
        return _head(document)
    key, value = _take(document, "key"), _take(document, "value")
    if not key:
        raise LineError("the key is empty")
    lease = document.get("lease", 0)
    return Entry(key, value, lease if isinstance(lease, int) else 0)


def _head(document: dict[str, Any]) -> Head:
    if document[_MARK] != _FORMAT:
        raise LineError(f"a dump of format {document[_MARK]!r}, which this version cannot read")
    revision = document.get("revision")
    if not isinstance(revision, int) or revision < 1:
        raise LineError("the dump's revision is missing")
    return Head(revision, _take(document, "start"), _take(document, "end"))


def _take(document: dict[str, Any], name: str) -> bytes:
    text, encoded = document.get(name), document.get(f"{name}_base64")
    if (text is None) == (encoded is None):
        raise LineError(f'give either "{name}" or "{name}_base64"')
    if not isinstance(text if encoded is None else encoded, str):
        raise LineError(f'"{name}" is no text')
    try:
        if encoded is None:
            return str(text).encode()
        return base64.b64decode(encoded, validate=True)
    except UnicodeEncodeError:
        raise LineError(f'"{name}" holds half a surrogate pair, which is no text') from None
    except binascii.Error as error:
        raise LineError(f'"{name}_base64": {error}') from None
