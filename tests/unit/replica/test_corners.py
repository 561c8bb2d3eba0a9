"""What comes late, twice, to the wrong member or about nobody: inputs that no text can write."""

from __future__ import annotations

import random
from typing import Any

import pytest
from kvorum.errors import Condition
from kvorum.machine import commands
from kvorum.machine.apply import decode_image, encode_image
from kvorum.raft.messages import ProposalRefused
from kvorum.raft.types import (
    ConfChange,
    ConfChangeOp,
    ConfState,
    DropReason,
    HardState,
    SnapshotMeta,
)
from kvorum.replica import checkpoints
from kvorum.replica import effects as e
from kvorum.replica import inputs as i
from kvorum.replica.replica import Replica
from kvorum.replica.requests import Done, Failed, LeaseClock
from kvorum.replica.state import Boot, ReplicaConfig
from unit.replica.elected import MEMBERS, Elected
from unit.replica.test_replica import URL, arrival, follower, machine_at, of


def ticks(elected: Elected, count: int) -> None:
    for _ in range(count):
        for member in MEMBERS:
            elected.world.give(member, i.Tick())
        elected.world.settle()


def ask(elected: Elected, member: int, *batch: i.Input) -> None:
    elected.world.give(member, *batch)
    elected.world.settle()


# --- leadership -----------------------------------------------------------------------------------


def test_a_transfer_asked_for_in_the_turn_in_which_the_leader_steps_down() -> None:
    elected = Elected()
    elected.world.holds_links = True
    elected.world.give(1, *[i.Tick()] * 25, i.TransferLeader(1, 2))
    outcome = elected.replies[1]
    assert isinstance(outcome, Failed)
    assert outcome.condition is Condition.NOT_LEADER


def test_a_transfer_nobody_waits_for_any_more_is_forgotten_with_the_next_leader() -> None:
    elected = Elected()
    elected.world.holds_links = True
    elected.world.give(1, i.TransferLeader(1, 2))
    elected.world.give(1, i.Cancel(1))
    replica = elected.world.nodes[1].replica
    assert replica._transfers == [1]
    elected.world.holds_links = False
    elected.world.settle()
    assert replica.leader == 2
    assert replica._transfers == []
    assert 1 not in elected.replies


def test_a_digest_that_accuses_while_leadership_is_handed_over_is_judged_again() -> None:
    """No alarm can enter the log then; it does when the attempt is given up."""
    elected = Elected()
    ticks(elected, 30)
    replica = elected.world.nodes[1].replica
    index, mine = next(iter(replica._applier._digests._mine.items()))
    elected.world.cuts[1, 2] = elected.world.cuts[2, 1] = None
    elected.world.give(1, i.TransferLeader(1, 2, 5))
    ask(elected, 1, i.PeerDigest(2, index, mine), i.PeerDigest(3, index, mine ^ 1))
    assert replica.raft.log.last_index == index, "nothing enters the log"
    ticks(elected, 12)
    assert replica.leader == 1
    ask(elected, 1, i.PeerDigest(2, index, mine), i.PeerDigest(3, index, mine ^ 1))
    assert [alarm.member_id for alarm in replica.machine.alarms.all()] == [3]


# --- members --------------------------------------------------------------------------------------


def test_a_change_of_the_configuration_alone_and_leaving_a_joint_one() -> None:
    """Raft's own entries carry no command; every member counts them all the same."""
    elected = Elected()
    raft = elected.world.nodes[1].replica.raft
    both = ((ConfChangeOp.REMOVE, 2), (ConfChangeOp.REMOVE, 3))
    raft.propose_conf_change(ConfChange(both, b""))
    ask(elected, 1, i.Tick())
    ticks(elected, 3)
    assert raft.conf == ConfState((1,))
    assert elected.world.nodes[1].replica.machine.applied_index == raft.log.last_index
    assert len(elected.world.nodes[1].replica.machine.members.all()) == 3


def test_a_refusal_of_a_change_that_nobody_asked_for_means_nothing() -> None:
    elected = Elected()
    refused = ProposalRefused(2, 1, 1, DropReason.CONF_CHANGE_PENDING, b"?")
    ask(elected, 2, i.Received(1, (refused,)))
    assert elected.replies == {}
    assert not elected.world.nodes[2].replica._proposals._parked_changes


