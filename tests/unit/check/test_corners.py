"""Corners of the judge that neither generated histories nor their mutations reach."""

from __future__ import annotations

import pytest
from kvorum.check import judge as judging
from kvorum.check import order
from kvorum.check.judge import judge
from kvorum.check.part import REVISIONS_MAX, shortest
from kvorum.check.records import (
    Applied,
    Compact,
    Done,
    Dump,
    Event,
    Expiry,
    Fault,
    Grant,
    History,
    Kv,
    LeaseAnswer,
    Operation,
    Put,
    PutAnswer,
    Range,
    RangeAnswer,
    Renew,
    Run,
    Seen,
    State,
    TimeLeft,
    Txn,
    TxnAnswer,
    Watch,
)
from kvorum.check.search import TooLong, search
from kvorum.check.timeline import LANES_MAX, render
from kvorum.check.verdict import Finding
from unit.check.test_rules import ONE, S, get, history, put, rules


def unknown(number: int, request: Put | Txn, called: int = 1) -> Operation:
    return Operation(number, number, called, request, unknown=True)


# --- reads ----------------------------------------------------------------------------------------


def test_what_is_older_than_the_first_state_is_counted_and_not_judged() -> None:
    before = get(1, 1, 2, 30, Kv(b"k", b"?", 9, 9, 1))
    asked = Operation(2, 1, 3, Range(b"k", revision=12), 4, RangeAnswer((ONE,), 1), 41)
    judged = history(before, asked)
    judged.state = State(41)
    verdict = judge(judged)
    assert verdict.ok
    assert verdict.figures.beyond_judgement == 2


def test_a_count_is_judged() -> None:
    counted = Operation(2, 2, 5, Range(b"k", count_only=True), 6, RangeAnswer((), 1), 2)
    assert judge(history(put(1, 1, 2, 2), counted)).ok
    assert rules(history(put(1, 1, 2, 2), counted._replace(answer=RangeAnswer()))) == ["wrong_read"]


@pytest.mark.parametrize(("serializable", "found"), [(False, ["stale_read"]), (True, [])])
def test_a_transaction_of_reads_is_as_fresh_as_its_freshest(
    serializable: bool, found: list[str]
) -> None:
    request = Txn((), (Range(b"k", serializable=True), Range(b"x", serializable=serializable)))
    answer = TxnAnswer(True, (RangeAnswer(), RangeAnswer()))
    assert rules(history(put(1, 1, 2, 2), Operation(2, 2, 5, request, 6, answer, 1))) == found


def test_a_read_does_not_see_what_comes_after_it() -> None:
    later = Operation(1, 1, 1, Range(b"k"), 2, RangeAnswer((Kv(b"k", b"v", 2, 9, 8),), 1), 2)
    assert "wrong_read" in rules(history(put(2, 1, 2, 2), later))


def test_a_stale_member_may_still_read_what_is_compacted() -> None:
    compact = Operation(3, 3, 6, Compact(3), 7, Done(), 3)
    old = Operation(4, 4, 8, Range(b"k", revision=2, serializable=True), 9, RangeAnswer((ONE,), 1))
    judged = history(put(1, 1, 2, 2), put(2, 3, 4, 3), compact, old._replace(revision=2))
    assert judge(judged).ok


def test_a_revision_of_the_future_may_be_refused() -> None:
    early = Operation(2, 2, 5, Range(b"k", revision=9), 6, error="FUTURE_REVISION")
    assert judge(history(put(1, 1, 2, 2), early)).ok


def test_progress_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "_STRIDE", 2)
    heard: list[tuple[str, int, int]] = []
    writes = [put(n, 10 * n, 10 * n + 1, n + 1) for n in range(1, 5)]
    judge(history(*writes), lambda *what: heard.append(what))
    assert [what for what in heard if what[0] == "revisions"] == [
        ("revisions", 2, 5),
        ("revisions", 4, 5),
    ]


# --- operations of unknown fate -------------------------------------------------------------------


def test_a_transaction_of_unknown_fate_that_may_put_a_key_twice() -> None:
    request = Txn((), (Put(b"k", b"v"),), (Put(b"k", b"w"),))
    verdict = judge(history(unknown(1, request), get(2, 5, 6, 2, ONE)))
    assert verdict.ok
    assert verdict.placed == {1: 2}


