"""The moment of a recording at which one looks: it stands, or runs along recorded time. Pure; the
clock is handed in.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

SPEEDS = (0.25, 0.5, 1.0, 2.0, 4.0, 10.0, 30.0, 100.0)


@dataclass(frozen=True, slots=True)
class Moment:
    """Where a playback stands. Times in milliseconds since 1970."""

    at_ms: int
    revision: int
    playing: bool
    speed: float
    begin_ms: int
    end_ms: int


class Playback:
    """Runs from ``begin_ms`` to ``end_ms``; starts at the end, standing. ``arrivals`` are (time,
    revision), ascending: what had arrived by then. ``winds`` counts the times it was set elsewhere.
    """

    def __init__(
        self, begin_ms: int, end_ms: int, arrivals: list[tuple[int, int]], first_revision: int
    ) -> None:
        self.begin_ms = begin_ms
        self.end_ms = max(begin_ms, end_ms)
        self._times = [at for at, _ in arrivals]
        self._revisions = [revision for _, revision in arrivals]
        self._first = first_revision
        self._at_ms = float(self.end_ms)
        self._since = 0.0
        self.playing = False
        self.speed = 1.0
        self.winds = 0

    def moment(self, now: float) -> Moment:
        """Where it stands at a moment of the clock (seconds); stops at the end."""
        at = self._position(now)
        if self.playing and at >= self.end_ms:
            self._set(at, now)
            self.playing = False
        return Moment(
            int(at), self.revision_at(int(at)), self.playing, self.speed, self.begin_ms, self.end_ms
        )

    def _position(self, now: float) -> float:
        at = self._at_ms
        if self.playing:
            at += (now - self._since) * 1000 * self.speed
        return min(float(self.end_ms), max(float(self.begin_ms), at))

    def _set(self, at: float, now: float) -> None:
        self._at_ms, self._since = min(float(self.end_ms), max(float(self.begin_ms), at)), now

    def revision_at(self, at_ms: int) -> int:
        """The newest revision that had arrived by then."""
        number = bisect_right(self._times, at_ms)
        return self._revisions[number - 1] if number else self._first

    def time_of(self, revision: int) -> int:
        """When a revision had arrived; the beginning for what was there before."""
        for at, known in zip(self._times, self._revisions, strict=True):
            if known >= revision:
                return at
        return self.end_ms

    def play(self, on: bool, now: float) -> None:
        """Run, or stand. At the end it begins anew."""
        at = self._position(now)
        if on and at >= self.end_ms:
            at = float(self.begin_ms)
            self.winds += 1
        self._set(at, now)
        self.playing = on

    def seek(self, at_ms: int, now: float) -> None:
        """Stand or run on from another moment."""
        self._set(float(at_ms), now)
        self.winds += 1

    def faster(self, by: int, now: float) -> float:
        """Another speed, up or down; returns it."""
        self._set(self._position(now), now)
        at = SPEEDS.index(self.speed)
        self.speed = SPEEDS[max(0, min(len(SPEEDS) - 1, at + by))]
        return self.speed
