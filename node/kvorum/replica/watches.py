"""Watchers: who wants which keys, how far each has come, and what its stream can still take.

A watcher is *synced* while everything up to the store's revision has been handed to its stream;
then new events go straight
to it. It falls behind when it starts at an old revision or when its stream's buffer is full; then
only the next revision it
needs is remembered, and it catches up in whole revisions: from the window of recent revisions where
that reaches far enough,
else from the history. Nothing is ever dropped, and nothing is buffered without bound.

Matching: watchers of one key by dictionary; watchers of a prefix by one dictionary lookup for each
distinct prefix length in
use; other ranges one by one (few clients make them). Watchers of the same range share one entry.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from kvorum.limits import (
    MAX_WATCHERS_PER_STREAM,
    WATCH_CATCHUP_REVISIONS,
    WATCH_STREAM_BUFFER_BYTES,
)
from kvorum.machine.events import PUT, Event
from kvorum.replica.effects import Canceled, Created, Deliver, Delivery, Events, Progress
from kvorum.replica.requests import WatchSpec

_ITEM_OVERHEAD_BYTES = 64
_REFUSED_EMPTY = "mvcc: watcher range is empty"
_REFUSED_DUPLICATE = "mvcc: duplicate watch ID provided on the WatchStream"
_REFUSED_NEGATIVE = "etcdserver: mvcc: required revision has been compacted"
_REFUSED_TOO_MANY = "etcdserver: too many requests"


class Watcher:
    """One watcher of one stream."""

    __slots__ = (
        "active",
        "fragment",
        "group",
        "key",
        "next_revision",
        "no_delete",
        "no_put",
        "prev_kv",
        "progress_notify",
        "range_end",
        "reading",
        "stream",
        "synced",
        "watch_id",
    )

    def __init__(self, stream: Stream, watch_id: int, spec: WatchSpec, next_revision: int) -> None:
        self.stream = stream
        self.watch_id = watch_id
        self.key = spec.key
        self.range_end = spec.range_end
        self.prev_kv = spec.prev_kv
        self.fragment = spec.fragment
        self.no_put = spec.no_put
        self.no_delete = spec.no_delete
        self.progress_notify = spec.progress_notify
        self.next_revision = next_revision
        self.synced = False
        self.reading = 0  # token of a history read under way
        self.active = False  # sent something since the last progress interval
        self.group: dict[Watcher, None] = {}

    def wants(self, events: Iterable[Event]) -> tuple[Event, ...]:
        """The events that pass this watcher's filters and start revision."""
        first = self.next_revision
        if self.no_put or self.no_delete:
            return tuple(
                e
                for e in events
                if e.revision >= first and not (self.no_put if e.kind == PUT else self.no_delete)
            )
        return tuple(e for e in events if e.revision >= first)


class Stream:
    """One client stream: its watchers and the bytes handed to it that have not left yet."""

    __slots__ = ("items", "items_bytes", "next_id", "number", "outstanding_bytes", "watchers")

    def __init__(self, number: int) -> None:
        self.number = number
        self.watchers: dict[int, Watcher] = {}
        self.next_id = 0
        self.outstanding_bytes = 0
        self.items: list[Delivery] = []
        self.items_bytes = 0

    @property
    def full(self) -> bool:
        return self.outstanding_bytes + self.items_bytes >= WATCH_STREAM_BUFFER_BYTES

    def put(self, item: Delivery, size_bytes: int = 0) -> None:
        self.items.append(item)
        self.items_bytes += size_bytes + _ITEM_OVERHEAD_BYTES


def prefix_of(key: bytes, range_end: bytes) -> bytes | None:
    """The prefix whose keys are exactly ``[key, range_end)``, or None when the range is not a
    prefix."""
    if range_end == b"\0":
        return b"" if key == b"\0" else None
    if not key or len(range_end) > len(key):
        return None
    stem = key[: len(range_end)]
    if key[len(range_end) :].strip(b"\xff"):
        return None
    if stem[:-1] == range_end[:-1] and stem[-1] + 1 == range_end[-1]:
        return key
    return None


