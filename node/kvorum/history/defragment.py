"""A fresh copy of a history, which takes the old file's place: how disk space is given back.

DuckDB uses the room of removed rows again and never makes a file shorter. So the kept rows are
copied into a new file beside the old one, in stretches of revisions, each a read transaction of its
own, while the old one is read and written on; what was written meanwhile follows; in the end, when
nothing is written, the rest, the progress, and the swap (``copying.replace_history``).

What a compaction removes during the copying is removed from the copy at its end. A crash at any
moment leaves the old file whole, or the new one: the copy is closed, checkpointed and synced before
it gets its name, and the old one was checkpointed before that, so that its log may go. A half-made
copy is known by its name, and the next start removes it (``probe.open_history``).

Measured: 120 MB of values of 1 KB in 3 s. Values of 100 KB cost more, because DuckDB reads 2,048
rows for any one of them: 200 MB took 21 s, on two cores that seven other programs wanted.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import arro3.core as arrow
import duckdb

from kvorum.history.reader import HistoryInterrupted
from kvorum.history.rows import Identity, Progress
from kvorum.history.selects import snapshot
from kvorum.history.transfer import HistoryImport, copy_path
from kvorum.limits import HISTORY_COPY_BYTES, HISTORY_COPY_REVISIONS


class Defragmentation:
    """One copy in the making. Blocking; its calls may come from different threads, one at a time.

    ``failpoint`` is called with a name where tests crash a node: defragment_copied,
    defragment_finished, defragment_installed.
    """

    def __init__(
        self,
        path: Path,
        identity: Identity,
        failpoint: Callable[[str], None] = lambda name: None,
    ) -> None:
        self._failpoint = failpoint
        self._incoming = HistoryImport(path, identity, copy_path(path))
        self._span = HISTORY_COPY_REVISIONS
        self._lock = threading.Lock()
        self._installed = False
        self.stopping = threading.Event()
        """Set by whoever wants the copying to end."""
        self.through = 0
        """The newest revision that is copied."""
        self.rows = 0
        """Rows copied so far."""

    def copy(self, connection: duckdb.DuckDBPyConnection, to_revision: int) -> None:
        """Copy what the history has of the revisions after ``through``, up to ``to_revision``.

        Raises :class:`HistoryInterrupted` when ``stopping`` is set.
        """
        with self._lock:
            while self.through < to_revision:
                if self.stopping.is_set():
                    raise HistoryInterrupted("the defragmentation was stopped")
                with snapshot(connection):
                    self._copy_stretch(connection, to_revision)
        self._failpoint("defragment_copied")

    def _copy_stretch(self, connection: duckdb.DuckDBPyConnection, to_revision: int) -> None:
        """One stretch: as many revisions as fit the memory meant for it."""
        where = "revision > $after AND revision <= $through"
        while True:
            through = min(self.through + self._span, to_revision)
            bounds = {"after": self.through, "through": through}
            found = connection.execute(
                "SELECT count(*), coalesce(sum(octet_length(key) + octet_length(value)), 0)::BIGINT"
                f" FROM history WHERE {where}",
                bounds,
            ).fetchall()
            rows, size = found[0]
            if size <= HISTORY_COPY_BYTES or through == self.through + 1:
                break
            self._span = max(1, (through - self.through) // 2)
        if rows:
            stored = connection.sql(
                f"SELECT * FROM history WHERE {where} ORDER BY revision, sub", params=bounds
            )
            self._incoming.add_stored(arrow.RecordBatchReader.from_arrow(stored), through)
        self.rows += rows
        self.through = through
        if size < HISTORY_COPY_BYTES // 4:
            self._span = min(2 * self._span, to_revision)

    def finish(self, progress: Progress) -> None:
        """Fold everything into the copy's file: it says what the old one says. Nothing may be
        written to the old one any more.
        """
        self._incoming.finish(
            progress.applied_index,
            progress.applied_term,
            progress.revision,
            progress.compact_revision,
        )
        self._failpoint("defragment_finished")

    def install(self) -> None:
        """Take the old file's place; it must be checkpointed and closed."""
        self._incoming.install(self._failpoint)
        self._installed = True
        self._failpoint("defragment_installed")

    def abort(self) -> None:
        """Stop copying and drop the copy, unless it is installed."""
        self.stopping.set()
        with self._lock:
            if not self._installed:
                self._incoming.abort()
