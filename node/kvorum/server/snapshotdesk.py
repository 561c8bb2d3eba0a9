"""Snapshots of this node: files cut from the state, and staged ones put in its place.

The order on disk is what makes any crash between two steps harmless: the history reaches the
snapshot and is checkpointed; the file is written whole; then the log notes that it exists. A file
without its note is passed over at boot, a note without its file cannot be.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from kvorum.failpoints import Failpoint, nothing
from kvorum.history.transfer import HistoryImport
from kvorum.history.writer import Durable
from kvorum.machine.apply import encode_image
from kvorum.replica.effects import DiscardSnapshot, InstallSnapshot, SaveSnapshot
from kvorum.replica.inputs import Input, SnapshotInstalled, SnapshotSaved
from kvorum.server.disk import DiskThread
from kvorum.server.historydesk import HistoryDesk
from kvorum.server.latency import DISK_BUCKETS_US, Buckets
from kvorum.server.patience import patiently
from kvorum.storage.filesystem import is_full
from kvorum.storage.interface import Disk, LogStore, SnapshotFile, SnapshotStore

log = logging.getLogger(__name__)


class Staged:
    """A snapshot that arrived: its finished file and its finished history, neither in force."""

    def __init__(self, file: SnapshotFile, history: HistoryImport) -> None:
        self.file = file
        self.history = history


class SnapshotDesk:
    """Everything is called on the loop, unless it says otherwise.

    Args:
        store: snapshot files.
        disk: the directory they lie in.
        post_threadsafe: hands an input to the replica, from any thread.
        call_threadsafe: runs a callback on the loop, from any thread.
        die: ends the process.
        failpoint: places of a snapshot's way.
    """

    def __init__(
        self,
        store: SnapshotStore,
        disk: Disk,
        thread: DiskThread,
        history: HistoryDesk,
        post_threadsafe: Callable[[Input], None],
        call_threadsafe: Callable[[Callable[[], None]], None],
        die: Callable[[BaseException], None],
        failpoint: Failpoint = nothing,
    ) -> None:
        self.failpoint = failpoint
        self.store = store
        self._disk = disk
        self._thread = thread
        self._history = history
        self._post = post_threadsafe
        self._call = call_threadsafe
        self._die = die
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="kvorum-snapshot")
        self._closing = threading.Lock()
        self._closed = False
        self._stopping = threading.Event()
        self._staged: dict[int, Staged] = {}
        self._tokens = 0
        self._installed_index = 0
        # Files that the log refers to, or soon will: a snapshot that arrives once more, and is not
        # wanted any more, is the same file. (By the snapshots' thread; by the disk thread.)
        self._own = set(disk.names())
        self._installed_name = ""
        # Staged snapshots that are neither installed nor gone.
        self.pending = 0
        # How long it took to write snapshot files, until they were durable.
        self.saves = Buckets(DISK_BUCKETS_US)

    # --- own --------------------------------------------------------------------------------------

    def save(self, effect: SaveSnapshot) -> None:
        """Write a snapshot file; ``SnapshotSaved`` follows."""

        def reached(done: Future[Durable]) -> None:
            # On the writer's thread; cancelled when a leader's snapshot overtook this one.
            if done.cancelled() or done.exception() is not None:
                return
            with self._closing:
                if not self._closed:
                    self._pool.submit(self._watched(lambda: self._write(effect)))

        self._history.checkpoint(reached)

    def _write(self, effect: SaveSnapshot) -> None:
        self.failpoint("snapshot_cut_before")
        started_ns = time.perf_counter_ns()
        self._own.intersection_update(self._disk.names())
        file = patiently(
            lambda: self.store.save(effect.meta, effect.revision, encode_image(effect.image)),
            "snapshot",
            self._stopping,
        )
        self._own.add(file.name)
        self.saves.add((time.perf_counter_ns() - started_ns) // 1000)
        self.failpoint("snapshot_cut_after")
        log.info(
            "saved snapshot",
            extra={"snapshot-index": effect.meta.index, "bytes": file.body_bytes},
        )
        self._thread.perform(lambda store: self._mark(store, effect))

    def _mark(self, store: LogStore, effect: SaveSnapshot) -> None:
        # On the disk thread, in its place among the log's writes.
        if effect.meta.index <= self._installed_index:
            return
        store.append(snapshot=effect.meta)
        store.sync()
        self.failpoint("snapshot_cut_marked")
        self._post(SnapshotSaved(effect.meta.index))

    # --- from a leader ----------------------------------------------------------------------------

    def stage(self, staged: Staged) -> int:
        """Keep a snapshot that arrived whole; returns its token."""
        self._tokens += 1
        self.pending += 1
        self._staged[self._tokens] = staged
        return self._tokens

    def install(self, effect: InstallSnapshot) -> None:
        """Put staged files in force; ``SnapshotInstalled`` follows. Later writes come after it."""
        staged = self._staged.pop(effect.token)
        self._history.hold()
        self._thread.perform(lambda store: self._replace(store, staged, effect))

    def _replace(self, store: LogStore, staged: Staged, effect: InstallSnapshot) -> None:
        # On the disk thread.
        self.failpoint("snapshot_install_before")
        self._installed_name = staged.file.name
        self._history.swap(staged.history)
        self.failpoint("snapshot_install_swapped")
        store.append(effect.hard_state, (), effect.meta, reset=True)
        store.sync()
        self.failpoint("snapshot_install_after")
        self._installed_index = effect.meta.index
        self._call(self._settled)
        log.info("installed snapshot", extra={"snapshot-index": effect.meta.index})
        self._post(SnapshotInstalled(effect.token))

    def discard(self, effect: DiscardSnapshot) -> None:
        """Let staged files go."""
        staged = self._staged.pop(effect.token)
        self._pool.submit(self._watched(lambda: self._remove(staged)))

    def _remove(self, staged: Staged) -> None:
        staged.history.abort()
        name = staged.file.name
        if name not in self._own and name != self._installed_name:
            self._disk.remove(name)
        self._call(self._settled)

    def _settled(self) -> None:
        self.pending -= 1

    # --- the thread -------------------------------------------------------------------------------

    def _watched(self, job: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            try:
                job()
            except BaseException as error:
                if self._stopping.is_set() and isinstance(error, OSError) and is_full(error):
                    return  # A snapshot that found no room before the end is no loss.
                cause = error
                self._call(lambda: self._die(cause))

        return run

    def close(self) -> None:
        """Finish what is under way. Blocks."""
        self._stopping.set()
        with self._closing:
            self._closed = True
        self._pool.shutdown(wait=True, cancel_futures=True)
