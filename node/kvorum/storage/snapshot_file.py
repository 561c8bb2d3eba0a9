"""Raft snapshot files: a header, the machine's image in checked chunks, and a seal (thesis chapter
5).

``<term>-<index>.snap``, both in 16 hex digits::

    magic 8 | header length u32 | header crc u32 | header: meta as in the log, revision i64
    chunk length u32 | chunk crc u32 | bytes          (any number; length 1 and up)
    0 u32 | seal crc u32 | chunks u64 | body length u64 | BLAKE2b-256 of the body

A file is written under a temporary name, synced and renamed, so that a name that ends in ``.snap``
was once whole. What the disk did to it later is found by :meth:`Snapshots.load`, which reads every
byte before it trusts one, renames a broken file to ``.broken`` and tries the next older. Bodies are
streamed both ways: a chunk is all that is ever in memory.
"""

from __future__ import annotations

import hashlib
import itertools
import struct
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence

import google_crc32c

from kvorum.limits import SNAPSHOT_CHUNK_BYTES, SNAPSHOT_FILES_KEPT
from kvorum.raft.types import SnapshotMeta
from kvorum.storage.interface import Disk, File, SnapshotBroken, SnapshotFile
from kvorum.storage.record import SnapshotMark, decode_snapshot, encode_snapshot

_MAGIC = b"kvorumS1"
_SUFFIX = ".snap"
_TEMPORARY = ".tmp"
_BROKEN = ".broken"
_FRAME = struct.Struct("<II")
_REVISION = struct.Struct("<q")
_SEAL = struct.Struct("<QQ32s")
_HEADER_BYTES_MAX = 1024 * 1024  # A configuration of 100,000 members; more is a damaged length.


def snapshot_name(meta: SnapshotMeta) -> str:
    """File name of a snapshot."""
    return f"{meta.term:016x}-{meta.index:016x}{_SUFFIX}"


class Snapshots:
    """The snapshot files of one directory; see ``interface.SnapshotStore``.

    ``report`` hears of every broken file (its error names file, offset and reason). OSErrors of the
    disk pass through. Several may be in the making at once, on different threads, even of one name:
    the state at an index is one, so that whichever is finished last is as good as the other.
    """

    def __init__(
        self,
        disk: Disk,
        report: Callable[[SnapshotBroken], None],
        keep: int = SNAPSHOT_FILES_KEPT,
    ) -> None:
        self._disk = disk
        self._report = report
        self._keep = keep
        self._begun = itertools.count()
        self._purging = threading.Lock()
        for name in disk.names():
            if name.endswith(_TEMPORARY):
                disk.remove(name)

    def begin(self, meta: SnapshotMeta, revision: int) -> Writer:
        """See ``interface.SnapshotStore.begin``."""
        draft = f"{snapshot_name(meta)}.{next(self._begun)}{_TEMPORARY}"
        return Writer(self._disk, draft, meta, revision, self._purge)

    def save(self, meta: SnapshotMeta, revision: int, chunks: Iterable[bytes]) -> SnapshotFile:
        """See ``interface.SnapshotStore.save``. Nothing is left behind when the stream or the disk
        fails.
        """
        writer = self.begin(meta, revision)
        try:
            for chunk in chunks:
                writer.write(chunk)
            return writer.finish()
        except BaseException:
            writer.abort()
            raise

    def load(self, allowed: Sequence[SnapshotMeta] | None = None) -> SnapshotFile | None:
        """See ``interface.SnapshotStore.load``.

        ``allowed``: the markers of the log. A file without one was never finished from the node's
        point of view and is passed over; None takes any.
        """
        for name in reversed(self.names()):
            try:
                found = self.verify(name)
            except SnapshotBroken as broken:
                self._set_aside(name)
                self._report(broken)
                continue
            if allowed is None or found.meta in allowed:
                return found
        return None

    def discard_unmarked(self, allowed: Sequence[SnapshotMeta]) -> list[str]:
        """Remove files that the log has no marker for, newest and oldest alike; their names.

        For a start: a process that died between staging a snapshot and marking it leaves one, and
        a few of them would push the good ones out of the number kept.
        """
        marked = {snapshot_name(meta) for meta in allowed}
        unmarked = [name for name in self.names() if name not in marked]
        for name in unmarked:
            self._disk.remove(name)
        return unmarked

    def names(self) -> list[str]:
        """Snapshot files by index, oldest first."""
        names = [name for name in self._disk.names() if name.endswith(_SUFFIX)]
        return sorted(names, key=lambda name: (name[17:33], name[:16]))

    def verify(self, name: str) -> SnapshotFile:
        """Read a whole file; raises :class:`SnapshotBroken` at the first thing wrong."""
        reader = _Reader(self._disk, name)
        body = hashlib.blake2b(digest_size=32)
        count = size = 0
        for chunk in reader.chunks():
            body.update(chunk)
            count += 1
            size += len(chunk)
        if reader.seal != (count, size, body.digest()):
            raise SnapshotBroken(name, reader.offset, "seal does not match the body")
        return SnapshotFile(name, reader.meta, reader.revision, size)

    def chunks(self, snapshot: SnapshotFile) -> Iterator[bytes]:
        """See ``interface.SnapshotStore.chunks``. Raises :class:`SnapshotBroken` in the middle when
        the file changed.
        """
        yield from _Reader(self._disk, snapshot.name).chunks()

    def _set_aside(self, name: str) -> None:
        self._disk.rename(name, name + _BROKEN)
        self._disk.sync_directory()

    def _purge(self) -> None:
        with self._purging:
            for name in self.names()[: -self._keep]:
                self._disk.remove(name)
            broken = [name for name in self._disk.names() if name.endswith(_SUFFIX + _BROKEN)]
            for name in broken[: -self._keep]:
                self._disk.remove(name)


