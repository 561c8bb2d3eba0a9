"""Ways to spoil a good history. Each says which rules may find it, and is only done where its own
reasoning says that the history cannot be right any more; otherwise it declines.

A mutation works on the recorded lines alone and knows what they mean: which answer is forced by
which revision, who had returned before whom was called.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from random import Random
from typing import Any

from kvorum.check.records import (
    DELETE,
    PUT,
    Applied,
    DeleteAnswer,
    Digest,
    Event,
    History,
    Kv,
    LeaseAnswer,
    Operation,
    Put,
    PutAnswer,
    Range,
    RangeAnswer,
    Txn,
    TxnAnswer,
)

Mutation = Callable[[History, Random], bool]
MUTATIONS: dict[str, tuple[Mutation, frozenset[str]]] = {}
S = 1_000_000_000


def mutation(*rules: str) -> Callable[[Mutation], Mutation]:
    """Register a way to spoil, with the rules of which one must find it."""

    def register(function: Mutation) -> Mutation:
        MUTATIONS[function.__name__] = (function, frozenset(rules))
        return function

    return register


def copied(history: History) -> History:
    """A history whose lists can be changed (lines are immutable)."""
    twin = copy(history)
    for name in ("operations", "watches", "seen", "expiries", "holds", "faults", "dumps"):
        setattr(twin, name, list(getattr(history, name)))
    twin.applied, twin.digests = list(history.applied), list(history.digests)
    return twin


def pick(history: History, random: Random, wanted: Callable[[Operation], bool]) -> int | None:
    """The place of any operation of a kind."""
    places = [n for n, op in enumerate(history.operations) if wanted(op)]
    return random.choice(places) if places else None


def change(history: History, place: int | None, **fields: Any) -> bool:
    """Replace fields of an operation; False where there is none."""
    if place is None:
        return False
    history.operations[place] = history.operations[place]._replace(**fields)
    return True


def is_read(op: Operation) -> bool:
    return isinstance(op.answer, RangeAnswer)


def truth(history: History, revision: int) -> dict[bytes, Kv]:
    """All keys at a revision, from the dump."""
    state: dict[bytes, Kv] = {}
    for row in history.applied:
        if row.member == history.dumps[0].member and row.revision <= revision:
            for event in row.events:
                state[event.kv.key] = event.kv
                if event.kind == DELETE:
                    del state[event.kv.key]
    return state


# --- answers --------------------------------------------------------------------------------------


@mutation("stale_read")
def read_is_stale(history: History, random: Random) -> bool:
    """A read is answered with the state before something that had returned before it."""
    pairs = [
        (place, other.revision)
        for place, op in enumerate(history.operations)
        if is_read(op)
        and not op.request.end
        and not (op.request.serializable or op.request.revision)
        for other in history.operations
        if other.acknowledged and other.revision > 1 and other.returned < op.called
    ]
    if not pairs:
        return False
    place, newest = random.choice(pairs)
    key, revision = history.operations[place].request.key, newest - 1
    kv = truth(history, revision).get(key)
    answer = RangeAnswer((kv,), 1) if kv else RangeAnswer()
    return change(history, place, answer=answer, revision=revision)


@mutation("wrong_read", "unexplained", "wrong_answer", "lost_write")
def read_sees_another_value(history: History, random: Random) -> bool:
    place = pick(history, random, lambda op: is_read(op) and bool(op.answer.kvs))
    if place is None:
        return False
    answer = history.operations[place].answer
    field = random.choice(["value", "create", "mod", "version", "lease"])
    kv = answer.kvs[0]
    other = kv._replace(**{field: b"never" if field == "value" else getattr(kv, field) + 1})
    return change(history, place, answer=answer._replace(kvs=(other, *answer.kvs[1:])))


@mutation("wrong_read")
def read_misses_a_key(history: History, random: Random) -> bool:
    place = pick(history, random, lambda op: is_read(op) and bool(op.answer.kvs))
    if place is None:
        return False
    answer = history.operations[place].answer
    return change(history, place, answer=RangeAnswer(answer.kvs[1:], answer.total - 1))


@mutation("wrong_read")
def read_counts_wrongly(history: History, random: Random) -> bool:
    place = pick(history, random, is_read)
    if place is None:
        return False
    answer = history.operations[place].answer
    wrong = random.choice(
        [answer._replace(total=answer.total + 1), answer._replace(more=not answer.more)]
    )
    return change(history, place, answer=wrong)


@mutation("wrong_answer", "wrong_read", "revision_shared", "unexplained", "lost_write")
def txn_is_told_the_other_branch(history: History, random: Random) -> bool:
    place = pick(history, random, lambda op: isinstance(op.answer, TxnAnswer))
    if place is None:
        return False
    op = history.operations[place]
    request = op.request
    assert isinstance(request, Txn)
    answer = TxnAnswer(
        not op.answer.succeeded, (PutAnswer() if not op.answer.succeeded else RangeAnswer(),)
    )
    return change(history, place, answer=answer)


@mutation("wrong_answer", "wrong_read", "revision_shared", "unexplained", "lost_write")
def deletion_is_told_another_count(history: History, random: Random) -> bool:
    place = pick(history, random, lambda op: isinstance(op.answer, DeleteAnswer))
    if place is None:
        return False
    answer = history.operations[place].answer
    return change(history, place, answer=answer._replace(deleted=answer.deleted + 1))


@mutation("wrong_answer", "wrong_read", "unexplained")
def put_is_told_another_before(history: History, random: Random) -> bool:
    place = pick(
        history,
        random,
        lambda op: isinstance(op.request, Put) and op.request.prev_kv and op.acknowledged,
    )
    if place is None:
        return False
    before = history.operations[place].answer.prev
    wrong = None if before else Kv(b"k0", b"never", 2, 2, 1)
    return change(history, place, answer=PutAnswer(wrong))


# --- the order ------------------------------------------------------------------------------------


def writers(history: History) -> list[int]:
    return [
        place
        for place, op in enumerate(history.operations)
        if op.acknowledged and isinstance(op.request, Put)
    ]


@mutation("lost_write", "wrong_answer", "write_order")
def revisions_are_swapped(history: History, random: Random) -> bool:
    """Of two puts of different values, each is told the other's revision."""
    places = writers(history)
    if len(places) < 2:
        return False
    one, other = random.sample(places, 2)
    a, b = history.operations[one].revision, history.operations[other].revision
    return change(history, one, revision=b) and change(history, other, revision=a)


