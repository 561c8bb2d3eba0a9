"""Item 6: many watchers, many events, and watchers that come back on other members.

Every event is taken by the time from the call of its write to its arrival; every watcher's messages
go to the judge, whose nine rules are the promises of a watch.
"""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path

from support.clusters import ClusterHandle

from release.gate import Deadline, State, slice
from release.goals import AtLeast, Quantile
from release.watchload import WatchLoad

_WATCHERS, _CONNECTIONS = 1_000, 20
_PER_S, _STEADY_WRITES = 200, 60_000
_FAN, _FAN_PER_S, _FAN_WRITES = 200, 5, 300
_RECONNECTS, _RETURNING = 50, 5
_KILL_EVERY = 10


@slice(
    "watches",
    "1,000 watchers on keys of their own over 20 connections, 200 writes/s for 5 min: nine rules "
    "hold, p99 delivery <= 250 ms; 200 watchers of one key x 5 writes/s; 50 returns on other "
    "members: no gap, no repeat",
    (6,),
    [
        AtLeast("steady_writes", _STEADY_WRITES),
        AtLeast("fan_writes", _FAN_WRITES),
        AtLeast("returns", _RECONNECTS),
        Quantile("delivery_ms", 0.99, 250.0),
    ],
)
async def watches(state: State, until: Deadline) -> None:
    """Three parts, each on a cluster of its own."""
    while state.wanting() and until.left_s() > 20:
        if state.count("returns") < _RECONNECTS:
            with state.scratch() as folder, state.cluster(3) as cluster:
                await returning(state, until, folder, cluster)
        elif state.count("fan_writes") < _FAN_WRITES:
            with state.scratch() as folder, state.cluster(3) as cluster:
                await fan(state, until, folder, cluster)
        else:
            with state.scratch() as folder, state.cluster(3) as cluster:
                await steady(state, until, folder, cluster)


async def steady(state: State, until: Deadline, folder: Path, cluster: ClusterHandle) -> None:
    """A thousand watchers, each of a key of its own."""
    async with WatchLoad(cluster) as load:
        keys = [load.prefix + b"%d" % n for n in range(_WATCHERS)]
        clients = [load.connect(n) for n in range(_CONNECTIONS)]
        for some in range(0, _WATCHERS, 100):
            await asyncio.gather(
                *(load.watch(clients[n % _CONNECTIONS], keys[n]) for n in range(some, some + 100))
            )
        wanted = _STEADY_WRITES - state.count("steady_writes")
        per_s = await load.paced(keys, _PER_S, wanted, lambda: until.left_s() < 12)
        await load.finish(state, folder)
        state.add("steady_writes", len(load.history.operations))
        state.sample("delivery_ms", *load.latencies_ms)
        state.fact("pace", f"{per_s:.0f} writes a second")


async def fan(state: State, until: Deadline, folder: Path, cluster: ClusterHandle) -> None:
    """Two hundred watchers of one key."""
    async with WatchLoad(cluster) as load:
        key = load.prefix + b"fan"
        clients = [load.connect(n) for n in range(_CONNECTIONS)]
        await asyncio.gather(*(load.watch(clients[n % _CONNECTIONS], key) for n in range(_FAN)))
        wanted = _FAN_WRITES - state.count("fan_writes")
        await load.paced([key], _FAN_PER_S, wanted, lambda: until.left_s() < 12)
        await load.finish(state, folder)
        state.add("fan_writes", len(load.history.operations))
        state.sample("fan_delivery_ms", *load.latencies_ms)


async def returning(state: State, until: Deadline, folder: Path, cluster: ClusterHandle) -> None:
    """Watchers that leave and go on elsewhere from where they were; now and then the member that
    serves some of them is killed, so that their clients go on elsewhere by themselves.
    """
    async with WatchLoad(cluster) as load:
        keys = [load.prefix + b"%d" % n for n in range(20)]
        stopped = asyncio.Event()
        writing = asyncio.create_task(load.paced(keys, 100, 10**9, stopped.is_set))
        faithful = [await load.watch(load.connect(), load.prefix, prefix=True) for _ in range(4)]
        places = list(range(_RETURNING))
        guests = [await load.watch(load.connect(n), load.prefix, prefix=True) for n in places]
        told: list[list[int]] = [[] for _ in guests]
        try:
            while state.count("returns") < _RECONNECTS and until.left_s() > 15:
                who = random.randrange(_RETURNING)
                start = await guests[who].stop()
                told[who] += guests[who].revisions
                await asyncio.sleep(random.uniform(0.0, 0.5))
                places[who] += 1
                client = load.connect(places[who])
                guests[who] = await load.watch(client, load.prefix, True, start)
                state.add("returns")
                if state.count("returns") % _KILL_EVERY == 0:
                    await lose(load, cluster)
                    state.add("members_lost")
            await asyncio.sleep(0.5)
        finally:
            stopped.set()
            await writing
        began_s = time.monotonic()
        await load.finish(state, folder)
        state.sample("caught_up_s", time.monotonic() - began_s)
        for guest, before in zip(guests, told, strict=True):
            whole = [*before, *guest.revisions]
            expected = [x for x in faithful[0].revisions if x >= whole[0]]
            assert whole == expected, "a watcher that came back was told too little, or twice"


async def lose(load: WatchLoad, cluster: ClusterHandle) -> None:
    """A member is killed and comes back."""
    name = random.choice(cluster.names)
    await asyncio.to_thread(cluster.kill9, name)
    await asyncio.sleep(1.0)
    await asyncio.to_thread(cluster.restart, name)
