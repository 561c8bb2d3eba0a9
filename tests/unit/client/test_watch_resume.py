"""Where a watch goes on when its stream breaks, and what it never delivers twice or in half."""

from __future__ import annotations

import asyncio

import pytest
from grpclib.const import Status
from kvorum.client import (
    Client,
)
from kvorum_proto import etcdserverpb as pb
from unit.client.fakes import (
    header,
    members,
    put_event,
    refuse,
    until,
)
from unit.client.watch_calls import Call, first, serve


def test_a_cut_stream_goes_on_behind_the_last_event_on_another_member() -> None:
    async def scenario() -> None:
        async with members(2) as (one, two):
            starts: list[int] = []
            read = asyncio.Event()

            async def broken(call: Call) -> None:
                starts.append((await call.created(0, revision=40)).start_revision)
                # A batch of a watcher that catches up: the header is ahead of its events.
                await call.send(0, put_event(b"a", 3), put_event(b"b", 7), revision=40)
                await call.broken_after(read)

            async def whole(call: Call) -> None:
                starts.append((await call.created(5)).start_revision)
                await call.send(5, put_event(b"c", 9), revision=41)
                await call.stay()

            for member in (one, two):
                serve(member, broken if member is one else whole)
            async with Client([one.endpoint, two.endpoint]) as client:
                client._caller.picker._at = 0
                watch = client.watch("", prefix=True, start_revision=2)
                assert [event.revision for event in await first(watch, 2)] == [3, 7]
                read.set()
                assert [event.revision for event in await first(watch, 1)] == [9]
                assert starts == [2, 8]
                assert watch.statistics().resumes == 1
                assert watch.statistics().endpoint == two.endpoint

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("start", "resumed"),
    [(0, 11), (5, 5), (50, 50)],
)
def test_where_a_watch_without_events_goes_on(start: int, resumed: int) -> None:
    """From its own start, and behind the header of its creation when it had none."""

    async def scenario() -> None:
        async with members() as (one,), Client(one.endpoint) as client:
            starts: list[int] = []
            read = asyncio.Event()

            async def broken(call: Call) -> None:
                starts.append((await call.created(0, revision=10)).start_revision)
                await call.broken_after(read)

            async def whole(call: Call) -> None:
                starts.append((await call.created(0, revision=90)).start_revision)
                await call.stay()

            serve(one, broken, whole)
            async with client.watch("a", start_revision=start):
                read.set()
                await until(lambda: len(starts) == 2)
            assert starts == [start, resumed]

    asyncio.run(scenario())


def test_progress_for_one_watch_moves_its_resume_point() -> None:
    async def scenario() -> None:
        async with members() as (one,), Client(one.endpoint) as client:
            starts: list[int] = []
            read = asyncio.Event()

            async def broken(call: Call) -> None:
                starts.append((await call.created(0)).start_revision)
                await call.send(0, revision=70)
                await call.send(-1, revision=99)  # Nobody has asked whether this member may say so.
                await call.broken_after(read)

            async def whole(call: Call) -> None:
                starts.append((await call.created(0)).start_revision)
                await call.send(0, put_event(b"a", 71), revision=71)
                await call.stay()

            serve(one, broken, whole)
            watch = client.watch("a", start_revision=4, progress=True)
            batches = watch.batches()
            seen = []
            while 71 not in seen:
                seen.append((await anext(batches)).revision)
                if seen[-1] == 99:
                    read.set()
            assert set(seen) <= {70, 99, 71}
            assert starts == [4, 71]
            watch.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(("version", "resumed"), [("3.4.23", 4), ("3.5.3", 4), ("3.5.30", 71)])
def test_requested_progress_is_believed_from_versions_that_keep_the_order(
    version: str, resumed: int
) -> None:
    async def scenario() -> None:
        async with members() as (one,), Client(one.endpoint) as client:
            starts: list[int] = []
            one.unary["/etcdserverpb.Maintenance/Status"] = lambda _: pb.StatusResponse(
                header=header(), version=version
            )

            async def broken(call: Call) -> None:
                starts.append((await call.created(0)).start_revision)
                assert (await call.request()).progress_request is not None
                await call.send(-1, revision=70)
                await call.request()
                raise refuse(Status.UNAVAILABLE, "")

            async def whole(call: Call) -> None:
                starts.append((await call.created(0)).start_revision)
                await call.stay()

            serve(one, broken, whole)
            watch = client.watch("a", start_revision=4, progress=True)
            await watch.request_progress()
            batch = await watch.next_batch()
            assert (batch.events, batch.revision) == ((), 70)
            await watch.request_progress()
            await until(lambda: len(starts) == 2)
            assert starts == [4, resumed]
            watch.close()

    asyncio.run(scenario())