@mutation("revision_shared")
def two_writes_share_a_revision(history: History, random: Random) -> bool:
    places = writers(history)
    if len(places) < 2:
        return False
    one, other = random.sample(places, 2)
    return change(history, one, revision=history.operations[other].revision)


@mutation("write_order", "stale_read")
def write_is_called_too_late(history: History, random: Random) -> bool:
    """A put is called after an operation that knew of a later revision had returned."""
    places = writers(history)
    pairs = [
        (place, other)
        for place in places
        for other in history.operations
        if other.acknowledged and other.revision > history.operations[place].revision
    ]
    if not pairs:
        return False
    place, other = random.choice(pairs)
    return change(history, place, called=other.returned + 1, returned=other.returned + 2)


@mutation("lost_write", "wrong_read", "revision_missing", "unexplained", "watch_content")
def last_write_is_lost(history: History, random: Random) -> bool:
    """The members' order ends before the newest revision, which an operation was told."""
    newest = max((op.revision for op in history.operations if op.acknowledged), default=0)
    told = [history.operations[place].revision for place in writers(history)]
    if newest not in told or newest < 3:
        return False
    history.dumps = [dump._replace(last=newest - 1) for dump in history.dumps]
    history.applied = [row for row in history.applied if row.revision < newest]
    return True


