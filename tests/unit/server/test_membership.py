"""Members that come and go, on real disks and ports within one event loop."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from kvorum.api.registry import client_services
from kvorum.config import NodeConfig, parse_cluster
from kvorum.errors import Condition, ConfigError, KvorumError
from kvorum.machine.operations import MemberAdd, MemberPromote, MemberRemove, MemberUpdate
from kvorum.server.crash import Crash, FatalError
from kvorum.server.leaving import REMOVED
from kvorum.server.member import Member
from kvorum.server.statistics import PeerStatistics
from unit.server.members import PATIENCE_S, Cluster, get, put


class Changing(Cluster):
    """Starts with its first members; the others join with what ``lists`` says."""

    def __init__(self, directory: Path, size: int, first: int, **changes: Any) -> None:
        super().__init__(directory, size, **changes)
        self.first = first
        self.told: dict[int, dict[str, Any]] = {}

    def peer_url(self, number: int) -> str:
        return f"http://127.0.0.1:{self._peer_ports[number]}"

    def listed(self, *numbers: int) -> tuple[Any, ...]:
        """An ``--initial-cluster``."""
        return parse_cluster(",".join(f"n{n}={self.peer_url(n)}" for n in numbers))

    def config(self, number: int) -> NodeConfig:
        told = {"initial_cluster": self.listed(*range(self.first)), **self.told.get(number, {})}
        return dataclasses.replace(super().config(number), **told)

    def joins(self, number: int, *listed: int) -> None:
        """From now on this member starts with state existing."""
        self.told[number] = {
            "initial_cluster": self.listed(*listed),
            "initial_cluster_state": "existing",
        }

    async def refusal(self, number: int) -> str:
        """Why a member does not start."""
        member = Member(self.config(number), client_services, Crash(lambda *what: None))
        member.bind()
        try:
            with pytest.raises((ConfigError, FatalError)) as refused:
                await member.start()
        finally:
            await member.stop()
        return str(refused.value)

    async def add(self, number: int, *, learner: bool = False, on: int = 0) -> int:
        """Add a member to the table; returns its id."""
        id_ = 1000 + number
        await self.node(on).change_members(MemberAdd(id_, (self.peer_url(number),), learner))
        return id_


def changing(
    directory: Path,
    size: int,
    first: int,
    test: Callable[[Changing], Awaitable[None]],
    **changes: Any,
) -> None:
    """Run a test; nothing may have crashed."""

    async def run() -> None:
        c = Changing(directory, size, first, **changes)
        try:
            async with asyncio.timeout(PATIENCE_S):
                await c.start(*range(first))
                await c.ready(*range(first))
                await test(c)
        finally:
            await c.stop_all()
        assert c.crashes == []

    asyncio.run(run())


def test_a_cluster_of_one_grows_to_three(tmp_path: Path) -> None:
    async def test(c: Changing) -> None:
        for n in range(20):
            await put(c.node(0), f"k{n}", str(n))
        for number in (1, 2):
            id_ = await c.add(number)
            c.joins(number, *range(number + 1))
            await c.start(number)
            await c.ready(number)
            node = c.node(number)
            assert (node.member_id, node.cluster_id) == (id_, c.node(0).cluster_id)
            assert await get(node, "k19") == "19"
            # The history came along: older revisions are known too.
            assert await get(node, "k3", revision=5) == "3"
        await put(c.node(2), "a", "1")
        await c.applied_everywhere()
        assert len({node.machine.digest for node in c.running()}) == 1
        assert {len(node.raft.conf.voters) for node in c.running()} == {3}
        names = [member.name for member in c.node(1).members()]
        assert sorted(names) == ["n0", "n1", "n2"]
        # A restart ignores what the flags say about the first members.
        await c.stop(2)
        c.told[2] = {"initial_cluster": c.listed(2), "initial_cluster_state": "new"}
        await put(c.node(0), "a", "2")
        await c.start(2)
        await c.ready(2)
        assert await get(c.node(2), "a") == "2"

    changing(tmp_path, 3, 1, test)


def test_a_learner_joins_and_is_promoted_by_way_of_a_follower(tmp_path: Path) -> None:
    async def test(c: Changing) -> None:
        leader = await c.leader()
        follower = 1 if leader != 1 else 0
        id_ = await c.add(3, learner=True, on=follower)
        with pytest.raises(KvorumError) as refused:
            await c.node(follower).change_members(MemberPromote(id_))
        assert refused.value.condition is Condition.LEARNER_NOT_READY
        c.joins(3, 0, 1, 2, 3)
        await c.start(3)
        await c.ready(3)
        assert c.node(3).is_learner
        assert c.node(3).statistics().role == "learner"
        await put(c.node(0), "a", "1")
        await c.applied_everywhere()

        # The leader tells how far it is (on a busy machine another one, meanwhile); "active" is who
        # answered lately.
        async def shown() -> PeerStatistics:
            peers = c.node(await c.leader()).statistics().peers
            return next(x for x in peers if x.id == id_)

        async with asyncio.timeout(PATIENCE_S):
            peer = await shown()
            while (peer.connected, peer.active, peer.state) != (True, True, "replicate"):
                await asyncio.sleep(0.01)
                peer = await shown()
        assert peer.match > 0
        await c.node(follower).change_members(MemberPromote(id_))
        await c.applied_everywhere()
        assert not c.node(3).is_learner
        assert len(c.node(3).raft.conf.voters) == 4

    changing(tmp_path, 4, 3, test)


def test_a_removed_follower_ends_and_its_data_are_of_no_use(tmp_path: Path) -> None:
    async def test(c: Changing) -> None:
        leader = await c.leader()
        gone = next(n for n in range(3) if n != leader)
        id_ = c.node(gone).member_id
        await c.node(leader).change_members(MemberRemove(id_))
        assert c.member(leader)._peers.get(id_) is None, "its link is closed"
        await c.member(gone).wait_departed()
        await c.stop(gone)
        assert (await c.refusal(gone)).startswith(REMOVED)
        await put(c.node(leader), "a", "1")
        assert len(c.node(leader).raft.conf.voters) == 2

    changing(tmp_path, 3, 3, test)


def test_a_removed_leader_hands_over_first(tmp_path: Path) -> None:
    async def test(c: Changing) -> None:
        leader = await c.leader()
        term = c.node(leader).term
        await c.node(leader).change_members(MemberRemove(c.node(leader).member_id))
        await c.member(leader).wait_departed()
        assert not c.node(leader).is_leader
        await c.stop(leader)
        assert c.node(await c.leader()).term == term + 1
        await put(c.running()[0], "a", "1")

    changing(tmp_path, 3, 3, test)


def test_a_member_that_was_down_learns_from_its_peers_that_it_was_removed(tmp_path: Path) -> None:
    async def test(c: Changing) -> None:
        leader = await c.leader()
        gone = next(n for n in range(3) if n != leader)
        id_ = c.node(gone).member_id
        await c.stop(gone)
        await c.node(leader).change_members(MemberRemove(id_))
        await c.start(gone)
        await c.member(gone).wait_departed()
        await c.stop(gone)
        assert (await c.refusal(gone)).startswith(REMOVED)

    changing(tmp_path, 3, 3, test)


def wipe(directory: Path) -> None:
    """Lose a member's data."""
    directory.rename(directory.with_name(directory.name + "-lost"))


