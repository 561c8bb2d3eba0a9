"""Lock and Election act in their caller's name: every refusal is etcd's text with code 2."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from api.auth.people import AUTH, FAST, LEASE, READWRITE, WRITE, Person, allow, login, settle
from api.node.hands import MEMBER_IDS, LocalCluster, cluster
from grpclib.exceptions import GRPCError
from kvorum.machine.auth import TokensEnded
from kvorum_proto import etcdserverpb as pb
from kvorum_proto import v3electionpb as epb
from kvorum_proto import v3lockpb as lockpb

LOCK, ELECTION = "/v3lockpb.Lock/", "/v3electionpb.Election/"
DENIED = (2, "etcdserver: permission denied")
EMPTY = (2, "etcdserver: user name is empty")
BAD_TOKEN = (2, "etcdserver: invalid auth token")


async def people(local: LocalCluster) -> tuple[Person, Person]:
    """Root, and a user who may do everything under ``q/`` and only write under ``half/``."""
    root = await settle(local)
    await root.call(AUTH + "UserAdd", pb.AuthUserAddRequest(name="user", password="user"))
    await allow(root, "user", READWRITE, b"q/", b"q0")
    await allow(root, "user", WRITE, b"half/", b"half0")
    for lease in (1, 2, 3):
        await root.call(LEASE + "LeaseGrant", pb.LeaseGrantRequest(id=lease, ttl=600))
    return root, await login(local, "user")


def requests(name: bytes) -> list[tuple[str, Any]]:
    """One of each that touches a name."""
    leader = epb.LeaderKey(name=name, key=name + b"/1", rev=5, lease=1)
    return [
        (LOCK + "Lock", lockpb.LockRequest(name=name, lease=1)),
        (LOCK + "Unlock", lockpb.UnlockRequest(key=name + b"/1")),
        (ELECTION + "Campaign", epb.CampaignRequest(name=name, lease=1)),
        (ELECTION + "Proclaim", epb.ProclaimRequest(leader=leader)),
        (ELECTION + "Resign", epb.ResignRequest(leader=leader)),
        (ELECTION + "Leader", epb.LeaderRequest(name=name)),
    ]


async def observed(who: Person, name: bytes) -> tuple[int, str]:
    """How an observer is refused."""
    with pytest.raises(GRPCError) as error:
        async with who.local.stream(ELECTION + "Observe", metadata=who.metadata) as stream:
            await stream.send_message(epb.LeaderRequest(name=name), end=True)
            await stream.recv_message()
            await stream.recv_trailing_metadata()
    return error.value.status.value, error.value.message or ""


def test_who_may_not_is_told_so_in_plain_text_and_leaves_nothing() -> None:
    async def main() -> None:
        async with cluster(**FAST) as local:
            _, user = await people(local)
            machine = local.nodes[MEMBER_IDS[0]].machine
            before = machine.revision
            for who, name, words in (
                (user, b"other", DENIED),
                (Person(local), b"q", EMPTY),
                (Person(local, "nonsense"), b"q", BAD_TOKEN),
            ):
                for path, request in requests(name):
                    assert await who.refused(path, request) == words, path
                assert await observed(who, name) == words
            # Writing is not enough for whoever wants to know who is first.
            for path, request in requests(b"half"):
                if path.endswith(("Lock/Lock", "Leader")):
                    assert await user.refused(path, request) == DENIED
            assert machine.revision == before

    asyncio.run(main())


def test_a_user_in_its_own_room() -> None:
    async def main() -> None:
        async with cluster(**FAST) as local:
            _, user = await people(local)
            mine = await user.call(LOCK + "Lock", lockpb.LockRequest(name=b"q", lease=1))
            waiting = asyncio.ensure_future(
                user.call(LOCK + "Lock", lockpb.LockRequest(name=b"q", lease=2))
            )
            node = local.nodes[MEMBER_IDS[0]]
            await local.until(lambda: node.status().watchers == 1)
            await user.call(LOCK + "Unlock", lockpb.UnlockRequest(key=mine.key))
            assert (await waiting).key == b"q/2"
            # Without a lease it gets one of its own.
            again = lockpb.LockRequest(name=b"q/deeper")
            assert (await user.call(LOCK + "Lock", again)).key.startswith(b"q/deeper/")

    asyncio.run(main())


def test_a_permission_that_is_lost_while_waiting() -> None:
    async def main() -> None:
        async with cluster(**FAST) as local:
            root, user = await people(local)
            await root.call(LOCK + "Lock", lockpb.LockRequest(name=b"q", lease=1))
            waiting = asyncio.ensure_future(
                user.refused(LOCK + "Lock", lockpb.LockRequest(name=b"q", lease=2))
            )
            node = local.nodes[MEMBER_IDS[0]]
            await local.until(lambda: node.status().watchers == 1)
            lost = pb.AuthRoleRevokePermissionRequest(role="user", key=b"q/", range_end=b"q0")
            await root.call(AUTH + "RoleRevokePermission", lost)
            await root.call(LOCK + "Unlock", lockpb.UnlockRequest(key=b"q/1"))
            assert await waiting == DENIED

    asyncio.run(main())


def test_a_token_that_ends_while_waiting_leaves_no_key() -> None:
    async def main() -> None:
        async with cluster(**FAST) as local:
            root, user = await people(local)
            await root.call(LOCK + "Lock", lockpb.LockRequest(name=b"q", lease=1))
            waiting = asyncio.ensure_future(
                user.call(LOCK + "Lock", lockpb.LockRequest(name=b"q", lease=2))
            )
            node = local.nodes[MEMBER_IDS[0]]
            await local.until(lambda: node.status().watchers == 1)
            for tokens in (local.nodes[id_].tokens for id_ in local.nodes):
                tokens.changed(TokensEnded("user"))
            waiting.cancel()
            await local.until(lambda: b"q/2" not in node.machine.keyspace.order)

    asyncio.run(main())
