"""Many writes as one plan: made, looked at, then carried out in transactions that change a key only
if it is still as it was when the plan was made.

A plan is not one transaction (etcd bounds those), so others may see it half done; but nothing is
overwritten that the plan did not know. A plan that was broken off is resumed by making it again:
what is done already is no longer in it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, NamedTuple

from kvorum.client.ops import Compare, Delete, Get, Op, Put
from kvorum.client.types import KeyValue, RangeResult
from kvorum.limits import LOAD_CHUNK_BYTES, LOAD_CHUNK_OPS

if TYPE_CHECKING:
    from kvorum.client.session import Session


class Step(NamedTuple):
    """One key: as it is (None: it is missing) and the value it shall have (None: none, it goes).

    ``lease``: what the key shall hang on; 0 is none.
    """

    key: bytes
    before: KeyValue | None
    value: bytes | None
    lease: int = 0


class Conflict(NamedTuple):
    """A step that was left out because its key is no longer as it was; ``now`` is what it is."""

    step: Step
    now: KeyValue | None


class Outcome(NamedTuple):
    """What came of a plan."""

    done: int
    conflicts: tuple[Conflict, ...]
    revision: int


async def restoring(
    session: Session, start: bytes, end: bytes, revision: int
) -> AsyncGenerator[Step, None]:
    """What makes a range as it was at ``revision``, in key order. Keys that were written again with
    the value they had stay as they are. A key that is there keeps its lease; one that comes back
    hangs on none: its lease has ended with it, or would take it away again at any moment.
    Raises CompactedError when the revision is gone.
    """
    # The revision of now is pinned first, so that both sides are whole states.
    now = (await session.range(start, end, limit=1, keys_only=True)).header.revision
    then = session.scan(start, end, revision=revision)
    async for was, present in merged(then, session.scan(start, end, revision=now)):
        if was is None:
            assert present is not None, "a pair has a side"
            yield Step(present.key, present, None)
        elif present is None or present.value != was.value:
            yield Step(was.key, present, was.value, present.lease if present else 0)


async def merged(
    one: AsyncIterator[KeyValue], other: AsyncIterator[KeyValue]
) -> AsyncGenerator[tuple[KeyValue | None, KeyValue | None], None]:
    """Two sequences in key order as pairs with the same key; None where a side has it not."""
    left, right = await _next(one), await _next(other)
    while left is not None or right is not None:
        if right is None or (left is not None and left.key < right.key):
            yield left, None
            left = await _next(one)
        elif left is None or right.key < left.key:
            yield None, right
            right = await _next(other)
        else:
            yield left, right
            left, right = await _next(one), await _next(other)


async def _next(items: AsyncIterator[KeyValue]) -> KeyValue | None:
    return await anext(items, None)


async def carry_out(
    session: Session,
    steps: AsyncGenerator[Step, None],
    told: Callable[[int], None] = lambda done: None,
) -> Outcome:
    """Do it; ``told`` hears of the number of steps done after each transaction.

    Raises a ClientError; what was done before it stays done, and of the transaction that was under
    way an ``UnknownOutcome`` says that it may be.
    """
    done, revision = 0, 0
    conflicts: list[Conflict] = []
    async with aclosing(steps):
        async for chunk in _chunks(steps):
            left = chunk
            while left:
                now, revision = await _attempt(session, left)
                if not now:
                    done += len(left)
                    told(done)
                    break
                pairs = list(zip(left, now, strict=True))
                conflicts += [Conflict(*pair) for pair in pairs if _is_other(*pair)]
                left = [step for step, found in pairs if not _is_other(step, found)]
    return Outcome(done, tuple(conflicts), revision)


async def _attempt(session: Session, steps: Sequence[Step]) -> tuple[list[KeyValue | None], int]:
    """One transaction; when a key is not as it was, how all of them are instead, else nothing."""
    result = await (
        session.txn()
        .if_(*(Compare("mod", step.key, "=", _version(step.before)) for step in steps))
        .then(*map(_op, steps))
        .else_(*(Get(step.key) for step in steps))
        .commit()
    )
    if result.succeeded:
        return [], result.header.revision
    found: list[KeyValue | None] = []
    for answer in result.responses:
        assert isinstance(answer, RangeResult), "the other branch only reads"
        found.append(answer.kvs[0] if answer.kvs else None)
    return found, result.header.revision


def _op(step: Step) -> Op:
    if step.value is None:
        return Delete(step.key)
    return Put(step.key, step.value, lease=step.lease)


def _is_other(step: Step, now: KeyValue | None) -> bool:
    return _version(now) != _version(step.before)


def _version(kv: KeyValue | None) -> int:
    return 0 if kv is None else kv.mod_revision


async def _chunks(steps: AsyncIterator[Step]) -> AsyncGenerator[list[Step], None]:
    """Steps that fit into a transaction each."""
    chunk: list[Step] = []
    weight = 0
    async for step in steps:
        size = 2 * len(step.key) + len(step.value or b"")
        if chunk and (len(chunk) >= LOAD_CHUNK_OPS or weight + size > LOAD_CHUNK_BYTES):
            yield chunk
            chunk, weight = [], 0
        chunk.append(step)
        weight += size
    if chunk:
        yield chunk
