"""Round trips between members, and from here to each of them: the newest figure of each way, and
how it was spread over the last minutes.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

KEPT = 1_024  # Samples a way: minutes of a node that reports several times a second.
HERE = 0  # The id that stands for this terminal.
USUAL = 1.0  # Standard deviations from the mean of all ways that are nothing to speak of.
FAR = 2.0


@dataclass(frozen=True, slots=True)
class Spread:
    """Milliseconds; ``samples`` of them since ``since`` (of the clock of ``record``)."""

    newest: float
    p50: float
    p99: float
    p999: float
    samples: int
    since: float


class LatencyBook:
    """Samples by (from, to), both member ids; from :data:`HERE` are the terminal's own calls."""

    def __init__(self) -> None:
        self._ways: dict[tuple[int, int], deque[tuple[float, float]]] = {}

    def record(self, source: int, target: int, ms: float, now: float) -> None:
        """One round trip. The same figure told again and again is the same sample."""
        if ms <= 0 or not math.isfinite(ms):
            return
        way = self._ways.setdefault((source, target), deque(maxlen=KEPT))
        if not way or way[-1][1] != ms:
            way.append((now, ms))

    def spread(self, source: int, target: int) -> Spread | None:
        """One way; None when nothing was measured."""
        way = self._ways.get((source, target))
        if not way:
            return None
        values = sorted(ms for _, ms in way)
        return Spread(
            way[-1][1],
            _at(values, 0.5),
            _at(values, 0.99),
            _at(values, 0.999),
            len(values),
            way[0][0],
        )

    def spreads(self, members: list[int]) -> dict[tuple[int, int], Spread]:
        """Each way between these members, and from here."""
        return {
            (source, target): spread
            for source in (HERE, *members)
            for target in members
            if (spread := self.spread(source, target)) is not None
        }


def deviation(value: float, others: list[float]) -> float:
    """How many standard deviations ``value`` stands above the mean of ``others`` (below: less than
    0). 0 where the spread is nothing to speak of: a tenth of the mean.
    """
    if len(others) < 2:
        return 0.0
    mean = sum(others) / len(others)
    spread = math.sqrt(sum((each - mean) ** 2 for each in others) / len(others))
    return (value - mean) / spread if spread > mean / 10 else 0.0


def mark(sigmas: float) -> tuple[str, str]:
    """A deviation as (sign, ink): the sign says what the colour says."""
    if sigmas >= FAR:
        return "‼", "bad"
    if sigmas >= USUAL:
        return "!", "warn"
    return ("↓", "good") if sigmas <= -USUAL else ("", "text")


def _at(values: list[float], share: float) -> float:
    """The nearest-rank quantile of sorted values."""
    return values[min(len(values) - 1, max(0, math.ceil(share * len(values)) - 1))]
