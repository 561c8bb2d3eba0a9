"""Every condition of the error table that a node can be brought to, letter by letter (contract page
"errors", sections 2.1, 2.2, 2.4, 2.7 and 3).
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from api.node.hands import MEMBER_IDS, LocalCluster, cluster
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from kvorum_proto import etcdserverpb as pb

KV, LEASE, MAINTENANCE = "/etcdserverpb.KV", "/etcdserverpb.Lease", "/etcdserverpb.Maintenance"


def put_op(key: bytes, **more: Any) -> pb.RequestOp:
    """A put within a transaction."""
    return pb.RequestOp(request_put=pb.PutRequest(key=key, **more))


def range_op(**more: Any) -> pb.RequestOp:
    """A range within a transaction."""
    return pb.RequestOp(request_range=pb.RangeRequest(**more))


def nested(*operations: pb.RequestOp) -> pb.RequestOp:
    """A transaction within a transaction."""
    return pb.RequestOp(request_txn=pb.TxnRequest(success=list(operations)))


NO_KEY = (3, "etcdserver: key is not provided")
KEY_NOT_FOUND = (3, "etcdserver: key not found")
VALUE = (3, "etcdserver: value is provided")
LEASE_GIVEN = (3, "etcdserver: lease is provided")
TOO_MANY_OPS = (3, "etcdserver: too many operations in txn request")
DUPLICATE = (3, "etcdserver: duplicate key given in txn request")
SORT = (3, "etcdserver: invalid sort option")
COMPACTED = (11, "etcdserver: mvcc: required revision has been compacted")
FUTURE = (11, "etcdserver: mvcc: required revision is a future revision")
TOO_LARGE = (3, "etcdserver: request is too large")
NO_LEASE = (5, "etcdserver: requested lease not found")
LEASE_EXISTS = (9, "etcdserver: lease already exists")
TTL_TOO_LARGE = (11, "etcdserver: too large lease TTL")
NO_SPACE = (8, "etcdserver: mvcc: database space exceeded")
CORRUPT = (15, "etcdserver: corrupt cluster")
NOT_LEADER = (9, "etcdserver: not leader")
BAD_TARGET = (9, "etcdserver: bad leader transferee")

# Asked of a store at revision 5 (a put four times), compacted at 3, with lease 7.
REFUSALS: list[tuple[str, Any, tuple[int, str]]] = [
    (f"{KV}/Range", pb.RangeRequest(), NO_KEY),
    (f"{KV}/Range", pb.RangeRequest(range_end=b"b"), NO_KEY),
    (f"{KV}/Put", pb.PutRequest(value=b"1"), NO_KEY),
    (f"{KV}/DeleteRange", pb.DeleteRangeRequest(range_end=b"b"), NO_KEY),
    (f"{KV}/Txn", pb.TxnRequest(compare=[pb.Compare()]), NO_KEY),
    (f"{KV}/Txn", pb.TxnRequest(failure=[put_op(b"")]), NO_KEY),
    (f"{KV}/Txn", pb.TxnRequest(success=[range_op()]), NO_KEY),
    (f"{KV}/Put", pb.PutRequest(key=b"x", ignore_value=True), KEY_NOT_FOUND),
    (f"{KV}/Put", pb.PutRequest(key=b"x", ignore_lease=True), KEY_NOT_FOUND),
    (f"{KV}/Txn", pb.TxnRequest(success=[pb.RequestOp()]), KEY_NOT_FOUND),
    (f"{KV}/Txn", pb.TxnRequest(success=[put_op(b"x", ignore_value=True)]), KEY_NOT_FOUND),
    (f"{KV}/Put", pb.PutRequest(key=b"a", value=b"1", ignore_value=True), VALUE),
    (f"{KV}/Put", pb.PutRequest(key=b"a", lease=7, ignore_lease=True), LEASE_GIVEN),
    (f"{KV}/Txn", pb.TxnRequest(success=[range_op(key=b"a")] * 129), TOO_MANY_OPS),
    (f"{KV}/Txn", pb.TxnRequest(compare=[pb.Compare(key=b"a")] * 129), TOO_MANY_OPS),
    (
        f"{KV}/Txn",
        pb.TxnRequest(success=[range_op(key=b"a")] * 127 + [nested(range_op(key=b"a"))]),
        TOO_MANY_OPS,
    ),
    (f"{KV}/Txn", pb.TxnRequest(success=[put_op(b"x"), put_op(b"x")]), DUPLICATE),
    (f"{KV}/Txn", pb.TxnRequest(success=[nested(put_op(b"x")), nested(put_op(b"x"))]), DUPLICATE),
    (
        f"{KV}/Txn",
        pb.TxnRequest(
            success=[
                put_op(b"x"),
                pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=b"w", range_end=b"z")),
            ]
        ),
        DUPLICATE,
    ),
    (f"{KV}/Range", pb.RangeRequest(key=b"a", sort_order=9), SORT),
    (f"{KV}/Range", pb.RangeRequest(key=b"a", sort_target=9), SORT),
    (f"{KV}/Range", pb.RangeRequest(key=b"a", revision=2), COMPACTED),
    (f"{KV}/Range", pb.RangeRequest(key=b"a", revision=2, serializable=True), COMPACTED),
    (f"{KV}/Txn", pb.TxnRequest(success=[range_op(key=b"a", revision=2)]), COMPACTED),
    (f"{KV}/Txn", pb.TxnRequest(success=[put_op(b"x"), range_op(key=b"a", revision=2)]), COMPACTED),
    (f"{KV}/Compact", pb.CompactionRequest(revision=3), COMPACTED),
    (f"{KV}/Compact", pb.CompactionRequest(revision=-1), COMPACTED),
    (f"{MAINTENANCE}/HashKV", pb.HashKvRequest(revision=2), COMPACTED),
    (f"{KV}/Range", pb.RangeRequest(key=b"a", revision=6), FUTURE),
    (f"{KV}/Txn", pb.TxnRequest(success=[put_op(b"x"), range_op(key=b"a", revision=6)]), FUTURE),
    (f"{KV}/Compact", pb.CompactionRequest(revision=6), FUTURE),
    (f"{MAINTENANCE}/HashKV", pb.HashKvRequest(revision=6), FUTURE),
    (f"{KV}/Put", pb.PutRequest(key=b"a", value=bytes(1_572_864)), TOO_LARGE),
    (f"{KV}/Put", pb.PutRequest(key=b"a", lease=8), NO_LEASE),
    (f"{KV}/Txn", pb.TxnRequest(success=[put_op(b"a", lease=8)]), NO_LEASE),
    (f"{LEASE}/LeaseRevoke", pb.LeaseRevokeRequest(id=8), NO_LEASE),
    (f"{LEASE}/LeaseRevoke", pb.LeaseRevokeRequest(), NO_LEASE),
    (f"{LEASE}/LeaseGrant", pb.LeaseGrantRequest(id=7, ttl=60), LEASE_EXISTS),
    (f"{LEASE}/LeaseGrant", pb.LeaseGrantRequest(ttl=9_000_000_001), TTL_TOO_LARGE),
    (f"{MAINTENANCE}/MoveLeader", pb.MoveLeaderRequest(target_id=5), BAD_TARGET),
]


async def prepare(local: LocalCluster) -> None:
    """The store that the table speaks of."""
    for number in range(4):
        await local.call(f"{KV}/Put", pb.PutRequest(key=b"a", value=b"%d" % number))
    await local.call(f"{KV}/Compact", pb.CompactionRequest(revision=3))
    await local.call(f"{LEASE}/LeaseGrant", pb.LeaseGrantRequest(id=7, ttl=60))


async def refusal(local: LocalCluster, path: str, request: Any, **options: Any) -> tuple[int, str]:
    """How a call is refused."""
    with pytest.raises(GRPCError) as caught:
        await local.call(path, request, **options)
    return caught.value.status.value, caught.value.message or ""


def test_refusals() -> None:
    """One cluster for all: a refused request changes nothing."""

    async def main() -> None:
        async with cluster() as local:
            await prepare(local)
            for path, request, expected in REFUSALS:
                assert await refusal(local, path, request) == expected, (path, request)
            answer = await local.call(f"{KV}/Range", pb.RangeRequest(key=b"\0", range_end=b"\0"))
            assert (answer.header.revision, answer.count) == (5, 1)

    asyncio.run(main())


def test_just_inside_the_bounds() -> None:
    async def main() -> None:
        async with cluster() as local:
            await prepare(local)
            inside: list[tuple[str, Any]] = [
                (f"{KV}/Put", pb.PutRequest(key=b"a", value=bytes(1_572_764))),
                (f"{KV}/Range", pb.RangeRequest(key=b"a", revision=3)),
                (f"{KV}/Range", pb.RangeRequest(key=b"a", revision=-3)),
                (f"{KV}/Txn", pb.TxnRequest(success=[range_op(key=b"a")] * 128)),
                (
                    f"{KV}/Txn",
                    pb.TxnRequest(
                        success=[*[range_op(key=b"a")] * 126, nested(range_op(key=b"a"))]
                    ),
                ),
                (f"{KV}/Txn", pb.TxnRequest(success=[put_op(b"x")], failure=[put_op(b"x")])),
                (f"{LEASE}/LeaseGrant", pb.LeaseGrantRequest(ttl=9_000_000_000)),
                (f"{MAINTENANCE}/HashKV", pb.HashKvRequest(revision=3)),
                (f"{MAINTENANCE}/MoveLeader", pb.MoveLeaderRequest(target_id=MEMBER_IDS[0])),
            ]
            for path, request in inside:
                await local.call(path, request)

    asyncio.run(main())


def test_a_message_beyond_the_receive_limit() -> None:
    async def main() -> None:
        async with cluster() as local:
            put = pb.PutRequest(key=b"a", value=bytes(2_097_152))
            code, message = await refusal(local, f"{KV}/Put", put)
            size = len(bytes(put))
            limit = f"grpc: received message larger than max ({size} vs. 2097152)"
            assert (code, message) == (8, limit)

    asyncio.run(main())


def test_what_an_alarm_refuses() -> None:
    writes: list[tuple[str, Any]] = [
        (f"{KV}/Put", pb.PutRequest(key=b"a", value=b"1")),
        (f"{KV}/Txn", pb.TxnRequest(failure=[put_op(b"a")], compare=[pb.Compare(key=b"zz")])),
        (f"{LEASE}/LeaseGrant", pb.LeaseGrantRequest(ttl=60)),
    ]
    smaller: list[tuple[str, Any]] = [
        (f"{KV}/DeleteRange", pb.DeleteRangeRequest(key=b"b")),
        (f"{KV}/Compact", pb.CompactionRequest(revision=4)),
        (f"{LEASE}/LeaseRevoke", pb.LeaseRevokeRequest(id=7)),
    ]
    reads: list[tuple[str, Any]] = [
        (f"{KV}/Range", pb.RangeRequest(key=b"a")),
        (f"{KV}/Txn", pb.TxnRequest(success=[range_op(key=b"a")])),
        ("/etcdserverpb.Cluster/MemberList", pb.MemberListRequest(linearizable=True)),
    ]

    async def main() -> None:
        async with cluster() as local:
            await prepare(local)
            path = f"{MAINTENANCE}/Alarm"
            raised = pb.AlarmRequest(
                action=pb.AlarmAction.ACTIVATE,
                member_id=MEMBER_IDS[0],
                alarm=pb.AlarmType.CORRUPT,
            )
            answer = await local.call(path, raised)
            assert [(a.member_id, a.alarm) for a in answer.alarms] == [(MEMBER_IDS[0], 2)]
            for write in (*writes, *smaller):
                assert await refusal(local, *write) == CORRUPT
            for read in reads:
                await local.call(*read)
            status = await local.call(f"{MAINTENANCE}/Status", pb.StatusRequest())
            assert status.errors == [f"memberID:{MEMBER_IDS[0]} alarm:CORRUPT "]
            raised.action = pb.AlarmAction.DEACTIVATE
            assert len((await local.call(path, raised)).alarms) == 1
            raised.action = pb.AlarmAction.ACTIVATE
            raised.alarm = pb.AlarmType.NOSPACE
            await local.call(path, raised)
            for write in writes:
                assert await refusal(local, *write) == NO_SPACE
            for allowed in (*smaller, *reads):
                await local.call(*allowed)
            everything = await local.call(path, pb.AlarmRequest())
            assert [(a.member_id, a.alarm) for a in everything.alarms] == [(MEMBER_IDS[0], 1)]

    asyncio.run(main())


def test_alarms_with_numbers_nobody_knows() -> None:
    async def main() -> None:
        async with cluster() as local:
            for action in (0, 1, 2, 9):
                request = pb.AlarmRequest(action=action, member_id=1, alarm=9)  # type: ignore[arg-type]  # open enums
                answer = await local.call(f"{MAINTENANCE}/Alarm", request)
                assert answer.alarms == []
            status = await local.call(f"{MAINTENANCE}/Status", pb.StatusRequest())
            assert status.errors == []

    asyncio.run(main())


# --- without a quorum -----------------------------------------------------------------------------

DEADLINE = (4, "context deadline exceeded")
TIMED_OUT = (14, "etcdserver: request timed out")
NO_LEADER = (14, "etcdserver: no leader")
LEADERLESS: list[tuple[str, Any, tuple[int, str]]] = [
    (f"{KV}/Put", pb.PutRequest(key=b"a"), DEADLINE),
    (f"{LEASE}/LeaseGrant", pb.LeaseGrantRequest(ttl=5), DEADLINE),
    (f"{KV}/Compact", pb.CompactionRequest(revision=1), DEADLINE),
    (f"{MAINTENANCE}/Alarm", pb.AlarmRequest(), DEADLINE),
    (f"{KV}/Range", pb.RangeRequest(key=b"a"), TIMED_OUT),
    (f"{KV}/Txn", pb.TxnRequest(success=[range_op(key=b"a")]), TIMED_OUT),
    ("/etcdserverpb.Cluster/MemberList", pb.MemberListRequest(linearizable=True), TIMED_OUT),
    (f"{LEASE}/LeaseTimeToLive", pb.LeaseTimeToLiveRequest(id=7), NO_LEADER),
]


def test_what_a_member_without_a_leader_says_after_seven_seconds() -> None:
    async def main() -> None:
        async with cluster(3, leader=-1) as local:
            alone = MEMBER_IDS[0]
            local.cut_off.add(alone)
            calls = [
                asyncio.ensure_future(refusal(local, path, request))
                for path, request, _ in LEADERLESS
            ]
            status = local.nodes[alone].status
            await local.until(lambda: status().pending_requests == len(calls))
            local.tick(69, only=alone)
            await local.turns()
            assert status().pending_requests == len(calls)
            local.tick(1, only=alone)
            await local.until(lambda: all(call.done() for call in calls))
            assert [call.result() for call in calls] == [expected for _, _, expected in LEADERLESS]
            assert status().pending_reads == 0 or not status().pending_requests

    asyncio.run(main())


def test_what_a_member_without_a_leader_still_does() -> None:
    async def main() -> None:
        async with cluster(3, leader=-1) as local:
            got = await local.call(f"{KV}/Range", pb.RangeRequest(key=b"a", serializable=True))
            assert got.count == 0
            await local.call(f"{LEASE}/LeaseLeases", pb.LeaseLeasesRequest())
            members = "/etcdserverpb.Cluster/MemberList"
            assert len((await local.call(members, pb.MemberListRequest())).members) == 3
            status = await local.call(f"{MAINTENANCE}/Status", pb.StatusRequest())
            assert (status.leader, status.errors) == (0, ["etcdserver: no leader"])
            move = pb.MoveLeaderRequest(target_id=MEMBER_IDS[1])
            assert await refusal(local, f"{MAINTENANCE}/MoveLeader", move) == NOT_LEADER
            asked = {"metadata": {"hasleader": "true"}}
            serializable = pb.RangeRequest(key=b"a", serializable=True)
            assert await refusal(local, f"{KV}/Range", serializable, **asked) == NO_LEADER

    asyncio.run(main())


def test_a_transfer_that_takes_too_long() -> None:
    async def main() -> None:
        async with cluster(3) as local:
            local.cut_off.add(MEMBER_IDS[2])
            move = pb.MoveLeaderRequest(target_id=MEMBER_IDS[2])
            moving = asyncio.ensure_future(refusal(local, f"{MAINTENANCE}/MoveLeader", move))
            leader = local.nodes[MEMBER_IDS[0]]
            await local.until(lambda: leader.raft.status().transferee == MEMBER_IDS[2])
            await local.until(moving.done, ticks=1)
            too_long = "etcdserver: request timed out, leader transfer took too long"
            assert moving.result() == (2, too_long)
            not_here = await refusal(local, f"{MAINTENANCE}/MoveLeader", move, on=1)
            assert not_here == NOT_LEADER

    asyncio.run(main())


def test_a_leader_that_loses_its_quorum_drops_its_reads() -> None:
    async def main() -> None:
        async with cluster(3) as local:
            local.cut_off.add(MEMBER_IDS[0])
            reading = asyncio.ensure_future(
                refusal(local, f"{KV}/Range", pb.RangeRequest(key=b"a"))
            )
            leader = local.nodes[MEMBER_IDS[0]]
            await local.until(lambda: leader.status().pending_reads == 1)
            await local.until(reading.done, ticks=1)
            assert reading.result() == (14, "etcdserver: leader changed")

    asyncio.run(main())


def test_a_stopped_node_says_so() -> None:
    async def main() -> None:
        async with cluster() as local:
            node = local.nodes[MEMBER_IDS[0]]
            local.hands[MEMBER_IDS[0]].holds_disk = True
            put = pb.PutRequest(key=b"a")
            writing = asyncio.ensure_future(refusal(local, f"{KV}/Put", put))
            await local.until(lambda: node.status().pending_requests == 1)
            node.stop()
            await local.until(writing.done)
            stopped = (14, "etcdserver: server stopped")
            assert writing.result() == stopped
            assert await refusal(local, f"{KV}/Put", put) == stopped

    asyncio.run(main())


def test_a_call_that_is_given_up_is_forgotten() -> None:
    async def main() -> None:
        async with cluster() as local:
            node = local.nodes[MEMBER_IDS[0]]
            local.hands[MEMBER_IDS[0]].holds_disk = True
            put = pb.PutRequest(key=b"a", value=b"1")
            writing = asyncio.ensure_future(local.call(f"{KV}/Put", put))
            await local.until(lambda: node.status().pending_requests == 1)
            writing.cancel()
            await local.until(lambda: node.status().pending_requests == 0)
            assert len(node.callers) == 0
            local.hands[MEMBER_IDS[0]].holds_disk = False
            local.hands[MEMBER_IDS[0]].write()
            # What had entered the log happens all the same.
            got = await local.call(f"{KV}/Range", pb.RangeRequest(key=b"a"))
            assert got.count == 1

    asyncio.run(main())


def test_a_deadline_ends_a_call_and_its_waiting() -> None:
    async def main() -> None:
        async with cluster() as local:
            node = local.nodes[MEMBER_IDS[0]]
            local.hands[MEMBER_IDS[0]].holds_disk = True
            with pytest.raises((asyncio.TimeoutError, GRPCError)) as caught:
                await local.call(f"{KV}/Put", pb.PutRequest(key=b"a"), timeout=0.05)
            if isinstance(caught.value, GRPCError):
                assert caught.value.status is Status.DEADLINE_EXCEEDED
            await local.until(lambda: node.status().pending_requests == 0)

    asyncio.run(main())
