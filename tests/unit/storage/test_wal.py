"""The log on a disk that behaves: what is appended comes back, later records win, segments go."""

from __future__ import annotations

from random import Random

import pytest
from kvorum.raft.types import ConfState, Entry, EntryKind, HardState, SnapshotMeta
from kvorum.storage.interface import (
    Verdict,
    WalCorrupt,
    WalError,
    WalFailed,
    WalLost,
    WalMetadata,
)
from kvorum.storage.memory import MemoryDisk
from kvorum.storage.replay import set_aside
from kvorum.storage.wal import Wal, has_log

OWNER = WalMetadata(cluster_id=0xC0FFEE, member_id=0xFEED)
CONF = ConfState((1, 2, 3), (4,), (), (), False)


def entries(first: int, count: int, term: int = 1, size: int = 20) -> list[Entry]:
    return [
        Entry(index, term, EntryKind.NORMAL, bytes([index % 251]) * size)
        for index in range(first, first + count)
    ]


def disk() -> MemoryDisk:
    return MemoryDisk(Random(1))


def test_an_empty_log_comes_back_empty() -> None:
    d = disk()
    assert not has_log(d)
    Wal.create(d, OWNER, salt=7).close()
    assert has_log(d)
    wal, found = Wal.open(d, OWNER)
    assert (found.entries, found.hard_state, found.snapshot) == ([], None, None)
    assert found.verdict is Verdict.CLEAN
    assert found.metadata == OWNER
    assert found.last_index == 0
    wal.close()


def test_entries_and_hard_state_come_back_as_given() -> None:
    d = disk()
    wal = Wal.create(d, OWNER, salt=7)
    batch = [
        Entry(1, 1, EntryKind.CONF_CHANGE, b"\0members\xff"),
        Entry(2, 1, EntryKind.NORMAL, b""),
        Entry(3, 2, EntryKind.NORMAL, bytes(5000)),
    ]
    wal.append(HardState(2, 9, 2), batch)
    assert wal.sync() == 3
    wal.append(HardState(2, 9, 3))
    wal.sync()
    d.crash()
    _, found = Wal.open(d, OWNER)
    assert found.entries == batch
    assert isinstance(found.entries[0].kind, EntryKind)
    assert found.hard_state == HardState(2, 9, 3)


def test_one_sync_covers_many_appends() -> None:
    d = disk()
    wal = Wal.create(d, OWNER, salt=7)
    before = d.syncs
    for index in range(1, 65):
        wal.append(HardState(1, 1, index - 1), entries(index, 1))
    assert wal.sync() == 64
    assert d.syncs == before + 1
    assert wal.sync() == 64, "nothing new to sync"
    assert d.syncs == before + 1
    assert wal.statistics().synced_index == 64


def test_appending_goes_on_after_a_restart() -> None:
    d = disk()
    Wal.create(d, OWNER, salt=7).close()
    for round_number in range(5):
        wal, found = Wal.open(d, OWNER)
        assert found.last_index == round_number * 10
        wal.append(HardState(1, 1, 0), entries(found.last_index + 1, 10))
        wal.close()
    _, found = Wal.open(d, OWNER)
    assert found.entries == entries(1, 50)


def test_an_overwritten_suffix_is_gone() -> None:
    d = disk()
    wal = Wal.create(d, OWNER, salt=7)
    wal.append(HardState(1, 1, 3), entries(1, 10))
    wal.sync()
    wal.append(HardState(2, 2, 3), entries(5, 2, term=2))
    assert wal.sync() == 6
    _, found = Wal.open(d, OWNER)
    assert found.entries == entries(1, 4) + entries(5, 2, term=2)


def test_an_overwrite_across_a_segment_seam() -> None:
    d = disk()
    wal = Wal.create(d, OWNER, salt=7, segment_bytes=600)
    for index in range(1, 31):
        wal.append(HardState(1, 1, 0), entries(index, 1, size=100))
        wal.sync()
    assert wal.statistics().segments > 3
    wal.append(HardState(2, 2, 0), entries(6, 1, term=2))
    wal.sync()
    _, found = Wal.open(d, OWNER)
    assert found.entries == entries(1, 5, size=100) + entries(6, 1, term=2)


def test_unsynced_appends_are_not_promised() -> None:
    for seed in range(50):
        d = MemoryDisk(Random(seed))
        wal = Wal.create(d, OWNER, salt=7)
        wal.append(HardState(1, 1, 0), entries(1, 5))
        wal.sync()
        wal.append(HardState(2, 2, 0), entries(6, 40, term=2, size=300))
        wal.flush()
        d.crash()
        _, found = Wal.open(d, OWNER)
        assert found.entries[:5] == entries(1, 5)
        assert found.entries[5:] == entries(6, 40, term=2, size=300)[: len(found.entries) - 5]


