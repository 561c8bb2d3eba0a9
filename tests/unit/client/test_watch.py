"""Watches on streams that misbehave."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from grpclib.const import Status
from kvorum.client import (
    AuthError,
    Client,
    ClientError,
    CompactedError,
    ConnectError,
    Event,
    FutureRevisionError,
    NoLeaderError,
    PermissionDeniedError,
    Unsupported,
)
from kvorum.errors import Condition
from kvorum_proto import etcdserverpb as pb
from kvorum_proto import mvccpb
from unit.client.fakes import (
    FakeMember,
    client_tasks,
    header,
    members,
    put_event,
    refuse,
    until,
    unused_endpoint,
)

WATCH = "/etcdserverpb.Watch/Watch"
Session = Callable[["Call"], Awaitable[None]]


class Call:
    """One watch stream as the server sees it."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def request(self) -> pb.WatchRequest:
        """The next request."""
        found = await self._stream.recv_message()
        assert found is not None, "the client ended the stream"
        return found

    async def created(self, watch_id: int, *, revision: int = 10) -> pb.WatchCreateRequest:
        """Take a create and confirm it."""
        create = (await self.request()).create_request
        assert create is not None
        await self.send(watch_id, revision=revision, created=True)
        return create

    async def send(
        self, watch_id: int, *events: mvccpb.Event, revision: int = 10, **fields: Any
    ) -> None:
        """Send a response."""
        await self._stream.send_message(
            pb.WatchResponse(
                header=header(revision), watch_id=watch_id, events=list(events), **fields
            )
        )

    async def stay(self) -> None:
        """Keep the stream open."""
        await asyncio.Event().wait()

    async def broken_after(self, read: asyncio.Event) -> None:
        """End the stream with an error when the client has read what was sent.

        grpclib forgets what it has not handed out yet when a stream is reset; a test that wants
        it delivered waits.
        """
        await read.wait()
        raise refuse(Status.UNAVAILABLE, "etcdserver: server stopped")


def serve(member: FakeMember, *sessions: Session) -> list[int]:
    """Let a member's watch streams follow these scripts, one a stream; the last one repeats."""
    opened: list[int] = []

    async def handle(stream: Any) -> None:
        opened.append(len(opened))
        await sessions[min(opened[-1], len(sessions) - 1)](Call(stream))

    member.streams[WATCH] = handle
    return opened


async def first(watch: Any, count: int) -> list[Event]:
    """So many events, or a failure when they do not come."""
    async with asyncio.timeout(10):
        return [await anext(watch) for _ in range(count)]


def test_many_watches_share_a_stream_and_answers_match_in_order() -> None:
    async def scenario() -> None:
        async with members() as (one,), Client(one.endpoint) as client:
            keys: list[bytes] = []

            async def session(call: Call) -> None:
                creates = [(await call.request()).create_request for _ in range(3)]
                for watch_id, create in enumerate(creates):
                    assert create is not None
                    keys.append(create.key)
                    await call.send(watch_id, created=True)
                for watch_id in (2, 0, 1):
                    await call.send(watch_id, put_event(keys[watch_id], 11 + watch_id))
                await call.stay()

            opened = serve(one, session)
            watches = [client.watch(key) for key in ("a", "b", "c")]
            await asyncio.gather(*(watch.started() for watch in watches))
            found = [(await first(watch, 1))[0].key for watch in watches]
            assert found == [b"a", b"b", b"c"]
            assert opened == [0]

    asyncio.run(scenario())


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


