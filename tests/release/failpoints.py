"""Item 4: processes that die at every failpoint, and again as soon as they are back.

A round takes a new cluster through all names, in an order and on members of its own; each name
bites twice in a row. What makes every place one that is passed all the time is told in
:mod:`cluster.test_failpoints`, whose tools these are; judged by :mod:`cluster.storm`.
"""

from __future__ import annotations

import asyncio
from random import Random

from cluster.storm import Storm
from cluster.test_failpoints import ALONE, BUSY, Victim, equal_everywhere, fill
from kvorum.failpoints import NAMES
from support.clusters import ClusterHandle

from release.gate import Deadline, State, slice
from release.goals import AtLeast

_ROUNDS = 13  # Twice in each.
_BEFORE = _AFTER = 30  # Writes acknowledged.


@slice(
    "failpoints",
    f"a crash at each of {len(NAMES)} failpoints, 25 times, half of them twice in a row: nothing "
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
    victims = [Victim(cluster, name) for name in cluster.names]
    at_once = asyncio.Semaphore(2)

    async def kill(victim: Victim, names: list[str]) -> None:
        for name in names:
            async with at_once:
                if not until.over():
                    await twice(victim, name)

    async def twice(victim: Victim, name: str) -> None:
        for _ in range(2):
            await victim.die_at(name)
            state.add(f"crashes/{name}")
        state.add(f"twice_in_a_row/{name}")

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
