"""Two thousand leases on real processes, whose leader is paused and the next one killed: those that
are kept alive stay, those that are not end, and none ends early.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable

import pytest
from kvorum.client import Client
from kvorum.client.client import MemberClient
from support.clusters import WAIT_S, ClusterHandle

Launch = Callable[..., ClusterHandle]

pytestmark = pytest.mark.slow

COUNT = 1_000  # Of those that are kept alive, and of those that are not.
TTL_S = 12
AT_ONCE = 100


async def in_parallel(work: Callable[[int], Awaitable[object]], numbers: Iterable[int]) -> None:
    """Do all of it, some at a time."""
    waiting = iter(numbers)

    async def one() -> None:
        for number in waiting:
            await work(number)

    await asyncio.gather(*[one() for _ in range(AT_ONCE)])


async def next_leader(cluster: ClusterHandle, other_than: str) -> str:
    """Who leads after this one."""
    return await asyncio.to_thread(cluster.leader, other_than)


class Left:
    """Leases that are left alone: until when each was promised to live, and when it was missed."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.until: dict[int, float] = {}
        self.missed: dict[int, float] = {}

    async def grant(self, lease: int) -> None:
        """One lease with a key. Its time cannot begin before it is asked for."""
        asked = time.monotonic()
        granted = await self._client.leases.grant(TTL_S, id=lease)
        self.until[lease] = asked + granted.ttl_s
        await self._client.put(b"left/%d" % lease, b"", lease=lease)

    async def all_end(self, member: MemberClient) -> None:
        """Look at a member until none is left."""
        deadline = time.monotonic() + WAIT_S
        while len(self.missed) < len(self.until):
            there = set(await member.leases.list())
            now = time.monotonic()
            assert now < deadline, f"{len(self.until) - len(self.missed)} leases do not end"
            for lease in self.until.keys() - there - self.missed.keys():
                self.missed[lease] = now
            await asyncio.sleep(0.1)


def test_two_thousand_leases(kvorum_cluster: Launch) -> None:
    cluster = kvorum_cluster(3)

    async def main() -> None:
        async with Client(cluster.endpoints) as client, Client(cluster.endpoints) as keeper:
            kept = [keeper.lease(TTL_S, id=1 + n) for n in range(COUNT)]
            await in_parallel(lambda n: kept[n].start(), range(COUNT))
            left = Left(client)
            await in_parallel(left.grant, range(10_001, 10_001 + COUNT))
            first = await asyncio.to_thread(cluster.leader)
            await asyncio.to_thread(cluster.pause, first)
            try:
                second = await next_leader(cluster, first)
            finally:
                await asyncio.to_thread(cluster.resume, first)
            third = next(name for name in cluster.names if name not in (first, second))
            await asyncio.to_thread(cluster.kill9, second)
            await next_leader(cluster, second)
            observer = client.member(cluster.endpoint(third))
            await left.all_end(observer)
            early = {x: t for x, t in left.missed.items() if t < left.until[x]}
            assert early == {}
            assert (await observer.range("left/", prefix=True)).count == 0
            # Meanwhile more than a TTL went by for those that were kept alive.
            assert [lease.reason for lease in kept if lease.lost.is_set()] == []
            assert min(lease.renewals for lease in kept) >= 2
            assert set(await observer.leases.list()) == {lease.id for lease in kept}
            await in_parallel(lambda n: kept[n].stop(), range(COUNT))
            assert await observer.leases.list() == ()

    asyncio.run(main())
