"""The last revisions, in memory: for watchers that lag a little and for reads at a revision of a
moment ago.

The window is not part of the replicated state: a node that has just started has an empty one and
answers the same questions from its history. Its revisions follow one another without a gap, so a
revision is an index into a list.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice
from typing import Final, NamedTuple

from kvorum import limits
from kvorum.machine.events import Event

_EVENT_OVERHEAD_BYTES: Final = 200  # The Event object, its tuple and its slots, roughly.


class CatchUp(NamedTuple):
    """Revisions with at least one matching event, oldest first, and the first revision not looked
    at.
    """

    groups: tuple[tuple[int, tuple[Event, ...]], ...]
    next_revision: int


def contains(key: bytes, range_end: bytes, candidate: bytes) -> bool:
    """Whether ``candidate`` is in a range as etcd writes it (contract page "semantics", section
    0.2).
    """
    if not range_end:
        return candidate == key
    if range_end == b"\0":
        return candidate >= key
    return key <= candidate < range_end


class Window:
    """Events of the revisions ``floor + 1`` .. ``last``.

    Bounded by ``limits.WINDOW_EVENTS`` and ``limits.WINDOW_BYTES``, oldest out first, but a
    revision leaves only when the driver has said that the history holds it (``release``) or when a
    compaction has made it unreadable (``drop_below``).
    """

    __slots__ = ("_groups", "_head", "event_count", "floor", "released", "size_bytes")

    def __init__(self, revision: int) -> None:
        self._groups: list[tuple[Event, ...]] = []
        self._head = 0
        self.floor = revision  # The oldest revision whose state can be told from here.
        self.released = revision
        self.event_count = 0
        self.size_bytes = 0

    @property
    def last(self) -> int:
        """The newest revision held (``floor`` when there is none)."""
        return self.floor + len(self._groups) - self._head

    @property
    def overfull(self) -> bool:
        """The history is so far behind that no more proposals should be let in."""
        return (
            self.event_count > limits.WINDOW_HARD_EVENTS
            or self.size_bytes > limits.WINDOW_HARD_BYTES
        )

    def append(self, events: tuple[Event, ...]) -> None:
        """Take in the next revision. Raises ValueError for any other: a gap would falsify every
        read behind it.
        """
        if events[0].revision != self.last + 1:
            raise ValueError(f"revision {events[0].revision} after {self.last}")
        self._groups.append(events)
        self.event_count += len(events)
        self.size_bytes += _weight(events)
        if self.event_count > limits.WINDOW_EVENTS or self.size_bytes > limits.WINDOW_BYTES:
            self._trim()

    def release(self, revision: int) -> None:
        """The history holds everything up to ``revision``: it may leave the window when room is
        needed.
        """
        self.released = max(self.released, revision)
        self._trim()

    def drop_below(self, revision: int) -> None:
        """Forget revisions below ``revision``: compacted, nobody may read them; ``revision`` itself
        is kept.
        """
        while self._head < len(self._groups) and self.floor + 1 < revision:
            self._evict()
        self._shrink()

    def since(self, revision: int) -> Iterator[Event]:
        """All events after ``revision`` (not below ``floor``), in order."""
        start = self._head + max(revision - self.floor, 0)
        return chain.from_iterable(islice(self._groups, start, None))

    def events_since(
        self,
        revision: int,
        key: bytes,
        range_end: bytes = b"",
        limit_revisions: int = limits.WATCH_CATCHUP_REVISIONS,
    ) -> CatchUp | None:
        """Events from ``revision`` on (inclusive) for a watcher, at most ``limit_revisions``
        revisions of them.

        None when ``revision`` is older than the window: ask the history. An empty range yields
        nothing.
        """
        if revision <= self.floor:
            return None
        groups: list[tuple[int, tuple[Event, ...]]] = []
        following = max(self.last + 1, revision)
        start = self._head + revision - self.floor - 1
        for events in islice(self._groups, start, None):
            found = tuple([e for e in events if contains(key, range_end, e.key)])
            if found:
                if len(groups) == limit_revisions:
                    following = events[0].revision
                    break
                groups.append((events[0].revision, found))
        return CatchUp(tuple(groups), following)

    def _trim(self) -> None:
        while (
            self._head < len(self._groups)
            and self.floor < self.released
            and (self.event_count > limits.WINDOW_EVENTS or self.size_bytes > limits.WINDOW_BYTES)
        ):
            self._evict()
        self._shrink()

    def _evict(self) -> None:
        events = self._groups[self._head]
        self._groups[self._head] = ()
        self._head += 1
        self.floor += 1
        self.event_count -= len(events)
        self.size_bytes -= _weight(events)

    def _shrink(self) -> None:
        """Give back the list's dead front, seldom enough that each slot is moved once or twice in
        its life.
        """
        if self._head > 1024 and self._head * 2 > len(self._groups):
            del self._groups[: self._head]
            self._head = 0


def _weight(events: tuple[Event, ...]) -> int:
    return sum(len(event.frame) for event in events) + _EVENT_OVERHEAD_BYTES * len(events)
