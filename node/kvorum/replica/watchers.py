"""One watcher, and the client stream it shares with others."""

from __future__ import annotations

from collections.abc import Iterable

from kvorum.limits import WATCH_STREAM_BUFFER_BYTES
from kvorum.machine.events import PUT, Event
from kvorum.replica.effects import Delivery
from kvorum.replica.requests import WatchSpec

_ITEM_OVERHEAD_BYTES = 64


class Watcher:
    """One watcher of one stream.

    ``synced``: it has been given everything, and new events go straight to it. Otherwise it is
    behind: ``next_revision`` is the first revision it still needs. ``start_revision`` is what the
    client asked for, 0 for "from now on".
    """

    __slots__ = (
        "active",
        "fragment",
        "key",
        "next_revision",
        "no_delete",
        "no_put",
        "prev_kv",
        "progress_notify",
        "range_end",
        "start_revision",
        "stream",
        "synced",
        "watch_id",
    )

    def __init__(self, stream: Stream, watch_id: int, spec: WatchSpec, next_revision: int) -> None:
        self.stream = stream
        self.watch_id = watch_id
        self.key = spec.key
        self.range_end = spec.range_end
        self.start_revision = spec.start_revision
        self.prev_kv = spec.prev_kv
        self.fragment = spec.fragment
        self.no_put = spec.no_put
        self.no_delete = spec.no_delete
        self.progress_notify = spec.progress_notify
        self.next_revision = next_revision
        self.synced = False
        self.active = False  # sent something since the last progress interval

    def wants(self, events: Iterable[Event]) -> tuple[Event, ...]:
        """The events that pass this watcher's filters and that it has not been given yet."""
        first = self.next_revision
        if self.no_put or self.no_delete:
            return tuple(
                e
                for e in events
                if e.revision >= first and not (self.no_put if e.kind == PUT else self.no_delete)
            )
        return tuple(e for e in events if e.revision >= first)


class Stream:
    """One client stream: its watchers, and the bytes handed to it that have not left yet.

    ``recent`` are the watchers behind that the window of recent revisions can serve, ``old`` those
    that need the history first; both in the order in which it is their turn. ``reading`` is the
    token of the stream's one question to the history that is under way, 0 for none. ``ended`` are
    ids of watchers that a compaction has cancelled and the client has not.
    """

    __slots__ = (
        "buffer_bytes",
        "ended",
        "items",
        "items_bytes",
        "next_id",
        "number",
        "old",
        "outstanding_bytes",
        "reading",
        "recent",
        "watchers",
    )

    def __init__(self, number: int, buffer_bytes: int = WATCH_STREAM_BUFFER_BYTES) -> None:
        self.number = number
        self.buffer_bytes = buffer_bytes
        self.watchers: dict[int, Watcher] = {}
        self.ended: dict[int, None] = {}
        self.recent: dict[Watcher, None] = {}
        self.old: dict[Watcher, None] = {}
        self.reading = 0
        self.next_id = 0
        self.outstanding_bytes = 0
        self.items: list[Delivery] = []
        self.items_bytes = 0

    @property
    def full(self) -> bool:
        """Nothing more may be handed over until the client has read some."""
        return self.outstanding_bytes + self.items_bytes >= self.buffer_bytes

    def put(self, item: Delivery, size_bytes: int = 0) -> None:
        """Queue an item for the next delivery."""
        self.items.append(item)
        self.items_bytes += size_bytes + _ITEM_OVERHEAD_BYTES

    def is_free(self, watch_id: int) -> bool:
        """Whether no watcher has this id, nor had it when a compaction ended it."""
        return watch_id not in self.watchers and watch_id not in self.ended

    def auto_id(self) -> int:
        """The next id for a watcher whose client named none: from 0 upward, past those in use."""
        while not self.is_free(self.next_id):
            self.next_id += 1
        self.next_id += 1
        return self.next_id - 1