def test_compaction_ends_a_watch_with_the_revision_behind_what_was_delivered() -> None:
    async def scenario() -> None:
        async with members() as (one,), Client(one.endpoint) as client:

            async def session(call: Call) -> None:
                await call.created(0)
                await call.send(0, put_event(b"a", 2))
                await call.send(0, canceled=True, compact_revision=33, revision=0)
                await call.stay()

            serve(one, session)
            watch = client.watch("a", start_revision=1)
            assert (await first(watch, 1))[0].revision == 2
            with pytest.raises(CompactedError) as raised:
                await anext(watch)
            assert raised.value.compact_revision == 33
            with pytest.raises(CompactedError):
                await anext(watch)
            await until(lambda: client_tasks() == [])

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("rpc error: code = PermissionDenied desc = etcdserver: permission denied", "denied"),
        ("mvcc: watcher range is empty", "invalid"),
        ("etcdserver: mvcc: required revision has been compacted", "compacted"),
        ("", "future"),
    ],
)
def test_a_refused_create_says_why(reason: str, kind: str) -> None:
    kinds: dict[str, type[ClientError]] = {
        "denied": PermissionDeniedError,
        "invalid": ClientError,
        "compacted": CompactedError,
        "future": FutureRevisionError,
    }

    async def scenario() -> None:
        async with members() as (one,), Client(one.endpoint) as client:

            async def session(call: Call) -> None:
                assert (await call.request()).create_request is not None
                await call.send(-1, created=True, canceled=True, cancel_reason=reason)
                await call.created(0)
                await call.send(0, put_event(b"b", 11))
                await call.stay()

            serve(one, session)
            refused, other = client.watch("a"), client.watch("b")
            results = await asyncio.gather(
                refused.started(), other.started(), return_exceptions=True
            )
            assert isinstance(results[0], kinds[kind])
            assert results[1] == 11
            assert (await first(other, 1))[0].key == b"b"
            other.close()

    asyncio.run(scenario())


def test_a_stream_that_is_not_offered_ends_the_watch() -> None:
    async def scenario() -> None:
        async with members() as (one,), Client(one.endpoint) as client:

            async def session(_: Call) -> None:
                raise refuse(Status.UNIMPLEMENTED, "unknown service")

            serve(one, session)
            with pytest.raises(Unsupported):
                await anext(client.watch("a"))
            await until(lambda: client_tasks() == [])

    asyncio.run(scenario())


def test_nobody_there_is_a_connect_error() -> None:
    async def scenario() -> None:
        async with Client(unused_endpoint(), timeout_s=0.2) as client:
            with pytest.raises(ConnectError, match="cannot connect"):
                await client.watch("a").started()
            await until(lambda: client_tasks() == [])

    asyncio.run(scenario())


def test_a_watch_that_requires_a_leader_asks_every_member_and_then_fails() -> None:
    async def scenario() -> None:
        async with members(2) as (one, two):

            async def session(_: Call) -> None:
                raise refuse(Status.UNAVAILABLE, Condition.NO_LEADER.message)

            opened = [serve(member, session) for member in (one, two)]
            async with Client([one.endpoint, two.endpoint]) as client:
                with pytest.raises(NoLeaderError):
                    await client.watch("a", require_leader=True).started()
                assert [len(calls) for calls in opened] == [1, 1]
                assert one.metadata[0]["hasleader"] == "true"

    asyncio.run(scenario())


def test_a_token_that_ran_out_is_replaced_on_a_new_stream() -> None:
    async def scenario() -> None:
        async with members() as (one,):
            tokens = 0

            def authenticate(_: Any) -> pb.AuthenticateResponse:
                nonlocal tokens
                tokens += 1
                return pb.AuthenticateResponse(token=f"t{tokens}")

            one.unary["/etcdserverpb.Auth/Authenticate"] = authenticate

            async def session(call: Call) -> None:
                if one.metadata[-1]["token"] == "t1":
                    await call.request()
                    text = "rpc error: code = Unauthenticated desc = etcdserver: invalid auth token"
                    await call.send(-1, created=True, canceled=True, cancel_reason=text)
                    await call.stay()
                await call.created(0)
                await call.send(0, put_event(b"a", 11))
                await call.stay()

            opened = serve(one, session)
            async with Client(one.endpoint, user="root", password="pw") as client:
                assert (await first(client.watch("a"), 1))[0].key == b"a"
                assert len(opened) == 2

    asyncio.run(scenario())


