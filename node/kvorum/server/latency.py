"""Latencies as a ring of the newest samples: cheap to add to, honest to read."""

from __future__ import annotations

from dataclasses import dataclass

from kvorum.limits import LATENCY_SAMPLES


@dataclass(frozen=True, slots=True)
class Latency:
    """Samples so far, and figures over the newest of them, in microseconds."""

    count: int = 0
    p50_us: int = 0
    p99_us: int = 0
    max_us: int = 0


class LatencyRing:
    """The newest samples.

    One thread adds; any may read, because a list's copy is one step of the interpreter.
    """

    def __init__(self, size: int = LATENCY_SAMPLES) -> None:
        self._samples: list[int] = []
        self._size = size
        self.count = 0

    def add(self, us: int) -> None:
        """One more sample, in microseconds."""
        if len(self._samples) < self._size:
            self._samples.append(us)
        else:
            self._samples[self.count % self._size] = us
        self.count += 1

    def read(self) -> Latency:
        """The figures now."""
        samples = sorted(self._samples[:])
        if not samples:
            return Latency()
        last = len(samples) - 1
        return Latency(self.count, samples[last // 2], samples[last * 99 // 100], samples[-1])
