"""What raft refuses and no other test asks of it."""

from __future__ import annotations

import pytest
from kvorum.raft import (
    ConfChange,
    ConfChangeOp,
    Config,
    DropReason,
    EntryKind,
    HardState,
    InvariantViolation,
    membership,
)
from kvorum.raft.messages import ForwardProposal, ProposalRefused, VoteResponse
from unit.raft.build import elect, entries, member, settle


@pytest.mark.parametrize("percent", [-1, 101])
def test_a_share_of_the_log_is_a_percentage(percent: int) -> None:
    message = f"promote_percent must be from 0 to 100, not {percent}"
    with pytest.raises(ValueError, match=message):
        Config(id=1, promote_percent=percent)


def test_a_term_never_falls() -> None:
    raft = member(hard=HardState(5, 0, 0))
    with pytest.raises(InvariantViolation, match="term would fall from 5 to 4"):
        raft.become_follower(4, 2)
    assert raft.term == 5


def test_what_a_refused_vote_says_of_another_log_is_not_taken_over() -> None:
    """Entry 2 is committed there, in another term: nothing is known of the one here."""
    raft = member(log=entries(1, 1), hard=HardState(1, 0, 1))
    raft.campaign()
    settle(raft)
    raft.step(VoteResponse(1, 2, raft.term, False, True, 2, 2))
    assert raft.log.commit == 1
    raft.step(VoteResponse(1, 2, raft.term, False, True, 2, 1))
    assert raft.log.commit == 2


def test_a_forwarded_change_is_looked_for_in_this_term_only() -> None:
    """The leader cannot take one yet, and nothing of it is in the log: it is sent back."""
    raft = member(log=entries(1, 1), hard=HardState(1, 0, 1))
    elect(raft)
    other = membership.encode(ConfChange(((ConfChangeOp.ADD_LEARNER, 9),), b"other"))
    raft.step(ForwardProposal(1, 2, raft.term, EntryKind.CONF_CHANGE, other))
    said = [message for ready in settle(raft) for message in ready.messages]
    refused = ProposalRefused(2, 1, raft.term, DropReason.CONF_CHANGE_PENDING, other)
    assert refused in said
