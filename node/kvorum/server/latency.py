"""Latencies: a ring of the newest samples, and counts of all of them for a histogram. Cheap to add
to, honest to read.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

from kvorum.limits import LATENCY_SAMPLES


@dataclass(frozen=True, slots=True)
class Latency:
    """Samples so far, and figures over the newest of them, in microseconds."""

    count: int = 0
    p50_us: int = 0
    p99_us: int = 0
    max_us: int = 0


# Upper bounds of the buckets: those of etcd's histograms of the disk, 1 ms to 8.192 s.
BUCKETS_US = tuple(1_000 << n for n in range(14))


@dataclass(frozen=True, slots=True)
class Histogram:
    """All samples so far: how many up to each of BUCKETS_US (and above), and their sum."""

    counts: tuple[int, ...]
    sum_us: int


class LatencyRing:
    """The newest samples.

    One thread adds; any may read, because a list's copy is one step of the interpreter.
    """

    def __init__(self, size: int = LATENCY_SAMPLES) -> None:
        self._samples: list[int] = []
        self._size = size
        self.count = 0
        self._counts = [0] * (len(BUCKETS_US) + 1)
        self._sum_us = 0

    def add(self, us: int) -> None:
        """One more sample, in microseconds."""
        if len(self._samples) < self._size:
            self._samples.append(us)
        else:
            self._samples[self.count % self._size] = us
        self.count += 1
        self._counts[bisect_left(BUCKETS_US, us)] += 1
        self._sum_us += us

    def histogram(self) -> Histogram:
        """All samples so far, by bucket."""
        return Histogram(tuple(self._counts), self._sum_us)

    def read(self) -> Latency:
        """The figures now."""
        samples = sorted(self._samples[:])
        if not samples:
            return Latency()
        last = len(samples) - 1
        return Latency(self.count, samples[last // 2], samples[last * 99 // 100], samples[-1])
