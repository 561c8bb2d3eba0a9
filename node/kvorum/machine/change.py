"""One revision in the making: the only code that writes keys.

A change opens on the present state and writes through to it at once, so that later operations of a
transaction see earlier ones; its events, numbered in order, become the revision when it is done.
Nothing is ever rolled back: whatever could refuse an operation was checked before the first write.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from kvorum.machine.events import DELETE, PUT, Event
from kvorum.machine.keyspace import Keyspace, undo
from kvorum.machine.leases import LeaseTable
from kvorum.machine.operations import DeleteRange, Put, Range
from kvorum.machine.record import make_frame, scan, tombstone_frames
from kvorum.machine.results import DeleteResult, HistoricalRange, PutResult, RangeResult
from kvorum.machine.window import Window


class Change:
    """Writes of revision ``base + 1``, which comes into being with the first of them."""

    __slots__ = ("_keyspace", "_leases", "_window", "base", "events")

    def __init__(self, keyspace: Keyspace, leases: LeaseTable, window: Window, base: int) -> None:
        self._keyspace = keyspace
        self._leases = leases
        self._window = window
        self.base = base
        self.events: list[Event] = []

    @property
    def revision(self) -> int:
        """The store's revision as seen from inside: the new one once something has changed."""
        return self.base + 1 if self.events else self.base

    def put(self, op: Put) -> PutResult:
        """Write a key. The lease exists and so does the key that an ``ignore_*`` flag wants:
        checked before.
        """
        key, value, lease, prev_kv, ignore_value, ignore_lease = op
        revision = self.base + 1
        old = self._keyspace.frames.get(key)
        if old is None:
            create, version, old_lease = revision, 1, 0
        else:
            _, _, create, _, version, value_start, value_end, old_lease = scan(old)
            version += 1
            if ignore_value:
                value = old[value_start:value_end]
            if ignore_lease:
                lease = old_lease
        frame = make_frame(key, value, create, revision, version, lease)
        self._keyspace.store(key, frame, old)
        if lease != old_lease:
            if old_lease:
                self._leases.detach(old_lease, key)
            if lease:
                self._leases.attach(lease, key)
        self.events.append(Event(revision, len(self.events), PUT, frame, old, key))
        return PutResult(revision, old if prev_kv else None)

    def delete(self, op: DeleteRange) -> DeleteResult:
        """Delete a range."""
        gone = self.delete_keys(self._keyspace.keys(op.key, op.range_end))
        return DeleteResult(self.revision, len(gone), gone if op.prev_kv else [])

    def delete_keys(self, keys: list[bytes]) -> list[bytes]:
        """Delete live keys, given in order; their last frames."""
        if not keys:
            return []
        revision = self.base + 1
        gone = self._keyspace.remove(keys)
        if self._leases.attached:
            for key, old in zip(keys, gone, strict=True):
                lease = scan(old)[7]
                if lease:
                    self._leases.detach(lease, key)
        frames = tombstone_frames(keys, revision)
        first = len(self.events)
        self.events += [
            Event(revision, first + n, DELETE, frame, old, key)
            for n, (frame, old, key) in enumerate(zip(frames, gone, keys, strict=True))
        ]
        return gone

    def range(self, query: Range) -> RangeResult | HistoricalRange:
        """Read with the effects of this change, or at an older revision, which was checked to be
        readable.
        """
        return read_range(self._keyspace, self._window, query, self.base, self.events)


def read_range(
    keyspace: Keyspace, window: Window, query: Range, base: int, pending: Iterable[Event] = ()
) -> RangeResult | HistoricalRange:
    """A range on the state at ``base``, changed by the ``pending`` events of the next revision."""
    pending = list(pending)
    header = base + 1 if pending else base
    if query.revision <= 0 or (query.revision == base and not pending):
        return keyspace.range(query, header)
    if query.revision < window.floor:
        return HistoricalRange(query, query.revision, header)
    later = chain(window.since(query.revision), pending)
    return keyspace.range(query, header, undo(later, query.key, query.range_end))
