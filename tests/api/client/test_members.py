"""The member calls, and users and roles, on live clusters."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable

import pytest
from kvorum.client import (
    AuthError,
    Client,
    ClientError,
    ConnectError,
    PermissionDeniedError,
    Unsupported,
)
from kvorum.errors import Condition
from support.clusters import ClusterHandle
from unit.client.fakes import unused_endpoint

Live = Callable[..., None]


def test_members_and_statuses(live: Live, cluster: ClusterHandle) -> None:
    async def scenario(client: Client) -> None:
        table = await client.cluster.members()
        assert sorted(member.name for member in table.members) == cluster.names
        assert all(member.started and member.peer_urls for member in table.members)
        rows = await client.cluster.statuses()
        assert [row.endpoint for row in rows] == cluster.endpoints
        assert sum(row.status is not None and row.status.is_leader for row in rows) == 1
        for row in rows:
            assert row.status is not None
            assert row.member is not None
            assert row.status.member_id == row.member.id
            assert row.status.raft_term == table.header.raft_term
            assert row.status.errors == ()
            assert [int(part) for part in row.status.version.split(".")] >= [3, 4]

    live(scenario)


def test_a_member_that_is_not_there_stays_a_row(cluster: ClusterHandle) -> None:
    async def scenario() -> None:
        gone = unused_endpoint()
        async with Client([gone, cluster.endpoints[0]]) as client:
            rows = await client.cluster.statuses()
            by_endpoint = {row.endpoint: row for row in rows}
            assert isinstance(by_endpoint[gone].error, ConnectError)
            assert by_endpoint[gone].status is None
            # The other members are found through the member table.
            assert set(cluster.endpoints) <= set(by_endpoint)
            assert all(by_endpoint[one].status is not None for one in cluster.endpoints)

    asyncio.run(scenario())


def test_the_endpoints_can_be_taken_from_the_member_table(cluster: ClusterHandle) -> None:
    async def scenario() -> None:
        async with Client(cluster.endpoints[0]) as client:
            assert sorted(await client.cluster.sync()) == sorted(cluster.endpoints)
            await client.get("a")

    asyncio.run(scenario())


def test_all_members_hold_the_same(live: Live, prefix: str) -> None:
    async def scenario(client: Client) -> None:
        revision = (await client.put(prefix + "k", "v")).header.revision
        for endpoint in client.endpoints:
            await client.member(endpoint).get(prefix + "k")
        hashes = await client.cluster.hashes(revision)
        found = {one.hash for one in hashes.values() if not isinstance(one, ClientError)}
        assert len(hashes) == 3
        assert len(found) == 1

    live(scenario)


def test_alarms(live: Live) -> None:
    async def scenario(client: Client) -> None:
        assert await client.maintenance.alarms() == ()

    live(scenario)


async def leaders(client: Client) -> set[int]:
    """Whom the members hold for the leader."""
    statuses = [row.status for row in await client.cluster.statuses()]
    return {status.leader_id for status in statuses if status is not None}


def test_leadership_moves(own_cluster: Callable[..., ClusterHandle]) -> None:
    cluster = own_cluster(3)

    async def scenario() -> None:
        async with Client(cluster.endpoints) as client:
            rows = await client.cluster.statuses()
            followers = [
                row.status.member_id for row in rows if row.status and not row.status.is_leader
            ]
            await client.cluster.move_leader(followers[0])
            async with asyncio.timeout(30):
                # The third member hears of it with the next heartbeat.
                while await leaders(client) != {followers[0]}:
                    pass
            with pytest.raises(ClientError) as raised:
                await client.cluster.move_leader(12345)
            assert raised.value.condition is Condition.BAD_LEADER_TRANSFEREE

    asyncio.run(scenario())


def test_a_snapshot_ends_with_its_checksum(live: Live, prefix: str) -> None:
    async def scenario(client: Client) -> None:
        await client.put(prefix + "k", "v")
        data = b"".join([blob async for blob in client.maintenance.snapshot()])
        assert len(data) % 512 == 32
        assert hashlib.sha256(data[:-32]).digest() == data[-32:]

    live(scenario)


def test_what_only_kvorum_has_is_unsupported_on_etcd(live: Live, cluster: ClusterHandle) -> None:
    async def scenario(client: Client) -> None:
        member = client.member(client.endpoints[0])
        if cluster.spec.program == "etcd":
            with pytest.raises(Unsupported):
                await member.inspect.statistics_once()
            with pytest.raises(Unsupported):
                await member.faults.list()
            return
        status = await member.maintenance.status()
        report = await member.inspect.statistics_once(log_tail=3)
        assert report.member_id == status.member_id
        assert report.commit >= status.raft_applied_index
        assert 1 <= len(report.log) <= 3

    live(scenario)


def test_users_and_roles(own_cluster: Callable[..., ClusterHandle]) -> None:
    endpoint = own_cluster(1).endpoints[0]

    async def scenario() -> None:
        async with Client(endpoint) as client:
            await client.auth.user_add("root", "pw")
            await client.auth.role_add("root")
            await client.auth.grant_role("root", "root")
            await client.auth.user_add("reader", "secret")
            await client.auth.role_add("readers")
            await client.auth.grant_permission("readers", "READ", "/open/", prefix=True)
            await client.auth.grant_role("reader", "readers")
            assert await client.auth.user_roles("reader") == ("readers",)
            (permission,) = await client.auth.role_permissions("readers")
            assert (permission.kind, permission.key) == ("READ", b"/open/")
            await client.put("/open/a", "1")
            await client.auth.enable()
            with pytest.raises(AuthError):
                await client.get("/open/a")
        async with Client(endpoint, user="reader", password="secret") as reader:
            assert (await reader.get("/open/a")).value == b"1"
            with pytest.raises(PermissionDeniedError):
                await reader.put("/open/a", "2")
            with pytest.raises(PermissionDeniedError):
                await reader.watch("/closed/", prefix=True).started()
            async with reader.watch("/open/", prefix=True) as watch:
                async with Client(endpoint, user="root", password="pw") as root:
                    await root.put("/open/b", "2")
                async with asyncio.timeout(30):
                    assert (await anext(watch)).key == b"/open/b"
        async with Client(endpoint, user="reader", password="wrong") as wrong:
            with pytest.raises(AuthError):
                await wrong.get("/open/a")
        async with Client(endpoint, user="root", password="pw") as root:
            await root.auth.disable()
        async with Client(endpoint, user="reader", password="wrong") as anybody:
            assert (await anybody.get("/open/a")).value == b"1"

    asyncio.run(scenario())
