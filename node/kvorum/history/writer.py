"""The one writer of a history: a thread, a queue, and few large transactions.

What a replica applies is queued without waiting; the thread merges it into transactions of some
thousand rows, each carrying the applied index its rows reach. A crash between two transactions so
leaves a history that says exactly how far it goes, and the node applies the rest again from raft's
log. (The incident this is built against: etcd 3.5.0-3.5.2 saved the index in another transaction
than the data.)

Order is the queue's: what is asked of the writer (flush, checkpoint, compaction, a copy) happens
after everything that was queued before. The first error ends the writer: ``on_failure`` hears of
it, waiting callers get it, and every later call raises :class:`HistoryFailed`. On a disk that is
nearly full the writer waits for room.

Long because all that one thread does, and in which order, is read together.
"""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import NamedTuple, TypeVar, cast

import arro3.core as arrow
import duckdb

from kvorum.history.compaction import agree, sweep
from kvorum.history.copying import copy_history
from kvorum.history.database import HistoryDatabase, HistoryFailed, read_progress
from kvorum.history.room import finds_no_room
from kvorum.history.rows import BATCH_NAME, INSERT_ROWS, Batch, Progress, Row, to_arrow
from kvorum.limits import (
    DISK_FULL_RETRY_S,
    HISTORY_BATCH_ROWS,
    HISTORY_CHECKPOINT_BYTES,
    HISTORY_GATHER_S,
    HISTORY_QUEUE_ROWS,
    HISTORY_RESERVE_BYTES,
    HISTORY_SWEEP_CHECKPOINT_ROWS,
)

log = logging.getLogger(__name__)

_T = TypeVar("_T")
_RETRY_S = 0.1
_CHECKPOINT_TRIES = 100


class Durable(NamedTuple):
    """Committed up to here. A start after a crash may find an older state, but never one older than
    ``checkpointed_index``: up to it raft's entries may go.
    """

    applied_index: int
    revision: int
    checkpointed_index: int


class WriterStatistics(NamedTuple):
    """Figures of a writer; durations in nanoseconds."""

    queued_rows: int
    applied_index: int
    revision: int
    checkpointed_index: int
    compact_revision: int
    rows_written: int
    transactions: int
    last_commit_ns: int
    checkpoints: int
    last_checkpoint_ns: int
    size_bytes: int
    log_bytes: int


class NoRoom(Exception):
    """The disk is full, and the writer was told to end."""


class _Job(NamedTuple):
    """Something to do between two transactions."""

    run: Callable[[HistoryWriter], object]
    future: Future[object]
    spares_writer: bool


Unwritten = Sequence[Batch | _Job]
"""What a writer that ended on a full disk leaves to the next one."""


