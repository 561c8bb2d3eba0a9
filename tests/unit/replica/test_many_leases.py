"""Ten thousand leases on three replicas, and a leader that dies: none ends early, all end, and the
ends are spread.
"""

from __future__ import annotations

from typing import NamedTuple

from kvorum.limits import LEASE_ENDS_PER_SCAN, LEASE_REVOKES_PER_SCAN
from kvorum.machine import commands
from kvorum.raft.types import Role
from kvorum.replica import effects as e
from kvorum.replica import inputs as i
from kvorum.replica.requests import Done
from unit.replica.world import Node, World

COUNT = 10_000
TTL_S = 5
TICKS_A_SECOND = 10
ELECTION_TICKS = 10
STEP = 1_000  # Requests in one turn.


class End(NamedTuple):
    """A lease's end, as one member applied it."""

    tick: int
    term: int


class Crowd:
    """Leases, what was promised of each, and when it ended."""

    def __init__(self, **settings: int) -> None:
        self.world = World(3, self._observe, **settings)
        self.now = 0
        self.requests = 0
        self.asked: dict[int, tuple[int, ...]] = {}
        self.until: dict[int, int] = {}  # The tick before which a lease was promised to live.
        self.ended: dict[int, End] = {}
        self.refused: list[e.Reply] = []
        leader = self.node(1)
        while leader.replica.role is not Role.LEADER:
            self.world.give(1, i.Tick())
            self.world.settle()

    def node(self, member: int) -> Node:
        return self.world.nodes[member]

    def leader(self) -> Node:
        return next(
            node
            for node in self.world.nodes.values()
            if node.alive and node.replica.role is Role.LEADER
        )

    def _observe(self, node: Node, effect: e.Effect) -> None:
        if not isinstance(effect, e.Reply):
            return
        leases = self.asked.pop(effect.request_id)
        if not isinstance(effect.outcome, Done):
            self.refused.append(effect)
            return
        for lease in leases:
            self.until[lease] = self.now + TTL_S * TICKS_A_SECOND

    def grant(self, member: int) -> None:
        """All of them, each with a key."""
        for first in range(1, COUNT + 1, STEP):
            batch: list[i.Input] = []
            for lease in range(first, first + STEP):
                self.requests += 2
                grant = commands.LeaseGrant(lease, TTL_S)
                put = commands.Put(b"k%d" % lease, b"", lease)
                self.asked[self.requests - 1] = (lease,)
                self.asked[self.requests] = ()
                batch.append(i.Propose(self.requests - 1, grant, 0))
                batch.append(i.Propose(self.requests, put, 0))
            self.world.give(member, *batch)
            self.world.settle()

    def renew(self, member: int, leases: range) -> None:
        """Keep some alive, a hundred in a question, as a busy client's stream would."""
        batch = []
        for first in range(leases.start, leases.stop, 100):
            self.requests += 1
            ids = tuple(range(first, min(first + 100, leases.stop)))
            self.asked[self.requests] = ids
            batch.append(i.LeaseAsk(self.requests, ids, True))
        self.world.give(member, *batch)
        self.world.settle()

    def pass_time(self, ticks: int) -> None:
        """Ticks for all who live; the ends that come are noted, those of one scan together."""
        for _ in range(ticks):
            self.now += 1
            for member in self.world.nodes:
                self.world.give(member, i.Tick())
            self.world.settle()
            table = next(n for n in self.world.nodes.values() if n.alive).replica.machine.leases
            if len(table) + len(self.ended) < COUNT:
                term = self.leader().replica.term
                for lease in self.until:
                    if lease not in table and lease not in self.ended:
                        self.ended[lease] = End(self.now, term)

    def check(self) -> None:
        """None ended before its promise was over."""
        early = {x: end for x, end in self.ended.items() if end.tick < self.until[x]}
        assert early == {}
        by_tick: dict[int, int] = {}
        for end in self.ended.values():
            by_tick[end.tick] = by_tick.get(end.tick, 0) + 1
        assert max(by_tick.values()) <= LEASE_REVOKES_PER_SCAN


def test_all_end_in_time_and_none_early() -> None:
    crowd = Crowd()
    crowd.grant(1)
    crowd.pass_time(TTL_S * TICKS_A_SECOND - 1)
    assert crowd.ended == {}
    scans = COUNT // LEASE_REVOKES_PER_SCAN + 1
    crowd.pass_time(5 * scans + 5)
    assert len(crowd.ended) == COUNT
    crowd.check()
    digests = {node.replica.machine.digest for node in crowd.world.nodes.values()}
    assert len(digests) == 1 and len(crowd.leader().replica.machine.keyspace) == 0


def test_a_leader_dies_between_renewals() -> None:
    crowd = Crowd()
    crowd.grant(1)
    kept = range(1, COUNT // 2 + 1)
    crowd.pass_time(20)
    crowd.renew(2, kept)
    crowd.pass_time(10)
    crowd.node(1).crash()
    # Renewals that nobody can answer now are asked again of the next leader.
    crowd.renew(2, kept)
    crowd.pass_time(4 * ELECTION_TICKS)
    leader = crowd.leader()
    assert leader.id != 1 and crowd.asked == {} and crowd.refused == []
    # The new leader gives all their whole time and an election timeout, and spreads their ends.
    rounds = (TTL_S * TICKS_A_SECOND + ELECTION_TICKS + 5 * COUNT // LEASE_ENDS_PER_SCAN) // 15 + 1
    for _ in range(rounds):
        crowd.pass_time(15)
        crowd.renew(5 - leader.id, kept)  # By way of the follower.
        assert all(lease not in crowd.ended for lease in kept)
    assert sorted(crowd.ended) == list(range(COUNT // 2 + 1, COUNT + 1))
    crowd.check()
    # And the rest goes when it is left alone.
    crowd.pass_time(TTL_S * TICKS_A_SECOND + 5 * (COUNT // 2 // LEASE_REVOKES_PER_SCAN) + 10)
    assert len(crowd.ended) == COUNT
    crowd.check()
    assert crowd.refused == []


def test_with_checkpoints_a_crowd_ends_no_earlier() -> None:
    crowd = Crowd(lease_checkpoint_ticks=15)
    crowd.grant(1)
    kept = range(1, COUNT // 2 + 1)
    crowd.pass_time(18)
    recorded = sum(lease.remaining_s > 0 for lease in crowd.leader().replica.machine.leases)
    assert recorded == COUNT
    crowd.renew(3, kept)
    recorded = sum(lease.remaining_s > 0 for lease in crowd.leader().replica.machine.leases)
    assert recorded == COUNT - len(kept)
    crowd.pass_time(5)
    crowd.node(1).crash()
    crowd.pass_time(4 * ELECTION_TICKS)
    crowd.pass_time(TTL_S * TICKS_A_SECOND + ELECTION_TICKS + 5 * COUNT // LEASE_ENDS_PER_SCAN + 10)
    assert len(crowd.ended) == COUNT
    crowd.check()
