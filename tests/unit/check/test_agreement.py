"""The fast judge and the exhaustive search agree on random small histories, good and spoiled."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from kvorum.check.judge import judge
from kvorum.check.records import History, LeaseAnswer, RangeAnswer
from kvorum.check.search import search
from unit.check.mutations import copied
from unit.check.reference import make

# What the search looks at; everything else is about watches, members and leases.
KV_RULES = {
    "stale_read",
    "write_order",
    "revision_shared",
    "revision_missing",
    "unexplained",
    "wrong_answer",
    "wrong_read",
    "lost_write",
}


def small(random: Random, dump: bool) -> History:
    """A dozen operations, without what the search does not look at: watches, serializable reads,
    the revisions in answers about leases."""
    history = make(random, 12, watches=0, dump=dump, leases=dump, unknown=0.25)
    history.operations = [
        op._replace(revision=0) if isinstance(op.answer, LeaseAnswer) else op
        for op in history.operations
        if not getattr(op.request, "serializable", False)
    ]
    history.quiet = None
    return history


def spoil(history: History, random: Random) -> None:
    """Turn some screw of one operation; the history may well stay right."""
    if not history.operations:
        return
    place = random.randrange(len(history.operations))
    op = history.operations[place]
    turn = random.randrange(6)
    if isinstance(op.answer, LeaseAnswer):
        return  # The search does not look at leases.
    if turn == 0 and op.answer is not None and op.revision:
        op = op._replace(revision=max(1, op.revision + random.choice((-1, 1))))
    elif turn == 1 and isinstance(op.answer, RangeAnswer) and op.answer.kvs:
        op = op._replace(answer=RangeAnswer(op.answer.kvs[1:], op.answer.total - 1))
    elif turn == 2:
        by = random.randrange(-400, 400) * 1_000_000
        late = op.returned + by if op.returned >= 0 else op.returned
        op = op._replace(called=op.called + by, returned=late)
    elif turn == 3 and op.answer is not None:
        op = op._replace(answer=None, unknown=True, revision=0, returned=-1)
    elif turn == 4 and op.answer is not None:
        op = op._replace(answer=None, error="NO_SPACE", revision=0)
    elif turn == 5:
        other = random.choice(history.operations)
        if type(other.answer) is type(op.answer):
            op = op._replace(answer=other.answer, revision=other.revision)
    history.operations[place] = op


def refused(history: History) -> bool:
    """Whether the fast judge has something against it that the search would see."""
    rules = {finding.rule for finding in judge(history).findings}
    assert "undecided" not in rules
    return bool(rules & KV_RULES)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.integers(0, 1 << 32), st.booleans())
def test_they_agree_on_good_histories(seed: int, dump: bool) -> None:
    history = small(Random(seed), dump)
    assert search(history).order is not None
    assert not refused(history)


@settings(max_examples=1_500, deadline=None, derandomize=True)
@given(st.integers(0, 1 << 32), st.booleans(), st.integers(1, 2))
def test_they_agree_on_spoiled_histories(seed: int, dump: bool, times: int) -> None:
    random = Random(seed)
    history = copied(small(random, dump))
    for _ in range(times):
        spoil(history, random)
    assert refused(history) == (search(history).order is None)
