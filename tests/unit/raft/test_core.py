"""One member through its public doors: what it takes, what it refuses, what its Readies hold.

Long because it goes through all the doors, and one member is set up alike for each.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from kvorum.raft import (
    ConfChange,
    ConfChangeOp,
    Config,
    ConfState,
    DropReason,
    EntryKind,
    HardState,
    InvariantViolation,
    ProposalDropped,
    Raft,
    Role,
    SnapshotMeta,
    membership,
)
from kvorum.raft.messages import (
    AppendRequest,
    AppendResponse,
    ForwardProposal,
    Heartbeat,
    HeartbeatResponse,
    ReadIndexRequest,
    ReadIndexResponse,
    SnapshotOffer,
    TimeoutNow,
    TransferRequest,
    VoteRequest,
    VoteResponse,
)
from kvorum.raft.types import Entry
from unit.raft.build import acknowledge, elect, entries, entry, leading, member, settle

VOTERS = ConfState((1, 2, 3))


# ---- configuration and start -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"id": 0}, "id must be a member id"),
        ({"heartbeat_ticks": 0}, "heartbeat_ticks must be at least 1"),
        ({"election_ticks": 3, "heartbeat_ticks": 3}, "must be greater than heartbeat_ticks"),
        ({"max_inflight_messages": 0}, "max_inflight_messages must be at least 1"),
        ({"max_committed_bytes": 0}, "max_committed_bytes must be at least 1"),
        ({"max_message_bytes": 31}, "max_message_bytes must be at least 32"),
    ],
)
def test_settings_that_contradict_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Config(**{"id": 1, **settings})


def test_a_disk_that_has_lost_something_is_refused() -> None:
    with pytest.raises(ValueError, match="entries are missing: committed to 3"):
        member(log=entries(1, 1), hard=HardState(1, 0, 3))
    with pytest.raises(ValueError, match="applied to 3"):
        member(log=entries(1, 1), hard=HardState(1, 0, 0), applied=3)
    with pytest.raises(ValueError, match="term 1 is older than the log's 2"):
        member(log=entries(1, 2), hard=HardState(1, 0, 0))
    change = membership.encode(ConfChange(((ConfChangeOp.ADD_VOTER, 4),)))
    log = (Entry(1, 1, EntryKind.CONF_CHANGE, change),)
    with pytest.raises(ValueError, match="their conf must be given"):
        member(log=log, hard=HardState(1, 0, 1), applied=1)
    member(log=log, hard=HardState(1, 0, 1), applied=1, conf=ConfState((1, 2, 3, 4)))


def test_R8_a_commit_index_that_lags_on_disk_is_raised_to_what_was_applied() -> None:
    raft = member(log=entries(1, 1, 1), hard=HardState(1, 2, 1), applied=2)
    assert (raft.status().commit, raft.status().applied) == (2, 2)
    assert not raft.has_ready()


def test_a_restarted_member_says_nothing_and_hands_out_what_it_had_committed() -> None:
    raft = member(log=entries(1, 1, 1), hard=HardState(1, 2, 2))
    ready = raft.ready()
    assert [e.index for e in ready.committed] == [1, 2]
    assert ready.hard_state is None and ready.soft_state is None
    assert ready.entries == () and ready.messages == ()
    assert not ready.must_sync


# ---- what comes in ---------------------------------------------------------------------------


def test_messages_for_others_and_unknown_kinds_are_refused() -> None:
    raft = member()
    for stranger in (
        Heartbeat(2, 3, 1, 0, 0),
        Heartbeat(1, 1, 1, 0, 0),
        entry(1, 1),
    ):
        with pytest.raises(ValueError, match="not a message from a peer to member 1"):
            raft.step(stranger)  # type: ignore[arg-type]  # on purpose
    assert not raft.has_ready()


def test_entries_that_do_not_follow_are_refused() -> None:
    raft = member()
    with pytest.raises(ValueError, match="do not follow index 0"):
        raft.step(AppendRequest(1, 2, 1, 0, 0, (entry(2, 1),), 0))
    with pytest.raises(ValueError, match="do not follow index 0"):
        raft.step(AppendRequest(1, 2, 1, 0, 0, (entry(1, 1), entry(3, 1)), 0))
    assert raft.status().last_index == 0


def test_two_leaders_in_a_term_are_an_invariant_violation() -> None:
    follower = member()
    follower.step(Heartbeat(1, 2, 1, 0, 0))
    with pytest.raises(InvariantViolation, match="2 and 3 both lead in term 1"):
        follower.step(Heartbeat(1, 3, 1, 0, 0))
    leader = leading()
    with pytest.raises(InvariantViolation, match="3 leads in term 1 too"):
        leader.step(Heartbeat(1, 3, 1, 0, 0))


def test_empty_proposals_and_empty_changes_are_refused() -> None:
    raft = leading()
    with pytest.raises(ValueError, match="empty proposal"):
        raft.propose(b"")
    with pytest.raises(ValueError, match="must change something"):
        raft.propose_conf_change(ConfChange(()))


def test_P2_every_refusal_names_its_reason() -> None:
    refused = Counter[DropReason]()

    def expect(act: Any) -> None:
        with pytest.raises(ProposalDropped) as dropped:
            act()
        refused[dropped.value.reason] += 1
        assert str(dropped.value).startswith(dropped.value.reason)

    alone = member()
    expect(lambda: alone.propose(b"x"))
    expect(lambda: alone.read_index(1))
    expect(lambda: alone.transfer_leadership(2))
    alone.campaign()
    expect(lambda: alone.propose(b"x"))
    expect(lambda: alone.read_index(1))
    expect(lambda: alone.transfer_leadership(2))
    assert refused[DropReason.NO_LEADER] == 6
    raft = leading(max_pending_reads=2)
    expect(lambda: raft.transfer_leadership(9))
    raft.read_index(1)
    raft.read_index(2)
    expect(lambda: raft.read_index(3))
    raft.transfer_leadership(2)
    expect(lambda: raft.propose(b"x"))
    assert refused[DropReason.TRANSFERRING] == refused[DropReason.TOO_MANY_READS] == 1
    follower = member(max_pending_reads=1)
    follower.step(Heartbeat(1, 2, 1, 0, 0))
    follower.read_index(1)
    expect(lambda: follower.read_index(2))
    outsider = member(voters=(2, 3))
    outsider.step(Heartbeat(1, 2, 1, 0, 0))
    expect(lambda: outsider.propose(b"x"))
    assert refused[DropReason.NOT_A_MEMBER] == refused[DropReason.NOT_A_VOTER] == 1


def test_what_a_leader_cannot_take_from_others_is_dropped() -> None:
    raft = leading(max_pending_reads=1)
    last = raft.log.last_index
    raft.step(ForwardProposal(1, 9, 1, EntryKind.NORMAL, b"stranger"))
    raft.step(ForwardProposal(1, 2, 1, EntryKind.CONF_CHANGE, b"\xff not a change"))
    raft.step(TransferRequest(1, 2, 1, 9))
    raft.step(ReadIndexRequest(1, 2, 1, 5))
    raft.step(ReadIndexRequest(1, 2, 1, 6))
    raft.step(AppendResponse(1, 9, 1, 1))
    raft.step(HeartbeatResponse(1, 9, 1, 0))
    assert raft.log.last_index == last
    assert raft.status().pending_reads == 1
    assert raft.status().transferee == 0


def test_a_conf_change_may_be_forwarded() -> None:
    raft = leading()
    change = ConfChange(((ConfChangeOp.ADD_LEARNER, 4),), b"peer address")
    raft.step(ForwardProposal(1, 2, 1, EntryKind.CONF_CHANGE, membership.encode(change)))
    ready = raft.ready()
    assert membership.decode(ready.entries[0].data) == change


def test_kinds_that_a_role_has_no_use_for_are_ignored() -> None:
    follower = member()
    follower.step(Heartbeat(1, 2, 1, 0, 0))
    settle(follower)
    for message in (
        AppendResponse(1, 3, 1, 5),
        HeartbeatResponse(1, 3, 1, 0),
        VoteResponse(1, 3, 1, True),
        ForwardProposal(1, 3, 1, EntryKind.NORMAL, b"x"),
        ReadIndexRequest(1, 3, 1, 1),
        ReadIndexResponse(1, 2, 1, 1, 1),
        TransferRequest(1, 3, 1, 3),
    ):
        follower.step(message)
    assert not follower.has_ready()


def test_reports_at_a_follower_or_about_strangers_mean_nothing() -> None:
    for raft in (member(), leading()):
        raft.report_unreachable(9)
        raft.report_snapshot(9, ok=True)
        assert not raft.has_ready()


# ---- Readies ---------------------------------------------------------------------------------


def test_a_ready_is_there_exactly_when_there_is_something_to_do() -> None:
    raft = member()
    assert not raft.has_ready()
    raft.campaign()
    assert raft.has_ready()
    ready = raft.ready()
    assert ready.soft_state is not None and ready.soft_state.role is Role.PRE_CANDIDATE
    assert len(ready.messages_after_persist) == 2
    assert not raft.has_ready()


def test_E1_the_leaders_messages_leave_at_once_and_promises_wait() -> None:
    raft = leading()
    raft.propose(b"x")
    ready = raft.ready()
    assert {type(m) for m in ready.messages} == {AppendRequest}
    assert ready.must_sync and not ready.messages_after_persist
    follower = member()
    follower.step(AppendRequest(1, 2, 1, 0, 0, entries(1), 0))
    ready = follower.ready()
    assert {type(m) for m in ready.messages_after_persist} == {AppendResponse}
    assert ready.must_sync and not ready.messages
    follower.persisted(ready.ticket)
    follower.step(AppendRequest(1, 2, 1, 1, 1, (), 1))
    ready = follower.ready()
    assert {type(m) for m in ready.messages} == {AppendResponse}
    assert not ready.must_sync, "a commit index alone needs no fsync"
    assert ready.hard_state == HardState(1, 0, 1)


def test_E1_nothing_is_said_in_a_term_that_is_not_durable() -> None:
    raft = member()
    raft.step(Heartbeat(1, 2, 5, 0, 0))
    ready = raft.ready()
    assert not ready.messages
    assert ready.messages_after_persist == (HeartbeatResponse(2, 1, 5, 0),)
    raft.step(Heartbeat(1, 2, 5, 0, 0))
    assert not raft.ready().messages
    raft.persisted(ready.ticket)
    raft.step(Heartbeat(1, 2, 5, 0, 0))
    assert raft.ready().messages == (HeartbeatResponse(2, 1, 5, 0),)


def test_L6_tickets_may_pile_up_and_are_reported_in_order() -> None:
    raft = leading()
    tickets = []
    for payload in (b"a", b"b", b"c"):
        raft.propose(payload)
        tickets.append(raft.ready().ticket)
    acknowledge(raft, 3, 2)
    assert raft.status().commit == 1
    raft.persisted(tickets[0])
    assert (raft.status().stable, raft.status().commit) == (2, 2)
    raft.persisted(tickets[2])
    assert (raft.status().stable, raft.status().commit) == (4, 3)
    raft.persisted(tickets[1])
    with pytest.raises(ValueError, match="was never handed out"):
        raft.persisted(tickets[2] + 1)


def test_applied_must_have_been_handed_out() -> None:
    raft = leading()
    with pytest.raises(ValueError, match="2 was not handed out"):
        raft.applied_to(2)
    raft.applied_to(1)
    assert raft.status().applied == 1
    with pytest.raises(ValueError, match="cannot compact to 2, applied is 1"):
        raft.compact_log(2)


def test_a_committed_conf_change_is_synced_before_it_can_be_forgotten() -> None:
    raft = leading()
    raft.propose_conf_change(ConfChange(((ConfChangeOp.REMOVE, 3),)))
    raft.persisted(raft.ready().ticket)
    acknowledge(raft, 2, 2)
    ready = raft.ready()
    assert ready.hard_state == HardState(1, 1, 2) and ready.must_sync
    assert not ready.committed and not any(m.commit > 1 for m in ready.messages)
    raft.step(VoteRequest(1, 3, 1, 1, 1))
    (refused,) = raft.ready().messages
    assert refused.commit == 1, "nor does a candidate hear of it"
    raft.persisted(ready.ticket)
    ready = raft.ready()
    assert [e.kind for e in ready.committed] == [EntryKind.CONF_CHANGE]
    assert [m.commit for m in ready.messages] == [2, 2]
    assert not ready.must_sync


def test_a_heartbeat_is_answered_once_a_change_it_tells_of_is_durable() -> None:
    raft = member()
    removal = membership.encode(ConfChange(((ConfChangeOp.REMOVE, 2),)))
    change = Entry(1, 1, EntryKind.CONF_CHANGE, removal)
    raft.step(AppendRequest(1, 2, 1, 0, 0, (change, entry(2, 1)), 0))
    settle(raft)
    raft.step(Heartbeat(1, 2, 1, 1, 7))
    ready = raft.ready()
    assert ready.must_sync and not ready.messages and not ready.committed
    answer = HeartbeatResponse(2, 1, 1, 7)
    assert ready.messages_after_persist == (answer,)
    raft.step(Heartbeat(1, 2, 1, 1, 8))
    late = raft.ready()
    assert late.messages_after_persist == (answer._replace(round=8),) and not late.must_sync
    raft.persisted(ready.ticket)
    raft.persisted(late.ticket)
    assert [e.index for e in raft.ready().committed] == [1]
    raft.step(Heartbeat(1, 2, 1, 2, 9))
    assert raft.ready().messages == (answer._replace(round=9),), "other entries hold nothing up"


def test_S6_an_offer_names_the_applied_state_and_the_members_there() -> None:
    raft = leading()
    raft.propose(b"x")
    settle(raft)
    acknowledge(raft, 2, 2)
    settle(raft)
    raft.compact_log(2)
    raft.propose(b"y")
    settle(raft)
    raft.report_unreachable(3)
    raft.step(HeartbeatResponse(1, 3, 1, 0))
    offers = [m for m in raft.ready().messages if isinstance(m, SnapshotOffer)]
    assert offers == [SnapshotOffer(3, 1, 1, SnapshotMeta(2, 1, VOTERS))]


def test_S6_without_anything_applied_no_snapshot_is_offered() -> None:
    raft = member()
    elect(raft)
    raft.step(AppendResponse(1, 2, 1, 0, True))
    assert not raft.has_ready() or not any(
        isinstance(m, SnapshotOffer) for m in raft.ready().messages
    )


# ---- rules that need no cluster --------------------------------------------------------------


def test_E12_timeouts_are_drawn_anew_between_E_and_2E_minus_1() -> None:
    drawn = Counter[int]()
    raft = member(seed=4)
    for term in range(1, 400):
        raft.become_follower(term, 0)
        drawn[raft.state.timeout] += 1  # type: ignore[attr-defined]  # it is a Follower
    assert set(drawn) == set(range(10, 20))


def test_E12_different_seeds_draw_different_timeouts() -> None:
    def draws(seed: int) -> list[int]:
        raft = member(seed=seed)
        return [raft.draw_timeout() for _ in range(8)]

    assert draws(1) == draws(1)
    assert len({tuple(draws(seed)) for seed in range(20)}) == 20


def test_E13_the_check_uses_what_was_heard_since_the_last_one() -> None:
    raft = leading()
    for _ in range(2):
        for _ in range(9):
            raft.tick()
        raft.step(HeartbeatResponse(1, 2, 1, 0))
        raft.tick()
        assert raft.status().role is Role.LEADER
    for _ in range(10):
        raft.tick()
    assert raft.status().role is Role.FOLLOWER
    assert raft.status().term == 1


def test_E13_without_check_quorum_a_leader_stays() -> None:
    raft = leading(check_quorum=False)
    for _ in range(100):
        raft.tick()
    assert raft.status().role is Role.LEADER


def test_E3_without_prevote_and_check_quorum_an_old_leader_gets_silence() -> None:
    raft = member(check_quorum=False, pre_vote=False, hard=HardState(5, 0, 0))
    raft.step(Heartbeat(1, 2, 3, 0, 0))
    assert not raft.has_ready()


def test_E7_the_flag_of_a_transfer_passes_a_live_leaders_protection() -> None:
    raft = leading()
    raft.step(VoteRequest(1, 2, 2, 9, 1))
    assert raft.status().term == 1
    raft.step(VoteRequest(1, 2, 2, 9, 1, transfer=True))
    assert (raft.status().term, raft.status().vote) == (2, 2)


def test_L14_only_payload_of_this_term_counts_and_is_released_at_apply() -> None:
    raft = member(log=entries(1, 1), hard=HardState(1, 0, 0))
    elect(raft)
    assert raft.status().uncommitted_bytes == 0
    raft.propose(b"12345")
    settle(raft)
    assert raft.status().uncommitted_bytes == 5
    acknowledge(raft, 4, 2)
    settle(raft)
    assert raft.status().uncommitted_bytes == 0
    raft.propose(b"678")
    raft.step(Heartbeat(1, 2, 7, 0, 0))
    assert raft.status().uncommitted_bytes == 0


def test_R5_a_forwarded_read_is_answered_to_the_asker() -> None:
    raft = leading()
    raft.step(ReadIndexRequest(1, 2, 1, 77))
    settle(raft)
    raft.step(HeartbeatResponse(1, 3, 1, 1))
    assert ReadIndexResponse(2, 1, 1, 77, 1) in raft.ready().messages


def test_R4_a_change_of_members_can_complete_a_round() -> None:
    raft = leading(voters=(1, 2))
    raft.propose_conf_change(ConfChange(((ConfChangeOp.REMOVE, 2),)))
    raft.persisted(raft.ready().ticket)
    acknowledge(raft, 2, 2)
    raft.read_index(5)
    ready = raft.ready()
    assert not ready.read_states
    raft.persisted(ready.ticket)
    (committed,) = raft.ready().committed
    raft.apply_conf_change(membership.decode(committed.data))
    raft.applied_to(2)
    assert [read.context for read in raft.ready().read_states] == [5]


def test_M5_without_an_answer_a_removed_leader_ends_by_check_quorum() -> None:
    raft = leading()
    raft.propose_conf_change(ConfChange(((ConfChangeOp.REMOVE, 1),)))
    raft.persisted(raft.ready().ticket)
    acknowledge(raft, 2, 2, 3)
    raft.persisted(raft.ready().ticket)
    (committed,) = raft.ready().committed
    raft.apply_conf_change(membership.decode(committed.data))
    raft.applied_to(2)
    for _ in range(20):
        assert not any(isinstance(m, TimeoutNow) for m in raft.ready().messages)
        raft.tick()
    assert raft.status().role is Role.FOLLOWER
    raft.campaign()
    assert raft.status().role is Role.FOLLOWER, "a removed member never campaigns"


def test_S1_index_zero_offers_bring_nothing() -> None:
    joiner = member(snapshot=SnapshotMeta(0, 0, ConfState()))
    joiner.step(SnapshotOffer(1, 2, 1, SnapshotMeta(0, 0, VOTERS)))
    assert joiner.status().conf == ConfState()


def test_the_same_calls_give_the_same_readies() -> None:
    def run() -> list[object]:
        rng = random.Random(9)
        raft = leading(seed=3)
        out: list[object] = []
        acts = (
            raft.tick,
            lambda: acknowledge(raft, raft.log.last_index, 2),
            lambda: _propose_or_campaign(raft, b"x"),
            lambda: raft.step(HeartbeatResponse(1, 3, raft.term, 0)),
        )
        for act in rng.choices(acts, k=200):
            act()
            out += settle(raft)
        return out

    assert run() == run()


def _propose_or_campaign(raft: Raft, payload: bytes) -> None:
    try:
        raft.propose(payload)
    except ProposalDropped:
        raft.campaign()


def test_status_shows_the_leaders_view_of_every_member() -> None:
    raft = leading(learners=(4,))
    raft.propose(b"x")
    settle(raft)
    status = raft.status()
    assert [p.member for p in status.progress] == [2, 3, 4]
    assert [p.learner for p in status.progress] == [False, False, True]
    assert (status.progress[0].match, status.progress[0].next) == (1, 3)
    assert raft.term_at(1) == 1 and raft.term_at(9) is None
    assert [e.index for e in raft.entries_slice(1, 9)] == [1, 2]
    assert member().status().progress == ()


def test_E1_a_report_of_something_older_does_not_make_the_own_vote_durable() -> None:
    raft = member(voters=(1,), pre_vote=False)
    raft.step(Heartbeat(1, 2, 3, 0, 0))
    older = raft.ready()
    raft.campaign()
    newer = raft.ready()
    raft.persisted(older.ticket)
    assert raft.status().role is Role.CANDIDATE
    raft.persisted(newer.ticket)
    assert raft.status().role is Role.LEADER
