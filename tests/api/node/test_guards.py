"""What every call passes: unknown methods, learners, surprises, faults from elsewhere."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from api.node.hands import MEMBER_IDS, LocalCluster, cluster
from grpclib.client import UnaryUnaryMethod
from grpclib.exceptions import GRPCError
from kvorum.api.guards import _is_loopback
from kvorum.replica.requests import Done
from kvorum_proto import etcdserverpb as pb
from kvorum_proto.grpc.health.v1 import HealthCheckRequest, ServingStatus
from kvorum_proto.kvorum import v1

RANGE = "/etcdserverpb.KV/Range"


async def refusal(local: LocalCluster, path: str, request: Any, **options: Any) -> tuple[int, str]:
    """How a call is refused."""
    with pytest.raises(GRPCError) as caught:
        await local.call(path, request, **options)
    return caught.value.status.value, caught.value.message or ""


def test_unknown_methods_and_services() -> None:
    async def main() -> None:
        async with cluster() as local:
            for path, words in (
                ("/etcdserverpb.KV/Nope", "unknown method Nope for service etcdserverpb.KV"),
                ("/nope.X/Y", "unknown service nope.X"),
                ("/kvorum.v1.Peer/Exchange", "unknown service kvorum.v1.Peer"),
            ):
                make: Any = UnaryUnaryMethod
                call = make(local.channel(0), path, pb.RangeRequest, pb.RangeResponse)
                with pytest.raises(GRPCError) as caught:
                    await call(pb.RangeRequest(key=b"a"))
                assert (caught.value.status.value, caught.value.message) == (12, words)

    asyncio.run(main())


def test_bytes_that_are_no_request() -> None:
    async def main() -> None:
        async with cluster() as local:
            make: Any = UnaryUnaryMethod
            call = make(local.channel(0), RANGE, bytes, pb.RangeResponse)
            with pytest.raises(GRPCError) as caught:
                await call(b"\x0a\xff")
            assert caught.value.status.value == 13
            assert (caught.value.message or "").startswith("grpc: error unmarshalling request: ")
            assert (await local.call(RANGE, pb.RangeRequest(key=b"a"))).count == 0

    asyncio.run(main())


def test_a_learner_answers_what_etcd_lets_it_answer() -> None:
    allowed: list[tuple[str, Any]] = [
        (RANGE, pb.RangeRequest(key=b"a", serializable=True)),
        ("/etcdserverpb.Maintenance/Status", pb.StatusRequest()),
        ("/grpc.health.v1.Health/Check", HealthCheckRequest()),
    ]
    refused: list[tuple[str, Any]] = [
        (RANGE, pb.RangeRequest(key=b"a")),
        ("/etcdserverpb.KV/Put", pb.PutRequest(key=b"a")),
        ("/etcdserverpb.KV/Txn", pb.TxnRequest()),
        ("/etcdserverpb.Cluster/MemberList", pb.MemberListRequest()),
        ("/etcdserverpb.Maintenance/Alarm", pb.AlarmRequest()),
        ("/etcdserverpb.Maintenance/HashKV", pb.HashKvRequest()),
        ("/etcdserverpb.Lease/LeaseGrant", pb.LeaseGrantRequest(ttl=5)),
    ]
    words = (14, "etcdserver: rpc not supported for learner")

    async def main() -> None:
        async with cluster(2, learners=1) as local:
            await local.until(lambda: local.nodes[MEMBER_IDS[2]].leader != 0, ticks=1)
            for path, request in allowed:
                await local.call(path, request, on=2)
            status = await local.call("/etcdserverpb.Maintenance/Status", pb.StatusRequest(), on=2)
            assert status.is_learner
            for path, request in refused:
                assert await refusal(local, path, request, on=2) == words
            for path in ("/etcdserverpb.Watch/Watch", "/etcdserverpb.Lease/LeaseKeepAlive"):
                with pytest.raises(GRPCError) as caught:
                    async with local.stream(path, on=2) as stream:
                        await stream.send_request()
                        await stream.recv_message()
                assert (caught.value.status.value, caught.value.message) == words
            move = pb.MoveLeaderRequest(target_id=MEMBER_IDS[2])
            bad = (9, "etcdserver: bad leader transferee")
            assert await refusal(local, "/etcdserverpb.Maintenance/MoveLeader", move) == bad

    asyncio.run(main())


def test_a_surprise_is_internal_and_leaves_a_trace(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with cluster() as local:

            async def broken(*_: Any, **__: Any) -> Done:
                raise ZeroDivisionError("no such luck")

            node: Any = local.nodes[MEMBER_IDS[0]]
            node.read = broken
            assert await refusal(local, RANGE, pb.RangeRequest(key=b"a")) == (
                13,
                "kvorum: internal error",
            )

    with caplog.at_level(logging.ERROR, "kvorum.api"):
        asyncio.run(main())
    assert [(record.name, record.getMessage()) for record in caplog.records] == [
        ("kvorum.api", f"{RANGE} failed")
    ]
    assert "no such luck" in caplog.text


def test_faults_are_there_only_where_they_are_enabled() -> None:
    path = "/kvorum.v1.Faults/List"

    async def main() -> None:
        async with cluster() as local:
            absent = (12, "unknown service kvorum.v1.Faults")
            assert await refusal(local, path, v1.ListFaultsRequest()) == absent
        async with cluster(1, enable_faults=True) as local:
            assert (await local.call(path, v1.ListFaultsRequest())).faults == []

    asyncio.run(main())


class _From:
    """A caller's address."""

    def __init__(self, address: Any) -> None:
        self._address = address

    def addr(self) -> Any:
        """As the transport tells it."""
        return self._address


@pytest.mark.parametrize(
    ("address", "near"),
    [
        (("127.0.0.1", 1), True),
        (("127.9.0.1", 1), True),
        (("::1", 1, 0, 0), True),
        (("::ffff:127.0.0.1", 1, 0, 0), True),
        (("::ffff:10.0.0.1", 1, 0, 0), False),
        ("/run/socket", True),
        ("", True),
        (("10.0.0.1", 1), False),
        (("fe80::1%eth0", 1, 0, 2), False),
        (("what", 1), False),
        (None, False),
    ],
)
def test_who_is_near_enough_to_inflict_faults(address: Any, near: bool) -> None:
    assert _is_loopback(_From(address)) is near


def test_health() -> None:
    path = "/grpc.health.v1.Health/Check"

    async def main() -> None:
        async with cluster() as local:
            assert (await local.call(path, HealthCheckRequest())).status == ServingStatus.SERVING
            unknown = HealthCheckRequest(service="etcdserverpb.KV")
            assert await refusal(local, path, unknown) == (5, "unknown service")
            for name, status in (("", 1), ("x", 3)):
                async with local.stream("/grpc.health.v1.Health/Watch") as stream:
                    await stream.send_message(HealthCheckRequest(service=name), end=True)
                    assert int((await stream.recv_message()).status) == status
                    await stream.cancel()

    asyncio.run(main())
