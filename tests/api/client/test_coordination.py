"""Leases, locks, elections and mirrors on live clusters."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable

import pytest
from kvorum.client import Client, KeyValue, LeaseNotFoundError, Put
from kvorum.client.lock import LockNotAcquired, OwnershipLost
from support.clusters import ClusterHandle
from support.programs import need_program

Live = Callable[..., None]


def test_a_lease_outlives_its_ttl_while_it_is_renewed(live: Live, prefix: str) -> None:
    async def scenario(client: Client) -> None:
        async with client.lease(2) as lease:
            await client.put(prefix + "k", "v", lease=lease.id)
            async with asyncio.timeout(60):
                await client_side_wait(lease.ttl_s * 2)
            assert not lease.lost.is_set()
            assert (await client.get(prefix + "k")).value == b"v"
            left = await client.leases.time_to_live(lease.id, keys=True)
            assert left.keys == ((prefix + "k").encode(),)
            assert 0 <= left.ttl_s <= left.granted_ttl_s == lease.ttl_s
            assert lease.id in await client.leases.list()
        assert not await client.get(prefix + "k")
        assert (await client.leases.time_to_live(lease.id)).ttl_s == -1

    live(scenario)


async def client_side_wait(seconds: float) -> None:
    """Let time pass: TTLs are whole seconds and cannot be made shorter."""
    await asyncio.sleep(seconds)


def test_a_lease_nobody_renews_takes_its_keys_along(live: Live, prefix: str) -> None:
    async def scenario(client: Client) -> None:
        lease = await client.leases.grant(2)
        put = await client.put(prefix + "k", "v", lease=lease.id)
        watch = client.watch(prefix + "k", start_revision=put.header.revision + 1)
        async with asyncio.timeout(60):
            assert (await anext(watch)).type == "DELETE"
        watch.close()
        with pytest.raises(LeaseNotFoundError):
            await client.leases.revoke(lease.id)

    live(scenario)


def test_a_revoked_lease_is_noticed_by_its_holder(live: Live) -> None:
    async def scenario(client: Client) -> None:
        async with client.lease(3) as lease:
            await client.leases.revoke(lease.id)
            async with asyncio.timeout(30):
                await lease.lost.wait()

    live(scenario)


async def queued(client: Client, name: str, count: int) -> tuple[KeyValue, ...]:
    """Wait until so many stand in a lock's queue."""
    async with client.mirror(name) as mirror, asyncio.timeout(30):
        while len(mirror) < count:
            await anext(mirror)
        return tuple(mirror.items())


def test_a_lock_has_one_holder_at_a_time_and_growing_tokens(live: Live, prefix: str) -> None:
    async def scenario(client: Client) -> None:
        holding = 0
        tokens: list[int] = []

        async def contend() -> None:
            nonlocal holding
            async with client.lock(prefix + "lock", ttl_s=10) as lock:
                holding += 1
                assert holding == 1
                done = await client.txn().if_(lock.owned).then(Put(prefix + "x", "1")).commit()
                assert done.succeeded
                tokens.append(lock.token)
                holding -= 1

        async with asyncio.timeout(60):
            await asyncio.gather(*(contend() for _ in range(6)))
        assert tokens == sorted(set(tokens))
        assert (await client.range(prefix + "lock", prefix=True)).count == 0

    live(scenario)


def test_a_lock_that_is_held(live: Live, prefix: str) -> None:
    async def scenario(client: Client) -> None:
        async with client.lock(prefix + "lock") as lock:
            with pytest.raises(LockNotAcquired):
                await client.lock(prefix + "lock", wait_s=0).acquire()
            with pytest.raises(LockNotAcquired):
                await client.lock(prefix + "lock", wait_s=0.2).acquire()
            # Those who gave up have left the queue.
            assert (await client.range(prefix + "lock", prefix=True)).count == 1
        done = await client.txn().if_(lock.owned).then(Put(prefix + "x", "1")).commit()
        assert not done.succeeded
        async with client.lock(prefix + "lock", wait_s=0):
            pass

    live(scenario)


