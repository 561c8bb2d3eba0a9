"""Inspect/History: every kept revision of a key, when it was written and by which member."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest
from kvorum.client import Client, ClientError, Put
from kvorum.errors import Code
from kvorum.limits import INSPECT_HISTORY_ROWS
from kvorum_proto.kvorum import v1
from support.clusters import ClusterHandle

DEADLINE_S = 30.0


async def kept(client: Client, key: str, **options: int | bool) -> list[v1.HistoryRevision]:
    """All batches' revisions in one list."""
    inspect = client.member(client.endpoints[0]).inspect
    options.setdefault("timeout_s", int(DEADLINE_S))
    return [
        revision
        async for batch in inspect.history(key, **options)  # type: ignore[arg-type]  # of a test
        for revision in batch.revisions
    ]


async def settled(client: Client, revision: int) -> None:
    """Until the member's history goes as far as its state: it is written a moment later."""
    inspect = client.member(client.endpoints[0]).inspect
    async with asyncio.timeout(DEADLINE_S):
        while (await inspect.statistics_once()).history_revision < revision:
            await asyncio.sleep(0.02)


@pytest.mark.slow
def test_a_keys_life(kvorum_cluster: Callable[..., ClusterHandle]) -> None:
    cluster = kvorum_cluster(1)

    async def run() -> None:
        async with Client(cluster.endpoints) as client:
            member = (await client.cluster.members()).members[0].id
            began = int(time.time() * 1000)
            await client.put("/life", "one")
            lease = await client.leases.grant(600)
            await client.put("/life", "two", lease=lease.id)
            await client.delete("/life")
            done = await client.txn().then(Put("/life", "new"), Put("/life/below", "x")).commit()
            await settled(client, done.header.revision)
            ended = int(time.time() * 1000)

            life = await kept(client, "/life")
            assert [(r.type, r.value, r.version, r.lease) for r in life] == [
                (0, b"one", 1, 0),
                (0, b"two", 2, lease.id),
                (1, b"", 0, 0),
                (0, b"new", 1, 0),
            ]
            assert [r.revision for r in life] == list(range(2, 6))
            assert all(began - 1 <= r.at_ms <= ended + 1 for r in life)
            assert {r.member for r in life} == {member}
            below = await kept(client, "/life", prefix=True)
            assert [(r.revision, r.sub, r.key) for r in below[-2:]] == [
                (5, 0, b"/life"),
                (5, 1, b"/life/below"),
            ]
            middle = await kept(client, "/life", from_revision=3, to_revision=4)
            assert [r.revision for r in middle] == [3, 4]
            assert [r.revision for r in await kept(client, "/life", limit=2)] == [2, 3]
            assert await kept(client, "/never") == []
            with pytest.raises(ClientError) as refused:
                await kept(client, "")
            assert refused.value.code == Code.INVALID_ARGUMENT

    asyncio.run(run())


@pytest.mark.slow
def test_long_histories_come_in_batches_and_compaction_shortens_them(
    kvorum_cluster: Callable[..., ClusterHandle],
) -> None:
    cluster = kvorum_cluster(1)

    async def run() -> None:
        async with Client(cluster.endpoints) as client:
            for number in range(INSPECT_HISTORY_ROWS // 100 + 1):
                puts = [Put(f"/k/{key:03d}", str(number)) for key in range(100)]
                last = (await client.txn().then(*puts).commit()).header.revision
            await settled(client, last)
            inspect = client.member(client.endpoints[0]).inspect
            batches = [b async for b in inspect.history("/k/", prefix=True)]
            assert [len(b.revisions) for b in batches] == [INSPECT_HISTORY_ROWS, 100]
            assert {b.compact_revision for b in batches} == {0}
            await client.compact(last, physical=True)
            (after,) = [b async for b in inspect.history("/k/", prefix=True)]
            assert after.compact_revision == last
            assert {(r.revision, r.value) for r in after.revisions} == {
                (last, str(INSPECT_HISTORY_ROWS // 100).encode())
            }

    asyncio.run(run())