@pytest.mark.parametrize("state", ["new", "existing"])
def test_a_member_that_lost_its_data_is_not_started_again(tmp_path: Path, state: str) -> None:
    async def test(c: Changing) -> None:
        leader = await c.leader()
        lost = next(n for n in range(3) if n != leader)
        id_ = c.node(lost).member_id
        await c.stop(lost)
        wipe(tmp_path / f"n{lost}")
        c.told[lost] = {"initial_cluster_state": state}
        ran_before = f"member {id_:x} has already been bootstrapped"
        assert await c.refusal(lost) == ran_before
        # Removed, it is still refused; added anew, it comes back under another id.
        await c.node(leader).change_members(MemberRemove(id_))
        await c.applied_everywhere()
        if state == "new":
            assert await c.refusal(lost) == ran_before
        else:
            assert (await c.refusal(lost)).endswith("member count is unequal")
        c.joins(lost, 0, 1, 2)
        await put(c.node(leader), "a", "1")
        new = await c.add(lost, on=leader)
        await c.start(lost)
        await c.ready(lost)
        assert c.node(lost).member_id == new
        assert await get(c.node(lost), "a") == "1"

    changing(tmp_path, 3, 3, test)


def test_what_a_joiner_lists_must_be_the_running_members(tmp_path: Path) -> None:
    async def test(c: Changing) -> None:
        c.joins(1, 0, 1)
        why = await c.refusal(1)
        assert why.startswith("error validating peerURLs {ClusterID:")
        assert why.endswith("RemovedMemberIDs:[]}: member count is unequal")
        await c.add(2)
        assert f"PeerURLs: no match found for existing member ({1002:x}, " in await c.refusal(1)
        c.told[1]["initial_cluster"] = c.listed(1)
        assert await c.refusal(1) == (
            "cannot fetch cluster info from peer urls: "
            "could not retrieve cluster information from the given URLs"
        )
        c.told[1]["initial_cluster"] = c.listed(0, 2)
        assert (await c.refusal(1)).startswith('couldn\'t find local name "n1"')

    changing(tmp_path, 3, 1, test)


