"""One watch pane's events: a ring that follows or stands still, with pause, filter and honest
counters.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass

from kvorum_tui.model.decode import key_from_text
from kvorum_tui.model.records import KeyEvent

RING_EVENTS = 5_000  # Events a pane keeps.
PAUSED_EVENTS = 5_000  # Events held while paused; older ones are counted as dropped.


@dataclass(frozen=True, slots=True)
class Gap:
    """History that a watch could not show: compacted away, or lost while the cluster was away."""

    revision: int
    text: str


Entry = KeyEvent | Gap


class Filter:
    """What to show: words that must all match. ``put``/``delete`` pick the kind, ``!word``
    excludes, ``~re`` is a regular expression; all others are looked for in key and value.
    """

    def __init__(self, text: str = "") -> None:
        self.text = text.strip()
        self.error = ""
        self._tests: list[tuple[bool, str, bytes | re.Pattern[bytes]]] = []
        for word in self.text.split():
            wanted = not word.startswith("!")
            word = word.removeprefix("!")
            if word in ("put", "delete"):
                self._tests.append((wanted, "kind", word.encode()))
            elif word.startswith("~"):
                try:
                    self._tests.append((wanted, "regex", re.compile(word[1:].encode())))
                except re.error as error:
                    self.error = f"{word}: {error}"
            elif word:
                self._tests.append((wanted, "text", key_from_text(word)))

    def shows(self, entry: Entry) -> bool:
        """Whether an entry passes. Gaps always do."""
        if isinstance(entry, Gap):
            return True
        for wanted, kind, what in self._tests:
            if kind == "kind":
                hit = entry.kind.encode() == what
            elif isinstance(what, re.Pattern):
                hit = bool(what.search(entry.key) or what.search(entry.value))
            else:
                hit = what in entry.key or what in entry.value
            if hit != wanted:
                return False
        return True


class WatchBuffer:
    """The ring of one pane. ``total`` counts all that arrived, ``dropped`` what the bounds took."""

    def __init__(self, capacity: int = RING_EVENTS) -> None:
        self.entries: deque[Entry] = deque(maxlen=capacity)
        self.held: deque[Entry] = deque(maxlen=PAUSED_EVENTS)
        self.filter = Filter()
        self.paused = False
        self.total = 0
        self.hidden = 0
        self.dropped = 0
        self.last_revision = 0
        self._times: deque[tuple[float, int]] = deque(maxlen=64)

    def add(self, entries: list[Entry], now: float) -> int:
        """Take in entries; returns how many became visible."""
        self.total += len(entries)
        self._times.append((now, len(entries)))
        visible = 0
        for entry in entries:
            self.last_revision = max(self.last_revision, entry.revision)
            if not self.filter.shows(entry):
                self.hidden += 1
            elif self.paused:
                self.dropped += len(self.held) == self.held.maxlen
                self.held.append(entry)
            else:
                self.entries.append(entry)
                visible += 1
        return visible

    def pause(self, paused: bool) -> int:
        """Hold events back, or let the held ones in; returns how many came in."""
        self.paused = paused
        if paused:
            return 0
        released = len(self.held)
        self.entries.extend(self.held)
        self.held.clear()
        return released

    def set_filter(self, text: str) -> str:
        """Filter from now on and in what is already there; returns an error in the filter,
        or ''.
        """
        self.filter = Filter(text)
        kept = [entry for entry in self.entries if self.filter.shows(entry)]
        self.hidden += len(self.entries) - len(kept)
        self.entries.clear()
        self.entries.extend(kept)
        return self.filter.error

    def rate(self, now: float, over_s: float = 5.0) -> float:
        """Events a second over the newest seconds."""
        return sum(n for at, n in self._times if now - at <= over_s) / over_s

    def clear(self) -> None:
        """Forget what is shown; the watch goes on."""
        self.entries.clear()
        self.held.clear()
