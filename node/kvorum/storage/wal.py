"""The write-ahead log: raft's entries and hard state on disk, the only root of durability (thesis
section 3.8).

Records are appended to segments; ``sync`` is one write and one fdatasync for everything appended
since the last. A suffix that raft overwrites is not erased: at replay later records win. Old
segments go as a whole, once a snapshot covers all that is in them. Every record says how far the
log was known to be synced when it was made (``record.py``), which lets recovery (``replay.py``)
tell a torn write from corruption.

A failed write or fsync leaves the disk in a state nobody knows (after a failed fsync the kernel may
call dirty pages clean, so that a second try succeeds and lies). The log is dead from then on: every
call raises :class:`WalFailed`, and the process should end and read back what is truly there. A full
disk is another matter: a write that finds no room has not happened, :class:`WalFull` says so, and
the same bytes go to the same place when it is tried again.

Rotation is ordered so that a crash at any point leaves a readable log: the full segment is synced,
the new one is written under a temporary name with everything a reader needs if the older ones are
cut (hard state, snapshot markers), synced, renamed, the directory synced; last comes the END record
in the old one, which makes a vanished successor noticed.

All calls block and must come from one thread at a time.

Long because the order of writes, fsyncs and names is one argument, which is read in one piece.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from typing import NoReturn

import google_crc32c

from kvorum.limits import WAL_AHEAD_BYTES, WAL_SEGMENT_BYTES
from kvorum.raft.types import Entry, HardState, SnapshotMeta
from kvorum.storage.filesystem import is_full
from kvorum.storage.interface import (
    Disk,
    File,
    Recovered,
    WalError,
    WalFailed,
    WalFull,
    WalLost,
    WalMetadata,
    WalStatistics,
)
from kvorum.storage.record import (
    Kind,
    SegmentHead,
    SnapshotMark,
    encode_batch,
    encode_segment_head,
    encode_snapshot,
    frame,
    split_entries,
)
from kvorum.storage.replay import (
    Replay,
    Segment,
    add_snapshot,
    recovered,
    replay,
    segment_name,
    segment_names,
)

_TEMPORARY = ".tmp"


class Wal:
    """A raft log on a disk; see ``interface.LogStore``. Made by :meth:`create` or :meth:`open`."""

    def __init__(
        self, disk: Disk, state: Replay, segment_bytes: int, clock_ns: Callable[[], int]
    ) -> None:
        assert state.metadata is not None, "a log belongs to somebody"
        self.metadata = state.metadata
        self._disk = disk
        self._segment_bytes = segment_bytes
        self._clock_ns = clock_ns
        self._segments = state.segments
        self._salt = state.salt
        self._chain = state.chain
        self._hard_state = state.hard_state
        self._snapshots = state.snapshots
        self._first_index = state.entries[0].index if state.entries else state.last_index + 1
        self._last_index = state.last_index
        self._synced_index = state.last_index
        self._synced_offset = state.end
        self._covered_index = self._snapshots[-1].index if self._snapshots else 0
        self._buffer: list[bytes] = []
        self._failure: WalFailed | None = None
        self._syncs = 0
        self._last_sync_ns = 0
        self._written_bytes = 0
        self._marked = False
        self._file: File | None = None

    # --- making one -------------------------------------------------------------------------------

    @classmethod
    def create(
        cls,
        disk: Disk,
        metadata: WalMetadata,
        *,
        salt: int,
        segment_bytes: int = WAL_SEGMENT_BYTES,
        clock_ns: Callable[[], int] = time.perf_counter_ns,
    ) -> Wal:
        """Start a log in a directory that has none. ``salt``: any 32 random bits, see
        ``record.py``.

        Raises WalError when there is one already, :class:`WalFailed` when the disk refuses.
        """
        if segment_names(disk):
            raise WalError("the directory already holds a write-ahead log")
        wal = cls(disk, Replay(metadata=metadata, salt=salt), segment_bytes, clock_ns)
        try:
            _remove_temporaries(disk)
            wal._start_segment(1, 0)
        except OSError as error:
            wal._die("creating the first segment", error)
        return wal

    @classmethod
    def open(
        cls,
        disk: Disk,
        expected: WalMetadata | None = None,
        *,
        segment_bytes: int = WAL_SEGMENT_BYTES,
        clock_ns: Callable[[], int] = time.perf_counter_ns,
    ) -> tuple[Wal, Recovered]:
        """Read a log back, cut a torn tail, and go on behind it.

        Everything returned is durable: what an earlier process wrote without a sync is synced here
        before raft may count on it. Raises WalCorrupt and WalLost (the verdicts nobody may live on
        with), WalFailed when the disk refuses.
        """
        state = replay(disk)
        if expected is not None and state.metadata != expected:
            raise WalLost(f"the log belongs to {state.metadata}, not to {expected}")
        wal = cls(disk, state, segment_bytes, clock_ns)
        try:
            wal._continue(state)
        except OSError as error:
            wal._die("cutting the tail", error)
        return wal, recovered(state)

    def _continue(self, state: Replay) -> None:
        """Make the files end where the records end, so that nothing stale can follow what is
        appended next.
        """
        newest = self._segments[-1]
        bytes_read = newest.size
        if bytes_read > state.end:
            self._disk.truncate(newest.name, state.end)
            newest.size = state.end
        _remove_temporaries(self._disk)
        self._file = self._disk.open(newest.name, WAL_AHEAD_BYTES)
        self._file.sync()
        self._disk.sync_directory()

    # --- appending --------------------------------------------------------------------------------

    def append(
        self,
        hard_state: HardState | None = None,
        entries: Sequence[Entry] = (),
        snapshot: SnapshotMeta | None = None,
        reset: bool = False,
    ) -> None:
        """See ``interface.LogStore.append``. Buffers only; the entries' data is not copied before
        the write.
        """
        self._alive()
        if snapshot is not None:
            reset = reset or snapshot.index > self._last_index
            self._add(Kind.SNAPSHOT, encode_snapshot(SnapshotMark(snapshot, reset)))
            if reset:
                self._snapshots.clear()
                self._first_index = snapshot.index + 1
                self._last_index = self._synced_index = snapshot.index
            add_snapshot(self._snapshots, snapshot)
        if hard_state == self._hard_state:
            hard_state = None
        if not entries and hard_state is None:
            return
        self._check_order(hard_state, entries)
        for piece, last in split_entries(entries):
            # A crash may keep some pieces only: what is known of those is kept with them.
            known = hard_state
            if known is not None and not last:
                known = known._replace(commit=min(known.commit, piece[-1].index))
            self._add(Kind.BATCH, encode_batch(known, piece))
        if hard_state is not None:
            self._hard_state = hard_state
        if entries:
            # An overwritten suffix is no longer what was synced at those indexes.
            self._synced_index = min(self._synced_index, entries[0].index - 1)
            self._first_index = min(self._first_index, entries[0].index)
            self._last_index = entries[-1].index
            newest = self._segments[-1]
            newest.last_index = max(newest.last_index, self._last_index)

    def _check_order(self, hard_state: HardState | None, entries: Sequence[Entry]) -> None:
        """Refuse what a later replay would have to call corrupt."""
        last = self._last_index
        if entries:
            first, last = entries[0].index, entries[-1].index
            if first > self._last_index + 1 or last - first != len(entries) - 1:
                raise ValueError(f"entries {first} to {last} do not follow {self._last_index}")
        if hard_state is not None and hard_state.commit > last:
            raise ValueError(f"commit index {hard_state.commit} is beyond the last entry, {last}")

    def flush(self) -> None:
        """See ``interface.LogStore.flush``."""
        self._alive()
        if not self._buffer:
            return
        data = b"".join(self._buffer)
        try:
            self._open_file().append(data)
        except OSError as error:
            if is_full(error):
                self._buffer = [data]
                said = f"no room for {len(data)} bytes of the log: {error}"
                raise WalFull(said, error.errno or 0) from error
            self._die("writing", error)
        self._buffer.clear()
        self._segments[-1].size += len(data)
        self._written_bytes += len(data)

    def sync(self) -> int:
        """See ``interface.LogStore.sync``. Starts a new segment when this one is full."""
        self.flush()
        file = self._open_file()
        if file.size != self._synced_offset:
            begun = self._clock_ns()
            try:
                file.sync()
            except OSError as error:
                self._die("syncing", error)
            self._last_sync_ns = self._clock_ns() - begun
            self._syncs += 1
            self._synced_offset = file.size
            self._marked = False
        self._synced_index = self._last_index
        self._covered_index = self._snapshots[-1].index if self._snapshots else 0
        if file.size >= self._segment_bytes:
            self._rotate()
        return self._synced_index

    def mark(self) -> None:
        """Note in the log, unsynced, that all of it is synced. For an idle moment: one small write.

        With it even damage to the newest record is seen for what it is, instead of for a torn
        write.
        """
        self._alive()
        if not self._marked and not self._buffer:
            self._add(Kind.MARK, b"")
            self.flush()
            self._marked = True

    def cut(self, index: int) -> int:
        """See ``interface.LogStore.cut``. ValueError when no synced snapshot marker covers
        ``index``.
        """
        self._alive()
        if index > self._covered_index:
            raise ValueError(f"no synced snapshot marker covers entries up to {index}")
        removed = 0
        try:
            while len(self._segments) > 1 and self._segments[0].last_index <= index:
                # Oldest first, each gone for good before the next: a crash leaves no hole in the
                # middle.
                self._disk.remove(self._segments[0].name)
                self._disk.sync_directory()
                removed += 1
                self._first_index = max(self._first_index, self._segments.pop(0).last_index + 1)
        except OSError as error:
            self._die("removing a segment", error)
        return removed

    def close(self) -> None:
        """See ``interface.LogStore.close``. A dead log only lets go of its handle, and what found
        no room was promised to nobody.
        """
        file = self._file
        if file is None:
            return
        try:
            if self._failure is None:
                with contextlib.suppress(WalFull):
                    self.sync()
                    self.mark()
                file = self._open_file()
                file.sync()
        finally:
            self._file = None
            file.close()

    def statistics(self) -> WalStatistics:
        """See ``interface.LogStore.statistics``."""
        return WalStatistics(
            segments=len(self._segments),
            bytes=sum(segment.size for segment in self._segments),
            first_index=self._first_index,
            last_index=self._last_index,
            synced_index=self._synced_index,
            syncs=self._syncs,
            last_sync_ns=self._last_sync_ns,
            written_bytes=self._written_bytes,
        )

    # --- inside -----------------------------------------------------------------------------------

    def _add(self, kind: Kind, payload: bytes) -> None:
        header, body, pad, self._chain = self._frame(kind, payload)
        self._buffer += (header, body, pad)

    def _frame(self, kind: Kind, payload: bytes) -> tuple[bytes, bytes, bytes, int]:
        return frame(
            kind,
            payload,
            salt=self._salt,
            chain=self._chain,
            synced_index=self._synced_index,
            synced_offset=self._synced_offset,
        )

    def _rotate(self) -> None:
        """End a full and synced segment; see the module's head for the order.

        Where there is no room for another, this one grows on, and the next sync tries again.
        """
        full = self._open_file()
        sequence = self._segments[-1].sequence + 1
        before = self._salt, self._chain, self._synced_offset
        end = b"".join(self._frame(Kind.END, b"")[:3])
        try:
            previous_crc = self._chain
            salt = google_crc32c.extend(self._salt, previous_crc.to_bytes(4, "little"))
            self._salt = salt
            self._start_segment(sequence, previous_crc)
        except OSError as error:
            if not is_full(error) or self._segments[-1].sequence == sequence:
                self._die("starting a segment", error)
            self._salt, self._chain, self._synced_offset = before
            self._buffer.clear()
            return
        try:
            self._end(full, end)
        except OSError as error:
            self._die("ending a segment", error)

    def _end(self, full: File, end: bytes) -> None:
        """Close a segment whose successor exists. Without room it stays without its END record, as
        after a crash just here.
        """
        older = self._segments[-2]
        try:
            full.append(end)
        except OSError as error:
            if not is_full(error):
                raise
            full.close()
            self._disk.truncate(older.name, older.size)
            return
        full.sync()
        full.close()
        older.size += len(end)

    def _start_segment(self, sequence: int, previous_crc: int) -> None:
        """Write, sync and name a new segment; appends go there afterwards."""
        first_index = self._last_index + 1
        name = segment_name(sequence, first_index)
        head = SegmentHead(self.metadata, sequence, first_index, previous_crc, self._salt)
        header, payload, pad, self._chain = frame(
            Kind.SEGMENT,
            encode_segment_head(head),
            salt=0,
            chain=0,
            synced_index=self._synced_index,
            synced_offset=0,
        )
        self._buffer = [header, payload, pad]
        self._synced_offset = 0
        for meta in self._snapshots:
            self._add(Kind.SNAPSHOT, encode_snapshot(SnapshotMark(meta, False)))
        if self._hard_state is not None:
            self._add(Kind.BATCH, encode_batch(self._hard_state, ()))
        data = b"".join(self._buffer)
        self._buffer.clear()
        _remove_temporaries(self._disk)
        file = self._disk.create(name + _TEMPORARY, WAL_AHEAD_BYTES)
        try:
            file.append(data)
        except OSError:
            file.close()
            raise
        file.sync()
        self._disk.rename(name + _TEMPORARY, name)
        self._disk.sync_directory()
        self._file = file
        self._synced_offset = file.size
        self._segments.append(Segment(name, sequence, 0, file.size))

    def _open_file(self) -> File:
        if self._file is None:
            raise WalError("the log is closed")
        return self._file

    def _alive(self) -> None:
        if self._failure is not None:
            raise WalFailed(str(self._failure), self._failure.errno)

    def _die(self, doing: str, error: OSError) -> NoReturn:
        self._buffer.clear()
        self._failure = WalFailed(f"write-ahead log failed {doing}: {error}", error.errno or 0)
        raise self._failure from error


def _remove_temporaries(disk: Disk) -> None:
    """A segment that never got its name was never used."""
    for name in disk.names():
        if name.endswith(_TEMPORARY):
            disk.remove(name)


def has_log(disk: Disk) -> bool:
    """Whether the directory holds a log at all, readable or not."""
    return bool(segment_names(disk))
