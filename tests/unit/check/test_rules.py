"""Rules that the thousand mutations do not reach, and judgements of histories made by hand."""

from __future__ import annotations

import pytest
from kvorum.check.judge import RULES, judge
from kvorum.check.model import Impossible, Store, execute
from kvorum.check.records import (
    NEVER,
    Applied,
    Compact,
    Compare,
    Delete,
    DeleteAnswer,
    Digest,
    Done,
    Dump,
    Event,
    Fault,
    Grant,
    History,
    Hold,
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
    Txn,
    TxnAnswer,
    Watch,
)

S = 1_000_000_000


def history(*operations: Operation, run: Run | None = None) -> History:
    return History(run=run or Run(), operations=list(operations))


def rules(judged: History) -> list[str]:
    return [finding.rule for finding in judge(judged).findings]


def put(number: int, called: int, returned: int, revision: int, value: bytes = b"v") -> Operation:
    return Operation(number, number, called, Put(b"k", value), returned, PutAnswer(), revision)


def get(number: int, called: int, returned: int, revision: int, *kvs: Kv) -> Operation:
    answer = RangeAnswer(kvs, len(kvs))
    return Operation(number, number, called, Range(b"k"), returned, answer, revision)


ONE = Kv(b"k", b"v", 2, 2, 1)


def test_nothing_is_wrong_with_nothing() -> None:
    assert judge(History()).ok


def test_an_unknown_write_is_placed_by_a_read() -> None:
    unknown = Operation(1, 1, 1, Put(b"k", b"v"), unknown=True)
    verdict = judge(history(unknown, get(2, 5, 6, 2, ONE)))
    assert verdict.ok
    assert verdict.placed == {1: 2}


def test_an_unknown_write_is_not_seen_before_it_was_called() -> None:
    unknown = Operation(1, 1, 9, Put(b"k", b"v"), unknown=True)
    (finding,) = judge(history(unknown, get(2, 5, 6, 2, ONE))).findings
    assert finding.rule == "unexplained"
    assert "operation 1 would fit: but it was called after operation 2 knew of it" in finding.text


def test_a_choice_is_taken_back_when_a_later_read_contradicts_it() -> None:
    """Two unknown writes, one revision: the first that fits is the wrong one."""
    first = Operation(1, 1, 1, Put(b"a", b"1"), unknown=True)
    second = Operation(2, 2, 1, Put(b"k", b"v"), unknown=True)
    other = Operation(3, 3, 5, Put(b"b"), 6, PutAnswer(), 3)
    range_ = Operation(
        4, 3, 7, Range(b"a", b"l", keys_only=True), 8,
        RangeAnswer((Kv(b"b", b"", 3, 3, 1), Kv(b"k", b"", 2, 2, 1)), 2), 3,
    )  # fmt: skip
    verdict = judge(history(first, second, other, range_))
    assert verdict.findings == ()
    assert verdict.placed == {2: 2}


def test_concurrent_operations_may_be_seen_in_any_order() -> None:
    assert judge(history(put(1, 1, 10, 2), get(2, 2, 9, 1), get(3, 2, 9, 2, ONE))).ok


def test_a_read_that_returned_is_not_overtaken_by_an_older_one() -> None:
    stale = history(put(1, 1, 10, 2), get(2, 2, 3, 2, ONE), get(3, 4, 5, 1))
    assert rules(stale) == ["stale_read"]


def test_what_a_watcher_was_told_is_known_too() -> None:
    judged = history(put(1, 1, 10, 2), get(2, 6, 7, 1))
    judged.watches = [Watch(1, 9, 0, b"k", start=2)]
    judged.seen = [
        Seen(1, 1, 1, created=True),
        Seen(1, 5, 2, (Event("PUT", ONE),)),
    ]
    assert rules(judged) == ["stale_read"]


def test_serializable_reads_may_be_stale_but_not_torn() -> None:
    old = Operation(2, 2, 20, Range(b"k", serializable=True), 21, RangeAnswer(), 1)
    assert judge(history(put(1, 1, 10, 2), old)).ok
    torn = old._replace(revision=2)
    assert rules(history(put(1, 1, 10, 2), torn)) == ["wrong_read"]


