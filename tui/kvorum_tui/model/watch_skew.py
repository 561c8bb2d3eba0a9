"""The same watch through every member: which revision came when through whom, who is behind.

Times are those at which this terminal saw an event; what differs is the members' lag and the way
here together.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from kvorum_tui.model.records import KeyEvent

ROWS_MAX = 2_000
ROWS_BYTES = 8 * 1024 * 1024
SKEWS = 200  # Delays of a member that its median is taken of.
LATE_MS = 50.0  # Above this a delay is marked.


@dataclass(slots=True)
class SkewRow:
    """One change, and when it came through which member."""

    event: KeyEvent
    first: float
    at: dict[str, float] = field(default_factory=dict)

    def delay_ms(self, member: str) -> float | None:
        """How much later than through the first member it came; None: it has not come."""
        came = self.at.get(member)
        return None if came is None else (came - self.first) * 1000


@dataclass(slots=True)
class Column:
    """One member's watch."""

    member: str
    since: int = 0  # Changes before this revision were not watched.
    events: int = 0
    last_revision: int = 0
    last_at: float = 0.0
    error: str = ""
    gaps: int = 0
    delays: deque[float] = field(default_factory=lambda: deque(maxlen=SKEWS))

    def median_ms(self) -> float | None:
        """The median of its newest delays."""
        ordered = sorted(self.delays)
        return ordered[len(ordered) // 2] if ordered else None


class SkewTable:
    """Rows by revision and key, newest last, bounded; columns by member."""

    def __init__(self, members: list[str], rows_max: int = ROWS_MAX) -> None:
        self.columns = {member: Column(member) for member in members}
        self.rows: list[SkewRow] = []
        self._by_change: dict[tuple[int, bytes], SkewRow] = {}
        self._rows_max = rows_max
        self._bytes = 0
        self.taken = 0
        self.dropped = 0

    @property
    def newest(self) -> int:
        """The newest revision that came through anyone."""
        return max((column.last_revision for column in self.columns.values()), default=0)

    def started(self, member: str, revision: int) -> None:
        """A member's watch stands: it will bring what comes after ``revision``."""
        column = self.columns[member]
        column.error = ""
        if not column.since:
            column.since = revision + 1

    def failed(self, member: str, text: str) -> None:
        """A member's watch broke; it goes on where it stood."""
        self.columns[member].error = text

    def gap(self, member: str, revision: int) -> None:
        """What came before ``revision`` is compacted away for this member's watch."""
        column = self.columns[member]
        column.gaps += 1
        column.since = max(column.since, revision)

    def add(self, member: str, events: tuple[KeyEvent, ...], now: float) -> None:
        """Changes came through a member."""
        column = self.columns[member]
        column.error = ""
        for event in events:
            column.events += 1
            column.last_revision, column.last_at = max(column.last_revision, event.revision), now
            row = self._by_change.get((event.revision, event.key))
            if row is None:
                row = self._insert(SkewRow(event, now))
            if member not in row.at:
                row.at[member] = now
                column.delays.append((now - row.first) * 1000)

    def _insert(self, row: SkewRow) -> SkewRow:
        place = len(self.rows)
        # A member that is behind brings revisions that nobody kept, or that came in between.
        while place and self.rows[place - 1].event.revision > row.event.revision:
            place -= 1
        self.rows.insert(place, row)
        self.taken += 1
        self._by_change[row.event.revision, row.event.key] = row
        self._bytes += len(row.event.key) + len(row.event.value)
        while len(self.rows) > self._rows_max or (self._bytes > ROWS_BYTES and len(self.rows) > 1):
            old = self.rows.pop(0)
            del self._by_change[old.event.revision, old.event.key]
            self._bytes -= len(old.event.key) + len(old.event.value)
            self.dropped += 1
        return row

    def missing(self, row: SkewRow) -> list[str]:
        """Members that should have brought this change and have not."""
        return [
            member
            for member, column in self.columns.items()
            if member not in row.at and column.since <= row.event.revision and column.since
        ]

    def behind(self, member: str) -> int:
        """Changes that came through another member and not yet through this one."""
        column = self.columns[member]
        if not column.since:
            return 0
        count = 0
        for row in reversed(self.rows):
            if row.event.revision <= column.last_revision:
                break
            count += member not in row.at and column.since <= row.event.revision
        return count
