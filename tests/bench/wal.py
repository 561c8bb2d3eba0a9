"""Prints what the write-ahead log costs here: append and fdatasync per batch, and replay speed.

Run as ``python tests/bench/wal.py [directory]``; the directory should lie on the disk of interest.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from kvorum.raft.types import Entry, EntryKind, HardState
from kvorum.storage.filesystem import RealDisk
from kvorum.storage.interface import WalMetadata
from kvorum.storage.wal import Wal

ENTRY_BYTES = 300
BATCHES = 1000


def measure_batches(directory: Path, size: int) -> str:
    """Median and p99, in microseconds, of one batch: append alone, and with sync."""
    wal = Wal.create(RealDisk(directory), WalMetadata(1, 1), salt=1)
    data = bytes(range(256)) + bytes(ENTRY_BYTES - 256)
    encode, whole = [], []
    index = 0
    for _ in range(BATCHES):
        entries = [Entry(index + n, 1, EntryKind.NORMAL, data) for n in range(1, size + 1)]
        index += size
        begun = time.perf_counter()
        wal.append(HardState(1, 1, index - size), entries)
        encode.append(time.perf_counter() - begun)
        wal.sync()
        whole.append(time.perf_counter() - begun)
    wal.close()
    encode.sort()
    whole.sort()
    return (
        f"batch of {size:3d} x {ENTRY_BYTES} B: append {encode[BATCHES // 2] * 1e6:6.1f} us, "
        f"with write and fdatasync p50 {whole[BATCHES // 2] * 1e6:6.0f} us, "
        f"p99 {whole[BATCHES * 99 // 100] * 1e6:6.0f} us"
    )


def measure_replay(directory: Path, batch: int, total_bytes: int) -> str:
    """Write a log of about ``total_bytes`` and read it back."""
    wal = Wal.create(RealDisk(directory), WalMetadata(1, 1), salt=1)
    index = 0
    data = bytes(ENTRY_BYTES)
    while index * (ENTRY_BYTES + 24) < total_bytes:
        entries = [Entry(index + n, 1, EntryKind.NORMAL, data) for n in range(1, batch + 1)]
        index += batch
        wal.append(HardState(1, 1, index - batch), entries)
        if index % 4096 == 0:
            wal.sync()
    wal.close()
    begun = time.perf_counter()
    wal, found = Wal.open(RealDisk(directory))
    took = time.perf_counter() - begun
    wal.close()
    assert found.last_index == index
    return (
        f"replay, {batch:3d} entries a record: {found.bytes_read / took / 1e6:5.0f} MB/s, "
        f"{index / took:8.0f} entries/s ({found.segments} segments)"
    )


def main() -> None:
    where = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory(dir=where) as name:
        for size in (1, 16, 64):
            print(measure_batches(Path(name) / f"batch{size}", size))
        for batch in (1, 64):
            print(measure_replay(Path(name) / f"replay{batch}", batch, 96 * 1024 * 1024))


if __name__ == "__main__":
    main()
