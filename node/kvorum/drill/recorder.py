"""The recording of a run, in the lines of :mod:`kvorum.check`, and the counts that a verdict wants.

One recorder serves one event loop or one simulated world; times come from the stage's clock.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from kvorum.check import records as r

NS = 1_000_000_000
_WRITES = (r.Put, r.Delete, r.Txn)


class Call(NamedTuple):
    """A request under way. ``at``: when it was asked, in nanoseconds since the run began."""

    id: int
    client: int
    at: int
    request: r.Request

    @property
    def operation(self) -> r.Operation:
        """As it is recorded when nobody ever heard of it again."""
        return r.Operation(self.id, self.client, self.at, self.request, unknown=True)


class Recording(r.History):
    """A history that tells each line that is added to it. ``on_line``, ``on_call``: whom, and who
    is told of requests that begin.
    """

    def __init__(self) -> None:
        super().__init__()
        self.on_line: Callable[[r.Line], None] | None = None
        self.on_call: Callable[[Call], None] | None = None

    def add(self, line: r.Line) -> None:
        """Sort one line in."""
        super().add(line)
        if self.on_line is not None:
            self.on_line(line)


class Recorder:
    """Collects a :class:`kvorum.check.records.History`. ``now_s``: the stage's clock.

    ``acknowledged``, ``refused``, ``unknown``: how many operations ended so, up to now.
    """

    def __init__(self, now_s: Callable[[], float]) -> None:
        self.history = Recording()
        self.acknowledged = self.refused = self.unknown = 0
        self._now_s = now_s
        self._next = 0
        # When the newest acknowledged write was asked for, in seconds; -1: there was none.
        self.write_called_s = -1.0

    def now(self) -> int:
        """Nanoseconds since the run began."""
        return int(self._now_s() * NS)

    def id(self) -> int:
        """A number that no other operation or watch of the run has."""
        self._next += 1
        return self._next

    def call(self, client: int, request: r.Request) -> Call:
        """A request begins now; :meth:`answered` or :meth:`gave_up` is to follow."""
        made = Call(self.id(), client, self.now(), request)
        if self.history.on_call is not None:
            self.history.on_call(made)
        return made

    def answered(
        self, call: Call, answer: r.Answer, revision: int, term: int = 0, member: str = ""
    ) -> None:
        """A request was answered now."""
        self.done(call.client, call.at, call.request, answer, revision, term, member, call.id)

    def gave_up(self, call: Call, error: str, unknown: bool, member: str = "") -> None:
        """A request was refused, or given up without knowing what becomes of it."""
        self.failed(call.client, call.at, call.request, error, unknown, member, call.id)

    def done(
        self,
        client: int,
        called: int,
        request: r.Request,
        answer: r.Answer,
        revision: int,
        term: int = 0,
        member: str = "",
        id_: int = 0,
    ) -> None:
        """An operation was answered now. ``id_`` 0 gives it a number."""
        made = r.Operation(
            id_ or self.id(), client, called, request, self.now(), answer, revision, term, member
        )
        self.history.add(made)
        self.acknowledged += 1
        if isinstance(request, _WRITES):
            self.write_called_s = max(self.write_called_s, called / NS)

    def failed(
        self,
        client: int,
        called: int,
        request: r.Request,
        error: str,
        unknown: bool,
        member: str = "",
        id_: int = 0,
    ) -> None:
        """An operation was refused, or given up without knowing what becomes of it."""
        returned = r.NEVER if unknown else self.now()
        if unknown:
            self.unknown += 1
        else:
            self.refused += 1
        self.history.add(
            r.Operation(
                id_ or self.id(),
                client,
                called,
                request,
                returned,
                None,
                member=member,
                error=error,
                unknown=unknown,
            )
        )


def acknowledged_writes(history: r.History) -> list[r.Operation]:
    """Puts, deletions and transactions that were answered, in the order of their answers."""
    found = [o for o in history.operations if o.acknowledged and isinstance(o.request, _WRITES)]
    return sorted(found, key=lambda operation: operation.returned)
