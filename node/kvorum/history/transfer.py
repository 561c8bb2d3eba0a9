"""A history that arrives from a peer: rows into a fresh file, which then takes the old one's place.

The fresh file stands beside the old one until it is whole, so that a transfer that breaks off costs
nothing. The swap happens with both closed, see ``copying.replace_history``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

import arro3.core as arrow

from kvorum.history.compaction import agree, sweep
from kvorum.history.copying import remove_history, replace_history
from kvorum.history.database import NEVER_COMPACTED, HistoryDatabase
from kvorum.history.rows import BATCH_NAME, INSERT_ROWS, Identity, Row, to_arrow
from kvorum.limits import HISTORY_BATCH_ROWS, HISTORY_CHECKPOINT_BYTES, HISTORY_COPY_BYTES

_LAST_SUB: Final = 2**62  # Behind every row of a revision.


def staging_path(path: Path) -> Path:
    """Where an incoming history is built."""
    return path.with_name(path.name + ".incoming")


def copy_path(path: Path) -> Path:
    """Where a history's own fresh copy is built."""
    return path.with_name(path.name + ".defragmented")


class HistoryImport:
    """Builds a history file beside ``path`` from rows in the order of their revisions.

    Blocking; one thread at a time. Ends with ``finish`` or ``abort``, then ``install`` swaps.
    ``staging`` is where it is built, if not at ``staging_path``.
    """

    def __init__(self, path: Path, identity: Identity, staging: Path | None = None) -> None:
        self._path = path
        self._staging = staging or staging_path(path)
        remove_history(self._staging)
        self._database = HistoryDatabase(self._staging, identity)
        self._connection = self._database.connect()
        self._newest = (0, -1)
        self._gathered: list[
            Row
        ] = []  # For one transaction; each costs as much as a thousand rows.
        self._gathered_bytes = 0
        self._closed = False

    def add(self, rows: Sequence[Row]) -> None:
        """Append rows. Raises ValueError when they are out of order."""
        for row in rows:
            if (row.revision, row.sub) <= self._newest:
                raise ValueError(f"row {row.revision}.{row.sub} comes after {self._newest}")
            self._newest = (row.revision, row.sub)
            self._gathered_bytes += len(row.key) + len(row.value)
        self._gathered += rows
        if len(self._gathered) >= HISTORY_BATCH_ROWS or self._gathered_bytes > HISTORY_COPY_BYTES:
            self._flush()

    def add_stored(self, rows: arrow.RecordBatchReader, through: int) -> None:
        """Append rows as another history stores them, in its columns and in order, up to revision
        ``through``. ValueError when that is no progress.
        """
        if through <= self._newest[0]:
            raise ValueError(f"rows up to {through} come after {self._newest}")
        self._newest = (through, _LAST_SUB)
        self._flush()
        self._insert(rows, f"INSERT INTO history SELECT * FROM {BATCH_NAME}")

    def _flush(self) -> None:
        rows, self._gathered, self._gathered_bytes = self._gathered, [], 0
        if rows:
            self._insert(to_arrow(rows), INSERT_ROWS)

    def _insert(self, rows: arrow.Table | arrow.RecordBatchReader, statement: str) -> None:
        self._connection.register(BATCH_NAME, rows)
        self._connection.execute(statement)
        self._connection.unregister(BATCH_NAME)
        if self._database.log_bytes() > HISTORY_CHECKPOINT_BYTES:
            self._connection.execute("CHECKPOINT")

    def finish(
        self, applied_index: int, applied_term: int, revision: int, compact_revision: int
    ) -> None:
        """Note how far it goes, apply the compaction, fold everything into the file and close it.

        Raises ValueError when rows go beyond ``revision``.
        """
        if self._newest[0] > revision:
            raise ValueError(f"rows up to {self._newest[0]}, but the history ends at {revision}")
        self._flush()
        self._connection.execute(
            "INSERT INTO progress VALUES (?, ?, ?)", [applied_index, applied_term, revision]
        )
        if compact_revision != NEVER_COMPACTED:
            agree(self._connection, compact_revision)
            sweep(self._connection, compact_revision)
        self._connection.execute("CHECKPOINT")
        self._close()

    def install(self, failpoint: Callable[[str], None] = lambda name: None) -> None:
        """Take the place of the history at ``path``, which must be closed. ``failpoint``: see
        ``copying.replace_history``.
        """
        if not self._closed:
            raise ValueError("the incoming history is not finished")
        replace_history(self._staging, self._path, failpoint)

    def abort(self) -> None:
        """Drop what was built."""
        self._close()
        remove_history(self._staging)

    def _close(self) -> None:
        if not self._closed:
            self._closed = True
            self._connection.close()
            self._database.close()


def import_rows(
    path: Path,
    identity: Identity,
    pages: Iterable[Sequence[Row]],
    *,
    applied_index: int,
    applied_term: int,
    revision: int,
    compact_revision: int,
) -> HistoryImport:
    """Build a whole incoming history from a stream of pages; the caller then installs it."""
    incoming = HistoryImport(path, identity)
    try:
        for page in pages:
            incoming.add(page)
        incoming.finish(applied_index, applied_term, revision, compact_revision)
    except BaseException:
        incoming.abort()
        raise
    return incoming
