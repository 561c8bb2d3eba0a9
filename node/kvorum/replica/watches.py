"""All watchers of a node: who wants which keys, how far each has come, what its stream can take.

A watcher is *synced* while everything up to the store's revision has been handed to its stream;
then new events go straight to it. It falls behind when it starts at an old revision or when its
stream's buffer is full; then only the next revision it needs is remembered, and it catches up in
whole revisions (see ``catchup``). Nothing is ever dropped, and nothing is buffered without bound.

Rules of the contract page "semantics", section 6, are kept here: ids, the order of answers, what a
progress mark may claim.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kvorum.limits import MAX_WATCHERS_PER_STREAM, WATCH_ENDED_IDS, WATCH_STREAM_BUFFER_BYTES
from kvorum.machine.events import Event
from kvorum.replica.effects import Canceled, Created, Deliver, Delivery, Events, Progress
from kvorum.replica.requests import WatchSpec
from kvorum.replica.watchers import Stream, Watcher
from kvorum.replica.watchindex import WatchIndex

_REFUSED_EMPTY = "mvcc: watcher range is empty"
_REFUSED_DUPLICATE = "mvcc: duplicate watch ID provided on the WatchStream"
_REFUSED_NEGATIVE = "etcdserver: mvcc: required revision has been compacted"
_REFUSED_TOO_MANY = "etcdserver: too many requests"


class WatchHub:
    """All watchers of a node, by stream.

    The replica feeds it applied events (:meth:`publish`) and takes what streams should get
    (:meth:`deliveries`); what watchers behind need is brought by ``catchup.CatchUp``.
    """

    def __init__(
        self,
        revision: int,
        compact_revision: int,
        buffer_bytes: int = WATCH_STREAM_BUFFER_BYTES,
    ) -> None:
        self._buffer_bytes = buffer_bytes
        self.revision = revision
        self.compact_revision = compact_revision
        self.streams: dict[int, Stream] = {}
        self.delivered_total = 0
        self._live = WatchIndex()
        self._lagging: dict[Stream, None] = {}
        self._dirty: dict[Stream, None] = {}

    # --- requests ---------------------------------------------------------------------------------

    def create(self, number: int, spec: WatchSpec) -> None:
        """Open a watcher; the answer is the next item of its stream, before any event."""
        stream = self.streams.get(number)
        if stream is None:
            stream = self.streams[number] = Stream(number, self._buffer_bytes)
        if not spec.key:
            spec = spec._replace(key=b"\0")
        refused = spec.refused or self._refusal(stream, spec)
        if refused:
            self._send(stream, Created(-1, self.revision, refused))
            return
        watch_id = spec.watch_id or stream.auto_id()
        watcher = Watcher(stream, watch_id, spec, spec.start_revision or self.revision + 1)
        stream.watchers[watch_id] = watcher
        self._send(stream, Created(watch_id, self.revision))
        if watcher.next_revision > self.revision:
            self._synced(watcher)
        else:
            self._behind(watcher)

    @staticmethod
    def _refusal(stream: Stream, spec: WatchSpec) -> str:
        end = spec.range_end
        if end and end != b"\0" and end <= spec.key:
            return _REFUSED_EMPTY
        if spec.watch_id and not stream.is_free(spec.watch_id):
            return _REFUSED_DUPLICATE
        if spec.start_revision < 0:
            return _REFUSED_NEGATIVE
        if len(stream.watchers) >= MAX_WATCHERS_PER_STREAM:
            return _REFUSED_TOO_MANY
        return ""

    def cancel(self, number: int, watch_id: int) -> None:
        """Close one watcher at the client's wish; an unknown id gets no answer.

        One that a compaction has ended is answered, once, as in etcd.
        """
        stream = self.streams.get(number)
        if stream is None:
            return
        watcher = stream.watchers.get(watch_id)
        if watcher is not None:
            self._forget(watcher)
        elif watch_id in stream.ended:
            del stream.ended[watch_id]
        else:
            return
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
        """A mark for the whole stream, if it may claim that all has been delivered; else silence.

        It may not while a watcher is behind, nor below a revision that a watcher starts at: its
        client would go back to before what it asked for (etcd#15220, #20221).
        """
        stream = self.streams.get(number)
        if stream is None or not stream.watchers:
            return
        if all(self._may_mark(watcher) for watcher in stream.watchers.values()):
            self._send(stream, Progress(-1, self.revision))

    def progress_due(self, number: int) -> None:
        """Periodic marks for watchers that asked for them and were silent since the last."""
        stream = self.streams.get(number)
        if stream is None:
            return
        for watcher in stream.watchers.values():
            if watcher.progress_notify and not watcher.active and self._may_mark(watcher):
                self._send(stream, Progress(watcher.watch_id, self.revision))
            watcher.active = False

    def _may_mark(self, watcher: Watcher) -> bool:
        return watcher.synced and watcher.start_revision <= self.revision

    # --- events -----------------------------------------------------------------------------------

    def publish(self, events: Sequence[Event], revision: int) -> None:
        """Events of one revision, in order, just applied."""
        self.revision = revision
        matched: dict[Watcher, list[Event]] = {}
        for event in events:
            for group in self._live.matching(event.key):
                for watcher in group:
                    matched.setdefault(watcher, []).append(event)
        for watcher, mine in matched.items():
            if watcher.next_revision > revision:
                continue
            if watcher.stream.full:
                watcher.next_revision = revision
                self._behind(watcher)
            else:
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
        """Revisions below ``revision`` are gone; watchers that still need them learn it when it is
        their turn to be served.
        """
        self.compact_revision = max(self.compact_revision, revision)

    def reset(self, revision: int, compact_revision: int) -> None:
        """The store was replaced by a snapshot: every watcher goes on from where it was, out of the
        history that came with it (etcd#15271).
        """
        for stream in self.streams.values():
            stream.reading = 0
            for watcher in stream.watchers.values():
                if watcher.synced:
                    watcher.next_revision = max(watcher.next_revision, self.revision + 1)
                    if watcher.next_revision <= revision:
                        self._behind(watcher)
        self.revision = revision
        self.compact_revision = max(compact_revision, self.compact_revision)

    # --- catching up ------------------------------------------------------------------------------

    def lagging(self) -> list[Stream]:
        """Streams with watchers behind that have room for more, those served longest ago first."""
        return [stream for stream in self._lagging if not stream.full]

    def served(self, stream: Stream) -> None:
        """A stream had its turn: others come first now."""
        if self._lagging.pop(stream, stream) is None:
            self._lagging[stream] = None

    def overtaken(self, watcher: Watcher) -> bool:
        """Cancels a watcher that needs revisions below the compact revision; True when it did."""
        if watcher.next_revision >= self.compact_revision:
            return False
        self._forget(watcher)
        stream = watcher.stream
        stream.ended[watcher.watch_id] = None
        if len(stream.ended) > WATCH_ENDED_IDS:
            del stream.ended[next(iter(stream.ended))]
        self._send(stream, Canceled(watcher.watch_id, 0, self.compact_revision))
        return True

    def caught_up(self, watcher: Watcher, events: Sequence[Event], through: int) -> None:
        """Hand a watcher everything from its next revision through ``through``."""
        if watcher.prev_kv and events and events[0].revision <= self.compact_revision:
            events = list(_without_compacted_prev(events, self.compact_revision))
        self._deliver(watcher, watcher.wants(events), self.revision)
        watcher.next_revision = max(watcher.next_revision, through + 1)
        if watcher.next_revision > self.revision:
            self._synced(watcher)
        else:
            self._behind(watcher)

    def needs_history(self, watcher: Watcher) -> None:
        """The window does not reach back to what this watcher needs next."""
        watcher.stream.recent.pop(watcher, None)
        watcher.stream.old[watcher] = None

    def _behind(self, watcher: Watcher) -> None:
        """It stands at the end of its stream's line now."""
        stream = watcher.stream
        if watcher.synced:
            watcher.synced = False
            self._live.remove(watcher)
        stream.old.pop(watcher, None)
        stream.recent.pop(watcher, None)
        stream.recent[watcher] = None
        self._lagging.setdefault(stream, None)

    def _synced(self, watcher: Watcher) -> None:
        self._leave_line(watcher)
        watcher.synced = True
        self._live.add(watcher)

    def _leave_line(self, watcher: Watcher) -> None:
        stream = watcher.stream
        stream.recent.pop(watcher, None)
        stream.old.pop(watcher, None)
        if not stream.recent and not stream.old:
            self._lagging.pop(stream, None)

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
        del watcher.stream.watchers[watcher.watch_id]
        if watcher.synced:
            self._live.remove(watcher)
        else:
            self._leave_line(watcher)

    @property
    def watcher_count(self) -> int:
        """Open watchers."""
        return sum(len(s.watchers) for s in self.streams.values())

    @property
    def slow_count(self) -> int:
        """Watchers that are behind."""
        return sum(len(s.recent) + len(s.old) for s in self._lagging)


def _without_compacted_prev(events: Sequence[Event], compacted: int) -> Iterator[Event]:
    """The record before an event is one of the revision before, which nobody may read once it is
    compacted: whether it is still there would differ from member to member.
    """
    for e in events:
        gone = e.revision <= compacted
        yield Event(e.revision, e.sub, e.kind, e.frame, None, e.key) if gone else e