def test_a_member_moves_to_another_port(tmp_path: Path) -> None:
    async def test(c: Changing) -> None:
        leader = await c.leader()
        moved = next(n for n in range(3) if n != leader)
        id_ = c.node(moved).member_id
        await c.stop(moved)
        # The fourth member's ports are free.
        c._peer_ports[moved], c.client_ports[moved] = c._peer_ports[3], c.client_ports[3]
        await c.node(leader).change_members(MemberUpdate(id_, (c.peer_url(moved),)))
        await put(c.node(leader), "a", "1")
        await c.start(moved)
        await c.ready(moved)
        assert await get(c.node(moved), "a") == "1"
        member = c.node(leader).machine.members.get(id_)
        assert member is not None
        assert member.peer_urls == (c.peer_url(moved),)
        assert member.client_urls == (f"http://127.0.0.1:{c.client_ports[3]}",)

    changing(tmp_path, 4, 3, test)


def test_the_survivor_of_a_lost_cluster_goes_on_alone(tmp_path: Path) -> None:
    async def test(c: Changing) -> None:
        for n in range(10):
            await put(c.node(n % 3), f"k{n}", str(n))
        await c.applied_everywhere()
        leader = await c.leader()
        survivor = next(n for n in range(3) if n != leader)
        ids = (c.node(survivor).cluster_id, c.node(survivor).member_id)
        for number in range(3):
            await c.stop(number)
        c.told[survivor] = {"force_new_cluster": True}
        await c.start(survivor)
        await c.ready(survivor)
        node = c.node(survivor)
        assert (node.cluster_id, node.member_id) == ids
        assert [member.id for member in node.members()] == [ids[1]]
        assert node.raft.conf.voters == (ids[1],)
        assert node.machine.revision == 11
        assert await get(node, "k9") == "9"
        # The others hear that they are out, if they come back.
        other = next(n for n in range(3) if n != survivor)
        await c.start(other)
        await c.member(other).wait_departed()
        await c.stop(other)
        # And new ones can join.
        wipe(tmp_path / f"n{other}")
        await put(node, "a", "1")
        id_ = await c.add(other, on=survivor)
        c.joins(other, survivor, other)
        await c.start(other)
        await c.ready(other)
        assert c.node(other).member_id == id_
        assert await get(c.node(other), "a") == "1"

    changing(tmp_path, 3, 3, test)


def test_two_survivors_forced_apart_leave_one_another_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Each has removed the other. A third, which one of them never heard of, is refused by that
    one, and neither counts with it nor learns its term.
    """

    async def test(c: Changing) -> None:
        await put(c.node(0), "k", "0")
        await c.applied_everywhere()
        await c.stop(0)
        # In the absence of the first survivor a fourth joins.
        await c.leader()
        await c.add(3, on=1)
        c.joins(3, 0, 1, 2, 3)
        await c.start(3)
        await c.ready(3)
        for number in (1, 2, 3):
            await c.stop(number)
        for survivor in (0, 1):
            c.told[survivor] = {"force_new_cluster": True}
            await c.start(survivor)
            assert len(c.node(survivor).members()) == 1, "known before anybody is spoken to"
        await c.ready(0, 1)
        alone, other = c.node(0), c.node(1)
        assert alone.cluster_id == other.cluster_id
        # As if they had met while they still knew one another, or one had been told a wrong URL.
        alone.told_removed(other.member_id)
        assert not alone._removed.is_set()
        term = alone.term
        caplog.clear()
        await c.start(3)
        async with asyncio.timeout(PATIENCE_S):
            while not any("forced" in getattr(x, "error", "") for x in caplog.records):
                await asyncio.sleep(0.02)
        await put(alone, "k", "1")
        assert (alone.is_leader, alone.term, await get(alone, "k")) == (True, term, "1")
        # The other removed it by name.
        await c.member(3).wait_departed()
        assert not other._removed.is_set()

    changing(tmp_path, 4, 3, test)


def test_a_stranger_is_refused_both_ways_and_that_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A member whose peer URL is that of another cluster's node."""

    async def test(c: Changing) -> None:
        caplog.set_level(logging.INFO)
        c.told[1] = {"initial_cluster": c.listed(1), "initial_cluster_token": "another"}
        await c.start(1)
        await c.ready(1)
        assert c.node(0).cluster_id != c.node(1).cluster_id
        await c.add(1)
        link = c.member(0)._peers.get(1001)
        assert link is not None
        while link._tries < 5:
            await asyncio.sleep(0.02)
        assert not link.connected and link.connected_s == 0
        own, other = c.node(0).cluster_id, c.node(1).cluster_id
        refused = [x for x in caplog.records if x.getMessage() == "refused a peer"]
        assert [getattr(x, "error", "") for x in refused] == [
            f"cluster ID mismatch: {own:x} speaks to {other:x}"
        ]
        errors = [x for x in caplog.records if x.levelno == logging.ERROR]
        assert [(x.getMessage(), getattr(x, "url", "")) for x in errors] == [
            ("cannot reach peer", c.peer_url(1))
        ]
        assert [member.id for member in c.node(1).members()] == [c.node(1).member_id]

    changing(tmp_path, 2, 1, test)
