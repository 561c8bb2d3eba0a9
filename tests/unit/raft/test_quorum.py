"""Majorities against a count by hand, for every small configuration."""

from __future__ import annotations

from itertools import combinations, product

import pytest
from kvorum.raft import ConfState
from kvorum.raft.quorum import VoteResult, has_quorum, majority, quorum_value, vote_result

HALVES = [(1,), (1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (1, 2, 3, 4), (1, 2, 3, 4, 5)]
CONFS = [ConfState(new, (), old) for new in HALVES for old in [(), *HALVES]]


@pytest.mark.parametrize("count", range(1, 10))
def test_two_majorities_share_a_member(count: int) -> None:
    assert 2 * majority(count) > count
    assert 2 * (majority(count) - 1) <= count


@pytest.mark.parametrize("conf", CONFS)
def test_M11_a_quorum_is_a_majority_of_every_half(conf: ConfState) -> None:
    halves = [half for half in (conf.voters, conf.voters_outgoing) if half]
    for size in range(6):
        for group in combinations(range(1, 6), size):
            expected = all(2 * len(set(half) & set(group)) > len(half) for half in halves)
            assert has_quorum(conf, group) == expected


@pytest.mark.parametrize("conf", CONFS)
def test_the_quorum_value_is_the_greatest_that_a_quorum_has_reached(conf: ConfState) -> None:
    for values in product((0, 3, 7), repeat=5):
        reached = dict(zip(range(1, 6), values, strict=True))
        expected = max(
            value
            for value in (0, 3, 7)
            if has_quorum(conf, [m for m in reached if reached[m] >= value])
        )
        assert quorum_value(conf, reached.__getitem__) == expected


@pytest.mark.parametrize("conf", CONFS)
def test_an_election_is_lost_when_it_can_no_longer_be_won(conf: ConfState) -> None:
    for answers in product((None, False, True), repeat=5):
        votes = {m: a for m, a in zip(range(1, 6), answers, strict=True) if a is not None}
        won = has_quorum(conf, [m for m in range(1, 6) if votes.get(m)])
        winnable = has_quorum(conf, [m for m in range(1, 6) if votes.get(m, True)])
        expected = VoteResult.WON if won else VoteResult.PENDING if winnable else VoteResult.LOST
        assert vote_result(conf, votes) is expected


def test_without_voters_nothing_is_ever_decided() -> None:
    assert not has_quorum(ConfState(), (1, 2, 3))
    assert quorum_value(ConfState(), lambda _: 9) == 0
    assert vote_result(ConfState(), {1: True}) is VoteResult.LOST


def test_votes_of_learners_and_strangers_do_not_count() -> None:
    conf = ConfState((1, 2, 3), (4, 5))
    assert vote_result(conf, {1: True, 4: True, 5: True, 9: True}) is VoteResult.PENDING