class _Index:
    """Which watchers care for a key."""

    def __init__(self) -> None:
        self._keys: dict[bytes, dict[Watcher, None]] = {}
        self._prefixes: dict[bytes, dict[Watcher, None]] = {}
        self._lengths: Counter[int] = Counter()
        self._ranges: dict[tuple[bytes, bytes], dict[Watcher, None]] = {}

    def add(self, watcher: Watcher) -> None:
        key, end = watcher.key, watcher.range_end
        if not end:
            group = self._keys.setdefault(key, {})
        else:
            prefix = prefix_of(key, end)
            if prefix is None:
                group = self._ranges.setdefault((key, end), {})
            else:
                if prefix not in self._prefixes:
                    self._lengths[len(prefix)] += 1
                group = self._prefixes.setdefault(prefix, {})
        group[watcher] = None
        watcher.group = group

    def remove(self, watcher: Watcher) -> None:
        watcher.group.pop(watcher, None)
        if watcher.group:
            return
        key, end = watcher.key, watcher.range_end
        if not end:
            self._keys.pop(key, None)
            return
        prefix = prefix_of(key, end)
        if prefix is None:
            self._ranges.pop((key, end), None)
        elif self._prefixes.pop(prefix, None) is not None:
            self._lengths[len(prefix)] -= 1
            if not self._lengths[len(prefix)]:
                del self._lengths[len(prefix)]

    def matching(self, key: bytes) -> list[dict[Watcher, None]]:
        """The groups of watchers whose range holds ``key``."""
        found = []
        group = self._keys.get(key)
        if group:
            found.append(group)
        for length in self._lengths:
            if length <= len(key):
                group = self._prefixes.get(key[:length])
                if group:
                    found.append(group)
        for (start, end), group in self._ranges.items():
            if start <= key and (end == b"\0" or key < end):
                found.append(group)
        return found


