"""Watching a client at work: every call with what was sent and answered, and never a secret."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any, cast

import pytest
from betterproto2 import Message
from grpclib.const import Status
from kvorum.client import Client, ClientError, Observed
from kvorum.client.observe import SECRETS, holds_secret, without_secrets
from kvorum.errors import Code
from kvorum_proto import authpb, mvccpb
from kvorum_proto import etcdserverpb as pb
from kvorum_proto.codec import decode, encode
from kvorum_proto.services import METHODS
from unit.client.fakes import header, members, put_event, refuse

RANGE = "/etcdserverpb.KV/Range"
WATCH = "/etcdserverpb.Watch/Watch"
AUTHENTICATE = "/etcdserverpb.Auth/Authenticate"


def found(request: Any) -> pb.RangeResponse:
    return pb.RangeResponse(header=header(), kvs=[mvccpb.KeyValue(key=request.key)], count=1)


def test_a_listener_is_told_of_calls_with_both_messages_until_it_stops() -> None:
    async def scenario() -> None:
        told: list[Observed] = []
        async with members() as (one,), Client(one.endpoint) as client:
            one.unary[RANGE] = found
            await client.get("before")
            stop = client.observe(told.append)
            await client.get("a")
            await client.member(one.endpoint).get("b")
            stop()
            await client.get("after")
        assert [decode(pb.RangeRequest, each.request).key for each in told] == [b"a", b"b"]
        assert [decode(pb.RangeResponse, each.reply).count for each in told] == [1, 1]
        assert {(each.phase, each.method, each.endpoint, each.code) for each in told} == {
            ("call", RANGE, one.endpoint, Code.OK)
        }
        assert told[0].id != told[1].id
        assert all(each.duration_s > 0 for each in told)

    asyncio.run(scenario())


def test_a_listener_is_told_of_failures() -> None:
    async def scenario() -> None:
        told: list[Observed] = []
        async with members() as (one,), Client(one.endpoint) as client:

            def answer(request: Any) -> None:
                raise refuse(Status.OUT_OF_RANGE, "etcdserver: mvcc: required revision is future")

            one.unary[RANGE] = answer
            client.observe(told.append)
            with pytest.raises(ClientError):
                await client.get("a", revision=99)
        assert [(each.code, each.message[-6:], each.reply) for each in told] == [
            (Code.OUT_OF_RANGE, "future", b"")
        ]

    asyncio.run(scenario())


def test_a_stream_is_told_from_its_opening_to_its_end() -> None:
    async def scenario() -> None:
        told: list[Observed] = []

        async def watching(stream: Any) -> None:
            await stream.recv_message()
            await stream.send_message(pb.WatchResponse(header=header(), created=True))
            await stream.send_message(
                pb.WatchResponse(header=header(2), events=[put_event(b"a", 2)])
            )
            await asyncio.Event().wait()

        async with members() as (one,), Client(one.endpoint) as client:
            one.streams[WATCH] = watching
            client.observe(told.append)
            async for event in client.watch("a"):
                assert event.key == b"a"
                break
        assert [each.phase for each in told][:4] == ["open", "sent", "received", "received"]
        assert told[-1].phase == "end"
        assert len({each.id for each in told}) == 1
        asked = decode(pb.WatchRequest, told[1].request).create_request
        assert asked is not None
        assert asked.key == b"a"
        assert decode(pb.WatchResponse, told[3].reply).events[0].kv is not None

    asyncio.run(scenario())


def test_passwords_and_tokens_are_not_told() -> None:
    async def scenario() -> None:
        told: list[Observed] = []
        async with (
            members() as (one,),
            Client(one.endpoint, user="root", password="open sesame") as client,
        ):
            one.unary[AUTHENTICATE] = lambda _: pb.AuthenticateResponse(token="key.17")
            one.unary["/etcdserverpb.Auth/UserAdd"] = lambda _: pb.AuthUserAddResponse()
            client.observe(told.append)
            await client.auth.user_add("ann", "open barley")
        assert [each.method.rpartition("/")[2] for each in told] == ["Authenticate", "UserAdd"]
        assert decode(pb.AuthUserAddRequest, told[1].request).name == "ann"
        for each in told:
            for secret in (b"open", b"key.17"):
                assert secret not in each.request + each.reply

    asyncio.run(scenario())


def secret_fields(kind: type[Message], seen: tuple[type[Message], ...] = ()) -> set[str]:
    """Fields of a message, at any depth, whose name hints at a secret."""
    names = set()
    for field in dataclasses.fields(cast(Any, kind)):
        if any(word in field.name for word in ("pass", "secret", "token", "credential")):
            names.add(field.name)
    return names


def test_no_message_of_any_method_hides_a_secret_that_is_not_blanked() -> None:
    """A new method with a field that sounds like a secret has to be named in SECRETS."""
    harmless = {"no_password"}
    for called in METHODS.values():
        for reply in (False, True):
            kind = called.response if reply else called.request
            hidden = secret_fields(kind) - harmless
            assert hidden <= SECRETS, called.path
            assert holds_secret(called, reply=reply) is bool(hidden), called.path


def test_what_cannot_be_decoded_is_not_told_where_it_could_hold_a_secret() -> None:
    called = METHODS["/etcdserverpb.Auth/UserAdd"]
    assert without_secrets(called, b"\x0a\xff") == b""
    assert without_secrets(METHODS[RANGE], b"\x0a\xff") == b"\x0a\xff"
    request = pb.AuthUserAddRequest(
        name="ann", password="x", options=authpb.UserAddOptions(no_password=True)
    )
    kept = decode(pb.AuthUserAddRequest, without_secrets(called, encode(request)))
    assert (kept.name, kept.password) == ("ann", "")
