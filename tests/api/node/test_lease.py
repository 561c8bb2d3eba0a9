"""Leases over a real connection (contract page "semantics", section 7)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from api.node.hands import MEMBER_IDS, LocalCluster, cluster
from grpclib.exceptions import GRPCError
from kvorum_proto import etcdserverpb as pb

GRANT = "/etcdserverpb.Lease/LeaseGrant"
KEEP_ALIVE = "/etcdserverpb.Lease/LeaseKeepAlive"
TIME_TO_LIVE = "/etcdserverpb.Lease/LeaseTimeToLive"


async def renewals(local: LocalCluster, *ids: int, on: int = 0) -> list[tuple[int, int]]:
    """Ask for renewals, half-close, and read to the end: (id, TTL) each."""
    out = []
    async with local.stream(KEEP_ALIVE, on=on) as stream:
        await stream.send_request()
        for id_ in ids:
            await stream.send_message(pb.LeaseKeepAliveRequest(id=id_))
        await stream.end()
        async for answer in stream:
            assert answer.header is not None and answer.header.member_id == MEMBER_IDS[on]
            out.append((answer.id, answer.ttl))
    return out


async def grant(local: LocalCluster, id_: int, ttl: int) -> None:
    """A lease."""
    await local.call(GRANT, pb.LeaseGrantRequest(id=id_, ttl=ttl))


def test_the_floor_of_a_ttl() -> None:
    async def main() -> None:
        async with cluster() as local:
            for asked, given in ((0, 2), (-4, 2), (1, 2), (3, 3)):
                answer = await local.call(GRANT, pb.LeaseGrantRequest(ttl=asked))
                assert answer.ttl == given and answer.id > 0 and answer.error == ""
        async with cluster(1, election_timeout_ms=5000, heartbeat_interval_ms=500) as local:
            answer = await local.call(GRANT, pb.LeaseGrantRequest(ttl=1))
            assert answer.ttl == 8

    asyncio.run(main())


def test_answers_come_in_order_and_the_stream_ends_after_the_last() -> None:
    async def main() -> None:
        async with cluster(3) as local:
            await grant(local, 7, 30)
            await grant(local, 8, 40)
            expected = [(7, 30), (9, 0), (8, 40), (7, 30)]
            for on in range(3):
                assert await renewals(local, 7, 9, 8, 7, on=on) == expected
            assert await renewals(local) == []

    asyncio.run(main())


def test_a_thousand_renewals_in_one_breath() -> None:
    async def main() -> None:
        async with cluster() as local:
            await grant(local, 7, 30)
            assert await renewals(local, *[7] * 1000) == [(7, 30)] * 1000
            assert len(local.nodes[MEMBER_IDS[0]].callers) == 0

    asyncio.run(main())


def test_time_to_live() -> None:
    async def main() -> None:
        async with cluster(3) as local:
            await grant(local, 7, 30)
            for key in (b"b", b"a"):
                put = pb.PutRequest(key=key, lease=7)
                await local.call("/etcdserverpb.KV/Put", put)
            await local.run(25)
            for on in range(3):
                ask = pb.LeaseTimeToLiveRequest(id=7, keys=True)
                left = await local.call(TIME_TO_LIVE, ask, on=on)
                assert (left.id, left.ttl, left.granted_ttl) == (7, 27, 30)
                assert sorted(left.keys) == [b"a", b"b"]
                without = await local.call(TIME_TO_LIVE, pb.LeaseTimeToLiveRequest(id=7), on=on)
                assert without.keys == []
                gone = await local.call(TIME_TO_LIVE, pb.LeaseTimeToLiveRequest(id=9), on=on)
                assert (gone.id, gone.ttl, gone.granted_ttl) == (9, -1, 0)

    asyncio.run(main())


def test_a_stream_without_a_leader_fails_after_seven_seconds() -> None:
    async def main() -> None:
        async with cluster(3, leader=-1) as local:
            local.cut_off.add(MEMBER_IDS[0])
            node = local.nodes[MEMBER_IDS[0]]
            renewing = asyncio.ensure_future(renewals(local, 7))
            await local.until(lambda: node.status().pending_requests == 1)
            local.tick(70, only=MEMBER_IDS[0])
            with pytest.raises(GRPCError) as caught:
                await renewing
            assert caught.value.status.value == 14
            assert caught.value.message == "etcdserver: no leader"

    asyncio.run(main())


def test_a_client_that_goes_away_leaves_nobody_waiting() -> None:
    async def main() -> None:
        async with cluster(3, leader=-1) as local:
            node = local.nodes[MEMBER_IDS[0]]
            async with local.stream(KEEP_ALIVE) as stream:
                for _ in range(300):
                    await stream.send_message(pb.LeaseKeepAliveRequest(id=7))
                await local.until(lambda: node.status().pending_requests == 256)
                await stream.cancel()
            await local.until(lambda: node.status().pending_requests == 0)
            assert len(node.callers) == 0

    asyncio.run(main())


def test_expiry_deletes_the_keys() -> None:
    async def main() -> None:
        async with cluster() as local:
            await grant(local, 7, 2)
            await local.call("/etcdserverpb.KV/Put", pb.PutRequest(key=b"a", lease=7))
            machine = local.nodes[MEMBER_IDS[0]].machine
            await local.run(15)
            assert await renewals(local, 7) == [(7, 2)]
            await local.run(15)
            assert 7 in machine.leases
            await local.until(lambda: 7 not in machine.leases, ticks=1)
            got: Any = await local.call("/etcdserverpb.KV/Range", pb.RangeRequest(key=b"a"))
            assert (got.count, got.header.revision) == (0, 3)
            assert await renewals(local, 7) == [(7, 0)]

    asyncio.run(main())


def test_listing_in_the_order_of_their_ends() -> None:
    async def main() -> None:
        async with cluster() as local:
            for id_, ttl in ((1, 60), (2, 20), (3, 40)):
                await grant(local, id_, ttl)
            path = "/etcdserverpb.Lease/LeaseLeases"
            answer = await local.call(path, pb.LeaseLeasesRequest())
            assert [lease.id for lease in answer.leases] == [2, 3, 1]

    asyncio.run(main())
