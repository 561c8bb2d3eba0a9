"""Time, as the node takes it: a wall clock for stamps, and ticks that the replica lives by.

Ticks come from the monotonic clock only. A late tick is made up for: however long the loop (or the
whole process) stood still, the replica sees about as many ticks as intervals went by, so a leader
that slept knows that it slept.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from kvorum.limits import MAX_LATE_TICKS

_PPM = 1_000_000
_HAIR = 1e-3


class WallClock:
    """Milliseconds since 1970. ``jump_ms`` is a fault: what a wrongly set clock would show."""

    def __init__(self) -> None:
        self.jump_ms = 0

    def now_ms(self) -> int:
        """The time, for people: nothing in the cluster depends on it."""
        return time.time_ns() // 1_000_000 + self.jump_ms


class Ticker:
    """Calls ``on_ticks(n)`` as intervals go by.

    Args:
        interval_s: one tick.
        on_ticks: called on the loop with the number of ticks that went by since the last call (at
            least 1, and never more than ``MAX_LATE_TICKS``: after that long every timeout has
            passed anyway).
        on_late: called with the seconds by which the loop woke this ticker too late.
        now: seconds of a monotonic clock.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        interval_s: float,
        on_ticks: Callable[[int], None],
        on_late: Callable[[float], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._loop = loop
        self._interval_s = interval_s
        self._on_ticks = on_ticks
        self._on_late = on_late
        self._now = now
        self._rate = 1.0
        self._fraction = 0.0
        self._last = 0.0
        self._due = 0.0
        self._handle: asyncio.TimerHandle | None = None
        self._held = False

    def start(self) -> None:
        """Begin to tick."""
        self._last = self._now()
        self._arm()

    def stop(self) -> None:
        """End."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def hold(self) -> None:
        """Tick no more until ``release``."""
        self._held = True
        self.stop()

    def release(self) -> None:
        """Tick again; what went by meanwhile is made up for, as after a real pause."""
        if self._held:
            self._held = False
            self._fire()

    def set_rate(self, ppm: int) -> None:
        """From now on ticks run this much faster (positive) or slower, in parts per million."""
        self._account()
        self._rate = max(0.001, 1.0 + ppm / _PPM)
        if self._handle is not None:
            self._handle.cancel()
            self._arm()

    def _account(self) -> None:
        now = self._now()
        self._fraction += (now - self._last) * self._rate / self._interval_s
        self._last = now

    def _arm(self) -> None:
        wait_s = max(0.0, (1.0 - self._fraction) * self._interval_s / self._rate)
        self._due = self._last + wait_s
        self._handle = self._loop.call_later(wait_s, self._fire)

    def _fire(self) -> None:
        self._account()
        if self._due:
            self._on_late(max(0.0, self._last - self._due))
        # A timer may fire a hair early, and sums of floats fall a hair short.
        passed = int(self._fraction + _HAIR)
        if passed:
            self._fraction -= passed
            self._on_ticks(min(passed, MAX_LATE_TICKS))
        self._arm()
