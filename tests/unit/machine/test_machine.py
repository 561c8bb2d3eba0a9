"""What scripts and the model do not reach: misuse, bounds, and small functions of their own."""

from __future__ import annotations

import pytest
from kvorum import limits
from kvorum.errors import Condition
from kvorum.machine.apply import ApplyError, Machine
from kvorum.machine.commands import (
    AlarmSet,
    Command,
    Compact,
    Compare,
    DeleteRange,
    Envelope,
    LeaseGrant,
    Noop,
    Put,
    Range,
    Txn,
)
from kvorum.machine.compaction import survives
from kvorum.machine.digest import HistoricalHash
from kvorum.machine.events import PUT, Event
from kvorum.machine.keyspace import select
from kvorum.machine.members import Member, MemberTable
from kvorum.machine.record import make_frame
from kvorum.machine.results import HistoricalRange, RangeResult, TxnResult
from kvorum.machine.txn import all_serializable, fill_historical, historical_ranges, is_read_only
from kvorum.machine.window import Window


def machine_after(*commands: Command) -> Machine:
    machine = Machine()
    for index, command in enumerate(commands, 1):
        machine.apply(index, 1, Envelope(0, 0, 0, "", 0, command))
    return machine


@pytest.mark.parametrize(("index", "term"), [(1, 1), (3, 1), (2, 0), (0, 1)])
def test_entries_come_in_order(index: int, term: int) -> None:
    machine = machine_after(Noop())
    with pytest.raises(ApplyError, match=f"entry {index} of term {term} after entry 1 of term 1"):
        machine.apply(index, term, Envelope(0, 0, 0, "", 0, Noop()))
    assert machine.applied_index == 1


def test_reading_does_not_write() -> None:
    machine = machine_after(Put(b"a", b"1"))
    with pytest.raises(ValueError, match="may write"):
        machine.read(Txn((), (Put(b"a", b"2"),), ()))


def test_only_the_entry_matters() -> None:
    """Who proposed it, when, and who waits makes no difference to the state."""
    one, two = Machine(), Machine()
    one.apply(1, 1, Envelope(5, 1_000, 1, "alice", 3, Put(b"a", b"1")))
    two.apply(1, 1, Envelope(0, 2_000, 2, "", 0, Put(b"a", b"1")))
    assert one.digest == two.digest
    assert one.image() == two.image()


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (Put(b"a", b"1"), Put(b"a", b"2")),
        (LeaseGrant(1, 60), LeaseGrant(1, 61)),
        (Put(b"a", b"1", 7), Put(b"a", b"1")),
        (Noop(), AlarmSet(1, 1, 1)),
        (Compact(0), Compact(1)),
    ],
)
def test_the_digest_tells_entries_apart(one: Command, two: Command) -> None:
    assert machine_after(one).digest != machine_after(two).digest


def test_the_digest_tells_terms_and_indexes_apart() -> None:
    later = Machine()
    later.apply(1, 2, Envelope(0, 0, 0, "", 0, Noop()))
    digests = {Machine().digest, machine_after(Noop()).digest, later.digest}
    digests.add(machine_after(Noop(), Noop()).digest)
    assert len(digests) == 4


def test_old_hashes_are_the_history_s() -> None:
    machine = machine_after(*[Put(b"a", b"%d" % n) for n in range(5)])
    machine.window.drop_below(4)
    assert machine.hash_kv(2) == HistoricalHash(2, -1)
    assert machine.hash_kv(-1) == machine.hash_kv(6)


def test_is_read_only_and_serializable() -> None:
    get, local = Range(b"a"), Range(b"a", serializable=True)
    assert is_read_only(Txn((), (get,), (local,)))
    assert is_read_only(Txn())
    assert not is_read_only(Txn((), (get,), (DeleteRange(b"a"),)))
    assert not is_read_only(Txn((), (Txn((), (get,), ()),), ()))
    assert all_serializable(Txn((), (local,), (local,)))
    assert not all_serializable(Txn((), (local,), (get,)))
    assert not all_serializable(Txn((), (Put(b"a", b""),), ()))
    assert not all_serializable(Txn())


@pytest.mark.parametrize(
    ("compare", "holds"),
    [
        (Compare(b"a", 3, 0, 5), False),
        (Compare(b"empty", 3, 0, 5), True),
        (Compare(b"a", 0, 0, b"1"), False),
        (Compare(b"a", 0, 1, b"1"), True),
        (Compare(b"missing", 4, 0, b"x"), True),
    ],
)
def test_an_operand_of_the_wrong_kind_is_zero(compare: Compare, holds: bool) -> None:
    machine = machine_after(Put(b"a", b"1"), Put(b"empty", b""))
    result = machine.read(Txn((compare,)))
    assert isinstance(result, TxnResult) and result.succeeded == holds


