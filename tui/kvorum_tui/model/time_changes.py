"""The changes around a revision, as rows, with what stood there before each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from kvorum_tui.model.records import KeyEvent

AROUND = 200  # Changes shown before, and after, where one stands.


@dataclass(frozen=True, slots=True)
class Before:
    """What a key was before a change; None: there was no key. ``lost``: compacted away."""

    value: bytes | None
    lost: bool = False


@dataclass
class Changes:
    """Rows oldest first. ``before``: by key and revision, filled in as it is read."""

    events: list[KeyEvent] = field(default_factory=list)
    before: dict[tuple[bytes, int], Before] = field(default_factory=dict)

    def show(self, events: Iterable[KeyEvent]) -> None:
        """Other rows; what is known of them stays."""
        self.events = list(events)
        kept = {(e.key, e.revision) for e in self.events}
        self.before = {place: b for place, b in self.before.items() if place in kept}
        newest: dict[bytes, KeyEvent] = {}
        for event in self.events:
            place = (event.key, event.revision)
            old = newest.get(event.key)
            if old is not None:
                self.before[place] = Before(old.value if old.kind == "put" else None)
            elif event.kind == "put" and event.version == 1:
                self.before[place] = Before(None)
            elif event.prev_value is not None:
                self.before[place] = Before(event.prev_value)
            newest[event.key] = event

    def lacking(self, around: int, most: int) -> list[KeyEvent]:
        """Rows near row ``around`` of which it is not known what was before."""
        near = self.events[max(0, around - most // 2) : around + most // 2 + 1]
        return [e for e in near if (e.key, e.revision) not in self.before][:most]

    def before_of(self, event: KeyEvent) -> Before | None:
        """What was before; None while it is not known."""
        return self.before.get((event.key, event.revision))

    def row_of(self, revision: int) -> int:
        """The last row at or before a revision; 0 when all come later."""
        rows = [n for n, event in enumerate(self.events) if event.revision <= revision]
        return rows[-1] if rows else 0