def test_what_a_killed_process_wrote_is_synced_before_it_is_believed() -> None:
    d = disk()
    wal = Wal.create(d, OWNER, salt=7)
    wal.append(HardState(1, 1, 0), entries(1, 5))
    wal.flush()
    d.kill()
    _, found = Wal.open(d, OWNER)
    assert found.entries == entries(1, 5)
    d.crash()
    _, found = Wal.open(d, OWNER)
    assert found.entries == entries(1, 5), "recovery returned entries that were not durable"


def test_cutting_keeps_every_entry_the_snapshot_does_not_cover() -> None:
    d = disk()
    wal = Wal.create(d, OWNER, salt=7, segment_bytes=1000)
    wal.append(HardState(1, 1, 0), entries(1, 1, size=100))
    for index in range(2, 101):
        wal.append(HardState(1, 1, index - 1), entries(index, 1, size=100))
        wal.sync()
    meta = SnapshotMeta(60, 1, CONF)
    with pytest.raises(ValueError, match="covers"):
        wal.cut(60)
    wal.append(snapshot=meta)
    with pytest.raises(ValueError, match="covers"):
        wal.cut(60)
    wal.sync()
    before = wal.statistics()
    assert wal.cut(50) > 0
    after = wal.statistics()
    assert after.segments < before.segments
    assert after.bytes < before.bytes
    assert after.first_index <= 51
    with pytest.raises(ValueError, match="covers"):
        wal.cut(61)
    d.crash()
    _, found = Wal.open(d, OWNER)
    assert found.snapshot == meta
    assert found.entries == entries(61, 40, size=100)
    run = found.older + found.entries
    assert run[0].index == after.first_index
    assert run == entries(run[0].index, 101 - run[0].index, size=100)


def test_markers_and_hard_state_survive_the_segments_they_were_written_in() -> None:
    d = disk()
    wal = Wal.create(d, OWNER, salt=7, segment_bytes=1000)
    metas = []
    for index in range(1, 101):
        state = HardState(1, 1, index - 1) if index <= 50 else None
        wal.append(state, entries(index, 1, size=100))
        if index % 10 == 0:
            metas.append(SnapshotMeta(index, 1, CONF))
            wal.append(snapshot=metas[-1])
        wal.sync()
    wal.cut(100)
    assert wal.statistics().segments == 1
    _, found = Wal.open(d, OWNER)
    assert found.snapshots == tuple(metas[-5:])
    assert found.hard_state == HardState(1, 1, 100), "a snapshot's entries are committed"
    assert found.entries == []


def test_a_leaders_snapshot_voids_the_log() -> None:
    d = disk()
    wal = Wal.create(d, OWNER, salt=7)
    wal.append(HardState(1, 1, 5), entries(1, 20))
    wal.sync()
    meta = SnapshotMeta(15, 3, CONF)
    wal.append(HardState(3, 0, 15), snapshot=meta, reset=True)
    wal.sync()
    _, found = Wal.open(d, OWNER)
    assert (found.entries, found.older, found.snapshot) == ([], [], meta)
    assert found.last_index == 15
    wal.append(HardState(3, 0, 16), entries(16, 3, term=3))
    wal.sync()
    _, found = Wal.open(d, OWNER)
    assert found.entries == entries(16, 3, term=3)
    with pytest.raises(ValueError, match="log starts at 16"):
        found.since(SnapshotMeta(10, 1, CONF))


def test_a_snapshot_beyond_the_log_voids_it_unasked() -> None:
    d = disk()
    wal = Wal.create(d, OWNER, salt=7)
    wal.append(HardState(1, 1, 5), entries(1, 20))
    wal.append(HardState(3, 0, 500), snapshot=SnapshotMeta(500, 3, CONF))
    wal.append(None, entries(501, 2, term=3))
    assert wal.sync() == 502
    _, found = Wal.open(d, OWNER)
    assert found.entries == entries(501, 2, term=3)


def test_an_older_snapshot_can_be_started_from() -> None:
    d = disk()
    wal = Wal.create(d, OWNER, salt=7)
    wal.append(HardState(1, 1, 20), entries(1, 20))
    for index in (5, 10):
        wal.append(snapshot=SnapshotMeta(index, 1, CONF))
    wal.sync()
    _, found = Wal.open(d, OWNER)
    assert found.entries == entries(11, 10)
    assert found.since(found.snapshots[0]) == entries(6, 15)
    assert found.since(None) == entries(1, 20)


def test_large_batches_are_split_and_come_back_whole() -> None:
    d = disk()
    wal = Wal.create(d, OWNER, salt=7)
    batch = entries(1, 9, size=1_400_000)
    wal.append(HardState(1, 1, 0), batch)
    wal.sync()
    _, found = Wal.open(d, OWNER)
    assert found.entries == batch
    assert found.hard_state == HardState(1, 1, 0)


