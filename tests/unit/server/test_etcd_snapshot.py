"""A node's state as etcd's database, and nodes that start from one.

Long because it goes both ways: what a file holds is judged against the node that wrote it, and what
a restored node answers against the file.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from kvorum.errors import Condition, ConfigError, KvorumError
from kvorum.history.compaction import agree, sweep
from kvorum.history.database import HistoryDatabase, HistoryError
from kvorum.history.reader import HistoryInterrupted
from kvorum.history.rows import DELETE, PUT, Identity, Row
from kvorum.history.selects import snapshot
from kvorum.history.transfer import HistoryImport
from kvorum.machine.apply import decode_image
from kvorum.machine.commands import Compact, DeleteRange, LeaseGrant, Put, Range
from kvorum.machine.record import Record
from kvorum.server import etcd_snapshot as exporting
from kvorum.server.etcd_snapshot import HistorySource, Piece, SnapshotOvertaken
from kvorum.server.restore import Restored, restore
from kvorum.server.runtime import Node
from kvorum.storage.etcd_db import (
    BLOCK_BYTES,
    Change,
    EtcdDb,
    EtcdState,
    LeaseRecord,
    read_etcd_db,
    write_etcd_db,
)
from kvorum.storage.filesystem import DataDirLock, RealDisk
from kvorum.storage.snapshot_file import Snapshots
from support.etcd_source import Source, full_source, lively_changes
from unit.server.members import PATIENCE_S, Cluster, with_cluster

LEASE = 77


async def pieces_of(node: Node) -> list[Piece]:
    async with aclosing(exporting.etcd_snapshot(node)) as pieces:
        return [piece async for piece in pieces]


async def save(node: Node, path: Path) -> Path:
    return written(path, [piece.blob for piece in await pieces_of(node)])


def written(path: Path, blobs: list[bytes]) -> Path:
    path.write_bytes(b"".join(blobs))
    return path


async def busy(node: Node, turns: int = 120, seed: int = 3) -> None:
    """Puts and deletions, some on a lease."""
    source = random.Random(seed)
    await node.propose(LeaseGrant(LEASE, 3_600))
    for turn in range(turns):
        key = b"k%02d" % source.randrange(30)
        if source.random() < 0.2:
            await node.propose(DeleteRange(key, b"k%02d" % source.randrange(30)))
        else:
            lease = LEASE if source.random() < 0.3 else 0
            await node.propose(Put(key, b"%d" % turn * source.randrange(40), lease))


async def records(node: Node, revision: int = 0) -> dict[bytes, Record]:
    done: Any = (await node.read(Range(b"\0", b"\0", revision=revision))).value
    found: list[Record] = done.records
    return {record.key: record for record in found}


def live_at(db: EtcdDb, revision: int) -> dict[bytes, Record]:
    return Source(EtcdState(revision), list(db.changes())).live_at(revision)


async def same_as_the_node(node: Node, path: Path) -> None:
    machine = node.machine
    with read_etcd_db(path) as db:
        state = db.state
        assert (state.revision, state.compact_revision) == (
            machine.revision,
            machine.compact_revision,
        )
        assert (state.applied_index, state.applied_term) == (
            machine.applied_index,
            machine.applied_term,
        )
        assert state.members == machine.members.all()
        assert state.leases == (LeaseRecord(LEASE, 3_600),)
        for revision in range(max(1, state.compact_revision), state.revision + 1):
            assert live_at(db, revision) == await records(node, revision), revision


# --- from a node ----------------------------------------------------------------------------------


def test_the_file_is_the_node_at_every_revision(tmp_path: Path) -> None:
    async def test(c: Cluster) -> None:
        node = c.node(0)
        await busy(node)
        await same_as_the_node(node, await save(node, tmp_path / "db"))
        await node.propose(Compact(node.machine.revision - 9))
        await busy_more(node)
        await same_as_the_node(node, await save(node, tmp_path / "db"))

    async def busy_more(node: Node) -> None:
        for turn in range(5):
            await node.propose(Put(b"later", b"%d" % turn))

    with_cluster(tmp_path, 1, test)


def test_pieces_count_down_to_the_checksum(tmp_path: Path) -> None:
    async def test(c: Cluster) -> None:
        node = c.node(0)
        for number in range(6):
            await node.propose(Put(b"k%d" % number, b"x" * 50_000))
        pieces = await pieces_of(node)
        whole = b"".join(piece.blob for piece in pieces[:-1])
        assert pieces[-1] == (0, hashlib.sha256(whole).digest())
        left = len(whole)
        for piece in pieces[:-1]:
            left -= len(piece.blob)
            assert piece.remaining_bytes == left
            assert 0 < len(piece.blob) <= BLOCK_BYTES
        assert left == 0
        assert len(pieces) > 10

    with_cluster(tmp_path, 1, test)


def test_an_empty_node_has_a_snapshot(tmp_path: Path) -> None:
    async def test(c: Cluster) -> None:
        with read_etcd_db(await save(c.node(0), tmp_path / "db")) as db:
            assert db.state.revision == 1
            assert list(db.changes()) == []

    with_cluster(tmp_path, 1, test)


def test_writes_meanwhile_are_not_in_the_file(tmp_path: Path) -> None:
    """One revision, whole transactions, and no write waits for the snapshot."""

    async def test(c: Cluster) -> None:
        node = c.node(0)
        for number in range(40):
            await node.propose(Put(b"k%02d" % number, b"x" * 60_000))
        cut, wanted = node.machine.revision, await records(node)
        blobs = []
        async with aclosing(exporting.etcd_snapshot(node)) as pieces:
            async for piece in pieces:
                blobs.append(piece.blob)
                await node.propose(Put(b"k%02d" % (len(blobs) % 40), b"new"))
        written(tmp_path / "db", blobs)
        assert node.machine.revision > cut + 40
        with read_etcd_db(tmp_path / "db") as db:
            assert db.state.revision == cut
            assert live_at(db, cut) == wanted

    with_cluster(tmp_path, 1, test)


class Overtaking:
    """A node's history in whose way a compaction comes, at the first ``times`` exports."""

    def __init__(self, node: Node, times: int) -> None:
        self._node, self._history, self.times = node, node.history, times
        self._tasks: list[asyncio.Task[None]] = []
        node.history = self  # type: ignore[assignment]  # only export is asked for here

    def __getattr__(self, name: str) -> Any:
        return getattr(self._history, name)

    def export(self, ask: Callable[[Any], bool], stopping: threading.Event) -> Future[bool]:
        if not self.times:
            return self._history.export(ask, stopping)
        self.times -= 1
        answer: Future[bool] = Future()
        self._tasks.append(asyncio.ensure_future(self._late(answer, ask, stopping)))
        return answer

    async def _late(self, answer: Future[bool], ask: Any, stopping: threading.Event) -> None:
        await self._node.propose(Put(b"k00", b"overtaking"))
        await self._node.propose(Compact(self._node.machine.revision))
        answer.set_result(await asyncio.wrap_future(self._history.export(ask, stopping)))


