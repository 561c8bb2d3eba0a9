"""A disk without room: a log says so, writes nothing twice, and goes on when there is room."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from kvorum.failpoints import Failpoints, parse
from kvorum.raft.types import Entry, EntryKind, HardState
from kvorum.storage.failing import FailingDisk
from kvorum.storage.filesystem import RealDisk
from kvorum.storage.interface import Verdict, WalFull, WalMetadata
from kvorum.storage.wal import Wal

OWNER = WalMetadata(1, 2)
SEGMENT_BYTES = 8_192


def entries(first: int, count: int) -> list[Entry]:
    return [Entry(n, 1, EntryKind.NORMAL, b"%d " % n * 40) for n in range(first, first + count)]


class FullDisk:
    """``os.pwrite`` and ``os.open`` of a disk that is full for a while: what is written just then
    is written in part.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._pwrite = os.pwrite
        self.countdown = 0
        self.refusals = 0
        self.refused = 0
        monkeypatch.setattr(os, "pwrite", self.pwrite)

    def pwrite(self, descriptor: int, data: bytes, offset: int) -> int:
        """Write all, half, or nothing."""
        self.countdown -= 1
        if self.countdown > 0 or not self.refusals:
            return self._pwrite(descriptor, data, offset)
        if self.countdown == 0 and len(data) > 1:
            return self._pwrite(descriptor, data[: len(data) // 2], offset)
        self.refusals -= 1
        self.refused += 1
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("refusals", [1, 2, 5])
@pytest.mark.parametrize("killed", [False, True])
def test_every_write_of_a_log_finds_the_disk_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusals: int, killed: bool
) -> None:
    """``killed``: the process ends while it waits, so that the log is read as it was left."""
    full, waited = FullDisk(monkeypatch), 0
    for nth in range(1, 14):
        disk = RealDisk(tmp_path / str(nth))
        wal = Wal.create(disk, OWNER, salt=7, segment_bytes=SEGMENT_BYTES)
        full.countdown, full.refusals = nth, refusals
        last = acknowledged = 0
        ended = False
        while last < 150 and not ended:
            wal.append(HardState(1, 1, acknowledged), entries(last + 1, 5))
            last += 5
            while acknowledged < last and not ended:
                try:
                    acknowledged = wal.sync()
                except WalFull:
                    ended = killed
                    waited += 1
        full.refusals = 0
        if not killed:
            wal.close()
        again, found = Wal.open(RealDisk(tmp_path / str(nth)), OWNER)
        again.close()
        assert found.entries == entries(1, found.last_index)
        assert acknowledged <= found.last_index <= last
        if not killed:
            assert (found.last_index, found.verdict) == (last, Verdict.CLEAN)
            assert found.segments > 2
    assert full.refused >= 10
    # A first refusal only means that there is no room for zeros ahead.
    assert waited >= 10 or refusals == 1


def test_no_room_for_another_file_of_the_log(tmp_path: Path) -> None:
    """The one in use grows on until there is, and nobody waits."""
    points = Failpoints(parse("wal_create_before=raise(ENOSPC)*3@2"))
    disk = FailingDisk(RealDisk(tmp_path), "wal", points.hit)
    wal = Wal.create(disk, OWNER, salt=7, segment_bytes=SEGMENT_BYTES)
    for first in range(1, 200, 5):
        wal.append(HardState(1, 1, 0), entries(first, 5))
        assert wal.sync() == first + 4
    wal.close()
    assert points.bitten == {"wal_create_before": 3}
    again, found = Wal.open(RealDisk(tmp_path), OWNER)
    again.close()
    assert (found.entries, found.verdict) == (entries(1, 200), Verdict.CLEAN)
    assert found.segments > 2
