"""Reads of the history off the event loop: a few threads, a bounded queue, each read stoppable.

Every method returns a :class:`Read` at once; its ``future`` resolves on a reader thread. A read
that takes longer than its time is interrupted and fails with :class:`HistoryInterrupted`. One whose
instance DuckDB gives up meanwhile (``room.py``) is asked again when the file has been opened anew;
a long one, of which somebody has taken a part already, is interrupted.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Generic, TypeVar

import duckdb

from kvorum.history import selects
from kvorum.history.database import HistoryDatabase, HistoryError, HistoryReopening
from kvorum.history.pages import walk
from kvorum.history.rows import Row
from kvorum.history.selects import Bounds, EventsResult, RangeResult
from kvorum.limits import (
    HISTORY_EVENTS_BYTES,
    HISTORY_EXPORT_BYTES,
    HISTORY_EXPORT_ROWS,
    HISTORY_EXPORTS,
    HISTORY_READ_TIMEOUT_S,
    HISTORY_READERS,
    HISTORY_READS_PENDING,
)

_T = TypeVar("_T")
_REOPENED_LOOK_S = 0.02


class HistoryBusy(HistoryError):
    """Too many reads are waiting already."""


class HistoryInterrupted(HistoryError):
    """The read was stopped, by its caller or because its time was up."""


class Read(Generic[_T]):
    """A read under way. ``future`` has its result; ``interrupt`` stops it wherever it is.

    A read of many statements looks at ``stopping`` between them: DuckDB's own interrupt reaches a
    statement only.
    """

    def __init__(
        self,
        ask: Callable[[duckdb.DuckDBPyConnection], _T],
        timeout_s: float,
        stopping: threading.Event | None = None,
        long: bool = False,
    ) -> None:
        self.future: Future[_T] = Future()
        self._ask = ask
        self._timeout_s = timeout_s
        self._long = long
        self._lock = threading.Lock()
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._stopping = stopping or threading.Event()

    def interrupt(self) -> None:
        """Stop the read; harmless when it is over."""
        with self._lock:
            self._stopping.set()
            if self._connection is not None:
                self._connection.interrupt()

    def run(self, database: HistoryDatabase) -> None:
        """Perform the read on the calling thread."""
        if not self.future.set_running_or_notify_cancel():
            return
        timer = threading.Timer(self._timeout_s, self.interrupt)
        timer.daemon = True
        timer.start()
        try:
            result = self._patiently(database)
        except BaseException as error:
            self.future.set_exception(error)
        else:
            self.future.set_result(result)
        finally:
            timer.cancel()

    def _patiently(self, database: HistoryDatabase) -> _T:
        while True:
            generation = database.generation
            try:
                return self._attempt(database)
            except (duckdb.FatalException, HistoryReopening) as error:
                if self._long:
                    raise HistoryInterrupted("the history was opened anew meanwhile") from error
                # If nobody opens it anew it is damaged, and the writer's failure says so.
                while database.generation == generation:
                    if self._stopping.wait(_REOPENED_LOOK_S):
                        raise

    def _attempt(self, database: HistoryDatabase) -> _T:
        with database.using(self.interrupt if self._long else _nothing) as connection:
            with self._lock:
                if self._stopping.is_set():
                    raise HistoryInterrupted("stopped before it began")
                self._connection = connection
            try:
                return self._ask(connection)
            except duckdb.InterruptException as error:
                raise HistoryInterrupted("the read of history was stopped") from error
            finally:
                with self._lock:
                    # From here on an interrupt must not hit a connection that is closed.
                    self._connection = None


def _nothing() -> None:
    """A short read ends soon by itself."""


class HistoryReader:
    """Reads a history from ``threads`` threads of its own, at most ``pending`` reads waiting.

    Methods raise :class:`HistoryBusy` at once; futures fail with HistoryCompacted,
    :class:`HistoryInterrupted`, or duckdb.Error when the file proves damaged.
    """

    def __init__(
        self,
        database: HistoryDatabase,
        threads: int = HISTORY_READERS,
        pending: int = HISTORY_READS_PENDING,
    ) -> None:
        self._database = database
        self._slots = threading.BoundedSemaphore(pending)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="history-reader")
        self._long = ThreadPoolExecutor(HISTORY_EXPORTS, thread_name_prefix="history-export")
        self._lock = threading.Lock()
        self._running: set[Read[object]] = set()
        self._exports: set[Read[object]] = set()

    def range_at(
        self,
        key: bytes,
        range_end: bytes,
        revision: int,
        limit: int = 0,
        keys_only: bool = False,
        count_only: bool = False,
        timeout_s: float = HISTORY_READ_TIMEOUT_S,
    ) -> Read[RangeResult]:
        """Live keys at a revision; see ``selects.range_at``."""
        return self.submit(
            lambda connection: selects.range_at(
                connection, key, range_end, revision, limit, keys_only, count_only
            ),
            timeout_s,
        )

    def events(
        self,
        from_revision: int,
        to_revision: int,
        key: bytes,
        range_end: bytes,
        limit_revisions: int,
        prev: bool = True,
        max_bytes: int = HISTORY_EVENTS_BYTES,
        timeout_s: float = HISTORY_READ_TIMEOUT_S,
    ) -> Read[EventsResult]:
        """Changes in whole revisions; see ``selects.events``."""
        return self.submit(
            lambda connection: selects.events(
                connection,
                from_revision,
                to_revision,
                key,
                range_end,
                limit_revisions,
                prev,
                max_bytes,
            ),
            timeout_s,
        )

    def key_history(
        self,
        key: bytes,
        range_end: bytes = b"",
        from_revision: int = 0,
        to_revision: int = 0,
        limit: int = 0,
    ) -> Read[list[Row]]:
        """Every kept row of a key or range; see ``selects.key_history``."""
        return self.submit(
            lambda connection: selects.key_history(
                connection, key, range_end, from_revision, to_revision, limit
            )
        )

    def bounds(self) -> Read[Bounds]:
        """From where to where the history goes."""
        return self.submit(selects.bounds)

    def hash_at(self, revision: int) -> Read[bytes]:
        """Hash of the rows kept up to a revision; see ``selects.hash_at``."""
        return self.submit(lambda connection: selects.hash_at(connection, revision))

    def export(self, to_revision: int, page_rows: int = HISTORY_EXPORT_ROWS) -> Iterator[list[Row]]:
        """All rows up to a revision, oldest first, from one state of the file.

        Runs on the thread that iterates, with a connection of its own; blocking.
        """
        with self._database.using() as connection, selects.snapshot(connection):
            for rows in walk(connection, to_revision, page_rows, HISTORY_EXPORT_BYTES):
                if rows:
                    yield rows

    def submit(
        self,
        ask: Callable[[duckdb.DuckDBPyConnection], _T],
        timeout_s: float = HISTORY_READ_TIMEOUT_S,
        stopping: threading.Event | None = None,
        *,
        long: bool = False,
    ) -> Read[_T]:
        """Run any question of ``selects`` on a reader thread.

        ``long`` ones have threads of their own, so that the others need not wait for them.
        ``stopping`` is set when the read is to end.
        """
        if not self._slots.acquire(blocking=False):
            raise HistoryBusy("too many reads of history are waiting")
        read = Read(ask, timeout_s, stopping, long)
        with self._lock:
            self._running.add(read)  # type: ignore[arg-type]  # only ever interrupted
            if long:
                self._exports.add(read)  # type: ignore[arg-type]  # same
        read.future.add_done_callback(lambda _: self._done(read))  # type: ignore[arg-type]  # same
        (self._long if long else self._pool).submit(read.run, self._database)
        return read

    def drain(self, timeout_s: float, *, long: bool = False) -> None:
        """Wait for the reads that are under way now: the long ones, or all others. Blocks."""
        with self._lock:
            reads = self._exports if long else self._running - self._exports
            futures = [read.future for read in reads]
        wait(futures, timeout_s)

    @property
    def under_way(self) -> int:
        """Reads that run or wait for a thread."""
        return len(self._running)

    def close(self) -> None:
        """Stop all reads, wait for the threads."""
        with self._lock:
            running = list(self._running)
        for read in running:
            read.interrupt()
        self._pool.shutdown(wait=True)
        self._long.shutdown(wait=True)

    def _done(self, read: Read[object]) -> None:
        with self._lock:
            self._running.discard(read)
            self._exports.discard(read)
        self._slots.release()
