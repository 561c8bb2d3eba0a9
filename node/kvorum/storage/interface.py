"""What the node asks of its durable storage, and what storage asks of a disk.

Two layers of narrow protocols. Above: :class:`LogStore` (the raft log and hard state) and
:class:`SnapshotStore` (raft snapshot files), which the node's disk thread and the simulator call.
Below: :class:`Disk` and :class:`File`, one directory's worth of a file system. The write-ahead log
and the snapshot files are written once, over ``Disk``, and run unchanged on the real file system
(``filesystem.py``) and on the simulated one that forgets what was not synced (``memory.py``).

Nothing here does input or output; the stores block and belong on a thread of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Protocol

from kvorum.raft.types import Entry, HardState, SnapshotMeta


class WalMetadata(NamedTuple):
    """Whose log this is. A log of another cluster or member is refused."""

    cluster_id: int
    member_id: int


class Verdict(Enum):
    """What recovery found. The other two verdicts, corrupt and lost, are exceptions: nobody may
    live on with them.
    """

    CLEAN = "clean"
    TORN = "torn"


class TornTail(NamedTuple):
    """An unfinished write at the log's end, cut off: it was never known to be synced, so nobody
    relied on it.
    """

    file: str
    offset: int
    dropped_bytes: int
    reason: str

    def __str__(self) -> str:
        return (
            f"{self.file}: torn tail at offset {self.offset} ({self.reason}), "
            f"{self.dropped_bytes} unsynced bytes cut"
        )


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a log holds after a restart.

    ``entries`` are contiguous and follow ``snapshot`` (or start at index 1 without one). ``older``
    are the contiguous entries before them that still lie in the log: they serve slow followers and
    a start from an older snapshot file. ``snapshots`` are the markers found, oldest first;
    ``snapshot`` is the newest.
    """

    metadata: WalMetadata
    hard_state: HardState | None
    snapshot: SnapshotMeta | None
    snapshots: tuple[SnapshotMeta, ...]
    entries: list[Entry]
    older: list[Entry]
    verdict: Verdict
    torn: TornTail | None
    segments: int
    bytes_read: int

    @property
    def last_index(self) -> int:
        """Index of the newest entry, or of the snapshot when no entry follows it (0 for an empty
        log).
        """
        if self.entries:
            return self.entries[-1].index
        return self.snapshot.index if self.snapshot else 0

    def since(self, meta: SnapshotMeta | None) -> list[Entry]:
        """Entries after another snapshot than the newest, for a start from an older snapshot file.

        Raises ValueError when entries between that snapshot and the log's first one are gone.
        """
        after = meta.index if meta else 0
        run = self.older + self.entries
        if run and run[0].index > after + 1:
            raise ValueError(f"log starts at {run[0].index}, snapshot ends at {after}")
        if not run and self.snapshot is not None and self.snapshot.index > after:
            raise ValueError(f"log is empty after {self.snapshot.index}, snapshot ends at {after}")
        return run[after + 1 - run[0].index :] if run else []


class WalStatistics(NamedTuple):
    """Figures of a log: sizes in bytes, durations in nanoseconds."""

    segments: int
    bytes: int
    first_index: int
    last_index: int
    synced_index: int
    syncs: int
    last_sync_ns: int
    # All that was ever written since the start.
    written_bytes: int = 0


class WalError(Exception):
    """Base of everything the log raises on purpose."""


class WalFailed(WalError):
    """A write or fsync failed. The log is dead: what the disk holds is unknown until it is read
    again at a restart.

    ``errno`` is the operating system's, 0 when the failure was not its own.
    """

    def __init__(self, message: str, errno: int = 0) -> None:
        super().__init__(message)
        self.errno = errno


class WalFull(WalFailed):
    """There is no room for a write. Unlike after other failures nothing is lost or unknown: what
    was to be written waits, and the same call may be made again when there is room. Whoever will
    not wait treats it as any failure.
    """


class WalCorrupt(WalError):
    """Bytes that were known to be synced are not what was written. Never cut: set the file aside
    and rejoin.

    ``index`` is the last entry readable before the damage, ``synced_index`` the highest one known
    to have been synced.
    """

    def __init__(self, file: str, offset: int, index: int, synced_index: int, reason: str) -> None:
        super().__init__(
            f"{file}: corrupt at offset {offset}: {reason} "
            f"(last good entry {index}, synced up to {max(index, synced_index)})"
        )
        self.file = file
        self.offset = offset
        self.index = index
        self.synced_index = synced_index
        self.reason = reason


class WalLost(WalError):
    """The directory of a known member holds no log, or somebody else's."""


