"""Real processes that die at every failpoint under writers: nothing acknowledged is lost.

One cluster is shared by all names: each member is crashed at its share of them, two members at a
time at most, and comes back by itself on what it has. Logs of 64 KiB a file, a snapshot every 15
entries and a compaction now and then make every place one that is passed all the time; what is not
(defragmentations, a leader's snapshot) is asked for.

``KVORUM_LONG=1`` goes through all names 25 times, each time in another order and on other members.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from random import Random

import pytest
from cluster.storm import Storm
from kvorum.client import Client
from kvorum.client.client import MemberClient
from kvorum.client.errors import ClientError, UnknownOutcome
from kvorum.cluster.process import log_says
from kvorum.failpoints import NAMES, VARIABLE
from kvorum_proto.kvorum.v1 import FailpointFault, LinkFault
from support.clusters import ClusterHandle

Launch = Callable[..., ClusterHandle]

pytestmark = pytest.mark.slow

ROUNDS = 25 if os.environ.get("KVORUM_LONG") else 1
BUSY = (
    "--snapshot-count=15",
    "--snapshot-catchup-entries=5",
    "--wal-segment-bytes=65536",
)
# What happens to a member that lags: the others need their quorum meanwhile.
ALONE = ("snapshot_receive", "snapshot_install")
AWAY_MS = 1_000
LONG_MS = 120_000
BALLAST_BYTES, PAUSE_S = 8_000, 0.02
HISTORY_KEPT = 300


async def patiently(condition: Callable[[], bool], what: str) -> None:
    """Wait until ``condition()`` holds."""
    try:
        async with asyncio.timeout(60):
            while not condition():
                await asyncio.sleep(0.03)
    except TimeoutError:
        raise AssertionError(f"not within 60 s: {what}") from None


async def fill(endpoints: list[str]) -> None:
    """Make the log grow, and compact what is old, for ever."""
    async with Client(endpoints, timeout_s=3.0) as client:
        count = 0
        while True:
            count += 1
            # Fast enough for every place, and cores are left for those who come back.
            await asyncio.sleep(PAUSE_S)
            with contextlib.suppress(ClientError):
                put = await client.put("ballast", bytes(BALLAST_BYTES))
                if count % 20 == 0 and put.header.revision > HISTORY_KEPT:
                    await client.compact(put.header.revision - HISTORY_KEPT)


async def provoke(member: MemberClient, point: str) -> None:
    """Bring a member to a place that it does not pass by itself, again until it dies of it."""
    while True:
        with contextlib.suppress(ClientError):
            if point.startswith(ALONE):
                # Long enough away that the log of the others does not reach back.
                await member.faults.inject(LinkFault(), duration_ms=AWAY_MS)
            elif point.startswith(("defragment", "history_replace")):
                await member.maintenance.defragment()
            elif point.startswith("reply"):
                await member.put("provoked", point)
        await asyncio.sleep(2 * AWAY_MS / 1000)


class Victim:
    """One member, and the way it dies."""

    def __init__(self, cluster: ClusterHandle, name: str) -> None:
        self._cluster = cluster
        self.name = name
        self._endpoint = cluster.endpoint(name)

    async def die_at(self, point: str) -> None:
        """Arm a failpoint, bring the member there, see it die there, and start it again."""
        log = self._cluster.view(self.name).log
        since = log.stat().st_size
        async with Client([self._endpoint]) as client:
            member = client.member(self._endpoint)
            fault = FailpointFault(terms=f"{point}=crash")
            # Others write meanwhile: it may be met before the answer is out.
            with contextlib.suppress(UnknownOutcome):
                await member.faults.inject(fault, duration_ms=LONG_MS)
            provoking = asyncio.create_task(provoke(member, point))
            try:
                await patiently(self._is_dead, f"{self.name} dies at {point}")
            finally:
                provoking.cancel()
        assert self._cluster.view(self.name).ending == "was ended by SIGKILL"
        assert log_says(log, f"{point}=crash", since), "it died of something else"
        await asyncio.to_thread(self._cluster.restart, self.name, wait=False)
        await self.back()

    def _is_dead(self) -> bool:
        return self._cluster.view(self.name).state == "dead"

    async def back(self) -> None:
        """Wait until the member follows a leader again."""
        async with asyncio.timeout(60):
            while True:
                with contextlib.suppress(ClientError):
                    async with Client([self._endpoint], timeout_s=1.0) as client:
                        if (await client.maintenance.status()).leader_id:
                            return
                await asyncio.sleep(0.05)


async def equal_everywhere(endpoints: list[str]) -> None:
    """All members have the same, by the hash of every kept revision."""
    async with Client(endpoints) as client:
        revision = (await client.put("end", "x")).header.revision
        for endpoint in endpoints:
            await client.member(endpoint).get("end")
        hashes = await client.cluster.hashes(revision)
    assert len(hashes) == len(endpoints)
    found = {each.hash for each in hashes.values() if not isinstance(each, ClientError)}
    assert len(found) == 1, hashes


@pytest.mark.parametrize("number", range(ROUNDS))
def test_killed_at_every_failpoint(kvorum_cluster: Launch, number: int) -> None:
    cluster = kvorum_cluster(3, faults=True, flags=BUSY, heartbeat_ms=50, election_ms=500)
    random = Random(number)
    alone = [point for point in NAMES if point.startswith(ALONE)]
    points = [point for point in NAMES if point not in alone]
    random.shuffle(points)
    victims = [Victim(cluster, name) for name in cluster.names]
    at_once = asyncio.Semaphore(2)

    async def kill(victim: Victim, mine: list[str]) -> None:
        for point in mine:
            async with at_once:
                await victim.die_at(point)

    async def worst(storm: Storm) -> None:
        filling = asyncio.create_task(fill(cluster.endpoints))
        try:
            await storm.writes(30)
            await asyncio.gather(*(kill(each, points[n::3]) for n, each in enumerate(victims)))
            for point in alone:
                await random.choice(victims).die_at(point)
            await storm.writes(30)
        finally:
            filling.cancel()
        await asyncio.to_thread(cluster.wait_ready)

    asyncio.run(Storm(cluster.endpoints, writers=1).run(worst))
    asyncio.run(equal_everywhere(cluster.endpoints))


def test_the_environment_is_refused_where_faults_are_not_enabled(kvorum_cluster: Launch) -> None:
    cluster = kvorum_cluster(1, start=False, env={VARIABLE: "reply_before=crash"})
    with pytest.raises(Exception, match="exited with status 1") as refused:
        cluster.start()
    assert "KVORUM_FAILPOINT is set, and --enable-faults is not given" in str(refused.value)
