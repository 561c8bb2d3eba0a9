"""Item 4: processes that die at every failpoint, and again while they recover from that.

A round takes a new cluster through all names, in an order and on members of its own. Each name
bites twice in a row: the process that is started after the first death has the failpoint armed from
its first instruction, so that it dies while it starts where it passes the place then, and as soon
as it does later otherwise. What makes every place one that is passed all the time is told in
:mod:`cluster.test_failpoints`, whose tools these are; judged by :mod:`cluster.storm`.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from random import Random

from cluster.storm import Storm
from cluster.test_failpoints import (
    ALONE,
    BUSY,
    LONG_MS,
    Victim,
    equal_everywhere,
    fill,
    patiently,
    provoke,
)
from kvorum.client import Client
from kvorum.client.errors import ClientError
from kvorum.cluster.process import log_says
from kvorum.failpoints import NAMES, VARIABLE
from kvorum_proto.kvorum.v1 import FailpointFault
from support.clusters import ClusterHandle

from release.gate import Deadline, State, slice
from release.goals import AtLeast

_ROUNDS = 13  # Twice in each.
_BEFORE = _AFTER = 30  # Writes acknowledged.


@slice(
    "failpoints",
    f"a crash at each of {len(NAMES)} failpoints, 25 times, twice in a row: nothing "
    "acknowledged is lost, nothing applied twice",
    (4,),
    [AtLeast("crashes/*", 25), AtLeast("twice_in_a_row/*", 12)],
)
def run(state: State, until: Deadline) -> None:
    """Rounds of all names; a name that has its number is left out."""
    for name in NAMES:
        state.add(f"crashes/{name}", 0)
        state.add(f"twice_in_a_row/{name}", 0)
    while state.wanting() and not until.over():
        wanted = [name for name in NAMES if state.count(f"crashes/{name}") < 2 * _ROUNDS]
        rng = Random(state.count("rounds"))
        rng.shuffle(wanted)
        with state.cluster(3, faults=True, flags=BUSY, heartbeat_ms=50, election_ms=500) as cluster:
            storm = Storm(cluster.endpoints, writers=1)
            asyncio.run(_round(state, until, cluster, storm, wanted, rng))
        state.add("rounds")
        state.add("acknowledged_writes", len(storm.written.acknowledged))
        state.add("writes_of_unknown_fate", len(storm.written.unknown))


class Twice(Victim):
    """A member that dies, and dies again while it comes back. ``starting``: held while any member
    of the cluster is started, because what a start has in its environment is the cluster's.
    """

    def __init__(self, cluster: ClusterHandle, name: str, starting: asyncio.Lock) -> None:
        super().__init__(cluster, name)
        self._starting = starting
        self._log = cluster.view(name).log

    async def die_twice(self, point: str) -> bool:
        """See it die at ``point`` twice; whether the second time was before it served."""
        since = self._log.stat().st_size
        async with Client([self._endpoint]) as client:
            fault = FailpointFault(terms=f"{point}=crash")
            # It may die before it can answer; whether it did what it was told is in its log.
            with contextlib.suppress(ClientError):
                await client.member(self._endpoint).faults.inject(fault, duration_ms=LONG_MS)
        await self._dies(point, since)
        since = self._log.stat().st_size
        await self._start(f"{point}=crash")
        await self._dies(point, since)
        served = log_says(self._log, "ready to serve", since)
        await self._start("")
        await self.back()
        return not served

    async def _dies(self, point: str, since: int) -> None:
        async with Client([self._endpoint], timeout_s=2.0) as client:
            provoking = asyncio.create_task(provoke(client.member(self._endpoint), point))
            try:
                await patiently(self._is_dead, f"{self.name} dies at {point}")
            finally:
                provoking.cancel()
        assert self._cluster.view(self.name).ending == "was ended by SIGKILL"
        assert log_says(self._log, f"{point}=crash", since), "it died of something else"

    async def _start(self, failpoint: str) -> None:
        supervisor = self._cluster.supervisor
        async with self._starting:
            spec = supervisor.spec
            if failpoint:
                supervisor.spec = replace(spec, env={**spec.env, VARIABLE: failpoint})
            try:
                await asyncio.to_thread(self._cluster.restart, self.name, wait=False)
            finally:
                supervisor.spec = spec


async def _round(
    state: State,
    until: Deadline,
    cluster: ClusterHandle,
    storm: Storm,
    wanted: list[str],
    rng: Random,
) -> None:
    alone = [name for name in wanted if name.startswith(ALONE)]
    others = [name for name in wanted if name not in alone]
    starting = asyncio.Lock()
    victims = [Twice(cluster, name, starting) for name in cluster.names]
    at_once = asyncio.Semaphore(2)

    async def kill(victim: Twice, names: list[str]) -> None:
        for name in names:
            async with at_once:
                if not until.over():
                    await twice(victim, name)

    async def twice(victim: Twice, name: str) -> None:
        early = await victim.die_twice(name)
        state.add(f"crashes/{name}", 2)
        state.add(f"twice_in_a_row/{name}")
        state.add("second_deaths_before_it_served", early)

    async def worst(storm: Storm) -> None:
        filling = asyncio.create_task(fill(cluster.endpoints))
        try:
            await storm.writes(_BEFORE)
            await asyncio.gather(*(kill(each, others[n::3]) for n, each in enumerate(victims)))
            for name in alone:
                if not until.over():
                    await twice(rng.choice(victims), name)
            await storm.writes(_AFTER)
        finally:
            filling.cancel()
        await asyncio.to_thread(cluster.wait_ready)

    await storm.run(worst)
    await equal_everywhere(cluster.endpoints)
