"""The table of RPCs that only read, over every method of every service."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from kvorum.client import Client, ClientError, Delete, Get, Key, Put, ReadOnlyError, Txn
from kvorum.client.endpoints import parse_endpoint
from kvorum.client.methods import READING, method, only_reads
from kvorum.errors import Code
from kvorum_proto import etcdserverpb as pb
from kvorum_proto.services import METHODS
from unit.client.fakes import members

# Everything that may change something, or of which nobody has said that it may not. Written out, so
# that a new method has to be put on one side by hand.
CHANGING = {
    "/etcdserverpb.KV/Put",
    "/etcdserverpb.KV/DeleteRange",
    "/etcdserverpb.KV/Compact",
    "/etcdserverpb.Lease/LeaseGrant",
    "/etcdserverpb.Lease/LeaseRevoke",
    "/etcdserverpb.Lease/LeaseKeepAlive",
    "/etcdserverpb.Cluster/MemberAdd",
    "/etcdserverpb.Cluster/MemberRemove",
    "/etcdserverpb.Cluster/MemberUpdate",
    "/etcdserverpb.Cluster/MemberPromote",
    "/etcdserverpb.Maintenance/Defragment",
    "/etcdserverpb.Maintenance/MoveLeader",
    "/etcdserverpb.Auth/AuthEnable",
    "/etcdserverpb.Auth/AuthDisable",
    "/etcdserverpb.Auth/UserAdd",
    "/etcdserverpb.Auth/UserDelete",
    "/etcdserverpb.Auth/UserChangePassword",
    "/etcdserverpb.Auth/UserGrantRole",
    "/etcdserverpb.Auth/UserRevokeRole",
    "/etcdserverpb.Auth/RoleAdd",
    "/etcdserverpb.Auth/RoleDelete",
    "/etcdserverpb.Auth/RoleGrantPermission",
    "/etcdserverpb.Auth/RoleRevokePermission",
    "/v3lockpb.Lock/Lock",
    "/v3lockpb.Lock/Unlock",
    "/v3electionpb.Election/Campaign",
    "/v3electionpb.Election/Proclaim",
    "/v3electionpb.Election/Resign",
    "/kvorum.v1.Faults/Inject",
    "/kvorum.v1.Faults/Lift",
    "/kvorum.v1.Peer/Exchange",
    "/kvorum.v1.Peer/InstallSnapshot",
    "/kvorum.v1.Peer/Members",
}
BY_REQUEST = {
    "/etcdserverpb.KV/Txn",
    "/etcdserverpb.Maintenance/Alarm",
    "/etcdserverpb.Maintenance/Downgrade",
}


PROTOS = Path(__file__).resolve().parents[3] / "protos"


def methods_of_the_sources() -> set[str]:
    """Every ``rpc`` of every ``.proto``, read as text: no generated code is believed."""
    found = set()
    for path in PROTOS.rglob("*.proto"):
        text = re.sub(r"//[^\n]*", "", path.read_text(encoding="utf-8"))
        package = re.search(r"^package ([\w.]+);", text, re.MULTILINE)
        assert package is not None, path
        for service in re.finditer(r"^service (\w+) \{(.*?)^\}", text, re.MULTILINE | re.DOTALL):
            for name in re.findall(r"\brpc (\w+)", service[2]):
                found.add(f"/{package[1]}.{service[1]}/{name}")
    return found


def test_the_table_of_methods_is_that_of_the_sources() -> None:
    """So that a new RPC cannot be forgotten: it is in the table, and then on one side below."""
    assert methods_of_the_sources() == set(METHODS)
    assert len(METHODS) > 50


def test_every_method_is_on_one_side() -> None:
    assert set(READING) | CHANGING == set(METHODS)
    assert not set(READING) & CHANGING


def test_only_the_methods_named_here_depend_on_their_request() -> None:
    assert {path for path in READING if not only_reads(METHODS[path], None)} == BY_REQUEST


@pytest.mark.parametrize("path", sorted(CHANGING | BY_REQUEST))
def test_a_read_only_client_opens_no_stream_that_changes(path: str) -> None:
    """Below every call, where a stream is opened."""

    async def scenario() -> None:
        async with members() as (member,), Client(member.endpoint, read_only=True) as client:
            with pytest.raises(ReadOnlyError):
                await client._caller.open(METHODS[path], parse_endpoint(member.endpoint))
            assert member.metadata == []

    asyncio.run(scenario())


@pytest.mark.parametrize("path", sorted(set(READING) - BY_REQUEST))
def test_a_read_only_client_lets_every_reading_method_through(path: str) -> None:
    async def scenario() -> None:
        async with members() as (member,), Client(member.endpoint, read_only=True) as client:
            called = METHODS[path]
            with pytest.raises(ClientError) as refused:
                if called.server_streaming:
                    async for _ in client._caller.replies(
                        called, called.request(), called.response, timeout_s=1
                    ):
                        pass
                else:
                    await client._caller.call(called, called.request(), called.response)
            assert refused.value.code is Code.UNIMPLEMENTED
            assert len(member.metadata) == 1

    asyncio.run(scenario())


@pytest.mark.parametrize("path", sorted(CHANGING | BY_REQUEST))
def test_a_read_only_client_sends_nothing_that_changes(path: str) -> None:
    """Through the transport itself, below every call: not one byte of it leaves."""

    async def scenario() -> None:
        async with members() as (member,), Client(member.endpoint, read_only=True) as client:
            called = METHODS[path]
            request: Any = called.request()
            if isinstance(request, pb.TxnRequest):
                request = Txn(then=(Put("a", "1"),)).message()
            if isinstance(request, pb.AlarmRequest):
                request = pb.AlarmRequest(action=pb.AlarmAction.DEACTIVATE)
            if isinstance(request, pb.DowngradeRequest):
                request = pb.DowngradeRequest(action=pb.DowngradeAction.ENABLE)
            with pytest.raises(ReadOnlyError):
                if called.server_streaming:
                    async for _ in client._caller.replies(
                        called, request, called.response, timeout_s=1
                    ):
                        pass
                else:
                    await client._caller.call(called, request, called.response)
            assert member.metadata == []

    asyncio.run(scenario())


def test_a_read_only_client_keeps_no_lease_alive() -> None:
    async def scenario() -> None:
        async with members() as (member,), Client(member.endpoint, read_only=True) as client:
            with pytest.raises(ReadOnlyError):
                async with client.lease(10):
                    pass
            with pytest.raises(ReadOnlyError):
                await client.leases.keep_alive_once(7)
            with pytest.raises(ReadOnlyError):
                await client.member(member.endpoint).put("a", "b")
            assert member.metadata == []

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("txn", "reads"),
    [
        (Txn(), True),
        (Txn((Key("a").exists(),), (Get("a"),), (Get("b"),)), True),
        (Txn(then=(Txn(then=(Get("a"),)),)), True),
        (Txn(then=(Get("a"),), else_=(Put("a"),)), False),
        (Txn(then=(Txn(else_=(Delete("a"),)),)), False),
    ],
)
def test_a_transaction_reads_when_all_its_operations_do(txn: Txn, reads: bool) -> None:
    assert only_reads(method("/etcdserverpb.KV/Txn"), txn.message()) is reads


def test_an_operation_that_is_none_does_not_read() -> None:
    request = pb.TxnRequest(success=[pb.RequestOp()])
    assert not only_reads(method("/etcdserverpb.KV/Txn"), request)


def test_a_method_nobody_has_listed_changes() -> None:
    unknown = METHODS["/etcdserverpb.KV/Range"].__class__("x.Y", "Z", False, False, "a:b", "a:c")
    assert not only_reads(unknown, None)
