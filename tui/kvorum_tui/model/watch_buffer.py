"""One watch pane's events: a ring that follows or stands still, with pause, filter, coalescing, and
counters that leave nothing out.

Every event that came is in exactly one place, so that at any time::

    total == rows (each counts its events) + coalesced away + held while paused
             + hidden by the filter + dropped by a bound

Bounds are events and bytes, whichever is reached first. Gaps (history that a watch could not show,
events that a bound took from a paused pane) are rows of their own and never filtered.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from kvorum_tui.model.records import KeyEvent
from kvorum_tui.model.watch_filter import Filter

RING_EVENTS = 5_000  # Rows a pane keeps.
RING_BYTES = 16 * 1024 * 1024  # Their keys and values, and what Python adds.
ROW_BYTES = 250  # About what an event costs besides its bytes.
RATE_SECONDS = 60  # How far the strip of rates goes back.
COALESCE_FROM = 2_000  # Automatic: of more events a second, those of a frame are merged by key.
COALESCE = ("auto", "off", "always")


@dataclass(frozen=True, slots=True)
class Gap:
    """Something that is not here, and why: history compacted away, events dropped, a mark."""

    revision: int
    text: str
    kind: str = "gap"  # "gap", or "mark" where nothing is missing


@dataclass(slots=True)
class Merged:
    """Several changes of one key in one row: the newest, the value before the first, how many."""

    event: KeyEvent
    count: int
    first_revision: int

    @property
    def revision(self) -> int:
        """The newest change's."""
        return self.event.revision


Entry = KeyEvent | Gap | Merged


def event_of(entry: Entry) -> KeyEvent | None:
    """The change that a row shows; None for a gap."""
    if isinstance(entry, Gap):
        return None
    return entry.event if isinstance(entry, Merged) else entry


def weight(entry: Entry) -> int:
    """Bytes that a row costs."""
    if isinstance(entry, Gap):
        return ROW_BYTES
    event = entry.event if isinstance(entry, Merged) else entry
    return ROW_BYTES + len(event.key) + len(event.value) + len(event.prev_value or b"")


class Ring:
    """Entries up to two bounds. ``taken`` counts the entries that went in at the end."""

    def __init__(self, entries_max: int, bytes_max: int) -> None:
        self.entries_max = entries_max
        self.bytes_max = bytes_max
        self.entries: deque[Entry] = deque()
        self._weights: deque[int] = deque()
        self.bytes = 0
        self.taken = 0

    def __len__(self) -> int:
        return len(self.entries)

    def append(self, entry: Entry) -> int:
        """Take one in; returns how many events had to go for it."""
        size = weight(entry)
        self.entries.append(entry)
        self._weights.append(size)
        self.bytes += size
        self.taken += 1
        lost = 0
        while len(self.entries) > self.entries_max or (
            self.bytes > self.bytes_max and len(self.entries) > 1
        ):
            gone = self.entries.popleft()
            self.bytes -= self._weights.popleft()
            lost += not isinstance(gone, Gap)
        return lost

    def replace(self, number: int, entry: Entry) -> bool:
        """Put another entry in the place of the ``number``-th ever taken; False when it is gone."""
        place = number - (self.taken - len(self.entries))
        if place < 0:
            return False
        size = weight(entry)
        self.bytes += size - self._weights[place]
        self.entries[place], self._weights[place] = entry, size
        return True

    def events(self) -> int:
        """Entries that are no gaps."""
        return sum(not isinstance(entry, Gap) for entry in self.entries)

    def clear(self) -> list[Entry]:
        """Empty it; returns what was in it."""
        entries = list(self.entries)
        self.entries.clear()
        self._weights.clear()
        self.bytes = 0
        return entries


