"""Says in the log which alarms this member has seen raised and lowered.

What counts is the replicated table, not who asked: a proposal whose answer was lost may still raise
the alarm, and the members that did not ask want to know as well.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from kvorum.machine.alarms import Alarm
from kvorum.machine.operations import ALARM_NAMES

log = logging.getLogger(__name__)


class AlarmLog:
    """Compares the table with what it was; ``raised`` gives the alarms of the moment."""

    def __init__(self, raised: Callable[[], tuple[Alarm, ...]]) -> None:
        self._raised = raised
        self._known: tuple[Alarm, ...] = ()

    def look(self) -> None:
        """Log each alarm that came or went since the last look."""
        now = self._raised()
        if now == self._known:
            return
        before, self._known = self._known, now
        for alarm in now:
            if alarm not in before:
                log.warning("alarm raised", extra=_told(alarm))
        for alarm in before:
            if alarm not in now:
                log.info("alarm disarmed", extra=_told(alarm))


def _told(alarm: Alarm) -> dict[str, str]:
    return {"alarm": ALARM_NAMES.get(alarm.alarm, str(alarm.alarm)), "from": f"{alarm.member_id:x}"}
