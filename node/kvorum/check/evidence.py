"""What a history tells about single revisions: who says to have made one, what was seen of it, and
until when it was certainly there.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

from kvorum.check import model
from kvorum.check.records import (
    NEVER,
    PUT,
    Event,
    History,
    Kv,
    Operation,
    Put,
    PutAnswer,
    Range,
    RangeAnswer,
    Request,
    Seen,
    Txn,
)
from kvorum.check.verdict import Findings

_ZERO = b"\0"
Change = tuple[str, Kv]


def bare(events: tuple[Event, ...]) -> tuple[Change, ...]:
    """Events without what was there before, which not every source tells."""
    return tuple((event.kind, event.kv) for event in events)


class Evidence:
    """Revision by revision, gathered in one pass.

    ``first_dumped`` and ``last_dumped``: the oldest and the newest revision of a dump, or 0.
    ``last_told``: the newest revision of an operation's answer.

    ``writers``: acknowledged operations that made a revision. ``readers``: those that made none, by
    the revision of their answer. ``maybe``: revocations, whose answers do not tell. ``whole``: all
    changes of a revision, by a member's dump or a watcher of everything. ``part``: changes that
    somebody saw.
    """

    def __init__(self, history: History, findings: Findings) -> None:
        self.writers: dict[int, Operation] = {}
        self.readers: dict[int, list[Operation]] = {}
        self.maybe: dict[int, list[Operation]] = {}
        self.whole: dict[int, tuple[Change, ...]] = {}
        self.part: dict[int, dict[bytes, Change]] = {}
        self.dumped: dict[int, str] = {}
        self.first_dumped = 0
        self.last_dumped = 0
        self.last_told = 0
        self.top = history.state.revision
        self._sightings: dict[bytes, list[tuple[int, int]]] = {}
        self._known_at: list[tuple[int, int, str]] = []
        self._operations(history, findings)
        self._dumps(history, findings)
        self._watched(history)
        for seen in self._sightings.values():
            seen.sort()
        self._known_at.sort()
        self._revisions = [revision for revision, _, _ in self._known_at]
        soonest: tuple[int, str] = (1 << 63, "")
        self._soonest = [soonest] * len(self._known_at)
        for place in reversed(range(len(self._known_at))):
            soonest = min(soonest, self._known_at[place][1:])
            self._soonest[place] = soonest

    def known_by(self, revision: int) -> tuple[int, str]:
        """The moment at which somebody first knew of this revision or a later one, and who."""
        place = bisect_left(self._revisions, revision)
        return self._soonest[place] if place < len(self._soonest) else (1 << 63, "")

    def is_lost(self, revision: int) -> bool:
        """Whether an operation knew of a revision that no member has at the end."""
        return 0 < self.last_dumped < revision <= self.last_told

    def next_sighting(self, key: bytes, revision: int) -> int | None:
        """The mod revision of the key as first seen at or after ``revision`` (0: absent)."""
        seen = self._sightings.get(key, ())
        place = bisect_left(seen, (revision, -1))
        return seen[place][1] if place < len(seen) else None

    def _operations(self, history: History, findings: Findings) -> None:
        first = history.state.revision
        for operation in history.operations:
            revision = operation.revision
            if operation.answer is None or revision <= 0:
                continue
            self._known_at.append((revision, operation.returned, f"operation {operation.id}"))
            self.top = max(self.top, revision)
            self.last_told = max(self.last_told, revision)
            made = model.changes(operation.answer, operation.request)
            if made:
                other = self.writers.setdefault(revision, operation)
                if other is not operation:
                    findings.add(
                        "revision_shared",
                        f"operations {other.id} and {operation.id} were both told that they made "
                        f"revision {revision}",
                        (other.id, operation.id),
                        revisions=(revision,),
                    )
            elif made is None:
                self.maybe.setdefault(revision, []).append(operation)
            elif revision >= first:
                self.readers.setdefault(revision, []).append(operation)
            self._sighted(operation, revision)

    def _sighted(self, operation: Operation, revision: int) -> None:
        request, answer = operation.request, operation.answer
        if isinstance(request, Range) and isinstance(answer, RangeAnswer):
            view = request.revision if request.revision > 0 else revision
            for kv in answer.kvs:
                if kv.mod <= view:
                    self._sightings.setdefault(kv.key, []).append((view, kv.mod))
                    if not request.keys_only:
                        self.part.setdefault(kv.mod, {}).setdefault(kv.key, (PUT, kv))
            if not request.end and not answer.total:
                self._sightings.setdefault(request.key, []).append((view, 0))
        elif isinstance(answer, PutAnswer) and answer.prev is not None:
            kv = answer.prev
            if kv.mod < revision:
                self._sightings.setdefault(kv.key, []).append((revision - 1, kv.mod))
                self.part.setdefault(kv.mod, {}).setdefault(kv.key, (PUT, kv))

    def _dumps(self, history: History, findings: Findings) -> None:
        by_member = {dump.member: dump for dump in history.dumps}
        rows: dict[str, dict[int, tuple[Change, ...]]] = {}
        for applied in history.applied:
            rows.setdefault(applied.member, {})[applied.revision] = bare(applied.events)
        for member, dump in by_member.items():
            self.top = max(self.top, dump.last)
            self.first_dumped = min(self.first_dumped or dump.first, dump.first)
            self.last_dumped = max(self.last_dumped, dump.last)
            for revision in range(dump.first, dump.last + 1):
                changes = rows.get(member, {}).get(revision, ())
                other = self.dumped.setdefault(revision, member)
                if self.whole.setdefault(revision, changes) != changes:
                    findings.add(
                        "members_differ",
                        f"{other} and {member} applied different changes as revision {revision}",
                        revisions=(revision,),
                    )

    def _watched(self, history: History) -> None:
        watches = {watch.id: watch for watch in history.watches}
        for seen, events in joined(history.seen):
            watch = watches[seen.watch]
            if seen.revision and not seen.created:
                self._known_at.append((seen.revision, seen.at, f"watch {seen.watch}"))
            by_revision: dict[int, list[Event]] = {}
            for event in events:
                by_revision.setdefault(event.kv.mod, []).append(event)
            everything = watch.end == _ZERO and watch.key in (b"", _ZERO)
            for revision, group in by_revision.items():
                self.top = max(self.top, revision)
                self._known_at.append((revision, seen.at, f"watch {seen.watch}"))
                if everything and not watch.no_put and not watch.no_delete:
                    self.whole.setdefault(revision, bare(tuple(group)))
                for event in group:
                    key = event.kv.key
                    self._sightings.setdefault(key, []).append(
                        (revision, revision if event.kind == PUT else 0)
                    )
                    self.part.setdefault(revision, {}).setdefault(key, (event.kind, event.kv))


def joined(messages: list[Seen]) -> Iterator[tuple[Seen, tuple[Event, ...]]]:
    """Messages with their events, fragments put together under the last one."""
    held: dict[int, tuple[Event, ...]] = {}
    for seen in messages:
        events = held.pop(seen.watch, ()) + seen.events
        if seen.fragment:
            held[seen.watch] = events
        else:
            yield seen, events


def writes_of(request: Request) -> Iterator[Put]:
    """Every put that a request may do."""
    if isinstance(request, Put):
        yield request
    elif isinstance(request, Txn):
        for op in (*request.success, *request.failure):
            yield from writes_of(op)


def returned(operation: Operation) -> int:
    """When an operation was over for certain; an answer that never came counts as the far
    future."""
    known = operation.answer is not None or not operation.unknown
    return operation.returned if known and operation.returned != NEVER else 1 << 62