class HistoryWriter:
    """Writes a history from a thread of its own.

    ``on_durable`` is called on that thread after every commit and checkpoint, ``on_failure`` once,
    with the error that ended it, ``on_commit`` with the nanoseconds of each commit. ``failpoint``
    is called with a name at the places where tests crash or hold a node: history_commit_before,
    history_commit_after, history_checkpoint_before, history_checkpoint_after,
    history_sweep_before, history_sweep_after. ``unwritten`` comes first: see ``retire``.
    """

    def __init__(
        self,
        database: HistoryDatabase,
        on_durable: Callable[[Durable], None],
        on_failure: Callable[[BaseException], None],
        failpoint: Callable[[str], None] = lambda name: None,
        on_commit: Callable[[int], None] = lambda took_ns: None,
        gather_s: float = HISTORY_GATHER_S,
        batch_rows: int = HISTORY_BATCH_ROWS,
        queue_rows: int = HISTORY_QUEUE_ROWS,
        unwritten: Unwritten = (),
    ) -> None:
        self._database = database
        self._on_durable = on_durable
        self._on_commit = on_commit
        self._on_failure = on_failure
        self._failpoint = failpoint
        self._gather_s = gather_s
        self._batch_rows = batch_rows
        self._queue_rows = queue_rows
        self._changed = threading.Condition()
        self._queue: deque[Batch | _Job] = deque()
        self._queued_rows = 0
        self._closing = self._full = self._told = False
        self._failure: BaseException | None = None
        self._connection = database.connect()
        found = database.progress()
        self._applied_index = found.applied_index
        self._revision = found.revision
        # What a file holds when it is opened may sit in DuckDB's log alone.
        self._checkpointed_index = 0 if database.log_bytes() else found.applied_index
        self._compact_revision = found.compact_revision
        self._found = (found.applied_index, found.revision)
        self._take_over(unwritten)
        self._self = object()
        self._rows_written = self._transactions = self._checkpoints = 0
        self._last_commit_ns = self._last_checkpoint_ns = 0
        self._thread = threading.Thread(target=self._run, name="history-writer", daemon=True)
        self._thread.start()
        if found.swept_revision < found.compact_revision:
            self._submit(lambda writer: writer._sweep(found.compact_revision))

    def _take_over(self, unwritten: Unwritten) -> None:
        for item in unwritten:
            if isinstance(item, Batch):
                if (item.applied_index, item.revision) <= self._found:
                    continue  # It was committed, although DuckDB said that it failed.
                self._queued_rows += len(item.rows)
            self._queue.append(item)

    # --- asked from outside ----------------------------------------------------------------------

    def append(self, batch: Batch) -> bool:
        """Queue rows; never waits. False: the queue is full, nothing was taken, try after the next
        ``on_durable``. A batch larger than the whole queue is taken when the queue is empty.
        """
        with self._changed:
            self._check()
            if self._queued_rows and self._queued_rows + len(batch.rows) > self._queue_rows:
                return False
            was_empty = not self._queue
            self._queue.append(batch)
            self._queued_rows += len(batch.rows)
            # A writer that gathers rows is left to it until they are enough: waking it for each
            # batch costs more than the batch.
            if was_empty or self._queued_rows >= self._batch_rows:
                self._changed.notify()
        return True

    def flush(self) -> Future[Durable]:
        """Done when everything queued before is committed."""
        return self._submit(HistoryWriter._durable)

    def settle(self) -> Future[Hashable]:
        """The same; another value comes back whenever the history has changed, or is another."""
        return self._submit(lambda self: (self._self, self._transactions, self._compact_revision))

    def checkpoint(self) -> Future[Durable]:
        """Done when everything queued before is in the file proper, out of reach of a torn log."""
        return self._submit(HistoryWriter._checkpoint)

    def compact(self, revision: int) -> Future[int]:
        """Forget what a compaction at ``revision`` no longer keeps; how many rows went."""
        return self._submit(lambda writer: writer._compact(revision))

    def copy_to(self, path: Path) -> Future[Path]:
        """A private copy of the committed history, for reading in another process. OSError when it
        cannot be made (a full disk); the writer goes on.
        """
        return self._submit(lambda _: copy_history(self._database.path, path), spares_writer=True)

    def statistics(self) -> WriterStatistics:
        """Figures for the terminal and /metrics."""
        return WriterStatistics(
            queued_rows=self._queued_rows,
            applied_index=self._applied_index,
            revision=self._revision,
            checkpointed_index=self._checkpointed_index,
            compact_revision=self._compact_revision,
            rows_written=self._rows_written,
            transactions=self._transactions,
            last_commit_ns=self._last_commit_ns,
            checkpoints=self._checkpoints,
            last_checkpoint_ns=self._last_checkpoint_ns,
            size_bytes=self._database.size_bytes(),
            log_bytes=self._database.log_bytes(),
        )

    def close(self) -> None:
        """Write what is queued, checkpoint, end the thread. On a full disk the rest is dropped: the
        log has it. Raises what ended the thread before, if so.
        """
        if self.retire() is not None:
            log.warning("the history was closed behind the log: the disk is full")
            self._drop_queue()

    def retire(self) -> Unwritten | None:
        """The same; but on a full disk the rest is for the next writer of the file, which may
        begin without delay. None: all is written and checkpointed.
        """
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()
        if self._failure is not None:
            raise HistoryFailed(f"the history writer failed: {self._failure}") from self._failure
        return tuple(self._queue) if self._full else None

    def abandon(self) -> None:
        """End without writing what is queued: the file is about to be replaced."""
        self._drop_queue()
        self._thread.join()
        self._drop_queue()  # What the thread had in hand on a full disk.

    def _drop_queue(self) -> None:
        """Take no more, and forget what is queued."""
        with self._changed:
            dropped = [item for item in self._queue if isinstance(item, _Job)]
            self._queue.clear()
            self._queued_rows = 0
            self._closing = True
            self._changed.notify()
        for job in dropped:
            if not job.future.cancel():
                job.future.set_exception(HistoryFailed("the history was closed: the disk is full"))

    # --- the thread ------------------------------------------------------------------------------

    def _submit(
        self, run: Callable[[HistoryWriter], _T], spares_writer: bool = False
    ) -> Future[_T]:
        """Queue a job. ``spares_writer``: its failure is its caller's alone."""
        future: Future[_T] = Future()
        with self._changed:
            self._check()
            self._queue.append(_Job(run, cast("Future[object]", future), spares_writer))
            self._changed.notify()
        return future

    def _check(self) -> None:
        if self._failure is not None:
            raise HistoryFailed(f"the history writer failed: {self._failure}") from self._failure
        if self._closing:
            raise HistoryFailed("the history writer is closed")

    def _run(self) -> None:
        try:
            while self._step():
                pass
            if self._database.log_bytes():
                self._checkpoint()
        except NoRoom:
            self._full = True
        except BaseException as error:
            self._fail(error)
        finally:
            self._connection.close()

    def _fail(self, error: BaseException) -> None:
        with self._changed:
            self._failure = error
            waiting = [item for item in self._queue if isinstance(item, _Job)]
            self._queue.clear()
            self._queued_rows = 0
        for job in waiting:
            job.future.set_exception(HistoryFailed(f"the history writer failed: {error}"))
        self._on_failure(error)

    def _step(self) -> bool:
        """Take the next transaction's rows, or one job; False when closed and empty."""
        taken = self._take()
        if taken is None:
            return False
        if isinstance(taken, _Job):
            self._do(taken)
            return True
        try:
            self._commit(taken)
        except NoRoom:
            with self._changed:
                self._queue.extendleft(reversed(taken))
            raise
        if self._database.log_bytes() > HISTORY_CHECKPOINT_BYTES:
            self._checkpoint()
        return True

    def _take(self) -> list[Batch] | _Job | None:
        """Wait for work. Rows wait a moment for more rows unless somebody waits behind them."""
        with self._changed:
            while not self._queue:
                if self._closing:
                    return None
                self._changed.wait()
            if isinstance(self._queue[0], _Job):
                job = self._queue.popleft()
                assert isinstance(job, _Job)
                return job
            deadline = time.monotonic() + self._gather_s
            while (
                self._queued_rows < self._batch_rows
                and isinstance(self._queue[-1], Batch)
                and not self._closing
                and (left := deadline - time.monotonic()) > 0
            ):
                self._changed.wait(left)
                if not self._queue:  # Abandoned meanwhile.
                    return None
            return self._take_batches()

    def _take_batches(self) -> list[Batch]:
        batches: list[Batch] = []
        rows = 0
        while self._queue and rows < self._batch_rows:
            head = self._queue[0]
            if isinstance(head, _Job):
                break
            batches.append(head)
            self._queue.popleft()
            rows += len(head.rows)
        self._queued_rows -= rows
        return batches

    def _do(self, job: _Job) -> None:
        # One that another writer of the file has begun runs already.
        if not (job.future.running() or job.future.set_running_or_notify_cancel()):
            return
        try:
            result = job.run(self)
        except NoRoom:
            with self._changed:
                self._queue.appendleft(job)
            raise
        except BaseException as error:
            job.future.set_exception(error)
            if job.spares_writer and isinstance(error, Exception):
                return
            raise
        job.future.set_result(result)

    # --- room ------------------------------------------------------------------------------------

    def _patiently(self, deed: Callable[[], _T], more_bytes: Callable[[], int] | None = None) -> _T:
        """Do it, and again while it finds the disk full. With ``more_bytes`` it is not even tried
        before the disk has so many and the reserve.

        Raises :class:`NoRoom` when the history is closed meanwhile: the log has the rest.
        """
        while True:
            while more_bytes is not None and self._free_bytes() < (
                HISTORY_RESERVE_BYTES + more_bytes()
            ):
                self._pause()
            try:
                done = deed()
            except (duckdb.Error, OSError) as error:
                if not finds_no_room(error):
                    raise
                self._tell(error)
                while not self._look_again():
                    self._pause()
                self._pause()
                continue
            if self._told:
                log.warning("there is space again", extra={"what": "history"})
                self._told = False
            return done

    def _tell(self, error: Exception | None = None) -> None:
        """Say that the disk is full, once; and ``error``, when DuckDB has met it."""
        if not self._told or error is not None:
            met = {} if error is None else {"error": str(error)}
            log.error("no space left on device: the history waits for room", extra=met)
        self._told = True

    def _pause(self) -> None:
        """Wait for room."""
        self._tell()
        with self._changed:
            self._changed.wait_for(lambda: self._closing, DISK_FULL_RETRY_S)
            if self._closing:
                raise NoRoom

    def _free_bytes(self) -> int:
        return shutil.disk_usage(self._database.path.parent).free

    def _look_again(self) -> bool:
        """After a failed write: end its transaction, if DuckDB has not, and see how far the file
        goes; False when not even that can be done on a full disk. HistoryFailed when the file has
        lost what was committed.
        """
        self._connection.close()
        try:
            try:
                found = self._connect()
            except (duckdb.FatalException, duckdb.ConnectionException):
                self._connection.close()
                log.warning("DuckDB gave up on a full disk: opening the history anew")
                self._database.reopen()
                found = self._connect()
        except (duckdb.Error, OSError) as error:
            if not finds_no_room(error):
                raise
            return False
        self._found = (found.applied_index, found.revision)
        if self._found < (self._applied_index, self._revision):
            raise HistoryFailed(f"opened anew, the history ends at index {found.applied_index}")
        return True

    def _connect(self) -> Progress:
        self._connection = self._database.connect()
        return read_progress(self._connection)

    # --- transactions ----------------------------------------------------------------------------

    def _commit(self, batches: list[Batch]) -> None:
        rows: list[Row] = [row for batch in batches for row in batch.rows]
        last = batches[-1]
        table = to_arrow(rows) if rows else None
        self._patiently(lambda: self._insert(table, last), lambda: 0)
        self._failpoint("history_commit_after")
        self._transactions += 1
        self._rows_written += len(rows)
        self._applied_index = last.applied_index
        self._revision = last.revision
        self._on_commit(self._last_commit_ns)
        self._on_durable(self._durable())

    def _insert(self, table: arrow.Table | None, last: Batch) -> None:
        if self._found > (self._applied_index, self._revision):
            return  # It was committed, although DuckDB said that it failed.
        self._failpoint("history_commit_before")
        begun = time.perf_counter_ns()
        connection = self._connection
        connection.begin()
        if table is not None:
            connection.register(BATCH_NAME, table)
            connection.execute(INSERT_ROWS)
            connection.unregister(BATCH_NAME)
        connection.execute(
            "INSERT INTO progress VALUES (?, ?, ?)",
            [last.applied_index, last.applied_term, last.revision],
        )
        connection.commit()
        self._last_commit_ns = time.perf_counter_ns() - begun

    def _durable(self) -> Durable:
        return Durable(self._applied_index, self._revision, self._checkpointed_index)

    def _checkpoint(self) -> Durable:
        """Fold DuckDB's log into the file."""
        self._patiently(self._fold, self._database.log_bytes)
        self._checkpoints += 1
        self._checkpointed_index = self._applied_index
        self._failpoint("history_checkpoint_after")
        self._on_durable(self._durable())
        return self._durable()

    def _fold(self) -> None:
        self._failpoint("history_checkpoint_before")
        begun = time.perf_counter_ns()
        self._connection.execute(
            """
            DELETE FROM progress
            WHERE revision < (SELECT max(revision) FROM progress)
               OR applied_index < (SELECT max(applied_index) FROM progress)
            """
        )
        for attempt in range(1, _CHECKPOINT_TRIES + 1):
            try:
                self._connection.execute("CHECKPOINT")
                break
            except duckdb.TransactionException:
                # Old readers may make DuckDB refuse for a while.
                if attempt == _CHECKPOINT_TRIES:
                    raise
                time.sleep(_RETRY_S)
        self._last_checkpoint_ns = time.perf_counter_ns() - begun
        self._database.measure(self._connection)

    def _compact(self, revision: int) -> int:
        if revision <= self._compact_revision:
            return 0
        self._patiently(lambda: agree(self._connection, revision))
        self._compact_revision = revision
        return self._sweep(revision)

    def _sweep(self, revision: int) -> int:
        def deed() -> int:
            self._failpoint("history_sweep_before")
            return sweep(self._connection, revision)

        removed = self._patiently(deed)
        self._failpoint("history_sweep_after")
        if removed >= HISTORY_SWEEP_CHECKPOINT_ROWS:
            # What is gone makes room for new rows only now.
            self._checkpoint()
        return removed
