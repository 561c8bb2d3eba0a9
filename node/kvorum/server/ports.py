"""What the runtime asks of the things around it, as narrow protocols: tests put their own in place
of any.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import NamedTuple, Protocol, TypeVar

from duckdb import DuckDBPyConnection

from kvorum.history.defragment import Defragmentation
from kvorum.history.pages import Page, Question
from kvorum.history.writer import Durable
from kvorum.replica.effects import (
    AppendHistory,
    CompactHistory,
    DiscardSnapshot,
    Effect,
    InstallSnapshot,
    Persist,
    ReadHistoryEvents,
    ReadHistoryRange,
    SaveSnapshot,
    SendSnapshot,
)
from kvorum.server.latency import NETWORK_BUCKETS_US, Buckets, Histogram, LatencyRing
from kvorum.storage.interface import WalStatistics

_T = TypeVar("_T")


NO_ROUND_TRIPS = Buckets(NETWORK_BUCKETS_US).read()


class Copy(NamedTuple):
    """A defragmentation under way, and which of the files that had this name it copies."""

    generation: int
    work: Defragmentation


class HistoryWork(NamedTuple):
    """What a history's writer has done since the node's start; durations in microseconds."""

    commits: Histogram
    compactions: Histogram
    compacted_rows: int
    # Unix seconds of the last compaction's end; 0: there was none.
    compacted_at_s: float


class DiskPort(Protocol):
    """The log's thread."""

    def persist(self, effects: Sequence[Persist]) -> None:
        """Queue writes."""

    def cut(self, index: int) -> None:
        """Queue the removal of old segments."""

    @property
    def statistics(self) -> WalStatistics:
        """The log's figures."""

    @property
    def fsync(self) -> LatencyRing:
        """How long syncs took."""

    @property
    def writes(self) -> Buckets:
        """How long it took to hand batches to the system, without their syncs."""


class HistoryPort(Protocol):
    """The history's threads; what they find out comes back as inputs."""

    def append(self, effect: AppendHistory) -> None:
        """Queue rows; ``HistoryAdvanced`` follows."""

    def compact(self, effect: CompactHistory) -> None:
        """Queue a compaction; ``HistoryCompacted`` follows."""

    def read_range(self, effect: ReadHistoryRange) -> None:
        """Ask; ``HistoryRecords`` follows."""

    def read_events(self, effect: ReadHistoryEvents) -> None:
        """Ask; ``HistoryEvents`` follows."""

    def read_page(
        self, question: Question, after: tuple[int, int], max_rows: int, max_bytes: int
    ) -> Future[Page]:
        """Ask for a page of kept changes, behind a revision and a sub."""

    def export(
        self, ask: Callable[[DuckDBPyConnection], _T], stopping: threading.Event
    ) -> Future[_T]:
        """Ask a long question, of all that was applied so far."""

    def flush(self, done: Callable[[Future[Durable]], None]) -> None:
        """Commit everything queued so far; ``done`` is called on another thread."""

    def wait_for_exports(self, timeout_s: float) -> None:
        """Wait until the long questions of now are answered. Blocks."""

    def begin_copy(self) -> Copy:
        """A defragmentation of the present file. Blocks."""

    def replace(self, copy: Copy) -> Future[None]:
        """Finish a copy and put it in the place of the file."""

    @property
    def size_bytes(self) -> int:
        """Bytes of the history on disk, free blocks of its file included."""

    @property
    def open_reads(self) -> int:
        """Reads that are under way or wait for a thread."""

    @property
    def work(self) -> HistoryWork:
        """What the writer has done so far."""

    @property
    def in_use_bytes(self) -> int:
        """The same without the free blocks."""


class SnapshotsPort(Protocol):
    """Snapshot files and the staging of those that arrive; ``SnapshotSaved`` and
    ``SnapshotInstalled`` follow.
    """

    def save(self, effect: SaveSnapshot) -> None:
        """Write a snapshot file."""

    def install(self, effect: InstallSnapshot) -> None:
        """Put staged files in place."""

    def discard(self, effect: DiscardSnapshot) -> None:
        """Let staged files go."""

    @property
    def pending(self) -> int:
        """Staged snapshots that are neither installed nor gone."""

    @property
    def saves(self) -> Buckets:
        """How long it took to write snapshot files."""


class PeerFigures(NamedTuple):
    """This node's own connection to a peer."""

    id: int
    connected: bool
    round_trip_us: int
    sent_bytes: int
    received_bytes: int
    dropped_messages: int
    round_trips: Histogram = NO_ROUND_TRIPS
    # How often a connection that stood was lost.
    disconnects: int = 0


class PeersPort(Protocol):
    """The other members."""

    def send(self, effect: Effect) -> None:
        """Queue messages (``Send``, ``SendLeaseAsk``, ``SendLeaseAnswer``, ``SendDigest``)."""

    def send_snapshot(self, effect: SendSnapshot) -> None:
        """Begin a transfer; ``SnapshotSent`` follows exactly once."""

    def members_changed(self) -> None:
        """The member table is another."""

    def figures(self) -> Iterable[PeerFigures]:
        """Of every peer."""

    def connected_s(self, id_: int) -> float:
        """For how long this node has been connected to a peer; 0 when it is not."""
