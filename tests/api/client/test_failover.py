"""Members that die, stop or cannot be reached while clients work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

from kvorum.client import Client, ConnectError, Key, Put, UnknownOutcome
from support.clusters import ClusterHandle
from unit.client.fakes import Relay, until

Start = Callable[..., ClusterHandle]


class Writer:
    """Writes numbered keys one after another and keeps what it was told about each."""

    def __init__(self, client: Client, prefix: str) -> None:
        self._client, self._prefix = client, prefix
        self.done: dict[str, int] = {}
        self.unknown: list[str] = []
        self.refused: list[str] = []
        self.stopped = False

    async def run(self) -> None:
        """Until stopped."""
        number = 0
        while not self.stopped:
            number += 1
            key = f"{self._prefix}{number:06}"
            try:
                # Created once: a write that was sent twice would be refused the second time.
                done = await self._client.txn().if_(Key(key).missing()).then(Put(key, "v")).commit()
            except UnknownOutcome:
                self.unknown.append(key)
            except ConnectError:
                self.refused.append(key)
            else:
                assert done.succeeded, f"{key} had been written before"
                self.done[key] = done.header.revision

    async def wrote(self, more: int) -> None:
        """Wait until so many more writes have been acknowledged."""
        target = len(self.done) + more
        await until(lambda: len(self.done) >= target, 60)


async def check(client: Client, writer: Writer, prefix: str) -> None:
    """What was acknowledged is there, once; what was refused is not."""
    found = {kv.key.decode(): kv for kv in (await client.get_prefix(prefix)).kvs}
    for key, revision in writer.done.items():
        assert found[key].mod_revision == revision
        assert found[key].version == 1
    assert not set(writer.refused) & set(found)
    assert set(found) <= set(writer.done) | set(writer.unknown)


def test_work_goes_on_when_the_leader_is_killed(own_cluster: Start) -> None:
    cluster = own_cluster(3)

    async def scenario() -> None:
        async with Client(cluster.endpoints, timeout_s=5.0) as client:
            writer = Writer(client, "/k/")
            seen: list[tuple[int, bytes]] = []

            async def watch() -> None:
                async for batch in client.watch("/k/", prefix=True, start_revision=1).batches():
                    seen.extend((event.revision, event.key) for event in batch.events)

            tasks = [asyncio.create_task(writer.run()), asyncio.create_task(watch())]
            async with client.lease(10) as lease:
                await client.put("/lease", "v", lease=lease.id)
                await writer.wrote(50)
                leader = await asyncio.to_thread(cluster.leader)
                await asyncio.to_thread(cluster.kill9, leader)
                await writer.wrote(100)
                assert (await client.get("/k/000001")).value == b"v"
                await asyncio.to_thread(cluster.restart, leader)
                await writer.wrote(50)
                assert not lease.lost.is_set()
                assert (await client.get("/lease")).value == b"v"
            writer.stopped = True
            await tasks[0]
            await check(client, writer, "/k/")
            last = max(writer.done.values())
            await until(lambda: bool(seen) and seen[-1][0] >= last, 60)
            tasks[1].cancel()
            await asyncio.wait(tasks)
            delivered = {key.decode(): revision for revision, key in seen}
            assert [revision for revision, _ in seen] == sorted({one for one, _ in seen})
            assert writer.done.items() <= delivered.items()

    asyncio.run(scenario())


def test_a_client_moves_on_from_a_member_that_is_cut_off(own_cluster: Start) -> None:
    """Cut, then silent, then refusing: always one member of three, while work goes on."""
    cluster = own_cluster(3)

    async def scenario() -> None:
        async with AsyncExitStack() as stack:
            relays = [await stack.enter_async_context(Relay(one)) for one in cluster.endpoints]
            endpoints = [relay.endpoint for relay in relays]
            client = await stack.enter_async_context(
                Client(endpoints, timeout_s=3.0, dial_timeout_s=0.5)
            )
            writer = Writer(client, "/r/")
            watch = client.watch("/r/", prefix=True, start_revision=1)
            await watch.started()
            work = asyncio.create_task(writer.run())
            for deed in ("cut", "stop", "refuse"):
                for relay in relays:
                    if deed == "stop":
                        relay.stop()
                    else:
                        relay.cut(refuse=deed == "refuse")
                    await writer.wrote(5)
                    await client.get("/r/000001")
                    relay.cut()
                    relay.go()
            writer.stopped = True
            await work
            await check(client, writer, "/r/")
            last = max(writer.done.values())
            revisions: list[int] = []
            async with asyncio.timeout(60):
                while not revisions or revisions[-1] < last:
                    revisions.append((await anext(watch)).revision)
            assert revisions == sorted(set(revisions))
            assert set(writer.done.values()) <= set(revisions)

    asyncio.run(scenario())


def test_without_a_quorum_one_member_still_answers_what_it_can(own_cluster: Start) -> None:
    cluster = own_cluster(3)

    async def scenario() -> None:
        async with Client(cluster.endpoints) as client:
            put = await client.put("/q", "v")
            survivor = cluster.names[0]
            member = client.member(cluster.endpoint(survivor))
            # A linearizable read through this member: from then on it has what was written.
            assert (await member.get("/q")).value == b"v"
            await asyncio.to_thread(cluster.kill9, *cluster.names[1:])
            found = await member.get("/q", serializable=True)
            assert found.mod_revision == put.header.revision
            rows = {row.endpoint: row for row in await client.cluster.statuses(timeout_s=10.0)}
            assert rows[member.endpoint].status is not None
            assert sum(row.status is None for row in rows.values()) == 2
            outcome = ""
            try:
                await member.put("/q", "lost?", timeout_s=1.0)
            except UnknownOutcome as error:
                outcome = error.request
            assert outcome == "PutRequest(key=b'/q', value=b'lost?')"

    asyncio.run(scenario())
