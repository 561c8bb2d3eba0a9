"""The slow judge: linearizability by trying, which knows nothing of revisions revealing the order.

After Wing and Gong, with the memory of Lowe and Porcupine: any operation that no unfinished one
precedes may come next; what has been tried (which operations are done, in which state) is not tried
again. Exponential at worst, so for histories of a few dozen operations: it checks the fast judge,
which could otherwise be wrong by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from kvorum.check import model
from kvorum.check.evidence import bare, returned
from kvorum.check.model import Impossible, Store
from kvorum.check.realtime import is_linearizable
from kvorum.check.records import (
    Compact,
    Event,
    History,
    Operation,
    Revoke,
)

STEPS_MAX = 200_000


class TooLong(Exception):
    """The search was given up: the history is too large for it."""


@dataclass(frozen=True)
class Searched:
    """The answer: an order, as operation ids (and ``-lease`` for a lease's end), or none."""

    order: tuple[int, ...] | None
    steps: int


def search(history: History, steps_max: int = STEPS_MAX) -> Searched:
    """Find an order of all operations that agrees with real time and every answer.

    Looks at linearizable operations only, and at dumps: the order must end where they end, and
    agree with them on the way.

    Raises:
        TooLong: more than ``steps_max`` steps.
    """
    return _Search(history, steps_max).run()


class _Search:
    def __init__(self, history: History, steps_max: int) -> None:
        self.history = history
        self.operations = [
            op
            for op in history.operations
            if not op.refused and is_linearizable(op) and not isinstance(op.request, Compact)
        ]
        self.operations.sort(key=lambda op: (op.called, op.id))
        # Reads of old revisions make the past a part of the state.
        self.remembers = any(getattr(op.request, "revision", 0) for op in self.operations)
        self.ends = [returned(op) for op in self.operations]
        self.store = Store(history.state)
        self.last = max((dump.last for dump in history.dumps), default=0)
        self.dumped = {a.revision: bare(a.events) for a in history.applied}
        self.steps_left = steps_max
        self.steps_max = steps_max
        self.tried: set[tuple[int, tuple[object, ...]]] = set()
        self.order: list[int] = []

    def run(self) -> Searched:
        """Try; the recursion is as deep as the history is long."""
        found = self._next(0)
        order = tuple(self.order) if found else None
        return Searched(order, self.steps_max - self.steps_left)

    def _next(self, done: int) -> bool:
        """Whether what is left can follow; ``done`` has a bit for every operation behind us."""
        if self._complete(done):
            return True
        past = tuple(self.store.events.values()) if self.remembers else ()
        state = (done, (self.store.revision, past, *sorted(self.store.live.values())))
        if state in self.tried:
            return False
        self.tried.add(state)
        self.steps_left -= 1
        if self.steps_left < 0:
            raise TooLong(f"{len(self.operations)} operations, {self.steps_max} steps")
        first_end = min(
            (end for place, end in enumerate(self.ends) if not done >> place & 1), default=1 << 62
        )
        for place, operation in enumerate(self.operations):
            if operation.called > first_end:
                break
            if not done >> place & 1 and self._try(done | 1 << place, operation):
                return True
        return self._end_leases(done)

    def _complete(self, done: int) -> bool:
        acknowledged = all(
            done >> place & 1 for place, op in enumerate(self.operations) if op.acknowledged
        )
        return acknowledged and self.store.revision >= self.last

    def _try(self, done: int, operation: Operation) -> bool:
        try:
            events, answer = model.execute(self.store, operation.request)
        except Impossible:
            return False
        if operation.acknowledged:
            revision = self.store.revision + bool(events)
            if answer != operation.answer or revision != operation.revision:
                return False
        elif not events:
            return False  # Not done at all is the same, and is tried anyway.
        ended = operation.request.lease if isinstance(operation.request, Revoke) else 0
        return self._go(done, operation.id, events, ended)

    def _end_leases(self, done: int) -> bool:
        for lease in self.store.ending():
            events, _ = model.execute(self.store, Revoke(lease))
            if self._go(done, -lease, events, lease):
                return True
        return False

    def _go(self, done: int, name: int, events: tuple[Event, ...], ended: int) -> bool:
        revision = self.store.revision + 1
        if events:
            if self.last and (revision > self.last or self.dumped.get(revision) != bare(events)):
                return False
            self.store.commit(revision, events, ended)
        self.order.append(name)
        if self._next(done):
            return True
        self.order.pop()
        if events:
            self.store.undo()
        return False
