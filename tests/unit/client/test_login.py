"""Logging in: when a token is got, replaced, and done without."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from grpclib.const import Status
from kvorum.client import (
    AuthError,
    Client,
)
from kvorum.errors import Condition
from kvorum_proto import etcdserverpb as pb
from unit.client.fakes import FakeMember, header, members, refuse
from unit.client.test_calls import put_done, refusing

PUT = "/etcdserverpb.KV/Put"


AUTHENTICATE = "/etcdserverpb.Auth/Authenticate"


class Guarded:
    """A member with auth on: tokens t1, t2, ... of which only the newest is good."""

    def __init__(self, member: FakeMember, refusal: Condition) -> None:
        self.member, self.refusal, self.issued = member, refusal, 0
        member.unary[AUTHENTICATE] = self.authenticate
        member.unary[PUT] = self.put

    def authenticate(self, request: Any) -> pb.AuthenticateResponse:
        if (request.name, request.password) != ("root", "pw"):
            raise refuse(Status.INVALID_ARGUMENT, Condition.AUTH_FAILED.message)
        self.issued += 1
        return pb.AuthenticateResponse(header=header(), token=f"t{self.issued}")

    def put(self, request: Any) -> pb.PutResponse:
        if self.member.metadata[-1].get("token") != f"t{self.issued}":
            raise refuse(Status(self.refusal.code.value), self.refusal.message)
        return put_done(request)


@pytest.mark.parametrize(
    "refusal",
    [Condition.INVALID_AUTH_TOKEN, Condition.USER_EMPTY, Condition.AUTH_OLD_REVISION],
)
def test_a_refused_token_is_replaced_once(refusal: Condition) -> None:
    async def scenario() -> None:
        async with members() as (one,):
            guard = Guarded(one, refusal)
            async with Client(one.endpoint, user="root", password="pw") as client:
                await client.put("k", "v")
                assert guard.issued == 1
                guard.issued += 1  # As if the server had forgotten the token.
                await client.put("k", "v")
                assert guard.issued == 3
                guard.issued = 100
                one.unary[AUTHENTICATE] = lambda _: pb.AuthenticateResponse(token="stale")
                with pytest.raises(AuthError):
                    await client.put("k", "v")
                assert len(one.asked(PUT)) == 5

    asyncio.run(scenario())


def test_calls_at_the_same_time_log_in_once() -> None:
    async def scenario() -> None:
        async with members() as (one,):
            guard = Guarded(one, Condition.INVALID_AUTH_TOKEN)
            async with Client(one.endpoint, user="root", password="pw") as client:
                await asyncio.gather(*(client.put("k", "v") for _ in range(5)))
                assert guard.issued == 1

    asyncio.run(scenario())


def test_a_wrong_password_is_an_auth_error_and_never_shown() -> None:
    async def scenario() -> None:
        async with members() as (one,):
            Guarded(one, Condition.INVALID_AUTH_TOKEN)
            async with Client(one.endpoint, user="root", password="hunter2") as client:
                with pytest.raises(AuthError) as raised:
                    await client.put("k", "v")
                assert "hunter2" not in str(raised.value)

    asyncio.run(scenario())


def test_credentials_do_no_harm_where_auth_is_off() -> None:
    async def scenario() -> None:
        async with members() as (one,):
            one.unary[PUT] = put_done
            condition = Condition.AUTH_NOT_ENABLED
            one.unary[AUTHENTICATE] = refusing(Status.FAILED_PRECONDITION, condition.message)
            async with Client(one.endpoint, user="root", password="pw") as client:
                await client.put("k", "v")
                await client.put("k", "v")
                assert len(one.asked(AUTHENTICATE)) == 1
                assert "token" not in one.metadata[-1]

    asyncio.run(scenario())
