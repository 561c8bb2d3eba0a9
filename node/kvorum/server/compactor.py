"""Automatic compaction: what the leader forgets by itself (contract page "server", section 6).

The plans decide and touch nothing; :func:`run` gives them the time and proposes what they say. It
goes through raft like a client's compaction, so all members forget alike.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Protocol

from kvorum.config import CompactionConfig
from kvorum.errors import Condition, KvorumError

log = logging.getLogger(__name__)

_HOUR_S = 3600.0
_SAMPLES_A_PERIOD = 10
_REVISION_CHECK_S = 300.0
_EARLY_S = 1e-3  # Sums of steps are not exact.


class Plan(Protocol):
    """Decides what to compact to."""

    @property
    def step_s(self) -> float:
        """Seconds between two looks, and from the start to the second."""

    def look(self, now_s: float, revision: int, leading: bool) -> int:
        """The revision to compact to now, 0 for none. The first look is at the start."""

    def done(self, now_s: float, revision: int) -> None:
        """A compaction that was asked for happened; one that failed is asked for again."""


class PeriodicPlan:
    """Keeps what is younger than the retention: every so often compacts to the revision of then."""

    def __init__(self, retention_s: float) -> None:
        self._retention_s = retention_s
        self._period_s = min(retention_s, _HOUR_S)
        self.step_s = self._period_s / _SAMPLES_A_PERIOD
        self._samples: deque[tuple[float, int]] = deque()
        self._due_s: float | None = None
        self._done = 0

    def look(self, now_s: float, revision: int, leading: bool) -> int:
        """See :class:`Plan`. A follower only samples, so that it can go on as a leader."""
        if self._due_s is None:
            # The first compaction comes a whole retention after the start.
            self._due_s = now_s + self._retention_s
        self._samples.append((now_s, revision))
        while len(self._samples) > 1 and self._old(self._samples[1], now_s):
            self._samples.popleft()
        if not leading or now_s < self._due_s - _EARLY_S or not self._old(self._samples[0], now_s):
            return 0
        target = self._samples[0][1]
        return 0 if target == self._done else target

    def _old(self, sample: tuple[float, int], now_s: float) -> bool:
        return sample[0] <= now_s - self._retention_s + _EARLY_S

    def done(self, now_s: float, revision: int) -> None:
        """See :class:`Plan`."""
        self._due_s = now_s + self._period_s
        self._done = revision


class RevisionPlan:
    """Keeps a number of revisions."""

    step_s = _REVISION_CHECK_S

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._started = False
        self._done = 0

    def look(self, now_s: float, revision: int, leading: bool) -> int:
        """See :class:`Plan`."""
        if not self._started:
            self._started = True
            return 0
        target = revision - self._kept
        return target if leading and target > self._done else 0

    def done(self, now_s: float, revision: int) -> None:
        """See :class:`Plan`."""
        self._done = revision


def plan_of(config: CompactionConfig) -> Plan | None:
    """The plan that the flags ask for; None when they ask for none."""
    if config.mode == "periodic" and config.retention_s > 0:
        return PeriodicPlan(config.retention_s)
    if config.mode == "revision" and config.retention_revisions > 0:
        return RevisionPlan(config.retention_revisions)
    return None


async def run(
    plan: Plan,
    revision: Callable[[], int],
    leading: Callable[[], bool],
    compact: Callable[[int], Awaitable[object]],
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> None:
    """Look at every step and compact when the plan says so, for ever.

    ``now`` and ``sleep`` are the clock, in seconds.
    """
    while True:
        target = plan.look(now(), revision(), leading())
        if target and await _compacted(target, compact):
            plan.done(now(), target)
        await sleep(plan.step_s)


async def _compacted(target: int, compact: Callable[[int], Awaitable[object]]) -> bool:
    try:
        await compact(target)
    except KvorumError as error:
        # Somebody else may have compacted as far.
        if error.condition is not Condition.COMPACTED:
            log.warning("failed auto compaction", extra={"revision": target, "error": str(error)})
            return False
    log.info("completed auto compaction", extra={"revision": target})
    return True
