"""Simulated time: a queue of things to happen, in order of time and then of arrival."""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable

TRACE_KEPT = 400


class SafetyViolation(AssertionError):
    """Something happened that must never happen. Carries the seed and the last events of the
    run."""


class World:
    """The clock, the dice and the memory of a run.

    Attributes:
        now_us: simulated time in microseconds. rng: the only source of chance. trace: the newest
        events in words, for whoever has to understand a failure.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.now_us = 0
        self.events = 0
        self.trace: deque[str] = deque(maxlen=TRACE_KEPT)
        self.trace_hash = 0
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._order = 0

    def after(self, delay_us: int, action: Callable[[], None]) -> None:
        """Let something happen ``delay_us`` from now."""
        self._order += 1
        heapq.heappush(self._queue, (self.now_us + max(0, delay_us), self._order, action))

    def note(self, text: str) -> None:
        """Remember an event; all of them make up the run's fingerprint."""
        line = f"{self.now_us / 1e6:10.6f} {text}"
        self.trace.append(line)
        self.trace_hash = _mix(self.trace_hash, line)

    def run_until(self, end_us: int, until: Callable[[], bool] | None = None) -> bool:
        """Let time pass until ``end_us``, or until a condition holds (True then)."""
        while self._queue and self._queue[0][0] <= end_us:
            at, _, action = heapq.heappop(self._queue)
            self.now_us = at
            self.events += 1
            action()
            if until is not None and until():
                return True
        self.now_us = max(self.now_us, end_us)
        return False

    def fail(self, what: str) -> None:
        """A property does not hold."""
        raise SafetyViolation(f"seed {self.seed} at {self.now_us / 1e6:.6f} s: {what}")


def _mix(state: int, text: str) -> int:
    """A fingerprint that does not depend on Python's hash seed."""
    for byte in text.encode():
        state = (state ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return state