def test_a_compaction_that_overtakes_makes_a_new_cut(tmp_path: Path) -> None:
    async def test(c: Cluster) -> None:
        node = c.node(0)
        await busy(node, 20)
        before = node.machine.revision
        Overtaking(node, 2)
        path = await save(node, tmp_path / "db")
        with read_etcd_db(path) as db:
            assert db.state.compact_revision == before + 2
        await same_as_the_node(node, path)
        Overtaking(node, 1_000)
        with pytest.raises(SnapshotOvertaken):
            await pieces_of(node)

    with_cluster(tmp_path, 1, test)


def test_a_client_that_takes_nothing_loses_its_snapshot(tmp_path: Path) -> None:
    async def test(c: Cluster) -> None:
        node = c.node(0)
        for number in range(40):
            await node.propose(Put(b"k%d" % number, b"x" * 100_000))
        async with aclosing(exporting.etcd_snapshot(node, stall_s=0.3)) as pieces:
            await anext(pieces)
            with pytest.raises(HistoryInterrupted, match="took nothing"):
                # Until the thread has given it up.
                await asyncio.to_thread(node.history.wait_for_exports, PATIENCE_S)
                async for _ in pieces:
                    pass

    with_cluster(tmp_path, 1, test)


def test_a_call_that_ends_lets_the_thread_go(tmp_path: Path) -> None:
    async def test(c: Cluster) -> None:
        node = c.node(0)
        for number in range(40):
            await node.propose(Put(b"k%d" % number, b"x" * 100_000))
        for _ in range(3):
            async with aclosing(exporting.etcd_snapshot(node)) as pieces:
                await anext(pieces)
        assert len(await pieces_of(node)) > 100

    with_cluster(tmp_path, 1, test)


def test_a_history_that_goes_away_ends_the_snapshot(tmp_path: Path) -> None:
    async def test(c: Cluster) -> None:
        node = c.node(0)
        for number in range(40):
            await node.propose(Put(b"k%d" % number, b"x" * 100_000))
        async with aclosing(exporting.etcd_snapshot(node)) as pieces:
            await anext(pieces)
            history: Any = node.history
            await asyncio.to_thread(history.reader.close)
            with pytest.raises(HistoryError):
                async for _ in pieces:
                    pass

    with_cluster(tmp_path, 1, test)


