"""The checks that flags ask for, on members within one loop."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from kvorum.errors import Condition, KvorumError
from kvorum.machine.commands import AlarmSet, Compact
from kvorum.server import corruption
from kvorum.server.crash import Exit, FatalError
from kvorum.server.runtime import Node
from unit.server.members import PATIENCE_S, Cluster, get, put, with_cluster

CORRUPT = 2


def alarms(c: Cluster) -> list[tuple[int, int]]:
    """What the members agree is raised."""
    tables = {node.machine.alarms.all() for node in c.running()}
    assert len(tables) == 1
    return [tuple(alarm) for alarm in tables.pop()]


async def agreed(c: Cluster) -> list[tuple[int, int]]:
    await c.applied_everywhere()
    return alarms(c)


def damage(c: Cluster, number: int, by: int = 1) -> int:
    """Make a member's state another; its id."""
    node = c.node(number)
    node.machine.keyspace.checksum += by
    return node.member_id


async def three(c: Cluster) -> tuple[int, int, int]:
    """Leader and followers, with something to compare."""
    leader = await c.leader()
    await put(c.node(leader), "k", "v")
    await c.applied_everywhere()
    return leader, (leader + 1) % 3, (leader + 2) % 3


def test_equal_members_pass(tmp_path: Path) -> None:
    async def test(c: Cluster) -> None:
        for number in await three(c):
            node, tls = c.node(number), c.member(number)._doors.peer_tls
            await corruption.initial_check(node, tls)
            await corruption.check(node, tls)
        assert await agreed(c) == []

    with_cluster(tmp_path, 3, test)


def test_the_leader_accuses_whoever_differs_from_the_majority(tmp_path: Path) -> None:
    async def test(c: Cluster) -> None:
        leader, one, two = await three(c)
        node, tls = c.node(leader), c.member(leader)._doors.peer_tls
        bad = damage(c, one)
        await corruption.check(node, tls)
        assert (bad, CORRUPT) in await agreed(c)
        with pytest.raises(KvorumError) as caught:
            await put(node, "k", "w")
        assert caught.value.condition is Condition.CORRUPT
        assert await get(node, "k") == "v"
        # Now the leader differs as well, from the one that is sound: nobody is in the right.
        damage(c, leader, 2)
        await corruption.check(node, tls)
        assert (0, CORRUPT) in await agreed(c)
        assert (c.node(two).member_id, CORRUPT) not in await agreed(c)

    with_cluster(tmp_path, 3, test)


def test_a_leader_that_differs_accuses_itself(tmp_path: Path) -> None:
    async def test(c: Cluster) -> None:
        leader, _, _ = await three(c)
        bad = damage(c, leader)
        await corruption.check(c.node(leader), c.member(leader)._doors.peer_tls)
        assert await agreed(c) == [(bad, CORRUPT)]

    with_cluster(tmp_path, 3, test)


def test_who_differs_refuses_to_start_in_etcds_words(tmp_path: Path) -> None:
    async def test(c: Cluster) -> None:
        leader, one, two = await three(c)
        bad = damage(c, one)
        with pytest.raises(FatalError) as caught:
            await corruption.initial_check(c.node(one), c.member(one)._doors.peer_tls)
        assert str(caught.value) == f"{bad:x} found data inconsistency with peers"
        assert caught.value.code == Exit.BAD_DATA
        # Peers that cannot be asked, or have compacted what is asked for, decide nothing.
        node = c.node(leader)
        await put(node, "k", "w")
        await node.propose(Compact(node.machine.revision))
        await c.applied_everywhere()
        c.node(one).machine.revision -= 1
        await corruption.initial_check(c.node(one), c.member(one)._doors.peer_tls)
        c.node(one).machine.revision += 1
        await c.stop(two)
        await c.stop(leader)
        await corruption.initial_check(c.node(one), c.member(one)._doors.peer_tls)

    with_cluster(tmp_path, 3, test, election_timeout_ms=2_000)


def test_only_a_leader_compares_every_so_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(c: Cluster) -> None:
        leader, follower, _ = await three(c)
        checked: list[int] = []
        slept: list[float] = []

        async def check(node: Node, tls: object) -> None:
            checked.append(node.member_id)
            raise KvorumError(Condition.TIMEOUT)

        async def sleep(seconds: float) -> None:
            slept.append(seconds)
            if len(slept) == 4:
                raise EOFError

        monkeypatch.setattr(corruption, "check", check)
        for number, expected in ((leader, 3), (follower, 0)):
            checked.clear()
            slept.clear()
            tls = c.member(number)._doors.peer_tls
            with pytest.raises(EOFError):
                await corruption.watch(c.node(number), tls, 30.0, sleep)
            assert slept == [30.0] * 4
            assert checked == [c.node(number).member_id] * expected

    with_cluster(tmp_path, 3, test)


def test_the_flag_starts_the_comparison(tmp_path: Path) -> None:
    async def test(c: Cluster) -> None:
        leader, one, _ = await three(c)
        bad = damage(c, one)
        async with asyncio.timeout(PATIENCE_S):
            while (bad, CORRUPT) not in alarms(c):
                await asyncio.sleep(0.01)
                await c.applied_everywhere()
        node = c.node(leader)
        await node.propose(AlarmSet(2, bad, CORRUPT))

    with_cluster(tmp_path, 3, test, corrupt_check_s=0.2, election_timeout_ms=2_000)
