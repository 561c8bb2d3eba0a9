"""The row of killed leaders: how long nobody can write."""

from __future__ import annotations

import asyncio
import random
import shutil
import time
from pathlib import Path

from bench.measure.bench import Bench, row
from bench.measure.figure import Figure, Row
from bench.measure.h2load import quantile
from bench.measure.servers import ETCD, KVORUM, PROGRAMS
from release.failover import first_acknowledged
from release.ledger import Ledger
from support.clusters import ClusterHandle, make_spec

_A_TURN = 5


async def kills(cluster: ClusterHandle, times: int) -> list[float]:
    """Kill the leader, wait for a write, start it again; seconds without writes."""
    ledger, took = Ledger("kills/"), []
    for _ in range(times):
        leader = await asyncio.to_thread(cluster.wait_ready)
        # Not in step with the heartbeats and elections before.
        await asyncio.sleep(random.uniform(0.2, 1.2))
        rest = [cluster.endpoint(name) for name in cluster.names if name != leader]
        began_s = time.monotonic()
        dying = asyncio.create_task(asyncio.to_thread(cluster.kill9, leader))
        took.append(await first_acknowledged(ledger, rest) - began_s)
        await dying
        await asyncio.to_thread(cluster.restart, leader)
    lost = await ledger.lost(cluster.endpoints)
    assert not lost, f"{lost} acknowledged writes are lost"
    return took


def clusters(bench: Bench) -> dict[str, ClusterHandle]:
    """Three nodes of each, with etcd's own timeouts (election 1 s, heartbeat 100 ms)."""
    found = {}
    for program in PROGRAMS:
        place: Path = bench.scratch / f"leaders-{program}"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        flags = ["--http2", bench.http2] if program == KVORUM else []
        found[program] = ClusterHandle(make_spec(place, 3, program=program, flags=flags), place)
    return found


@row("leader")
def leader_killed(bench: Bench) -> Row:
    """kvorum and etcd by turns, both clusters up all the time."""
    bench.close()
    found: dict[str, list[float]] = {program: [] for program in PROGRAMS}
    made = Row("leader", "leader killed -> writes again", [])
    running = clusters(bench)
    try:
        for cluster in running.values():
            cluster.start()
        while len(found[ETCD]) < bench.kills:
            for program, cluster in running.items():
                times = min(_A_TURN, bench.kills - len(found[program]))
                found[program] += asyncio.run(kills(cluster, times))
    finally:
        for cluster in running.values():
            cluster.end()
    quantiles = {
        name: {q: quantile(sorted(all_), q) for q in (0.5, 0.99)} for name, all_ in found.items()
    }
    for share in (0.5, 0.99):
        made.figures.append(
            Figure(
                f"p{share * 100:g} of {bench.kills} kills",
                "s",
                [quantiles[KVORUM][share]],
                [quantiles[ETCD][share]],
                "<= etcd's",
                1.0,
                ratio=True,
            )
        )
    for name, all_ in found.items():
        made.notes.append(f"{name}: least {min(all_):.2f}, largest {max(all_):.2f} s")
    return made
