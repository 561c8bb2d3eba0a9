"""Leases that members renew late, elsewhere, or not at all."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from grpclib.const import Status
from kvorum.client import Client, LeaseNotFoundError
from kvorum.errors import Condition
from kvorum_proto import etcdserverpb as pb
from unit.client.fakes import FakeMember, client_tasks, header, members, refuse, until

GRANT = "/etcdserverpb.Lease/LeaseGrant"
REVOKE = "/etcdserverpb.Lease/LeaseRevoke"
KEEP_ALIVE = "/etcdserverpb.Lease/LeaseKeepAlive"


class Lessor:
    """A member that grants leases of a TTL and renews them as long as it is told to."""

    def __init__(self, member: FakeMember, *, ttl_s: int = 1) -> None:
        self.ttl_s = ttl_s
        self.answering = True
        self.gone = False
        self.renewed: list[int] = []
        self.streams = 0
        self.revoked: list[int] = []
        member.unary[GRANT] = self.grant
        member.unary[REVOKE] = self.revoke
        member.streams[KEEP_ALIVE] = self.keep_alive
        self._next_id = 0

    def grant(self, request: Any) -> pb.LeaseGrantResponse:
        self._next_id += 1
        return pb.LeaseGrantResponse(
            header=header(), id=request.id or self._next_id, ttl=self.ttl_s
        )

    def revoke(self, request: Any) -> pb.LeaseRevokeResponse:
        if self.gone:
            raise refuse(Status.NOT_FOUND, Condition.LEASE_NOT_FOUND.message)
        self.revoked.append(request.id)
        return pb.LeaseRevokeResponse(header=header())

    async def keep_alive(self, stream: Any) -> None:
        self.streams += 1
        async for request in stream:
            if not self.answering:
                continue
            self.renewed.append(request.id)
            ttl_s = 0 if self.gone else self.ttl_s
            await stream.send_message(
                pb.LeaseKeepAliveResponse(header=header(), id=request.id, ttl=ttl_s)
            )


def test_a_lease_is_renewed_and_revoked_at_the_end() -> None:
    async def scenario() -> None:
        async with members() as (one,), Client(one.endpoint) as client:
            lessor = Lessor(one, ttl_s=3)
            async with client.lease(3) as lease:
                await until(lambda: lease.renewals >= 3)
                assert not lease.lost.is_set()
                assert 0 < lease.remaining_s <= 3
            assert lessor.revoked == [lease.id]
            await until(lambda: client_tasks() == [])

    asyncio.run(scenario())


def test_all_leases_share_one_stream() -> None:
    async def scenario() -> None:
        async with members() as (one,), Client(one.endpoint) as client:
            lessor = Lessor(one, ttl_s=3)
            async with client.lease(3) as first, client.lease(3, id=99) as second:
                await until(lambda: first.renewals >= 2 and second.renewals >= 2)
            assert lessor.streams == 1
            assert lessor.revoked == [99, first.id]

    asyncio.run(scenario())


def test_a_lease_the_server_does_not_have_is_lost() -> None:
    async def scenario() -> None:
        async with members() as (one,), Client(one.endpoint) as client:
            lessor = Lessor(one)
            async with client.lease(1) as lease:
                lessor.gone = True
                async with asyncio.timeout(10):
                    await lease.lost.wait()
                assert "expired or was revoked" in lease.reason
            assert lessor.revoked == []

    asyncio.run(scenario())


def test_a_lease_that_nobody_renews_is_lost_no_later_than_its_ttl() -> None:
    async def scenario() -> None:
        async with members() as (one,), Client(one.endpoint) as client:
            lessor = Lessor(one)
            lessor.answering = False
            async with client.lease(1) as lease:
                async with asyncio.timeout(10):
                    await lease.lost.wait()
                assert lease.remaining_s == 0.0
                assert "in time" in lease.reason

    asyncio.run(scenario())


def test_a_member_that_does_not_answer_is_left_for_one_that_does() -> None:
    async def scenario() -> None:
        async with members(2) as (one, two):
            silent, good = Lessor(one, ttl_s=3), Lessor(two, ttl_s=3)
            silent.answering = False
            async with Client([one.endpoint, two.endpoint]) as client:
                client._caller.picker._at = 0
                async with client.lease(3) as lease:
                    await until(lambda: lease.renewals >= 1)
                    assert not lease.lost.is_set()
            assert silent.streams == 1
            assert good.renewed

    asyncio.run(scenario())


def test_a_broken_stream_is_opened_again() -> None:
    async def scenario() -> None:
        async with members() as (one,), Client(one.endpoint) as client:
            lessor = Lessor(one, ttl_s=30)
            whole = lessor.keep_alive

            async def broken(stream: Any) -> None:
                one.streams[KEEP_ALIVE] = whole
                raise refuse(Status.UNAVAILABLE, Condition.NO_LEADER.message)

            one.streams[KEEP_ALIVE] = broken
            async with client.lease(30) as lease:
                # Without waiting a third of the TTL: an interrupted renewal is repeated at once.
                await until(lambda: lease.renewals >= 1)

    asyncio.run(scenario())


def test_a_stream_that_is_refused_for_good_loses_the_lease() -> None:
    async def scenario() -> None:
        async with members() as (one,), Client(one.endpoint) as client:
            Lessor(one, ttl_s=30)

            async def refused(stream: Any) -> None:
                raise refuse(Status.PERMISSION_DENIED, Condition.PERMISSION_DENIED.message)

            one.streams[KEEP_ALIVE] = refused
            async with client.lease(30) as lease:
                async with asyncio.timeout(10):
                    await lease.lost.wait()
                assert "permission denied" in lease.reason

    asyncio.run(scenario())


def test_one_renewal() -> None:
    async def scenario() -> None:
        async with members() as (one,), Client(one.endpoint) as client:
            lessor = Lessor(one, ttl_s=7)
            assert await client.leases.keep_alive_once(5) == 7
            lessor.gone = True
            with pytest.raises(LeaseNotFoundError):
                await client.leases.keep_alive_once(5)

    asyncio.run(scenario())


def test_a_lease_is_not_used_before_it_is_granted() -> None:
    async def scenario() -> None:
        async with Client("127.0.0.1:1") as client:
            with pytest.raises(RuntimeError, match="granted"):
                _ = client.lease(1).id

    asyncio.run(scenario())
