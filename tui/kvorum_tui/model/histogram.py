"""Quantiles of a cumulative histogram as Prometheus tells it: (upper bound, how many at most that),
the last bound being infinite.
"""

from __future__ import annotations

import math

Points = tuple[tuple[float, float], ...]


def between(before: Points, after: Points) -> Points:
    """What came between two tellings; all of ``after`` where nothing came, or the member began
    anew.
    """
    counts = dict(before)
    fresh = tuple((bound, count - counts.get(bound, 0.0)) for bound, count in after)
    if not fresh or fresh[-1][1] <= 0 or any(count < 0 for _, count in fresh):
        return after
    return fresh


def quantile(points: Points, share: float) -> float | None:
    """The value below which ``share`` of all samples lie, as if each bucket were filled evenly;
    the last finite bound when it lies beyond. None without samples.
    """
    if not points or points[-1][1] <= 0:
        return None
    wanted = share * points[-1][1]
    low, below = 0.0, 0.0
    for bound, count in points:
        if count >= wanted:
            if math.isinf(bound):
                return low
            inside = count - below
            return low + (bound - low) * ((wanted - below) / inside if inside > 0 else 1.0)
        low, below = bound, count
    return low
