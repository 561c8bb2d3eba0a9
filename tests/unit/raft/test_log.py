"""The log by itself: its places, its indexes, and the reports of what is durable."""

from __future__ import annotations

import random

import pytest
from kvorum.raft import InvariantViolation
from kvorum.raft.log import Log
from unit.raft.build import entries, entry


def test_an_empty_log_ends_at_its_base() -> None:
    log = Log(5, 2, ())
    assert (log.first_index, log.last_index, log.last_term) == (6, 5, 2)
    assert (log.term_at(4), log.term_at(5), log.term_at(6)) == (None, 2, None)
    assert log.slice(0, 100) == ()


def test_a_gap_or_a_falling_term_is_refused() -> None:
    with pytest.raises(ValueError, match="entry 3/1 cannot follow 1/1"):
        Log(0, 0, [entry(1, 1), entry(3, 1)])
    with pytest.raises(ValueError, match="entry 2/1 cannot follow 1/2"):
        Log(0, 0, [entry(1, 2), entry(2, 1)])


def test_slices_are_cut_to_what_is_there() -> None:
    log = Log(0, 0, entries(1, 1, 2, 2))
    log.applied = 2
    log.compact(2)
    assert [e.index for e in log.slice(1, 4)] == [3]
    assert [e.index for e in log.slice(0, 99)] == [3, 4]
    assert log.slice(1, 2) == ()


def test_L13_a_slice_by_bytes_ends_before_the_limit_but_is_never_empty() -> None:
    log = Log(0, 0, [entry(i, 1, b"x" * 68) for i in range(1, 6)])  # 100 bytes each
    assert [e.index for e in log.slice_bytes(1, 6, 250)] == [1, 2]
    assert [e.index for e in log.slice_bytes(2, 6, 300)] == [2, 3, 4]
    assert [e.index for e in log.slice_bytes(3, 6, 1)] == [3]
    assert [e.index for e in log.slice_bytes(5, 6, 1)] == [5]
    assert log.slice_bytes(6, 6, 1) == ()


def test_L13_pages_of_committed_entries_leave_no_gap_and_repeat_nothing() -> None:
    rng = random.Random(3)
    for _ in range(50):
        log = Log(0, 0, [entry(i, 1, b"x" * rng.randrange(200)) for i in range(1, 40)])
        seen: list[int] = []
        while log.applying < 39:
            log.commit_to(min(39, log.commit + rng.randrange(5)))
            seen += [e.index for e in log.take_committed(rng.randrange(1, 600))]
        assert seen == list(range(1, 40))


def test_L8_the_hint_is_the_newest_place_of_at_most_that_term() -> None:
    log = Log(0, 0, entries(1, 1, 3, 3, 5, 5))
    assert log.newest_at_or_below(6, 9) == (6, 5)
    assert log.newest_at_or_below(6, 4) == (4, 3)
    assert log.newest_at_or_below(3, 4) == (3, 3)
    assert log.newest_at_or_below(99, 2) == (2, 1)
    assert log.newest_at_or_below(4, 0) == (0, 0)
    log.applied = 4
    log.compact(4)
    assert log.newest_at_or_below(6, 4) == (4, 3)
    assert log.newest_at_or_below(6, 2) == (0, 0)
    assert log.newest_at_or_below(3, 9) == (0, 0)


def test_L2_merging_keeps_what_is_equal_and_replaces_from_the_first_difference() -> None:
    log = Log(0, 0, entries(1, 1, 1, 2, 2))
    assert log.merge(1, (entry(2, 1), entry(3, 1))) == 0
    assert log.last_index == 5
    assert log.merge(2, (entry(3, 1), entry(4, 3))) == 4
    assert [e.term for e in log.slice(1, 99)] == [1, 1, 1, 3]
    assert log.merge(4, (entry(5, 3),)) == 0
    assert log.merge(5, ()) == 0
    assert (log.last_index, log.last_term) == (5, 3)


def test_L2_a_committed_entry_is_never_replaced() -> None:
    log = Log(0, 0, entries(1, 1, 1))
    log.commit_to(2)
    with pytest.raises(InvariantViolation, match="entry 2 is committed"):
        log.merge(1, (entry(2, 2),))
    assert log.merge(2, (entry(3, 2),)) == 3


def test_L4_commit_beyond_the_log_is_a_proof_of_loss() -> None:
    log = Log(0, 0, entries(1, 1))
    assert log.commit_to(2)
    assert not log.commit_to(1)
    with pytest.raises(InvariantViolation, match="entries that were acknowledged are gone"):
        log.commit_to(3)


def test_L9_a_report_is_lowered_by_a_truncation_after_it() -> None:
    log = Log(0, 0, entries(1))
    log.merge(1, (entry(2, 1), entry(3, 1), entry(4, 1)))
    assert len(log.take_unhanded(ticket=1)) == 3
    log.merge(2, (entry(3, 2), entry(4, 2)))
    assert [e.index for e in log.take_unhanded(ticket=2)] == [3, 4]
    log.stable_to(1)
    assert log.stable == 2
    log.stable_to(2)
    assert log.stable == 4


def test_L9_a_truncation_below_stable_lowers_it_at_once() -> None:
    log = Log(0, 0, entries(1, 1, 1))
    log.merge(1, (entry(2, 2),))
    assert (log.stable, log.handed, log.last_index) == (1, 1, 2)
    log.take_unhanded(ticket=1)
    log.take_unhanded(ticket=2)
    log.stable_to(2)
    assert log.stable == 2


def test_S2_a_restored_log_has_nothing_stable_until_the_snapshot_is() -> None:
    log = Log(0, 0, entries(1, 1))
    log.append(entry(3, 1))
    log.take_unhanded(ticket=1)
    log.restore(10, 4)
    assert (log.base_index, log.last_index, log.commit, log.stable) == (10, 10, 10, 0)
    log.take_unhanded(ticket=2)
    log.stable_to(1)
    assert log.stable == 0
    log.stable_to(2)
    assert log.stable == 10


def test_only_durable_entries_are_handed_out_to_be_applied() -> None:
    log = Log(0, 0, entries(1))
    log.append(entry(2, 1))
    log.commit_to(2)
    assert [e.index for e in log.take_committed(1000)] == [1]
    assert not log.has_committed()
    assert log.take_committed(1000) == ()
    log.take_unhanded(ticket=1)
    log.stable_to(1)
    assert log.has_committed()
    assert [e.index for e in log.take_committed(1000)] == [2]


def test_compaction_keeps_the_term_at_the_cut_and_goes_only_forward() -> None:
    log = Log(0, 0, entries(1, 2, 3))
    log.compact(2)
    assert (log.base_index, log.base_term, log.first_index) == (2, 2, 3)
    log.compact(1)
    assert log.base_index == 2
    assert log.is_up_to_date(3, 3)
    assert not log.is_up_to_date(2, 3)
    assert not log.is_up_to_date(9, 2)
    assert log.is_up_to_date(1, 4)
