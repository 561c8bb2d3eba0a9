"""The shortest part of a history that still breaks a rule.

A finding names the operations and watches that prove it. They are cut out together with the state
before them and the order of revisions around them, and everything that can be left out without
losing the finding is left out, one by one. The part is a history itself and can be judged again.
"""

from __future__ import annotations

from kvorum.check.evidence import Evidence
from kvorum.check.judge import judge
from kvorum.check.model import Store
from kvorum.check.order import Replay
from kvorum.check.records import (
    Applied,
    Dump,
    Event,
    History,
    Hold,
    Seen,
    State,
)
from kvorum.check.verdict import Finding, Findings

# Revisions that a part may span to be judged anew; beyond it the finding's own words must do.
REVISIONS_MAX = 4_000
# What cannot be cut out: it speaks of the whole history.
_WHOLE = ("lease_", "lock_", "members_", "undecided", "revision_missing")


def shortest(history: History, finding: Finding) -> History:
    """What a finding rests on, and nothing else.

    The order of the revisions is kept as a member's dump, so that what is left out is not missed.
    A finding that cannot be shown by less than the whole is returned with the lines it names.
    """
    part = _cut(history, finding)
    if finding.rule.startswith(_WHOLE) or not _breaks(part, finding):
        return part
    for place in reversed(range(len(part.operations))):
        _without(part, "operations", place, finding)
    for place in reversed(range(len(part.seen))):
        _without(part, "seen", place, finding)
    _tidy(part)
    return part


def _without(part: History, name: str, place: int, finding: Finding) -> None:
    """Leave out one line if the rule is broken even so."""
    lines = getattr(part, name)
    line = lines.pop(place)
    if not _breaks(part, finding):
        lines.insert(place, line)


def _breaks(part: History, finding: Finding) -> bool:
    return any(found.rule == finding.rule for found in judge(part).findings)


def _cut(history: History, finding: Finding) -> History:
    """The lines that a finding names, with the order around them."""
    part = History(run=history.run._replace(closed=False), quiet=history.quiet)
    part.operations = [op for op in history.operations if op.id in finding.operations]
    part.watches = [watch for watch in history.watches if watch.id in finding.watches]
    part.seen = [seen for seen in history.seen if seen.watch in finding.watches]
    part.faults = list(history.faults)
    part.holds = [hold for hold in history.holds if _about(hold, finding)]
    part.digests = list(history.digests) if finding.rule == "members_differ" else []
    revisions = [op.revision for op in part.operations if op.revision > 0]
    revisions += [event.kv.mod for seen in part.seen for event in seen.events]
    revisions += finding.revisions
    store = _replayed(history)
    low = max(store.first, min(revisions, default=store.first) - 2)
    # Watches say what was missing between; what they were not told of need not be kept.
    high = min(max(revisions, default=low), store.revision)
    if high - low > REVISIONS_MAX:
        low = high - REVISIONS_MAX
        part.seen = [seen for seen in part.seen if _within(seen, low)]
    kvs = [kv for key in store.select(b"\0", b"\0") if (kv := store.at(key, low)) is not None]
    part.state = State(low, tuple(kvs))
    member = next((dump.member for dump in history.dumps), "order")
    part.dumps = [Dump(member, low + 1, high)]
    part.applied = [
        Applied(member, revision, _bare(store.events[revision]))
        for revision in range(low + 1, high + 1)
        if store.events.get(revision)
    ]
    if part.quiet is not None:
        part.quiet = part.quiet._replace(revision=min(part.quiet.revision, high))
    return part


def _bare(events: tuple[Event, ...]) -> tuple[Event, ...]:
    return tuple(event._replace(prev=None) for event in events)


def _about(hold: Hold, finding: Finding) -> bool:
    return finding.rule.startswith("lock_") and hold.revision in finding.revisions


def _within(seen: Seen, low: int) -> bool:
    return not seen.events or seen.events[0].kv.mod > low


def _replayed(history: History) -> Store:
    """The order as the judge found it."""
    findings = Findings(0)
    replay = Replay(history, Evidence(history, findings), findings)
    for _ in replay.run():
        pass
    return replay.store


def _tidy(part: History) -> None:
    """Watches whose messages are all gone are gone too, unless silence is the finding."""
    spoken = {seen.watch for seen in part.seen}
    if part.seen:
        part.watches = [watch for watch in part.watches if watch.id in spoken]