def test_a_waiter_that_is_cancelled_leaves_the_queue(live: Live, prefix: str) -> None:
    async def scenario(client: Client) -> None:
        async with client.lock(prefix + "lock"):
            waiting = asyncio.create_task(client.lock(prefix + "lock").acquire())
            await queued(client, prefix + "lock", 2)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert (await client.range(prefix + "lock", prefix=True)).count == 1

    live(scenario)


def test_a_waiter_whose_lease_is_revoked_is_told(live: Live, prefix: str) -> None:
    async def scenario(client: Client) -> None:
        async with client.lock(prefix + "lock") as held:
            waiting = asyncio.create_task(client.lock(prefix + "lock", ttl_s=3).acquire())
            found = await queued(client, prefix + "lock", 2)
            (place,) = [kv for kv in found if kv.key != held.key]
            async with asyncio.timeout(30):
                await client.leases.revoke(place.lease)
                with pytest.raises(OwnershipLost):
                    await waiting

    live(scenario)


def test_the_lock_is_the_same_as_etcdctls(live: Live, cluster: ClusterHandle, prefix: str) -> None:
    """While we hold it etcdctl waits, and then gets it with a larger token."""
    etcdctl = need_program("etcdctl")

    async def scenario(client: Client) -> None:
        async with client.lock(prefix + "lock") as lock:
            command = [etcdctl, "--endpoints", cluster.endpoints[0], "lock", prefix + "lock", "env"]
            other = await asyncio.create_subprocess_exec(
                *command, stdout=subprocess.PIPE, env=os.environ | {"ETCDCTL_API": "3"}
            )
            await queued(client, prefix + "lock", 2)
            token = lock.token
        async with asyncio.timeout(30):
            out, _ = await other.communicate()
        revision = [line for line in out.decode().split() if line.startswith("ETCD_LOCK_REV=")]
        assert int(revision[0].partition("=")[2]) > token

    live(scenario)


def test_an_election(live: Live, prefix: str) -> None:
    async def scenario(client: Client) -> None:
        election = client.election(prefix + "e")
        assert await election.leader() is None
        seen: list[bytes] = []
        news = asyncio.Event()

        async def observe() -> None:
            async for leader in client.election(prefix + "e").observe():
                seen.append(leader.value)
                news.set()

        observing = asyncio.create_task(observe())

        async def wait_for(value: bytes) -> None:
            async with asyncio.timeout(30):
                while value not in seen:
                    news.clear()
                    await news.wait()

        async with election.campaign("one") as one:
            await wait_for(b"one")
            second = election.campaign("two")
            elected = asyncio.create_task(second.__aenter__())
            await one.proclaim("one again")
            await wait_for(b"one again")
            found = await election.leader()
            assert found is not None
            assert (found.key, found.create_revision) == (one.key, one.token)
            assert not elected.done()
        async with asyncio.timeout(30):
            two = await elected
        assert two.token > one.token
        await wait_for(b"two")
        with pytest.raises(OwnershipLost):
            await one.proclaim("too late")
        await two.resign()
        observing.cancel()
        await asyncio.wait([observing])
        assert seen == [b"one", b"one again", b"two"]

    live(scenario)


def test_a_mirror_follows(live: Live, prefix: str) -> None:
    async def scenario(client: Client) -> None:
        for n in range(30):
            await client.put(f"{prefix}{n:02}", str(n))
        async with client.mirror(prefix) as mirror:
            assert len(mirror) == 30
            await client.put(prefix + "05", "new")
            await client.delete(prefix + "06")
            last = await client.put(prefix + "30", "30")
            async with asyncio.timeout(30):
                while mirror.revision < last.header.revision:
                    await anext(mirror)
            now = await client.get_prefix(prefix)
            assert tuple(mirror.items()) == now.kvs
            assert [kv.key for kv in mirror.items(prefix + "0")] == [
                kv.key for kv in now.kvs if kv.key.startswith((prefix + "0").encode())
            ]
            found = mirror.get(prefix + "05")
            assert found is not None
            assert found.value == b"new"

    live(scenario)
