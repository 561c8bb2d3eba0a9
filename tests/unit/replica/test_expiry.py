"""Leases' clocks: nothing ends early, nothing is kept that is of no more use."""

from __future__ import annotations

import random

from kvorum.limits import LEASE_ENDS_PER_SCAN, LEASE_REVOKES_PER_SCAN
from kvorum.replica.expiry import LeaseClocks


def running(*leases: tuple[int, int]) -> LeaseClocks:
    clocks = LeaseClocks(tick_ms=100, grace_ticks=0, retry_ticks=70)
    clocks.promote(0, leases)
    return clocks


def test_ends_are_due_at_the_tick_that_covers_the_ttl() -> None:
    clocks = running((1, 2))
    # It began somewhere within tick 0: the twentieth after that is the first to be whole.
    assert clocks.due(20) == []
    assert clocks.due(21) == [1]


def test_what_is_left_is_never_more_than_the_ttl() -> None:
    clocks = running((1, 2))
    assert clocks.remaining_ms(0, 1) == 2_000
    assert clocks.remaining_ms(20, 1) == 0 and not clocks.has_ended(20, 1)
    assert clocks.remaining_ms(21, 1) == 0 and clocks.has_ended(21, 1)


def test_an_end_is_due_once_until_its_time_to_be_proposed_again() -> None:
    clocks = running((1, 2))
    assert clocks.due(21) == [1]
    clocks.proposed(21, 1, accepted=True)
    assert clocks.due(90) == []
    assert clocks.due(91) == [1]


def test_an_end_that_raft_did_not_take_is_due_at_the_next_scan() -> None:
    clocks = running((1, 2))
    assert clocks.due(21) == [1]
    clocks.proposed(21, 1, accepted=False)
    assert clocks.due(25) == [1]


def test_a_renewal_moves_the_end_and_never_brings_it_nearer() -> None:
    clocks = LeaseClocks(tick_ms=100, grace_ticks=50, retry_ticks=70)
    clocks.promote(0, [(1, 2)])
    assert clocks.renew(10, 1, 2)
    assert clocks.due(69) == []
    assert clocks.renew(69, 1, 2)
    assert clocks.due(89) == []
    assert not clocks.has_ended(89, 1)
    assert clocks.has_ended(90, 1)
    assert not clocks.renew(90, 1, 2)
    assert clocks.due(90) == [1]


def test_a_scan_has_a_bound_and_the_next_goes_on() -> None:
    clocks = running()
    for lease in range(1, LEASE_REVOKES_PER_SCAN + 11):
        clocks.granted(0, lease, 1)
    first = clocks.due(11)
    for lease in first:
        clocks.proposed(11, lease, accepted=True)
    assert len(first) == LEASE_REVOKES_PER_SCAN
    assert sorted([*first, *clocks.due(15)]) == list(range(1, LEASE_REVOKES_PER_SCAN + 11))


def test_granting_and_revoking_leaves_nothing_behind() -> None:
    clocks = running()
    for _ in range(10_000):
        clocks.granted(0, 7, 1_000_000)
        clocks.gone(7)
    for lease in range(10_000):
        clocks.granted(0, lease, 1_000_000)
        clocks.gone(lease)
    assert len(clocks._heap) < 200


def test_clocks_that_do_not_run_know_nothing() -> None:
    clocks = running((1, 2))
    clocks.demote()
    clocks.granted(0, 2, 5)
    assert not clocks.active
    assert clocks.remaining_ms(0, 1) == clocks.remaining_ms(0, 2) == -1
    assert clocks.due(1_000) == []


def test_against_a_naive_model() -> None:
    """Grants, renewals, revocations and time at random: due is exactly what the model says."""
    rng = random.Random(5)
    clocks = running()
    ends: dict[int, int] = {}
    proposed: dict[int, int] = {}
    for now in range(1, 4_000):
        lease, ttl_s = rng.randrange(20), rng.randrange(1, 6)
        draw = rng.random()
        if draw < 0.2 and lease not in ends:
            clocks.granted(now, lease, ttl_s)
            ends[lease] = now + 10 * ttl_s + 1
        elif draw < 0.4 and lease in ends:
            alive = ends[lease] > now
            assert clocks.renew(now, lease, ttl_s) is alive
            if alive:
                ends[lease] = max(ends[lease], now + 10 * ttl_s + 1)
        elif draw < 0.45:
            clocks.gone(lease)
            ends.pop(lease, None)
            proposed.pop(lease, None)
        due = {x for x, at in ends.items() if at <= now and proposed.get(x, 0) <= now}
        found = clocks.due(now)
        assert len(found) == len(set(found))
        assert set(found) == due
        for x in found:
            accepted = rng.random() < 0.7
            clocks.proposed(now, x, accepted)
            proposed[x] = now + (70 if accepted else 1)


def ends(clocks: LeaseClocks, until: int) -> dict[int, list[int]]:
    """Which leases are due at each scan, when every end is agreed at once."""
    out = {}
    for now in range(0, until, 5):
        due = clocks.due(now)
        for lease in due:
            clocks.gone(lease)
        if due:
            out[now] = due
    return out


def test_a_promotion_spreads_ends_and_makes_none_earlier() -> None:
    leases = [(lease, 10 if lease < 9_000 else 12) for lease in range(10_000)]
    clocks = running(*leases)
    due = ends(clocks, 1_000)
    ended = {lease: now for now, batch in due.items() for lease in batch}
    assert len(ended) == 10_000 and not len(clocks)
    assert all(ended[lease] >= 10 * ttl_s for lease, ttl_s in leases)
    # Never more than three quarters of what may be revoked, so that others have their share.
    assert max(len(batch) for batch in due.values()) <= LEASE_REVOKES_PER_SCAN * 3 // 4
    # And none later than the crowd makes necessary.
    assert max(ended.values()) <= 100 + 5 * (10_000 // LEASE_ENDS_PER_SCAN + 1)


def test_a_few_leases_are_not_spread() -> None:
    clocks = running(*[(lease, 10) for lease in range(LEASE_ENDS_PER_SCAN)])
    assert {clocks.remaining_ms(0, lease) for lease in range(LEASE_ENDS_PER_SCAN)} == {10_000}


def test_spreading_leaves_those_alone_that_do_not_end_together() -> None:
    clocks = running(*[(lease, 10 + lease // 100) for lease in range(2_000)])
    due = ends(clocks, 1_000)
    assert {now: len(batch) for now, batch in due.items()} == {
        105 + 10 * second: 100 for second in range(20)
    }
