"""On a full disk: what cannot be written waits until there is room.

Nothing is acknowledged meanwhile, and nothing is lost: entries stay in memory and in the log of the
others, who go on without this member as long as they are a quorum. The node itself lives, answers
what needs no disk and heartbeats. (A failed fsync is no such thing: see ``storage.wal``.)
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from kvorum.limits import DISK_FULL_RETRY_S
from kvorum.raft.types import Entry, HardState, SnapshotMeta
from kvorum.storage.filesystem import is_full
from kvorum.storage.interface import LogStore, WalFull, WalStatistics

log = logging.getLogger(__name__)

_T = TypeVar("_T")


def patiently(deed: Callable[[], _T], what: str, stopping: threading.Event) -> _T:
    """Do it, again and again while the disk is full. Raises what it raises otherwise, and the
    refusal of the full disk once ``stopping`` is set.
    """
    told = False
    while True:
        try:
            done = deed()
        except (WalFull, OSError) as error:
            if isinstance(error, OSError) and not is_full(error):
                raise
            if not told:
                log.error("no space left on device: waiting", extra={"what": what})
                told = True
            if stopping.wait(DISK_FULL_RETRY_S):
                raise
            continue
        if told:
            log.warning("there is space again", extra={"what": what})
        return done


class PatientLog:
    """A log that waits for room; see ``interface.LogStore``."""

    def __init__(self, store: LogStore, stopping: threading.Event) -> None:
        self._store = store
        self._stopping = stopping

    def append(
        self,
        hard_state: HardState | None = None,
        entries: Sequence[Entry] = (),
        snapshot: SnapshotMeta | None = None,
        reset: bool = False,
    ) -> None:
        self._store.append(hard_state, entries, snapshot, reset)

    def flush(self) -> None:
        patiently(self._store.flush, "log", self._stopping)

    def sync(self) -> int:
        return patiently(self._store.sync, "log", self._stopping)

    def mark(self) -> None:
        self._store.mark()

    def cut(self, index: int) -> int:
        return self._store.cut(index)

    def close(self) -> None:
        self._store.close()

    def statistics(self) -> WalStatistics:
        return self._store.statistics()