def test_a_token_that_is_never_good_ends_the_watch() -> None:
    async def scenario() -> None:
        async with members() as (one,):
            one.unary["/etcdserverpb.Auth/Authenticate"] = lambda _: pb.AuthenticateResponse(
                token="t"
            )

            async def session(call: Call) -> None:
                await call.request()
                text = "rpc error: code = Unauthenticated desc = etcdserver: invalid auth token"
                await call.send(-1, created=True, canceled=True, cancel_reason=text)
                await call.stay()

            serve(one, session)
            async with Client(one.endpoint, user="root", password="pw") as client:
                with pytest.raises(AuthError):
                    await client.watch("a").started()

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


def test_a_watcher_nobody_asked_for_is_cancelled_once() -> None:
    async def scenario() -> None:
        async with members() as (one,), Client(one.endpoint) as client:
            requests: list[pb.WatchRequest] = []

            async def session(call: Call) -> None:
                await call.created(0)
                for _ in range(3):
                    await call.send(77, put_event(b"x", 11))
                await call.send(0, put_event(b"a", 12))
                while True:
                    requests.append(await call.request())

            serve(one, session)
            watch = client.watch("a")
            await first(watch, 1)
            await until(lambda: bool(requests))
            cancels = [request.cancel_request for request in requests]
            assert [cancel.watch_id for cancel in cancels if cancel is not None] == [77]
            watch.close()

    asyncio.run(scenario())


def test_closing_the_last_watch_ends_the_stream_and_its_tasks() -> None:
    async def scenario() -> None:
        async with members() as (one,), Client(one.endpoint) as client:
            ended = asyncio.Event()

            async def session(call: Call) -> None:
                try:
                    await call.created(0)
                    await call.stay()
                finally:
                    ended.set()

            serve(one, session)
            async with client.watch("a"):
                assert len(client_tasks()) == 1
            await asyncio.wait_for(ended.wait(), 10)
            await until(lambda: client_tasks() == [])

    asyncio.run(scenario())


def test_a_cancelled_reader_leaves_nothing_behind() -> None:
    async def scenario() -> None:
        async with members() as (one,), Client(one.endpoint) as client:
            delivered = asyncio.Event()

            async def session(call: Call) -> None:
                await call.created(0)
                await call.send(0, put_event(b"a", 11))
                await call.stay()

            serve(one, session)

            async def read() -> None:
                async for _ in client.watch("a"):
                    delivered.set()

            reader = asyncio.create_task(read())
            await delivered.wait()
            reader.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reader
            del reader
            gc.collect()
            await until(lambda: client_tasks() == [])

    asyncio.run(scenario())


def test_waiting_with_a_timeout_does_not_end_the_watch() -> None:
    async def scenario() -> None:
        async with members() as (one,), Client(one.endpoint) as client:
            go = asyncio.Event()

            async def session(call: Call) -> None:
                await call.created(0)
                await go.wait()
                await call.send(0, put_event(b"a", 11))
                await call.stay()

            serve(one, session)
            async with client.watch("a") as watch:
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(anext(watch), 0.05)
                go.set()
                assert (await first(watch, 1))[0].revision == 11

    asyncio.run(scenario())


def test_closing_stops_iteration_after_what_is_buffered() -> None:
    async def scenario() -> None:
        async with members() as (one,), Client(one.endpoint) as client:

            async def session(call: Call) -> None:
                await call.created(0)
                await call.send(0, put_event(b"a", 11), put_event(b"a", 12))
                await call.stay()

            serve(one, session)
            watch = client.watch("a")
            await watch.started()
            await until(lambda: watch.statistics().buffered_events == 2)
            watch.close()
            assert [event.revision async for event in watch] == [11, 12]

    asyncio.run(scenario())