@mutation("lost_write")
def written_value_is_another(history: History, random: Random) -> bool:
    places = writers(history)
    if not places:
        return False
    revision = history.operations[random.choice(places)].revision
    for place, row in enumerate(history.applied):
        if row.revision == revision:
            events = tuple(e._replace(kv=e.kv._replace(value=b"other")) for e in row.events)
            history.applied[place] = row._replace(events=events)
    return True


@mutation("members_differ")
def one_member_differs(history: History, random: Random) -> bool:
    places = [n for n, row in enumerate(history.applied) if row.member == "n2"]
    if not places:
        return False
    place = random.choice(places)
    row = history.applied[place]
    events = (Event(PUT, Kv(b"k0", b"bent", 2, row.revision, 1)), *row.events[1:])
    history.applied[place] = row._replace(events=events)
    return True


@mutation("members_differ")
def digests_differ(history: History, random: Random) -> bool:
    history.digests += [Digest("n1", 9, 1, 2), Digest("n2", 9, 1, 2), Digest("n3", 9, 7, 2)]
    return True


@mutation("unexplained")
def refused_write_took_effect(history: History, random: Random) -> bool:
    """A put that nobody else can have done was refused, yet its revision is there."""
    places = writers(history)
    if not places:
        return False
    return change(history, random.choice(places), answer=None, error="NO_SPACE", revision=0)


@mutation("unexplained")
def write_is_done_twice(history: History, random: Random) -> bool:
    """The last put of the order comes once more, as if a client had sent it again."""
    places = writers(history)
    if not places:
        return False
    put = history.operations[random.choice(places)].request
    assert isinstance(put, Put)
    last = history.dumps[0].last
    old = truth(history, last).get(put.key)
    kv = Kv(
        put.key,
        put.value,
        old.create if old else last + 1,
        last + 1,
        old.version + 1 if old else 1,
        put.lease,
    )
    history.dumps = [dump._replace(last=last + 1) for dump in history.dumps]
    history.applied += [Applied(dump.member, last + 1, (Event(PUT, kv),)) for dump in history.dumps]
    return True


@mutation("revision_missing", "lost_write", "unexplained")
def a_revision_is_a_hole(history: History, random: Random) -> bool:
    revisions = sorted({row.revision for row in history.applied})
    if not revisions:
        return False
    gone = random.choice(revisions)
    history.applied = [row for row in history.applied if row.revision != gone]
    return True


@mutation("lost_write", "revision_missing", "wrong_read")
def a_revision_is_from_the_future(history: History, random: Random) -> bool:
    place = pick(
        history,
        random,
        lambda op: op.acknowledged and op.revision > 1 and not isinstance(op.answer, LeaseAnswer),
    )
    return change(history, place, revision=history.dumps[0].last + 3)


@mutation("member_went_back")
def member_goes_back(history: History, random: Random) -> bool:
    """A member answers a serializable read from before what it had answered."""
    ops = [op for op in history.operations if op.acknowledged and op.revision > 2 and op.member]
    if not ops:
        return False
    before = random.choice(ops)
    kv = truth(history, before.revision - 1).get(b"k0")
    answer = RangeAnswer((kv,), 1) if kv else RangeAnswer()
    back = before.returned
    request = Range(b"k0", serializable=True)
    history.operations.append(
        Operation(
            9999, 98, back + 1, request, back + 2, answer, before.revision - 1, 0, before.member
        )
    )
    return True


@mutation("term_went_back")
def term_goes_back(history: History, random: Random) -> bool:
    ops = [
        n
        for n, op in enumerate(history.operations)
        if op.acknowledged and op.member and op.revision
    ]
    pairs = [
        (a, b)
        for a in ops
        for b in ops
        if history.operations[a].member == history.operations[b].member
        and history.operations[a].returned < history.operations[b].called
    ]
    if not pairs:
        return False
    one, other = random.choice(pairs)
    return change(history, one, term=5) and change(history, other, term=4)


@mutation("wrong_compaction")
def compacted_without_a_compaction(history: History, random: Random) -> bool:
    place = pick(history, random, lambda op: is_read(op) and op.request.revision > 0)
    return change(history, place, answer=None, error="COMPACTED", revision=0)
