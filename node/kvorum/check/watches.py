"""The nine watch validators, and three rules about when a watch may speak at all.

Every watch of a run is held against the order of revisions (after etcd's API guarantees, and the
validators of its robustness tests):

1. *ordered*: revisions never go back, and within one the changes come in their order;
2. *unique*: no change comes twice;
3. *atomic*: all changes of one revision come in one message;
4. *reliable*: between two changes that came none is missing;
5. *resumable*: from the revision asked for on none is missing before the first that came;
6. *bookmarkable*: a progress mark comes after everything up to it, and nothing up to it comes
   after;
7. *filter*: what comes lies in the range and is of a kind that was asked for;
8. *prev_kv*: the version before comes when it was asked for, is the true one, and only then;
9. *content*: what comes is what happened, a creation told from a change by its create revision.

Then: nothing comes before its write was called (*ahead*), nothing before the watch is created or
after it is canceled (*closed*), and it is canceled for a compaction only where one stands between
it and what it has yet to see (*compacted*). Once a run is quiet nothing may be missing at the end
either; that counts as reliable.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field

from kvorum.check.evidence import joined
from kvorum.check.model import Store, contains
from kvorum.check.order import Cause
from kvorum.check.records import PUT, Compact, Event, History, Kv, Seen, Watch
from kvorum.check.verdict import Findings

NINE = (
    "ordered",
    "unique",
    "atomic",
    "reliable",
    "resumable",
    "bookmarkable",
    "filter",
    "prev_kv",
    "content",
)


@dataclass
class Truth:
    """What the watches are held against: the order, who made each revision and when he called."""

    store: Store
    called: dict[int, int]
    compacted: list[tuple[int, int]]
    revisions: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, history: History, store: Store, causes: dict[int, Cause]) -> Truth:
        """The truth of a replayed history."""
        calls = {op.id: op.called for op in history.operations}
        called = {
            revision: calls[cause.operation]
            for revision, cause in causes.items()
            if cause.operation >= 0
        }
        compacted = [
            (op.called, op.request.revision)
            for op in history.operations
            if isinstance(op.request, Compact) and not op.refused
        ]
        return cls(store, called, compacted, sorted(store.events))


def check_watches(history: History, truth: Truth, findings: Findings) -> int:
    """Judge every watch; returns how many events were looked at."""
    messages: dict[int, list[tuple[Seen, tuple[Event, ...]]]] = {}
    for seen, events in joined(history.seen):
        messages.setdefault(seen.watch, []).append((seen, events))
    count = 0
    for watch in history.watches:
        judge = _Watcher(watch, truth, findings)
        for seen, events in messages.get(watch.id, ()):
            judge.take(seen, events)
            count += len(events)
        if history.quiet is not None:
            judge.finish(history.quiet.revision)
    return count


class _Watcher:
    """One watch, message by message. ``next`` is the first revision that it has yet to be told."""

    def __init__(self, watch: Watch, truth: Truth, findings: Findings) -> None:
        self.watch = watch
        self.truth = truth
        self.findings = findings
        self.next = watch.start
        self.told = 0
        self.mark = 0
        self.created = False
        self.closed = False
        self.seen: set[tuple[int, bytes]] = set()

    def wrong(self, rule: str, text: str, *revisions: int) -> None:
        """A rule is broken."""
        self.findings.add(
            f"watch_{rule}", f"watch {self.watch.id} {text}", (), (self.watch.id,), revisions
        )

    def take(self, seen: Seen, events: tuple[Event, ...]) -> None:
        """One message."""
        if self.closed:
            if events:
                self.wrong("closed", f"was told revision {events[0].kv.mod} after its end")
            return
        if seen.created:
            self.created = True
            if not self.watch.start and seen.revision:
                self.next = seen.revision + 1
        elif events and not self.created:
            self.wrong("closed", f"was told revision {events[0].kv.mod} before it was created")
            self.created = True
        self._events(seen, events)
        if seen.progress:
            self._progress(seen)
        if seen.canceled:
            self.closed = True
            self._canceled(seen)

    def _events(self, seen: Seen, events: tuple[Event, ...]) -> None:
        place = 0
        while place < len(events):
            revision = events[place].kv.mod
            end = place
            while end < len(events) and events[end].kv.mod == revision:
                end += 1
            self._revision(seen, revision, events[place:end])
            place = end
        if events and seen.revision and seen.revision < events[-1].kv.mod:
            self.wrong(
                "content",
                f"was told revision {events[-1].kv.mod} under a header of {seen.revision}",
                events[-1].kv.mod,
            )

    def _revision(self, seen: Seen, revision: int, events: tuple[Event, ...]) -> None:
        """All neighbouring events of one revision in one message."""
        repeated = [event for event in events if (revision, event.kv.key) in self.seen]
        self.seen.update((revision, event.kv.key) for event in events)
        if repeated:
            self.wrong("unique", f"was told {repeated[0].kv.key!r} of {revision} twice", revision)
        elif revision < self.told:
            self.wrong("ordered", f"was told revision {revision} after {self.told}", revision)
        elif revision == self.told:
            self.wrong("atomic", f"was told revision {revision} in two parts", revision)
        elif self.mark >= revision:
            self.wrong("bookmarkable", f"was told {revision} after a mark of {self.mark}", revision)
        elif self.next > revision and not self.told:
            self.wrong("resumable", f"was told {revision}, asked from {self.next}", revision)
        if self.truth.called.get(revision, seen.at) > seen.at:
            self.wrong("ahead", f"was told {revision} before its write was called", revision)
        if revision > self.told:
            self._complete(revision - 1, "reliable" if self.told else "resumable", f"{revision}")
            self.told = revision
            self.next = max(self.next, revision + 1)
        self._contents(revision, events, bool(repeated))

    def _expected(self, revision: int) -> list[Event]:
        return [
            event
            for event in self.truth.store.events.get(revision, ())
            if self._wanted(event.kind) and contains(self.key, self.watch.end, event.kv.key)
        ]

    @property
    def key(self) -> bytes:
        """The key that is really watched: none given is the smallest one."""
        return self.watch.key or b"\0"

    def _wanted(self, kind: str) -> bool:
        return not (self.watch.no_put if kind == PUT else self.watch.no_delete)

    def _complete(self, through: int, rule: str, before: str) -> None:
        """Nothing from ``next`` to ``through`` may be missing."""
        revisions = self.truth.revisions
        low, high = bisect_left(revisions, self.next), bisect_right(revisions, through)
        for place in range(low, high) if self.next else ():
            missing = self._expected(revisions[place])
            if missing:
                self.wrong(
                    rule,
                    f"was never told revision {revisions[place]} ({missing[0].kv.key!r}) before "
                    f"{before}",
                    revisions[place],
                )
                return

    def _contents(self, revision: int, events: tuple[Event, ...], repeated: bool) -> None:
        true = {event.kv.key: event for event in self.truth.store.events.get(revision, ())}
        for event in events:
            inside = contains(self.key, self.watch.end, event.kv.key)
            if not inside or not self._wanted(event.kind):
                text = f"was told a {event.kind} of {event.kv.key!r} that it did not ask for"
                self.wrong("filter", text, revision)
                continue
            real = true.get(event.kv.key)
            if real is None or (real.kind, real.kv) != (event.kind, event.kv):
                shown = "nothing of this key" if real is None else f"{real.kind} {real.kv}"
                text = f"was told {event.kind} {event.kv} of revision {revision}; true is {shown}"
                self.wrong("content", text, revision)
                continue
            self._prev(event, real.prev, revision)
        expected = [event.kv.key for event in self._expected(revision)]
        got = [event.kv.key for event in events]
        if repeated or got == expected:
            return
        if sorted(got) == sorted(expected):
            self.wrong("ordered", f"was told the changes of {revision} in another order", revision)
        elif missing := [key for key in expected if (revision, key) not in self.seen]:
            self.wrong("atomic", f"was told {revision} without {missing[0]!r}", revision)

    def _prev(self, event: Event, true: Kv | None, revision: int) -> None:
        if not self.watch.prev_kv:
            if event.prev is not None:
                self.wrong("prev_kv", f"was told what was before {revision} unasked", revision)
        elif event.prev is None and true is not None:
            # etcd leaves it out where the revision before is compacted.
            if not any(revision - 1 < compacted for _, compacted in self.truth.compacted):
                self.wrong("prev_kv", f"was not told what was before {revision}: {true}", revision)
        elif event.prev != true:
            text = f"was told that {event.prev} was before {revision}; true is {true}"
            self.wrong("prev_kv", text, revision)

    def _progress(self, seen: Seen) -> None:
        self._complete(seen.revision, "bookmarkable", f"a mark of {seen.revision}")
        if seen.revision < max(self.mark, self.told):
            text = f"was given a mark of {seen.revision} after {max(self.mark, self.told)}"
            self.wrong("bookmarkable", text, seen.revision)
        self.mark = max(self.mark, seen.revision)
        self.next = max(self.next, seen.revision + 1)

    def _canceled(self, seen: Seen) -> None:
        compact = seen.compact_revision
        if not compact:
            return
        if compact <= self.next:
            text = f"was canceled for a compaction to {compact}, needed {self.next} and later"
            self.wrong("compacted", text, compact)
        elif not any(at <= seen.at and compact <= r for at, r in self.truth.compacted):
            text = f"was canceled for a compaction to {compact} that nobody had asked for"
            self.wrong("compacted", text, compact)

    def finish(self, through: int) -> None:
        """The run is quiet: what was not told by now never came."""
        if self.created and not self.closed:
            self._complete(through, "reliable" if self.told else "resumable", "the end")
