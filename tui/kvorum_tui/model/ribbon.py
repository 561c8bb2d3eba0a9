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
    "note": ("·", "dim"),
}


@dataclass(frozen=True, slots=True)
class RibbonEvent:
    """One thing that happened, at ``at`` seconds of the wall clock."""

    at: float
    kind: str
    text: str
    member: str = ""


class Ribbon:
    """The newest :data:`RIBBON_MAX` events."""

    def __init__(self) -> None:
        self.events: deque[RibbonEvent] = deque(maxlen=RIBBON_MAX)
        self.total = 0

    def add(self, at: float, kind: str, text: str, member: str = "") -> None:
        """Append one event; ``kind`` is one of :data:`KINDS`."""
        if kind not in KINDS:
            raise ValueError(f"unknown kind of event: {kind}")
        self.events.append(RibbonEvent(at, kind, text, member))
        self.total += 1
