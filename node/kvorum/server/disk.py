"""The disk thread: everything that happens to the log, in order, off the event loop.

One thread, one queue in, one callback out. Whatever has queued up while the last fsync ran is
appended together and shares the next: that is group commit, and it needs no timer. On a full
disk it waits; any other failure of the disk is the last thing the thread reports.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Sequence

from kvorum.limits import DISK_BATCH_OPERATIONS
from kvorum.replica.effects import Persist
from kvorum.server.crash import Exit, FatalError
from kvorum.server.latency import DISK_BUCKETS_US, Buckets, LatencyRing
from kvorum.server.patience import PatientLog
from kvorum.storage.interface import LogStore, WalFailed, WalStatistics

# An operation that runs on the thread between writes, in its place in the order.
Operation = Callable[[LogStore], None]


class DiskThread:
    """Owns the log.

    Args:
        loop: where callbacks run.
        store: the log; only this thread touches it from now on.
        on_persisted: called on the loop with the newest durable ticket.
        on_failure: called on the loop with what ended the thread.
        fsync_delay_s: a fault: how long to wait before each fsync.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        store: LogStore,
        on_persisted: Callable[[int], None],
        on_failure: Callable[[BaseException], None],
        fsync_delay_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._loop = loop
        self._wake = threading.Event()
        self._store: LogStore = PatientLog(store, self._wake)
        self._on_persisted = on_persisted
        self._on_failure = on_failure
        self._fsync_delay_s = fsync_delay_s
        self._queue: queue.SimpleQueue[Sequence[Persist] | Operation | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="kvorum-disk", daemon=True)
        self.fsync = LatencyRing()
        self.writes = Buckets(DISK_BUCKETS_US)
        self._statistics: WalStatistics = store.statistics()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def persist(self, effects: Sequence[Persist]) -> None:
        """Queue writes of the log; ``on_persisted`` follows."""
        self._queue.put(effects)

    def perform(self, operation: Operation) -> None:
        """Queue an operation on the log (a cut, an installed snapshot): writes queued later come
        after it.
        """
        self._queue.put(operation)

    def cut(self, index: int) -> None:
        """Queue the removal of segments that hold nothing above ``index``."""
        self.perform(lambda store: _cut(store, index))

    def close(self) -> None:
        """Finish what is queued, close the log and end. Blocks until then."""
        self._queue.put(None)
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    def abandon(self) -> None:
        """The log's writes no longer matter (the process is about to end, or a test crashes the
        node).
        """
        self._wake.set()

    @property
    def statistics(self) -> WalStatistics:
        """The log's figures as of the last write."""
        return self._statistics

    # --- on the thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while self._turn():
                pass
            self._store.close()
        except WalFailed as error:
            fatal = FatalError(f"the log cannot be written: {error}", Exit.DISK)
            fatal.__cause__ = error
            self._report(self._on_failure, fatal)
        except BaseException as error:
            self._report(self._on_failure, error)

    def _turn(self) -> bool:
        """Take what is queued, write it, say so. False when the thread shall end."""
        batch = [self._queue.get()]
        while len(batch) < DISK_BATCH_OPERATIONS:
            try:
                batch.append(self._queue.get_nowait())
            except queue.Empty:
                break
        ticket: int | None = None  # 0 is one, too: a commit index before the first entry
        sync = False
        for item in batch:
            if item is None:
                self._settle(ticket, sync)
                return False
            if callable(item):
                self._settle(ticket, sync)
                ticket, sync = None, False
                item(self._store)
                continue
            for effect in item:
                self._store.append(effect.hard_state, effect.entries)
                ticket = effect.ticket
                sync = sync or effect.sync
        self._settle(ticket, sync)
        self._statistics = self._store.statistics()
        return True

    def _settle(self, ticket: int | None, sync: bool) -> None:
        """Make what was appended durable (or at least written) and report it."""
        if ticket is None:
            return
        started = time.perf_counter_ns()
        self._store.flush()
        written = time.perf_counter_ns()
        self.writes.add((written - started) // 1000)
        if sync:
            delay_s = self._fsync_delay_s()
            if delay_s:
                self._wake.wait(delay_s)
            self._store.sync()
            self.fsync.add((time.perf_counter_ns() - written) // 1000)
        self._report(self._on_persisted, ticket)

    def _report(self, callback: Callable[..., None], *args: object) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:
            # The loop is closed: nobody is left to hear it.
            pass


def _cut(store: LogStore, index: int) -> None:
    store.cut(index)