def test_a_change_that_was_refused_and_taken_is_answered_once() -> None:
    """Of two copies of it the one is in the log, the other was sent back: nobody waits for that."""
    elected = Elected()
    world = elected.world
    world.nodes[3].holds_disk = world.nodes[2].holds_disk = True
    ask(elected, 2, i.ChangeMembers(1, commands.MemberAdd(9, URL, True), 0))
    proposals = world.nodes[2].replica._proposals
    (data,) = proposals._changes
    refused = ProposalRefused(2, 1, 1, DropReason.OWN_TERM_UNCOMMITTED, data)
    world.give(2, i.Received(1, (refused,)))
    assert list(proposals._parked_changes) == [1]
    world.nodes[3].holds_disk = world.nodes[2].holds_disk = False
    world.settle()
    assert isinstance(elected.replies[1], Done)
    assert list(proposals._parked_changes) == [1]
    ticks(elected, 3)
    assert not proposals._parked_changes and not proposals._changes
    assert world.nodes[1].replica.raft.conf == ConfState(MEMBERS, (9,))


def test_a_change_that_is_on_its_way_is_forgotten_with_its_caller() -> None:
    elected = Elected()
    elected.world.holds_links = True
    elected.world.give(2, i.ChangeMembers(1, commands.MemberAdd(9, URL, True), 0))
    proposals = elected.world.nodes[2].replica._proposals
    assert list(proposals._changes.values()) == [1]
    elected.world.give(2, i.Cancel(1))
    assert not proposals._changes
    elected.world.holds_links = False
    elected.world.settle()
    assert elected.replies == {}
    assert elected.world.nodes[2].replica.raft.conf.learners == (9,), "it happened all the same"


def test_waiting_proposals_keep_their_order_while_leadership_is_handed_over() -> None:
    elected = Elected()
    elected.world.cuts[1, 2] = elected.world.cuts[2, 1] = None
    elected.world.give(1, i.TransferLeader(99, 2, 5))
    for number in (1, 2, 3):
        ask(elected, 1, i.Propose(number, commands.Put(b"k", b"%d" % number), 0))
    replica = elected.world.nodes[1].replica
    ticks(elected, 1)
    assert list(replica._proposals._parked) == [1, 2, 3]
    ticks(elected, 15)
    revisions = [elected.replies[number].stamp.revision for number in (1, 2, 3)]
    assert revisions == [2, 3, 4]


# --- leases ---------------------------------------------------------------------------------------


def test_a_member_that_does_not_lead_says_so_to_a_peer() -> None:
    elected = Elected()
    ask(elected, 2, i.PeerLeaseAsk(3, 5, (7,), True))
    assert (2, e.SendLeaseAnswer(3, 5, (), not_leader=True)) in elected.effects


@pytest.mark.parametrize("keys", [False, True])
def test_answers_about_leases_that_nobody_waits_for(keys: bool) -> None:
    """About nothing, from one that does not lead, and the same one twice."""
    elected = Elected()
    ask(elected, 1, i.Propose(1, commands.LeaseGrant(7, 60), 0))
    elected.world.holds_links = True
    elected.world.give(3, i.LeaseAsk(2, (7,), False, keys))
    for answer in (
        i.PeerLeaseAnswer(99, (), False),
        i.PeerLeaseAnswer(2, (), True),
        *[i.PeerLeaseAnswer(2, ((7, 60_000, 60_000),), False)] * 2,
    ):
        elected.world.give(3, answer)
    elected.world.holds_links = False
    elected.world.settle()
    assert elected.replies[2].value == (LeaseClock(7, 60, 60, ()),)
    replies = [r for _, r in elected.effects if isinstance(r, e.Reply) and r.request_id == 2]
    assert len(replies) == 1


def test_keys_are_asked_for_again_when_the_round_is_given_up() -> None:
    elected = Elected()
    ask(elected, 1, i.Propose(1, commands.LeaseGrant(7, 60), 0))
    ask(elected, 1, i.Propose(2, commands.Put(b"a", b"", 7), 0))
    # The clock has come; the round for the keys never comes back from a leader that goes.
    elected.world.holds_links = True
    elected.world.give(3, i.LeaseAsk(3, (7,), False, True))
    elected.world.give(3, i.PeerLeaseAnswer(3, ((7, 60_000, 60_000),), False))
    elected.world.road.clear()
    elected.world.holds_links = False
    elected.world.nodes[1].crash()
    ticks(elected, 40)
    assert elected.replies[3].value == (LeaseClock(7, 60, 60, (b"a",)),)