def test_a_batch_torn_between_its_pieces_keeps_what_was_known_of_those_it_keeps() -> None:
    """Who has an entry must know that the change of members before it is committed, or it would
    campaign with the members of long ago: the one must not come back without the other.
    """
    d = disk()
    wal = Wal.create(d, OWNER, salt=7)
    batch = entries(1, 9, term=3, size=1_400_000)
    before = d.size(d.names()[-1])
    wal.append(HardState(3, 2, 5), batch)
    wal.flush()
    name = d.names()[-1]
    whole = d.read(name, 0, d.size(name))
    found_at = []
    for length in range(before, len(whole), 700_000):
        torn = MemoryDisk(Random(1))
        torn.create(name).append(whole[:length])
        _, found = Wal.open(torn, OWNER)
        if found.entries:
            found_at.append(found.last_index)
            known = min(5, found.last_index)
            assert found.hard_state == HardState(3, 2, known)
    assert set(found_at) == {2, 4, 6, 8}


def test_a_failed_sync_is_the_end_of_the_log() -> None:
    d = disk()
    wal = Wal.create(d, OWNER, salt=7)
    wal.append(HardState(1, 1, 0), entries(1, 1))
    d.fail_syncs = 0
    with pytest.raises(WalFailed) as failure:
        wal.sync()
    assert failure.value.errno == 5
    d.fail_syncs = -1
    for call in (wal.sync, wal.flush, wal.mark, lambda: wal.append(), lambda: wal.cut(0)):
        with pytest.raises(WalFailed):
            call()
    wal.close()


def test_a_full_disk_is_the_end_of_the_log_and_not_of_the_data() -> None:
    d = MemoryDisk(Random(1), capacity_bytes=4000)
    wal = Wal.create(d, OWNER, salt=7)
    synced = 0
    with pytest.raises(WalFailed) as failure:
        for index in range(1, 100):
            wal.append(HardState(1, 1, 0), entries(index, 1, size=200))
            synced = wal.sync()
    assert failure.value.errno == 28
    d.crash()
    _, found = Wal.open(d, OWNER)
    assert found.entries == entries(1, synced, size=200)


def test_every_failing_disk_call_kills_or_leaves_a_readable_log() -> None:
    """Rotation and cutting with the n-th sync failing, then a crash: nothing synced is lost."""
    for n in range(40):
        d = MemoryDisk(Random(n))
        wal = Wal.create(d, OWNER, salt=7, segment_bytes=500)
        d.fail_syncs = n
        synced = 0
        with pytest.raises(WalFailed):
            for index in range(1, 100):
                wal.append(HardState(1, 1, index - 1), entries(index, 1, size=100))
                if index % 7 == 0:
                    wal.append(snapshot=SnapshotMeta(synced, 1, CONF))
                synced = wal.sync()
                if index % 7 == 0:
                    wal.cut(index // 7 * 7 - 7)
        d.crash()
        _, found = Wal.open(d, OWNER)
        assert found.last_index >= synced


def test_strangers_and_empty_directories_are_refused() -> None:
    d = disk()
    with pytest.raises(WalLost, match="no write-ahead log"):
        Wal.open(d, OWNER)
    Wal.create(d, OWNER, salt=7).close()
    with pytest.raises(WalLost, match="belongs to"):
        Wal.open(d, OWNER._replace(member_id=5))
    with pytest.raises(WalError, match="already holds"):
        Wal.create(d, OWNER, salt=7)


def test_a_corrupt_log_can_be_set_aside_and_a_new_one_started() -> None:
    d = disk()
    wal = Wal.create(d, OWNER, salt=7)
    wal.append(HardState(1, 1, 0), entries(1, 9))
    wal.close()
    (name,) = d.names()
    d.flip_bit(name, 300)
    with pytest.raises(WalCorrupt) as corrupt:
        Wal.open(d, OWNER)
    assert corrupt.value.file == name
    assert corrupt.value.synced_index == 9
    assert name in str(corrupt.value)
    assert set_aside(d) == [f"{name}.broken-1"]
    Wal.create(d, OWNER, salt=8).close()
    assert set_aside(d) == [f"{name}.broken-2"]


def test_an_unfinished_segment_is_swept_away() -> None:
    d = disk()
    wal = Wal.create(d, OWNER, salt=7)
    wal.append(HardState(1, 1, 0), entries(1, 9))
    wal.close()
    d.create("0000000000000002-000000000000000a.wal.tmp").append(b"half")
    _, found = Wal.open(d, OWNER)
    assert found.entries == entries(1, 9)
    assert len(d.names()) == 1


def test_what_replay_could_not_accept_is_not_taken() -> None:
    wal = Wal.create(disk(), OWNER, salt=7)
    wal.append(HardState(1, 1, 0), entries(1, 3))
    for wrong in (entries(5, 1), entries(2, 1) + entries(4, 1)):
        with pytest.raises(ValueError, match="do not follow"):
            wal.append(None, wrong)
    with pytest.raises(ValueError, match="beyond the last entry"):
        wal.append(HardState(1, 1, 4))
    assert wal.sync() == 3
