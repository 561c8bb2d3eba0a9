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


# Upper bounds of the buckets of etcd's histograms: the disk's, 1 ms to 8.192 s, ...
DISK_BUCKETS_US = tuple(1_000 << n for n in range(14))
# ... and the network's, 0.1 ms to 3.2768 s, ...
NETWORK_BUCKETS_US = tuple(100 << n for n in range(16))
# ... those of walks over all data (hashes, snapshots of the backend, defragmentations), ...
HASH_BUCKETS_US = tuple(10_000 << n for n in range(15))
SNAPSHOT_BUCKETS_US = tuple(10_000 << n for n in range(17))
DEFRAGMENT_BUCKETS_US = tuple(100_000 << n for n in range(13))
# ... of compactions (etcd tells them in milliseconds: 100 ms to 13.6 min) ...
COMPACTION_BUCKETS_US = tuple(100_000 << n for n in range(14))
# ... and of calls, which are Prometheus's own for any server: 5 ms to 10 s.
CALL_BUCKETS_US = tuple(
    1_000 * ms for ms in (5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000)
)


@dataclass(frozen=True, slots=True)
class Histogram:
    """All samples so far: how many in each bucket (and above the last), and their sum."""

    bounds_us: tuple[int, ...]
    counts: tuple[int, ...]
    sum_us: int


class Buckets:
    """Counts of all samples, by their size."""

    def __init__(self, bounds_us: tuple[int, ...]) -> None:
        self._bounds_us = bounds_us
        self._counts = [0] * (len(bounds_us) + 1)
        self._sum_us = 0

    def add(self, us: int) -> None:
        """One more sample, in microseconds."""
        self._counts[bisect_left(self._bounds_us, us)] += 1
        self._sum_us += us

    def read(self) -> Histogram:
        """The counts now."""
        return Histogram(self._bounds_us, tuple(self._counts), self._sum_us)


class LatencyRing:
    """The newest samples.

    One thread adds; any may read, because a list's copy is one step of the interpreter.
    """

    def __init__(self, size: int = LATENCY_SAMPLES) -> None:
        self._samples: list[int] = []
        self._size = size
        self.count = 0
        self.buckets = Buckets(DISK_BUCKETS_US)

    def add(self, us: int) -> None:
        """One more sample, in microseconds."""
        if len(self._samples) < self._size:
            self._samples.append(us)
        else:
            self._samples[self.count % self._size] = us
        self.count += 1
        self.buckets.add(us)

    def read(self) -> Latency:
        """The figures now."""
        samples = sorted(self._samples[:])
        if not samples:
            return Latency()
        last = len(samples) - 1
        return Latency(self.count, samples[last // 2], samples[last * 99 // 100], samples[-1])
