"""Reading ranges by pages, and the mirror on top of them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from grpclib.const import Status
from kvorum.client import Client, ClientError, CompactedError
from kvorum.client.mirror import MirrorTooLarge
from kvorum.errors import Condition
from kvorum_proto import etcdserverpb as pb
from kvorum_proto import mvccpb
from unit.client.fakes import FakeMember, header, members, put_event, refuse
from unit.client.watch_calls import Call, serve

RANGE = "/etcdserverpb.KV/Range"


class Store:
    """A member that answers ranges over some keys, and refuses answers above a number of keys."""

    def __init__(self, member: FakeMember, keys: int, *, value: bytes = b"v", most: int = 10**9):
        self.kvs = [
            mvccpb.KeyValue(
                key=b"k%05d" % n, value=value, create_revision=2, mod_revision=2, version=1
            )
            for n in range(keys)
        ]
        self.most = most
        self.compacted = 0
        self.asked: list[Any] = []
        member.unary[RANGE] = self.range

    def range(self, request: Any) -> pb.RangeResponse:
        self.asked.append(request)
        if 0 < request.revision < self.compacted:
            raise refuse(Status.OUT_OF_RANGE, Condition.COMPACTED.message)
        found = [kv for kv in self.kvs if request.key <= kv.key]
        count = len(found)
        cut = found[: request.limit] if request.limit else found
        if len(cut) > self.most:
            raise refuse(Status.RESOURCE_EXHAUSTED, "grpc: received message larger than max")
        return pb.RangeResponse(header=header(9), kvs=cut, more=len(cut) < count, count=count)


def test_pages_are_of_one_revision_and_whole() -> None:
    async def scenario() -> None:
        async with members() as (one,), Client(one.endpoint) as client:
            store = Store(one, 25)
            found = [kv.key async for kv in client.scan("k", prefix=True, page_size=10)]
            assert found == [kv.key for kv in store.kvs]
            assert [request.revision for request in store.asked] == [0, 9, 9]
            assert [request.key for request in store.asked] == [b"k", b"k00009\0", b"k00019\0"]

    asyncio.run(scenario())


def test_pages_shrink_until_the_server_can_answer() -> None:
    async def scenario() -> None:
        async with members() as (one,), Client(one.endpoint) as client:
            store = Store(one, 20, most=3)
            assert len((await client.get_prefix("k")).kvs) == 20
            limits = [request.limit for request in store.asked]
            assert limits[:3] == [1000, 500, 250]
            assert 1 <= limits[-1] <= 3

    asyncio.run(scenario())


def test_one_key_that_is_too_large_is_an_error() -> None:
    async def scenario() -> None:
        async with members() as (one,), Client(one.endpoint) as client:
            Store(one, 5, most=0)
            with pytest.raises(ClientError, match="larger than max"):
                await client.get_prefix("k")

    asyncio.run(scenario())


def test_heavy_pages_become_smaller() -> None:
    async def scenario() -> None:
        async with members() as (one,), Client(one.endpoint) as client:
            store = Store(one, 64, value=b"x" * 100_000)
            async for _ in client.pages("k", prefix=True, page_size=32):
                pass
            assert [request.limit for request in store.asked] == [32, 10, 10, 10, 10]

    asyncio.run(scenario())


def test_a_limit_bounds_all_pages() -> None:
    async def scenario() -> None:
        async with members() as (one,), Client(one.endpoint) as client:
            Store(one, 25)
            pages = [page async for page in client.pages("k", prefix=True, page_size=4, limit=10)]
            assert [len(page.kvs) for page in pages] == [4, 4, 2]

    asyncio.run(scenario())


def test_a_compaction_between_pages_is_said() -> None:
    async def scenario() -> None:
        async with members() as (one,), Client(one.endpoint) as client:
            store = Store(one, 25)
            pages = client.pages("k", prefix=True, page_size=10)
            await anext(pages)
            store.compacted = 100
            with pytest.raises(CompactedError):
                await anext(pages)

    asyncio.run(scenario())


def test_a_mirror_is_loaded_anew_when_its_watch_is_compacted_away() -> None:
    async def scenario() -> None:
        async with members() as (one,), Client(one.endpoint) as client:
            store = Store(one, 3)
            starts: list[int] = []

            async def compacted(call: Call) -> None:
                starts.append((await call.created(0)).start_revision)
                await call.send(0, put_event(b"kx", 11))
                await call.send(0, canceled=True, compact_revision=50, revision=0)
                await call.stay()

            async def whole(call: Call) -> None:
                starts.append((await call.created(0)).start_revision)
                await call.send(0, put_event(b"ky", 12))
                await call.stay()

            serve(one, compacted, whole)
            async with client.mirror("k") as mirror:
                assert len(mirror) == 3
                change = await anext(mirror)
                assert (change.revision, b"kx" in mirror, mirror.revision) == (11, True, 11)
                store.kvs = store.kvs[:1]
                assert (await anext(mirror)).reset
                assert [kv.key for kv in mirror.items()] == [b"k00000"]
                await anext(mirror)
                assert "ky" in mirror
            assert starts == [10, 10]

    asyncio.run(scenario())


def test_a_mirror_refuses_to_grow_over_its_bound() -> None:
    async def scenario() -> None:
        async with members() as (one,), Client(one.endpoint) as client:
            Store(one, 30)
            with pytest.raises(MirrorTooLarge):
                await client.mirror("k", max_keys=29).load()

    asyncio.run(scenario())
