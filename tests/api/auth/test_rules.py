"""Who may call what: every method's rule, and the words of its refusal."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from api.auth.people import (
    AUTH,
    BAD_TOKEN,
    CLUSTER,
    DENIED,
    EMPTY,
    FAST,
    KV,
    LEASE,
    MAINTENANCE,
    Person,
    login,
    settle,
)
from api.node.hands import MEMBER_IDS, LocalCluster, cluster
from grpclib.exceptions import GRPCError
from kvorum.api.rules import RULES
from kvorum_proto import authpb
from kvorum_proto import etcdserverpb as pb
from kvorum_proto.kvorum import v1
from kvorum_proto.services import METHODS

INSPECT, FAULTS = "/kvorum.v1.Inspect/", "/kvorum.v1.Faults/"
NOSPACE = pb.AlarmType(1)


class World(NamedTuple):
    """One cluster for all cases: what they are refused changes nothing."""

    runner: asyncio.Runner
    local: LocalCluster
    people: dict[str, Person]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """A single node with auth on."""
    with asyncio.Runner() as runner:
        opened = cluster(enable_faults=True, **FAST)
        local = runner.run(opened.__aenter__())

        async def settled() -> dict[str, Person]:
            people = {"root": await settle(local), "nobody": Person(local)}
            for name in ("reader", "writer", "guest"):
                people[name] = await login(local, name)
            people["forger"] = Person(local, "x" * 16 + ".1")
            return people

        try:
            yield World(runner, local, runner.run(settled()))
        finally:
            runner.run(opened.__aexit__(None, None, None))


def put(key: bytes, **options: Any) -> pb.RequestOp:
    return pb.RequestOp(request_put=pb.PutRequest(key=key, **options))


def get(key: bytes) -> pb.RequestOp:
    return pb.RequestOp(request_range=pb.RangeRequest(key=key))


def absent(key: bytes, end: bytes = b"") -> pb.Compare:
    return pb.Compare(key=key, range_end=end)


def nested(op: pb.RequestOp) -> pb.RequestOp:
    return pb.RequestOp(request_txn=pb.TxnRequest(failure=[op]))


ROOTS: dict[str, Any] = {
    KV + "Compact": pb.CompactionRequest(revision=1),
    MAINTENANCE + "HashKV": pb.HashKvRequest(),
    MAINTENANCE + "MoveLeader": pb.MoveLeaderRequest(target_id=1),
    MAINTENANCE + "Alarm": pb.AlarmRequest(action=pb.AlarmAction(1), alarm=NOSPACE),
    AUTH + "AuthEnable": pb.AuthEnableRequest(),
    AUTH + "AuthDisable": pb.AuthDisableRequest(),
    AUTH + "AuthStatus": pb.AuthStatusRequest(),
    AUTH + "UserAdd": pb.AuthUserAddRequest(name="x", password="x"),
    AUTH + "UserGet": pb.AuthUserGetRequest(name="root"),
    AUTH + "UserList": pb.AuthUserListRequest(),
    AUTH + "UserDelete": pb.AuthUserDeleteRequest(name="guest"),
    AUTH + "UserChangePassword": pb.AuthUserChangePasswordRequest(name="root", password="x"),
    AUTH + "UserGrantRole": pb.AuthUserGrantRoleRequest(user="guest", role="root"),
    AUTH + "UserRevokeRole": pb.AuthUserRevokeRoleRequest(name="root", role="root"),
    AUTH + "RoleAdd": pb.AuthRoleAddRequest(name="x"),
    AUTH + "RoleGet": pb.AuthRoleGetRequest(role="writer"),
    AUTH + "RoleList": pb.AuthRoleListRequest(),
    AUTH + "RoleDelete": pb.AuthRoleDeleteRequest(role="writer"),
    AUTH + "RoleGrantPermission": pb.AuthRoleGrantPermissionRequest(
        name="reader", perm=authpb.Permission(key=b"secret")
    ),
    AUTH + "RoleRevokePermission": pb.AuthRoleRevokePermissionRequest(
        role="reader", key=b"r/", range_end=b"r0"
    ),
    INSPECT + "Log": v1.LogRequest(),
    FAULTS + "Inject": v1.InjectRequest(),
    FAULTS + "Lift": v1.LiftRequest(),
    FAULTS + "List": v1.ListFaultsRequest(),
}
USERS: dict[str, Any] = {
    CLUSTER + "MemberList": pb.MemberListRequest(),
    MAINTENANCE + "Status": pb.StatusRequest(),
    MAINTENANCE + "Alarm": pb.AlarmRequest(),
    LEASE + "LeaseGrant": pb.LeaseGrantRequest(ttl=60),
    LEASE + "LeaseLeases": pb.LeaseLeasesRequest(),
    LEASE + "LeaseTimeToLive": pb.LeaseTimeToLiveRequest(id=1),
}
KEYS: dict[str, tuple[str, str, Any]] = {
    "range of a key that is not granted": ("reader", KV + "Range", pb.RangeRequest(key=b"secret")),
    "range beyond what is granted": (
        "reader",
        KV + "Range",
        pb.RangeRequest(key=b"r/", range_end=b"r1"),
    ),
    "range to the end of all keys": (
        "reader",
        KV + "Range",
        pb.RangeRequest(key=b"r/", range_end=b"\0"),
    ),
    "serializable range": (
        "reader",
        KV + "Range",
        pb.RangeRequest(key=b"secret", serializable=True),
    ),
    "range at an old revision": (
        "reader",
        KV + "Range",
        pb.RangeRequest(key=b"secret", revision=2),
    ),
    "range at a revision that is not there": (
        "reader",
        KV + "Range",
        pb.RangeRequest(key=b"secret", revision=1000),
    ),
    "counting only": ("reader", KV + "Range", pb.RangeRequest(key=b"secret", count_only=True)),
    "range with a right to write": ("writer", KV + "Range", pb.RangeRequest(key=b"w/a")),
    "put with a right to read": ("reader", KV + "Put", pb.PutRequest(key=b"r/a")),
    "put with prev_kv and no right to read": (
        "writer",
        KV + "Put",
        pb.PutRequest(key=b"w/a", prev_kv=True),
    ),
    "delete with a right to read": (
        "reader",
        KV + "DeleteRange",
        pb.DeleteRangeRequest(key=b"r/a"),
    ),
    "delete beyond what is granted": (
        "writer",
        KV + "DeleteRange",
        pb.DeleteRangeRequest(key=b"w/", range_end=b"w1"),
    ),
    "delete with prev_kv and no right to read": (
        "writer",
        KV + "DeleteRange",
        pb.DeleteRangeRequest(key=b"w/a", prev_kv=True),
    ),
    "compare of a key that is not granted": (
        "writer",
        KV + "Txn",
        pb.TxnRequest(compare=[absent(b"secret")], success=[put(b"w/a")]),
    ),
    "compare alone": ("reader", KV + "Txn", pb.TxnRequest(compare=[absent(b"secret")])),
    "compare of a range": ("reader", KV + "Txn", pb.TxnRequest(compare=[absent(b"r/", b"r1")])),
    "branch that is taken": ("writer", KV + "Txn", pb.TxnRequest(success=[put(b"secret")])),
    "branch that is not taken": ("writer", KV + "Txn", pb.TxnRequest(failure=[put(b"secret")])),
    "read-only branch that is not taken": (
        "reader",
        KV + "Txn",
        pb.TxnRequest(success=[get(b"r/a")], failure=[get(b"secret")]),
    ),
    "nested transaction": ("writer", KV + "Txn", pb.TxnRequest(failure=[nested(put(b"secret"))])),
    "nested prev_kv": (
        "writer",
        KV + "Txn",
        pb.TxnRequest(failure=[nested(put(b"w/a", prev_kv=True))]),
    ),
    "a user with no role": ("guest", KV + "Range", pb.RangeRequest(key=b"r/a")),
}


def refused(world: World, who: str, path: str, request: Any) -> tuple[int, str]:
    return world.runner.run(world.people[who].refused(path, request))


@pytest.mark.parametrize("path", ROOTS)
def test_methods_of_root(world: World, path: str) -> None:
    assert refused(world, "nobody", path, ROOTS[path]) == EMPTY
    assert refused(world, "guest", path, ROOTS[path]) == DENIED
    assert refused(world, "forger", path, ROOTS[path]) == BAD_TOKEN


@pytest.mark.parametrize("path", USERS)
def test_methods_of_any_user(world: World, path: str) -> None:
    assert refused(world, "nobody", path, USERS[path]) == EMPTY
    assert refused(world, "forger", path, USERS[path]) == BAD_TOKEN
    world.runner.run(world.people["guest"].call(path, USERS[path]))


@pytest.mark.parametrize("case", KEYS)
def test_keys_that_are_not_granted(world: World, case: str) -> None:
    who, path, request = KEYS[case]
    assert refused(world, who, path, request) == DENIED
    assert refused(world, "nobody", path, request) == EMPTY
    assert refused(world, "forger", path, request) == BAD_TOKEN


@pytest.mark.parametrize("name", ["Snapshot", "Statistics", "History"])
def test_streams_are_refused_before_their_first_message(world: World, name: str) -> None:
    path, request = {
        "Snapshot": (MAINTENANCE + name, pb.SnapshotRequest()),
        "Statistics": (INSPECT + name, v1.StatisticsRequest(once=True)),
        "History": (INSPECT + name, v1.HistoryRequest(key=b"r/a")),
    }[name]

    async def ends(who: str) -> tuple[int, str]:
        with pytest.raises(GRPCError) as caught:
            metadata = world.people[who].metadata
            async with world.local.stream(path, metadata=metadata) as stream:
                await stream.send_message(request, end=True)
                await stream.recv_message()
        return caught.value.status.value, caught.value.message or ""

    assert world.runner.run(ends("nobody")) == EMPTY
    assert world.runner.run(ends("forger")) == BAD_TOKEN
    if name != "Statistics":
        assert world.runner.run(ends("guest")) == DENIED


def test_the_log_is_told_to_root_alone(world: World) -> None:
    async def told(who: str) -> list[str]:
        metadata = world.people[who].metadata
        async with world.local.stream(INSPECT + "Statistics", metadata=metadata) as stream:
            request = v1.StatisticsRequest(once=True, log_tail=256)
            await stream.send_message(request, end=True)
            report = await stream.recv_message()
        return [entry.summary for entry in report.log]

    assert "put secret" in world.runner.run(told("root"))
    assert world.runner.run(told("guest")) == []


def test_a_report_that_goes_on_ends_with_its_user() -> None:
    async def main() -> None:
        async with cluster(**FAST) as local:
            root = await settle(local)
            guest = await login(local, "guest")
            with pytest.raises(GRPCError) as caught:
                async with local.stream(INSPECT + "Statistics", metadata=guest.metadata) as stream:
                    await stream.send_message(v1.StatisticsRequest(interval_ms=1), end=True)
                    assert (await stream.recv_message()).applied
                    gone = pb.AuthUserDeleteRequest(name="guest")
                    await root.call(AUTH + "UserDelete", gone)
                    while await stream.recv_message() is not None:
                        pass
            assert (caught.value.status.value, caught.value.message) == BAD_TOKEN

    asyncio.run(main())


def test_an_empty_transaction_is_everybodys(world: World) -> None:
    answer = world.runner.run(world.people["nobody"].call(KV + "Txn", pb.TxnRequest()))
    assert answer.succeeded
    assert refused(world, "forger", KV + "Txn", pb.TxnRequest()) == BAD_TOKEN


def test_a_wrong_request_is_wrong_whoever_asks(world: World) -> None:
    words = (3, "etcdserver: key is not provided")
    for who in ("nobody", "guest", "root"):
        assert refused(world, who, KV + "Range", pb.RangeRequest()) == words
        assert refused(world, who, KV + "Put", pb.PutRequest()) == words


def test_what_is_granted_is_served(world: World) -> None:
    async def main() -> None:
        reader, writer = world.people["reader"], world.people["writer"]
        assert await reader.get(b"r/a") == [b"1"]
        assert await reader.get(b"r/", range_end=b"r0", serializable=True) == [b"1"]
        txn = pb.TxnRequest(compare=[absent(b"r/b")], success=[get(b"r/a")])
        assert (await reader.call(KV + "Txn", txn)).succeeded
        await writer.put(b"w/a", b"2")
        deleted = await writer.call(
            KV + "DeleteRange", pb.DeleteRangeRequest(key=b"w/", range_end=b"w0")
        )
        assert deleted.deleted == 1
        own = pb.AuthUserGetRequest(name="reader")
        assert (await reader.call(AUTH + "UserGet", own)).roles == ["reader"]
        held = (await reader.call(AUTH + "RoleGet", pb.AuthRoleGetRequest(role="reader"))).perm
        assert [(p.key, p.range_end, int(p.perm_type)) for p in held] == [(b"r/", b"r0", 0)]

    world.runner.run(main())


def test_root_may_do_everything(world: World) -> None:
    async def main() -> None:
        root = world.people["root"]
        assert await root.get(b"\0", range_end=b"\0", keys_only=True) != []
        assert (await root.call(MAINTENANCE + "HashKV", pb.HashKvRequest())).hash
        move = pb.MoveLeaderRequest(target_id=MEMBER_IDS[0])
        await root.call(MAINTENANCE + "MoveLeader", move)
        status = await root.call(AUTH + "AuthStatus", pb.AuthStatusRequest())
        assert (status.enabled, status.auth_revision) == (True, 12)
        names = (await root.call(AUTH + "UserList", pb.AuthUserListRequest())).users
        assert names == ["guest", "reader", "root", "writer"]
        assert (await root.call(INSPECT + "Log", v1.LogRequest())).entries

    world.runner.run(main())


def test_every_method_has_a_rule() -> None:
    of_peers = {path for path in METHODS if path.startswith("/kvorum.v1.Peer/")}
    assert set(RULES) == set(METHODS) - of_peers