def undecidable() -> History:
    """Two choices of two that all end in a read that nothing can explain."""
    writes = [unknown(n, Put(b"abcd"[n - 1 : n], b"%d" % n)) for n in range(1, 5)]
    known = put(5, 20, 21, 4)
    wrong = Operation(6, 6, 30, Range(b"a", b"e"), 31, RangeAnswer((Kv(b"z", b"", 3, 3, 1),), 1), 4)
    return history(*writes, known, wrong)


def test_a_contradiction_that_no_choice_explains_is_a_finding() -> None:
    assert "undecided" not in rules(undecidable())
    assert rules(undecidable())


def test_too_many_choices_leave_the_question_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order, "CHOICES_MAX", 1)
    findings = judge(undecidable()).findings
    (open_,) = [finding for finding in findings if finding.rule == "undecided"]
    assert "dump a member's applied order to decide" in open_.text


def test_the_slow_judge_gives_up_aloud() -> None:
    writes = [put(n, 1, 100, n + 1) for n in range(1, 6)]
    with pytest.raises(TooLong, match="5 operations, 3 steps"):
        search(history(*writes), steps_max=3)


# --- leases ---------------------------------------------------------------------------------------


GRANT = Operation(1, 1, 0, Grant(6), 1, LeaseAnswer(6, 0, 7), 1)


def test_a_put_that_finds_no_lease_has_seen_its_end() -> None:
    refused = Operation(2, 1, S, Put(b"k", b"v", 7), 2 * S, error="LEASE_NOT_FOUND")
    (finding,) = judge(history(GRANT, refused)).findings
    assert finding.rule == "lease_early"
    assert "a put was told that there is no lease" in finding.text
    late = refused._replace(called=7 * S, returned=8 * S)
    assert judge(history(GRANT, late)).ok


def test_the_end_of_a_lease_that_nobody_recorded_says_nothing() -> None:
    judged = history(GRANT)
    judged.expiries = [Expiry(99, S), Expiry(7, 7 * S)]
    assert judge(judged).ok
    judged.expiries = [Expiry(99, S), Expiry(7, S)]
    assert rules(judged) == ["lease_early"]


def test_less_time_left_than_there_must_be() -> None:
    asked = Operation(2, 1, S, TimeLeft(7), S + 1, LeaseAnswer(3, 6), 1)
    (finding,) = judge(history(GRANT, asked)).findings
    assert (finding.rule, finding.operations) == ("lease_ttl", (2,))
    assert "had 3 s left; it must have been 4 at least" in finding.text
    assert judge(history(GRANT, asked._replace(answer=LeaseAnswer(4, 6)))).ok


def test_late_keys_are_only_those_of_leases_that_are_known_and_read_now() -> None:
    leased = Kv(b"k", b"v", 2, 2, 1, 7)
    short = GRANT._replace(request=Grant(2), answer=LeaseAnswer(2, 0, 7))
    attach = Operation(2, 1, 2, Put(b"k", b"v", 7), 3, PutAnswer(), 2)
    late = get(3, 9 * S, 9 * S + 1, 2, leased)
    run = Run(expiry_slack_ms=3_000)
    assert rules(history(short, attach, late, run=run)) == ["lease_late"]
    # The old state had it, that is no wonder; nor has a lease an end whose beginning nobody saw.
    assert judge(history(short, attach, late._replace(request=Range(b"k", revision=2)), run=run)).ok
    assert judge(history(attach, late, run=run)).ok
    # A renewal whose answer was lost may have been done.
    lost = Operation(4, 1, 2 * S, Renew(7), 3 * S, unknown=True)
    assert judge(history(short, attach, lost, late, run=run)).ok
    later = late._replace(called=20 * S, returned=20 * S + 1)
    assert rules(history(short, attach, lost, later, run=run)) == ["lease_late"]


# --- watches --------------------------------------------------------------------------------------


def watched(*seen: Seen, start: int = 0, prev_kv: bool = False) -> History:
    """Two puts of one key, and a watch of it."""
    judged = history(put(1, 1, 2, 2), put(2, 3, 4, 3, b"w"))
    judged.watches = [Watch(1, 9, 0, b"k", start=start, prev_kv=prev_kv)]
    judged.seen = list(seen)
    return judged


