"""What the log keeps for a follower that goes on from a snapshot, and for how long."""

from __future__ import annotations

import pytest
from kvorum.limits import SNAPSHOT_HELD_S
from kvorum.machine.commands import Put
from kvorum.replica import effects as e
from kvorum.replica import inputs as i
from kvorum.replica import snapshots
from kvorum.replica.state import ReplicaConfig
from unit.replica.elected import MEMBERS, Elected

COUNT, CATCHUP = 5, 1


class Behind:
    """Member 3 was away for so long that it is sent a snapshot, which is on its way."""

    def __init__(self) -> None:
        self.elected = Elected(snapshot_count=COUNT, catchup_entries=CATCHUP)
        self.world = self.elected.world
        self.number = 100
        self.config = ReplicaConfig(1, 7, 0, **self.world.settings)
        self.links = [(1, 3), (3, 1), (2, 3), (3, 2)]
        self.world.cuts.update(dict.fromkeys(self.links))
        self.write(4 * COUNT)
        self.sent: list[e.SendSnapshot] = []
        # The body is on its way until the test says that it arrived.
        self.world.send_snapshot = lambda node, effect: self.sent.append(effect)  # type: ignore[method-assign]  # held back
        for link in self.links:
            del self.world.cuts[link]
        self.tick(2)
        assert [effect.to for effect in self.sent] == [3]

    @property
    def first_index(self) -> int:
        """Where the leader's log begins."""
        return self.world.nodes[1].replica.raft.status().first_index

    @property
    def offered(self) -> int:
        return self.sent[-1].meta.index

    def write(self, count: int) -> None:
        """So many entries, snapshots of the own state included."""
        for _ in range(count):
            self.number += 1
            self.world.give(1, i.Propose(self.number, Put(b"k", b"v"), 0))
            self.world.settle()

    def tick(self, count: int) -> None:
        for _ in range(count):
            for member in MEMBERS:
                self.world.give(member, i.Tick())
            self.world.settle()

    def arrive(self) -> None:
        """The body arrives, and the follower goes on from it."""
        del self.world.send_snapshot
        self.world.send_snapshot(self.world.nodes[1], self.sent[-1])
        self.world.settle()


def test_a_snapshot_that_takes_long_is_the_only_one() -> None:
    """Writes that would fill several snapshots pass while it is on its way."""
    behind = Behind()
    behind.write(10 * COUNT)
    assert behind.first_index == behind.offered + 1
    behind.arrive()
    behind.tick(2)
    behind.write(1)
    assert [effect for _, effect in behind.elected.effects if type(effect) is e.SendSnapshot] == [
        behind.sent[0]
    ]
    leader, follower = behind.world.nodes[1].replica, behind.world.nodes[3].replica
    assert follower.machine.applied_index == leader.machine.applied_index


def test_the_log_follows_a_follower_that_gets_on() -> None:
    behind = Behind()
    behind.arrive()
    behind.tick(2)
    behind.write(4 * COUNT)
    assert behind.first_index > behind.offered + COUNT


def test_nothing_is_kept_for_one_that_does_not_come_back_in_time() -> None:
    behind = Behind()
    behind.arrive()
    behind.world.cuts.update(dict.fromkeys(behind.links))
    behind.write(4 * COUNT)
    reached = behind.world.nodes[3].replica.machine.applied_index
    assert behind.first_index == reached + 1
    behind.tick(behind.config.ticks(1000 * SNAPSHOT_HELD_S))
    behind.write(2 * COUNT)
    assert behind.first_index > reached + COUNT


def test_nothing_is_kept_for_one_whose_link_breaks_after_it() -> None:
    behind = Behind()
    behind.arrive()
    behind.world.cuts.update(dict.fromkeys(behind.links))
    behind.tick(1)
    behind.world.give(1, i.Unreachable(3))
    behind.write(4 * COUNT)
    reached = behind.world.nodes[3].replica.machine.applied_index
    assert behind.first_index > reached + COUNT


def test_nothing_is_kept_for_one_that_did_not_get_it() -> None:
    behind = Behind()
    behind.write(4 * COUNT)
    behind.world.cuts.update(dict.fromkeys(behind.links))
    behind.world.give(1, i.SnapshotSent(3, False))
    behind.write(2 * COUNT)
    assert behind.first_index > behind.offered + COUNT


def test_no_more_is_kept_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "SNAPSHOT_HELD_ENTRIES", 2 * COUNT)
    behind = Behind()
    behind.write(6 * COUNT)
    last = behind.world.nodes[1].replica.raft.status().last_index
    assert behind.offered + 1 < behind.first_index
    assert last - behind.first_index >= 2 * COUNT


def test_one_that_leads_no_more_keeps_nothing_for_anybody() -> None:
    behind = Behind()
    behind.world.give(1, i.TransferLeader(1, 2))
    behind.world.settle()
    assert behind.world.nodes[2].replica.leader == 2
    for number in range(4 * COUNT):
        behind.world.give(2, i.Propose(1000 + number, Put(b"k", b"v"), 0))
        behind.world.settle()
    assert behind.first_index > behind.offered + COUNT


def cuts(elected: Elected, count: int, value: bytes) -> list[int]:
    """Write so many entries at a member that leads; after which of them it cut a snapshot."""
    found = []
    for number in range(1, count + 1):
        before = len(elected.effects)
        elected.world.give(1, i.Propose(1_000 + number, Put(b"k", value), 0))
        elected.world.settle()
        found += [
            number
            for node, effect in elected.effects[before:]
            if node == 1 and type(effect) is e.SaveSnapshot
        ]
    return found


def test_a_large_state_is_written_when_a_part_of_it_was_applied(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Here every state counts as large: the small value is written often before its bytes are a
    quarter of the large one's, and stretched no further than is allowed.
    """
    elected = Elected(1, snapshot_count=COUNT, catchup_entries=CATCHUP)
    elected.world.give(1, i.Propose(999, Put(b"large", bytes(40_000)), 0))
    elected.world.settle()
    monkeypatch.setattr(snapshots, "SNAPSHOT_SMALL_STATE_BYTES", 0)
    first, second, *_ = cuts(elected, 40 * COUNT, b"v")
    assert second - first == snapshots.SNAPSHOT_COUNT_STRETCH * COUNT
    first, second, *_ = cuts(elected, 40 * COUNT, bytes(500))
    assert COUNT < second - first < snapshots.SNAPSHOT_COUNT_STRETCH * COUNT


def test_much_that_was_applied_is_written_before_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    elected = Elected(1, snapshot_count=100 * COUNT, catchup_entries=CATCHUP)
    assert cuts(elected, 2 * COUNT, bytes(500)) == []
    monkeypatch.setattr(snapshots, "SNAPSHOT_LOG_BYTES", 2_000)
    first, second, *_ = cuts(elected, 4 * COUNT, bytes(500))
    assert 1 < second - first <= 4
