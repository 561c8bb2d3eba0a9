"""The history's threads, as the runtime sees them: effects in, inputs back, nothing waits.

Rows that the writer's bounded queue has no room for stay here, in their order, until it has; the
replica bounds them (``limits.WINDOW_HARD_EVENTS``: it refuses proposals when the history does not
get on). While an installed snapshot or a defragmentation swaps the file, everything waits here:
reads are answered from the new one.

Long because the file in use is one secret: who may touch it, and when it becomes another.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import duckdb

from kvorum.failpoints import Failpoint, nothing
from kvorum.history import pages
from kvorum.history.database import HistoryDatabase, HistoryFailed, read_progress
from kvorum.history.defragment import Defragmentation
from kvorum.history.reader import HistoryBusy, HistoryInterrupted, HistoryReader
from kvorum.history.rows import Batch, EventRow, Identity, Row
from kvorum.history.selects import EventsResult, RangeResult
from kvorum.history.transfer import HistoryImport
from kvorum.history.writer import Durable, HistoryWriter, Unwritten
from kvorum.limits import DEFRAGMENT_READS_S, SNAPSHOT_STREAM_TIMEOUT_S
from kvorum.machine import operations as ops
from kvorum.machine.events import Event
from kvorum.machine.record import Record
from kvorum.replica.effects import (
    AppendHistory,
    CompactHistory,
    HistoryRow,
    ReadHistoryEvents,
    ReadHistoryRange,
)
from kvorum.replica.inputs import (
    HistoryAdvanced,
    HistoryCompacted,
    HistoryEvents,
    HistoryRecords,
    Input,
)
from kvorum.server.crash import Exit, FatalError
from kvorum.server.latency import COMPACTION_BUCKETS_US, DISK_BUCKETS_US, Buckets
from kvorum.server.ports import Copy, HistoryWork

log = logging.getLogger(__name__)

_T = TypeVar("_T")


class _Queued(NamedTuple):
    """Something that waits its turn: how to begin it (False: not yet), and what to do instead when
    a snapshot replaces the state it belongs to (None: it stays).
    """

    begin: Callable[[], bool]
    drop: Callable[[], None] | None


class LazyRows(Sequence[Row]):
    """Rows of the replica as rows of the history, made where they are read: on the writer's
    thread, not on the loop.
    """

    def __init__(self, rows: tuple[HistoryRow, ...]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Row]:
        return map(row_of, self._rows)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [row_of(row) for row in self._rows[index]]
        return row_of(self._rows[index])


def row_of(row: HistoryRow) -> Row:
    """One change as the history keeps it."""
    event = row.event
    record, prev = event.record, event.prev
    return Row(
        event.revision,
        event.sub,
        event.kind,
        record.key,
        record.value,
        record.create_revision,
        record.version,
        record.lease,
        prev.mod_revision if prev is not None else 0,
        row.at_ms,
        row.member,
        row.user,
    )


class HistoryDesk:
    """The node's history. Everything here is called on the loop, unless it says otherwise.

    Args:
        path, identity: the file and whose it is.
        database: the open history.
        post_threadsafe: hands an input to the replica, from any thread.
        call_threadsafe: runs a callback on the loop, from any thread.
        die: ends the process.
        failpoint: places of the writer and of defragmentations.
    """

    def __init__(
        self,
        path: Path,
        identity: Identity,
        database: HistoryDatabase,
        post_threadsafe: Callable[[Input], None],
        call_threadsafe: Callable[[Callable[[], None]], None],
        die: Callable[[BaseException], None],
        failpoint: Failpoint = nothing,
    ) -> None:
        self.path = path
        self.identity = identity
        self._post = post_threadsafe
        self._call = call_threadsafe
        self._die = die
        self._failpoint = failpoint
        self._waiting: deque[_Queued] = deque()
        self._swaps = 0  # changes of the file under way
        self._swap = threading.Lock()  # held while files change, and at the end
        self._generation = 0
        self._commits = Buckets(DISK_BUCKETS_US)
        self._compactions = Buckets(COMPACTION_BUCKETS_US)
        self._compacted_rows = 0
        self._compacted_at_s = 0.0
        self._open(database)

    def _open(self, database: HistoryDatabase) -> None:
        self._database = database
        self.writer = self._new_writer()
        self.reader = HistoryReader(database)

    def _new_writer(self, unwritten: Unwritten = ()) -> HistoryWriter:
        return HistoryWriter(
            self._database,
            self._durable,
            self._failed,
            self._failpoint,
            on_commit=lambda took_ns: self._commits.add(took_ns // 1000),
            unwritten=unwritten,
        )

    # --- effects ----------------------------------------------------------------------------------

    def append(self, effect: AppendHistory) -> None:
        """Queue rows; ``HistoryAdvanced`` follows."""
        batch = Batch(
            LazyRows(effect.rows), effect.applied_index, effect.applied_term, effect.revision
        )
        self._enqueue(lambda: self.writer.append(batch), drop=lambda: None)

    def compact(self, effect: CompactHistory) -> None:
        """Queue a compaction; ``HistoryCompacted`` follows."""

        def begin() -> bool:
            started_ns = time.perf_counter_ns()
            done = self.writer.compact(effect.revision)
            self._hear(done, lambda done: self._compacted(done, started_ns))
            self._hear(done, lambda _: gone())
            return True

        def gone() -> None:
            # The rows a snapshot brings are compacted as far as its state says.
            self._post(HistoryCompacted(effect.token))

        self._enqueue(begin, gone)

    def _compacted(self, done: Future[int], started_ns: int) -> None:
        # On the writer's thread; cancelled when a snapshot replaced the file.
        if done.cancelled() or done.exception() is not None:
            return
        self._compactions.add((time.perf_counter_ns() - started_ns) // 1000)
        self._compacted_rows += done.result()
        self._compacted_at_s = time.time()

    @property
    def work(self) -> HistoryWork:
        """What the writer has done so far."""
        return HistoryWork(
            self._commits.read(),
            self._compactions.read(),
            self._compacted_rows,
            self._compacted_at_s,
        )

    @property
    def open_reads(self) -> int:
        """Reads that are under way or wait for a thread."""
        return self.reader.under_way

    def read_range(self, effect: ReadHistoryRange) -> None:
        """Ask; ``HistoryRecords`` follows."""
        query = effect.query
        # Only a plain range may be cut by the database: filters and sorts look at all of it.
        plain = not (
            query.min_mod_revision
            or query.max_mod_revision
            or query.min_create_revision
            or query.max_create_revision
            or query.sort_order == ops.SORT_DESCEND
            or query.sort_target != ops.TARGET_KEY
        )

        def begin() -> bool:
            try:
                read = self.reader.range_at(
                    query.key,
                    query.range_end,
                    query.revision,
                    limit=query.limit + 1 if plain and query.limit > 0 else 0,
                    keys_only=plain and query.keys_only,
                    count_only=query.count_only,
                )
            except HistoryBusy as busy:
                self._post(HistoryRecords(effect.token, (), 0, str(busy)))
                return True
            self._hear(read.future, lambda done: self._post(records(effect.token, done)))
            return True

        self._enqueue(begin)

    def read_events(self, effect: ReadHistoryEvents) -> None:
        """Ask; ``HistoryEvents`` follows. A watcher's question waits its turn, however many ask."""

        def begin() -> bool:
            try:
                read = self.reader.events(
                    effect.from_revision,
                    effect.to_revision,
                    effect.key,
                    effect.range_end,
                    effect.max_revisions,
                    prev=effect.prev_kv,
                )
            except HistoryBusy:
                return False
            self._hear(read.future, lambda done: self._answered(effect, done))
            return True

        self._enqueue(begin)

    def read_page(
        self, question: pages.Question, after: tuple[int, int], max_rows: int, max_bytes: int
    ) -> Future[pages.Page]:
        """Ask for a page of kept changes. The future fails with ``HistoryBusy`` when too many ask,
        and with ``HistoryInterrupted`` when it takes too long.
        """
        answer: Future[pages.Page] = Future()

        def begin() -> bool:
            if not answer.set_running_or_notify_cancel():
                return True  # Whoever asked has gone.
            try:
                read = self.reader.submit(
                    lambda connection: pages.page(connection, question, after, max_rows, max_bytes)
                )
            except HistoryBusy as busy:
                answer.set_exception(busy)
            else:
                read.future.add_done_callback(lambda done: _hand_on(done, answer))
            return True

        self._enqueue(begin)
        return answer

    def export(
        self, ask: Callable[[duckdb.DuckDBPyConnection], _T], stopping: threading.Event
    ) -> Future[_T]:
        """Run a long read on a thread of its own, once everything queued so far is committed.

        ``ask`` ends soon after ``stopping`` is set, by its caller or because the history goes away.
        The future fails with ``HistoryInterrupted`` then, and with ``HistoryFailed``.
        """
        answer: Future[_T] = Future()

        def begin() -> bool:
            try:
                read = self.reader.submit(ask, SNAPSHOT_STREAM_TIMEOUT_S, stopping, long=True)
            except HistoryBusy as busy:
                answer.set_exception(busy)
            else:
                read.future.add_done_callback(lambda done: _hand_on(done, answer))
            return True

        def flushed(done: Future[Durable]) -> None:
            if done.cancelled() or done.exception() is not None:
                answer.set_exception(HistoryInterrupted("the history was replaced meanwhile"))
            else:
                self._call(lambda: self._enqueue(begin))

        self.flush(flushed)
        return answer

    def ask_writer(self, ask: Callable[[HistoryWriter], Future[_T]]) -> Future[_T]:
        """Ask the writer of the file in use, after everything queued so far; any thread.

        The future is cancelled when a snapshot replaces the file meanwhile.
        """
        answer: Future[_T] = Future()

        def begin() -> bool:
            try:
                asked = ask(self.writer)
            except HistoryFailed as error:
                answer.set_exception(error)
            else:
                asked.add_done_callback(lambda done: _hand_on(done, answer))
            return True

        self._call(lambda: self._enqueue(begin))
        return answer

    def _answered(self, effect: ReadHistoryEvents, done: Future[EventsResult]) -> None:
        self._post(events(effect.token, done))
        self._call(self._drain)

    # --- order ------------------------------------------------------------------------------------

    def checkpoint(self, done: Callable[[Future[Durable]], None]) -> None:
        """Fold everything queued so far into the file; ``done`` is called on another thread."""

        def begin() -> bool:
            self._hear(self.writer.checkpoint(), done)
            return True

        self._enqueue(begin, lambda: done(_cancelled()))

    def flush(self, done: Callable[[Future[Durable]], None]) -> None:
        """Commit everything queued so far; ``done`` is called on another thread."""

        def begin() -> bool:
            self._hear(self.writer.flush(), done)
            return True

        self._enqueue(begin, lambda: done(_cancelled()))

    def _enqueue(self, begin: Callable[[], bool], drop: Callable[[], None] | None = None) -> None:
        """Begin now, or when what came before has begun."""
        if self._swaps or self._waiting or not begin():
            self._waiting.append(_Queued(begin, drop))

    def _drain(self) -> None:
        while self._waiting and not self._swaps:
            if not self._waiting[0].begin():
                return
            self._waiting.popleft()

    def _hear(self, future: Future[_T], heard: Callable[[Future[_T]], None]) -> None:
        """Call back when it is done, on its thread. A surprise there ends the process: a future
        would only log it, and the replica wait for ever.
        """

        def run(done: Future[_T]) -> None:
            try:
                heard(done)
            except BaseException as error:
                cause = error
                self._call(lambda: self._die(cause))

        future.add_done_callback(run)

    def _durable(self, durable: Durable) -> None:
        # On the writer's thread.
        self._post(HistoryAdvanced(durable.applied_index, durable.revision))
        self._call(self._drain)

    def _failed(self, error: BaseException) -> None:
        # On the writer's thread.
        fatal = FatalError(f"the history cannot be written: {error}", Exit.DISK)
        fatal.__cause__ = error
        self._call(lambda: self._die(fatal))

    # --- an installed snapshot --------------------------------------------------------------------

    def hold(self) -> None:
        """A snapshot is about to be installed: begin nothing more until it is.

        What waits belongs to the state that goes, except questions, which the new one answers too.
        """
        self._swaps += 1
        self._generation += 1
        waiting, self._waiting = self._waiting, deque()
        for item in waiting:
            if item.drop is None:
                self._waiting.append(item)
            else:
                item.drop()

    def swap(self, incoming: HistoryImport) -> None:
        """Put an incoming history in the place of this one. Blocks; called on the disk thread."""
        with self._swap:
            self.writer.abandon()
            self._change_files(lambda: incoming.install(self._failpoint))

    def _change_files(self, install: Callable[[], None]) -> None:
        """Close the file, put another in its place, open that. The writer has ended."""
        self.reader.close()
        self._database.close()
        install()
        self._open(HistoryDatabase(self.path, self.identity))
        self._call(self._swapped)

    def _swapped(self) -> None:
        self._swaps -= 1
        self._drain()

    # --- a copy without holes ---------------------------------------------------------------------

    def begin_copy(self) -> Copy:
        """A defragmentation of the present file. Blocks for some milliseconds."""
        return Copy(self._generation, Defragmentation(self.path, self.identity, self._failpoint))

    def replace(self, copy: Copy) -> Future[None]:
        """Finish a copy and put it in the place of the file: meanwhile everything asked for waits.

        Fails with :class:`HistoryInterrupted` when another file took the place of the one copied,
        and with what went wrong in finishing it: the old file stays in use then.
        """
        answer: Future[None] = Future()
        if self._swaps or copy.generation != self._generation:
            answer.set_exception(HistoryInterrupted("the history was replaced meanwhile"))
            return answer
        self._swaps += 1

        def run() -> None:
            try:
                with self._swap:
                    self._finish(copy.work)
            except BaseException as error:
                answer.set_exception(error)
            else:
                answer.set_result(None)

        threading.Thread(target=run, name="history-replace", daemon=True).start()
        return answer

    def _finish(self, work: Defragmentation) -> None:
        # On a thread of its own.
        # Everything queued is written and checkpointed: the file is whole without its log.
        unwritten = self.writer.retire()
        try:
            if unwritten is not None:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._complete(work)
        except BaseException:
            self._resume(unwritten or ())
            raise
        try:
            self.reader.drain(DEFRAGMENT_READS_S)
            self._change_files(work.install)
        except BaseException as error:
            self._failed(error)
            raise

    def _resume(self, unwritten: Unwritten) -> None:
        """Go on with the old file."""
        try:
            self.writer = self._new_writer(unwritten)
        except BaseException as error:
            self._failed(error)
            raise
        self._call(self._swapped)

    def _complete(self, work: Defragmentation) -> None:
        """Copy the rest."""
        connection = self._database.connect()
        try:
            progress = read_progress(connection)
            work.copy(connection, progress.revision)
        finally:
            connection.close()
        work.finish(progress)

    def wait_for_exports(self, timeout_s: float) -> None:
        """Returns when the long reads of now have ended, or after ``timeout_s``. Blocks; called on
        a thread.
        """
        self.reader.drain(timeout_s, long=True)

    # --- figures and the end ----------------------------------------------------------------------

    @property
    def size_bytes(self) -> int:
        """Bytes of the history on disk."""
        return self._database.size_bytes()

    @property
    def in_use_bytes(self) -> int:
        """The same without the file's free blocks, as of the last checkpoint."""
        return max(0, self._database.size_bytes() - self._database.free_bytes)

    def close(self) -> None:
        """Write what is queued, and close. Blocks."""
        with self._swap:
            self.reader.close()
            self.writer.close()
            self._database.close()


