"""Answers without what two clusters cannot agree on: ids, terms, tokens, seconds that are left."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_CHOSEN = frozenset({"cluster_id", "raft_term", "raftTerm", "token"})
_ID_FIELDS = frozenset({"ID", "lease", "leader", "member_id", "memberID"})


def normal(value: Any, ids: Mapping[int, int], names: Mapping[str, str]) -> Any:
    """The value with ids that a server chose replaced by their aliases (``ids``), its addresses by
    ``names``; what it chose alone is only there or not there.
    """
    if isinstance(value, list):
        return [normal(each, ids, names) for each in value]
    if not isinstance(value, dict):
        return names.get(value, value) if isinstance(value, str) else value
    if "members" in value:
        # They come by id, and whose is the smallest is each cluster's own.
        value = {
            **value,
            "members": sorted(value["members"], key=lambda m: ids.get(int(m["ID"]), 0)),
        }
    plain = {name: _field(name, each, ids, names) for name, each in value.items()}
    granted = int(plain.get("grantedTTL", 0))
    if granted and 0 <= int(plain.get("TTL", 0)) <= granted:
        plain["TTL"] = "what is left"
    return plain


def _field(name: str, value: Any, ids: Mapping[int, int], names: Mapping[str, str]) -> Any:
    if name in _CHOSEN:
        return "*"
    if name in _ID_FIELDS:
        return str(ids.get(int(value), int(value)))
    return normal(value, ids, names)
