"""Alarms: states of emergency that the cluster agreed on.

An alarm decides what apply refuses, so it must itself have gone through the log: no member looks at
its own disk or its own settings while applying (raft checklist A1).
"""

from __future__ import annotations

from typing import NamedTuple

from kvorum.machine import operations as ops
from kvorum.machine.operations import (
    AlarmSet,
    Command,
    Compact,
    DeleteRange,
    LeaseExpire,
    LeaseGrant,
    LeaseRevoke,
    Put,
    Txn,
)

_CORRUPTIBLE = (Put, DeleteRange, Txn, Compact, LeaseGrant, LeaseRevoke, LeaseExpire)


class Alarm(NamedTuple):
    """A member's alarm; ``alarm`` is etcd's number of its type."""

    member_id: int
    alarm: int


class AlarmTable:
    """Raised alarms. Member ids are taken as given, as etcd does; unknown alarm types have no
    effect.
    """

    __slots__ = ("_alarms",)

    def __init__(self, alarms: tuple[Alarm, ...] = ()) -> None:
        self._alarms: dict[Alarm, None] = dict.fromkeys(alarms)

    def __len__(self) -> int:
        return len(self._alarms)

    def all(self) -> tuple[Alarm, ...]:
        """All alarms, by type, then by member."""
        return tuple(sorted(self._alarms, key=lambda raised: (raised.alarm, raised.member_id)))

    def raised(self, alarm: int) -> bool:
        """Whether any member has this alarm."""
        return any(raised.alarm == alarm for raised in self._alarms)

    def apply(self, command: AlarmSet) -> tuple[Alarm, ...]:
        """Read, raise or lower; the alarms concerned."""
        alarm = Alarm(command.member_id, command.alarm)
        if command.action == ops.ALARM_GET:
            wanted = command.alarm
            return tuple([a for a in self.all() if wanted in (ops.ALARM_NONE, a.alarm)])
        if command.action == ops.ALARM_ACTIVATE:
            if command.alarm not in (ops.ALARM_NOSPACE, ops.ALARM_CORRUPT):
                return ()
            self._alarms[alarm] = None
            return (alarm,)
        if command.action == ops.ALARM_DEACTIVATE and alarm in self._alarms:
            del self._alarms[alarm]
            return (alarm,)
        return ()


def needs_space(command: Command) -> bool:
    """Whether a NOSPACE alarm refuses the command: it could make the store larger."""
    if isinstance(command, Txn):
        return _puts(command)
    return isinstance(command, Put | LeaseGrant)


def needs_sound_state(command: Command) -> bool:
    """Whether a CORRUPT alarm refuses the command."""
    return isinstance(command, _CORRUPTIBLE)


def _puts(txn: Txn) -> bool:
    """Either branch counts, nested transactions too."""
    return any(
        isinstance(op, Put) or (isinstance(op, Txn) and _puts(op))
        for op in (*txn.success, *txn.failure)
    )
