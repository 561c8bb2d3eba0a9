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


class Plan(Protocol):
    """Decides what to compact to."""

    @property
    def step_s(self) -> float:
        """Seconds between two looks."""

    def look(self, now_s: float, revision: int, leading: bool) -> int:
        """The revision to compact to now, 0 for none."""


class PeriodicPlan:
    """Keeps what is younger than the retention: every so often compacts to the revision of then."""

    def __init__(self, retention_s: float) -> None:
        self._retention_s = retention_s
        self._period_s = min(retention_s, _HOUR_S)
        self.step_s = self._period_s / _SAMPLES_A_PERIOD
        self._samples: deque[tuple[float, int]] = deque()
        self._last_s = -1.0

    def look(self, now_s: float, revision: int, leading: bool) -> int:
        """See :class:`Plan`. A follower only samples, so that it can go on as a leader."""
        if self._last_s < 0:
            # The first compaction comes a whole retention after the start.
            self._last_s = now_s - self._period_s
        self._samples.append((now_s, revision))
        past = 0
        while self._samples and self._samples[0][0] <= now_s - self._retention_s:
            past = self._samples.popleft()[1]
        if not past:
            return 0
        # The newest sample that is old enough stays, for the next look.
        self._samples.appendleft((now_s - self._retention_s, past))
        if not leading or now_s - self._last_s < self._period_s:
            return 0
        self._last_s = now_s
        return past


class RevisionPlan:
    """Keeps a number of revisions."""

    step_s = _REVISION_CHECK_S

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._done = 0

    def look(self, now_s: float, revision: int, leading: bool) -> int:
        """See :class:`Plan`."""
        target = revision - self._kept
        if not leading or target <= self._done:
            return 0
        self._done = target
        return target


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
) -> None:
    """Look at every step and compact when the plan says so, for ever."""
    while True:
        target = plan.look(time.monotonic(), revision(), leading())
        if target:
            try:
                await compact(target)
                log.info("completed auto revision compaction", extra={"revision": target})
            except KvorumError as error:
                if error.condition is not Condition.COMPACTED:
                    log.warning("auto compaction failed", extra={"error": str(error)})
        await asyncio.sleep(plan.step_s)
