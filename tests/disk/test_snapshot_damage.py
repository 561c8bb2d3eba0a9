"""Damage to snapshot files: cut at every byte, every bit flipped; always named, never loaded."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from kvorum.raft.types import ConfState, SnapshotMeta
from kvorum.storage.filesystem import RealDisk
from kvorum.storage.interface import SnapshotBroken, SnapshotFile
from kvorum.storage.memory import MemoryDisk
from kvorum.storage.snapshot_file import Snapshots

META = SnapshotMeta(77, 3, ConfState((1, 2, 3), (9,), (), (), False))
BODY = [Random(1).randbytes(700), b"x", Random(2).randbytes(900)]


def saved() -> tuple[MemoryDisk, Snapshots, SnapshotFile, bytes]:
    disk = MemoryDisk(Random(1))
    snapshots = Snapshots(disk, lambda broken: None)
    file = snapshots.save(META, 41, BODY)
    return disk, snapshots, file, disk.read(file.name, 0, disk.size(file.name))


def test_a_cut_at_every_byte() -> None:
    disk, snapshots, file, whole = saved()
    for size in range(len(whole)):
        disk._seen[file.name].data = bytearray(whole[:size])
        with pytest.raises(SnapshotBroken) as broken:
            snapshots.verify(file.name)
        assert broken.value.file == file.name
        assert broken.value.offset <= size
    disk._seen[file.name].data = bytearray(whole + b"\0")
    with pytest.raises(SnapshotBroken, match="after the seal"):
        snapshots.verify(file.name)


def test_every_bit_flipped() -> None:
    disk, snapshots, file, whole = saved()
    for offset in range(len(whole)):
        for bit in range(8):
            damaged = bytearray(whole)
            damaged[offset] ^= 1 << bit
            disk._seen[file.name].data = damaged
            with pytest.raises(SnapshotBroken):
                snapshots.verify(file.name)


def test_chunks_left_out_swapped_or_repeated() -> None:
    """Each chunk is intact by itself; the seal counts them and hashes them in order."""
    disk, snapshots, file, whole = saved()
    ends = [len(whole) - 56]  # The seal: 8 + 48 bytes.
    for body in reversed(BODY):
        ends.insert(0, ends[0] - 8 - len(body))
    a, b, c, d = ends
    for damaged in (
        whole[:a] + whole[b:],
        whole[:a] + whole[b:c] + whole[a:b] + whole[c:],
        whole[:b] + whole[a:b] + whole[b:],
        whole[:c] + whole[d:],
    ):
        disk._seen[file.name].data = bytearray(damaged)
        with pytest.raises(SnapshotBroken, match="seal"):
            snapshots.verify(file.name)


def test_on_real_files_the_older_one_is_used(tmp_path: Path) -> None:
    broken: list[SnapshotBroken] = []
    snapshots = Snapshots(RealDisk(tmp_path), broken.append)
    older = snapshots.save(META._replace(index=70), 40, BODY)
    newest = snapshots.save(META, 41, BODY)
    path = tmp_path / newest.name
    assert path.stat().st_mode & 0o777 == 0o600
    damaged = bytearray(path.read_bytes())
    damaged[500] ^= 1
    path.write_bytes(damaged)
    assert snapshots.load() == older
    assert b"".join(snapshots.chunks(older)) == b"".join(BODY)
    assert [error.file for error in broken] == [newest.name]
    assert sorted(item.name for item in tmp_path.iterdir()) == sorted(
        [older.name, newest.name + ".broken"]
    )


def test_a_large_image_streams_without_being_held(tmp_path: Path) -> None:
    """Pieces are made on demand and dropped; at most a few chunks are alive at once."""
    alive = largest = 0

    class Piece(bytes):
        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    def pieces() -> object:
        nonlocal alive, largest
        for number in range(64):
            alive += 1
            largest = max(largest, alive)
            yield Piece(bytes([number]) * 300_000)

    snapshots = Snapshots(RealDisk(tmp_path), lambda broken: None)
    file = snapshots.save(META, 1, pieces())  # type: ignore[arg-type]  # a generator of bytes
    assert largest <= 3
    assert file.body_bytes == 64 * 300_000
    found = snapshots.load()
    assert found == file
    assert sum(len(chunk) for chunk in snapshots.chunks(file)) == file.body_bytes
