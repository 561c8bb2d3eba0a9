"""A snapshot (etcd's own database, whichever of the two wrote it) as rows of a history: for those
who look into a file, and restore nothing.

::

    with open_snapshot(path) as snapshot:
        for rows in snapshot.rows():
            ...

The file is checked from end to end before any of it is given out.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from kvorum.history.database import HistoryError
from kvorum.history.rows import DELETE, PUT, Row
from kvorum.storage.bolt_page import MAGIC, PAGE, BoltFault
from kvorum.storage.etcd_db import EtcdDb, read_etcd_db

SLICE_ROWS: Final = 2_000


class SnapshotFault(HistoryError):
    """The file is damaged, or a database of somebody else; the text names the fault."""


class SnapshotMember(NamedTuple):
    """A member as the snapshot knows it."""

    id: int
    name: str
    peer_urls: tuple[str, ...]
    client_urls: tuple[str, ...]
    is_learner: bool


class SnapshotHead(NamedTuple):
    """What a snapshot says of itself. ``compacted`` is 0 when nothing is; ``leases`` are (id,
    granted seconds, seconds left at the last checkpoint, 0 for none).
    """

    revision: int
    compacted: int
    changes: int
    applied: int
    term: int
    version: str
    members: tuple[SnapshotMember, ...]
    leases: tuple[tuple[int, int, int], ...]
    alarms: tuple[int, ...]


def looks_like_snapshot(head: bytes) -> bool:
    """Whether a file that begins like this (64 bytes are enough) is of bbolt's format."""
    place = PAGE.size
    return head[place : place + 4] == MAGIC.to_bytes(4, "little")


class OpenSnapshot:
    """A snapshot that was found sound."""

    def __init__(self, db: EtcdDb) -> None:
        self._db = db
        state = db.state
        self.head = SnapshotHead(
            state.revision,
            max(0, state.compact_revision),
            db.changes_total,
            state.applied_index,
            state.applied_term,
            state.cluster_version,
            tuple(
                SnapshotMember(m.id, m.name, m.peer_urls, m.client_urls, m.is_learner)
                for m in state.members
            ),
            tuple((lease.id, lease.ttl_s, lease.remaining_s) for lease in state.leases),
            tuple(alarm.alarm for alarm in state.alarms),
        )

    def rows(self) -> Iterator[list[Row]]:
        """The kept changes in order, some at a time. When and by whom is not in the file."""
        before: dict[bytes, int] = {}
        rows: list[Row] = []
        for change in self._db.changes():
            record = change.record
            prev = before.get(record.key, 0)
            if change.deleted:
                before.pop(record.key, None)
                fields: tuple[int, bytes, bytes, int, int, int] = (DELETE, record.key, b"", 0, 0, 0)
            else:
                before[record.key] = change.revision
                fields = (
                    PUT,
                    record.key,
                    record.value,
                    record.create_revision,
                    record.version,
                    record.lease,
                )
            rows.append(Row(change.revision, change.sub, *fields, prev, 0, 0, ""))
            if len(rows) == SLICE_ROWS:
                yield rows
                rows = []
        if rows:
            yield rows


@contextmanager
def open_snapshot(path: Path) -> Iterator[OpenSnapshot]:
    """A snapshot, or a database copied out of a data directory. Raises :class:`SnapshotFault`, and
    OSError when it cannot be read.
    """
    try:
        db = read_etcd_db(path, "optional")
    except BoltFault as fault:
        raise SnapshotFault(str(fault)) from fault
    with db:
        try:
            yield OpenSnapshot(db)
        except BoltFault as fault:
            raise SnapshotFault(str(fault)) from fault
