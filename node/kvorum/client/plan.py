"""Many writes as one plan: made, looked at, then carried out in transactions that change a key only
if it is still as it was when the plan was made.

A plan is not one transaction (etcd bounds those), so others may see it half done; but nothing is
overwritten that the plan did not know. Steps of one group are in one transaction: all of them
happen or none (the two halves of a renamed key, the keys of an undone transaction). A plan that
was broken off is resumed by making it again, or, where its steps were kept, by what
:func:`still_to_do` says of them: what is done already is left out.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, NamedTuple

from kvorum.client.errors import ClientError, LeaseNotFoundError
from kvorum.client.ops import Compare, Delete, Get, Op, Put
from kvorum.client.types import KeyValue, RangeResult
from kvorum.errors import Condition
from kvorum.limits import LOAD_CHUNK_BYTES, LOAD_CHUNK_OPS

if TYPE_CHECKING:
    from kvorum.client.session import Session

CHANGED = "changed"
LEASE_GONE = "lease gone"
HELD = "held back"


class Step(NamedTuple):
    """One key: as it is (None: it is missing) and the value it shall have (None: none, it goes).

    ``lease``: what the key shall hang on; 0 is none. ``group``: steps that stand together and have
    the same number, other than 0, happen together or not at all.
    """

    key: bytes
    before: KeyValue | None
    value: bytes | None
    lease: int = 0
    group: int = 0


class Conflict(NamedTuple):
    """A step that was left out; ``now`` is what its key is instead.

    ``why``: somebody CHANGED the key since the plan was made, the lease it shall hang on is gone
    (LEASE_GONE), or it was HELD back because another step of its group could not be done.
    """

    step: Step
    now: KeyValue | None
    why: str = CHANGED


class Outcome(NamedTuple):
    """What came of a plan. ``revision`` is that of the last transaction. ``stopped``: there are
    steps that were not tried."""

    done: int
    conflicts: tuple[Conflict, ...]
    revision: int
    stopped: bool = False


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
        step = restored(was, present)
        if step is not None:
            yield step


def restored(was: KeyValue | None, present: KeyValue | None) -> Step | None:
    """What makes one key as it was, as :func:`restoring` says; None when it is."""
    if was is None:
        return None if present is None else Step(present.key, present, None)
    if present is None:
        return Step(was.key, None, was.value)
    return None if present.value == was.value else Step(was.key, present, was.value, present.lease)


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
    *,
    wrote: Callable[[Sequence[Step], int], None] = lambda steps, revision: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Do it. ``told`` hears of the number of steps done after each transaction, ``wrote`` which
    those were and at which revision. ``stopped`` is asked between transactions.

    Raises a ClientError; what was done before it stays done, and of the transaction that was under
    way an ``UnknownOutcome`` says that it may be.
    """
    done, revision, broken_off = 0, 0, False
    conflicts: list[Conflict] = []

    def count(part: Sequence[Step], at: int) -> None:
        nonlocal done, revision
        done, revision = done + len(part), at
        wrote(part, at)
        told(done)

    async with aclosing(steps):
        async for chunk in _chunks(steps):
            if stopped():
                broken_off = True
                break
            conflicts += await _settle(session, chunk, count)
    return Outcome(done, tuple(conflicts), revision, broken_off)


async def _settle(
    session: Session, chunk: list[Step], count: Callable[[Sequence[Step], int], None]
) -> list[Conflict]:
    """Do what can be done of a chunk; what cannot is said."""
    conflicts: list[Conflict] = []
    waiting = [chunk]
    while waiting:
        left = waiting.pop()
        if not left:
            continue
        try:
            now, revision = await _attempt(session, left)
        except LeaseNotFoundError:
            now = await _as_they_are(session, left)
            gone = await _gone_leases(session, left)
            if not gone:
                raise
        except ClientError as error:
            halves = _halves(left)
            if error.condition is not Condition.TOO_MANY_OPS or len(halves) == 1:
                raise
            waiting += reversed(halves)
            continue
        else:
            gone = frozenset()
            if not now:
                count(left, revision)
                continue
        refused = _refused(left, now, gone)
        conflicts += refused
        out = {conflict.step.key for conflict in refused}
        waiting.append([step for step in left if step.key not in out])
    return conflicts


def _refused(
    steps: Sequence[Step], now: Sequence[KeyValue | None], gone: frozenset[int]
) -> list[Conflict]:
    """Steps that cannot be done, and with them the others of their groups."""
    whys: dict[bytes, str] = {}
    for step, found in zip(steps, now, strict=True):
        if _version(found) != _version(step.before):
            whys[step.key] = CHANGED
        elif step.value is not None and step.lease in gone:
            whys[step.key] = LEASE_GONE
    held = {step.group for step in steps if step.group and step.key in whys}
    return [
        Conflict(step, found, whys.get(step.key, HELD))
        for step, found in zip(steps, now, strict=True)
        if step.key in whys or step.group in held
    ]


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
    return _found(result.responses), result.header.revision


