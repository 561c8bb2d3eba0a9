"""Item 3: all nodes killed at once, two hundred times, under writers and a watcher.

What was acknowledged is held against what one watcher saw through the kill (see
:mod:`cluster.storm`), and at the end of a run once more against a whole replay of the history, of
every cycle together, from each member.

A boot is measured from the start of the processes to the first linearizable read that a member
answers, by somebody who waits at its port: not by one who comes back every second. While other
programs take more than a tenth of the machine it is measured all the same, and counts as another
figure: the bound is one for kvorum, not for its neighbours.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from random import Random
from urllib.parse import urlsplit

from cluster.storm import Storm
from cluster.test_failpoints import equal_everywhere
from kvorum.client import Client
from support.clusters import ClusterHandle

from release.gate import Deadline, State, slice
from release.goals import AtLeast, Quantile
from release.idle import Others

WRITERS = 4
_FEW, _MANY = 10, 150  # Writes acknowledged before a kill.
_AFTER = 10
_AWAKE_S = 60.0
_BOOT_S = 5.0
_OTHERS = 0.1  # Of the machine, to others: beyond that a boot is a disturbed one.
_KNOCK_S = 0.01


@slice(
    "kills",
    "200 times kill -9 of all nodes: every acknowledged write is there, every boot serves "
    "within 5 s",
    (3,),
    [
        AtLeast("cycles", 200),
        AtLeast("undisturbed_boots", 300),
        Quantile("boot_s", 1.0, _BOOT_S),
    ],
)
def run(state: State, until: Deadline) -> None:
    """One cluster for the run, killed again and again."""
    rng = Random(state.count("cycles"))
    with state.cluster(3) as cluster:
        kept: dict[int, bytes] = {}
        while state.wanting() and not until.over():
            kept |= asyncio.run(_cycle(state, cluster, rng))
        asyncio.run(_replay(state, cluster, kept))


async def _cycle(state: State, cluster: ClusterHandle, rng: Random) -> dict[int, bytes]:
    """Write, kill, start, write; the acknowledged values by revision."""
    storm = Storm(cluster.endpoints, writers=WRITERS)

    async def worst(storm: Storm) -> None:
        await storm.writes(rng.randint(_FEW, _MANY))
        await asyncio.sleep(rng.random() / 10)
        await asyncio.to_thread(cluster.kill9)
        others, began_s = Others(), time.monotonic()
        await asyncio.to_thread(cluster.restart, wait=False)
        took = await asyncio.gather(*(_served(each, began_s) for each in cluster.endpoints))
        share = others.share(cluster.view(name).pid or 0 for name in cluster.names)
        _measured(state, took, share)
        await storm.writes(_AFTER)

    await storm.run(worst)
    await equal_everywhere(cluster.endpoints)
    state.add("cycles")
    state.add("kills", len(cluster.names))
    state.add("acknowledged_writes", len(storm.written.acknowledged))
    state.add("writes_of_unknown_fate", len(storm.written.unknown))
    return {revision: value for value, revision in storm.written.acknowledged.items()}


def _measured(state: State, took: Sequence[float], others: float) -> None:
    """Keep what boots took. The logs of one that took too long are the evidence."""
    if others > _OTHERS:
        state.sample("disturbed_boot_s", *took)
        return
    state.sample("boot_s", *took)
    state.add("undisturbed_boots", len(took))
    assert max(took) <= _BOOT_S, f"a boot took {max(took):.2f} s; others had {others:.0%}"


async def _served(endpoint: str, began_s: float) -> float:
    """Seconds until a member answers a linearizable read, to somebody who waits at its port."""
    where = urlsplit(endpoint)
    async with asyncio.timeout(_AWAKE_S):
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection(where.hostname, where.port)
                writer.close()
                break
            await asyncio.sleep(_KNOCK_S)
        async with Client([endpoint], timeout_s=_AWAKE_S, dial_timeout_s=_AWAKE_S) as client:
            await client.get("storm-begins")
    return time.monotonic() - began_s


async def _replay(state: State, cluster: ClusterHandle, kept: dict[int, bytes]) -> None:
    """Every acknowledged write of every cycle, asked of every member."""
    last = max(kept, default=0)
    for endpoint in cluster.endpoints:
        found: dict[int, bytes] = {}
        seen = 0
        async with (
            asyncio.timeout(300),
            Client([endpoint]) as client,
            client.watch("storm/", prefix=True, start_revision=1) as watch,
        ):
            while seen < last:
                for event in (await watch.next_batch()).events:
                    assert event.kv.mod_revision > seen, "a watcher went back"
                    seen = event.kv.mod_revision
                    found[seen] = event.kv.value
        lost = {r: value for r, value in kept.items() if found.get(r) != value}
        assert not lost, f"{endpoint} lost {len(lost)} acknowledged writes: {sorted(lost)[:5]}"
        state.add("writes_replayed", len(found))
    state.fact("revisions", f"up to {last:,} revisions")
