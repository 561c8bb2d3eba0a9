"""Permissions that change while they are used: every answer belongs to one state of them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from api.auth.people import (
    AUTH,
    DENIED,
    EMPTY,
    FAST,
    KV,
    OLD,
    READ,
    READWRITE,
    Person,
    allow,
    login,
    settle,
)
from api.node.hands import MEMBER_IDS, cluster
from kvorum.machine.auth import ANONYMOUS
from kvorum.machine.commands import AlarmSet, Compact
from kvorum.server.runtime import Node
from kvorum_proto import etcdserverpb as pb

SECRET = pb.RangeRequest(key=b"secret")
REVOKE = pb.AuthUserRevokeRoleRequest(name="reader", role="reader")


class Between:
    """Does something in the middle of the next read of a node, before or after its answer."""

    def __init__(self, node: Node, deed: Any, *, answered: bool) -> None:
        self._node, self._read, self._deed, self._answered = node, node.read, deed, answered
        node.read = self.read  # type: ignore[method-assign]  # the moment in between

    async def read(self, query: Any, **options: Any) -> Any:
        """The node's own, and the deed."""
        self._node.read = self._read  # type: ignore[method-assign]  # once is enough
        if not self._answered:
            await self._deed()
        done = await self._read(query, **options)
        if self._answered:
            await self._deed()
        return done


@pytest.mark.parametrize("answered", [False, True])
def test_a_right_taken_back_during_a_linearizable_read(answered: bool) -> None:
    async def main() -> None:
        async with cluster(**FAST) as local:
            root = await settle(local)
            reader = await login(local, "reader")

            async def revoke() -> None:
                await root.call(AUTH + "UserRevokeRole", REVOKE)

            Between(local.nodes[MEMBER_IDS[0]], revoke, answered=answered)
            assert await reader.refused(KV + "Range", pb.RangeRequest(key=b"r/a")) == DENIED

    asyncio.run(main())


@pytest.mark.parametrize("answered", [False, True])
def test_a_right_taken_back_during_a_serializable_read(answered: bool) -> None:
    async def main() -> None:
        async with cluster(**FAST) as local:
            root = await settle(local)
            reader = await login(local, "reader")

            async def revoke() -> None:
                await root.call(AUTH + "UserRevokeRole", REVOKE)

            Between(local.nodes[MEMBER_IDS[0]], revoke, answered=answered)
            request = pb.RangeRequest(key=b"r/a", serializable=True)
            assert await reader.refused(KV + "Range", request) == OLD
            assert await reader.refused(KV + "Range", request) == DENIED

    asyncio.run(main())


def test_a_right_given_during_a_read_does_not_show_what_was_before() -> None:
    async def main() -> None:
        async with cluster(**FAST) as local:
            root = await settle(local)
            reader = await login(local, "reader")

            async def clean_and_grant() -> None:
                await root.put(b"secret", b"clean")
                await allow(root, "reader", READ, b"secret")

            # The answer is there when the right comes; it is not the one that is given.
            Between(local.nodes[MEMBER_IDS[0]], clean_and_grant, answered=True)
            assert await reader.get(b"secret") == [b"clean"]

    asyncio.run(main())


@pytest.mark.parametrize("serializable", [False, True])
def test_auth_turned_on_during_a_read_of_nobodys(serializable: bool) -> None:
    async def main() -> None:
        async with cluster(**FAST) as local:
            root = await settle(local)
            await root.call(AUTH + "AuthDisable", pb.AuthDisableRequest())
            nobody = Person(local)

            async def enable() -> None:
                await nobody.call(AUTH + "AuthEnable", pb.AuthEnableRequest())

            Between(local.nodes[MEMBER_IDS[0]], enable, answered=True)
            request = pb.RangeRequest(key=b"secret", serializable=serializable)
            expected = OLD if serializable else EMPTY
            assert await nobody.refused(KV + "Range", request) == expected

    asyncio.run(main())


def test_a_member_that_lags_reads_with_the_newest_rights() -> None:
    async def main() -> None:
        async with cluster(3, **FAST) as local:
            root = await settle(local)
            reader = await login(local, "reader", on=2)
            await local.until(
                lambda: len({n.machine.applied_index for n in local.nodes.values()}) == 1, ticks=1
            )
            local.cut_off.add(MEMBER_IDS[2])
            await allow(root, "reader", READWRITE, b"secret")
            await root.call(
                AUTH + "RoleRevokePermission",
                pb.AuthRoleRevokePermissionRequest(role="reader", key=b"r/", range_end=b"r0"),
            )
            # What it knows is old, and a read without a quorum says so much.
            assert await reader.get(b"r/a", on=2, serializable=True) == [b"1"]
            reading = asyncio.ensure_future(reader.get(b"secret", on=2))
            losing = asyncio.ensure_future(
                reader.refused(KV + "Range", pb.RangeRequest(key=b"r/a"), on=2)
            )
            await local.turns(100)
            local.cut_off.clear()
            await local.until(lambda: reading.done() and losing.done(), ticks=1)
            assert await reading == [b"x"]
            assert await losing == DENIED

    asyncio.run(main())


def test_a_member_that_does_not_know_of_auth_yet_shows_nobody_anything() -> None:
    async def main() -> None:
        async with cluster(3, **FAST) as local:
            nobody = Person(local)
            await nobody.put(b"k", b"before")
            await local.until(
                lambda: len({n.machine.applied_index for n in local.nodes.values()}) == 1, ticks=1
            )
            local.cut_off.add(MEMBER_IDS[2])
            root = await settle(local)
            await root.put(b"k", b"after")
            assert not local.nodes[MEMBER_IDS[2]].machine.auth.enabled
            reading = asyncio.ensure_future(nobody.refused(KV + "Range", SECRET, on=2))
            await local.turns(100)
            local.cut_off.clear()
            await local.until(reading.done, ticks=1)
            assert await reading == EMPTY

    asyncio.run(main())


def test_a_write_is_judged_when_it_is_applied() -> None:
    async def main() -> None:
        async with cluster(3, **FAST) as local:
            root = await settle(local)
            writer = await login(local, "writer")
            leader = local.hands[MEMBER_IDS[0]]
            request = pb.AuthUserRevokeRoleRequest(name="writer", role="writer")
            leader.holds_disk = True
            tries = [
                asyncio.ensure_future(root.call(AUTH + "UserRevokeRole", request)),
                asyncio.ensure_future(writer.refused(KV + "Put", pb.PutRequest(key=b"w/a"))),
            ]
            await local.turns(50)
            leader.holds_disk = False
            leader.write()
            await local.until(lambda: all(x.done() for x in tries), ticks=1)
            # Both were in the log when the first of them took the right away.
            assert await tries[1] == OLD
            assert await writer.refused(KV + "Put", pb.PutRequest(key=b"w/a")) == DENIED
            assert await root.get(b"w/a") == []

    asyncio.run(main())


def test_what_the_cluster_does_for_itself_needs_no_user() -> None:
    async def main() -> None:
        async with cluster(**FAST) as local:
            await settle(local)
            node = local.nodes[MEMBER_IDS[0]]
            await node.propose(Compact(2), ANONYMOUS)
            await node.propose(AlarmSet(1, node.member_id, 1), ANONYMOUS)
            assert node.machine.compact_revision == 2

    asyncio.run(main())
