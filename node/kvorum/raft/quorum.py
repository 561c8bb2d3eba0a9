"""Majorities, of one configuration or of two at once (thesis 3.4, 3.6.2, 4.3).

A decision of a joint configuration needs a majority of the new voters and, separately, one of the
outgoing voters. All functions take the ConfState and treat an empty outgoing half as absent.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from enum import Enum

from kvorum.raft.types import ConfState


class VoteResult(Enum):
    """Where an election stands."""

    PENDING = "pending"
    WON = "won"
    LOST = "lost"


def majority(count: int) -> int:
    """How many of `count` voters make a majority."""
    return count // 2 + 1


def has_quorum(conf: ConfState, members: Collection[int]) -> bool:
    """Whether these members contain a majority of every half in force. Nobody voting: never."""
    return bool(conf.voters) and all(
        sum(voter in members for voter in half) >= majority(len(half))
        for half in (conf.voters, conf.voters_outgoing)
        if half
    )


def quorum_value(conf: ConfState, value_of: Callable[[int], int]) -> int:
    """The greatest value that a quorum has reached, given what each voter has reached.

    With match indexes this is the index stored on a quorum; with acknowledged rounds, the round
    that a quorum has confirmed. 0 when nobody votes.
    """
    if not conf.voters:
        return 0
    value = _half_value(conf.voters, value_of)
    if conf.voters_outgoing:
        return min(value, _half_value(conf.voters_outgoing, value_of))
    return value


def _half_value(voters: tuple[int, ...], value_of: Callable[[int], int]) -> int:
    values = sorted(map(value_of, voters))
    return values[len(values) - majority(len(values))]


def vote_result(conf: ConfState, votes: Mapping[int, bool]) -> VoteResult:
    """Count an election: `votes` holds the answers so far, from voters and others alike."""
    if has_quorum(conf, {voter for voter, granted in votes.items() if granted}):
        return VoteResult.WON
    not_refused = {
        voter
        for half in (conf.voters, conf.voters_outgoing)
        for voter in half
        if votes.get(voter, True)
    }
    return VoteResult.PENDING if has_quorum(conf, not_refused) else VoteResult.LOST
