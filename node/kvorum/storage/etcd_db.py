"""etcd's own database, both ways: the file that Maintenance.Snapshot streams and that etcdctl
snapshot restore starts a cluster from.

Writing takes an :class:`EtcdDbSource`: the state, and the changes in order of their revisions. It
goes through the changes twice (``bolt_write`` says why), first for the size::

    plan = plan_etcd_db(source)              # plan.size_bytes: where remaining_bytes starts
    for block in write_etcd_db(source, plan):
        ...                                  # blocks of 32 KiB; the last one is the seal

The seal is the SHA-256 of everything before it. Pages are multiples of 512 bytes, so a sealed file
has 32 bytes beyond one; that is how readers, etcd's and this one, tell the two kinds of file apart:
snapshots with a seal, and a database copied out of a data directory without.

Reading checks the whole file first, seal, pages, records, and only then gives its contents, so
that nobody restores half of a damaged file; :class:`EtcdDb` is a source itself. What is wrong
raises the :class:`BoltFault` that names it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final, Literal, NamedTuple, Protocol

from google_crc32c import extend

from kvorum.limits import SNAPSHOT_CHUNK_BYTES
from kvorum.storage import etcd_records as records
from kvorum.storage.bolt_page import PAGE_BYTES, BoltFault, Truncated
from kvorum.storage.bolt_read import BoltFile, BucketRef, Claims
from kvorum.storage.bolt_write import Bucket, Plan, measure, write
from kvorum.storage.etcd_records import BadRevision, Change, LeaseRecord
from kvorum.storage.etcd_state import KEY, META, SMALL, EtcdState, decode_state, encode_state

__all__ = [
    "BLOCK_BYTES",
    "SEAL_BYTES",
    "Change",
    "EtcdDb",
    "EtcdDbSource",
    "EtcdState",
    "LeaseRecord",
    "SealMismatch",
    "SealMissing",
    "SealUse",
    "plan_etcd_db",
    "read_etcd_db",
    "write_etcd_db",
]

BLOCK_BYTES: Final = 32 * 1024  # etcd's own size of a snapshot's blob.
SEAL_BYTES: Final = 32

_ALIGNMENT: Final = 512  # What etcd takes for the least size of pages.

SealUse = Literal["required", "optional", "ignored"]
"""A seal must be there and right; may be missing; is not looked at (etcdctl's --skip-hash-check).
"""

_Pair = tuple[bytes, bytes]


class SealMissing(BoltFault):
    """A file without the SHA-256 that a snapshot ends with."""

    fault = "SHA-256 missing"


class SealMismatch(BoltFault):
    """A file that is not what was sealed."""

    fault = "SHA-256 mismatch"


class BucketMissing(BoltFault):
    """A bbolt file that is not etcd's: it lacks a bucket that etcd always has."""

    fault = "bucket missing"


class EtcdDbSource(Protocol):
    """What a database is written from. Both answers must stay the same until it is written."""

    @property
    def state(self) -> EtcdState:
        """Everything but the changes."""

    def changes(self) -> Iterable[Change]:
        """The kept changes, ascending by (revision, sub). Asked for twice."""


class DbStatus(NamedTuple):
    """What etcdctl snapshot status tells of a file: ``hash`` is the CRC-32C over the buckets'
    names, keys and values; ``total_keys`` counts the pairs of all buckets.
    """

    hash: int
    revision: int
    total_keys: int
    size_bytes: int


def plan_etcd_db(source: EtcdDbSource, page_bytes: int = PAGE_BYTES) -> Plan:
    """The layout of the file; ``size_bytes`` is its size without the seal.

    Raises BoltWriteError for changes out of order and the like.
    """
    return measure(_buckets(source), page_bytes)


def write_etcd_db(source: EtcdDbSource, plan: Plan | None = None) -> Iterator[bytes]:
    """The file in blocks of :data:`BLOCK_BYTES` (the last may be shorter), and then its seal of
    :data:`SEAL_BYTES` as a block of its own.

    Raises BoltWriteError, also when the source does not give what was planned for.
    """
    sealing = hashlib.sha256()
    waiting = bytearray()
    for page in write(_buckets(source), plan or plan_etcd_db(source)):
        waiting += page
        while len(waiting) >= BLOCK_BYTES:
            block = bytes(waiting[:BLOCK_BYTES])
            del waiting[:BLOCK_BYTES]
            sealing.update(block)
            yield block
    if waiting:
        sealing.update(waiting)
        yield bytes(waiting)
    yield sealing.digest()


def _buckets(source: EtcdDbSource) -> list[Bucket]:
    small = encode_state(source.state)
    buckets = [Bucket(name, _kept(pairs)) for name, pairs in small.items()]
    return [*buckets, Bucket(KEY, lambda: _change_pairs(source))]


def _kept(pairs: list[_Pair]) -> Callable[[], Iterable[_Pair]]:
    return lambda: pairs


def _change_pairs(source: EtcdDbSource) -> Iterator[_Pair]:
    """The pairs of the changes, and one without a change when the revision goes beyond them."""
    last = 1
    for change in source.changes():
        last = change.revision
        yield records.encode_change(change)
    state = source.state
    if state.revision > max(last, state.compact_revision):
        yield records.revision_key(state.revision), b""


def read_etcd_db(path: Path, seal: SealUse = "required") -> EtcdDb:
    """Check the file at ``path`` from end to end and open it; close what is returned.

    Raises :class:`BoltFault`, and OSError when the file cannot be read.
    """
    size = _check_seal(path, seal)
    file = BoltFile(path, size)
    try:
        return EtcdDb(file)
    except BaseException:
        file.close()
        raise


def _check_seal(path: Path, seal: SealUse) -> int:
    """The size of the pages, once their seal was found to be right."""
    size = os.stat(path).st_size
    extra = size % _ALIGNMENT
    if extra not in (0, SEAL_BYTES):
        raise Truncated(f"{size} bytes are neither whole pages nor whole pages with a SHA-256")
    if not extra:
        if seal == "required":
            raise SealMissing(f"{size} bytes; a file copied from a data directory has none")
        return size
    size -= SEAL_BYTES
    if seal == "ignored":
        return size
    found = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        left = size
        while left and (data := file.read(min(left, SNAPSHOT_CHUNK_BYTES))):
            found.update(data)
            left -= len(data)
        wanted = file.read(SEAL_BYTES)
    if found.digest() != wanted:
        raise SealMismatch(f"{found.hexdigest()} instead of {wanted.hex()}")
    return size


class EtcdDb:
    """An etcd database that was found sound; a context manager, and a source for another one.

    ``status`` is what etcdctl would say of the file. Made by :func:`read_etcd_db`.
    """

    def __init__(self, file: BoltFile) -> None:
        self._file = file
        self._claims: Claims = file.claims()
        self._hash = 0
        self._pairs = 0
        self._buckets = file.buckets(self._claims)
        for name in (KEY, META):
            if name not in self._buckets:
                raise BucketMissing(f"{name.decode()!r}; this is no database of etcd")
        self.changes_total = 0
        small, last = self._read_all()
        file.check_pages(self._claims)
        self.state = decode_state(small, last)
        size = file.meta.pages * file.meta.page_bytes
        self.status = DbStatus(self._hash, last, self._pairs, size)

    def __enter__(self) -> EtcdDb:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def changes(self) -> Iterator[Change]:
        """The kept changes by (revision, sub), read while they are asked for."""
        for key, value in self._file.pairs(self._buckets[KEY]):
            change = records.decode_change(key, value)
            if change is not None:
                yield change

    def _read_all(self) -> tuple[dict[bytes, list[_Pair]], int]:
        """Go through every bucket once; the pairs of the small ones, and the last revision."""
        small: dict[bytes, list[_Pair]] = {name: [] for name in SMALL}
        last = 0
        for name, bucket in self._buckets.items():
            self._hash = extend(self._hash, name)
            if name == KEY:
                last = self._check_changes(bucket)
                continue
            for pair in self._counted(bucket):
                if name in small:
                    small[name].append(pair)
        return small, last

    def _check_changes(self, bucket: BucketRef) -> int:
        main, sub = 0, -1
        for key, value in self._counted(bucket):
            before = main, sub
            main, sub, _ = records.decode_revision(key)
            if (main, sub) <= before:
                raise BadRevision(f"{main}_{sub} after {before[0]}_{before[1]}")
            self.changes_total += records.decode_change(key, value) is not None
        return main

    def _counted(self, bucket: BucketRef) -> Iterator[_Pair]:
        for key, value in self._file.pairs(bucket, self._claims):
            self._hash = extend(extend(self._hash, key), value)
            self._pairs += 1
            yield key, value
