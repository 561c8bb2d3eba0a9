"""Watches: creating, refusing, ending."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest
from grpclib.const import Status
from kvorum.client import (
    AuthError,
    Client,
    ClientError,
    CompactedError,
    ConnectError,
    FutureRevisionError,
    NoLeaderError,
    PermissionDeniedError,
    Unsupported,
)
from kvorum.errors import Condition
from kvorum_proto import etcdserverpb as pb
from unit.client.fakes import (
    client_tasks,
    members,
    put_event,
    refuse,
    until,
    unused_endpoint,
)
from unit.client.watch_calls import Call, first, serve


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