class WatchBuffer:
    """The rings of one pane: what is shown, what the filter hides, what a pause holds back."""

    def __init__(self, capacity: int = RING_EVENTS, capacity_bytes: int = RING_BYTES) -> None:
        self.ring = Ring(capacity, capacity_bytes)
        self._hidden = Ring(capacity, capacity_bytes // 4)
        self._held = Ring(capacity, capacity_bytes // 2)
        self.filter = Filter()
        self.paused = False
        self.coalescing = "auto"
        self.total = 0
        self.dropped = 0
        self.coalesced = 0
        self.gaps = 0
        self.last_revision = 0
        self._hidden_gone = 0
        self._held_gone = 0
        self._fresh: dict[bytes, int] = {}
        self._merging = False
        self._per_second: Counter[int] = Counter()

    # --- what there is ----------------------------------------------------------------------------

    @property
    def entries(self) -> deque[Entry]:
        """The rows."""
        return self.ring.entries

    @property
    def held(self) -> int:
        """Events that a pause holds back and still has."""
        return self._held.events()

    @property
    def hidden(self) -> int:
        """Events that the filter hides, those included that are not kept any more."""
        return self._hidden.events() + self._hidden_gone

    def kept(self) -> int:
        """Rows that are events."""
        return self.ring.events()

    # --- events come ------------------------------------------------------------------------------

    def add(self, entries: Sequence[Entry], now: float) -> int:
        """Take in what a watch brought; returns how many rows came to be."""
        if not entries:
            return 0
        before = self.ring.taken
        came = sum(not isinstance(entry, Gap) for entry in entries)
        self.total += came
        self._count(now, came)
        busy = self.coalescing == "auto" and self._per_second[int(now)] > COALESCE_FROM
        self._merging = busy or self.coalescing == "always"
        for entry in entries:
            self._take(entry)
        return self.ring.taken - before

    def _take(self, entry: Entry) -> None:
        """Put one entry where it belongs."""
        if entry.revision > self.last_revision:
            self.last_revision = entry.revision
        if isinstance(entry, Gap):
            self.gaps += entry.kind == "gap"
            if self.paused:
                self._lose_held(self._held.append(entry))
            else:
                self.dropped += self.ring.append(entry)
                self._fresh.clear()
            return
        event = entry.event if isinstance(entry, Merged) else entry
        if self.filter and not self.filter.shows(event):
            self._hidden_gone += self._hidden.append(entry)
        elif self.paused:
            self._lose_held(self._held.append(entry))
        else:
            self._show(entry, event)

    def _lose_held(self, lost: int) -> None:
        self._held_gone += lost
        self.dropped += lost

    def _show(self, entry: KeyEvent | Merged, event: KeyEvent) -> None:
        if self._merging:
            number = self._fresh.get(event.key)
            if number is not None and self._merge(number, event):
                return
            self._fresh[event.key] = self.ring.taken
        self.dropped += self.ring.append(entry)

    def _merge(self, number: int, event: KeyEvent) -> bool:
        place = number - (self.ring.taken - len(self.ring))
        if place < 0:
            return False
        old = self.ring.entries[place]
        if isinstance(old, Gap):
            return False
        first, count = (old.event, old.count) if isinstance(old, Merged) else (old, 1)
        since = old.first_revision if isinstance(old, Merged) else old.revision
        newest = replace(event, prev_value=first.prev_value, prev_revision=first.prev_revision)
        self.ring.replace(number, Merged(newest, count + 1, since))
        self.coalesced += 1
        return True

    def frame(self) -> None:
        """What is shown has been painted: rows that came until now are not merged any more, except
        where merging is wanted always.
        """
        if self.coalescing != "always" or len(self._fresh) > self.ring.entries_max:
            self._fresh.clear()

    # --- what a user does -------------------------------------------------------------------------

    def pause(self, paused: bool) -> int:
        """Hold events back, or let the held ones in; returns how many came in."""
        self.paused = paused
        if paused:
            return 0
        held, lost = self._held.clear(), self._held_gone
        self._held_gone = 0
        if lost and held:
            text = f"{lost:,} events dropped: more came than a paused pane holds"
            self.gaps += 1
            self.dropped += self.ring.append(Gap(held[0].revision, text))
        for entry in held:
            self.dropped += self.ring.append(entry)
        return len(held)

    def set_filter(self, text: str) -> str:
        """Filter what comes and what is here, bringing back what an earlier filter hid and that is
        still kept; returns what is wrong with it, or ''.
        """
        self.filter = Filter(text)
        self._fresh.clear()
        entries = sorted(
            [*self._hidden.clear(), *self.ring.clear()],
            key=lambda entry: (entry.revision, not isinstance(entry, Gap)),
        )
        for entry in entries:
            event = event_of(entry)
            if event is None or self.filter.shows(event):
                self.dropped += self.ring.append(entry)
            else:
                self._hidden_gone += self._hidden.append(entry)
        return self.filter.error

    def clear(self) -> None:
        """Forget what is shown; the watch goes on and the counters count on."""
        for ring in (self.ring, self._held, self._hidden):
            self.dropped += ring.events()
            ring.clear()
        self._fresh.clear()

    # --- rates ------------------------------------------------------------------------------------

    def _count(self, now: float, events: int) -> None:
        second = int(now)
        self._per_second[second] += events
        if len(self._per_second) > 2 * RATE_SECONDS:
            for old in [s for s in self._per_second if s <= second - RATE_SECONDS]:
                del self._per_second[old]

    def rate(self, now: float, over_s: int = 5) -> float:
        """Events a second over the newest whole seconds and the one under way."""
        return sum(self.seconds(now, over_s)) / over_s

    def seconds(self, now: float, count: int) -> list[int]:
        """Events in each of the newest seconds, oldest first; the last one is under way."""
        last = int(now)
        return [self._per_second.get(second, 0) for second in range(last - count + 1, last + 1)]


SPARKS = " ▁▂▃▄▅▆▇█"


def spark(values: Iterable[int]) -> str:
    """A strip of bars, the highest value as the full one; an empty second is a blank."""
    numbers = list(values)
    top = max(numbers, default=0)
    if not top:
        return " " * len(numbers)
    last = len(SPARKS) - 1
    return "".join(SPARKS[max(1, round(n * last / top)) if n else 0] for n in numbers)