class Writer:
    """A snapshot file in the making; see ``interface.SnapshotWriter``."""

    def __init__(
        self,
        disk: Disk,
        draft: str,
        meta: SnapshotMeta,
        revision: int,
        finished: Callable[[], None],
    ) -> None:
        self._disk = disk
        self._meta = meta
        self._revision = revision
        self._finished = finished
        self._name = snapshot_name(meta)
        self._draft = draft
        self._hash = hashlib.blake2b(digest_size=32)
        self._count = self._size = 0
        self._file: File | None = disk.create(draft)
        header = encode_snapshot(SnapshotMark(meta, False)) + _REVISION.pack(revision)
        try:
            self._file.append(_MAGIC + _frame(header))
        except BaseException:
            self.abort()
            raise

    def write(self, chunk: bytes) -> None:
        """Append body bytes, of any length."""
        file = self._open()
        for start in range(0, len(chunk), SNAPSHOT_CHUNK_BYTES):
            piece = chunk[start : start + SNAPSHOT_CHUNK_BYTES]
            file.append(_frame(piece))
            self._hash.update(piece)
            self._count += 1
            self._size += len(piece)

    def finish(self) -> SnapshotFile:
        """Seal, sync, rename, sync the directory; then older files beyond the number kept go."""
        file = self._open()
        seal = _SEAL.pack(self._count, self._size, self._hash.digest())
        file.append(_FRAME.pack(0, google_crc32c.value(seal)) + seal)
        file.sync()
        file.close()
        self._file = None
        self._disk.rename(self._draft, self._name)
        self._disk.sync_directory()
        self._finished()
        return SnapshotFile(self._name, self._meta, self._revision, self._size)

    def abort(self) -> None:
        """Remove the unfinished file; harmless after ``finish``."""
        if self._file is not None:
            self._file.close()
            self._file = None
            self._disk.remove(self._draft)

    def _open(self) -> File:
        if self._file is None:
            raise ValueError("the snapshot is finished")
        return self._file


class _Reader:
    """One pass over a file. ``seal`` is known once ``chunks`` is exhausted; ``offset`` is where
    reading stands.
    """

    def __init__(self, disk: Disk, name: str) -> None:
        self._disk = disk
        self._name = name
        self.offset = 0
        self.seal: tuple[int, int, bytes] | None = None
        if self._take(len(_MAGIC)) != _MAGIC:
            raise SnapshotBroken(name, 0, "not a snapshot file of this version")
        header = self._chunk(_HEADER_BYTES_MAX)
        try:
            self.meta = decode_snapshot(header[: -_REVISION.size]).meta
            (self.revision,) = _REVISION.unpack(header[-_REVISION.size :])
        except (struct.error, IndexError) as error:
            raise SnapshotBroken(name, len(_MAGIC), f"header cannot be read: {error}") from error
        if name != snapshot_name(self.meta):
            raise SnapshotBroken(name, len(_MAGIC), "header does not match the file's name")

    def chunks(self) -> Iterator[bytes]:
        while chunk := self._chunk(SNAPSHOT_CHUNK_BYTES):
            yield chunk
        if self._disk.size(self._name) != self.offset:
            raise SnapshotBroken(self._name, self.offset, "bytes after the seal")

    def _chunk(self, limit: int) -> bytes:
        """The next checked chunk; empty at the seal, which is read and kept."""
        start = self.offset
        size, crc = _FRAME.unpack(self._take(_FRAME.size))
        if size > limit:
            raise SnapshotBroken(self._name, start, f"chunk of {size} bytes")
        body = self._take(size or _SEAL.size)
        if google_crc32c.value(body) != crc:
            raise SnapshotBroken(self._name, start, "checksum does not match")
        if size:
            return body
        self.seal = _SEAL.unpack(body)
        return b""

    def _take(self, size: int) -> bytes:
        taken = self._disk.read(self._name, self.offset, size)
        if len(taken) != size:
            raise SnapshotBroken(self._name, self.offset, "file is too short")
        self.offset += size
        return taken


def _frame(body: bytes) -> bytes:
    return _FRAME.pack(len(body), google_crc32c.value(body)) + body
