"""A small model of what a history should hold, and rows made from random changes."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

from kvorum.history.rows import DELETE, PUT, Record, Row

AT_MS = 1_700_000_000_000


class Model:
    """All rows ever written, and etcd's rules read off them naively."""

    def __init__(self, random: Random, keys: int = 12) -> None:
        self.random = random
        self.rows: list[Row] = []
        self.revision = 1
        self.compacted = -1
        self._keys = [b"k/%02d" % number for number in range(keys)] + [b"\xff\x00raw"]
        self._live: dict[bytes, Row] = {}

    def change(self, changes: int = 1) -> list[Row]:
        """One revision of at most ``changes`` changes; its rows."""
        self.revision += 1
        rows = []
        for key in sorted(self.random.sample(self._keys, changes)):
            before = self._live.get(key)
            if before is not None and self.random.random() < 0.3:
                row = self._row(len(rows), DELETE, key, before)
                del self._live[key]
            else:
                row = self._row(len(rows), PUT, key, before)
                self._live[key] = row
            rows.append(row)
        self.rows += rows
        return rows

    def grow(self, revisions: int) -> list[Row]:
        """Many revisions; their rows."""
        return [row for _ in range(revisions) for row in self.change(self.random.randint(1, 4))]

    def _row(self, sub: int, kind: int, key: bytes, before: Row | None) -> Row:
        put = kind == PUT
        return Row(
            self.revision,
            sub,
            kind,
            key,
            self.random.randbytes(self.random.randrange(30)) if put else b"",
            (before.create_revision if before else self.revision) if put else 0,
            (before.version + 1 if before else 1) if put else 0,
            self.random.choice((0, 77)) if put else 0,
            before.revision if before else 0,
            AT_MS + self.revision,
            2**64 - 1,
            "root",
        )

    def at(self, revision: int, key: bytes, end: bytes) -> list[Record]:
        """Live records of a range."""
        state: dict[bytes, Row] = {}
        for row in self.rows:
            if row.revision <= revision:
                state[row.key] = row
        return [
            record(row)
            for name, row in sorted(state.items())
            if row.type == PUT and within(name, key, end)
        ]

    def compact(self, revision: int) -> set[Row]:
        """What must be left in the file."""
        self.compacted = revision
        newest = {row.key: row for row in self.rows if row.revision <= revision}
        return {
            row
            for row in self.rows
            if row.revision > revision
            or (newest[row.key] == row and (row.type == PUT or row.revision == revision))
        }


def within(name: bytes, key: bytes, end: bytes) -> bool:
    """etcd's rule for ranges."""
    if not end:
        return name == key
    return name >= key and (end == b"\0" or name < end)


def record(row: Row) -> Record:
    """A row as a live key."""
    return Record(row.key, row.value, row.create_revision, row.revision, row.version, row.lease)


def total(rows: Iterable[Row]) -> int:
    """How many."""
    return sum(1 for _ in rows)