class WatchHub:
    """All watchers of a node.

    The replica feeds it applied events and asks for what streams should get; a watcher that needs
    the history is returned by
    :meth:`behind` and fed by :meth:`caught_up`.
    """

    def __init__(self, revision: int, compact_revision: int) -> None:
        self.revision = revision
        self.compact_revision = compact_revision
        self.streams: dict[int, Stream] = {}
        self.delivered_total = 0
        self._index = _Index()
        self._behind: dict[Watcher, None] = {}
        self._dirty: dict[Stream, None] = {}
        self._by_token: dict[int, Watcher] = {}

    # --- requests ---------------------------------------------------------------------------------

    def create(self, number: int, spec: WatchSpec) -> None:
        """Open a watcher; the answer is the next item of its stream, before any event."""
        stream = self.streams.get(number)
        if stream is None:
            stream = self.streams[number] = Stream(number)
        if not spec.key:
            spec = spec._replace(key=b"\0")
        refused = self._refusal(stream, spec)
        if refused:
            self._send(stream, Created(-1, self.revision, refused))
            return
        watch_id = spec.watch_id
        if not watch_id:
            while stream.next_id in stream.watchers:
                stream.next_id += 1
            watch_id = stream.next_id
            stream.next_id += 1
        watcher = Watcher(stream, watch_id, spec, spec.start_revision or self.revision + 1)
        stream.watchers[watch_id] = watcher
        self._index.add(watcher)
        self._send(stream, Created(watch_id, self.revision))
        if watcher.next_revision > self.revision:
            watcher.synced = True
        else:
            self._behind[watcher] = None

    @staticmethod
    def _refusal(stream: Stream, spec: WatchSpec) -> str:
        end = spec.range_end
        if end and end != b"\0" and end <= spec.key:
            return _REFUSED_EMPTY
        if spec.watch_id and spec.watch_id in stream.watchers:
            return _REFUSED_DUPLICATE
        if spec.start_revision < 0:
            return _REFUSED_NEGATIVE
        if len(stream.watchers) >= MAX_WATCHERS_PER_STREAM:
            return _REFUSED_TOO_MANY
        return ""

    def cancel(self, number: int, watch_id: int) -> None:
        """Close one watcher at the client's wish; an unknown id gets no answer."""
        stream = self.streams.get(number)
        watcher = stream.watchers.get(watch_id) if stream else None
        if stream is None or watcher is None:
            return
        self._forget(watcher)
        self._send(stream, Canceled(watch_id, self.revision))

    def close(self, number: int) -> None:
        """The stream ended."""
        stream = self.streams.pop(number, None)
        if stream is None:
            return
        for watcher in list(stream.watchers.values()):
            self._forget(watcher)
        self._dirty.pop(stream, None)

    def taken(self, number: int, taken_bytes: int) -> None:
        """The stream's writer got rid of this much."""
        stream = self.streams.get(number)
        if stream is not None:
            stream.outstanding_bytes = max(0, stream.outstanding_bytes - taken_bytes)

    def progress(self, number: int) -> None:
        """A mark for the whole stream, if every watcher of it has been given everything; else
        silence."""
        stream = self.streams.get(number)
        if stream is None or not stream.watchers:
            return
        if all(w.synced and w.next_revision <= self.revision + 1 for w in stream.watchers.values()):
            self._send(stream, Progress(-1, self.revision))

    def progress_due(self, number: int) -> None:
        """Periodic marks for watchers that asked for them, are synced and were silent since the
        last."""
        stream = self.streams.get(number)
        if stream is None:
            return
        for watcher in stream.watchers.values():
            if watcher.progress_notify and watcher.synced and not watcher.active:
                self._send(stream, Progress(watcher.watch_id, self.revision))
            watcher.active = False

    # --- events -----------------------------------------------------------------------------------

    def publish(self, events: Sequence[Event], revision: int) -> None:
        """Events of one revision, in order, just applied."""
        self.revision = revision
        matched: dict[Watcher, list[Event]] = {}
        for event in events:
            for group in self._index.matching(event.key):
                for watcher in group:
                    if watcher.synced:
                        matched.setdefault(watcher, []).append(event)
        for watcher, mine in matched.items():
            if watcher.next_revision > revision:
                continue
            if watcher.stream.full:
                watcher.synced = False
                watcher.next_revision = revision
                self._behind[watcher] = None
                continue
            self._deliver(watcher, watcher.wants(mine), revision)

    def _deliver(self, watcher: Watcher, events: tuple[Event, ...], revision: int) -> None:
        if not events:
            return
        watcher.active = True
        self.delivered_total += len(events)
        size = sum(len(e.framed_with_prev if watcher.prev_kv else e.framed) for e in events)
        self._send(
            watcher.stream,
            Events(watcher.watch_id, revision, events, watcher.prev_kv, watcher.fragment),
            size,
        )

    def compacted(self, revision: int) -> None:
        """Revisions below ``revision`` are gone; watchers that still need them learn it when they
        are served next."""
        self.compact_revision = max(self.compact_revision, revision)

    def reset(self, revision: int, compact_revision: int) -> None:
        """The store was replaced by a snapshot: every watcher goes on from where it was, out of the
        history."""
        for stream in self.streams.values():
            for watcher in stream.watchers.values():
                watcher.reading = 0
                if watcher.synced:
                    watcher.next_revision = max(watcher.next_revision, self.revision + 1)
                if watcher.next_revision <= revision:
                    watcher.synced = False
                    self._behind[watcher] = None
        self._by_token.clear()
        self.revision = revision
        self.compact_revision = max(compact_revision, self.compact_revision)

    # --- catching up ------------------------------------------------------------------------------

    def behind(self) -> list[Watcher]:
        """Watchers that can be served now: behind, their stream has room, no history read under
        way."""
        return [w for w in self._behind if not w.reading and not w.stream.full]

    def overtaken(self, watcher: Watcher) -> bool:
        """Cancels a watcher that needs revisions below the compact revision; True when it did."""
        if watcher.next_revision >= self.compact_revision:
            return False
        self._forget(watcher)
        self._send(watcher.stream, Canceled(watcher.watch_id, 0, self.compact_revision))
        return True

    def caught_up(self, watcher: Watcher, events: Sequence[Event], through: int) -> None:
        """Hand a watcher everything from its next revision through ``through``."""
        self._deliver(watcher, watcher.wants(events), self.revision)
        watcher.next_revision = max(watcher.next_revision, through + 1)
        if watcher.next_revision > self.revision:
            watcher.synced = True
            self._behind.pop(watcher, None)

    def reading(self, watcher: Watcher, token: int) -> None:
        """A history read for this watcher is under way."""
        watcher.reading = token
        self._by_token[token] = watcher

    def read_done(self, token: int) -> Watcher | None:
        """The watcher a history read was for, unless it is gone or was reset meanwhile."""
        watcher = self._by_token.pop(token, None)
        if watcher is None or watcher.reading != token:
            return None
        watcher.reading = 0
        return watcher

    @property
    def catch_up_revisions(self) -> int:
        """Whole revisions in one catch-up message."""
        return WATCH_CATCHUP_REVISIONS

    # --- out --------------------------------------------------------------------------------------

    def _send(self, stream: Stream, item: Delivery, size_bytes: int = 0) -> None:
        stream.put(item, size_bytes)
        self._dirty[stream] = None

    def deliveries(self, term: int) -> list[Deliver]:
        """What streams get now: one value a stream, so that all its messages leave in one write."""
        if not self._dirty:
            return []
        out = []
        for stream in self._dirty:
            stream.outstanding_bytes += stream.items_bytes
            out.append(Deliver(stream.number, tuple(stream.items), stream.items_bytes, term))
            stream.items = []
            stream.items_bytes = 0
        self._dirty.clear()
        return out

    def _forget(self, watcher: Watcher) -> None:
        watcher.stream.watchers.pop(watcher.watch_id, None)
        self._behind.pop(watcher, None)
        if watcher.reading:
            self._by_token.pop(watcher.reading, None)
        self._index.remove(watcher)

    @property
    def watcher_count(self) -> int:
        """Open watchers."""
        return sum(len(s.watchers) for s in self.streams.values())

    @property
    def slow_count(self) -> int:
        """Watchers that are behind."""
        return len(self._behind)
