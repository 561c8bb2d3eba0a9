"""The state in an etcd database: everything but the keys' changes, as a value and as the pairs of
etcd's small buckets (``etcd_records`` says what is where).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple, TypeVar

from kvorum.machine.accounts import FIRST_REVISION, AuthState
from kvorum.machine.alarms import Alarm
from kvorum.machine.members import Member
from kvorum.storage import etcd_records as records
from kvorum.storage.etcd_records import BadRecord, LeaseRecord

NEVER_COMPACTED: Final = -1
KEY: Final = b"key"
META: Final = b"meta"
SMALL: Final = (
    b"alarm",
    b"auth",
    b"authRoles",
    b"authUsers",
    b"cluster",
    b"lease",
    b"members",
    b"members_removed",
    META,
)
"""The buckets besides :data:`KEY`; their pairs are held in memory."""

_REMOVED: Final = b"removed"

_Pair = tuple[bytes, bytes]
_T = TypeVar("_T")


class EtcdState(NamedTuple):
    """All that an etcd database holds besides the changes.

    ``compact_revision`` is agreed, ``swept_revision`` carried out (-1: never); etcd carries out
    what is left when it starts. ``cluster_version`` may be empty, and newer than the server that
    restores (3.4.23 and 3.5.1 take a file of 3.6.0). An empty ``storage_version`` is what etcd 3.5
    leaves there.
    """

    revision: int
    compact_revision: int = NEVER_COMPACTED
    swept_revision: int = NEVER_COMPACTED
    applied_index: int = 0
    applied_term: int = 0
    cluster_version: str = ""
    storage_version: str = ""
    members: tuple[Member, ...] = ()
    removed: tuple[int, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    leases: tuple[LeaseRecord, ...] = ()
    auth: AuthState = AuthState()


def encode_state(state: EtcdState) -> dict[bytes, list[_Pair]]:
    """The pairs of the :data:`SMALL` buckets, in order."""
    auth = [(b"authRevision", records.encode_number(state.auth.revision))]
    if state.auth.enabled:
        auth.append((b"authEnabled", b"\1"))
    version = state.cluster_version.encode()
    contents: dict[bytes, Iterable[_Pair]] = {
        b"alarm": map(records.encode_alarm, state.alarms),
        b"auth": auth,
        b"authRoles": map(records.encode_role, state.auth.roles),
        b"authUsers": map(records.encode_user, state.auth.users),
        b"cluster": [(b"clusterVersion", version)] if version else [],
        b"lease": map(records.encode_lease, state.leases),
        b"members": map(records.encode_member, state.members),
        b"members_removed": [(b"%x" % member, _REMOVED) for member in state.removed],
        META: _meta_pairs(state),
    }
    return {name: sorted(pairs) for name, pairs in contents.items()}


def decode_state(small: dict[bytes, list[_Pair]], last: int) -> EtcdState:
    """The state from the pairs of the :data:`SMALL` buckets; ``last`` is the newest revision kept.

    Raises BadRecord and BadRevision.
    """
    meta, auth, cluster = (dict(small[name]) for name in (META, b"auth", b"cluster"))
    swept = _compacted(meta, b"finishedCompactRev")
    compacted = max(swept, _compacted(meta, b"scheduledCompactRev"))
    enabled = auth.get(b"authEnabled", b"\0")
    if enabled not in (b"\0", b"\1"):
        raise BadRecord(f"authEnabled is {enabled[:32].hex()}")
    # A file from before 3.5 has no term, one that never ran no index.
    index, term = (_number(meta, name, 0) for name in (b"consistent_index", b"term"))
    return EtcdState(
        revision=max(1, last, compacted),
        compact_revision=compacted,
        swept_revision=swept,
        applied_index=index,
        applied_term=term,
        cluster_version=records.decode_text(cluster.get(b"clusterVersion", b""), "clusterVersion"),
        storage_version=records.decode_text(meta.get(b"storageVersion", b""), "storageVersion"),
        members=_sorted(records.decode_member(*pair) for pair in small[b"members"]),
        removed=_sorted(records.decode_member_id(key) for key, _ in small[b"members_removed"]),
        alarms=_sorted(records.decode_alarm(key) for key, _ in small[b"alarm"]),
        leases=_sorted(records.decode_lease(*pair) for pair in small[b"lease"]),
        auth=AuthState(
            enabled == b"\1",
            _number(auth, b"authRevision", FIRST_REVISION),
            _sorted(records.decode_user(*pair) for pair in small[b"authUsers"]),
            _sorted(records.decode_role(*pair) for pair in small[b"authRoles"]),
        ),
    )


def _meta_pairs(state: EtcdState) -> Iterator[_Pair]:
    yield b"consistent_index", records.encode_number(state.applied_index)
    if state.applied_term:
        yield b"term", records.encode_number(state.applied_term)
    voters = [member.id for member in state.members if not member.is_learner]
    learners = [member.id for member in state.members if member.is_learner]
    if voters:
        config = {"voters": voters, **({"learners": learners} if learners else {})}
        shown = json.dumps({**config, "auto_leave": False}, separators=(",", ":"))
        yield b"confState", shown.encode()
    if state.compact_revision > 0:
        yield b"scheduledCompactRev", records.revision_key(state.compact_revision)
    if state.swept_revision > 0:
        yield b"finishedCompactRev", records.revision_key(state.swept_revision)
    if state.storage_version:
        yield b"storageVersion", state.storage_version.encode()


def _sorted(items: Iterable[_T]) -> tuple[_T, ...]:
    return tuple(sorted(items))  # type: ignore[type-var]  # tuples and ints, all of them


def _number(pairs: dict[bytes, bytes], name: bytes, missing: int) -> int:
    value = pairs.get(name)
    return missing if value is None else records.decode_number(value, name.decode())


def _compacted(meta: dict[bytes, bytes], name: bytes) -> int:
    value = meta.get(name)
    return NEVER_COMPACTED if value is None else records.decode_revision(value)[0]
