"""Snapshot files: streamed in and out, whole or not there, the newest good one wins."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from kvorum.failpoints import Failpoints, parse
from kvorum.raft.types import ConfState, SnapshotMeta
from kvorum.storage.failing import FailingDisk
from kvorum.storage.filesystem import RealDisk
from kvorum.storage.interface import SnapshotBroken
from kvorum.storage.memory import MemoryDisk
from kvorum.storage.snapshot_file import Snapshots, snapshot_name

CONF = ConfState((1, 2, 3), (4,), (1, 2), (5,), True)


def meta(index: int, term: int = 1) -> SnapshotMeta:
    return SnapshotMeta(index, term, CONF)


def store(disk: MemoryDisk) -> tuple[Snapshots, list[SnapshotBroken]]:
    broken: list[SnapshotBroken] = []
    return Snapshots(disk, broken.append), broken


def test_a_snapshot_comes_back_in_pieces() -> None:
    disk = MemoryDisk(Random(1))
    snapshots, broken = store(disk)
    chunks = [b"first", b"", Random(2).randbytes(3_000_000), b"last"]
    saved = snapshots.save(meta(7), 41, iter(chunks))
    disk.crash()
    found = Snapshots(disk, broken.append).load()
    assert found == saved
    assert found is not None
    assert (found.meta, found.revision) == (meta(7), 41)
    assert b"".join(snapshots.chunks(found)) == b"".join(chunks)
    assert max(len(chunk) for chunk in snapshots.chunks(found)) <= 1024 * 1024
    assert broken == []


def test_an_empty_image_is_a_snapshot_too() -> None:
    snapshots, _ = store(MemoryDisk(Random(1)))
    assert snapshots.load() is None
    saved = snapshots.save(meta(1), 1, ())
    assert snapshots.load() == saved
    assert list(snapshots.chunks(saved)) == []


def test_the_newest_wins_and_only_a_few_are_kept() -> None:
    disk = MemoryDisk(Random(1))
    snapshots, _ = store(disk)
    for index in range(1, 9):
        snapshots.save(meta(index, term=9 - index), index, [b"x"])
    assert snapshots.names() == [snapshot_name(meta(i, term=9 - i)) for i in range(4, 9)]
    found = snapshots.load()
    assert found is not None and found.meta.index == 8


def test_only_what_the_log_knows_of_is_loaded() -> None:
    snapshots, broken = store(MemoryDisk(Random(1)))
    for index in (1, 2, 3):
        snapshots.save(meta(index), index, [b"x"])
    found = snapshots.load(allowed=[meta(1), meta(2)])
    assert found is not None and found.meta == meta(2)
    assert snapshots.load(allowed=[]) is None
    assert broken == []


def test_a_stream_that_breaks_off_leaves_nothing() -> None:
    disk = MemoryDisk(Random(1))
    snapshots, _ = store(disk)

    def failing() -> Iterator[bytes]:
        yield b"half"
        raise ConnectionError("peer went away")

    with pytest.raises(ConnectionError):
        snapshots.save(meta(5), 1, failing())
    assert disk.names() == []
    writer = snapshots.begin(meta(6), 1)
    writer.write(b"x")
    writer.abort()
    writer.abort()
    with pytest.raises(ValueError, match="finished"):
        writer.write(b"y")
    assert disk.names() == []


def test_a_crash_in_the_middle_leaves_the_older_one() -> None:
    for seed in range(60):
        disk = MemoryDisk(Random(seed))
        snapshots, broken = store(disk)
        old = snapshots.save(meta(1), 1, [b"old"])
        disk.fail_syncs = seed % 3
        try:
            snapshots.save(meta(2), 2, [bytes(5000)])
        except OSError:
            pass
        disk.crash()
        again = Snapshots(disk, broken.append)
        found = again.load()
        assert found is not None
        assert found == old or found.meta == meta(2)
        assert broken == [], "a synced and renamed file was not whole"
        assert all(name.endswith(".snap") for name in disk.names())


def test_a_broken_file_is_named_and_set_aside() -> None:
    disk = MemoryDisk(Random(1))
    snapshots, broken = store(disk)
    snapshots.save(meta(1), 1, [b"old"])
    newest = snapshots.save(meta(2), 2, [b"new" * 100])
    disk.flip_bit(newest.name, 150)
    with pytest.raises(SnapshotBroken):
        list(snapshots.chunks(newest))
    found = snapshots.load()
    assert found is not None and found.meta == meta(1)
    assert [error.file for error in broken] == [newest.name]
    assert newest.name + ".broken" in disk.names()
    assert snapshots.load() == found
    assert len(broken) == 1


def test_a_renamed_file_is_refused() -> None:
    disk = MemoryDisk(Random(1))
    snapshots, broken = store(disk)
    saved = snapshots.save(meta(1), 1, [b"old"])
    disk.rename(saved.name, snapshot_name(meta(9)))
    assert snapshots.load() is None
    assert "name" in str(broken[0])


def test_files_without_a_marker_can_be_swept_at_a_start() -> None:
    disk = MemoryDisk(Random(1))
    snapshots, _ = store(disk)
    for index in (1, 2, 3, 4):
        snapshots.save(meta(index), index, [b"x"])
    unmarked = [snapshot_name(meta(1)), snapshot_name(meta(4))]
    assert snapshots.discard_unmarked([meta(2), meta(3)]) == unmarked
    assert snapshots.names() == [snapshot_name(meta(2)), snapshot_name(meta(3))]


def test_two_of_one_name_in_the_making() -> None:
    """An own one, and the leader's of the same index: whoever is first, the file is whole."""
    disk = MemoryDisk(Random(1))
    snapshots, broken = store(disk)
    for first in (0, 1):
        writers = [snapshots.begin(meta(7), 3) for _ in range(2)]
        for writer in writers:
            writer.write(b"sta")
        writers[first].write(b"te")
        saved = writers[first].finish()
        assert snapshots.load() == saved
        writers[1 - first].write(b"te")
        assert writers[1 - first].finish() == saved
        assert b"".join(snapshots.chunks(saved)) == b"state"
        left = snapshots.begin(meta(7), 3)
        left.abort()
        assert snapshots.load() == saved
        assert disk.names() == [saved.name]
    assert broken == []


@pytest.mark.parametrize("nth", range(1, 5))
def test_one_that_finds_no_room_leaves_nothing(tmp_path: Path, nth: int) -> None:
    """Not from its first byte on, however often it is tried."""
    points = Failpoints(parse(f"snap_write_before=raise(ENOSPC)@{nth}"))
    disk = FailingDisk(RealDisk(tmp_path), "snap", points.hit)
    snapshots = Snapshots(disk, lambda broken: None)
    for _ in range(3):
        with pytest.raises(OSError, match="No space left"):
            snapshots.save(meta(7), 3, [b"a", b"b"])
        assert list(tmp_path.iterdir()) == []
