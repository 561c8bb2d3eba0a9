"""Lines of a keys file (the format is described in ``kvorum.cluster.keys``)."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any


def line(
    key: str | bytes,
    value: str | bytes,
    *,
    was: Sequence[str] = (),
    deleted: bool = False,
    repeat: int = 1,
    lease: str = "",
    ttl_s: int = 0,
) -> dict[str, Any]:
    """One key. Text stays readable; bytes that are no text become base64."""
    entry: dict[str, Any] = {}
    for field, data in (("key", key), ("value", value)):
        if isinstance(data, str):
            entry[field] = data
        else:
            entry[f"{field}_base64"] = base64.b64encode(data).decode()
    if was:
        entry["was"] = list(was)
    if deleted:
        entry["deleted"] = True
    if repeat > 1:
        entry["repeat"] = repeat
    if ttl_s:
        entry["lease"] = lease
        entry["lease_ttl_s"] = ttl_s
    return entry


def dumps(lines: Sequence[dict[str, Any]]) -> str:
    """The text of a keys file, in the order of the keys."""
    ordered = sorted(lines, key=lambda e: e.get("key") or e["key_base64"])
    return "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in ordered)


def pretty(value: Any) -> str:
    """JSON as people write it."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