TWO = Kv(b"k", b"w", 2, 3, 2)
FIRST, SECOND = Event("PUT", ONE), Event("PUT", TWO)


def test_a_watch_without_a_start_begins_after_the_revision_it_was_created_at() -> None:
    created = Seen(1, 5, 2, created=True)
    assert judge(watched(created, Seen(1, 6, 3, (SECOND,)))).ok
    assert rules(watched(created, Seen(1, 6, 3, (FIRST, SECOND)))) == ["watch_resumable"]


def test_a_watch_is_not_told_more_than_its_header_says() -> None:
    created = Seen(1, 5, 1, created=True)
    assert rules(watched(created, Seen(1, 6, 2, (FIRST, SECOND)), start=2)) == ["watch_content"]


def test_what_was_before_may_be_left_out_where_it_is_compacted() -> None:
    seen = (Seen(1, 5, 1, created=True), Seen(1, 9, 3, (FIRST, SECOND)))
    assert rules(watched(*seen, start=2, prev_kv=True)) == ["watch_prev_kv"]
    judged = watched(*seen, start=2, prev_kv=True)
    judged.operations.append(Operation(3, 3, 6, Compact(3), 7, Done(), 3))
    assert judge(judged).ok


def test_a_watch_may_end_for_a_compaction_that_somebody_asked_for() -> None:
    seen = (Seen(1, 5, 3, created=True), Seen(1, 9, 3, canceled=True, compact_revision=3))
    assert rules(watched(*seen, start=2)) == ["watch_compacted"]
    judged = watched(*seen, start=2)
    judged.operations.append(Operation(3, 3, 6, Compact(3), 7, Done(), 3))
    assert judge(judged).ok


# --- parts and pictures ---------------------------------------------------------------------------


@pytest.mark.parametrize("with_seen", [True, False])
def test_a_part_spans_so_many_revisions(with_seen: bool) -> None:
    last = REVISIONS_MAX + 10
    judged = History(run=Run(closed=False))
    judged.state = State(1)
    kvs = [Kv(b"k", b"v", 2, n, n - 1) for n in range(2, last + 1)]
    judged.dumps = [Dump("n1", 2, last)]
    judged.applied = [Applied("n1", kv.mod, (Event("PUT", kv),)) for kv in kvs]
    judged.watches = [Watch(1, 9, 0, b"k", start=2)]
    judged.seen = [
        Seen(1, 1, 1, created=True),
        Seen(1, 2, 2, (Event("PUT", kvs[0]),)),
        Seen(1, 3, last, (Event("PUT", kvs[-1]),)),
    ][: 3 if with_seen else 0]
    watches = (1,) if with_seen else ()
    part = shortest(judged, Finding("watch_reliable", "", (), watches, (2, last)))
    assert part.state.revision == last - REVISIONS_MAX
    assert len(part.applied) == REVISIONS_MAX
    told = [event.kv.mod for seen in part.seen for event in seen.events]
    assert told == [last] * with_seen


def test_a_picture_of_more_than_it_has_room_for() -> None:
    """Lanes beyond the last are left out, faults beyond its times too."""
    many = [put(n, n * 1_000, n * 1_000 + 500, n + 1) for n in range(1, LANES_MAX + 3)]
    judged = history(*many)
    judged.watches = [Watch(1, 9, 0, b"k")]
    judged.seen = [Seen(1, 2_000, 3, created=True)]
    judged.faults = [
        Fault("kill", 10**9, 2 * 10**9, "n9"),
        Fault("sever", 1_000, 2_000, "n1"),
    ]
    picture = render(judged, Finding("watch_reliable", "x", (1,), (1,)))
    assert picture.count('rx="3"') == LANES_MAX
    assert "watch 1" not in picture
    assert "sever n1" in picture and "kill n9" not in picture


def test_a_picture_of_a_watch_says_what_each_message_was() -> None:
    judged = watched(Seen(1, 5, 1, created=True), Seen(1, 6, 2, (FIRST,)), Seen(1, 10**30, 9))
    picture = render(judged, Finding("watch_reliable", "x", (), (1,)))
    assert "watch 1: created" in picture and "watch 1: r2" in picture
