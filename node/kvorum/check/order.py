"""Linearizability by revision order: etcd's answers carry the revision, so the order of all writes
is revealed and need not be searched for.

The replay goes through the revisions once. A revision with an acknowledged author is his: his
request is done to the model, and must give his answer and what the members dumped. A revision
without one is given to an operation of unknown fate, or to the end of a lease, that fits what was
seen of it and could have happened by then. Where several fit, the first is taken and taken back if
a later read contradicts it, with a bound on how often; a run whose members were dumped hardly ever
has a choice. Answers that made no revision are held against the state at theirs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from kvorum.check import model
from kvorum.check.evidence import Change, Evidence, bare, writes_of
from kvorum.check.model import Impossible, Store
from kvorum.check.records import (
    DELETE,
    PUT,
    Delete,
    Event,
    History,
    Kv,
    Operation,
    Put,
    Range,
    Revoke,
    Txn,
)
from kvorum.check.verdict import Findings

CHOICES_MAX = 20_000  # How often a choice may be taken back before the question stays open.


class Cause(NamedTuple):
    """Who made a revision: an operation, the end of a lease, or (both 0) somebody else."""

    operation: int = -1
    lease: int = 0


Option = tuple[Cause, tuple[Event, ...]]


class Replay:
    """The order of a history, as far as there is one.

    After :meth:`run`: ``store`` holds every revision, ``causes`` who made each, ``placed`` which
    operations of unknown fate took effect, ``beyond`` how many answers are too old to be judged.
    """

    def __init__(self, history: History, evidence: Evidence, findings: Findings) -> None:
        self.store = Store(history.state)
        self.causes: dict[int, Cause] = {}
        self._closed = history.run.closed
        self._evidence = evidence
        self._findings = findings
        self._used: dict[int, int] = {}
        self._operations = {op.id: op for op in history.operations}
        self._open = [
            op for op in history.operations if op.unknown and model.may_change(op.request)
        ]
        self._putters: dict[bytes, list[Operation]] = {}
        for op in self._open:
            for put in writes_of(op.request):
                ops = self._putters.setdefault(put.key, [])
                if not ops or ops[-1] is not op:
                    ops.append(op)
        self._deleters = [op for op in self._open if not isinstance(op.request, Put)]
        self._choices: list[tuple[int, list[Option]]] = []
        self._decided: dict[int, Cause] = {}
        self._best: tuple[int, dict[int, Cause]] = (0, {})
        self._left = CHOICES_MAX
        self._forced = False

    @property
    def beyond(self) -> int:
        """Answers that are older than the first state."""
        return sum(
            0 < op.revision < self.store.first or 0 < _asked(op) < self.store.first
            for op in self._operations.values()
        )

    @property
    def placed(self) -> dict[int, int]:
        """Operations of unknown fate that took effect, with the revision that each made."""
        return {
            operation: revision
            for operation, revision in self._used.items()
            if self._operations[operation].unknown
        }

    def run(self) -> Iterator[int]:
        """Go through all revisions; yields the number of the one that was done, for progress."""
        self._report_reads(self._wrong_reads(self.store.first))
        while self.store.revision < self._evidence.top:
            revision = self.store.revision + 1
            options = list(self._options(revision))
            if self._forced:
                chosen = self._decided.get(revision)
                options = [o for o in options if chosen is None or o[0] == chosen][:1]
            if not self._take(revision, options):
                if self._choices:
                    self._go_back(revision)
                else:
                    self._record(revision)
            yield self.store.revision

    # --- choices ----------------------------------------------------------------------------------

    def _take(self, revision: int, options: list[Option]) -> bool:
        """Take the first option that no read at its revision contradicts. With nothing to choose,
        the contradiction is a finding and the option stays."""
        several = len(options) > 1
        while options:
            cause, events = options.pop(0)
            self._commit(revision, cause, events)
            wrong = self._wrong_reads(revision)
            if wrong and (options or self._choices):
                self._uncommit()
                continue
            self._report_reads(wrong)
            if several:
                self._decided[revision] = cause
            if options:
                self._choices.append((revision, options))
            return True
        return False

    def _go_back(self, revision: int) -> None:
        """A contradiction: try another choice, the newest first; the last of all stands, whatever
        is wrong with it. After too many, go again to where it went furthest, and say what is wrong
        there."""
        if revision > self._best[0]:
            self._best = (revision, dict(self._decided))
        while self._left:
            self._left -= 1
            at, options = self._choices.pop()
            while self.store.revision >= at:
                self._uncommit()
            self._decided = {r: c for r, c in self._decided.items() if r < at}
            if self._take(at, options):
                return
        self._findings.add(
            "undecided",
            f"too many ways to explain the revisions up to {self._best[0]} from operations of "
            f"unknown fate; dump a member's applied order to decide",
            revisions=(self._best[0],),
        )
        while self.store.revision >= self._choices[0][0]:
            self._uncommit()
        self._choices.clear()
        self._decided = self._best[1]
        self._forced = True

    def _commit(self, revision: int, cause: Cause, events: tuple[Event, ...]) -> None:
        ended = cause.lease
        if cause.operation >= 0:
            self._used[cause.operation] = revision
            request = self._operations[cause.operation].request
            ended = request.lease if isinstance(request, Revoke) else 0
        self.causes[revision] = cause
        self.store.commit(revision, events, ended)

    def _uncommit(self) -> None:
        cause = self.causes.pop(self.store.revision)
        self._used.pop(cause.operation, None)
        self.store.undo()

    # --- who can have made a revision -------------------------------------------------------------

    def _options(self, revision: int) -> Iterator[Option]:
        writer = self._evidence.writers.get(revision)
        if writer is not None:
            events = self._done(writer)
            dumped = self._evidence.whole.get(revision)
            if events and (
                revision not in self._evidence.dumped or dumped is None or bare(events) == dumped
            ):
                yield Cause(writer.id), events
            return
        whole = self._evidence.whole.get(revision)
        if not self._closed and revision >= self._evidence.first_dumped:
            if whole:
                yield Cause(), self._events(whole)
            return
        if self._evidence.is_lost(revision):
            return
        until, _ = self._evidence.known_by(revision)
        for operation in self._candidates(revision):
            if operation.called > until or operation.id in self._used:
                continue
            events = self._done(operation)
            if events and self._fits(revision, events):
                yield Cause(operation.id), events
        yield from self._endings(revision)
        if not self._closed:
            # Compacted before anybody dumped it: of what others wrote, this is what was seen.
            seen = tuple(self._evidence.part.get(revision, {}).values())
            yield Cause(), self._events(whole or seen)

    def _done(self, operation: Operation) -> tuple[Event, ...]:
        """The events of doing it now; none when it would do nothing, or answer otherwise."""
        try:
            events, answer = model.execute(self.store, operation.request)
        except Impossible:
            return ()
        wrong = operation.answer is not None and answer != operation.answer
        return () if wrong else events

    def _candidates(self, revision: int) -> Iterator[Operation]:
        yield from self._evidence.maybe.get(revision, ())
        seen = self._evidence.part.get(revision)
        whole = self._evidence.whole.get(revision)
        if whole is not None:
            known: tuple[Change, ...] = whole
        elif seen is not None:
            known = tuple(seen.values())
        else:
            yield from self._open
            return
        if known:
            kind, kv = known[0]
            yield from self._putters.get(kv.key, ()) if kind == PUT else self._deleters

    def _endings(self, revision: int) -> Iterator[Option]:
        """Leases whose end would look like this revision."""
        known = self._evidence.whole.get(revision) or tuple(
            self._evidence.part.get(revision, {}).values()
        )
        leases = self.store.ending()
        if known:
            kind, kv = known[0]
            old = self.store.live.get(kv.key)
            leases = [lease for lease in leases if kind == DELETE and old and lease == old.lease]
        for lease in leases:
            events, _ = model.execute(self.store, Revoke(lease))
            if self._fits(revision, events):
                yield Cause(lease=lease), events

    def _fits(self, revision: int, events: tuple[Event, ...]) -> bool:
        """Whether these events agree with everything that was seen of the revision."""
        whole = self._evidence.whole.get(revision)
        if whole is not None:
            return bare(events) == whole
        made = {event.kv.key: (event.kind, event.kv) for event in events}
        for key, change in self._evidence.part.get(revision, {}).items():
            if made.get(key) != change:
                return False
        for key in made:
            mod = self._evidence.next_sighting(key, revision)
            if mod is not None and 0 < mod < revision:
                return False
        return True

    def _events(self, known: tuple[Change, ...]) -> tuple[Event, ...]:
        return tuple(Event(kind, kv, self.store.live.get(kv.key)) for kind, kv in known)

    # --- what does not fit ------------------------------------------------------------------------

    def _wrong_reads(self, revision: int) -> list[tuple[Operation, str]]:
        wrong = []
        readers = self._evidence.readers.get(revision, ())
        maybe = self._evidence.maybe.get(revision, ())
        for operation in (*readers, *(op for op in maybe if op.id not in self._used)):
            problem = self._misread(operation)
            if problem:
                wrong.append((operation, problem))
        return wrong

    def _misread(self, operation: Operation) -> str:
        request = operation.request
        if 0 < _asked(operation) < self.store.first:
            return ""
        if not isinstance(request, Range | Delete | Txn | Revoke):
            return ""
        try:
            changed, answer = model.execute(self.store, request)
        except Impossible as error:
            return str(error)
        if changed:
            return "it made no revision, though there was something to change"
        return "" if answer == operation.answer else f"true is {answer}"

    def _report_reads(self, wrong: list[tuple[Operation, str]]) -> None:
        for operation, problem in wrong:
            authors = self._authors(operation)
            self._findings.add(
                "wrong_read",
                f"operation {operation.id} ({operation.request}) was answered {operation.answer} "
                f"at revision {operation.revision}; {problem}",
                (*authors, operation.id),
                revisions=(operation.revision,),
            )

    def _authors(self, operation: Operation) -> tuple[int, ...]:
        """Who wrote what the operation read, or should have read: at most two."""
        request, found = operation.request, []
        kvs: list[Kv | None] = list(getattr(operation.answer, "kvs", ()))[:1]
        key = getattr(request, "key", b"")
        kvs += [self.store.at(k, operation.revision) for k in self.store.select(key, b"")]
        for kv in kvs:
            cause = self.causes.get(kv.mod) if kv is not None else None
            if cause is not None and cause.operation >= 0:
                found.append(cause.operation)
        return tuple(dict.fromkeys(found))

    def _record(self, revision: int) -> None:
        """Nothing explains this revision: say so, and go on with what was seen of it."""
        writer = self._evidence.writers.get(revision)
        whole = self._evidence.whole.get(revision)
        part = tuple(self._evidence.part.get(revision, {}).values())
        events = self._events(whole or part)
        if writer is None:
            self._nobody(revision, whole, part)
        else:
            events = self._author_wrong(writer, revision, whole) or events
        self._commit(revision, Cause(), events)
        if writer is not None:
            self._used[writer.id] = revision
        self._report_reads(self._wrong_reads(revision))

    def _author_wrong(
        self, writer: Operation, revision: int, whole: tuple[Change, ...] | None
    ) -> tuple[Event, ...]:
        dumped = self._evidence.dumped.get(revision)
        try:
            events, answer = model.execute(self.store, writer.request)
        except Impossible as error:
            text = f"operation {writer.id} ({writer.request}) cannot have made {revision}: {error}"
            self._findings.add("wrong_answer", text, (writer.id,), revisions=(revision,))
            return ()
        if dumped is not None and bare(events) != whole:
            self._findings.add(
                "lost_write",
                f"operation {writer.id} ({writer.request}) was acknowledged as revision {revision},"
                f" but {dumped} has there {whole or 'nothing'}",
                (writer.id,),
                revisions=(revision,),
            )
            return self._events(whole or ())
        self._findings.add(
            "wrong_answer",
            f"operation {writer.id} ({writer.request}) made revision {revision} and was answered "
            f"{writer.answer}; true is {answer}",
            (writer.id,),
            revisions=(revision,),
        )
        return events

    def _nobody(
        self, revision: int, whole: tuple[Change, ...] | None, part: tuple[Change, ...]
    ) -> None:
        known = whole or part
        if not known:
            saw = self._evidence.known_by(revision)[1]
            self._findings.add(
                "revision_missing",
                f"revision {revision} is known to {saw or 'a dump'}, but nothing tells what it "
                f"changed, and nobody can have made it",
                revisions=(revision,),
            )
            return
        suspects = self._suspects(revision, known)
        hint = f"; operation {suspects[0]} would fit: {suspects[1]}" if suspects else ""
        self._findings.add(
            "unexplained",
            f"nobody can have made revision {revision}, which is {known}{hint}",
            (suspects[0],) if suspects else (),
            revisions=(revision,),
        )

    def _suspects(self, revision: int, known: tuple[Change, ...]) -> tuple[int, str] | None:
        """An operation that would fit but for what else is known of it."""
        until, who = self._evidence.known_by(revision)
        for operation in self._operations.values():
            puts = {(put.key, put.value) for put in writes_of(operation.request)}
            if not any(kind == PUT and (kv.key, kv.value) in puts for kind, kv in known):
                continue
            if operation.refused:
                return operation.id, "but it was refused"
            if operation.id in self._used:
                return operation.id, f"but it made revision {self._used[operation.id]} already"
            if operation.acknowledged:
                return operation.id, f"but it was told revision {operation.revision}"
            if operation.called > until:
                return operation.id, f"but it was called after {who} knew of it"
        return None


def _asked(operation: Operation) -> int:
    """The old revision that a read asked for; 0 for now."""
    return operation.request.revision if isinstance(operation.request, Range) else 0