def test_what_is_not_swept_yet_is_left_out(tmp_path: Path) -> None:
    def changes(path: Path, *, swept: bool) -> list[Change]:
        made = HistoryImport(path, Identity(1, 2))
        made.add(exporting_rows(lively_changes(400)))
        made.finish(9, 1, 401, -1)
        made.install()
        database = HistoryDatabase(path, Identity(1, 2))
        connection = database.connect()
        agree(connection, 300)
        if swept:
            sweep(connection, 300)
        with snapshot(connection):
            state = EtcdState(401, compact_revision=300)
            found = list(HistorySource(connection, state, threading.Event()).changes())
        connection.close()
        database.close()
        return found

    left = changes(tmp_path / "a", swept=False)
    assert left == changes(tmp_path / "b", swept=True)
    assert 50 < len(left) < len(lively_changes(400))


def exporting_rows(changes: list[Change]) -> list[Any]:
    """Changes as rows of a history."""
    return [
        Row(
            x.revision, x.sub, DELETE if x.deleted else PUT, x.record.key, x.record.value,
            x.record.create_revision, x.record.version, x.record.lease, 0, 0, 0, "",
        )
        for x in changes
    ]  # fmt: skip


# --- into nodes -----------------------------------------------------------------------------------


def file_of(path: Path, source: Source | EtcdDb) -> Path:
    path.write_bytes(b"".join(write_etcd_db(source)))
    return path


def restored(path: Path, c: Cluster, *numbers: int, **options: Any) -> list[Restored]:
    """Make the directories of members (all, unless named) from a file."""
    made = []
    for number in numbers or range(len(c.members)):
        with read_etcd_db(path) as db:
            made.append(restore(db, c.config(number), **options))
    return made


def with_restored(
    tmp_path: Path,
    source: Source,
    test: Callable[[Cluster], Any],
    size: int = 3,
    *numbers: int,
    **options: Any,
) -> list[Restored]:
    """Start a cluster whose members were restored, and test it."""
    path = file_of(tmp_path / "db", source)
    c = Cluster(tmp_path, size)
    made = restored(path, c, *numbers, **options)

    async def run() -> None:
        try:
            await c.start()
            async with asyncio.timeout(60):
                await c.ready()
                await test(c)
        finally:
            await c.stop_all()
        assert c.crashes == []

    asyncio.run(run())
    return made


def test_members_serve_what_the_file_holds(tmp_path: Path) -> None:
    source = full_source(200)
    source.state = source.state._replace(alarms=())

    async def test(c: Cluster) -> None:
        for number in range(3):
            node = c.node(number)
            assert node.machine.revision == 201
            assert node.machine.auth.accounts.state() == source.state.auth
            for revision in (201, 200, 130, 2, 1):
                assert await records(node, revision) == source.live_at(revision), revision
            leases = tuple([LeaseRecord(*x) for x in node.machine.image().leases])
            assert [x.id for x in leases] == [x.id for x in source.state.leases]
            assert [m.name for m in node.members()] != [m.name for m in source.state.members]
        hashes: Any = [(await node.hash_at(150)).value for node in c.running()]
        assert len({x.hash for x in hashes}) == 1
        node = c.node(1)
        assert (await node.propose(Put(b"k", b"v"))).stamp.revision == 202
        await c.applied_everywhere()
        assert len({x.machine.digest for x in c.running()}) == 1
        # It is a member as any other: it starts again, and its snapshot is the next file.
        await c.stop(0)
        await c.start(0)
        await c.ready(0)
        assert await records(c.node(0), 130) == source.live_at(130)
        with read_etcd_db(await save(c.node(0), tmp_path / "again")) as db:
            assert list(db.changes())[:-1] == source.kept
            assert db.state.revision == 202

    made = with_restored(tmp_path, source, test)
    assert len({x.cluster_id for x in made}) == 1
    assert len({x.member_id for x in made}) == 3
    assert {(x.revision, x.compact_revision) for x in made} == {(201, -1)}


def test_compacted_stays_compacted(tmp_path: Path) -> None:
    """Also where the compaction was agreed and its rows are still there."""
    source = Source(EtcdState(301, compact_revision=250), lively_changes(300))

    async def test(c: Cluster) -> None:
        node = c.node(0)
        for revision in (250, 260, 301):
            assert await records(node, revision) == source.live_at(revision)
        with pytest.raises(KvorumError) as refused:
            await records(node, 249)
        assert refused.value.condition is Condition.COMPACTED
        with read_etcd_db(await save(node, tmp_path / "again")) as db:
            assert db.state.compact_revision == 250
            assert db.changes_total < len(source.kept)

    made = with_restored(tmp_path, strip(source), test, 1)
    assert made[0].compact_revision == 250