def test_a_member_may_go_back_over_a_restart_only() -> None:
    old = Operation(2, 2, 20, Range(b"k", serializable=True), 21, RangeAnswer(), 1, member="n1")
    judged = history(put(1, 1, 10, 2)._replace(member="n1"), old)
    assert rules(judged) == ["member_went_back"]
    judged.faults = [Fault("kill", 15, 18, "n1")]
    assert judge(judged).ok
    judged.faults = [Fault("sever", 15, 18, "n1")]
    assert rules(judged) == ["member_went_back"]


def test_a_state_to_begin_with() -> None:
    kv = Kv(b"k", b"v", 30, 40, 5)
    judged = history(put(1, 1, 2, 42, b"w"), get(2, 3, 4, 42, Kv(b"k", b"w", 30, 42, 6)))
    judged.state = State(41, (kv,))
    assert judge(judged).ok
    judged.state = State(41)
    assert rules(judged) == ["wrong_read"]


def test_an_open_history_takes_the_dump_for_what_others_wrote() -> None:
    judged = history(get(1, 1, 2, 2, ONE), run=Run(closed=False))
    assert rules(judged) == ["unexplained"]
    judged.dumps = [Dump("n1", 2, 2)]
    judged.applied = [Applied("n1", 2, (Event("PUT", ONE),))]
    assert judge(judged).ok
    judged.run = Run()
    assert rules(judged) == ["unexplained"]


def test_what_others_wrote_may_be_compacted_before_the_dump() -> None:
    """Known by what was read of it, or not at all; an operation of unknown fate comes first."""
    two, four = ONE, Kv(b"k", b"w", 2, 4, 2)
    reads = (get(1, 1, 2, 2, two), get(2, 7, 8, 4, four))
    judged = history(*reads, run=Run(closed=False))
    judged.dumps = [Dump("n1", 5, 5)]
    judged.applied = [Applied("n1", 5, (Event("PUT", Kv(b"other", b"", 5, 5, 1)),))]
    assert judge(judged).ok
    mine = Operation(3, 3, 5, Put(b"k", b"w"), NEVER, None, 0)
    judged.operations.append(mine)
    assert judge(judged).ok
    judged.operations[1] = get(2, 7, 8, 4, two)
    judged.operations.append(get(4, 9, 10, 4, four))
    assert rules(judged) == ["wrong_read"]
    judged.dumps = [Dump("n1", 4, 5)]
    assert "unexplained" in rules(judged), "a dump that reaches so far knows nothing of it"


def test_leases_end_late_in_a_healthy_cluster_only() -> None:
    leased = Kv(b"k", b"v", 2, 2, 1, 7)
    grant = Operation(1, 1, 0, Grant(2), 1, LeaseAnswer(2, 0, 7), 1)
    attach = Operation(2, 1, 2, Put(b"k", b"v", 7), 3, PutAnswer(), 2)
    late = get(3, 6 * S, 6 * S + 1, 2, leased)
    judged = history(grant, attach, late, run=Run(expiry_slack_ms=3_000))
    assert rules(judged) == ["lease_late"]
    judged.faults = [Fault("kill", 2 * S, 3 * S, "n1")]
    assert judge(judged).ok
    judged.faults = []
    judged.run = Run()
    assert judge(judged).ok


