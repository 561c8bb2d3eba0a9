"""Damage to a log, byte by byte and bit by bit: the right verdict, and never a wrong entry."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest
from kvorum.raft.types import ConfState, Entry, EntryKind, HardState, SnapshotMeta
from kvorum.storage.filesystem import RealDisk
from kvorum.storage.interface import Recovered, Verdict, WalCorrupt, WalLost, WalMetadata
from kvorum.storage.memory import MemoryDisk
from kvorum.storage.record import HEADER_BYTES, Kind, Record, encode_batch, parse
from kvorum.storage.replay import replay, segment_names
from kvorum.storage.wal import Wal

OWNER = WalMetadata(11, 22)
SECTOR_BYTES = 512
SALT = 0x1234ABCD


def entries(random: Random, first: int, count: int) -> list[Entry]:
    return [
        Entry(index, 3, EntryKind.NORMAL, random.randbytes(random.randrange(400)))
        for index in range(first, first + count)
    ]


@dataclass
class Log:
    """A log in memory, what was put in it, and where each record ends in the newest segment."""

    disk: MemoryDisk
    entries: list[Entry]
    name: str
    data: bytes
    ends: list[int]

    def open(self) -> Recovered:
        wal, found = Wal.open(self.disk, OWNER)
        wal.close()
        return found

    def put(self, data: bytes) -> None:
        """Make the newest segment these bytes."""
        inode = self.disk._seen[self.name]
        inode.data = bytearray(data)
        inode.durable = bytearray(data)


def record_ends(data: bytes) -> list[int]:
    head = parse(data, 0, 0)
    assert isinstance(head, Record)
    salt = int.from_bytes(head.payload[12:16], "little")
    ends = [head.end]
    while isinstance(found := parse(data, ends[-1], salt), Record):
        ends.append(found.end)
    assert ends[-1] == len(data)
    return ends


def make_log(seed: int, batches: int, *, segment_bytes: int = 1 << 20, closed: bool = True) -> Log:
    """Batches of a few entries, each synced; ``closed`` adds the mark that a close leaves."""
    random = Random(seed)
    disk = MemoryDisk(random)
    wal = Wal.create(disk, OWNER, salt=SALT, segment_bytes=segment_bytes)
    made: list[Entry] = []
    for _ in range(batches):
        batch = entries(random, len(made) + 1, random.randint(1, 5))
        made += batch
        wal.append(HardState(3, 1, batch[0].index - 1), batch)
        wal.sync()
    if closed:
        wal.close()
    name = segment_names(disk)[-1]
    data = disk.read(name, 0, disk.size(name))
    return Log(disk, made, name, data, record_ends(data))


def test_a_cut_at_every_byte_of_the_last_8_kib() -> None:
    log = make_log(1, 40)
    start = max(log.ends[0], len(log.data) - 8 * 1024)
    assert len(log.data) - start >= 8 * 1024 - 1
    seen = set()
    for size in range(start, len(log.data)):
        log.put(log.data[:size])
        found = log.open()
        assert found.entries == log.entries[: len(found.entries)], size
        good_end = max(end for end in log.ends if end <= size)
        # Zeros alone (a length may begin with one) are no different from space reserved ahead.
        rest = log.data[good_end:size].strip(b"\0")
        assert found.verdict is (Verdict.TORN if rest else Verdict.CLEAN), size
        if found.torn is not None:
            assert (found.torn.file, found.torn.offset) == (log.name, good_end)
            assert found.torn.dropped_bytes == size - good_end
        seen.add(len(found.entries))
    assert len(seen) > 5, "cuts at many depths"


def test_a_cut_is_gone_from_the_file_and_appending_goes_on() -> None:
    log = make_log(2, 10)
    for size in range(log.ends[-4] + 1, log.ends[-3], 40):
        log.put(log.data[:size])
        wal, found = Wal.open(log.disk, OWNER)
        assert found.torn is not None
        more = entries(Random(size), found.last_index + 1, 3)
        wal.append(HardState(3, 1, found.last_index), more)
        wal.sync()
        log.disk.crash()
        again = log.open()
        assert again.verdict is Verdict.CLEAN
        assert again.entries == found.entries + more


def test_zeros_in_place_of_every_tail_sector_are_a_torn_write() -> None:
    """The newest record unsynced, with each of its sectors in turn left unwritten."""
    for seed in range(20):
        log = make_log(seed, 12, closed=False)
        begin, end = log.ends[-2], log.ends[-1]
        first_sector = begin // SECTOR_BYTES
        for sector in range(first_sector, (end - 1) // SECTOR_BYTES + 1):
            low, high = max(begin, sector * SECTOR_BYTES), min(end, (sector + 1) * SECTOR_BYTES)
            log.put(log.data[:low] + bytes(high - low) + log.data[high:])
            found = log.open()
            assert found.entries == log.entries[: len(found.entries)]
            assert found.last_index < log.entries[-1].index
        # The same with a synced mark after it is no torn write.
        log.put(log.data)
        log.open()
        marked = log.disk.read(log.name, 0, log.disk.size(log.name))
        middle = (begin + end) // 2 // SECTOR_BYTES * SECTOR_BYTES
        low, high = max(begin, middle), min(end, middle + SECTOR_BYTES)
        log.put(marked[:low] + bytes(high - low) + marked[high:])
        with pytest.raises(WalCorrupt) as corrupt:
            log.open()
        assert corrupt.value.synced_index == log.entries[-1].index


def test_every_bit_of_4_kib_flipped_is_corruption_and_named() -> None:
    log = make_log(3, 14)
    size = len(log.data)
    start = size - 4 * 1024
    for offset in range(start, size):
        place = max(end for end in [0, *log.ends] if end <= offset)
        for bit in range(8):
            damaged = bytearray(log.data)
            damaged[offset] ^= 1 << bit
            log.put(bytes(damaged))
            with pytest.raises(WalCorrupt) as corrupt:
                replay(log.disk)
            assert corrupt.value.file == log.name
            assert corrupt.value.offset == place, (offset, bit)
            assert log.disk.size(log.name) == size, "never cut"


def test_every_bit_of_the_newest_record_without_a_mark() -> None:
    """A node that was killed: nothing after the record says it was synced, its own header does."""
    log = make_log(4, 6, closed=False)
    begin, end = log.ends[-2], log.ends[-1]
    for offset in range(begin, end):
        for bit in range(8):
            damaged = bytearray(log.data)
            damaged[offset] ^= 1 << bit
            log.put(bytes(damaged))
            with pytest.raises(WalCorrupt):
                replay(log.disk)


def test_every_bit_on_both_sides_of_every_seam() -> None:
    """What a segment begins with, its first record, its last one and its end."""
    log = make_log(5, 24, segment_bytes=4096)
    names = segment_names(log.disk)
    assert len(names) > 4
    flipped = 0
    for name in names:
        whole = bytes(log.disk._seen[name].data)
        head, *_ = ends = record_ends(whole)
        spots = {*range(head + HEADER_BYTES), *range(ends[-2] - HEADER_BYTES, len(whole))}
        for offset in sorted(spots):
            for bit in range(8):
                log.disk.flip_bit(name, offset, bit)
                with pytest.raises(WalCorrupt) as corrupt:
                    replay(log.disk)
                assert corrupt.value.file == name
                log.disk.flip_bit(name, offset, bit)
                flipped += 1
    assert flipped > 8 * len(names) * 100
    assert log.open().entries == log.entries


def test_a_cut_at_every_byte_of_a_segment_before_the_newest() -> None:
    """Down to nothing, at every seam: other segments follow, so that nothing is merely torn."""
    log = make_log(6, 30, segment_bytes=4096)
    names = segment_names(log.disk)
    assert len(names) > 5
    for number, older in enumerate(names[:-1]):
        whole = bytes(log.disk._seen[older].data)
        *_, last_end, end_record = record_ends(whole)
        assert end_record - last_end == HEADER_BYTES, "the END record is a bare header"
        # One of them whole, of the others what is near the seam.
        for size in range(0 if number == 1 else len(whole) - 300, len(whole)):
            log.disk._seen[older].data = bytearray(whole[:size])
            if size >= last_end:
                # Only the END record is missing: a crash right after rotation leaves this.
                assert replay(log.disk).entries == log.entries
            else:
                with pytest.raises(WalCorrupt) as corrupt:
                    replay(log.disk)
                assert corrupt.value.file == older
        log.disk._seen[older].data = bytearray(whole)
    newest = bytes(log.disk._seen[names[-1]].data)
    for size in range(record_ends(newest)[0]):
        log.disk._seen[names[-1]].data = bytearray(newest[:size])
        with pytest.raises(WalCorrupt):
            replay(log.disk)


def test_missing_segments_are_noticed() -> None:
    log = make_log(7, 60, segment_bytes=4096)
    names = segment_names(log.disk)
    for name in names:
        inode = log.disk._seen.pop(name)
        with pytest.raises(WalCorrupt, match="missing"):
            replay(log.disk)
        log.disk._seen[name] = inode
    for name in names:
        del log.disk._seen[name]
    with pytest.raises(WalLost):
        replay(log.disk)


def test_swapped_and_foreign_segments_are_noticed() -> None:
    log = make_log(8, 60, segment_bytes=4096)
    names = segment_names(log.disk)
    seen = log.disk._seen
    seen[names[1]], seen[names[2]] = seen[names[2]], seen[names[1]]
    with pytest.raises(WalCorrupt, match="name"):
        replay(log.disk)
    seen[names[1]], seen[names[2]] = seen[names[2]], seen[names[1]]
    other = make_log(9, 60, segment_bytes=4096)
    foreign = segment_names(other.disk)[2]
    seen[foreign] = other.disk._seen[foreign]
    with pytest.raises(WalCorrupt):
        replay(log.disk)


def test_records_moved_or_repeated_are_noticed() -> None:
    log = make_log(10, 20)
    a, b, c = log.ends[5], log.ends[6], log.ends[7]
    data = log.data
    for damaged in (
        data[:a] + data[b:c] + data[a:b] + data[c:],  # swapped
        data[:a] + data[b:],  # left out
        data[:b] + data[a:b] + data[b:],  # twice
        data + data[a:b],  # an old record at the end
    ):
        log.put(damaged)
        with pytest.raises(WalCorrupt):
            replay(log.disk)


def test_a_picture_of_a_record_in_a_value_proves_nothing() -> None:
    """A client stores log records as a value; then a write of such a value is torn."""
    log = make_log(11, 8)
    picture = log.data[: log.ends[-1]]
    disk = MemoryDisk(Random(1))
    wal = Wal.create(disk, OWNER, salt=SALT ^ 0xFFFF)
    wal.append(HardState(1, 1, 0), [Entry(1, 1, EntryKind.NORMAL, b"first")])
    wal.sync()
    wal.append(None, [Entry(2, 1, EntryKind.NORMAL, b"\x11" * 2048 + picture * 3)])
    wal.flush()
    name = segment_names(disk)[-1]
    size = disk.size(name)
    whole = bytes(disk._seen[name].data)
    cut = bytearray(whole[: size - len(picture) // 2])
    unwritten = bytearray(whole)
    unwritten[1024:1536] = bytes(512)
    for torn in (cut, unwritten):
        disk._seen[name].data = torn
        state = replay(disk)
        assert state.torn is not None
        assert [entry.index for entry in state.entries] == [1]


def test_a_commit_index_without_its_entries_is_corruption() -> None:
    disk = MemoryDisk(Random(1))
    wal = Wal.create(disk, OWNER, salt=1)
    one = Entry(1, 1, EntryKind.NORMAL, b"x")
    with pytest.raises(ValueError, match="commit index 5"):
        wal.append(HardState(1, 1, 5), [one])
    wal._add(Kind.BATCH, encode_batch(HardState(1, 1, 5), [one]))
    wal.close()
    with pytest.raises(WalCorrupt, match="commit index 5"):
        replay(disk)


@pytest.mark.parametrize("seed", range(300))
def test_random_lives_on_the_simulated_disk(seed: int) -> None:
    """Appends, overwrites, snapshots, cuts, rotation and crashes: what is found after a crash is
    exactly one of the logs between the last sync and now, and no crash is taken for corruption.
    """
    random = Random(seed)
    disk = MemoryDisk(random)
    wal = Wal.create(disk, OWNER, salt=random.getrandbits(32), segment_bytes=2048)
    logs: list[list[Entry]] = [[]]  # As of the last sync, then after each append since.
    term, commit = 1, 0
    for _ in range(80):
        action = random.randrange(12)
        if action < 6:
            keep = len(logs[-1])
            if action == 0 and commit < keep:
                keep = random.randint(commit, keep)
                term += 1
            batch = [
                Entry(keep + n, term, EntryKind.NORMAL, random.randbytes(random.randrange(300)))
                for n in range(1, random.randint(2, 6))
            ]
            wal.append(HardState(term, 1, commit), batch)
            logs.append(logs[-1][:keep] + batch)
        elif action < 9:
            wal.sync()
            logs = logs[-1:]
            commit = random.randint(commit, len(logs[-1]))
        elif action == 9 and commit:
            wal.append(snapshot=SnapshotMeta(commit, term, ConfState((1,), (), (), (), False)))
            wal.sync()
            logs = logs[-1:]
            wal.cut(random.randint(0, commit))
        elif action == 10:
            wal.flush()
        elif action == 11:
            if random.random() < 0.7:
                disk.crash()
            else:
                disk.kill()
            wal, found = Wal.open(disk, OWNER, segment_bytes=2048)
            run = found.older + found.entries
            first = run[0].index if run else found.last_index + 1
            matching = [log for log in logs if log[first - 1 :] == run]
            assert matching, "not any log that was ever there"
            assert found.hard_state is None or found.hard_state.commit <= found.last_index
            logs = matching[-1:]
            term = max([term, *(entry.term for entry in run)])


def test_real_files_are_judged_alike(tmp_path: Path) -> None:
    """A few cuts and flips on the real disk, zeros ahead of the end included."""
    random = Random(1)
    disk = RealDisk(tmp_path)
    wal = Wal.create(disk, OWNER, salt=SALT)
    made: list[Entry] = []
    for _ in range(20):
        batch = entries(random, len(made) + 1, 3)
        made += batch
        wal.append(HardState(3, 1, 0), batch)
        wal.sync()
    (name,) = segment_names(disk)
    used = wal.statistics().bytes
    path = tmp_path / name
    assert path.stat().st_size > used, "space is reserved ahead"
    assert path.stat().st_mode & 0o777 == 0o600
    whole = path.read_bytes()
    # The process dies here: no close, the zeros stay.
    again, found = Wal.open(RealDisk(tmp_path), OWNER)
    assert (found.entries, found.verdict) == (made, Verdict.CLEAN)
    again.close()
    assert path.stat().st_size < used + 100, "a closed log gives the space back"
    for size in range(used - 600, used, 37):
        path.write_bytes(whole[:size])
        again, found = Wal.open(RealDisk(tmp_path), OWNER)
        assert found.entries == made[: len(found.entries)]
        again.close()
    for offset in range(used - 2000, used, 61):
        damaged = bytearray(whole)
        damaged[offset] ^= 0x10
        path.write_bytes(damaged)
        with pytest.raises(WalCorrupt):
            replay(RealDisk(tmp_path))
        assert path.stat().st_size == len(whole)


def test_kind_numbers_are_what_the_search_looks_for() -> None:
    assert {int(kind) for kind in Kind} == {1, 2, 3, 4, 5}