def _cancelled() -> Future[Any]:
    future: Future[Any] = Future()
    future.cancel()
    future.set_running_or_notify_cancel()
    return future


def _hand_on(done: Future[_T], answer: Future[_T]) -> None:
    """One future's fate to another."""
    if done.cancelled():
        answer.cancel()
        answer.set_running_or_notify_cancel()
        return
    error = done.exception()
    if error is not None:
        answer.set_exception(error)
    else:
        answer.set_result(done.result())


def _failure(done: Future[_T]) -> str:
    """Why a read has no result; empty when it has one."""
    if done.cancelled():
        return "the history was replaced meanwhile"
    error = done.exception()
    return "" if error is None else str(error) or type(error).__name__


def records(token: int, done: Future[RangeResult]) -> HistoryRecords:
    """A range's answer as an input."""
    failure = _failure(done)
    if failure:
        return HistoryRecords(token, (), 0, failure)
    result = done.result()
    return HistoryRecords(token, tuple([Record(*x) for x in result.records]), result.count)


def events(token: int, done: Future[EventsResult]) -> HistoryEvents:
    """A watcher's answer as an input."""
    failure = _failure(done)
    if failure:
        return HistoryEvents(token, (), 0, failure)
    result = done.result()
    found = tuple([_event(row) for row in result.events])
    return HistoryEvents(token, found, result.through)


def _event(row: EventRow) -> Event:
    prev = Record(*row.prev) if row.prev is not None else None
    return Event.of(row.revision, row.sub, row.type, Record(*row.record), prev)
