"""Simulated time: a queue of things to happen, in order of time and then of arrival."""

from __future__ import annotations

import hashlib
import heapq
import random
from collections import Counter, deque
from collections.abc import Callable

TRACE_KEPT = 400
TRACE_KEPT_VERBOSE = 20_000


def between(rng: random.Random, low: int, high: int) -> int:
    """``rng.randint(low, high)``, number for number, in a third of its time."""
    size = high - low + 1
    bits = size.bit_length()
    drawn = rng.getrandbits(bits)
    while drawn >= size:
        drawn = rng.getrandbits(bits)
    return low + drawn


class SafetyViolation(AssertionError):
    """Something happened that must never happen. Carries the seed and the moment.

    ``what`` is the property that does not hold, without either.
    """

    def __init__(self, message: str, what: str = "") -> None:
        super().__init__(message)
        self.what = what or message


class World:
    """The clock, the dice and the memory of a run.

    Attributes:
        now_us: simulated time in microseconds. trace: the newest events in words, for whoever has
        to understand a failure; with ``verbose`` many more, which are no part of the fingerprint.
        coverage: how often each fault struck and each path was taken.
    """

    def __init__(self, seed: int, verbose: bool = False) -> None:
        self.seed = seed
        self.rng = self.dice("world")
        self.now_us = 0
        self.events = 0
        self.verbose = verbose
        self.trace: deque[str] = deque(maxlen=TRACE_KEPT_VERBOSE if verbose else TRACE_KEPT)
        self.coverage: Counter[str] = Counter()
        self._fingerprint = hashlib.blake2b(digest_size=8)
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._order = 0

    def dice(self, whose: str) -> random.Random:
        """Chance for one part of the world, which no other part's use of its own changes."""
        return random.Random(f"{self.seed} {whose}")

    def after(self, delay_us: int, action: Callable[[], None]) -> None:
        """Let something happen ``delay_us`` from now."""
        self._order += 1
        heapq.heappush(self._queue, (self.now_us + max(0, delay_us), self._order, action))

    def note(self, text: str) -> None:
        """Remember an event; all of them make up the run's fingerprint."""
        line = f"{self.now_us / 1e6:10.6f} {text}"
        self.trace.append(line)
        self._fingerprint.update(line.encode())

    def tell(self, text: Callable[[], str]) -> None:
        """Remember a detail, if anybody wants to read details."""
        if self.verbose:
            self.trace.append(f"{self.now_us / 1e6:10.6f} {text()}")

    @property
    def trace_hash(self) -> int:
        """The fingerprint of all events noted so far, in their order."""
        return int.from_bytes(self._fingerprint.digest(), "big")

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
        raise SafetyViolation(f"seed {self.seed} at {self.now_us / 1e6:.6f} s: {what}", what)
