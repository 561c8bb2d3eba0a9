"""Watches on live clusters."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from kvorum.client import Client, ClientError, CompactedError, Event, Put, Txn
from kvorum.client.watch import Watch

Live = Callable[..., None]


async def take(watch: Watch, count: int) -> list[Event]:
    """So many events, within a bound that only a hang reaches."""
    async with asyncio.timeout(30):
        return [await anext(watch) for _ in range(count)]


def test_changes_come_in_order_with_what_was_before(live: Live, prefix: str) -> None:
    async def scenario(client: Client) -> None:
        key = prefix + "k"
        async with client.watch(prefix, prefix=True, prev_kv=True) as watch:
            await client.put(key, "1")
            await client.put(key, "2")
            await client.delete(key)
            created, changed, deleted = await take(watch, 3)
        assert (created.type, created.value, created.prev_kv) == ("PUT", b"1", None)
        assert created.is_create
        assert not changed.is_create
        assert changed.prev_kv is not None
        assert (changed.value, changed.prev_kv.value) == (b"2", b"1")
        assert (deleted.type, deleted.key, deleted.value) == ("DELETE", key.encode(), b"")
        assert deleted.prev_kv is not None
        assert deleted.prev_kv.value == b"2"
        assert created.revision < changed.revision < deleted.revision

    live(scenario)


def test_history_and_then_what_is_new(live: Live, prefix: str) -> None:
    async def scenario(client: Client) -> None:
        first = (await client.put(prefix + "k", "1")).header.revision
        await client.put(prefix + "k", "2")
        watch = client.watch(prefix, prefix=True, start_revision=first)
        assert await watch.started() == first
        assert [event.value for event in await take(watch, 2)] == [b"1", b"2"]
        await client.put(prefix + "k", "3")
        assert (await take(watch, 1))[0].value == b"3"
        watch.close()

    live(scenario)


def test_a_transaction_comes_as_one_batch(live: Live, prefix: str) -> None:
    async def scenario(client: Client) -> None:
        async with client.watch(prefix, prefix=True) as watch:
            puts = tuple(Put(prefix + name, "") for name in "abc")
            done = await client.commit(Txn(then=puts))
            batch = await watch.next_batch()
        assert [event.key.decode()[-1] for event in batch.events] == ["a", "b", "c"]
        assert {event.revision for event in batch.events} == {done.header.revision}
        assert batch.revision == done.header.revision

    live(scenario)


@pytest.mark.parametrize(("left_out", "types"), [("no_put", "DELETE"), ("no_delete", "PUT")])
def test_filters(live: Live, prefix: str, left_out: str, types: str) -> None:
    async def scenario(client: Client) -> None:
        options: dict[str, Any] = {left_out: True}
        async with client.watch(prefix, prefix=True, **options) as watch:
            for name in "ab":
                await client.put(prefix + name, "")
                await client.delete(prefix + name)
            assert [event.type for event in await take(watch, 2)] == [types, types]

    live(scenario)


def test_thousands_of_revisions_are_caught_up_once_and_in_order(live: Live, prefix: str) -> None:
    async def scenario(client: Client) -> None:
        count = 2_300
        first = (await client.put(prefix + "k", "0")).header.revision

        async def write(numbers: range) -> None:
            for n in numbers:
                await client.put(f"{prefix}{n}", str(n))

        await asyncio.gather(*(write(range(at, count, 50)) for at in range(1, 51)))
        watch = client.watch(prefix, prefix=True, start_revision=first)
        events = await take(watch, count)
        revisions = [event.revision for event in events]
        assert revisions == sorted(set(revisions))
        assert len({event.key for event in events}) == count
        watch.close()

    live(scenario)


def test_a_large_batch_comes_in_fragments_and_whole(live: Live, prefix: str) -> None:
    """Several megabytes of history: the server splits the answer between events."""

    async def scenario(client: Client) -> None:
        values = [bytes([n]) * 900_000 for n in range(7)]
        revisions = []
        for at, value in enumerate(values):
            revisions.append((await client.put(f"{prefix}{at}", value)).header.revision)
        watch = client.watch(prefix, prefix=True, start_revision=revisions[0])
        events = await take(watch, len(values))
        assert [event.value for event in events] == values
        assert [event.revision for event in events] == revisions
        watch.close()
        await client.delete(prefix, prefix=True)

    live(scenario)


def test_a_watch_below_the_compacted_revision_says_from_where_it_may_begin(
    live: Live, prefix: str
) -> None:
    async def scenario(client: Client) -> None:
        first = (await client.put(prefix + "k", "1")).header.revision
        for value in "234":
            last = (await client.put(prefix + "k", value)).header.revision
        await client.compact(last, physical=True)
        with pytest.raises(CompactedError) as raised:
            await take(client.watch(prefix + "k", start_revision=first), 1)
        assert raised.value.compact_revision == last
        watch = client.watch(prefix + "k", start_revision=raised.value.compact_revision)
        assert (await take(watch, 1))[0].value == b"4"
        watch.close()

    live(scenario)


def test_an_empty_range_cannot_be_watched(live: Live, prefix: str) -> None:
    async def scenario(client: Client) -> None:
        with pytest.raises(ClientError, match="watcher range is empty"):
            await client.watch(prefix + "b", prefix + "a").started()

    live(scenario)


def test_progress_can_be_asked_for(live: Live, prefix: str) -> None:
    async def scenario(client: Client) -> None:
        async with client.watch(prefix + "quiet", progress=True) as watch:
            put = await client.put(prefix + "other", "1")
            async with asyncio.timeout(30):
                await watch.request_progress()
                batch = await watch.next_batch()
                while batch.revision < put.header.revision:
                    await watch.request_progress()
                    batch = await watch.next_batch()
        assert batch.events == ()

    live(scenario)


def test_a_hundred_watches_on_one_stream(live: Live, prefix: str) -> None:
    async def scenario(client: Client) -> None:
        watches = [client.watch(f"{prefix}{n}") for n in range(100)]
        await asyncio.gather(*(watch.started() for watch in watches))
        for n in reversed(range(100)):
            await client.put(f"{prefix}{n}", str(n))
        for n, watch in enumerate(watches):
            assert [event.value for event in await take(watch, 1)] == [str(n).encode()]
        for watch in watches:
            watch.close()

    live(scenario)


def test_one_member_can_be_watched(live: Live, prefix: str) -> None:
    async def scenario(client: Client) -> None:
        watches = [client.member(one).watch(prefix, prefix=True) for one in client.endpoints]
        await asyncio.gather(*(watch.started() for watch in watches))
        put = await client.put(prefix + "k", "1")
        for endpoint, watch in zip(client.endpoints, watches, strict=True):
            assert (await take(watch, 1))[0].revision == put.header.revision
            assert watch.statistics().endpoint == endpoint
            watch.close()

    live(scenario)