def test_fragments_are_joined_to_whole_revisions() -> None:
    async def scenario() -> None:
        async with members() as (one,), Client(one.endpoint) as client:

            async def session(call: Call) -> None:
                create = await call.created(0)
                assert create.fragment
                await call.send(0, put_event(b"a", 2), put_event(b"a", 3), fragment=True)
                await call.send(0, put_event(b"b", 3), fragment=True)
                await call.send(0, put_event(b"c", 3), put_event(b"a", 4))
                await call.stay()

            serve(one, session)
            watch = client.watch("", prefix=True, start_revision=1)
            found = []
            async for batch in watch.batches():
                found.append([(event.key, event.revision) for event in batch.events])
                if batch.revision == 4:
                    break
            assert found == [[(b"a", 2)], [(b"a", 3), (b"b", 3), (b"c", 3), (b"a", 4)]]

    asyncio.run(scenario())


def test_half_a_revision_is_forgotten_when_the_stream_breaks() -> None:
    async def scenario() -> None:
        async with members() as (one,), Client(one.endpoint) as client:
            starts: list[int] = []
            read = asyncio.Event()

            async def broken(call: Call) -> None:
                starts.append((await call.created(0)).start_revision)
                await call.send(0, put_event(b"a", 2), put_event(b"a", 3), fragment=True)
                await call.broken_after(read)

            async def whole(call: Call) -> None:
                starts.append((await call.created(0)).start_revision)
                await call.send(0, put_event(b"a", 3), put_event(b"b", 3))
                await call.stay()

            serve(one, broken, whole)
            watch = client.watch("", prefix=True, start_revision=1)
            found = await first(watch, 1)
            read.set()
            found += await first(watch, 2)
            keys = [(event.key, event.revision) for event in found]
            assert keys == [(b"a", 2), (b"a", 3), (b"b", 3)]
            assert starts == [1, 3]
            watch.close()

    asyncio.run(scenario())


def test_an_event_that_comes_twice_is_delivered_once() -> None:
    async def scenario() -> None:
        async with members() as (one,), Client(one.endpoint) as client:

            async def session(call: Call) -> None:
                await call.created(0)
                await call.send(0, put_event(b"a", 2), put_event(b"a", 3))
                await call.send(0, put_event(b"a", 3), put_event(b"a", 4))
                await call.send(0, put_event(b"a", 2))
                await call.send(0, put_event(b"a", 5))
                await call.stay()

            serve(one, session)
            watch = client.watch("a", start_revision=1)
            assert [event.revision for event in await first(watch, 4)] == [2, 3, 4, 5]
            assert watch.statistics().dropped_duplicates == 2
            watch.close()

    asyncio.run(scenario())


def test_events_out_of_order_make_a_new_stream() -> None:
    async def scenario() -> None:
        async with members() as (one,), Client(one.endpoint) as client:

            async def wrong(call: Call) -> None:
                await call.created(0)
                await call.send(0, put_event(b"a", 5), put_event(b"a", 4))
                await call.stay()

            async def right(call: Call) -> None:
                await call.created(0)
                await call.send(0, put_event(b"a", 4), put_event(b"a", 5))
                await call.stay()

            opened = serve(one, wrong, right)
            watch = client.watch("a", start_revision=1)
            assert [event.revision for event in await first(watch, 2)] == [4, 5]
            assert len(opened) == 2
            watch.close()

    asyncio.run(scenario())


def test_a_slow_reader_leaves_the_stream_and_catches_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its buffer is bounded, the watch beside it goes on, and no event is lost or repeated."""
    monkeypatch.setattr("kvorum.client.watcher.CLIENT_WATCH_BUFFER_EVENTS", 10)

    async def scenario() -> None:
        async with members() as (one,), Client(one.endpoint) as client:
            cancelled: list[int] = []
            starts: list[int] = []

            async def session(call: Call) -> None:
                await call.created(0)
                await call.created(1)
                for revision in range(11, 31):
                    await call.send(0, put_event(b"slow", revision))
                cancel = (await call.request()).cancel_request
                assert cancel is not None
                cancelled.append(cancel.watch_id)
                await call.send(0, canceled=True)
                await call.send(1, put_event(b"quick", 31))
                starts.append((await call.created(2)).start_revision)
                for revision in range(starts[0], 31):
                    await call.send(2, put_event(b"slow", revision))
                await call.stay()

            serve(one, session)
            slow, quick = client.watch("slow"), client.watch("quick")
            await slow.started()
            assert (await first(quick, 1))[0].key == b"quick"
            assert slow.statistics().buffered_events == 11
            found = [event.revision for event in await first(slow, 20)]
            assert found == list(range(11, 31))
            assert (cancelled, starts) == ([0], [22])
            assert slow.statistics().catch_ups == 1

    asyncio.run(scenario())
