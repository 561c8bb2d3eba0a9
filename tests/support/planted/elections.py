"""Mistakes in elections: two leaders in a term, or one that lacks what is committed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from kvorum.raft import leader as raft_leader
from kvorum.raft.core import Raft
from kvorum.raft.leader import Leader
from kvorum.raft.log import Log
from kvorum.raft.messages import VoteResponse
from kvorum.raft.types import ConfState
from kvorum.replica.state import ReplicaConfig
from kvorum.sim.joining import Leaving

Patch = pytest.MonkeyPatch


def old_log_wins(patch: Patch) -> None:
    """Votes are given to any candidate, however old its log."""
    patch.setattr(Log, "is_up_to_date", lambda log, index, term: True)


def shorter_log_wins(patch: Patch) -> None:
    """Only the last terms are compared, not how long the logs are."""
    patch.setattr(Log, "is_up_to_date", lambda log, index, term: term >= log.last_term)


def votes_for_everybody(patch: Patch) -> None:
    """Whoever asks in the present term gets a vote, even if another has it."""
    original = Raft._on_vote_request

    def on_request(raft: Raft, request: Any) -> None:
        if not request.pre:
            raft.vote = 0
        original(raft, request)

    patch.setattr(Raft, "_on_vote_request", on_request)


def minority_is_enough(patch: Patch) -> None:
    """Entries count as committed one voter too early."""

    def value(conf: ConfState, of: Callable[[int], int]) -> int:
        held = sorted((of(voter) for voter in conf.voters), reverse=True)
        return held[max(0, len(held) // 2 - 1)]

    patch.setattr(raft_leader, "quorum_value", value)


def learners_count(patch: Patch) -> None:
    """Learners count towards the majority that commits."""
    original = raft_leader.quorum_value

    def value(conf: ConfState, of: Callable[[int], int]) -> int:
        everybody = tuple(sorted({*conf.voters, *conf.learners}))
        return original(conf._replace(voters=everybody, learners=()), of)

    patch.setattr(raft_leader, "quorum_value", value)


def answered_in_a_term_that_is_not_durable(patch: Patch) -> None:
    """A member speaks in a new term before its disk knows the term."""

    def send(raft: Raft, message: Any) -> None:
        raft.out.at_once.append(message)

    patch.setattr(Raft, "send_once_term_durable", send)


def leader_stays_without_a_quorum(patch: Patch) -> None:
    """A leader that nobody answers goes on leading."""
    patch.setattr(Leader, "_heard_from_quorum", lambda leader: True)


def no_pre_vote(patch: Patch) -> None:
    """A member that heard nobody raises its term again and again, and brings it back with it."""
    patch.setattr(
        "kvorum.sim.node.ReplicaConfig",
        lambda **settings: ReplicaConfig(**settings, pre_vote=False, check_quorum=False),
    )


def two_changes_in_flight(patch: Patch) -> None:
    """A change of members is taken while another waits to be applied."""
    original = Leader._check_conf_change

    def check(leader: Leader, data: bytes) -> None:
        pending, leader.pending_conf_index = leader.pending_conf_index, 0
        try:
            original(leader, data)
        finally:
            leader.pending_conf_index = pending

    patch.setattr(Leader, "_check_conf_change", check)


def change_before_an_own_commit(patch: Patch) -> None:
    """A new leader changes the members before it has committed anything of its own term."""
    original = Leader._check_conf_change

    def check(leader: Leader, data: bytes) -> None:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(Leader, "_own_term_committed", lambda leader: True)
            original(leader, data)

    patch.setattr(Leader, "_check_conf_change", check)


def learner_promoted_far_behind(patch: Patch) -> None:
    """A learner that lacks most of the log becomes a voter."""
    patch.setattr(Leader, "_check_promotions", lambda leader, change: None)


def removed_members_note_it_at_once(patch: Patch) -> None:
    """A removed member gives up its data when it hears of it, not when the others know."""
    begin = Leaving.__init__

    def hasty(leaving: Leaving, *of_the_node: Any) -> None:
        begin(leaving, *of_the_node)
        leaving.noted = True

    patch.setattr(Leaving, "__init__", hasty)


def removed_leader_leaves_at_once(patch: Patch) -> None:
    """A leader that was removed stops leading before the others know that it was."""
    original = Leader.conf_changed

    def changed(leader: Leader) -> None:
        original(leader)
        raft = leader.raft
        if not raft.conf.is_voter(raft.id):
            raft.become_follower(raft.term, 0)

    patch.setattr(Leader, "conf_changed", changed)


def live_leader_not_protected(patch: Patch) -> None:
    """A member that hears its leader helps another to be elected."""
    patch.setattr(Raft, "_protects_leader", lambda raft: False)


def campaign_over_an_unapplied_change(patch: Patch) -> None:
    """A member campaigns by a configuration that a committed change has ended already."""
    patch.setattr(Raft, "_has_unapplied_conf_change", lambda raft: False)


def candidates_tell_no_commit(patch: Patch) -> None:
    """Whoever refuses a candidate's vote does not hear what the candidate knows to be committed."""
    original = Raft._learn_commit

    def learn(raft: Raft, message: Any) -> None:
        if isinstance(message, VoteResponse):
            original(raft, message)

    patch.setattr(Raft, "_learn_commit", learn)
