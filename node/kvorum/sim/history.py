"""The revision history of a simulated node: what DuckDB keeps on a real one, with the same
promises.

Rows become durable in batches and with the applied index that they reach; a crash takes what was
not yet durable. Reads are answered from everything that was appended, and refused below what a
compaction has taken.
"""

from __future__ import annotations

from collections.abc import Sequence

from kvorum.machine.commands import Range
from kvorum.machine.compaction import survives
from kvorum.machine.events import DELETE, PUT, Event
from kvorum.machine.record import Record
from kvorum.machine.window import contains
from kvorum.replica.effects import AppendHistory, HistoryRow


class SimHistory:
    """Rows in revision order. ``durable_*`` survive a crash."""

    def __init__(self) -> None:
        self.rows: list[HistoryRow] = []
        self.applied_index = 0
        self.revision = 1
        self.durable_rows = 0
        self.durable_applied = 0
        self.durable_revision = 1
        self.compact_revision = 0

    def append(self, batch: AppendHistory) -> None:
        """Take rows; not durable yet. What is there already (after a restart) must not come
        again."""
        assert batch.applied_index > self.applied_index, "history rows must not be appended twice"
        self.rows.extend(batch.rows)
        self.applied_index = batch.applied_index
        self.revision = batch.revision

    def flush(self) -> None:
        """One transaction: everything so far, with its applied index."""
        self.durable_rows = len(self.rows)
        self.durable_applied = self.applied_index
        self.durable_revision = self.revision

    def crash(self) -> None:
        """Only what was flushed is left."""
        del self.rows[self.durable_rows :]
        self.applied_index = self.durable_applied
        self.revision = self.durable_revision

    def copy(self, revision: int, applied_index: int) -> SimHistory:
        """The history up to a snapshot's revision, as it is sent with it."""
        twin = SimHistory()
        twin.rows = [row for row in self.rows if row.event.revision <= revision]
        twin.revision = revision
        twin.applied_index = applied_index
        twin.compact_revision = self.compact_revision
        twin.flush()
        return twin

    def compact(self, revision: int) -> None:
        """Drop what no allowed read or watch can need (the machine's rule)."""
        self.compact_revision = max(self.compact_revision, revision)
        following: dict[bytes, int] = {}
        kept: list[HistoryRow] = []
        durable = 0
        for position in reversed(range(len(self.rows))):
            event = self.rows[position].event
            later = following.get(event.key)
            following[event.key] = event.revision
            if survives(event.revision, later, event.kind == DELETE, revision):
                kept.append(self.rows[position])
                durable += position < self.durable_rows
        kept.reverse()
        self.rows = kept
        self.durable_rows = durable

    def refusal(self, revision: int) -> str:
        """Why nothing can be read from ``revision`` on; empty when it can."""
        return "compacted" if revision < self.compact_revision else ""

    def records(self, query: Range) -> list[Record]:
        """Live records of the range at ``query.revision``, in key order."""
        live: dict[bytes, Record] = {}
        for row in self.rows:
            event = row.event
            if event.revision > query.revision:
                break
            if contains(query.key, query.range_end, event.key):
                if event.kind == PUT:
                    live[event.key] = event.record
                else:
                    live.pop(event.key, None)
        return [live[key] for key in sorted(live)]

    def events(
        self, key: bytes, range_end: bytes, first: int, last: int, max_revisions: int
    ) -> tuple[Sequence[Event], int]:
        """Events of whole revisions and the last revision looked at."""
        found: list[Event] = []
        revisions = 0
        seen = 0
        for row in self.rows:
            event = row.event
            if event.revision < first or not contains(key, range_end, event.key):
                continue
            if event.revision > last:
                break
            if event.revision != seen:
                if revisions == max_revisions:
                    return found, seen
                revisions += 1
                seen = event.revision
            found.append(event)
        return found, last
