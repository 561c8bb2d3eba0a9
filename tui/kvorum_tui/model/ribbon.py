"""The event ribbon: what happened to the cluster, newest last, bounded."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

RIBBON_MAX = 500

# kind -> (letter, ink); the letter says the same as the colour.
KINDS: dict[str, tuple[str, str]] = {
    "lost": ("!", "bad"),
    "election": ("?", "warn"),
    "leader": ("L", "good"),
    "term": ("t", "accent"),
    "down": ("x", "bad"),
    "up": ("+", "good"),
    "fault": ("/", "warn"),
    "heal": ("=", "good"),
    "replaced": ("~", "warn"),
    "alarm": ("A", "bad"),
    "calm": ("a", "good"),
    "compact": ("c", "accent"),
    "config": ("m", "accent"),
    "note": ("·", "dim"),
}

# What one filters by: a name, and the kinds that belong to it.
GROUPS: dict[str, tuple[str, ...]] = {
    "all": tuple(KINDS),
    "leaders": ("lost", "election", "leader", "term", "replaced"),
    "members": ("down", "up", "config"),
    "alarms": ("alarm", "calm"),
    "faults": ("fault", "heal"),
    "store": ("compact", "note"),
}

# Of several events in one cell of the strip the first of these is shown.
WEIGHT = (
    "lost",
    "alarm",
    "down",
    "leader",
    "fault",
    "replaced",
    "config",
    "compact",
    "election",
    "up",
    "heal",
    "calm",
    "term",
    "note",
)


@dataclass(frozen=True, slots=True)
class RibbonEvent:
    """One thing that happened, at ``at`` seconds of the wall clock, when the store stood at
    ``revision`` (0: not known).
    """

    at: float
    kind: str
    text: str
    member: str = ""
    revision: int = 0


class Ribbon:
    """The newest :data:`RIBBON_MAX` events."""

    def __init__(self) -> None:
        self.events: deque[RibbonEvent] = deque(maxlen=RIBBON_MAX)
        self.total = 0

    def add(self, at: float, kind: str, text: str, member: str = "", revision: int = 0) -> None:
        """Append one event; ``kind`` is one of :data:`KINDS`."""
        if kind not in KINDS:
            raise ValueError(f"unknown kind of event: {kind}")
        self.events.append(RibbonEvent(at, kind, text, member, revision))
        self.total += 1

    def of(self, group: str, text: str = "") -> list[RibbonEvent]:
        """The events of a group of :data:`GROUPS` with a text in them, oldest first."""
        kinds, wanted = GROUPS[group], text.casefold()
        return [e for e in self.events if e.kind in kinds and wanted in e.text.casefold()]

    def strip(self, now: float, span_s: float, cells: int, group: str = "all") -> list[str]:
        """The last ``span_s`` seconds before ``now`` as ``cells`` kinds, oldest first; an empty one
        where nothing happened.
        """
        found: list[str] = [""] * cells
        for event in self.events:
            place = cells - 1 - int((now - event.at) / span_s * cells)
            if event.kind not in GROUPS[group] or not 0 <= place < cells:
                continue
            if not found[place] or WEIGHT.index(event.kind) < WEIGHT.index(found[place]):
                found[place] = event.kind
        return found
