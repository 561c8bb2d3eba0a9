"""A history that does not get on costs a bounded amount of memory: its member applies no more and
takes no more from its leader, until it does. And what is cut off the log behind snapshots.
"""

from __future__ import annotations

from typing import Any

import pytest
from kvorum import limits
from kvorum.errors import Condition
from kvorum.machine import commands
from kvorum.machine.record import Record
from kvorum.raft.messages import VoteRequest
from kvorum.replica import effects as e
from kvorum.replica import inputs as i
from kvorum.replica.catchup import fitting
from kvorum.replica.requests import Done
from unit.replica.elected import Elected


def put(elected: Elected, number: int, value: bytes = b"v") -> Any:
    """The outcome of a put on the leader, or None."""
    elected.world.give(1, i.Propose(number, commands.Put(b"k%d" % number, value), 0, 0))
    elected.world.settle()
    return elected.replies.get(number)


@pytest.mark.parametrize(
    ("bound", "most"), [("WINDOW_HARD_EVENTS", 20), ("WINDOW_HARD_BYTES", 20_000)]
)
def test_a_follower_whose_history_is_stuck_takes_no_more(
    monkeypatch: pytest.MonkeyPatch, bound: str, most: int
) -> None:
    monkeypatch.setattr(limits, bound, most)
    monkeypatch.setattr(limits, "WINDOW_EVENTS", 5)
    elected = Elected()
    slow = elected.world.nodes[3]
    slow.holds_history = True
    for number in range(1, 101):
        assert isinstance(put(elected, number, bytes(800)), Done), "a quorum goes on"
        if number % 10 == 0:
            elected.world.give(1, i.Tick())
            elected.world.settle()
    replica, leader = slow.replica, elected.world.nodes[1].replica
    assert replica.machine.window.event_count <= 25
    assert replica.raft.log.last_index <= replica.machine.applied_index + 1
    assert leader.machine.revision == 101
    slow.holds_history = False
    for _ in range(40):
        elected.world.give(1, i.Tick())
        elected.world.settle()
    assert replica.machine.revision == 101 and not replica.machine.window.overfull
    assert replica.machine.digest == leader.machine.digest


def test_a_leader_whose_history_is_stuck_lets_nothing_more_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its own clients are told; what others forward fills its log so far and no further."""
    monkeypatch.setattr(limits, "WINDOW_HARD_EVENTS", 20)
    monkeypatch.setattr(limits, "WINDOW_EVENTS", 5)
    elected = Elected(max_uncommitted_bytes=2_000)
    node = elected.world.nodes[1]
    node.holds_history = True
    for number in range(1, 31):
        put(elected, number)
    assert elected.replies[30].condition is Condition.TOO_MANY_REQUESTS
    for number in range(31, 131):
        elected.world.give(2, i.Propose(number, commands.Put(b"f", bytes(100)), 0, 0))
        elected.world.settle()
    raft = node.replica.raft
    assert node.replica.machine.window.event_count <= 22
    assert raft.log.last_index - raft.log.applied <= 20
    node.holds_history = False
    elected.world.give(1, i.Tick())
    elected.world.settle()
    assert raft.log.applied == raft.log.last_index
    assert isinstance(put(elected, 200), Done)


def test_what_a_start_finds_in_its_log_is_applied_whatever_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And what the history holds already does not count against it."""
    elected = Elected()
    for number in range(1, 31):
        put(elected, number)
    monkeypatch.setattr(limits, "WINDOW_HARD_EVENTS", 20)
    monkeypatch.setattr(limits, "WINDOW_EVENTS", 5)
    node = elected.world.nodes[2]
    node.crash()
    node.start()
    node.replica.handle_all(())
    applied = node.replica.machine.applied_index
    assert applied == node.disk.hard_state.commit and applied > 25
    assert node.replica.machine.window.event_count <= 6


def test_the_log_on_disk_reaches_back_to_the_second_newest_snapshot() -> None:
    elected = Elected(catchup_entries=2)
    cuts: list[int] = []
    for number in range(1, 31):
        put(elected, number)
        if number % 10 == 0:
            elected.effects.clear()
            applied = elected.world.nodes[1].replica.machine.applied_index
            elected.world.give(1, i.SnapshotSaved(applied))
            elected.world.settle()
            cuts += [x.through_index for _, x in elected.effects if isinstance(x, e.CutLog)]
            assert elected.world.nodes[1].replica.raft.log.base_index == applied - 2
    assert cuts == [11, 21]


def test_what_an_event_replaced_counts_for_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kvorum.replica.catchup.WATCH_CATCHUP_BYTES", 3_000)
    elected = Elected()
    for number in range(1, 11):
        put(elected, number, bytes(1_000))
        elected.world.give(1, i.Propose(100 + number, commands.DeleteRange(b"k%d" % number), 0, 0))
        elected.world.settle()
    events = list(elected.world.nodes[1].replica.machine.window.since(1))
    gone = [event for event in events if event.kind == 1]
    assert len(gone) == 10 and isinstance(gone[0].prev, Record)

    class Watcher:
        next_revision = 1
        prev_kv = True

    taken, through = fitting(Watcher(), gone, 99)  # type: ignore[arg-type]  # all that it looks at
    assert len(taken) == 3 and through == gone[3].revision - 1
    Watcher.prev_kv = False
    assert fitting(Watcher(), gone, 99) == (gone, 99)  # type: ignore[arg-type]  # the same


def test_a_started_member_that_only_heard_of_a_commitment_can_still_campaign() -> None:
    """The commit index is its first write; what asks for votes waits for that, and no longer."""
    elected = Elected()
    put(elected, 1)
    node = elected.world.nodes[2]
    node.crash()
    node.disk.hard_state = node.disk.hard_state._replace(commit=1)
    node.start()
    elected.world.give(1, i.Tick())
    elected.world.settle()
    elected.world.give(2, i.Tick())
    written = [x for member, x in elected.effects if member == 2 and isinstance(x, e.Persist)]
    assert (written[-1].ticket, written[-1].sync) == (0, False)
    elected.world.settle()
    elected.effects.clear()
    for _ in range(25):
        elected.world.give(2, i.Tick())
    elected.world.settle()
    sent = [
        m
        for member, x in elected.effects
        if isinstance(x, e.Send) and member == 2
        for m in x.messages
    ]
    assert any(isinstance(m, VoteRequest) for m in sent)
