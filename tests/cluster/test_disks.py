"""Disks that fail or fill up under running members: who ends, who waits, and that nothing is lost.

A full disk is a file system of some megabytes where this process may mount one, and a failpoint
everywhere.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cluster.storm import Storm
from cluster.test_failpoints import equal_everywhere, patiently
from kvorum.client import Client, MemberClient
from kvorum.client.errors import ClientError
from kvorum.errors import Condition
from kvorum_proto.kvorum.v1 import FailpointFault
from support.clusters import ClusterHandle
from support.small_disk import fill, small_disk

Launch = Callable[..., ClusterHandle]

pytestmark = pytest.mark.slow

LONG_MS = 120_000
TIMES = {"heartbeat_ms": 50, "election_ms": 500}
BUSY = ("--snapshot-count=30", "--snapshot-catchup-entries=10")


async def arm(cluster: ClusterHandle, name: str, terms: str) -> None:
    """Arm failpoints of one member."""
    endpoint = cluster.endpoint(name)
    async with Client([endpoint]) as client:
        fault = FailpointFault(terms=terms)
        await client.member(endpoint).faults.inject(fault, duration_ms=LONG_MS)


def test_a_failed_fsync_ends_the_process_at_once(kvorum_cluster: Launch) -> None:
    """Of the log, of a snapshot, and a failed commit of the history: none is tried again."""
    cluster = kvorum_cluster(3, faults=True, flags=BUSY, **TIMES)

    async def worst(storm: Storm) -> None:
        for point, status in (
            ("wal_sync_before=raise(EIO)", 74),
            ("wal_write_before=raise(EIO)", 74),
            ("snap_sync_before=raise(EIO)", 70),
            ("history_commit_before=raise(EIO)", 74),
        ):
            await storm.writes(30)
            name = await asyncio.to_thread(cluster.leader)
            await arm(cluster, name, point)
            await patiently(lambda name=name: cluster.view(name).state == "dead", f"{name} ends")
            assert cluster.view(name).ending == f"exited with status {status}", point
            assert f'"failpoint": "{point}"' in cluster.log(name)
            await storm.writes(30)
            await asyncio.to_thread(cluster.restart, name)

    asyncio.run(Storm(cluster.endpoints, writers=2).run(worst))
    asyncio.run(equal_everywhere(cluster.endpoints))


def test_a_log_without_room_waits_and_goes_on(kvorum_cluster: Launch) -> None:
    """The leader's and a follower's: no acknowledgement from it meanwhile, no restart after."""
    cluster = kvorum_cluster(3, faults=True, flags=BUSY, **TIMES)
    pids = {name: cluster.view(name).pid for name in cluster.names}

    async def worst(storm: Storm) -> None:
        leader = await asyncio.to_thread(cluster.leader)
        follower = (await asyncio.to_thread(cluster.followers))[0]
        for name in (leader, follower):
            await storm.writes(30)
            await arm(
                cluster, name, "wal_write_before=raise(ENOSPC)*6,snap_write_before=raise(ENOSPC)*2"
            )
            for what in ("log", "snapshot"):
                again = f'"there is space again", "what": "{what}"'
                await patiently(lambda name=name, again=again: again in cluster.log(name), again)
            await storm.writes(30)

    asyncio.run(Storm(cluster.endpoints, writers=2).run(worst))
    asyncio.run(equal_everywhere(cluster.endpoints))
    assert {name: cluster.view(name).pid for name in cluster.names} == pids


SMALL = "n2"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """Where the disk of ``SMALL`` is."""
    with small_disk(tmp_path / "small", 48) as made:
        yield made


def start_on(cluster: ClusterHandle, place: Path) -> None:
    """Start a cluster whose member ``SMALL`` has its data there."""
    spec = cluster.spec
    data = cluster.supervisor.run.data_dir(spec, spec.nodes[1])
    data.parent.mkdir(parents=True)
    os.symlink(place, data)
    cluster.start()


async def written(client: Client) -> int:
    """A revision written after there is room again, with the alarms disarmed as often as a member
    that had none raises its own.
    """
    async with asyncio.timeout(60):
        while True:
            for alarm in await client.maintenance.alarms():
                assert alarm.kind == "NOSPACE"
                await client.maintenance.disarm(alarm)
            try:
                return (await client.put("after", "x")).header.revision
            except ClientError as error:
                assert error.condition is Condition.NO_SPACE
            await asyncio.sleep(0.1)


async def recorded(member: MemberClient, revision: int) -> None:
    """Wait until the history of ``member`` has committed ``revision``."""
    async with asyncio.timeout(60):
        while (await member.inspect.statistics_once()).history_revision < revision:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("point", "error"),
    [
        ("commit", "TransactionContext Error: Failed to commit: Could not write file"),
        ("checkpoint", "FATAL Error: Failed to create checkpoint because of error: Could not"),
    ],
    ids=["commit", "checkpoint"],
)
def test_room_that_is_taken_while_the_history_is_written(
    kvorum_cluster: Launch, tmp_path: Path, place: Path, point: str, error: str
) -> None:
    """By another program, after the member has looked and before DuckDB writes: nobody ends, reads
    of old revisions are answered, and with room again the history has everything.
    """
    cluster = kvorum_cluster(
        3, start=False, faults=True, flags=BUSY, directory=tmp_path / "run", **TIMES
    )
    start_on(cluster, place)
    pid = cluster.view(SMALL).pid
    terms = f"history_{point}_before=delay(10000)*1"
    met = 'the history waits for room", "error": "' + error

    async def run() -> None:
        endpoint = cluster.endpoint(SMALL)
        async with Client(cluster.endpoints) as client:
            small = client.member(endpoint)
            first = (await client.put("k0", "0")).header.revision
            # Else the point may be met by so little that the last block still takes it.
            await recorded(small, first)
            await arm(cluster, SMALL, terms)
            acknowledged = {b"k0": b"0"}
            for number in range(1, 60):
                # More than what is left of the last block of DuckDB's log.
                value = os.urandom(9_000)
                await client.put(f"k{number}", value)
                acknowledged[f"k{number}".encode()] = value
            await patiently(lambda: f'"failpoint": "{terms}"' in cluster.log(SMALL), terms)
            ballast = await asyncio.to_thread(fill, place)
            await patiently(lambda: met in cluster.log(SMALL), met)
            old = await small.get("k0", serializable=True, revision=first)
            assert old.kv is not None and old.kv.value == b"0"
            ballast.unlink()
            newest = await written(client)
            await recorded(small, newest)
            held = await small.get_prefix("k", revision=newest)
            assert {kv.key: kv.value for kv in held.kvs} == acknowledged

    asyncio.run(run())
    asyncio.run(equal_everywhere(cluster.endpoints))
    assert cluster.view(SMALL).pid == pid, "it has not ended"


def test_a_full_disk_and_its_recovery(kvorum_cluster: Launch, tmp_path: Path, place: Path) -> None:
    cluster = kvorum_cluster(3, start=False, directory=tmp_path / "run", **TIMES)
    start_on(cluster, place)
    name = SMALL

    async def no_space(client: Client) -> bool:
        try:
            await client.put("big", os.urandom(100_000))
        except ClientError as error:
            return error.condition is Condition.NO_SPACE
        return False

    async def run() -> None:
        acknowledged = {}
        async with Client(cluster.endpoints) as client:
            for number in range(50):
                await client.put(f"k{number}", f"{number}")
                acknowledged[f"k{number}".encode()] = f"{number}".encode()
            ballast = await asyncio.to_thread(fill, place)
            async with asyncio.timeout(60):
                while not await no_space(client):
                    await asyncio.sleep(0.01)
            alarms = await client.maintenance.alarms()
            assert {alarm.kind for alarm in alarms} == {"NOSPACE"}
            # Every member lives and answers reads.
            for endpoint in cluster.endpoints:
                found = await client.member(endpoint).get("k1", serializable=True)
                assert found.kv is not None and found.kv.value == b"1"
            ballast.unlink()
            raised = '"alarm raised", "alarm": "NOSPACE"'
            for each in cluster.names:
                await patiently(lambda each=each: raised in cluster.log(each), f"{each}: {raised}")
            await written(client)
            for number in range(50, 100):
                await client.put(f"k{number}", f"{number}")
                acknowledged[f"k{number}".encode()] = f"{number}".encode()
            for endpoint in cluster.endpoints:
                held = await client.member(endpoint).get_prefix("k")
                assert {kv.key: kv.value for kv in held.kvs} == acknowledged
            # Killed while it is full, it comes back when it is not.
            ballast = await asyncio.to_thread(fill, place)
            await asyncio.to_thread(cluster.kill9, name)
            ballast.unlink()
            await asyncio.to_thread(cluster.restart, name)
            held = await client.member(cluster.endpoint(name)).get_prefix("k")
            assert {kv.key: kv.value for kv in held.kvs} == acknowledged

    asyncio.run(run())
    asyncio.run(equal_everywhere(cluster.endpoints))