def strip(source: Source) -> Source:
    """Without leases."""
    changes = [x._replace(record=x.record._replace(lease=0)) for x in source.kept]
    source.kept = changes
    return source


def test_a_bumped_revision_hides_what_was(tmp_path: Path) -> None:
    source = strip(Source(EtcdState(101), lively_changes(100)))

    async def test(c: Cluster) -> None:
        node = c.node(0)
        assert node.machine.revision == node.machine.compact_revision == 1_101
        assert await records(node) == await records(node, 1_101) == source.live_at(101)
        with pytest.raises(KvorumError) as refused:
            await records(node, 1_100)
        assert refused.value.condition is Condition.COMPACTED
        assert (await node.propose(Put(b"k", b"v"))).stamp.revision == 1_102

    with_restored(tmp_path, source, test, 1, bump_revision=1_000, mark_compacted=True)


def test_keys_on_leases_that_are_gone_are_taken_off_them(tmp_path: Path) -> None:
    changes = [
        Change(2, 0, False, Record(b"a", b"1", 2, 2, 1, 99)),
        Change(3, 0, False, Record(b"b", b"1", 3, 3, 1, 99)),
        Change(4, 0, False, Record(b"b", b"2", 3, 4, 2, 5)),
        Change(5, 0, False, Record(b"c", b"1", 5, 5, 1, 99)),
        Change(6, 0, True, Record(b"c", mod_revision=6)),
    ]
    source = Source(EtcdState(6, leases=(LeaseRecord(5, 500),)), changes)

    async def test(c: Cluster) -> None:
        node = c.node(0)
        for revision in (6, 2):
            assert (await records(node, revision))[b"a"] == Record(b"a", b"1", 2, 2, 1, 0)
        assert (await records(node))[b"b"].lease == 5
        # What was superseded is history, and stays as it was.
        assert (await records(node, 5))[b"c"].lease == 99

    (made,) = with_restored(tmp_path, source, test, 1)
    assert (made.detached, made.keys, made.leases) == (1, 2, 1)


def test_a_member_that_was_not_restored_gets_the_state(tmp_path: Path) -> None:
    source = strip(Source(EtcdState(81), lively_changes(80)))

    async def test(c: Cluster) -> None:
        node = c.node(2)
        async with asyncio.timeout(60):
            while node.machine.revision < 81:
                await asyncio.sleep(0.02)
        assert await records(node) == source.live_at(81)
        assert await records(node, 40) == source.live_at(40)

    with_restored(tmp_path, source, test, 3, 0, 1)


def test_other_files_give_other_digests(tmp_path: Path) -> None:
    """So that a member that was given another file is found out."""
    digests = set()
    for number, value in enumerate((b"1", b"2", b"1")):
        change = Change(2, 0, False, Record(b"a", value, 2, 2, 1))
        path = file_of(tmp_path / "db", Source(EtcdState(2), [change]))
        c = Cluster(tmp_path / str(number), 1)
        c.client_ports, c._peer_ports = [1], [2]  # The same cluster each time.
        restored(path, c)
        store = Snapshots(RealDisk(tmp_path / str(number) / "n0" / "member" / "snap"), print)
        file = store.load()
        assert file is not None
        digests.add(decode_image(store.chunks(file)).digest)
    assert len(digests) == 2
    assert 0 not in digests


@pytest.mark.parametrize("when", ["keys", "revisions", "state"])
def test_an_interrupted_restore_leaves_nothing(tmp_path: Path, when: str) -> None:
    path = file_of(tmp_path / "db", strip(Source(EtcdState(81), lively_changes(80))))
    c = Cluster(tmp_path, 1)

    def told(what: str, done: int, total: int) -> None:
        if what == when and done == total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restored(path, c, told=told)
    assert [entry.name for entry in tmp_path.iterdir()] == ["db"]
    # What a killed one left is cleared by the next.
    leftover = tmp_path / "n0.restoring" / "member" / "wal"
    leftover.mkdir(parents=True)
    (leftover / "half").write_bytes(b"x")
    (tmp_path / "n0").mkdir()
    restored(path, c)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["db", "n0"]
    assert not (tmp_path / "n0" / "member" / "wal" / "half").exists()


def test_directories_in_use_are_refused(tmp_path: Path) -> None:
    path = file_of(tmp_path / "db", Source(EtcdState(1), []))
    c = Cluster(tmp_path, 1)
    with (
        DataDirLock(tmp_path / "n0.restoring"),
        pytest.raises(ConfigError, match="another restore is under way"),
    ):
        restored(path, c)
    (tmp_path / "n0").mkdir()
    (tmp_path / "n0" / "mine").touch()
    with pytest.raises(ConfigError, match="not empty"):
        restored(path, c)
    assert [entry.name for entry in (tmp_path / "n0").iterdir()] == ["mine"]
