"""What a replica counts of what it does."""

from __future__ import annotations

from kvorum.machine import commands as c
from kvorum.machine.apply import Machine
from kvorum.machine.operations import Envelope
from kvorum.replica.tally import TTL_BOUNDS_S, Tally, Totals


def tallied(*commands: c.Command, leading: bool = False) -> Totals:
    """Totals of a machine that applied these commands."""
    machine, tally = Machine(), Tally()
    for index, command in enumerate(commands, 1):
        tally.applied(command, machine.apply(index, 1, Envelope(0, 0, 0, "", 0, command)), leading)
    return tally.read()


def moved(totals: Totals) -> dict[str, object]:
    """The counts that are not zero."""
    names = (name for name in Totals.__slots__ if name != "ttl_counts")
    return {name: getattr(totals, name) for name in names if getattr(totals, name)}


def test_keys() -> None:
    totals = tallied(
        c.Put(b"ab", b"cde"),
        c.Put(b"ab", b"", ignore_value=True),
        c.Put(b"no", b"", ignore_value=True),  # refused
        c.DeleteRange(b"ab"),
        c.DeleteRange(b"ab"),  # deletes nothing, and is one all the same
    )
    assert moved(totals) == {"puts": 2, "put_bytes": 10, "deletes": 2}


def test_transactions_count_what_they_did() -> None:
    inner = c.Txn((), (c.Put(b"b", b"22"), c.Range(b"a")), ())
    totals = tallied(
        c.Txn((), (c.Put(b"a", b"1"), c.Range(b"a"), inner, c.DeleteRange(b"z")), ()),
        c.Txn((), (c.Put(b"c", b"333"),), (c.Put(b"d", b""),)),
        c.Txn((), (), ()),
    )
    expected = {"puts": 3, "put_bytes": 9, "deletes": 1, "ranges": 2, "txns": 2}
    assert moved(totals) == expected


def test_leases() -> None:
    totals = tallied(
        c.LeaseGrant(1, 1),
        c.LeaseGrant(2, 60),
        c.LeaseGrant(2, 60),  # refused
        c.LeaseGrant(3, 2**30),
        c.Put(b"a", b"", 1),
        c.Put(b"b", b"", 2),
        c.LeaseRevoke(1),
        c.LeaseExpire((2, 3, 4), 1),
        c.LeaseExpire((5,), 9),  # of another term
    )
    assert moved(totals) == {
        "puts": 2,
        "put_bytes": 2,
        "deletes": 2,
        "leases_granted": 3,
        "leases_revoked": 3,
        "ttl_sum_s": 1 + 60 + 2**30,
    }
    buckets = dict(zip((*TTL_BOUNDS_S, "above"), totals.ttl_counts, strict=True))
    assert {bound: count for bound, count in buckets.items() if count} == {1: 1, 64: 1, "above": 1}


def test_compactions_that_were_refused_are_none() -> None:
    totals = tallied(c.Put(b"a", b""), c.Compact(2), c.Compact(2), c.Compact(99))
    assert totals.compactions == 1


def test_reads() -> None:
    machine, tally = Machine(), Tally()
    for query in (
        c.Range(b"a"),
        c.Range(b"a", revision=99),  # refused
        c.Txn((), (c.Range(b"a"), c.Range(b"b")), ()),
    ):
        tally.answered(machine.read(query))
    assert moved(tally.read()) == {"ranges": 3, "txns": 1}


def test_the_leader_counts_promotions() -> None:
    changes = (
        c.MemberAdd(1, ("http://a:1",)),
        c.MemberAdd(2, ("http://b:1",), True),
        c.MemberPromote(2),
        c.MemberPromote(2),  # refused
    )
    assert tallied(*changes, leading=True).promotions == 1
    assert tallied(*changes).promotions == 0