def test_checkpoints_do_not_pile_up() -> None:
    elected = Elected(lease_checkpoint_ticks=30)
    made = elected.world.nodes[1].replica._checkpoints
    number = 0
    for lease in range(1, 301):
        ask(elected, 1, i.Propose(number := number + 1, commands.LeaseGrant(lease, 60), 0))
        ask(elected, 1, i.Propose(number := number + 1, commands.LeaseRevoke(lease), 0))
    assert len(made._heap) < 100
    assert not made._due


def test_a_scan_makes_so_many_checkpoints_and_the_next_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One that is being taken back has its turn after the next interval."""
    monkeypatch.setattr(checkpoints, "LEASE_CHECKPOINT_BATCH", 2)
    monkeypatch.setattr(checkpoints, "LEASE_CHECKPOINT_BATCHES", 2)
    elected = Elected(lease_checkpoint_ticks=30)
    grants = [i.Propose(lease, commands.LeaseGrant(lease, 60), 0) for lease in range(1, 8)]
    ask(elected, 1, *grants)
    recording = elected.world.nodes[1].replica._checkpoints
    recording._under_way[7] = 1
    recorded = []
    for _ in range(60):
        ticks(elected, 1)
        recorded.append(recording.recorded_total)
        if recorded[-1] == 6:
            break
    assert sorted(set(recorded)) == [0, 4, 6]
    leases = elected.world.nodes[2].replica.machine.leases
    assert [lease.id for lease in leases if lease.remaining_s] == [1, 2, 3, 4, 5, 6]


def test_a_checkpoint_is_made_beside_a_change_of_members() -> None:
    """What is in the log and not applied yet is looked through for leases, whatever it is."""
    elected = Elected(lease_checkpoint_ticks=30)
    ask(elected, 1, i.Propose(1, commands.LeaseGrant(7, 60), 0))
    ticks(elected, 28)
    for member in (2, 3):
        elected.world.nodes[member].holds_disk = True
    ask(elected, 1, i.ChangeMembers(2, commands.MemberAdd(9, URL, True), 0))
    ticks(elected, 5)
    for member in (2, 3):
        elected.world.nodes[member].holds_disk = False
    ticks(elected, 3)
    assert elected.world.nodes[2].replica.raft.conf.learners == (9,)
    lease = elected.world.nodes[2].replica.machine.leases.get(7)
    assert lease is not None and 55 <= lease.remaining_s < 60


# --- snapshots ------------------------------------------------------------------------------------


def test_a_snapshot_that_was_overtaken_cuts_nothing() -> None:
    """The file of an own one is complete after the leader's was installed."""
    replica = follower()
    replica.handle(arrival(1, 9))
    assert of(replica.handle(i.SnapshotSaved(5)), e.CutLog) == []


def test_a_short_log_is_kept_behind_a_snapshot() -> None:
    elected = Elected()
    ask(elected, 1, i.Propose(1, commands.Put(b"k", b"v"), 0))
    ask(elected, 1, i.SnapshotSaved(2))
    assert not [effect for _, effect in elected.effects if isinstance(effect, e.CutLog)]
    assert elected.world.nodes[1].replica.raft.log.first_index == 1


def test_a_member_whose_history_was_lost_refuses_what_it_does_not_know() -> None:
    machine = decode_image(list(encode_image(machine_at(9, 1).image())))
    meta = SnapshotMeta(9, 1, ConfState(MEMBERS))
    boot = Boot(HardState(1, 0, 9), meta, (), machine, 9, history_floor=6)
    replica = Replica(ReplicaConfig(3, 7, 3 << 48), boot, random.Random(1))
    assert replica.history_floor == 6

    def read(number: int, revision: int) -> list[Any]:
        query = commands.Range(b"k", revision=revision)
        return replica.handle(i.Read(number, query, linearizable=False))

    (refused,) = of(read(1, 5), e.Reply)
    assert refused.outcome.condition is Condition.COMPACTED
    assert refused.outcome.detail == "this member's history begins at 6"
    assert len(of(read(2, 6), e.ReadHistoryRange)) == 1