def _found(answers: Sequence[object]) -> list[KeyValue | None]:
    found: list[KeyValue | None] = []
    for answer in answers:
        assert isinstance(answer, RangeResult), "this branch only reads"
        found.append(answer.kvs[0] if answer.kvs else None)
    return found


async def _as_they_are(session: Session, steps: Sequence[Step]) -> list[KeyValue | None]:
    result = await session.txn().then(*(Get(step.key) for step in steps)).commit()
    return _found(result.responses)


async def _gone_leases(session: Session, steps: Sequence[Step]) -> frozenset[int]:
    leases = sorted({step.lease for step in steps if step.lease and step.value is not None})
    return frozenset(leases) - await living(session, leases)


async def living(session: Session, leases: Sequence[int]) -> frozenset[int]:
    """Those of the leases that there are."""
    return frozenset(
        [lease for lease in leases if (await session.leases.time_to_live(lease)).ttl_s > 0]
    )


async def as_they_are(session: Session, keys: Sequence[bytes]) -> dict[bytes, KeyValue]:
    """Those of the keys that there are. A hundred are read at once, each hundred as of one
    revision.
    """
    found: dict[bytes, KeyValue] = {}
    for at in range(0, len(keys), LOAD_CHUNK_OPS):
        gets = [Get(key) for key in keys[at : at + LOAD_CHUNK_OPS]]
        result = await session.txn().then(*gets).commit()
        found.update((kv.key, kv) for kv in _found(result.responses) if kv is not None)
    return found


def still_to_do(
    steps: Sequence[Step], now: Mapping[bytes, KeyValue]
) -> tuple[list[Step], list[Step], list[Conflict]]:
    """Kept steps after their plan was broken off: what is to be done, what is done, and what
    somebody else has changed. Of a group either every step is to be done or none.
    """
    to_do: list[Step] = []
    done: list[Step] = []
    conflicts: list[Conflict] = []
    whys: dict[bytes, str] = {}
    for step in steps:
        found = now.get(step.key)
        if _version(found) == _version(step.before):
            continue
        same = found is not None and (found.value, found.lease) == (step.value, step.lease)
        whys[step.key] = "done" if same or (found is None and step.value is None) else CHANGED
    held = {step.group for step in steps if step.group and step.key in whys}
    for step in steps:
        why = whys.get(step.key, HELD if step.group in held else "")
        if why == "done":
            done.append(step)
        elif why:
            conflicts.append(Conflict(step, now.get(step.key), why))
        else:
            to_do.append(step)
    return to_do, done, conflicts


def _op(step: Step) -> Op:
    if step.value is None:
        return Delete(step.key)
    return Put(step.key, step.value, lease=step.lease)


def _version(kv: KeyValue | None) -> int:
    return 0 if kv is None else kv.mod_revision


def _halves(steps: list[Step]) -> list[list[Step]]:
    """Two parts that leave groups whole; one when there is but one group."""
    middle = len(steps) // 2
    cuts = [
        at
        for at in range(1, len(steps))
        if not steps[at].group or steps[at].group != steps[at - 1].group
    ]
    if not cuts:
        return [steps]
    at = min(cuts, key=lambda cut: abs(cut - middle))
    return [steps[:at], steps[at:]]


class _Packer:
    """Puts steps into transactions; groups stay whole, whatever their size."""

    def __init__(self) -> None:
        self._chunk: list[Step] = []
        self._unit: list[Step] = []
        self._weight = 0

    def add(self, step: Step) -> list[Step]:
        """Take a step; gives a transaction that is full, or nothing."""
        full: list[Step] = []
        if self._unit and not (step.group and step.group == self._unit[0].group):
            full = self._close_unit()
        self._unit.append(step)
        return full

    def rest(self) -> list[list[Step]]:
        """What is left when no step comes any more."""
        full = self._close_unit()
        return [chunk for chunk in (full, self._chunk) if chunk]

    def _close_unit(self) -> list[Step]:
        full: list[Step] = []
        size = sum(2 * len(step.key) + len(step.value or b"") for step in self._unit)
        many = len(self._chunk) + len(self._unit) > LOAD_CHUNK_OPS
        if self._chunk and (many or self._weight + size > LOAD_CHUNK_BYTES):
            full, self._chunk, self._weight = self._chunk, [], 0
        self._chunk = self._chunk + self._unit
        self._weight += size
        self._unit = []
        return full


def transactions(steps: Iterable[Step]) -> list[list[Step]]:
    """The transactions that a plan will be, if nobody interferes."""
    packer = _Packer()
    full = [chunk for step in steps if (chunk := packer.add(step))]
    return full + packer.rest()


async def _chunks(steps: AsyncIterator[Step]) -> AsyncGenerator[list[Step], None]:
    packer = _Packer()
    async for step in steps:
        full = packer.add(step)
        if full:
            yield full
    for chunk in packer.rest():
        yield chunk
