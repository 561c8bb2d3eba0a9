"""Every failpoint is a place that members come by and can be held up at, and that ends the member,
or the call that came by, when something nobody foresaw is raised there. (Real processes are killed
at each in ``tests/cluster/test_failpoints.py``.)
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kvorum.client import Client
from kvorum.client.errors import ClientError
from kvorum.failpoints import DISK_NAMES, NAMES, Failpoints, Injected, parse
from kvorum.history.database import HistoryFailed
from kvorum.machine.commands import Compact
from kvorum.raft.types import ConfState, SnapshotMeta
from kvorum.server.crash import Exit, FatalError
from kvorum.server.faults import FailpointFault
from kvorum.server.member import Member
from kvorum.storage.failing import FailingDisk
from kvorum.storage.filesystem import RealDisk
from kvorum.storage.interface import WalMetadata
from kvorum.storage.snapshot_file import Snapshots
from kvorum.storage.wal import Wal
from unit.server.members import Cluster, cluster, get, put

SHAPE = {"snapshot_count": 15, "snapshot_catchup_entries": 3, "wal_segment_bytes": 2_048}
ARRIVING = [name for name in NAMES if name.startswith(("snapshot_receive", "snapshot_install"))]
LONG_MS = 60_000


def points_of(member: Member | None) -> Failpoints:
    assert member is not None and member._failpoints is not None
    return member._failpoints


async def write(made: Cluster, number: int, count: int) -> None:
    """As a client, so that replies are passed too."""
    async with Client([f"127.0.0.1:{made.client_ports[number]}"]) as client:
        for each in range(count):
            await client.put(f"k{each % 5}", bytes(200))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


async def left_behind(made: Cluster, away: int) -> None:
    """Stop a member, and let the log of the others go on without what it needs."""
    await made.stop(away)
    leader = await made.leader()
    node = made.node(leader)
    last = node.status().raft.last_index
    while node.status().raft.first_index <= last + 1:
        await put(node, "k", "more")


def copy_if_there(source: str, target: str) -> str:
    """Copy a file, unless it goes just now."""
    with contextlib.suppress(FileNotFoundError):
        shutil.copy2(source, target)
    return target


# --- held up --------------------------------------------------------------------------------------


def test_everybody_is_held_up_at_every_place_and_goes_on(tmp_path: Path) -> None:
    """A thread for a moment, and the whole process for a moment, at the same place."""
    terms = ",".join(f"{name}=delay(1)*2,{name}=pause(1)*2" for name in NAMES)

    async def run() -> None:
        async with cluster(tmp_path, 3, failpoints=parse(terms), **SHAPE) as made:
            seen = [points_of(member) for member in made.members]
            await made.leader()
            await write(made, 0, 40)
            node = made.node(0)
            await node.propose(Compact(10, True))
            await node.defragmenter.run()
            away = (await made.leader() + 1) % 3
            await left_behind(made, away)
            await made.start(away)
            seen.append(points_of(made.members[away]))
            await made.ready(away)
            # Old snapshots are removed when there are enough newer ones.
            async with asyncio.timeout(60):
                while {name for points in seen for name in points.bitten} != set(NAMES):
                    await put(made.node(0), "k", "more")
            await made.leader()
            await put(made.node(away), "end", "x")
            await made.applied_everywhere()
            assert len({node.machine.digest for node in made.running()}) == 1

    asyncio.run(run())


# --- raised ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in DISK_NAMES if name.startswith("wal_")])
def test_raised_in_a_log(tmp_path: Path, name: str) -> None:
    """It comes out to whoever writes, and what was synced before is there."""
    wal = Wal.create(RealDisk(tmp_path), WalMetadata(1, 2), salt=1)
    wal.append(None, (), SnapshotMeta(0, 0, ConfState((2,))))
    wal.sync()
    wal.close()
    points = Failpoints(parse(f"{name}=raise"))
    disk = FailingDisk(RealDisk(tmp_path), "wal", points.hit)
    with pytest.raises(Injected, match=name):
        wal, _ = Wal.open(disk)
        wal.append(None, (), SnapshotMeta(0, 0, ConfState((2,))))
        wal.sync()
        disk.create("x").close()
        disk.rename("x", "y")
        disk.sync_directory()
        disk.remove("y")
    wal, found = Wal.open(RealDisk(tmp_path))
    wal.close()
    assert found.snapshots[:1] == (SnapshotMeta(0, 0, ConfState((2,))),)


@pytest.mark.parametrize("name", [name for name in DISK_NAMES if name.startswith("snap_")])
def test_raised_in_a_snapshot(tmp_path: Path, name: str) -> None:
    """The older one is there; the new one whole or not at all."""
    metas = [SnapshotMeta(index, 1, ConfState((2,))) for index in (1, 2)]
    Snapshots(RealDisk(tmp_path), lambda broken: None).save(metas[0], 1, [b"one"])
    points = Failpoints(parse(f"{name}=raise"))
    store = Snapshots(FailingDisk(RealDisk(tmp_path), "snap", points.hit), lambda broken: None, 1)
    with pytest.raises(Injected, match=name):
        store.save(metas[1], 2, [b"two"])
    broken: list[Any] = []
    found = Snapshots(RealDisk(tmp_path), broken.append)
    newest = found.load()
    assert newest is not None and newest.meta in metas
    assert b"".join(found.chunks(newest)) == (b"one" if newest.meta == metas[0] else b"two")
    assert broken == []


async def cut_and_compact(made: Cluster) -> None:
    await write(made, 0, 40)
    await made.node(0).propose(Compact(10, True))


async def defragment(made: Cluster) -> None:
    await made.node(0).defragmenter.run()


HISTORY = [name for name in NAMES if name.startswith("history_")]


@pytest.mark.parametrize(
    ("name", "provoke", "by_the_disk"),
    [
        *[
            (name, defragment if name.startswith("history_replace") else cut_and_compact, True)
            for name in HISTORY
        ],
        ("defragment_installed", defragment, True),
        ("snapshot_cut_before", cut_and_compact, False),
        ("snapshot_cut_after", cut_and_compact, False),
        ("snapshot_cut_marked", cut_and_compact, False),
    ],
)
def test_raised_in_a_member_it_ends_it_and_nothing_is_lost(
    tmp_path: Path, name: str, provoke: Any, by_the_disk: bool
) -> None:
    async def run() -> None:
        made = Cluster(tmp_path, 1, **SHAPE)
        await made.start()
        await made.ready()
        await put(made.node(0), "before", "x")
        made.node(0).gate.inject(FailpointFault(parse(f"{name}=raise")), LONG_MS)
        asked = asyncio.ensure_future(provoke(made))
        asked.add_done_callback(lambda done: done.cancelled() or done.exception())
        await until(lambda: bool(made.crashes))
        asked.cancel()
        (error,) = made.crashes
        if by_the_disk:
            assert isinstance(error, FatalError) and error.code == Exit.DISK
            error = error.__cause__  # type: ignore[assignment]  # an exception, as asserted next
        assert isinstance(error, Injected)
        assert str(error) == f"failpoint {name}"
        # What the end of a process leaves; a draft may be on its way out.
        shutil.copytree(tmp_path / "n0", tmp_path / "left" / "n0", copy_function=copy_if_there)
        with contextlib.suppress(HistoryFailed):
            await made.stop(0)
        async with cluster(tmp_path / "left", 1, **SHAPE) as again:
            assert await get(again.node(0), "before") == "x"

    asyncio.run(run())


def test_raised_in_a_call_it_ends_the_call(tmp_path: Path) -> None:
    """A reply's fate is then unknown to its client, a defragmentation is not done; nobody else
    notices.
    """

    async def run() -> None:
        async with cluster(tmp_path, 1, **SHAPE) as made:
            node, gate = made.node(0), made.node(0).gate
            async with Client([f"127.0.0.1:{made.client_ports[0]}"]) as client:
                for name in ("reply_before", "reply_after"):
                    gate.inject(FailpointFault(parse(f"{name}=raise*1")), LONG_MS)
                    with contextlib.suppress(ClientError):
                        await client.put(name, "x")
                    assert await get(node, name) == "x"
            for name in ("defragment_copied", "defragment_finished"):
                gate.inject(FailpointFault(parse(f"{name}=raise*1")), LONG_MS)
                with pytest.raises(Injected, match=name):
                    await node.defragmenter.run()
                await put(node, name, "x")
            await node.defragmenter.run()
            assert await get(node, "defragment_copied") == "x"
            assert points_of(made.members[0]).bitten.keys() == {
                "reply_before", "reply_after", "defragment_copied", "defragment_finished"
            }  # fmt: skip

    asyncio.run(run())


def test_raised_while_a_snapshot_arrives(tmp_path: Path) -> None:
    """On the way in the call ends and the leader begins again; being put in force, the member."""

    async def run() -> None:
        made = Cluster(tmp_path, 3, **SHAPE)
        await made.start()
        await made.ready()
        await made.leader()
        for last in (name for name in ARRIVING if name.startswith("snapshot_install")):
            away = (await made.leader() + 1) % 3
            await left_behind(made, away)
            ways_in = [name for name in ARRIVING if name.startswith("snapshot_receive")]
            terms = parse(",".join([*(f"{name}=raise*1" for name in ways_in), f"{last}=raise"]))
            made._changes["failpoints"] = terms
            await made.start(away)
            made._changes["failpoints"] = ()
            points = points_of(made.members[away])
            await until(lambda: bool(made.crashes))
            assert [str(error) for error in made.crashes] == [f"failpoint {last}"]
            assert points.bitten.keys() == {*ways_in, last}
            with contextlib.suppress(HistoryFailed):
                await made.stop(away)
            made.crashes.clear()
            await made.start(away)
            await made.ready(away)
        await made.leader()
        await put(made.node(away), "end", "x")
        await made.applied_everywhere()
        assert len({node.machine.digest for node in made.running()}) == 1
        await made.stop_all()
        assert made.crashes == []

    asyncio.run(run())
