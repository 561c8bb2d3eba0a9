"""A member that was removed, and whose vote somebody may still need."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from kvorum.machine.operations import MemberRemove
from kvorum.raft.departure import is_dispensable
from kvorum.server import leaving
from kvorum.server.faults import Direction, LinkFault, SlowFsyncFault
from kvorum.server.leaving import REMOVED, is_noted
from unit.server.members import put
from unit.server.test_membership import Changing, changing

_LONG_MS = 60_000  # Of a fault: until it is lifted.


def test_a_quorum_of_those_that_remain_must_know() -> None:
    assert [is_dispensable([1, 2, 3], told) for told in ([], [1], [1, 9], [1, 3])] == [
        *(False, False, False),
        True,
    ]
    assert not is_dispensable([1, 2], [1]) and is_dispensable([1, 2], {1, 2})
    assert is_dispensable([1], [1]) and not is_dispensable([1], [2])
    # One that knows of nobody else.
    assert is_dispensable([], [7]) and not is_dispensable([], [])


@pytest.mark.parametrize(("ends", "snapshot_count"), [("killed", 1), ("unheard", 10_000)])
def test_a_removed_member_is_there_until_the_survivor_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: str, snapshot_count: int
) -> None:
    """The leader of two is removed, and only its own disk knows that this is committed. Whether it
    is stopped or waits in vain: started again it tells the survivor, and only then its data are of
    no use.
    """

    async def removed_alone(c: Changing, gone: int, survivor: int) -> None:
        leader, follower = c.node(gone), c.node(survivor)
        leader.gate.inject(SlowFsyncFault(300), _LONG_MS)
        removing = asyncio.ensure_future(leader.change_members(MemberRemove(leader.member_id)))
        # Both have the entry; nobody is told that it is committed before the leader's disk knows.
        before = leader.raft.log.commit
        while leader.raft.log.commit == before:
            await asyncio.sleep(0.005)
        assert leader.raft.log.settled == before
        follower.gate.inject(LinkFault(leader.member_id, Direction.INBOUND), _LONG_MS)
        leader.gate.lift()
        await removing
        assert leader.raft.conf.voters == (follower.member_id,)
        assert follower.raft.log.commit == before

    async def test(c: Changing) -> None:
        gone = await c.leader()
        survivor = 1 - gone
        id_, other = c.node(gone).member_id, c.node(survivor)
        directory = tmp_path / f"n{gone}" / "member"
        departing = asyncio.ensure_future(c.member(gone).wait_departed())
        await removed_alone(c, gone, survivor)
        while c.node(gone).is_leader:
            await asyncio.sleep(0.02)
        if ends == "unheard":
            await departing
        elif snapshot_count == 1:
            removed_at = c.node(gone).machine.applied_index
            while c.node(gone).status().snapshot_index < removed_at:
                await asyncio.sleep(0.02)
        departing.cancel()
        await c.stop(gone)
        assert not is_noted(directory)
        assert id_ in other.raft.conf.voters, "it counts with the vote of one that has gone"
        other.gate.lift()
        await c.start(gone)
        await c.member(gone).wait_departed()
        assert is_noted(directory)
        assert other.raft.conf.voters == (other.member_id,)
        await c.stop(gone)
        assert (await c.refusal(gone)).startswith(REMOVED)
        await put(other, "a", "1")

    monkeypatch.setattr(leaving, "REMOVED_LINGER_MAX_ELECTIONS", 4)
    changing(tmp_path, 2, 2, test, snapshot_count=snapshot_count)
