"""Locks and elections, as they stand in the store.

etcd's own recipe for both: whoever wants in creates ``<name>/<its lease id in hex>`` with that
lease; the oldest create revision holds, the others wait in that order. Others (Patroni, many
scripts) have one key for all, with the holder's lease. Both are found by the leases' keys, so
nothing is searched.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from kvorum_tui.model.records import KeyRecord

# Last parts of keys that commonly stand for the one who may.
SINGLE = frozenset(
    (b"leader", b"lock", b"master", b"primary", b"mutex", b"holder", b"owner", b"active")
)
HEX = re.compile(rb"[0-9a-f]{8,32}")
WITHIN = (b"/lock/", b"/locks/", b"/election/", b"/elections/", b"/leader/")


@dataclass(frozen=True, slots=True)
class Name:
    """A lock or an election: the prefix of its keys, or where ``single`` the one key."""

    prefix: bytes
    single: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """One in the queue. ``since`` is when it came, in seconds of the wall clock, where that is
    known; else ``seen`` is when it was first seen, and ``before`` says that it was there already.
    """

    record: KeyRecord
    seen: float
    before: bool
    since: float | None = None

    def waited(self, now: float) -> tuple[float, bool]:
        """For how many seconds it has been here, and whether that is exact (else it is longer)."""
        if self.since is not None:
            return max(0.0, now - self.since), True
        return max(0.0, now - self.seen), not self.before


@dataclass(slots=True)
class Queue:
    """One lock or election with its places, the holder first. ``told_at`` is 0 as long as it was
    not read.
    """

    name: Name
    places: list[Place] = field(default_factory=list)
    told_at: float = 0.0
    revision: int = 0

    @property
    def holder(self) -> Place | None:
        """Who holds it."""
        return self.places[0] if self.places else None


def name_of(key: bytes, lease: int) -> Name | None:
    """The lock or election that a key with a lease belongs to; None if it does not look like
    one.
    """
    head, slash, leaf = key.rpartition(b"/")
    if slash and leaf == f"{lease & (2**64 - 1):x}".encode():
        return Name(head + slash)
    within = any(part in key.lower() for part in WITHIN)
    if within and HEX.fullmatch(leaf):
        return Name(head + slash)  # The same with the id of something else.
    if within or leaf.lower() in SINGLE:
        return Name(key, single=True)
    return None


def found_in(leased: Iterable[tuple[int, Sequence[bytes]]]) -> set[Name]:
    """All locks and elections among leases with their keys."""
    return {
        name for lease, keys in leased for key in keys if (name := name_of(key, lease)) is not None
    }


class QueueBook:
    """All locks and elections known. ``added`` are looked at even while nobody is in them."""

    def __init__(self) -> None:
        self.queues: dict[Name, Queue] = {}
        self.added: set[Name] = set()

    def names(self, found: set[Name]) -> None:
        """These exist now; one that nobody is in any more goes, unless it was added by hand."""
        wanted = found | self.added
        self.queues = {name: queue for name, queue in self.queues.items() if name in wanted}
        for name in sorted(wanted - self.queues.keys(), key=lambda name: name.prefix):
            self.queues[name] = Queue(name)

    def add(self, prefix: bytes) -> Name:
        """Look at a prefix from now on."""
        name = Name(prefix if prefix.endswith(b"/") else prefix + b"/")
        self.added.add(name)
        self.queues.setdefault(name, Queue(name))
        return name

    def read(self, name: Name, records: Iterable[KeyRecord], now: float) -> None:
        """What stands in the store for one of them."""
        queue = self.queues.get(name)
        if queue is None:
            return
        old = {(p.record.key, p.record.create_revision): p for p in queue.places}
        first = not queue.told_at
        places = []
        for record in sorted(records, key=lambda r: r.create_revision):
            if not record.lease or (name.single and record.key != name.prefix):
                continue
            was = old.get((record.key, record.create_revision))
            since = was.since if was is not None else None
            seen = was.seen if was is not None else now
            before = was.before if was is not None else first
            places.append(Place(record, seen, before, since))
        queue.places, queue.told_at = places, now

    def came(self, name: Name, key: bytes, at: float) -> None:
        """The server told when a place was taken."""
        queue = self.queues.get(name)
        if queue is not None:
            queue.places = [
                Place(p.record, p.seen, p.before, at) if p.record.key == key else p
                for p in queue.places
            ]

    def rows(self) -> list[Queue]:
        """By name."""
        return [self.queues[name] for name in sorted(self.queues, key=lambda name: name.prefix)]

    def to_read(self, now: float, most: int, every_s: float) -> list[Name]:
        """The ones read longest ago."""
        due = [queue for queue in self.queues.values() if now - queue.told_at >= every_s]
        return [queue.name for queue in sorted(due, key=lambda queue: queue.told_at)[:most]]