def test_historical_ranges_are_filled_in_order() -> None:
    first, second = Range(b"a", revision=2), Range(b"b", revision=2)
    machine = machine_after(*[Put(b"a", b"%d" % n) for n in range(5)])
    machine.window.drop_below(5)
    txn = Txn((), (first, Txn((), (Range(b"a"), second), ()), Put(b"c", b"")), ())
    result = machine.apply(6, 1, Envelope(0, 0, 0, "", 0, txn)).result
    assert isinstance(result, TxnResult)
    wanted = list(historical_ranges(result))
    assert wanted == [HistoricalRange(first, 2, 6), HistoricalRange(second, 2, 6)]
    frame = make_frame(b"a", b"0", 2, 2, 1, 0)
    answers = [
        select(first, [frame], 1, wanted[0].header_revision),
        select(second, [], 0, wanted[1].header_revision),
    ]
    filled = fill_historical(result, iter(answers))
    assert filled.responses[0] == answers[0]
    inner = filled.responses[1]
    assert isinstance(inner, TxnResult) and inner.responses[1] == answers[1]
    assert not list(historical_ranges(filled))
    assert filled.responses[2] == result.responses[2]


@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("limit", [0, 1, 2, 9])
def test_select_cuts_what_the_history_gives_whole(order: int, limit: int) -> None:
    """The history gives all of a range; the answer is that of the present with the same keys."""
    puts = [Put(key, b"") for key in (b"a", b"b", b"c", b"d")]
    machine = machine_after(*puts)
    query = Range(b"a", b"z", limit=limit, sort_order=order, revision=5)
    everything = machine.read(Range(b"a", b"z"))
    assert isinstance(everything, RangeResult)
    assert select(query, everything.frames, 4, 5) == machine.read(query)


def events_at(revision: int, count: int = 1, size: int = 1) -> tuple[Event, ...]:
    frame = make_frame(b"k", b"v" * size, 2, revision, 1, 0)
    return tuple([Event(revision, sub, PUT, frame) for sub in range(count)])


def test_window_takes_no_gap() -> None:
    window = Window(1)
    window.append(events_at(2))
    for revision in (2, 4):
        with pytest.raises(ValueError, match=f"revision {revision} after 2"):
            window.append(events_at(revision))


def test_window_is_bounded_in_bytes_and_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WINDOW_BYTES", 10_000)
    monkeypatch.setattr(limits, "WINDOW_EVENTS", 10)
    monkeypatch.setattr(limits, "WINDOW_HARD_EVENTS", 20)
    window = Window(1)
    for revision in range(2, 8):
        window.append(events_at(revision, size=3_000))
    assert (window.floor, window.event_count) == (1, 6)  # Nothing is released yet.
    window.release(5)
    assert (window.floor, window.event_count) == (4, 3)
    assert window.size_bytes <= 10_000
    window.release(7)
    for revision in range(8, 13):
        window.append(events_at(revision, count=3))
        window.release(revision)
    assert (window.last, window.event_count) == (12, 9)
    assert not window.overfull
    for revision in range(13, 21):
        window.append(events_at(revision, count=3))
    assert window.overfull
    window.release(20)
    assert not window.overfull


def test_window_gives_its_dead_front_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WINDOW_EVENTS", 100)
    window = Window(1)
    for revision in range(2, 5_002):
        window.append(events_at(revision))
        window.release(revision)
    assert (window.floor, window.last, window.event_count) == (4_901, 5_001, 100)
    assert [event.revision for event in window.since(4_990)] == list(range(4_991, 5_002))
    found = window.events_since(4_950, b"k")
    assert found is not None and len(found.groups) == 52


def test_survival_of_versions() -> None:
    assert survives(5, None, False, 4)
    assert survives(5, None, True, 4)
    assert survives(3, None, False, 4)
    assert survives(3, 5, False, 4)
    assert not survives(3, 4, False, 4)
    assert survives(4, 9, True, 4)
    assert not survives(3, None, True, 4)


def test_members_of_a_bootstrap() -> None:
    members = (Member(9, "b", ("http://b:1",)), Member(4, "a", ("http://a:1",)))
    table = MemberTable(members)
    assert [member.id for member in table.all()] == [4, 9]
    assert (len(table), table.get(5)) == (2, None)


def test_ttl_bound_holds_at_apply_after_alarms() -> None:
    machine = Machine()
    command = LeaseGrant(1, limits.MAX_LEASE_TTL_S + 1)
    applied = machine.apply(1, 1, Envelope(0, 0, 0, "", 0, command))
    assert applied.result[0] is Condition.LEASE_TTL_TOO_LARGE
    machine.apply(2, 1, Envelope(0, 0, 0, "", 0, AlarmSet(1, 1, 2)))
    applied = machine.apply(3, 1, Envelope(0, 0, 0, "", 0, command))
    assert applied.result[0] is Condition.CORRUPT


def test_statistics_count() -> None:
    machine = machine_after(LeaseGrant(1, 60), Put(b"a", b"1", 1), Put(b"b", b"22"))
    figures = machine.statistics()
    frames = (make_frame(b"a", b"1", 2, 2, 1, 1), make_frame(b"b", b"22", 3, 3, 1, 0))
    assert figures.live_bytes == sum(map(len, frames))
    assert (figures.keys, figures.leases, figures.leased_keys) == (2, 1, 1)
    assert (figures.applied_index, figures.applied_term, figures.revision) == (3, 1, 3)
    assert figures.window_events == 2
