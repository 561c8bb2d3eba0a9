"""The raft log in words, for people: what each entry does, without its values."""

from __future__ import annotations

from dataclasses import dataclass

from kvorum.limits import INSPECT_LOG_TAIL_MAX
from kvorum.machine import commands as c
from kvorum.raft import membership
from kvorum.raft.types import Entry, EntryKind
from kvorum.replica.replica import Replica

_SHOWN_KEY_BYTES = 64


@dataclass(frozen=True, slots=True)
class LogLine:
    """One entry."""

    index: int
    term: int
    summary: str
    bytes: int


@dataclass(frozen=True, slots=True)
class LogView:
    """A stretch of the log."""

    first_index: int
    last_index: int
    commit: int
    entries: tuple[LogLine, ...]

    @classmethod
    def of(cls, replica: Replica, from_index: int, limit: int) -> LogView:
        """Entries from ``from_index`` on (or from the first that is kept), at most ``limit``."""
        status = replica.raft.status()
        low = max(from_index, status.first_index)
        high = min(low + max(0, min(limit, INSPECT_LOG_TAIL_MAX)), status.last_index + 1)
        entries = replica.log_slice(low, high) if low < high else ()
        return cls(
            status.first_index,
            status.last_index,
            status.commit,
            tuple(LogLine(e.index, e.term, summary(e), len(e.data)) for e in entries),
        )

    @classmethod
    def tail(cls, replica: Replica, limit: int) -> LogView:
        """The newest entries, at most ``limit``."""
        limit = max(0, min(limit, INSPECT_LOG_TAIL_MAX))
        return cls.of(replica, replica.raft.status().last_index - limit + 1, limit)


def summary(entry: Entry) -> str:
    """What an entry does. Keys are shown, values never."""
    if not entry.data:
        return "empty"
    if entry.kind == EntryKind.CONF_CHANGE:
        change = membership.decode(entry.data)
        if not change.changes:
            return "config leave joint"
        return "config " + ", ".join(f"{op.name.lower()} {id_:x}" for op, id_ in change.changes)
    return _command(c.decode(entry.data).command)


def _command(command: object) -> str:
    if isinstance(command, c.Put):
        return f"put {_key(command.key)}"
    if isinstance(command, c.DeleteRange):
        return f"delete {_span(command.key, command.range_end)}"
    if isinstance(command, c.Txn):
        return f"txn {len(command.success)}+{len(command.failure)} ops"
    if isinstance(command, c.Compact):
        return f"compact {command.revision}"
    if isinstance(command, (c.LeaseGrant, c.LeaseRevoke)):
        return f"lease {'grant' if isinstance(command, c.LeaseGrant) else 'revoke'} {command.id:x}"
    if isinstance(command, c.LeaseExpire):
        return "lease expire " + " ".join(f"{id_:x}" for id_ in command.ids)
    # The class says it: MemberPublish -> "member publish".
    name = type(command).__name__
    return "".join(f" {char.lower()}" if char.isupper() else char for char in name).strip()


def _key(key: bytes) -> str:
    shown = key[:_SHOWN_KEY_BYTES].decode("utf-8", "backslashreplace")
    return shown if len(key) <= _SHOWN_KEY_BYTES else f"{shown}..."


def _span(key: bytes, range_end: bytes) -> str:
    if not range_end:
        return _key(key)
    if range_end == b"\x00":
        return f"{_key(key)} and above"
    return f"[{_key(key)}, {_key(range_end)})"
