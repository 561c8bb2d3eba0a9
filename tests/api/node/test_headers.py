"""The header of every answer, byte for byte: who answers, at which revision, in which term."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from api.node.hands import CLUSTER_ID, MEMBER_IDS, LocalCluster, cluster
from kvorum_proto import etcdserverpb as pb
from kvorum_proto.wire import field_bytes, field_varint

KV, LEASE, MAINTENANCE = "/etcdserverpb.KV", "/etcdserverpb.Lease", "/etcdserverpb.Maintenance"
PUT = pb.RequestOp(request_put=pb.PutRequest(key=b"t", value=b"1"))
GET = pb.RequestOp(request_range=pb.RangeRequest(key=b"a"))
DELETE = pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=b"t"))


def header(revision: int, term: int, member: int = 0) -> bytes:
    """What an answer must begin with."""
    ids = field_varint(1, CLUSTER_ID) + field_varint(2, MEMBER_IDS[member])
    return field_bytes(1, ids + field_varint(3, revision) + field_varint(4, term))


# Each is asked of a store at revision 4 (three puts, the last with lease 7), and leads to this
# revision in the header.
ANSWERS: list[tuple[str, Any, int]] = [
    (f"{KV}/Range", pb.RangeRequest(key=b"a"), 4),
    (f"{KV}/Range", pb.RangeRequest(key=b"a", revision=2), 4),
    (f"{KV}/Range", pb.RangeRequest(key=b"a", serializable=True), 4),
    (f"{KV}/Put", pb.PutRequest(key=b"a", value=b"2"), 5),
    (f"{KV}/DeleteRange", pb.DeleteRangeRequest(key=b"a"), 5),
    (f"{KV}/DeleteRange", pb.DeleteRangeRequest(key=b"none"), 4),
    (f"{KV}/Txn", pb.TxnRequest(success=[PUT]), 5),
    (f"{KV}/Txn", pb.TxnRequest(success=[GET]), 4),
    (f"{KV}/Txn", pb.TxnRequest(success=[DELETE]), 4),
    (f"{KV}/Txn", pb.TxnRequest(), 4),
    (f"{KV}/Compact", pb.CompactionRequest(revision=3), 4),
    (f"{KV}/Compact", pb.CompactionRequest(revision=3, physical=True), 4),
    (f"{LEASE}/LeaseGrant", pb.LeaseGrantRequest(ttl=60), 4),
    (f"{LEASE}/LeaseRevoke", pb.LeaseRevokeRequest(id=7), 5),
    (f"{LEASE}/LeaseTimeToLive", pb.LeaseTimeToLiveRequest(id=7, keys=True), 4),
    (f"{LEASE}/LeaseTimeToLive", pb.LeaseTimeToLiveRequest(id=99), 4),
    (f"{LEASE}/LeaseLeases", pb.LeaseLeasesRequest(), 4),
    ("/etcdserverpb.Cluster/MemberList", pb.MemberListRequest(), 0),
    ("/etcdserverpb.Cluster/MemberList", pb.MemberListRequest(linearizable=True), 0),
    (f"{MAINTENANCE}/Status", pb.StatusRequest(), 4),
    (f"{MAINTENANCE}/HashKV", pb.HashKvRequest(), 4),
    (f"{MAINTENANCE}/HashKV", pb.HashKvRequest(revision=3), 4),
    (f"{MAINTENANCE}/Alarm", pb.AlarmRequest(), 4),
]


async def prepare(local: LocalCluster) -> None:
    """The store at revision 4."""
    for key in (b"a", b"b"):
        await local.call(f"{KV}/Put", pb.PutRequest(key=key, value=b"1"))
    await local.call(f"{LEASE}/LeaseGrant", pb.LeaseGrantRequest(ttl=60, id=7))
    await local.call(f"{KV}/Put", pb.PutRequest(key=b"c", value=b"1", lease=7))


@pytest.mark.parametrize(
    ("path", "request_", "revision"), ANSWERS, ids=lambda x: x if isinstance(x, str) else None
)
def test_header(path: str, request_: Any, revision: int) -> None:
    async def main() -> None:
        async with cluster() as local:
            await prepare(local)
            answer = await local.call(path, request_, raw=True)
            term = local.nodes[MEMBER_IDS[0]].term
            assert answer[: len(header(revision, term))] == header(revision, term)

    asyncio.run(main())


def test_the_answering_member_names_itself() -> None:
    async def main() -> None:
        async with cluster(3) as local:
            await local.call(f"{KV}/Put", pb.PutRequest(key=b"a", value=b"1"))
            term = local.nodes[MEMBER_IDS[0]].term
            for on in range(3):
                answer = await local.call(f"{KV}/Range", pb.RangeRequest(key=b"a"), on=on, raw=True)
                assert answer.startswith(header(2, term, on))

    asyncio.run(main())


def test_moving_the_leader_answers_an_empty_message_and_a_later_term_follows() -> None:
    async def main() -> None:
        async with cluster(3) as local:
            before = local.nodes[MEMBER_IDS[0]].term
            move = pb.MoveLeaderRequest(target_id=MEMBER_IDS[2])
            assert await local.call(f"{MAINTENANCE}/MoveLeader", move, raw=True) == b""
            answer = await local.call(f"{KV}/Range", pb.RangeRequest(key=b"a"))
            assert answer.header.raft_term > before

    asyncio.run(main())


def test_headers_inside_a_transaction() -> None:
    """Ids and term stay out; a range says the revision before the first change and after it, a
    nested transaction's header is there and empty.
    """

    delete_none = pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=b"none"))
    delete_b = pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=b"b"))
    nested = pb.RequestOp(request_txn=pb.TxnRequest(success=[GET]))

    async def main() -> None:
        async with cluster() as local:
            await prepare(local)
            operations = [GET, delete_none, PUT, GET, delete_b, delete_none]
            answer = await local.call(f"{KV}/Txn", pb.TxnRequest(success=operations))
            parts = [
                part.response_range or part.response_put or part.response_delete_range
                for part in answer.responses
            ]
            assert [part.header for part in parts] == [
                pb.ResponseHeader(revision=revision) for revision in (4, 4, 5, 5, 5, 5)
            ]
            raw = await local.call(f"{KV}/Txn", pb.TxnRequest(success=[nested]), raw=True)
            outer = header(5, local.nodes[MEMBER_IDS[0]].term) + b"\x10\x01"
            # responses[0].response_txn, which opens with a header of no bytes and has succeeded.
            assert raw.startswith(outer)
            assert raw[len(outer)] == 0x1A and raw[len(outer) + 2] == 0x22
            assert raw[len(outer) + 4 :].startswith(b"\x0a\x00\x10\x01")

    asyncio.run(main())


def test_negative_ids_travel_whole() -> None:
    async def main() -> None:
        async with cluster() as local:
            granted = await local.call(f"{LEASE}/LeaseGrant", pb.LeaseGrantRequest(ttl=60, id=-5))
            assert (granted.id, granted.ttl) == (-5, 60)
            await local.call(f"{KV}/Put", pb.PutRequest(key=b"a", value=b"1", lease=-5))
            answer = await local.call(f"{KV}/Range", pb.RangeRequest(key=b"a"))
            assert answer.kvs[0].lease == -5
            listed = await local.call(f"{LEASE}/LeaseLeases", pb.LeaseLeasesRequest())
            assert [lease.id for lease in listed.leases] == [-5]
            left = await local.call(f"{LEASE}/LeaseTimeToLive", pb.LeaseTimeToLiveRequest(id=-5))
            assert left.granted_ttl == 60

    asyncio.run(main())