def test_a_fast_clock_may_end_a_lease_so_much_sooner() -> None:
    grant = Operation(1, 1, 0, Grant(6), 1, LeaseAnswer(6, 0, 7), 1)
    gone = Operation(2, 1, 4 * S, Renew(7), 5 * S + S // 2, LeaseAnswer(0), 1)
    assert rules(history(grant, gone)) == ["lease_early"]
    assert judge(history(grant, gone, run=Run(clock_rate_percent=120))).ok


def test_reads_below_a_compaction_are_refused() -> None:
    compact = Operation(3, 1, 20, Compact(3), 21, Done(), 3)
    old = Operation(4, 1, 30, Range(b"k", revision=2), 31, RangeAnswer((ONE,), 1), 3)
    writes = (put(1, 1, 2, 2), put(2, 3, 4, 3))
    assert rules(history(*writes, compact, old)) == ["wrong_compaction"]
    refused = old._replace(answer=None, error="COMPACTED", revision=0)
    assert judge(history(*writes, compact, refused)).ok


def test_a_lock_passes_on_when_its_lease_can_have_ended() -> None:
    grant = Operation(1, 1, 0, Grant(2), 1, LeaseAnswer(2, 0, 7), 1)
    judged = history(grant)
    judged.holds = [Hold(b"l", 1, 1, 2, NEVER, 5, 7), Hold(b"l", 2, 3, S, NEVER, 6, 8)]
    assert rules(judged) == ["lock_shared"]
    judged.holds[1] = Hold(b"l", 2, 3, 3 * S, NEVER, 6, 8)
    assert judge(judged).ok
    judged.holds = [Hold(b"l", 1, 1, 2, 4, 5, 7), Hold(b"l", 2, 3, 5, NEVER, 6, 8)]
    assert judge(judged).ok


def test_equal_digests_agree() -> None:
    judged = History(digests=[Digest("n1", 5, 1), Digest("n2", 5, 1), Digest("n3", 4, 2)])
    assert judge(judged).ok


def test_findings_of_one_rule_are_bounded() -> None:
    many = [put(1, 1, 2, 2), *(get(n, n * 10, n * 10 + 1, 1) for n in range(2, 102))]
    verdict = judge(history(*many))
    assert len(verdict.findings) == 20
    assert verdict.more == 80


@pytest.mark.parametrize(
    ("compare", "holds"),
    [
        (Compare("MOD", "EQUAL", b"k", number=2), True),
        (Compare("MOD", "GREATER", b"k", number=2), False),
        (Compare("VERSION", "LESS", b"k", number=2), True),
        (Compare("CREATE", "NOT_EQUAL", b"k", number=2), False),
        (Compare("LEASE", "EQUAL", b"k"), True),
        (Compare("VALUE", "EQUAL", b"k", value=b"v"), True),
        (Compare("VALUE", "GREATER", b"k", value=b"u"), True),
        (Compare("CREATE", "EQUAL", b"none"), True),
        (Compare("VALUE", "NOT_EQUAL", b"none", value=b"v"), False),
        (Compare("MOD", "GREATER", b"k", b"\0", number=1), True),
        (Compare("MOD", "GREATER", b"a", b"b", number=1), False),
    ],
)
def test_the_model_compares_as_etcd_does(compare: Compare, holds: bool) -> None:
    store = Store(State(2, (ONE,)))
    assert execute(store, Txn((compare,)))[1] == TxnAnswer(holds)


def test_the_model_does_a_transaction_in_one_revision() -> None:
    store = Store(State(2, (ONE,)))
    inner = Txn((Compare("MOD", "EQUAL", b"a"),), (Put(b"a", b"1"),), (Put(b"b", b"2"),))
    request = Txn((), (inner, Delete(b"k", prev_kv=True), Range(b"a", b"\0"), Delete(b"z")))
    events, answer = execute(store, request)
    new = Kv(b"a", b"1", 3, 3, 1)
    assert events == (Event("PUT", new), Event("DELETE", Kv(b"k", mod=3), ONE))
    assert answer == TxnAnswer(
        True,
        (
            TxnAnswer(True, (PutAnswer(),)),
            DeleteAnswer(1, (ONE,)),
            RangeAnswer((new,), 1),
            DeleteAnswer(0),
        ),
    )
    store.commit(3, events)
    assert store.live == {b"a": new}
    store.undo()
    assert store.live == {b"k": ONE}
    assert store.revision == 2


def test_the_model_refuses_what_cannot_be() -> None:
    store = Store(State(2, (ONE,)))
    for request in (
        Put(b"none", ignore_value=True),
        Range(b"k", revision=3),
    ):
        with pytest.raises(Impossible):
            execute(store, request)


def test_every_rule_says_what_it_is_about() -> None:
    assert all(text.endswith(".") for text in RULES.values())
