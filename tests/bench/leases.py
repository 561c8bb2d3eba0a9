"""Prints what many leases cost a cluster of three real processes: granting, keeping alive, losing
the leader, expiring.

Run as ``python tests/bench/leases.py [leases]`` (default 10,000; takes about a minute and a half).
Times are compared with a Put on the same cluster, so that figures of different machines can be laid
side by side.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from kvorum.client import Client
from kvorum.client.errors import ClientError
from support.clusters import ClusterHandle, make_spec

TTL_S = 20
AT_ONCE = 200  # Requests under way at a time.
PAGE_KB = 4


async def in_parallel(work: Callable[[int], Awaitable[Any]], numbers: Sequence[int]) -> float:
    """Seconds that it takes to do all of it, ``AT_ONCE`` at a time."""
    waiting = iter(numbers)

    async def one() -> None:
        for number in waiting:
            await work(number)

    begun = time.perf_counter()
    await asyncio.gather(*[one() for _ in range(AT_ONCE)])
    return time.perf_counter() - begun


def resident_kb(cluster: ClusterHandle, name: str) -> int:
    """A node's memory."""
    pid = cluster.view(name).pid
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_KB


async def stalls(cluster: ClusterHandle) -> str:
    """By how much each node's event loop was late: over its newest 1,000 ticks (100 s)."""
    said = []
    for name in cluster.names:
        if cluster.view(name).state != "running":
            continue
        async with Client([cluster.endpoint(name)]) as client:
            late = (
                await client.member(cluster.endpoint(name)).inspect.statistics_once()
            ).loop_stall
        assert late is not None
        p50, p99, most = (us / 1e3 for us in (late.p50_us, late.p99_us, late.max_us))
        said.append(f"{name} p50 {p50:.1f} p99 {p99:.1f} max {most:.1f} ms")
    return ", ".join(said)


class Bench:
    """One run."""

    def __init__(self, cluster: ClusterHandle, count: int) -> None:
        self.cluster = cluster
        self.count = count
        self.ids = range(1, count + 1)

    async def run(self) -> None:
        """The story of the leases."""
        cluster, count = self.cluster, self.count
        leader = await asyncio.to_thread(cluster.leader)
        async with Client(cluster.endpoints) as client:
            put_s = await in_parallel(lambda n: client.put(b"p%d" % n, b"x"), self.ids)
            print(f"put {count}: {put_s:.2f} s, {put_s / count * 1e6:.0f} us each")
            before = {name: resident_kb(cluster, name) for name in cluster.names}
            grant_s = await in_parallel(lambda n: client.leases.grant(TTL_S, id=n), self.ids)
            print(f"grant {count}: {grant_s:.2f} s, {grant_s / put_s:.2f} of a put each")
            for name in cluster.names:
                grown = (resident_kb(cluster, name) - before[name]) * 1024 / count
                print(f"  {name}: {grown:.0f} bytes a lease")
            keep_s = await in_parallel(client.leases.keep_alive_once, self.ids)
            print(f"keep alive {count}, a stream each: {keep_s / put_s:.2f} of a put each")
            print("  loop late:", await stalls(cluster))
            begun = time.perf_counter()
            await asyncio.to_thread(cluster.kill9, leader)
            await asyncio.to_thread(cluster.leader, leader)
            print(f"leader killed; the next one after {time.perf_counter() - begun:.1f} s")
            await self._expire(client)
        print("  loop late:", await stalls(cluster))

    async def _expire(self, client: Client) -> None:
        begun = time.perf_counter()
        at: list[float] = []
        left = self.count
        while left:
            await asyncio.sleep(0.5)
            try:
                now_left = len(await client.leases.list())
            except ClientError:
                continue  # The member that was asked has just died.
            at += [time.perf_counter() - begun] * (left - now_left)
            left = now_left
        at.sort()
        most = max(at.count(moment) for moment in set(at))
        print(
            f"expired after {at[0]:.1f} to {at[-1]:.1f} s (TTL {TTL_S} s and an election timeout),"
            f" at most {most} between two looks"
        )


def main() -> None:
    """Start the cluster, run, stop it."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as room:
        directory = Path(room) / "cluster"
        cluster = ClusterHandle(make_spec(directory, 3), directory)
        try:
            cluster.start()
            asyncio.run(Bench(cluster, count).run())
        finally:
            cluster.end()


if __name__ == "__main__":
    main()
