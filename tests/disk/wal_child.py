"""A process that appends to a log and says what it synced, until somebody kills it."""

from __future__ import annotations

import sys
from pathlib import Path

from kvorum.raft.types import Entry, EntryKind, HardState
from kvorum.storage.filesystem import RealDisk
from kvorum.storage.interface import WalMetadata
from kvorum.storage.wal import Wal, has_log


def payload(index: int) -> bytes:
    """What entry ``index`` holds, so that the test can check it without being told."""
    return (b"%d " % index) * (index % 40 + 1)


def main() -> None:
    disk = RealDisk(Path(sys.argv[1]))
    owner = WalMetadata(1, 2)
    last = 0
    if has_log(disk):
        wal, found = Wal.open(disk, owner, segment_bytes=16_384)
        last = found.last_index
    else:
        wal = Wal.create(disk, owner, salt=99, segment_bytes=16_384)
    while True:
        batch = [
            Entry(index, 1, EntryKind.NORMAL, payload(index)) for index in range(last + 1, last + 4)
        ]
        wal.append(HardState(1, 1, last), batch)
        last = wal.sync()
        print(last, flush=True)


if __name__ == "__main__":
    main()
