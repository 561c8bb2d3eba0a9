"""Unary calls against members that misbehave: what is tried again, what is not, what is said."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import pytest
from grpclib.const import Status
from kvorum.client import (
    Client,
    ClientError,
    ConnectError,
    DeadlineError,
    InvalidRequestError,
    LeaseNotFoundError,
    NoLeaderError,
    RpcRecord,
    UnknownOutcome,
    Unsupported,
)
from kvorum.errors import Code, Condition
from kvorum_proto import etcdserverpb as pb
from unit.client.fakes import FakeMember, Relay, header, members, refuse, unused_endpoint

RANGE = "/etcdserverpb.KV/Range"


PUT = "/etcdserverpb.KV/Put"


AUTHENTICATE = "/etcdserverpb.Auth/Authenticate"


def found(_: Any) -> pb.RangeResponse:
    return pb.RangeResponse(header=header(5))


def put_done(_: Any) -> pb.PutResponse:
    return pb.PutResponse(header=header(6))


def refusing(status: Status, message: str, *, times: int = 10**9) -> Any:
    """A handler that refuses some times and then answers as PUT and RANGE do."""
    left = times

    def answer(request: Any) -> Any:
        nonlocal left
        left -= 1
        if left >= 0:
            raise refuse(status, message)
        return found(request) if isinstance(request, pb.RangeRequest) else put_done(request)

    return answer


def first_is(member: FakeMember, *others: FakeMember) -> dict[str, Any]:
    """Options for a client that begins with ``member``."""
    endpoints = [member.endpoint, *(other.endpoint for other in others)]

    class First(random.Random):
        def randrange(self, *_: Any, **__: Any) -> int:
            return 0

    return {"endpoints": endpoints, "rng": First(1)}


def test_a_read_is_tried_again_elsewhere_while_unavailable() -> None:
    async def scenario() -> None:
        async with members(2) as (one, two), Client(**first_is(one, two)) as client:
            one.unary[RANGE] = refusing(Status.UNAVAILABLE, "etcdserver: leader changed")
            two.unary[RANGE] = found
            assert (await client.get("a")).header.revision == 5
            assert len(one.seen) == 1
            assert len(two.seen) == 1

    asyncio.run(scenario())


def test_a_read_is_tried_again_on_the_only_member() -> None:
    async def scenario() -> None:
        async with members() as (one,), Client(one.endpoint) as client:
            text = Condition.LEADER_CHANGED.message
            one.unary[RANGE] = refusing(Status.UNAVAILABLE, text, times=3)
            await client.get("a")
            assert len(one.seen) == 4

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (Status.UNAVAILABLE, Condition.TIMEOUT.message),
        (Status.UNAVAILABLE, Condition.TIMEOUT_LEADER_FAIL.message),
        (Status.UNAVAILABLE, Condition.STOPPED.message),
        (Status.UNAVAILABLE, "something new"),
        (Status.DEADLINE_EXCEEDED, Condition.DEADLINE_EXCEEDED.message),
        (Status.UNKNOWN, "context deadline exceeded"),
        (Status.INTERNAL, "broken"),
        (Status.CANCELLED, Condition.CANCELED.message),
    ],
)
def test_a_write_of_unknown_fate_is_said_and_sent_once(status: Status, message: str) -> None:
    async def scenario() -> None:
        async with members(2) as (one, two), Client(**first_is(one, two)) as client:
            one.unary[PUT] = refusing(status, message)
            two.unary[PUT] = put_done
            with pytest.raises(UnknownOutcome) as raised:
                await client.put("k", "v" * 100)
            assert len(one.seen) == 1
            assert two.seen == []
            error = raised.value
            assert error.endpoint == one.endpoint
            assert error.rpc == PUT
            assert error.message == message
            assert error.request == "PutRequest(key=b'k', value=<100 bytes>)"

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (Status.INVALID_ARGUMENT, Condition.KEY_NOT_PROVIDED.message, InvalidRequestError),
        (Status.NOT_FOUND, Condition.LEASE_NOT_FOUND.message, LeaseNotFoundError),
        (Status.RESOURCE_EXHAUSTED, Condition.TOO_MANY_REQUESTS.message, ClientError),
        (Status.DATA_LOSS, Condition.CORRUPT.message, ClientError),
        (Status.FAILED_PRECONDITION, "anything", ClientError),
        (Status.UNIMPLEMENTED, "unknown method", Unsupported),
    ],
)
def test_a_refused_write_is_no_unknown_outcome(
    status: Status, message: str, kind: type[ClientError]
) -> None:
    async def scenario() -> None:
        async with members() as (one,), Client(one.endpoint) as client:
            one.unary[PUT] = refusing(status, message)
            with pytest.raises(kind) as raised:
                await client.put("k", "v")
            assert not isinstance(raised.value, UnknownOutcome)
            assert raised.value.code == Code(status.value)
            assert len(one.seen) == 1

    asyncio.run(scenario())


@pytest.mark.parametrize("condition", [Condition.NOT_SUPPORTED_FOR_LEARNER, Condition.NO_LEADER])
def test_a_write_refused_unlogged_goes_to_another_member(condition: Condition) -> None:
    async def scenario() -> None:
        async with members(2) as (one, two), Client(**first_is(one, two)) as client:
            one.unary[PUT] = refusing(Status.UNAVAILABLE, condition.message)
            two.unary[PUT] = put_done
            assert (await client.put("k", "v")).header.revision == 6
            assert len(one.seen) == 1

    asyncio.run(scenario())


def test_the_etcd_3_6_code_of_a_learner_is_understood_too() -> None:
    async def scenario() -> None:
        async with members(2) as (one, two), Client(**first_is(one, two)) as client:
            text = Condition.NOT_SUPPORTED_FOR_LEARNER.message
            one.unary[RANGE] = refusing(Status.FAILED_PRECONDITION, text)
            two.unary[RANGE] = found
            await client.get("k")
            assert len(two.seen) == 1

    asyncio.run(scenario())


def test_no_leader_anywhere_is_said_as_such() -> None:
    async def scenario() -> None:
        async with members(2) as (one, two):
            options = first_is(one, two) | {"timeout_s": 1.0, "require_leader": True}
            async with Client(**options) as client:
                for member in (one, two):
                    text = Condition.NO_LEADER.message
                    member.unary[PUT] = refusing(Status.UNAVAILABLE, text)
                with pytest.raises(NoLeaderError):
                    await client.put("k", "v")
                assert one.metadata[0]["hasleader"] == "true"

    asyncio.run(scenario())


def test_a_write_moves_on_from_a_member_that_cannot_be_reached() -> None:
    async def scenario() -> None:
        async with members() as (one,):
            one.unary[PUT] = put_done
            gone = FakeMember()
            gone.endpoint = unused_endpoint()
            async with Client(**first_is(gone, one)) as client:
                await client.put("k", "v")
                await client.put("k", "v")
                assert len(one.seen) == 2

    asyncio.run(scenario())


def test_a_write_moves_on_from_a_member_that_accepts_and_says_nothing() -> None:
    """A paused process: the kernel takes the connection, so only the missing settings show it."""

    async def scenario() -> None:
        async with members(2) as (one, two), Relay(one.endpoint) as relay:
            relay.stop()
            two.unary[PUT] = put_done
            options = first_is(one, two) | {"dial_timeout_s": 0.2}
            options["endpoints"] = [relay.endpoint, two.endpoint]
            async with Client(**options) as client:
                await client.put("k", "v")
                assert one.seen == []
                assert len(two.seen) == 1

    asyncio.run(scenario())


def test_nobody_there_is_a_connect_error_within_the_dial_timeout() -> None:
    async def scenario() -> None:
        endpoints = [unused_endpoint(), unused_endpoint()]
        async with Client(endpoints, timeout_s=60.0, dial_timeout_s=0.2) as client:
            began = time.monotonic()
            with pytest.raises(ConnectError) as raised:
                await client.put("k", "v")
            assert time.monotonic() - began < 30
            assert raised.value.endpoint in endpoints

    asyncio.run(scenario())


def test_a_connection_cut_during_a_write_leaves_its_fate_unknown() -> None:
    async def scenario() -> None:
        async with members() as (one,), Relay(one.endpoint) as relay:
            arrived = asyncio.Event()

            async def never(_: Any) -> pb.PutResponse:
                arrived.set()
                await asyncio.Event().wait()
                raise AssertionError

            one.unary[PUT] = never
            async with Client(relay.endpoint) as client:
                writing = asyncio.create_task(client.put("k", "v"))
                await arrived.wait()
                relay.cut()
                with pytest.raises(UnknownOutcome, match="connection lost"):
                    await writing
                assert len(one.seen) == 1

    asyncio.run(scenario())


def test_a_connection_cut_during_a_read_is_made_again() -> None:
    async def scenario() -> None:
        async with members() as (one,), Relay(one.endpoint) as relay:
            arrived = asyncio.Event()

            async def slow_once(request: Any) -> pb.RangeResponse:
                if not arrived.is_set():
                    arrived.set()
                    await asyncio.Event().wait()
                return found(request)

            one.unary[RANGE] = slow_once
            async with Client(relay.endpoint) as client:
                reading = asyncio.create_task(client.get("k"))
                await arrived.wait()
                relay.cut()
                assert (await reading).header.revision == 5
                assert relay.connections == 2

    asyncio.run(scenario())


def test_a_deadline_is_sent_and_kept() -> None:
    async def scenario() -> None:
        async with members() as (one,), Client(one.endpoint, timeout_s=0.5) as client:

            async def never(_: Any) -> pb.RangeResponse:
                await asyncio.Event().wait()
                raise AssertionError

            one.unary[RANGE] = found
            await client.get("k", timeout_s=5.0)
            one.unary[RANGE] = one.unary[PUT] = never
            with pytest.raises(DeadlineError):
                await client.get("k")
            with pytest.raises(UnknownOutcome):
                await client.put("k", "v")
            assert [left is not None and 0 < left <= 0.5 for left in one.deadlines[1:]] == [
                True,
                True,
            ]

    asyncio.run(scenario())


def test_a_read_leaves_a_silent_member_before_its_deadline() -> None:
    async def scenario() -> None:
        async with members(2) as (one, two):
            options = first_is(one, two) | {"timeout_s": 3.0}

            async def never(_: Any) -> pb.RangeResponse:
                await asyncio.Event().wait()
                raise AssertionError

            one.unary[RANGE], two.unary[RANGE] = never, found
            async with Client(**options) as client:
                assert (await client.get("k")).header.revision == 5

    asyncio.run(scenario())


def test_the_callers_own_timeout_works_around_a_call() -> None:
    """grpclib cancels the waiting task when a connection breaks; that must not be the caller's."""

    async def scenario() -> None:
        async with members() as (one,), Relay(one.endpoint) as relay:
            arrived = asyncio.Event()

            async def never(_: Any) -> pb.PutResponse:
                arrived.set()
                await asyncio.Event().wait()
                raise AssertionError

            async def cut() -> None:
                await arrived.wait()
                relay.cut()

            one.unary[PUT] = never
            async with Client(relay.endpoint) as client:
                me = asyncio.current_task()
                assert me is not None
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(2.0):
                        cutting = asyncio.create_task(cut())
                        with pytest.raises(UnknownOutcome):
                            await client.put("k", "v")
                        assert me.cancelling() == 0
                        await cutting
                        await asyncio.Event().wait()
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.1):
                        await client.put("k", "v")
                assert me.cancelling() == 0

    asyncio.run(scenario())


def test_a_reply_that_is_none_is_a_protocol_violation() -> None:
    async def scenario() -> None:
        async with members() as (one,), Client(one.endpoint) as client:
            # A PutResponse whose field 1 is no header but a number: not decodable as a
            # RangeResponse.
            one.unary[RANGE] = lambda _: b"\x0a\xff"
            with pytest.raises(ClientError, match="decoded"):
                await client.get("k")

    asyncio.run(scenario())


def test_the_observer_is_told_of_every_try() -> None:
    async def scenario() -> None:
        records: list[RpcRecord] = []
        async with members(2) as (one, two):
            one.unary[RANGE] = refusing(Status.UNAVAILABLE, "etcdserver: leader changed")
            two.unary[RANGE] = found
            async with Client(**first_is(one, two), on_rpc=records.append) as client:
                await client.get("a")
            assert [(record.endpoint, record.code) for record in records] == [
                (one.endpoint, Code.UNAVAILABLE),
                (two.endpoint, Code.OK),
            ]
            assert records[0].message == "etcdserver: leader changed"
            assert records[1].request_bytes > 0
            assert records[1].response_bytes > 0
            assert records[1].duration_s > 0

    asyncio.run(scenario())
