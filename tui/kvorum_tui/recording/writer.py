"""The thread that writes a recording: what comes is queued, a transaction takes all that is there.

Changes are never dropped: a full queue takes no more, and whoever brings them waits (the watch then
catches up from the cluster's history). Reports are samples: what finds no room is counted.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, NamedTuple

import arro3.core as arrow
import duckdb
from kvorum.history.database import HistoryDatabase
from kvorum.history.rows import BATCH_NAME, INSERT_ROWS, Identity, Row, to_arrow

FORMAT: Final = 1
FLUSH_S: Final = 0.5  # A crash loses at most this, and what is queued.
QUEUE_ROWS: Final = 50_000
QUEUE_BYTES: Final = 64 * 1024 * 1024
CHECKPOINT_BYTES: Final = 32 * 1024 * 1024  # DuckDB's log is folded into the file at this length.
MEMORY_MB: Final = 256

_TYPE = arrow.DataType
_SAMPLES: Final = {
    "arrivals": (("at_ms", _TYPE.int64()), ("revision", _TYPE.int64())),
    "reports": (
        ("at_ms", _TYPE.int64()),
        ("endpoint", _TYPE.utf8()),
        ("name", _TYPE.utf8()),
        ("role", _TYPE.utf8()),
        ("term", _TYPE.int64()),
        ("leader", _TYPE.uint64()),
        ("commit", _TYPE.int64()),
        ("applied", _TYPE.int64()),
        ("revision", _TYPE.int64()),
        ("db_bytes", _TYPE.int64()),
        ("error", _TYPE.utf8()),
        ("report", _TYPE.utf8()),
    ),
    "seen": (("at_ms", _TYPE.int64()), ("what", _TYPE.utf8()), ("json", _TYPE.utf8())),
    "marks": (
        ("at_ms", _TYPE.int64()),
        ("revision", _TYPE.int64()),
        ("until", _TYPE.int64()),
        ("what", _TYPE.utf8()),
        ("text", _TYPE.utf8()),
    ),
}


class Head(NamedTuple):
    """The one row of ``recording``; ``began_ms`` since 1970."""

    title: str
    kind: str
    began_ms: int
    version: str


class Written(NamedTuple):
    """What is in the file: changes, reports, the newest revision, its length."""

    changes: int
    reports: int
    revision: int
    size_bytes: int


NOTHING: Final = Written(0, 0, 0, 0)


class RecordingWriter:
    """Writes a new file. ``on_room`` is called, on the writer's thread, when the queue was emptied
    and when writing failed. Raises FileExistsError, OSError, duckdb.Error.
    """

    def __init__(
        self,
        path: Path,
        identity: Identity,
        head: Head,
        on_room: Callable[[], object] = lambda: None,
        queue_rows: int = QUEUE_ROWS,
        queue_bytes: int = QUEUE_BYTES,
    ) -> None:
        if path.exists():
            raise FileExistsError(f"{path} exists")
        self.path = path
        self._on_room = on_room
        self._queue_rows, self._queue_bytes = queue_rows, queue_bytes
        self._database = HistoryDatabase(path, identity, MEMORY_MB)
        self._connection = self._database.connect()
        self._begin(head)
        self._changed = threading.Condition()
        self._rows: list[Row] = []
        self._bytes = 0
        self._samples: dict[str, list[tuple[Any, ...]]] = {name: [] for name in _SAMPLES}
        self._progress = 0
        self._compacted: deque[int] = deque()
        self._flushes: list[Future[None]] = []
        self._closing = False
        self.error: BaseException | None = None
        self.dropped_reports = 0
        self.written = Written(0, 0, 0, self._database.size_bytes())
        self._thread = threading.Thread(target=self._run, name="recording", daemon=True)
        self._thread.start()

    def _begin(self, head: Head) -> None:
        connection = self._connection
        connection.begin()
        connection.execute(files(__package__).joinpath("schema.sql").read_text("utf-8"))
        connection.execute(
            "INSERT INTO recording VALUES (?, ?, ?, make_timestamp_ms(?), ?)",
            [FORMAT, head.title, head.kind, head.began_ms, head.version],
        )
        connection.commit()
        connection.execute("CHECKPOINT")

    # --- asked from outside -----------------------------------------------------------------------

    def changes(self, rows: Sequence[Row], revision: int, at_ms: int) -> bool:
        """Queue changes that reach ``revision``; False when there is no room: try again after
        ``on_room``. Never waits. Raises what ended the writer.
        """
        size = sum(len(row.key) + len(row.value) for row in rows)
        with self._changed:
            self._check()
            if self._rows and (
                len(self._rows) + len(rows) > self._queue_rows
                or self._bytes + size > self._queue_bytes
            ):
                return False
            self._rows += rows
            self._bytes += size
            self._progress = max(self._progress, revision)
            if at_ms:
                self._arrived(at_ms)
            self._changed.notify()
        return True

    def _arrived(self, at_ms: int) -> None:
        """One arrival a tenth of a second is enough."""
        arrivals = self._samples["arrivals"]
        if arrivals and arrivals[-1][0] // 100 == at_ms // 100:
            arrivals[-1] = (arrivals[-1][0], self._progress)
        else:
            arrivals.append((at_ms, self._progress))

    def sample(self, table: str, *values: Any) -> None:
        """Queue a row of another table; a report that finds no room is dropped and counted."""
        with self._changed:
            if self.error is not None:
                return
            rows = self._samples[table]
            if table == "reports" and len(rows) >= self._queue_rows:
                self.dropped_reports += 1
                return
            rows.append(values)

    def compacted(self, revision: int) -> None:
        """Below this revision only what is there is known."""
        with self._changed:
            self._compacted.append(revision)

    def flush(self) -> Future[None]:
        """Done when everything queued before is in the file."""
        done: Future[None] = Future()
        with self._changed:
            if self.error is not None:
                done.set_exception(self.error)
            else:
                self._flushes.append(done)
                self._changed.notify()
        return done

    def alive(self) -> list[tuple[bytes, int]]:
        """The keys that are alive in the file, with their mod revisions; blocks."""
        connection = self._database.connect()
        try:
            return connection.execute(
                "SELECT key, max(revision) FROM history GROUP BY key "
                "HAVING arg_max(type, (revision, sub)) = 0"
            ).fetchall()
        finally:
            connection.close()

    def close(self) -> None:
        """Write what waits, fold DuckDB's log into the file, close; blocks."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _check(self) -> None:
        if self.error is not None:
            raise self.error

    # --- the thread -------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while self._turn():
                pass
            self._connection.execute("CHECKPOINT")
        except BaseException as error:
            self._fail(error)
        finally:
            self._connection.close()
            self._database.close()
            self.written = self.written._replace(size_bytes=self._database.size_bytes())
            self._on_room()

    def _turn(self) -> bool:
        """One transaction; False when it was the last."""
        with self._changed:
            if not self._closing and not self._flushes and len(self._rows) < self._queue_rows // 4:
                self._changed.wait_for(self._is_wanted, FLUSH_S)
            rows, self._rows, self._bytes = self._rows, [], 0
            samples, self._samples = self._samples, {name: [] for name in _SAMPLES}
            compacted, self._compacted = list(self._compacted), deque()
            flushes, self._flushes = self._flushes, []
            progress, closing = self._progress, self._closing
        if rows or compacted or any(samples.values()):
            self._commit(rows, samples, compacted, progress)
            old = self.written
            self.written = Written(
                old.changes + len(rows),
                old.reports + len(samples["reports"]),
                progress,
                self._database.size_bytes(),
            )
            self._on_room()
        for done in flushes:
            done.set_result(None)
        return not closing

    def _is_wanted(self) -> bool:
        busy = len(self._rows) >= self._queue_rows // 4 or self._bytes >= self._queue_bytes // 4
        return self._closing or bool(self._flushes) or busy

    def _commit(
        self,
        rows: list[Row],
        samples: dict[str, list[tuple[Any, ...]]],
        compacted: list[int],
        progress: int,
    ) -> None:
        connection = self._connection
        connection.begin()
        if rows:
            self._insert(to_arrow(rows), INSERT_ROWS)
        for name, values in samples.items():
            if values:
                statement = (
                    f"INSERT INTO {name} SELECT * REPLACE (make_timestamp_ms(at_ms) AS at_ms) "
                    f"FROM {BATCH_NAME}"
                )
                self._insert(_table(name, values), statement)
        for revision in compacted:
            connection.execute("INSERT INTO compaction VALUES (?, true)", [revision])
        if progress:
            connection.execute("INSERT INTO progress VALUES (0, 0, ?)", [progress])
        connection.commit()
        if self._database.log_bytes() > CHECKPOINT_BYTES:
            connection.execute("CHECKPOINT")

    def _insert(self, table: arrow.Table, statement: str) -> None:
        self._connection.register(BATCH_NAME, table)
        try:
            self._connection.execute(statement)
        finally:
            self._connection.unregister(BATCH_NAME)

    def _fail(self, error: BaseException) -> None:
        with self._changed:
            self.error = error
            flushes, self._flushes = self._flushes, []
        for done in flushes:
            done.set_exception(error)


def _table(name: str, rows: list[tuple[Any, ...]]) -> arrow.Table:
    columns = zip(*rows, strict=True)
    arrays = [
        arrow.Array(list(column), kind)
        for column, (_, kind) in zip(columns, _SAMPLES[name], strict=True)
    ]
    return arrow.Table.from_arrays(arrays, names=[column for column, _ in _SAMPLES[name]])


def why(error: BaseException) -> str:
    """What ended a writer, in one line."""
    text = str(error).strip().split("\n")[0]
    return text if isinstance(error, (OSError, duckdb.Error)) else f"{type(error).__name__}: {text}"
