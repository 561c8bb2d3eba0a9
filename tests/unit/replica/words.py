"""The words of the replica scripts: commands out of lines, lines out of answers and deliveries."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kvorum.machine import commands
from kvorum.machine.digest import HashResult
from kvorum.machine.events import DELETE, Event
from kvorum.machine.record import Record
from kvorum.machine.results import (
    CompactResult,
    DeleteResult,
    LeaseGrantResult,
    LeaseRevokeResult,
    PutResult,
    RangeResult,
    TxnResult,
)
from kvorum.replica import effects as e
from kvorum.replica.requests import LeaseClock, WatchSpec


def options(words: Iterable[str]) -> tuple[list[str], dict[str, str]]:
    """Plain words, and those with `=`."""
    plain = [word for word in words if "=" not in word]
    return plain, dict(word.split("=", 1) for word in words if "=" in word)


def watch_spec(plain: list[str], named: dict[str, str]) -> WatchSpec:
    flags = {"prev", "marks", "fragment", "noput", "nodelete"}
    key, *end = [word for word in plain if word not in flags]
    return WatchSpec(
        key.encode(),
        end_of(key.encode(), end[0]) if end else b"",
        int(named.get("start", "0")),
        int(named.get("id", "0")),
        prev_kv="prev" in plain,
        progress_notify="marks" in plain,
        no_put="noput" in plain,
        no_delete="nodelete" in plain,
        fragment="fragment" in plain,
    )


def range_query(words: list[str]) -> commands.Range:
    plain, named = options(words)
    key, *end = [word for word in plain if word != "serializable"]
    return commands.Range(
        key.encode(),
        end_of(key.encode(), end[0]) if end else b"",
        limit=int(named.get("limit", "0")),
        revision=int(named.get("rev", "0")),
        serializable="serializable" in plain,
    )


def read_txn(words: list[str]) -> commands.Txn:
    parts = " ".join(word for word in words if not word.startswith("on=")).split(" ; ")
    return commands.Txn((), tuple(range_query(part.split()[1:]) for part in parts), ())


def command(words: list[str]) -> commands.Command:
    plain, named = options(words[1:])
    match words[0]:
        case "put":
            lease = int(named.get("lease", "0"))
            return commands.Put(plain[0].encode(), plain[1].encode(), lease, "prev" in plain)
        case "del":
            key = plain[0].encode()
            return commands.DeleteRange(key, end_of(key, plain[1]) if len(plain) > 1 else b"")
        case "compact":
            return commands.Compact(int(plain[0]), "physical" in plain)
        case "grant":
            return commands.LeaseGrant(int(plain[0]), int(plain[1]))
        case "revoke":
            return commands.LeaseRevoke(int(plain[0]))
        case "txn":
            parts = " ".join(words[1:]).split(" ; ")
            operations: Any = tuple(command(part.split()) for part in parts)
            return commands.Txn((), operations, ())
    raise KeyError(words[0])


def end_of(key: bytes, word: str) -> bytes:
    """A range's end as scripts write it."""
    if word == "*":
        return b"\0"
    if word == "+":
        return key[:-1] + bytes((key[-1] + 1,))
    return word.encode()


def show_record(record: Record) -> str:
    """One record."""
    text = f"{record.key.decode()}={_short(record.value)}"
    text += f" mod={record.mod_revision} version={record.version}"
    return text + (f" lease={record.lease}" if record.lease else "")


def _short(value: bytes) -> str:
    return value.decode() if len(value) <= 20 else f"({len(value)} bytes)"


def show_event(event: Event, with_prev: bool) -> str:
    """One event."""
    text = f"{event.revision} DELETE {event.key.decode()}"
    if event.kind != DELETE:
        text = f"{event.revision} PUT {event.key.decode()}={_short(event.record.value)}"
    if with_prev:
        text += f" (was {_short(event.prev.value)})" if event.prev is not None else " (was nothing)"
    return text


def show_events(events: tuple[Event, ...], with_prev: bool) -> str:
    """Events; of many only the ends."""
    shown = [show_event(event, with_prev) for event in events]
    if len(shown) > 6:
        shown = [*shown[:2], f".. {len(shown)} events ..", shown[-1]]
    return ", ".join(shown)


def show_delivery(item: e.Delivery) -> str:
    """One item of a stream."""
    match item:
        case e.Created(refused=""):
            return f"created id={item.watch_id} revision={item.revision}"
        case e.Created():
            return f"refused id={item.watch_id} revision={item.revision}: {item.refused}"
        case e.Canceled():
            why = f" compacted at {item.compact_revision}" if item.compact_revision else ""
            return f"canceled id={item.watch_id} revision={item.revision}{why}"
        case e.Progress():
            return f"mark id={item.watch_id} revision={item.revision}"
    events = show_events(item.events, item.prev_kv)
    return f"events id={item.watch_id} revision={item.revision}: {events}"


def show_value(value: object) -> str:
    """A result in words."""
    match value:
        case None:
            return "done"
        case PutResult():
            was = f", was {show_record(value.prev)}" if value.prev is not None else ""
            return f"put at {value.revision}{was}"
        case DeleteResult():
            return f"deleted {value.deleted} at {value.revision}"
        case RangeResult():
            shown = [show_record(record) for record in value.records]
            more = " and more" if value.more else ""
            return f"[{', '.join(shown)}]{more} of {value.count} at {value.revision}"
        case TxnResult():
            return f"txn at {value.revision}: " + "; ".join(map(show_value, value.responses))
        case CompactResult():
            return f"compacted to {value.compact_revision}"
        case LeaseGrantResult():
            return f"granted {value.id} for {value.ttl_s} s"
        case LeaseRevokeResult():
            return f"revoked with {value.deleted} keys"
        case HashResult():
            return f"hash at {value.revision}, compacted {value.compact_revision}"
        case tuple():
            return ", ".join(show_clock(clock) for clock in value)
    return repr(value)


def show_clock(clock: LeaseClock) -> str:
    """A lease's clock."""
    if not clock.granted_s:
        return f"lease {clock.id} is gone"
    keys = f" keys {' '.join(key.decode() for key in clock.keys)}" if clock.keys else ""
    return f"lease {clock.id} has {clock.remaining_s} of {clock.granted_s} s{keys}"
