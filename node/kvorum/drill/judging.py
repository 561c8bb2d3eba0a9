"""What the checkers say about a recording, in the words of a drill's verdict.

The applied order is put together from every member's dump and from what watchers were told; two
sources that disagree about a revision are a violation by themselves. Then every acknowledged write
must be at its revision, every read must show the state of its revision, nothing may be older than
what was known before it was asked for, and every watcher must have seen the order as it is.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from kvorum.check import records as r

KINDS = ("lost_acknowledgement", "stale_read", "watch")


@dataclass(frozen=True)
class Violation:
    """One broken promise. ``kind``: one of :data:`KINDS`, or another word for the rest."""

    kind: str
    text: str


def violations(history: r.History) -> tuple[Violation, ...]:
    """Everything that is wrong with a recording."""
    judge = _Judge(history)
    judge.writes_and_reads()
    judge.real_time()
    judge.watches()
    return tuple(judge.found)


class _Judge:
    def __init__(self, history: r.History) -> None:
        self.found: list[Violation] = []
        self._history = history
        self._order: dict[int, tuple[r.Event, ...]] = {}
        self._versions: dict[bytes, list[tuple[int, r.Kv | None]]] = {}
        self._join_orders()

    def _say(self, kind: str, text: str) -> None:
        self.found.append(Violation(kind, text))

    def _join_orders(self) -> None:
        for applied in self._history.applied:
            self._learn(applied.revision, applied.events, f"member {applied.member}")
        for seen in self._history.seen:
            for revision, events in _by_revision(seen.events).items():
                if revision not in self._order:
                    self._learn(revision, events, f"watch {seen.watch}")
        for kv in self._history.state.kvs:
            self._versions[kv.key] = [(kv.mod, kv)]
        for revision in sorted(self._order):
            for event in self._order[revision]:
                there = event.kv if event.kind == r.PUT else None
                self._versions.setdefault(event.kv.key, []).append((revision, there))

    def _learn(self, revision: int, events: tuple[r.Event, ...], source: str) -> None:
        known = self._order.setdefault(revision, events)
        if _bare(known) != _bare(events):
            self._say("order", f"revision {revision}: {source} tells another story")

    def _at(self, key: bytes, revision: int) -> r.Kv | None:
        versions = self._versions.get(key, [])
        place = bisect_right(versions, revision, key=lambda version: version[0])
        return versions[place - 1][1] if place else None

    def writes_and_reads(self) -> None:
        """Each answer against the state at its revision."""
        for operation in self._history.operations:
            match operation.request, operation.answer:
                case r.Put(key, value), r.PutAnswer():
                    self._written(operation, key, value)
                case r.Delete(key), r.DeleteAnswer(deleted) if deleted:
                    self._written(operation, key, None)
                case r.Range(key), r.RangeAnswer(kvs):
                    self._read(operation, key, kvs)
                case r.Txn(), r.TxnAnswer(succeeded, answers):
                    self._txn(operation, operation.request, succeeded, answers)

    def _txn(
        self, operation: r.Operation, txn: r.Txn, succeeded: bool, answers: tuple[r.Answer, ...]
    ) -> None:
        branch = txn.success if succeeded else txn.failure
        for request, answer in zip(branch, answers, strict=True):
            match request, answer:
                case r.Put(key, value), _:
                    self._written(operation, key, value)
                case r.Range(key), r.RangeAnswer(kvs):
                    self._read(operation, key, kvs)

    def _written(self, operation: r.Operation, key: bytes, value: bytes | None) -> None:
        events = [e for e in self._order.get(operation.revision, ()) if e.kv.key == key]
        kinds = [(e.kv.value if e.kind == r.PUT else None) for e in events]
        if value not in kinds:
            what = f"{key!r} = {value!r}" if value is not None else f"deletion of {key!r}"
            shown = f"client {operation.client} was told revision {operation.revision}"
            self._say("lost_acknowledgement", f"{what}: {shown}, where it is not")

    def _read(self, operation: r.Operation, key: bytes, kvs: tuple[r.Kv, ...]) -> None:
        true = self._at(key, operation.revision)
        seen = (kvs[0].value, kvs[0].mod) if kvs else None
        if seen != (None if true is None else (true.value, true.mod)):
            text = f"client {operation.client} read {key!r} at {operation.revision}: {seen}"
            self._say("stale_read", f"{text}, not {true and (true.value, true.mod)}")

    def real_time(self) -> None:
        """Nothing may be older than what had been answered before it was asked for."""
        moments: list[tuple[int, int, int, r.Operation]] = []
        for number, operation in enumerate(self._history.operations):
            asked = isinstance(operation.request, (r.Put, r.Range, r.Txn, r.Delete))
            if asked and operation.acknowledged and operation.revision:
                moments.append((operation.called, 0, number, operation))
                moments.append((operation.returned, 1, number, operation))
        newest, floors = 0, {}
        for _, returns, number, operation in sorted(moments, key=lambda moment: moment[:3]):
            if not returns:
                floors[number] = newest
                continue
            if operation.revision < floors[number]:
                text = f"client {operation.client} was answered from revision {operation.revision}"
                self._say("stale_read", f"{text}; {floors[number]} was known before it asked")
            newest = max(newest, operation.revision)

    def watches(self) -> None:
        """Every watcher saw the applied order from its first revision to its last, once."""
        for watch in self._history.watches:
            seen = [s for s in self._history.seen if s.watch == watch.id]
            events = [event for one in seen for event in one.events]
            if not events or not watch.start:
                continue
            wanted = range(watch.start, events[-1].kv.mod + 1)
            true = [e for v in wanted for e in self._order.get(v, ()) if _watched(watch, e)]
            if _bare(tuple(events)) != _bare(tuple(true)):
                place = _first_difference(events, true)
                text = f"watch {watch.id} of {watch.member or 'a client'} differs at {place}"
                self._say("watch", f"{text}: {len(events)} events instead of {len(true)}")


def _watched(watch: r.Watch, event: r.Event) -> bool:
    end = watch.end
    if not end:
        return event.kv.key == watch.key
    return event.kv.key >= watch.key and (end == b"\0" or event.kv.key < end)


def _by_revision(events: tuple[r.Event, ...]) -> dict[int, tuple[r.Event, ...]]:
    found: dict[int, tuple[r.Event, ...]] = {}
    for event in events:
        found[event.kv.mod] = (*found.get(event.kv.mod, ()), event)
    return found


def _bare(events: tuple[r.Event, ...]) -> list[tuple[str, bytes, bytes, int]]:
    return [(e.kind, e.kv.key, e.kv.value, e.kv.mod) for e in events]


def _first_difference(one: list[r.Event], other: list[r.Event]) -> str:
    pairs = zip(_bare(tuple(one)), _bare(tuple(other)), strict=False)
    for seen, true in pairs:
        if seen != true:
            return f"revision {true[3]}"
    return "its end"
