"""Item 8: two thousand leases, twenty leader changes, clocks that run 20% apart from true.

Half of the leases are kept alive until the leaders have changed, half are left alone from the
start. What a lease promises is held against the clocks: it may not end before its time by the
fastest of them, and has to be gone soon after its time by the slowest, counted from its last
renewal or, where that is later, from the last change of leaders.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping

from kvorum.client import Client
from kvorum.client.errors import ClientError
from kvorum.client.lease import Lease
from kvorum_proto.kvorum.v1 import ClockFault, LinkFault
from support.clusters import ClusterHandle

from release.gate import Deadline, State, slice
from release.goals import AtLeast, AtMost, Quantile

LEASES, CHANGES, TTL_S = 2_000, 20, 60
_RATES_PPM = (200_000, -200_000, 0)
_FAST, _SLOW = 1.2, 0.8
_ELECTION_S = 1.0
_BOUND_S = 1.0
_SKEW_MS = 600_000
_AT_ONCE = 100
_LOOK_S = 0.1
_HOWS = ("transfer", "kill", "pause", "cut")


@slice(
    "leases",
    "2,000 leases, 20 leader changes, clocks 20% fast and slow: none ends early, all are gone "
    "within TTL + 2 election timeouts + 1 s (by the slowest clock)",
    (8,),
    [
        AtLeast("leases", LEASES),
        AtLeast("leader_changes", CHANGES),
        AtMost("early", 0),
        AtMost("late", 0),
        Quantile("beyond_bound_s", 1.0, 0.0),
    ],
)
async def leases(state: State, until: Deadline) -> None:
    """The whole of it on one cluster; it cannot be done by halves."""
    while state.wanting() and until.left_s() > 3.5 * TTL_S + 60:
        with state.cluster(3, faults=True, election_ms=1000 * int(_ELECTION_S)) as cluster:
            await Leased(state, cluster).run()


class Leased:
    """One cluster, and what is known of its leases."""

    def __init__(self, state: State, cluster: ClusterHandle) -> None:
        self._state = state
        self._cluster = cluster
        self._until_s: dict[int, float] = {}  # A lease left alone lives at least as long.
        self._gone_s: dict[int, float] = {}
        self._changed_s = 0.0

    async def run(self) -> None:
        """Grant, change leaders, let one half end, and then the other."""
        endpoints = self._cluster.endpoints
        async with Client(endpoints, timeout_s=10.0) as client:
            for name in self._cluster.names:
                await self._skew(client, name)
            async with Client(endpoints, timeout_s=10.0) as keeper:
                kept = [keeper.lease(TTL_S, id=1 + n, revoke=False) for n in range(LEASES // 2)]
                await in_parallel(lambda n: kept[n].start(), range(len(kept)))
                await in_parallel(lambda n: self._grant(client, 100_001 + n), range(LEASES // 2))
                looking = asyncio.create_task(self._look(client, kept))
                try:
                    for number in range(CHANGES):
                        await self._change(client, _HOWS[number % len(_HOWS)])
                    await self._all_gone(looking, "left alone")
                    lost = [lease.reason for lease in kept if lease.lost.is_set()]
                    assert not lost, f"leases that were kept alive are lost: {lost[:3]}"
                    self._state.add("kept_alive", len(kept))
                    for lease in kept:
                        await lease.stop()
                        self._until_s[lease.id] = time.monotonic() + lease.remaining_s
                    await self._all_gone(looking, "kept alive before")
                finally:
                    looking.cancel()
                    await asyncio.gather(looking, return_exceptions=True)
            left = await client.range("leased/", prefix=True, count_only=True)
            assert left.count == 0, f"{left.count} keys outlived their leases"
        self._judge()

    async def _grant(self, client: Client, id_: int) -> None:
        asked_s = time.monotonic()
        granted = await client.leases.grant(TTL_S, id=id_)
        self._until_s[id_] = asked_s + granted.ttl_s
        await client.put(b"leased/%d" % id_, b"", lease=id_)

    async def _skew(self, client: Client, name: str) -> None:
        rate_ppm = _RATES_PPM[self._cluster.names.index(name)]
        if rate_ppm:
            faults = client.member(self._cluster.endpoint(name)).faults
            await faults.inject(ClockFault(rate_ppm=rate_ppm), duration_ms=_SKEW_MS)

    # --- leaders ----------------------------------------------------------------------------------

    async def _change(self, client: Client, how: str) -> None:
        """Another leader, by one of four ways; the old one is a healthy member again after it."""
        cluster = self._cluster
        old = await asyncio.to_thread(cluster.wait_ready)
        member = client.member(cluster.endpoint(old))
        if how == "transfer":
            other = next(name for name in cluster.names if name != old)
            status = await client.member(cluster.endpoint(other)).maintenance.status()
            await member.maintenance.move_leader(status.member_id)
        elif how == "kill":
            await asyncio.to_thread(cluster.kill9, old)
        elif how == "pause":
            await asyncio.to_thread(cluster.pause, old)
        else:
            await member.faults.inject(LinkFault(), duration_ms=3_000)
        try:
            await asyncio.to_thread(cluster.leader, old)
        finally:
            if how == "kill":
                await asyncio.to_thread(cluster.restart, old)
                await self._skew(client, old)
            elif how == "pause":
                await asyncio.to_thread(cluster.resume, old)
        await asyncio.to_thread(cluster.wait_ready)
        self._changed_s = time.monotonic()
        self._state.add("leader_changes")
        self._state.add(f"changed_by/{how}")

    # --- the ends of leases -----------------------------------------------------------------------

    async def _look(self, client: Client, kept: list[Lease]) -> None:
        """See which leases are gone, at one member after the other: the first that knows counts."""
        everything = {*self._until_s, *(lease.id for lease in kept)}
        while True:
            for endpoint in self._cluster.endpoints:
                try:
                    async with asyncio.timeout(1.0):
                        there = set(await client.member(endpoint).leases.list())
                except (ClientError, TimeoutError):
                    continue  # Dead, paused or starting.
                now_s = time.monotonic()
                for id_ in everything - there - self._gone_s.keys():
                    self._gone_s[id_] = now_s
                await asyncio.sleep(_LOOK_S)

    def _due_s(self, id_: int) -> float:
        """When a lease has to be gone. A new leader may give it its whole time again."""
        begun_s = max(self._until_s[id_] - TTL_S, self._changed_s)
        return begun_s + (TTL_S + 2 * _ELECTION_S) / _SLOW + _BOUND_S

    async def _all_gone(self, looking: asyncio.Task[None], which: str) -> None:
        end_s = max(map(self._due_s, self._until_s)) + 30
        while missing := self._until_s.keys() - self._gone_s.keys():
            assert time.monotonic() < end_s, f"{len(missing)} leases {which} do not end"
            if looking.done():
                looking.result()
            await asyncio.sleep(_LOOK_S)

    def _judge(self) -> None:
        """Every end against its bounds."""
        early, late = [], []
        for id_, gone_s in self._gone_s.items():
            begun_s = self._until_s[id_] - TTL_S
            if gone_s < begun_s + TTL_S / _FAST:
                early.append(id_)
            beyond_s = gone_s - self._due_s(id_)
            if beyond_s > 0:
                late.append(id_)
            self._state.sample("lived_s", gone_s - begun_s)
            self._state.sample("beyond_bound_s", max(0.0, beyond_s))
        self._state.add("leases", len(self._gone_s))
        self._state.add("early", len(early))
        self._state.add("late", len(late))
        assert not early, f"{len(early)} leases ended early: {_told(early, self._gone_s)}"
        assert not late, f"{len(late)} leases ended late: {_told(late, self._gone_s)}"


def _told(ids: list[int], when_s: Mapping[int, float]) -> str:
    return ", ".join(f"{id_:x} at {when_s[id_]:.3f}" for id_ in ids[:5])


async def in_parallel(work: Callable[[int], Awaitable[object]], numbers: Iterable[int]) -> None:
    """Do all of it, some at a time."""
    waiting = iter(numbers)

    async def one() -> None:
        for number in waiting:
            await work(number)

    await asyncio.gather(*[one() for _ in range(_AT_ONCE)])
