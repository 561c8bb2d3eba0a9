"""More ways to spoil a good history: its watches, leases and locks. See ``mutations``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

from kvorum.check.records import (
    DELETE,
    PUT,
    Expiry,
    History,
    Hold,
    Kv,
    LeaseAnswer,
    Operation,
    Renew,
    Seen,
    TimeLeft,
)
from unit.check.mutations import MUTATIONS, S, change, mutation, pick, writers

__all__ = ["MUTATIONS"]

# --- watches --------------------------------------------------------------------------------------


def messages(history: History, wanted: Callable[[Seen], bool]) -> Iterator[int]:
    for place, seen in enumerate(history.seen):
        if wanted(seen):
            yield place


def any_message(history: History, random: Random, wanted: Callable[[Seen], bool]) -> int | None:
    places = list(messages(history, wanted))
    return random.choice(places) if places else None


def whole(seen: Seen) -> bool:
    return bool(seen.events) and not seen.fragment


@mutation("watch_reliable", "watch_resumable", "watch_bookmarkable", "watch_atomic")
def event_is_dropped(history: History, random: Random) -> bool:
    place = any_message(history, random, whole)
    if place is None:
        return False
    seen = history.seen[place]
    if len(seen.events) > 1:
        history.seen[place] = seen._replace(events=seen.events[:-1])
    else:
        del history.seen[place]
    return True


@mutation("watch_unique")
def event_is_repeated(history: History, random: Random) -> bool:
    place = any_message(history, random, whole)
    if place is None:
        return False
    history.seen.insert(place + random.randrange(1, 3), history.seen[place])
    return True


@mutation("watch_ordered", "watch_reliable", "watch_resumable", "watch_bookmarkable")
def messages_are_swapped(history: History, random: Random) -> bool:
    places = list(messages(history, whole))
    pairs = [
        (a, b)
        for a in places
        for b in places
        if a < b
        and history.seen[a].watch == history.seen[b].watch
        and not any(
            s.fragment and s.watch == history.seen[a].watch for s in history.seen[max(0, a - 1) : b]
        )
    ]
    if not pairs:
        return False
    a, b = random.choice(pairs)
    history.seen[a], history.seen[b] = history.seen[b], history.seen[a]
    return True


@mutation("watch_atomic")
def revision_is_split(history: History, random: Random) -> bool:
    place = any_message(history, random, lambda seen: seen.fragment)
    if place is None:
        return False
    history.seen[place] = history.seen[place]._replace(fragment=False)
    return True


@mutation("watch_ordered")
def changes_of_a_revision_are_turned(history: History, random: Random) -> bool:
    place = any_message(history, random, lambda seen: len(seen.events) > 1)
    if place is None:
        return False
    seen = history.seen[place]
    history.seen[place] = seen._replace(events=seen.events[::-1])
    return True


@mutation("watch_bookmarkable")
def mark_runs_ahead(history: History, random: Random) -> bool:
    """A mark names a revision whose changes come only afterwards."""
    place = any_message(history, random, lambda seen: bool(seen.events))
    if place is None:
        return False
    seen = history.seen[place]
    newest = seen.events[-1].kv.mod
    history.seen.insert(place, Seen(seen.watch, seen.at, newest, progress=True))
    return not (place and history.seen[place - 1].fragment)


@mutation("watch_filter")
def unwanted_kind_is_told(history: History, random: Random) -> bool:
    """A watcher that wants no such changes is told one."""
    places = list(messages(history, whole))
    if not places:
        return False
    seen = history.seen[random.choice(places)]
    field = "no_put" if seen.events[0].kind == PUT else "no_delete"
    for place, watch in enumerate(history.watches):
        if watch.id == seen.watch:
            history.watches[place] = watch._replace(**{field: True})
    return True


@mutation("watch_filter")
def key_outside_is_told(history: History, random: Random) -> bool:
    places = list(messages(history, whole))
    if not places:
        return False
    seen = history.seen[random.choice(places)]
    for place, watch in enumerate(history.watches):
        if watch.id == seen.watch:
            history.watches[place] = watch._replace(key=b"q", end=b"r")
    return True


@mutation("watch_prev_kv")
def before_is_another(history: History, random: Random) -> bool:
    place = any_message(history, random, whole)
    if place is None:
        return False
    seen = history.seen[place]
    event = seen.events[0]
    asked = next(watch.prev_kv for watch in history.watches if watch.id == seen.watch)
    if asked and event.prev and random.random() < 0.5:
        other = event._replace(prev=None)
    elif asked and event.prev:
        other = event._replace(prev=event.prev._replace(version=event.prev.version + 1))
    else:
        other = event._replace(prev=Kv(event.kv.key, b"never", 1, 1, 1))
    history.seen[place] = seen._replace(events=(other, *seen.events[1:]))
    return True


@mutation("watch_content")
def watched_value_is_another(history: History, random: Random) -> bool:
    place = any_message(history, random, lambda s: whole(s) and s.events[0].kind == PUT)
    if place is None:
        return False
    seen = history.seen[place]
    kv = seen.events[0].kv
    field = random.choice(["value", "create", "version", "lease"])
    other = kv._replace(**{field: b"never" if field == "value" else getattr(kv, field) + 1})
    event = seen.events[0]._replace(kv=other)
    history.seen[place] = seen._replace(events=(event, *seen.events[1:]))
    return True


@mutation("watch_content")
def creation_is_told_as_change(history: History, random: Random) -> bool:
    place = any_message(
        history, random, lambda s: whole(s) and s.events[0].kv.create == s.events[0].kv.mod
    )
    if place is None:
        return False
    seen = history.seen[place]
    kv = seen.events[0].kv
    event = seen.events[0]._replace(kv=kv._replace(create=kv.create - 1, version=2))
    history.seen[place] = seen._replace(events=(event, *seen.events[1:]))
    return True


@mutation("watch_ahead", "write_order", "stale_read")
def told_before_it_was_asked_for(history: History, random: Random) -> bool:
    told = {history.operations[place].revision: place for place in writers(history)}
    place = any_message(history, random, lambda s: whole(s) and s.events[0].kv.mod in told)
    if place is None:
        return False
    seen = history.seen[place]
    called = history.operations[told[seen.events[0].kv.mod]].called
    history.seen[place] = seen._replace(at=called - 1)
    return True


@mutation("watch_closed")
def told_after_its_end(history: History, random: Random) -> bool:
    place = any_message(history, random, whole)
    if place is None or (place and history.seen[place - 1].fragment):
        return False
    seen = history.seen[place]
    history.seen.insert(place, Seen(seen.watch, seen.at, seen.revision, canceled=True))
    return True


@mutation("watch_compacted")
def canceled_for_no_compaction(history: History, random: Random) -> bool:
    watch = random.choice(history.watches)
    at = max(seen.at for seen in history.seen)
    history.seen.append(
        Seen(watch.id, at, 0, canceled=True, compact_revision=random.choice([1, 10_000]))
    )
    return True


# --- leases and locks -----------------------------------------------------------------------------


@mutation("lease_early")
def lease_ends_early(history: History, random: Random) -> bool:
    """Somebody saw it ended before the time that its grant or last renewal had promised."""
    lives = [
        (op, op.answer.lease if op.answer.lease else op.request.lease)
        for op in history.operations
        if isinstance(op.answer, LeaseAnswer)
        and op.answer.ttl_s > 0
        and not isinstance(op.request, TimeLeft)
    ]
    if not lives:
        return False
    op, lease = random.choice(lives)
    revoked = [
        o.called
        for o in history.operations
        if getattr(o.request, "lease", 0) == lease and type(o.request).__name__ == "Revoke"
    ]
    at = op.called + random.randrange(2 * S)
    if revoked and min(revoked) <= at:
        return False
    history.expiries.append(Expiry(lease, at, "n2"))
    return True


@mutation("lease_back", "lease_early")
def lease_comes_back(history: History, random: Random) -> bool:
    if not history.expiries:
        return False
    expiry = random.choice(history.expiries)
    history.operations.append(
        Operation(9999, 98, expiry.at + 1, Renew(expiry.lease), expiry.at + 2, LeaseAnswer(2))
    )
    return True


@mutation("lease_ttl")
def lease_time_is_wrong(history: History, random: Random) -> bool:
    place = pick(
        history,
        random,
        lambda op: (
            isinstance(op.answer, LeaseAnswer)
            and op.answer.ttl_s > 0
            and isinstance(op.request, Renew | TimeLeft)
        ),
    )
    if place is None:
        return False
    op = history.operations[place]
    if isinstance(op.request, Renew):
        return change(history, place, answer=op.answer._replace(ttl_s=op.answer.ttl_s + 1))
    return change(history, place, answer=op.answer._replace(granted_s=op.answer.granted_s + 1))


@mutation("lease_keys", "unexplained")
def lease_leaves_a_key(history: History, random: Random) -> bool:
    """Of the keys that a lease took with it, the members keep one."""
    told = {
        op.revision
        for op in history.operations
        if op.acknowledged and type(op.request).__name__ in ("Delete", "Revoke", "Txn")
    }
    if any(op.unknown for op in history.operations):
        return False  # Somebody may have deleted just those.
    rows = [
        row.revision
        for row in history.applied
        if len(row.events) > 1 and row.revision not in told and row.events[0].kind == DELETE
    ]
    if not rows:
        return False
    revision = random.choice(rows)
    history.applied = [
        row._replace(events=row.events[:-1]) if row.revision == revision else row
        for row in history.applied
    ]
    return True


@mutation("lock_fence")
def lock_has_one_fence_twice(history: History, random: Random) -> bool:
    history.holds += [Hold(b"l", 1, 1, 2, 9, 5), Hold(b"l", 2, 10, 12, 19, 5)]
    return True


@mutation("lock_fence")
def lock_fence_goes_back(history: History, random: Random) -> bool:
    history.holds += [Hold(b"l", 1, 1, 2, 9, 7), Hold(b"l", 2, 10, 12, 19, 5)]
    return True


@mutation("lock_shared")
def lock_is_shared(history: History, random: Random) -> bool:
    """A second holder begins while the first one's lease surely lives."""
    grants = [
        op
        for op in history.operations
        if isinstance(op.answer, LeaseAnswer)
        and op.answer.lease
        and not any(
            type(o.request).__name__ == "Revoke" and o.request.lease == op.answer.lease
            for o in history.operations
        )
    ]
    if not grants:
        return False
    grant = random.choice(grants)
    begun = grant.returned + 1
    history.holds += [
        Hold(b"l", 1, begun, begun + 1, -1, 5, grant.answer.lease),
        Hold(b"l", 2, begun, begun + 9, -1, 6, 1),
    ]
    return True