class SnapshotBroken(Exception):
    """A snapshot file fails its checks; names the file, the offset and what is wrong."""

    def __init__(self, file: str, offset: int, reason: str) -> None:
        super().__init__(f"{file}: broken at offset {offset}: {reason}")
        self.file = file
        self.offset = offset
        self.reason = reason


class LogStore(Protocol):
    """The durable raft log. ``append`` buffers, ``sync`` makes durable; order is kept. Errors:
    :class:`WalFailed`, and of these :class:`WalFull` where something is written.
    """

    def append(
        self,
        hard_state: HardState | None = None,
        entries: Sequence[Entry] = (),
        snapshot: SnapshotMeta | None = None,
        reset: bool = False,
    ) -> None:
        """Take records: the snapshot marker first, then entries (they may overwrite a suffix), then
        the hard state.

        ``reset`` says that the snapshot came from a leader and that all earlier entries are void; a
        snapshot beyond the last entry says so by itself.
        """

    def flush(self) -> None:
        """Hand buffered records to the operating system without waiting for the disk."""

    def sync(self) -> int:
        """Make everything appended durable with one write and one fdatasync; returns the last
        durable index.
        """

    def mark(self) -> None:
        """Note in the log, unsynced, that all of it is synced; for an idle moment."""

    def cut(self, index: int) -> int:
        """Remove whole old segments whose entries are all at or below ``index``; returns how many
        went.
        """

    def close(self) -> None:
        """Sync, note the sync in the log, and let go of the files."""

    def statistics(self) -> WalStatistics:
        """Figures for the terminal and /metrics."""


class SnapshotFile(NamedTuple):
    """A snapshot on disk, checked: ``body_bytes`` without headers and checksums."""

    name: str
    meta: SnapshotMeta
    revision: int
    body_bytes: int


class SnapshotWriter(Protocol):
    """A snapshot that arrives in pieces. Nothing is visible before ``finish`` returns."""

    def write(self, chunk: bytes) -> None:
        """Append body bytes."""

    def finish(self) -> SnapshotFile:
        """Seal, sync and name the file."""

    def abort(self) -> None:
        """Drop what was written."""


class SnapshotStore(Protocol):
    """Raft snapshot files: written whole or not at all, verified before use, a few kept."""

    def begin(self, meta: SnapshotMeta, revision: int) -> SnapshotWriter:
        """Start a file that is filled piece by piece."""

    def save(self, meta: SnapshotMeta, revision: int, chunks: Iterable[bytes]) -> SnapshotFile:
        """Write a whole snapshot from a stream of pieces."""

    def load(self, allowed: Sequence[SnapshotMeta] | None = None) -> SnapshotFile | None:
        """The newest snapshot whose every byte checks out, or None. Broken ones are set aside on
        the way.
        """

    def discard_unmarked(self, allowed: Sequence[SnapshotMeta]) -> list[str]:
        """Remove files without a marker in the log; their names. For a start, after ``load``."""

    def chunks(self, snapshot: SnapshotFile) -> Iterator[bytes]:
        """The body, piece by piece, checked again while it is read."""


class File(Protocol):
    """One file being appended to."""

    @property
    def size(self) -> int:
        """Bytes written so far: where the next append goes."""

    def append(self, data: bytes) -> None:
        """Write all of ``data`` at the end. OSError when the disk refuses."""

    def sync(self) -> None:
        """Wait until the bytes (not the name) are on the disk: fdatasync. OSError when the disk
        refuses.
        """

    def close(self) -> None:
        """Give back space reserved ahead of the end, and the handle. Does not sync."""


class Disk(Protocol):
    """One directory. A new, renamed or removed name is durable only after ``sync_directory``."""

    def names(self) -> list[str]:
        """Names of the plain files, sorted."""

    def size(self, name: str) -> int:
        """Length of a file in bytes."""

    def create(self, name: str, ahead_bytes: int = 0) -> File:
        """Make a new file (FileExistsError if there). ``ahead_bytes``: reserve space with zeros in
        steps of this.
        """

    def open(self, name: str, ahead_bytes: int = 0) -> File:
        """Open a file to append at its end."""

    def read(self, name: str, offset: int, size: int) -> bytes:
        """At most ``size`` bytes from ``offset``; fewer only at the end of the file."""

    def truncate(self, name: str, size: int) -> None:
        """Cut a file to ``size`` bytes and wait until that is on the disk."""

    def rename(self, old: str, new: str) -> None:
        """Give a file another name, replacing what had it."""

    def remove(self, name: str) -> None:
        """Take a name away."""

    def sync_directory(self) -> None:
        """Wait until names are on the disk."""

    def free_bytes(self) -> int:
        """Space left for this process."""
