"""Real processes broken under load: nothing acknowledged is lost, nothing is seen twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from cluster.storm import Storm
from kvorum.client import Client
from kvorum_proto.kvorum.v1 import LinkFault
from support.clusters import ClusterHandle

Launch = Callable[..., ClusterHandle]

pytestmark = pytest.mark.slow


def in_thread(deed: Callable[..., object], *args: object) -> asyncio.Future[object]:
    """The supervisor blocks; the workload must not."""
    return asyncio.ensure_future(asyncio.to_thread(deed, *args))


def test_kill_9_of_the_leader(kvorum_cluster: Launch) -> None:
    cluster = kvorum_cluster(3)

    async def worst(storm: Storm) -> None:
        for _ in range(2):
            await storm.writes(100)
            leader = await asyncio.to_thread(cluster.leader)
            await in_thread(cluster.kill9, leader)
            await asyncio.to_thread(cluster.leader, leader)
            await storm.writes(100)
            await in_thread(cluster.restart, leader)

    asyncio.run(Storm(cluster.endpoints).run(worst))


def test_all_killed_and_started_again(kvorum_cluster: Launch) -> None:
    cluster = kvorum_cluster(3)

    async def worst(storm: Storm) -> None:
        for _ in range(2):
            await storm.writes(150)
            await in_thread(cluster.kill9)
            await in_thread(cluster.restart)
            await storm.writes(50)

    asyncio.run(Storm(cluster.endpoints).run(worst))


def test_the_leader_is_paused(kvorum_cluster: Launch) -> None:
    cluster = kvorum_cluster(3)

    async def worst(storm: Storm) -> None:
        await storm.writes(100)
        leader = await asyncio.to_thread(cluster.leader)
        await in_thread(cluster.pause, leader)
        try:
            await asyncio.to_thread(cluster.leader, leader)
            await storm.writes(50)
        finally:
            await in_thread(cluster.resume, leader)
        await asyncio.to_thread(cluster.wait_ready)
        await storm.writes(50)

    asyncio.run(Storm(cluster.endpoints).run(worst))


def test_the_leader_is_severed(kvorum_cluster: Launch) -> None:
    cluster = kvorum_cluster(3, faults=True)

    async def worst(storm: Storm) -> None:
        await storm.writes(100)
        leader = await asyncio.to_thread(cluster.leader)
        async with Client(cluster.endpoints) as client:
            member = client.member(cluster.endpoint(leader))
            fault = await member.faults.inject(LinkFault(), duration_ms=60_000)
            assert [state.id for state in await member.faults.list()] == [fault]
            await asyncio.to_thread(cluster.leader, leader)
            await storm.writes(50)
            assert await member.faults.lift() == 1
        await asyncio.to_thread(cluster.wait_ready)
        await storm.writes(50)

    asyncio.run(Storm(cluster.endpoints).run(worst))


def test_a_member_that_was_away_too_long_gets_a_snapshot(kvorum_cluster: Launch) -> None:
    cluster = kvorum_cluster(3, flags=("--snapshot-count=50", "--snapshot-catchup-entries=20"))

    async def away() -> None:
        async with Client(cluster.endpoints) as client:
            for n in range(20):
                await client.put(f"before/{n}", "x")
            absent = (await asyncio.to_thread(cluster.followers))[0]
            await in_thread(cluster.kill9, absent)
            present = [cluster.endpoint(name) for name in cluster.names if name != absent]
            async with Client(present) as others:
                for n in range(600):
                    await others.put(f"while-away/{n % 300}", f"{n}")
            await in_thread(cluster.restart, absent)
            revision = (await client.put("after", "x")).header.revision
            member = client.member(cluster.endpoint(absent))
            found = await member.get_prefix("while-away/")
            assert len(found.kvs) == 300
            hashes = await client.cluster.hashes(revision)
            assert len({each.hash for each in hashes.values()}) == 1
            old = await member.get("while-away/0", revision=revision - 300)
            assert old is not None

    asyncio.run(away())


def test_leases_and_revision_survive_the_death_of_all(kvorum_cluster: Launch) -> None:
    cluster = kvorum_cluster(3)

    async def before() -> tuple[int, int]:
        async with Client(cluster.endpoints) as client:
            granted = await client.leases.grant(300)
            await client.put("leased", "x", lease=granted.id)
            return granted.id, (await client.put("last", "x")).header.revision

    lease, revision = asyncio.run(before())
    cluster.kill9()
    cluster.restart()

    async def after() -> None:
        async with Client(cluster.endpoints) as client:
            assert await client.leases.list() == (lease,)
            left = await client.leases.time_to_live(lease, keys=True)
            assert left.keys == (b"leased",)
            assert 0 < left.ttl_s <= 300
            assert (await client.put("next", "x")).header.revision == revision + 1
            assert (await client.get("last")).mod_revision == revision

    asyncio.run(after())
