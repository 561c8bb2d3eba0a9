"""Rounds of reads, forwarded reads, and the word of a departing leader, without a cluster."""

from __future__ import annotations

from kvorum.raft import ConfState
from kvorum.raft.departure import Departure
from kvorum.raft.reads import ForwardedReads, ReadRequest, ReadRounds

FIVE = ConfState((1, 2, 3, 4, 5))


def test_R9_a_round_takes_all_that_wait_and_later_reads_wait_for_the_next() -> None:
    rounds = ReadRounds()
    rounds.waiting = [ReadRequest(1, 10), ReadRequest(2, 20)]
    rounds.begin(commit=7)
    rounds.waiting.append(ReadRequest(1, 11))
    assert len(rounds) == 3
    rounds.acknowledge(2, 1)
    assert not rounds.is_confirmed(1, FIVE)
    rounds.acknowledge(3, 1)
    assert rounds.is_confirmed(1, FIVE)
    assert rounds.take_confirmed() == [(1, 10), (2, 20)]
    assert (rounds.index, len(rounds)) == (7, 1)
    assert not rounds.is_confirmed(1, FIVE), "nothing is in flight"


def test_R3_an_answer_counts_for_its_round_and_those_before_it_only() -> None:
    rounds = ReadRounds()
    rounds.waiting = [ReadRequest(1, 10)]
    rounds.acknowledge(2, 0)
    rounds.begin(commit=1)
    rounds.next_round()
    rounds.acknowledge(2, 2)
    rounds.acknowledge(2, 0)  # a late one takes nothing back
    rounds.acknowledge(3, 1)
    assert rounds.is_confirmed(1, FIVE)


def test_R4_only_voters_of_the_present_configuration_confirm() -> None:
    rounds = ReadRounds()
    rounds.waiting = [ReadRequest(1, 10)]
    rounds.begin(commit=1)
    rounds.acknowledge(2, 1)
    rounds.acknowledge(3, 1)
    joint = ConfState((1, 4, 5), (), (1, 2, 3))
    assert not rounds.is_confirmed(1, joint)
    rounds.acknowledge(4, 1)
    assert rounds.is_confirmed(1, joint)
    assert not rounds.is_confirmed(1, ConfState((4, 5))), "a leader that is out counts no more"


def test_R5_forwarded_reads_age_and_are_answered_once() -> None:
    reads = ForwardedReads(max_age=3)
    reads.add(1)
    assert reads.tick() == []
    reads.add(2)
    assert reads.tick() == []
    assert reads.tick() == [1]
    assert not reads.answered(1)
    assert reads.answered(2)
    assert not reads.answered(2)
    reads.add(3)
    assert reads.take_all() == [3]
    assert len(reads) == 0


def test_M5_only_an_answer_to_the_news_shows_that_it_is_known() -> None:
    departure = Departure(index=9)
    departure.sent(2, commit=8, round_=1)
    departure.sent(2, commit=9, round_=2)
    departure.sent(2, commit=9, round_=3)
    departure.answered(2, 1)
    departure.answered(3, 5)
    assert not departure.is_over(ConfState((2,)))
    departure.answered(2, 2)
    assert departure.is_over(ConfState((2,)))
    assert not departure.is_over(ConfState((2, 3)))
